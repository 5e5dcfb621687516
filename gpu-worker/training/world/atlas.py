"""Access to the committed sprite atlas: which drawings exist, and their pixels at a given size and colour."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.folders import ATLAS
from training.world.classes import CLASS_INDEX, CLASSES
from training.world.recolor import recolor, tone_layers


@dataclass(frozen=True)
class Sprite:
    """One drawing of one class; `index` is its place in `sprites.json`."""

    index: int
    class_index: int
    set: str
    icon: str
    cell: tuple[int, int]


class Atlas:
    """The drawings of the chosen sets, rendered on demand and cached."""

    def __init__(self, sets: tuple[str, ...], fallback_sets: tuple[str, ...], directory: Path = ATLAS):
        """Loads the atlas and chooses the drawings of each class.

        Args:
            sets: sets to use; every drawing they have of a class can appear.
            fallback_sets: the first of these that draws a class is used when no set of `sets` does.
            directory: folder with `sprites.json` and `sprites.png`.

        Raises:
            ValueError: a set is unknown or a class has no drawing at all.
        """
        index = json.loads((directory / "sprites.json").read_text())
        unknown = sorted({*sets, *fallback_sets} - set(index["sets"]))
        if unknown:
            raise ValueError(f"unknown emoji sets {unknown}; the atlas has {index['sets']}")
        self._cell = index["cell"]
        self._image = np.asarray(Image.open(directory / "sprites.png").convert("RGBA"))
        self.sprites = tuple(
            Sprite(number, CLASS_INDEX[entry["class"]], entry["set"], entry["icon"], tuple(entry["cell"]))
            for number, entry in enumerate(index["sprites"])
        )
        self.by_class = tuple(self._choose(class_index, sets, fallback_sets) for class_index in range(len(CLASSES)))
        self._rendered: dict[tuple[int, str | None, int], tuple[np.ndarray, np.ndarray, tuple[int, ...]]] = {}

    def _choose(self, class_index: int, sets: tuple[str, ...], fallback_sets: tuple[str, ...]) -> tuple[Sprite, ...]:
        drawn = {sprite.set: sprite for sprite in self.sprites if sprite.class_index == class_index}
        chosen = tuple(drawn[name] for name in sets if name in drawn)
        if not chosen:
            chosen = tuple(drawn[name] for name in fallback_sets if name in drawn)[:1]
        if not chosen:
            raise ValueError(f"no set of {sets} or {fallback_sets} draws {CLASSES[class_index]!r}")
        return chosen

    def rgba(self, sprite: Sprite, color: str | None, size: int) -> np.ndarray:
        """Colour times opacity, and opacity, of a drawing: float32 [size, size, 4], 0..1; arguments as `render`."""
        premultiplied, transparency, _ = self.render(sprite, color, size)
        opacity = (255 - transparency.astype(np.float32)) / 255
        return np.concatenate([premultiplied.astype(np.float32) / (255 * 255), opacity], axis=-1)

    def tones(self, sprite: Sprite, size: int) -> np.ndarray:
        """`tone_layers` of a drawing: float32 [size, size, 4]; `palette` makes of them what `rgba` gives in a colour."""
        layers = tone_layers(self._drawing(sprite))
        resized = [Image.fromarray(layer).resize((size, size), Image.Resampling.BOX) for layer in layers.transpose(2, 0, 1)]
        return np.stack([np.asarray(layer) for layer in resized], axis=-1)

    def render(self, sprite: Sprite, color: str | None, size: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """Pixels of a drawing, ready for compositing.

        Args:
            sprite: which drawing.
            color: one of `COLORS`, or None for the drawing's own colours.
            size: cell side in pixels; the drawing touches at least two sides of the cell.

        Returns:
            (premultiplied, transparency, box): uint16 [size, size, 3] colour times alpha (0..255*255), uint16
            [size, size, 1] 255 minus alpha, and the tight box (x0, y0, x1, y1) of visible pixels, x1 and y1 exclusive.
            The arrays are shared by all callers and must not be written to.
        """
        key = (sprite.index, color, size)
        if key not in self._rendered:
            self._rendered[key] = self._render(sprite, color, size)
        return self._rendered[key]

    def _render(self, sprite: Sprite, color: str | None, size: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        rgba = self._drawing(sprite)
        if color is not None:
            rgba = recolor(rgba, color)
        # Pillow resizes RGBA with straight alpha through its premultiplied mode, which keeps dark fringes away.
        resized = Image.fromarray(rgba, "RGBA").convert("RGBa").resize((size, size), Image.Resampling.BOX)
        premultiplied = np.asarray(resized).astype(np.uint16)  # (size, size, 4), colour already times alpha / 255
        visible = premultiplied[..., 3] > 64
        columns, rows = np.flatnonzero(visible.any(0)), np.flatnonzero(visible.any(1))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        return premultiplied[..., :3] * 255, 255 - premultiplied[..., 3:], box

    def _drawing(self, sprite: Sprite) -> np.ndarray:
        """The drawing at full size: uint8 [cell, cell, 4], straight alpha."""
        x, y = sprite.cell[0] * self._cell, sprite.cell[1] * self._cell
        return self._image[y : y + self._cell, x : x + self._cell]
