"""Mask-predict sampling in PyTorch: the twin of the engine's sampler, batched over rows.

Nothing here draws random numbers: the caller passes uniforms, so equal uniforms give equal pictures in any batch.
Source: MaskGIT, arXiv 2202.04200; guidance and schedule as in Show-o `models/modeling_showo.py` and `models/sampling.py`,
but with a temperature that depends on the step only (there it compounds from step to step).
"""

import math
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
        corrections: steps after these, at least 0, each of which draws anew the tokens that are least likely given all others.
        correction_share: share of the tokens, 0..1, that the first of them draws; it falls linearly from there.
        throughout: whether known tokens compete with new ones for being masked during the first steps already.
    """

    steps: int = 12
    guidance: float = 1.0
    temperature: float = 1.0
    code_temperature: float = 1.0
    corrections: int = 0
    correction_share: float = 0.2
    throughout: bool = False

    def __post_init__(self) -> None:
        if self.code_temperature <= 0:
            raise ValueError(f"code_temperature is {self.code_temperature}; it must be above 0")
        if self.corrections < 0:
            raise ValueError(f"corrections is {self.corrections}; it must be at least 0")
        if not 0 <= self.correction_share <= 1:
            raise ValueError(f"correction_share is {self.correction_share}; it must be from 0 to 1")

    @classmethod
    def of_bundle(cls, settings: dict) -> "SamplingSettings":
        """The defaults that a bundle is served with; `settings` is the content of `configs/bundle.toml`.

        Raises:
            ValueError: its known tokens are scored otherwise than here, which is for generators that others have trained.
        """
        generator = settings["generator"]
        corrections = generator["corrections"]
        if corrections["scoring"] != "shown":
            raise ValueError(f"corrections.scoring is {corrections['scoring']!r}; a generator trained here has 'shown'")
        return cls(
            **generator["defaults"], code_temperature=generator["code_temperature"],
            corrections=corrections["steps"], correction_share=corrections["share"], throughout=corrections["throughout"],
        )  # fmt: skip

    @property
    def all_steps(self) -> int:
        """Steps of a whole path."""
        return self.steps + self.corrections

    def competes(self, step: int) -> bool:
        """Whether known tokens may be masked again after a step, 0..all_steps-1."""
        return self.throughout or step >= self.steps - 1


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


def masked_after(token_count: int, settings: SamplingSettings) -> list[int]:
    """Tokens masked after each of all steps, the last of which draws a complete picture: what it leaves masked is never read.

    The first steps have `mask_counts`. The corrections begin with their share of the tokens, and with fewer each time, at least
    one and never all. Halves are rounded up, as in the engine; Python's own rounding takes the even neighbour.
    """
    counts = mask_counts(token_count, settings.steps)
    if not settings.corrections:
        return counts
    wanted = token_count * settings.correction_share
    again = [math.floor(wanted * (1 - index / settings.corrections) + 0.5) for index in range(settings.corrections)]
    return [*counts[:-1], *(min(token_count - 1, max(1, count)) for count in again), 0]


def noise_scale(temperature: float, step: int, steps: int) -> float:
    """Scale of the Gumbel noise at a step: tau0 (1 - (s+1)/T), 0 at the last of the first steps and after it."""
    return temperature * max(0.0, 1 - (step + 1) / steps)


def mask_again(score: Tensor, noise: Tensor, unknown: Tensor, count: int, competes: bool) -> Tensor:
    """Places to mask after a step: the `count` lowest of score plus noise, of equals the lower place; on any device.

    Args:
        score: float32 [R, N], log-probability of the code that stands in each place, nats.
        noise: float32 [R, N], added where a code was drawn in this step.
        unknown: bool [R, N], where one was drawn.
        count: 0..N-1; where known tokens do not compete, no more than are unknown.
        competes: whether tokens that were known before the step may be masked.

    Returns:
        int64 [R, count].

    Source: MaskGIT, arXiv 2202.04200; with competing tokens Token-Critic, arXiv 2209.04439, and ReMDM, arXiv 2503.00307.
    """
    known = score if competes else torch.full_like(score, torch.inf)
    return torch.where(unknown, score + noise, known).argsort(dim=1, stable=True)[:, :count]


def gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel noise of uniforms in 0..1; both logarithms are clamped at 1e-20 as in the reference."""
    return -torch.log((-torch.log(uniform.clamp(min=1e-20))).clamp(min=1e-20))


