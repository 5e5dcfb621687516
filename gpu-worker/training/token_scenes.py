"""Endless training examples for the generator, composed directly as code grids.

The quantiser's encoder sees one patch at a time, so when cells are whole patches on a lattice of whole patches, the
codes of a scene are the codes of its drawings side by side. Each (drawing, colour, size, background) is encoded once;
a scene then costs a few array copies instead of a render and an encoder pass.
"""

from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

from training.models.quantizer import Quantizer
from training.tokenizer import encode_prompt
from training.world.scene import SceneObject
from training.world.world import World


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
        self._blocks: dict[tuple[int, str | None, int, int], np.ndarray] = {}
        self._plain = [int(self._encode((), background)[0, 0]) for background in range(len(world.config.backgrounds))]

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
        size = known.cell[2] - known.cell[0]
        key = (known.sprite, known.color, size, background)
        if key not in self._blocks:
            at_origin = SceneObject(known.class_index, known.color, known.box, (0, 0, size, size), known.sprite)
            self._blocks[key] = self._encode((at_origin,), background)[: size // self._patch, : size // self._patch]
        return self._blocks[key]

    def _encode(self, objects: tuple[SceneObject, ...], background: int) -> np.ndarray:
        image = torch.from_numpy(self._world.draw(objects, background)[None])
        # Codes must not depend on whether training calls this inside its half-precision context.
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            return self._quantizer.encode(image).view(self._grid, self._grid).numpy()
