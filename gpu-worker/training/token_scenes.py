"""Endless training examples for the generator, composed directly as code grids.

The quantiser's encoder sees one patch at a time, so when cells are whole patches on a lattice of whole patches, the
codes of a scene are the codes of its drawings side by side. Each (drawing, colour, size, background) is encoded once;
a scene then costs a few array copies instead of a render and an encoder pass.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer

from training.models.quantizer import Quantizer
from training.tokenizer import encode_prompt
from training.world.classes import CLASSES, COLORABLE, COLORS
from training.world.scene import SceneObject
from training.world.world import World

_ENCODED_AT_ONCE = 128


class Block(NamedTuple):
    """A drawing as it can stand in a scene: sprite index, colour or None for its own, side in px, background index."""

    sprite: int
    color: str | None
    size: int
    background: int


@dataclass(frozen=True)
class TokenBatch:
    """B training examples.

    Attributes:
        prompt_ids: int64 [B, L].
        codes: int64 [B, N].
        on_object: bool [B, N], True where the patch is not plain background.
    """

    prompt_ids: np.ndarray
    codes: np.ndarray
    on_object: np.ndarray


class TokenScenes:
    """Draws specs from a world and returns them as prompts and code grids."""

    def __init__(self, world: World, quantizer: Quantizer, tokenizer: Tokenizer):
        """Raises ValueError when cells or lattice are not whole patches, because codes would then depend on neighbours."""
        patch = quantizer.config.patch
        lengths = (world.config.lattice, *world.config.object_sizes)
        if any(length % patch for length in lengths) or world.config.image_size != quantizer.config.image_size:
            raise ValueError(f"lattice and object sizes must be multiples of the patch of {patch} px, got {lengths}")
        self._world, self._quantizer, self._tokenizer = world, quantizer, tokenizer
        self._patch, self._grid = patch, quantizer.config.grid
        self._codes: dict[Block, np.ndarray] = {}
        backgrounds = range(len(world.config.backgrounds))
        tints = np.stack([world.draw((), background)[:patch, :patch] for background in backgrounds])
        self._plain = self._encode(tints)[:, 0, 0].tolist()

    def encode_all(self) -> int:
        """Encodes whatever scenes can be made of, so that processes forked from this one need no encoder.

        Returns:
            How many drawings, colours, sizes and backgrounds together there are.
        """
        for size in sorted(set(self._world.config.object_sizes)):
            blocks = [block for block in self._all_blocks(size) if block not in self._codes]
            for start in range(0, len(blocks), _ENCODED_AT_ONCE):
                part = blocks[start : start + _ENCODED_AT_ONCE]
                self._codes.update(zip(part, self._encode(np.stack([self._draw(block) for block in part])), strict=True))
        return len(self._codes)

    def batch(self, rng: np.random.Generator, size: int) -> TokenBatch:
        """`size` fresh examples; a function of the generator's state only."""
        prompts, codes, on_object = [], [], []
        for _ in range(size):
            spec = self._world.sample_spec(rng)
            objects, background = self._world.arrange(rng, spec)
            grid = self._compose(objects, background)
            prompts.append(encode_prompt(self._tokenizer, self._world.prompt(rng, spec)))
            codes.append(grid.ravel())
            on_object.append(codes[-1] != self._plain[background])
        return TokenBatch(np.stack(prompts), np.stack(codes), np.stack(on_object))

    def _compose(self, objects: tuple[SceneObject, ...], background: int) -> np.ndarray:
        grid = np.full((self._grid, self._grid), self._plain[background], dtype=np.int64)
        for known in objects:
            x0, y0, x1, y1 = (value // self._patch for value in known.cell)
            grid[y0:y1, x0:x1] = self._block(known, background)
        return grid

    def _block(self, known: SceneObject, background: int) -> np.ndarray:
        block = Block(known.sprite, known.color, known.cell[2] - known.cell[0], background)
        if block not in self._codes:
            self._codes[block] = self._encode(self._draw(block)[None])[0]
        return self._codes[block]

    def _all_blocks(self, size: int) -> list[Block]:
        return [
            Block(sprite.index, color, size, background)
            for sprites in self._world.atlas.by_class
            for sprite in sprites
            for color in (None, *(COLORS if CLASSES[sprite.class_index] in COLORABLE else ()))
            for background in range(len(self._world.config.backgrounds))
        ]

    def _draw(self, block: Block) -> np.ndarray:
        """Pixels of a block, uint8 [size, size, 3]."""
        corner = (0, 0, block.size, block.size)
        class_index = self._world.atlas.sprites[block.sprite].class_index
        drawn = SceneObject(class_index, block.color, corner, corner, block.sprite)
        return self._world.draw((drawn,), block.background)[: block.size, : block.size]

    def _encode(self, images: np.ndarray) -> np.ndarray:
        """Codes of whole patches: uint8 [R, S, S, 3] to int64 [R, S/patch, S/patch]."""
        side = images.shape[1] // self._patch
        # Codes must not depend on whether training calls this inside its half-precision context.
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            return self._quantizer.encode(torch.from_numpy(images)).view(len(images), side, side).numpy()
