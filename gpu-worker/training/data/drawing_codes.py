"""The world's drawings as the quantiser writes them: what a matcher of drawings knows, from weights or from a bundle."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.scene_codes import Drawing, SceneCodes
from training.models.quantizer import Quantizer
from training.world.classes import CLASSES, COLORABLE, COLORS
from training.world.world import World


@dataclass(frozen=True)
class CodedDrawing:
    """One drawing in one size, in its own colours or one of the ten.

    Attributes:
        class_index: index in `training.world.classes.CLASSES`.
        number: which of the class's drawings.
        color: one of `COLORS`, or None for its own colours.
        size: side of its cell in pixels.
        codes: int64 [size / patch, size / patch], -1 where it leaves a patch empty.
        box: tight box (x0, y0, x1, y1) of its visible pixels inside the cell, x1 and y1 exclusive.
    """

    class_index: int
    number: int
    color: str | None
    size: int
    codes: np.ndarray
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class DrawingSet:
    """All drawings of a world, and how pictures of it are made.

    Attributes:
        patch: side of a patch in pixels; objects stand at multiples of it.
        image_size: side of a picture in pixels.
        tints: backgrounds, RGB 0..255.
        plain_code: code of an empty patch on the first of them; those on the others follow it.
        own_codes, tones: tone t in colour c is code own_codes + c * tones + t.
        entries_of: by class index its drawings, as in `drawings_file`.
    """

    patch: int
    image_size: int
    tints: tuple[tuple[int, int, int], ...]
    plain_code: int
    own_codes: int
    tones: int
    entries_of: Callable[[int], list[dict]]

    @classmethod
    def of_world(cls, world: World, quantizer: Quantizer) -> "DrawingSet":
        """Those of a world in a quantiser's codes, encoded class by class when they are asked for."""
        codes, config = SceneCodes(world, quantizer), quantizer.config
        return cls(
            config.patch, config.image_size, config.tints, config.drawing_codes, config.own_codes, config.tones,
            lambda class_index: _class_entries(world, codes, config.own_codes, class_index),
        )  # fmt: skip

    @classmethod
    def read(cls, path: Path) -> "DrawingSet":
        """Those of a bundle's `drawings.json`."""
        content = json.loads(path.read_text())
        return cls(
            content["patch"], content["imageSize"], tuple(map(tuple, content["tints"])), content["plainCode"],
            content["ownCodes"], content["tones"], lambda class_index: content["classes"][CLASSES[class_index]],
        )  # fmt: skip

    def of_class(self, class_index: int) -> list[CodedDrawing]:
        """Every drawing of a class in every size and colour, in a fixed order."""
        drawings = []
        for number, entry in enumerate(self.entries_of(class_index)):
            for of_size in entry["sizes"]:
                own = self._codes(of_size, "own")
                tones = self._codes(of_size, "tones") if "tones" in of_size else None
                blocks = {None: own}
                if tones is not None:
                    first = self.own_codes + self.tones * np.arange(len(COLORS))
                    blocks |= {color: np.where(tones >= 0, first[index] + tones, -1) for index, color in enumerate(COLORS)}
                drawings += [
                    CodedDrawing(class_index, number, color, of_size["size"], block, tuple(of_size["box"]))
                    for color, block in blocks.items()
                ]
        return drawings

    def _codes(self, entry: dict, key: str) -> np.ndarray:
        side = entry["size"] // self.patch
        return np.array(entry[key], np.int64).reshape(side, side)


def drawings_file(drawings: DrawingSet) -> dict:
    """A set as a JSON object, a bundle's `drawings.json`.

    Returns:
        Its fields, and `classes`: by name a list of drawings, `{"set", "sizes": [{"size", "box", "own", "tones"?}]}`. `own` and
        `tones` are row-major, -1 where the drawing leaves a patch empty; without `tones` it has its own colours only.
    """
    return {
        "patch": drawings.patch,
        "imageSize": drawings.image_size,
        "tints": [list(tint) for tint in drawings.tints],
        "plainCode": drawings.plain_code,
        "ownCodes": drawings.own_codes,
        "tones": drawings.tones,
        "classes": {name: drawings.entries_of(index) for index, name in enumerate(CLASSES)},
    }


def _class_entries(world: World, codes: SceneCodes, own_codes: int, class_index: int) -> list[dict]:
    sizes = sorted(set(world.config.object_sizes), reverse=True)
    colorable = CLASSES[class_index] in COLORABLE
    return [
        {"set": sprite.set, "sizes": [_size_entry(world, codes, own_codes, sprite, size, colorable) for size in sizes]}
        for sprite in world.atlas.by_class[class_index]
    ]


def _size_entry(world: World, codes: SceneCodes, own_codes: int, sprite, size: int, colorable: bool) -> dict:
    own = codes.block(Drawing(sprite.index, None, size))
    entry = {"size": size, "box": list(world.atlas.render(sprite, None, size)[2]), "own": own.ravel().tolist()}
    if colorable:  # the first colour's codes are the tones
        first = codes.block(Drawing(sprite.index, COLORS[0], size))
        entry["tones"] = np.where(first >= 0, first - own_codes, -1).ravel().tolist()
    return entry
