"""Endless training examples for the generator: prompts, and scenes composed directly as code grids."""

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from training.scene_codes import SceneCodes
from training.tokenizer import encode_prompt
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

    def __init__(self, world: World, codes: SceneCodes, tokenizer: Tokenizer):
        self._world, self._codes, self._tokenizer = world, codes, tokenizer

    def batch(self, rng: np.random.Generator, size: int) -> TokenBatch:
        """`size` fresh examples; a function of the generator's state only."""
        prompts, codes, on_object = [], [], []
        for _ in range(size):
            spec = self._world.sample_spec(rng)
            objects, background = self._world.arrange(rng, spec)
            prompts.append(encode_prompt(self._tokenizer, self._world.prompt(rng, spec)))
            codes.append(self._codes.grid(objects, background).ravel())
            on_object.append(codes[-1] != self._codes.plain(background))
        return TokenBatch(np.stack(prompts), np.stack(codes), np.stack(on_object))
