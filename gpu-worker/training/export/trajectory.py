"""Sampling with the exported step graph: what the engine does, for golden vectors and for checking the export."""

from dataclasses import dataclass

import numpy as np
import torch

from training.export.runtime import GraphSession
from training.sampling import SamplingSettings, gumbel, mask_counts, noise_scale


@dataclass(frozen=True)
class Trajectory:
    """R rows over all steps.

    Attributes:
        tokens: int64 [steps, R, N], tokens before each step; the codebook size where masked.
        predictions: int64 [steps, R, N], the complete prediction after each step; the last is the result.
    """

    tokens: np.ndarray
    predictions: np.ndarray


def sample_trajectory(
    session: GraphSession,
    prefix_kv: np.ndarray,
    row_prompt: np.ndarray,
    token_uniform: np.ndarray,
    mask_uniform: np.ndarray,
    settings: SamplingSettings,
    codebook_size: int,
) -> Trajectory:
    """Samples with `step.onnx`; arguments as `training.sampling.sample`, prompt 0 of prefix_kv is unconditional."""
    rows, count = token_uniform.shape[1:]
    tokens = np.full((rows, count), codebook_size, dtype=np.int64)
    guidance = np.full(rows, settings.guidance, dtype=np.float32)
    before, predictions = [], []
    for step, kept_masked in enumerate(mask_counts(count, settings.steps)):
        before.append(tokens)
        output = session.run(
            {
                "tokens": tokens, "prefix_kv": prefix_kv, "row_prompt": row_prompt, "guidance": guidance,
                "uniform": token_uniform[step],
            }
        )  # fmt: skip
        unknown = tokens == codebook_size
        prediction = np.where(unknown, output["ids"], tokens)
        predictions.append(prediction)
        noise = gumbel(torch.from_numpy(mask_uniform[step])).numpy()
        confidence = np.log(np.maximum(output["prob"], 1e-20)) + noise_scale(settings.temperature, step, settings.steps) * noise
        confidence = np.where(unknown, confidence, np.inf)
        lowest = np.argsort(confidence, axis=1, kind="stable")[:, :kept_masked]
        tokens = prediction.copy()
        np.put_along_axis(tokens, lowest, codebook_size, axis=1)
    return Trajectory(np.stack(before), np.stack(predictions))
