"""Generator and quantiser together: prompts in, pictures out."""

import torch

from training.loop.precision import mixed_precision
from training.models.generator import Generator
from training.models.quantizer import Quantizer
from training.sampling.mask_predict import SamplingSettings, random_uniforms, sample
from training.world.prompts import drawn_styles
from training.world.tokenizer import build_tokenizer, encode_prompts, unconditional_prompt

_ROWS = 32  # rows a batch: 32 * 64 * 8192 float32 logits are 64 MiB


class Painter:
    """Paints unselected samples on the CPU, linear layers in bfloat16 where that is fast."""

    def __init__(self, generator: Generator, quantizer: Quantizer):
        self._generator, self._quantizer, self._tokenizer = generator, quantizer, build_tokenizer()

    @torch.no_grad()
    def paint(self, prompts: list[str], settings: SamplingSettings, seed: int) -> torch.Tensor:
        """One picture per prompt, each in a style drawn for it: uint8 [R, H, W, 3]; a function of prompts, settings and seed."""
        config = self._generator.config
        ids = torch.from_numpy(encode_prompts(self._tokenizer, drawn_styles(prompts, seed), config.max_prompt_tokens))
        free = torch.from_numpy(unconditional_prompt(config.max_prompt_tokens))
        uniforms = random_uniforms(seed, settings, len(prompts), config.image_tokens)
        pictures = []
        for start in range(0, len(prompts), _ROWS):
            rows = slice(start, start + _ROWS)
            part = ids[rows]
            noise = (uniforms[0][:, rows], uniforms[1][:, rows])
            with mixed_precision():
                codes = sample(self._generator, part, free, torch.arange(len(part)), *noise, settings).predictions[-1]
            pictures.append(self._quantizer.decode(codes))
        return torch.cat(pictures)
