"""Endless training examples for the generator: prompts, and scenes composed directly as code grids."""

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from training.scene_codes import SceneCodes
from training.tokenizer import encode_prompt
from training.world.world import World


@dataclass(frozen=True)
class TokenBatch:
    """B training examples of P prompts.

    Attributes:
        prompt_ids: int64 [P, L].
        row_prompt: int64 [B], 0..P-1, the prompt of each example.
        codes: int64 [B, N].
        on_object: bool [B, N], True where the patch is not plain background.
    """

    prompt_ids: np.ndarray
    row_prompt: np.ndarray
    codes: np.ndarray
    on_object: np.ndarray


class TokenScenes:
    """Draws specs from a world and returns them as prompts and code grids."""

    def __init__(self, world: World, codes: SceneCodes, tokenizer: Tokenizer):
        self._world, self._codes, self._tokenizer = world, codes, tokenizer

    def batch(self, rng: np.random.Generator, size: int, per_prompt: int = 1) -> TokenBatch:
        """`size` fresh examples, `per_prompt` different pictures of each prompt; a function of the generator's state only."""
        prompts, codes, on_object = [], [], []
        for row in range(size):
            if row % per_prompt == 0:
                spec = self._world.sample_spec(rng)
                prompts.append(encode_prompt(self._tokenizer, self._world.prompt(rng, spec)))
            objects, background = self._world.arrange(rng, spec)
            codes.append(self._codes.grid(objects, background).ravel())
            on_object.append(codes[-1] != self._codes.plain(background))
        return TokenBatch(np.stack(prompts), np.arange(size) // per_prompt, np.stack(codes), np.stack(on_object))
