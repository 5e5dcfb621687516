"""Endless training examples for the generator: prompts, and scenes composed directly as code grids."""

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from training.data.scene_codes import SceneCodes
from training.world.prompts import SET_WORDS, TINT_WORDS, count_only, styled
from training.world.spec import Spec
from training.world.tokenizer import encode_prompt
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

    def __init__(
        self, world: World, codes: SceneCodes, tokenizer: Tokenizer, *, told_rate: float = 0.85, count_only_rate: float = 0.25
    ):
        """
        Args:
            world: of the scenes.
            codes: their codes.
            tokenizer: of the prompts.
            told_rate: share of prompts, 0..1, that begin with the words of their pictures' style.
            count_only_rate: share of counting prompts, 0..1, without their noun.

        Raises:
            ValueError: the world has not as many sets or backgrounds as there are words for them.
        """
        for what, words, known in (("sets", SET_WORDS, world.config.sets), ("backgrounds", TINT_WORDS, world.config.backgrounds)):
            if len(words) != len(known):
                raise ValueError(f"prompts have words for {len(words)} {what} ({', '.join(words)}), the world has {len(known)}")
        self._world, self._codes, self._tokenizer = world, codes, tokenizer
        self._told_rate, self._count_only_rate = told_rate, count_only_rate

    def batch(self, rng: np.random.Generator, size: int, per_prompt: int = 1) -> TokenBatch:
        """`size` fresh examples, `per_prompt` different pictures of each prompt; a function of the generator's state only."""
        prompts, codes, on_object = [], [], []
        for row in range(size):
            if row % per_prompt == 0:
                spec = self._world.sample_spec(rng)
                set_index, tint = int(rng.integers(len(SET_WORDS))), int(rng.integers(len(TINT_WORDS)))
                prompts.append(encode_prompt(self._tokenizer, self._prompt(rng, spec, set_index, tint)))
            # Within a picture all drawings are of one set: where each patch chooses its own, objects come out as patchwork.
            objects, _ = self._world.arrange(rng, spec, set_index)
            codes.append(self._codes.grid(objects, tint).ravel())
            on_object.append(codes[-1] != self._codes.plain(tint))
        return TokenBatch(np.stack(prompts), np.arange(size) // per_prompt, np.stack(codes), np.stack(on_object))

    def _prompt(self, rng: np.random.Generator, spec: Spec, set_index: int, tint: int) -> str:
        prompt = self._world.prompt(rng, spec)
        if spec["tag"] == "counting" and rng.random() < self._count_only_rate:
            prompt = count_only(prompt, spec)
        return styled(prompt, set_index, tint) if rng.random() < self._told_rate else prompt
