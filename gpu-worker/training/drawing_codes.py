"""The world's drawings as the quantiser writes them: what a matcher of drawings knows, in Python and in the bundle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.models.quantizer import QuantizerConfig
from training.scene_codes import Drawing, SceneCodes
from training.world.classes import CLASSES, COLORABLE, COLORS
from training.world.world import World


@dataclass(frozen=True)
class CodedDrawing:
    """One drawing in one size, in its own colours or one of the ten.

    Attributes:
        class_index: index in `training.world.classes.CLASSES`.
        sprite: index of the drawing in the atlas.
        color: one of `COLORS`, or None for its own colours.
        size: side of its cell in pixels.
        codes: int64 [size / patch, size / patch], -1 where it leaves a patch empty.
        box: tight box (x0, y0, x1, y1) of its visible pixels inside the cell, x1 and y1 exclusive.
    """

    class_index: int
    sprite: int
    color: str | None
    size: int
    codes: np.ndarray
    box: tuple[int, int, int, int]


def class_drawings(world: World, codes: SceneCodes, class_index: int) -> list[CodedDrawing]:
    """All drawings of a class that a scene of `world` can show: every sprite, size and colour, largest first."""
    colors = (None, *COLORS) if CLASSES[class_index] in COLORABLE else (None,)
    return [
        CodedDrawing(
            class_index, sprite.index, color, size,
            codes.block(Drawing(sprite.index, color, size)), world.atlas.render(sprite, None, size)[2],
        )
        for size in drawing_sizes(world)
        for sprite in world.atlas.by_class[class_index]
        for color in colors
    ]  # fmt: skip


def drawing_sizes(world: World) -> list[int]:
    """Sides of cells in pixels, largest first."""
    return sorted(set(world.config.object_sizes), reverse=True)


def drawings_file(world: World, codes: SceneCodes, config: QuantizerConfig) -> dict:
    """The same for every class as a JSON object, `drawings.json` of a bundle.

    Returns:
        `{"patch", "tints", "ownCodes", "tones", "plainCode", "classes": {name: [{"set", "sizes": [{"size", "box", "own", "tones"?}]}]}}`.
        `own` and `tones` are row-major, -1 where the drawing leaves a patch empty; tone t in colour c is code
        ownCodes + c * tones + t, background b is code plainCode + b.
    """
    return {
        "patch": config.patch,
        "tints": [list(tint) for tint in config.tints],
        "ownCodes": config.own_codes,
        "tones": config.tones,
        "plainCode": config.drawing_codes,
        "classes": {name: _class_entry(world, codes, config, index) for index, name in enumerate(CLASSES)},
    }


def _class_entry(world: World, codes: SceneCodes, config: QuantizerConfig, class_index: int) -> list[dict]:
    drawings = class_drawings(world, codes, class_index)
    return [
        {
            "set": sprite.set,
            "sizes": [
                _size_entry([drawing for drawing in drawings if (drawing.sprite, drawing.size) == (sprite.index, size)], config)
                for size in drawing_sizes(world)
            ],
        }
        for sprite in world.atlas.by_class[class_index]
    ]


def _size_entry(drawings: Sequence[CodedDrawing], config: QuantizerConfig) -> dict:
    own = drawings[0]
    entry = {"size": own.size, "box": list(own.box), "own": own.codes.ravel().tolist()}
    if len(drawings) > 1:  # the first colour's codes are the tones
        entry["tones"] = np.where(drawings[1].codes >= 0, drawings[1].codes - config.own_codes, -1).ravel().tolist()
    return entry