@dataclass(frozen=True)
class Sampled:
    """R rows over all steps, corrections included.

    Attributes:
        tokens: int64 [all steps, R, N], the tokens before each step; the codebook size where masked.
        predictions: int64 [all steps, R, N], the complete prediction of the picture (x0) after each step; the last is the result.
        coherence: float32 [all steps, R], nats, at most 0: how likely the generator finds its own picture, as the mean over the
            places of the log-probability of the code that stands there after the step.
    """

    tokens: Tensor
    predictions: Tensor
    coherence: Tensor


@torch.no_grad()
def sample(
    generator: Generator,
    prompt_ids: Tensor,
    unconditional_ids: Tensor,
    row_prompt: Tensor,
    token_uniform: Tensor,
    mask_uniform: Tensor,
    settings: SamplingSettings,
    last_step: int | None = None,
) -> Sampled:
    """Samples one picture per row and keeps every step's full prediction.

    Args:
        generator: in evaluation mode, on the device of all tensors.
        prompt_ids: int64 [P, L], the distinct prompts.
        unconditional_ids: int64 [L], the prompt of no words.
        row_prompt: int64 [R], the prompt of each row.
        token_uniform: float [all steps, R, N], 0..1, picks each position's code by inverse CDF.
        mask_uniform: float [all steps, R, N], 0..1, noise on the confidence.
        settings: how to sample.
        last_step: steps after which to stop, with the pictures unfinished; all of them for None.
    """
    config = generator.config
    rows, token_count = len(row_prompt), config.image_tokens
    prefix_kv = generator.prefix(torch.cat([prompt_ids, unconditional_ids[None]]))
    unconditional = torch.full_like(row_prompt, len(prompt_ids))
    tokens = torch.full((rows, token_count), config.codebook_size, device=row_prompt.device)
    before, predictions, coherence = [], [], []
    for step, count in enumerate(masked_after(token_count, settings)[:last_step]):
        before.append(tokens)
        unknown = tokens == config.codebook_size
        logits = generator.image_logits(tokens, prefix_kv, row_prompt).float()
        if settings.guidance:
            free = generator.image_logits(tokens, prefix_kv, unconditional).float()
            logits = (1 + settings.guidance) * logits - settings.guidance * free
        probability = (logits / settings.code_temperature).softmax(-1)  # (R, N, C)
        drawn = torch.searchsorted(probability.cumsum(-1), token_uniform[step][..., None]).clamp(max=config.codebook_size - 1)
        prediction = torch.where(unknown, drawn[..., 0], tokens)
        score = probability.gather(-1, prediction[..., None])[..., 0].clamp(min=1e-20).log()
        noise = gumbel(mask_uniform[step]) * noise_scale(settings.temperature, step, settings.steps)
        again = mask_again(score, noise, unknown, count, settings.competes(step))
        predictions.append(prediction)
        coherence.append(score.mean(1))
        tokens = prediction.scatter(1, again, config.codebook_size)
    return Sampled(torch.stack(before), torch.stack(predictions), torch.stack(coherence))


def random_uniforms(
    seed: int | tuple[int, ...], settings: SamplingSettings, rows: int, token_count: int
) -> tuple[Tensor, Tensor]:
    """Uniforms for `sample`, float32 [all steps, rows, token_count] each, a function of the seed or seeds only.

    Each step has a stream of its own, so that runs of different step counts begin with the same numbers.
    """
    shape = (2, rows, token_count)
    parts = seed if isinstance(seed, tuple) else (seed,)
    drawn = [np.random.default_rng((*parts, step)).random(shape, dtype=np.float32) for step in range(settings.all_steps)]
    both = torch.from_numpy(np.stack(drawn, axis=1))
    return both[0], both[1]
