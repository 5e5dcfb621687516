"""Mask-predict sampling in PyTorch: the twin of the engine's sampler, batched over rows.

Nothing here draws random numbers: the caller passes uniforms, so equal uniforms give equal pictures in any batch.
Source: MaskGIT, arXiv 2202.04200; guidance and schedule as in Show-o `models/modeling_showo.py` and `models/sampling.py`,
but with a temperature that depends on the step only (there it compounds from step to step).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.models.generator import Generator


@dataclass(frozen=True)
class SamplingSettings:
    """How a picture is sampled.

    Attributes:
        steps: number of mask-predict steps, at least 1.
        guidance: g >= 0 of (1 + g) * conditional - g * unconditional logits; 0 leaves the second pass out.
        temperature: tau0 >= 0, scale of the Gumbel noise on the confidence before the first step's decay.
        code_temperature: tau > 0 that divides the logits before a code is drawn and its confidence read; below 1 the surer codes
            are drawn more often. A served graph has it inside its output layer (`export/generator_graphs.py`).
    """

    steps: int = 12
    guidance: float = 1.0
    temperature: float = 1.0
    code_temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.code_temperature <= 0:
            raise ValueError(f"code_temperature is {self.code_temperature}; it must be above 0")


def mask_counts(token_count: int, steps: int) -> list[int]:
    """Tokens left masked after each step: max(1, min(unknown - 1, floor(N cos(pi/2 (s+1)/T)))), cosine in float32.

    Single precision matters: at a ratio of 2/3 it gives one token less than exact arithmetic, as in the reference. It is the
    CPU's on every device: a GPU may round a cosine otherwise, and the engine has the CPU's.
    """
    counts, unknown = [], token_count
    for step in range(steps):
        ratio = torch.tensor((step + 1) / steps, dtype=torch.float32, device="cpu")
        wanted = int(torch.floor(token_count * torch.cos(ratio * torch.pi * 0.5)))
        unknown = max(1, min(unknown - 1, wanted))
        counts.append(unknown)
    return counts


def noise_scale(temperature: float, step: int, steps: int) -> float:
    """Scale of the Gumbel noise at a step: tau0 (1 - (s+1)/T), 0 at the last step."""
    return temperature * (1 - (step + 1) / steps)


def gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel noise of uniforms in 0..1; both logarithms are clamped at 1e-20 as in the reference."""
    return -torch.log((-torch.log(uniform.clamp(min=1e-20))).clamp(min=1e-20))


@torch.no_grad()
def sample(
    generator: Generator,
    prompt_ids: Tensor,
    unconditional_ids: Tensor,
    row_prompt: Tensor,
    token_uniform: Tensor,
    mask_uniform: Tensor,
    settings: SamplingSettings,
) -> Tensor:
    """Samples one picture per row and keeps every step's full prediction.

    Args:
        generator: in evaluation mode.
        prompt_ids: int64 [P, L], the distinct prompts.
        unconditional_ids: int64 [L], the prompt of no words.
        row_prompt: int64 [R], the prompt of each row.
        token_uniform: float [steps, R, N], 0..1, picks each position's code by inverse CDF.
        mask_uniform: float [steps, R, N], 0..1, noise on the confidence.
        settings: steps, guidance and temperature.

    Returns:
        int64 [steps, R, N]: the complete prediction of the picture (x0) after each step; the last is the result.
    """
    config = generator.config
    rows, token_count = len(row_prompt), config.image_tokens
    prefix_kv = generator.prefix(torch.cat([prompt_ids, unconditional_ids[None]]))
    unconditional = torch.full_like(row_prompt, len(prompt_ids))
    tokens = torch.full((rows, token_count), config.codebook_size)
    predictions = []
    for step, kept_masked in enumerate(mask_counts(token_count, settings.steps)):
        unknown = tokens == config.codebook_size  # (R, N); every row has the same number of unknown tokens
        logits = _unknown_logits(generator, tokens, unknown, prefix_kv, row_prompt)
        if settings.guidance:
            free = _unknown_logits(generator, tokens, unknown, prefix_kv, unconditional)
            logits = (1 + settings.guidance) * logits - settings.guidance * free
        probability = (logits / settings.code_temperature).softmax(-1)  # (R, unknown, C)
        drawn = token_uniform[step][unknown].view(rows, -1, 1)
        ids = torch.searchsorted(probability.cumsum(-1), drawn).clamp(max=config.codebook_size - 1)
        confidence = probability.gather(-1, ids).squeeze(-1).clamp(min=1e-20).log()
        noise = gumbel(mask_uniform[step][unknown].view(rows, -1))
        confidence = confidence + noise_scale(settings.temperature, step, settings.steps) * noise
        prediction = tokens.clone()
        prediction[unknown] = ids.flatten()
        predictions.append(prediction)
        hidden_again = torch.full((rows, token_count), torch.inf)
        hidden_again[unknown] = confidence.flatten()
        lowest = hidden_again.argsort(dim=-1, stable=True)[:, :kept_masked]
        tokens = prediction.scatter(1, lowest, config.codebook_size)
    return torch.stack(predictions)


def _unknown_logits(generator: Generator, tokens: Tensor, unknown: Tensor, prefix_kv: Tensor, row_prompt: Tensor) -> Tensor:
    """Logits float32 [R, unknown, C] at the unknown positions only; the output layer is most of the cost."""
    states = generator.hidden(tokens, prefix_kv, row_prompt)
    return generator.logits(states[unknown]).float().view(len(tokens), -1, generator.config.codebook_size)


def random_uniforms(seed: int, settings: SamplingSettings, rows: int, token_count: int) -> tuple[Tensor, Tensor]:
    """Uniforms for `sample`, float32 [steps, rows, token_count] each, a function of the seed only.

    Each step has a stream of its own, so that runs of different step counts begin with the same numbers.
    """
    shape = (2, rows, token_count)
    drawn = [np.random.default_rng((seed, step)).random(shape, dtype=np.float32) for step in range(settings.steps)]
    both = torch.from_numpy(np.stack(drawn, axis=1))
    return both[0], both[1]
