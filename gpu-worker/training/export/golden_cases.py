"""Which golden vectors a bundle carries: every graph against PyTorch, and one whole trajectory."""

import numpy as np
import torch

from training.export.bundle_models import BundleModels, CalibratedVerifier
from training.export.golden import GoldenVectors, Tolerance
from training.export.graphs.runtime import GraphSession
from training.models.verifier import TASKS
from training.sampling.graph_sampling import sample_trajectory
from training.sampling.mask_predict import SamplingSettings, random_uniforms
from training.world.tokenizer import encode_prompts

# Float32 sums in another order; graphs without integer layers against PyTorch.
_ROUNDING = Tolerance(absolute=2e-3)
# The same graph on another CPU: sums in another order round an activation that lies half way to the other integer, and layers
# carry that on. Seen between AVX-512 and AVX2: 1.6% of the probabilities moved by more than 0.02, 0.8% of the ids changed.
_OTHER_CPU = Tolerance(absolute=0.05, mismatch=0.05)
_OTHER_CPU_IDS = Tolerance(absolute=0, mismatch=0.05)
# One diverging token changes what later steps see, so a trajectory may drift where CPUs round differently.
_TRAJECTORY_IDS = Tolerance(absolute=0, mismatch=0.25)
# Weights stored in eight bits, in grey levels and in probability: few pixels move by more than one level.
_PIXELS = Tolerance(absolute=2, mismatch=0.005)
_VERDICTS = Tolerance(absolute=0.04)
# Eight-bit activations and seven-bit weights against float32, on keys that are normalised to about 1.
_INT8_KEYS_VALUES = Tolerance(absolute=0.3, mismatch=0.02)
_SEED = 96


def add_golden_cases(golden: GoldenVectors, sessions: dict[str, GraphSession], models: BundleModels, settings: dict) -> None:
    """Fills `golden` with the bundle's cases.

    Args:
        golden: collects them.
        sessions: every graph of the bundle by file name.
        models: the PyTorch models behind the graphs.
        settings: content of `configs/bundle.toml`.
    """
    config = models.generator.config
    sampling = SamplingSettings.of_bundle(settings)
    prompts = ["", *settings["prompt"]["examples"][:2]]
    prompt_ids = encode_prompts(models.tokenizer, prompts, config.max_prompt_tokens)
    row_prompt = np.array([1, 2], dtype=np.int64)

    with torch.inference_mode():
        expected = models.generator.prefix(torch.from_numpy(prompt_ids[1:2])).numpy()
    inputs = {"prompt_ids": prompt_ids[1:2]}
    golden.add(
        "keys and values of a prompt", "prefix.onnx", "pytorch", inputs, {"prefix_kv": expected},
        {"prefix_kv": _INT8_KEYS_VALUES},
    )  # fmt: skip

    prefix_kv = sessions["prefix.onnx"].run({"prompt_ids": prompt_ids})["prefix_kv"]
    token_uniform, mask_uniform = (
        uniform.numpy() for uniform in random_uniforms(_SEED, sampling, len(row_prompt), config.image_tokens)
    )
    trajectory = sample_trajectory(
        sessions["step.onnx"], prefix_kv, row_prompt, token_uniform, mask_uniform, sampling, config.codebook_size
    )
    _add_step(golden, sessions["step.onnx"], trajectory.tokens, prefix_kv[:, :, :2], token_uniform, sampling)
    golden.add(
        "two whole trajectories: tokens before each step and the complete prediction after it", "step.onnx",
        "onnxruntime",
        {
            "prompt_ids": prompt_ids, "row_prompt": row_prompt, "token_uniform": token_uniform,
            "mask_uniform": mask_uniform,
        },
        {"tokens": trajectory.tokens, "ids": trajectory.predictions},
        {"tokens": _TRAJECTORY_IDS, "ids": _TRAJECTORY_IDS},
    )  # fmt: skip

    final = torch.from_numpy(trajectory.predictions[-1])
    with torch.inference_mode():
        images = models.quantizer.decode(final)
        seen = models.detector.detect(images)
        faults = models.faults.find(images)
    golden.add(
        "the trajectories' pictures", "decode.onnx", "pytorch", {"ids": final.numpy()}, {"image": images.numpy()},
        {"image": _PIXELS},
    )  # fmt: skip
    for name, verifier in models.verifiers.items():
        _add_verdicts(golden, name, verifier, images, prompt_ids[row_prompt])
    # Peaks of nearly equal height may swap places: only their heights are compared one by one.
    golden.add(
        "objects and faults in the pictures", "detector.onnx", "pytorch", {"image": images.numpy()},
        {"scores": seen.scores.numpy(), "faults": faults.numpy()}, {"scores": _ROUNDING, "faults": _ROUNDING},
    )  # fmt: skip


def _add_verdicts(
    golden: GoldenVectors, name: str, verifier: CalibratedVerifier, images: torch.Tensor, prompt_ids: np.ndarray
) -> None:
    """A verifier's answers about pictures and their prompts, 1 where it is not asked."""
    with torch.inference_mode():
        yes = verifier.model(images, torch.from_numpy(prompt_ids)).numpy()
    yes[:, [task not in verifier.calibration.tasks for task in TASKS]] = 1
    golden.add(
        f"verdicts of {name} on the pictures", f"{name}.onnx", "pytorch",
        {"image": images.numpy(), "prompt_ids": prompt_ids}, {"yes": yes}, {"yes": _VERDICTS},
    )  # fmt: skip


def _add_step(
    golden: GoldenVectors,
    session: GraphSession,
    tokens: np.ndarray,
    prefix_kv: np.ndarray,
    token_uniform: np.ndarray,
    sampling: SamplingSettings,
) -> None:
    """One step half way, where known and masked tokens mix; rows differ in prompt and guidance."""
    middle = len(tokens) // 2
    inputs = {
        "tokens": tokens[middle],
        "prefix_kv": np.ascontiguousarray(prefix_kv),
        "row_prompt": np.array([1, 0], dtype=np.int64),
        "guidance": np.array([sampling.guidance, 0.0], dtype=np.float32),
        "uniform": token_uniform[middle],
    }
    golden.add(
        "one step half way through", "step.onnx", "onnxruntime", inputs, session.run(inputs),
        {"ids": _OTHER_CPU_IDS, "prob": _OTHER_CPU},
    )  # fmt: skip
