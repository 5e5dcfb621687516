"""Sampling with the exported step graph: what the engine does, for golden vectors and for checking the export."""

from dataclasses import dataclass

import numpy as np
import torch

from training.export.graphs.runtime import GraphSession
from training.sampling.mask_predict import SamplingSettings, gumbel, mask_again, masked_after, noise_scale


@dataclass(frozen=True)
class Trajectory:
    """R rows over all steps, corrections included.

    Attributes:
        tokens: int64 [steps, R, N], tokens before each step; the codebook size where masked.
        predictions: int64 [steps, R, N], the complete prediction after each step; the last is the result.
        coherence: float32 [steps, R], mean over the places of the log-probability of the code that stands there after each step,
            nats: how likely the generator finds its own picture.
    """

    tokens: np.ndarray
    predictions: np.ndarray
    coherence: np.ndarray


def sample_trajectory(
    session: GraphSession,
    prefix_kv: np.ndarray,
    row_prompt: np.ndarray,
    token_uniform: np.ndarray,
    mask_uniform: np.ndarray,
    settings: SamplingSettings,
    codebook_size: int,
) -> Trajectory:
    """Samples with `step.onnx`; arguments as `training.sampling.mask_predict.sample`, prompt 0 of prefix_kv is unconditional."""
    rows, count = token_uniform.shape[1:]
    tokens = np.full((rows, count), codebook_size, dtype=np.int64)
    guidance = np.full(rows, settings.guidance, dtype=np.float32)
    before, predictions, coherence = [], [], []
    for step, kept_masked in enumerate(masked_after(count, settings)):
        before.append(tokens)
        output = session.run(
            {
                "tokens": tokens, "prefix_kv": prefix_kv, "row_prompt": row_prompt, "guidance": guidance,
                "uniform": token_uniform[step],
            }
        )  # fmt: skip
        unknown = tokens == codebook_size
        score = np.log(np.maximum(output["prob"], 1e-20))
        predictions.append(output["ids"])
        coherence.append(score.mean(1))
        noise = gumbel(torch.from_numpy(mask_uniform[step])) * noise_scale(settings.temperature, step, settings.steps)
        compared = (torch.from_numpy(score), noise, torch.from_numpy(unknown))
        lowest = mask_again(*compared, kept_masked, settings.competes(step)).numpy()
        tokens = output["ids"].copy()
        np.put_along_axis(tokens, lowest, codebook_size, axis=1)
    return Trajectory(np.stack(before), np.stack(predictions), np.stack(coherence))
