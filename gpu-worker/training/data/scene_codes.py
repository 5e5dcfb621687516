"""Scenes composed directly as code grids.

A drawing has the same codes wherever it stands and on every tint, and the same tones in every colour, so each is encoded once;
a scene then costs a few array copies instead of a render and a search of the codebook.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.data.drawing_patches import cut, shows_something
from training.models.quantizer import Quantizer, nearest
from training.world.classes import CLASSES, COLORABLE, COLORS
from training.world.scene import SceneObject
from training.world.world import World


class Drawing(NamedTuple):
    """A drawing as it can stand in a scene: sprite index, colour or None for its own, side in px."""

    sprite: int
    color: str | None
    size: int


class SceneCodes:
    """Code grids of arranged scenes."""

    def __init__(self, world: World, quantizer: Quantizer):
        """Raises ValueError when cells or lattice are not whole patches, or backgrounds or colours are not the quantiser's."""
        config = quantizer.config
        lengths = (world.config.lattice, *world.config.object_sizes)
        if any(length % config.patch for length in lengths) or world.config.image_size != config.image_size:
            raise ValueError(f"lattice and object sizes must be multiples of the patch of {config.patch} px, got {lengths}")
        if tuple(map(tuple, config.tints)) != world.config.backgrounds:
            raise ValueError(f"the quantiser knows the backgrounds {config.tints}, the world has {world.config.backgrounds}")
        if config.colors != len(COLORS):
            raise ValueError(f"the quantiser has codes for {config.colors} colours, the world has {len(COLORS)}")
        self._world, self._quantizer = world, quantizer
        with torch.no_grad():
            self._own_known, self._tones_known = quantizer.known_features()
        self._blocks: dict[Drawing, np.ndarray] = {}
        self._tones: dict[tuple[int, int], np.ndarray] = {}

    def plain(self, background: int) -> int:
        """The code of an empty patch on a background."""
        return self._quantizer.config.drawing_codes + background

    def grid(self, objects: tuple[SceneObject, ...], background: int) -> np.ndarray:
        """Codes of a scene: int64 [grid, grid]; arguments as `World.draw`."""
        side, patch = self._quantizer.config.grid, self._quantizer.config.patch
        codes = np.full((side, side), self.plain(background), dtype=np.int64)
        for known in objects:
            x0, y0, x1, y1 = (value // patch for value in known.cell)
            block = self.block(Drawing(known.sprite, known.color, known.cell[2] - known.cell[0]))
            codes[y0:y1, x0:x1] = np.where(block >= 0, block, self.plain(background))
        return codes

    def encode_all(self) -> int:
        """Encodes whatever scenes can be made of, so that processes forked from this one need no codebook.

        Returns:
            How many drawings, colours and sizes together there are.
        """
        for sprites in self._world.atlas.by_class:
            for sprite in sprites:
                for color in (None, *(COLORS if CLASSES[sprite.class_index] in COLORABLE else ())):
                    for size in set(self._world.config.object_sizes):
                        self.block(Drawing(sprite.index, color, size))
        return len(self._blocks)

    def block(self, drawing: Drawing) -> np.ndarray:
        """Codes of a drawing: int64 [size / patch, size / patch], -1 where it leaves a patch empty; not to be written to."""
        if drawing not in self._blocks:
            self._blocks[drawing] = self._own(drawing) if drawing.color is None else self._colored(drawing)
        return self._blocks[drawing]

    def _own(self, drawing: Drawing) -> np.ndarray:
        atlas, config = self._world.atlas, self._quantizer.config
        patches = cut(atlas.rgba(atlas.sprites[drawing.sprite], None, drawing.size), config.patch)
        codes = _nearest(self._quantizer.own_features, patches, self._own_known)
        return np.where(shows_something(patches), codes, -1).reshape(drawing.size // config.patch, -1)

    def _colored(self, drawing: Drawing) -> np.ndarray:
        tones = self._drawing_tones(drawing.sprite, drawing.size)
        return np.where(tones >= 0, self._quantizer.colored_code(tones, COLORS.index(drawing.color)), -1)

    def _drawing_tones(self, sprite: int, size: int) -> np.ndarray:
        """Tones of a drawing in whatever colour: int64 [size / patch, size / patch], -1 where it leaves a patch empty."""
        if (sprite, size) not in self._tones:
            atlas, config = self._world.atlas, self._quantizer.config
            patches = cut(atlas.tones(atlas.sprites[sprite], size), config.patch)
            tones = _nearest(self._quantizer.tone_features, patches, self._tones_known)
            self._tones[sprite, size] = np.where(shows_something(patches), tones, -1).reshape(size // config.patch, -1)
        return self._tones[sprite, size]


def _nearest(features_of: Callable[[Tensor], Tensor], patches: np.ndarray, known: Tensor) -> np.ndarray:
    # Codes must not depend on whether training calls this inside its half-precision context.
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        return nearest(features_of(torch.from_numpy(patches)), known).numpy()
