"""Measures what the export costs in accuracy and takes in time: `python -m training.evaluate_export`.

Accuracy: the step graph's distributions against PyTorch's on states from real trajectories, for GenEval-like prompts.
Time: the shortest of several runs of each graph on two threads; meaningful on a quiet machine only.
"""

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np
import torch

from training.export.bundle_models import BundleModels, load_models
from training.export.generator_graphs import build_prefix_graph, build_step_graph
from training.export.runtime import GraphSession
from training.export.trajectory import sample_trajectory
from training.export_bundle import build_graphs
from training.sampling import SamplingSettings, random_uniforms
from training.tokenizer import encode_prompts
from training.world.config import WorldConfig
from training.world.world import World

_TRAINING_DIRECTORY = Path(__file__).parent
_SEED = 990_002
_TIMED_ROWS = (1, 4, 8)


def compare_step(models: BundleModels, world: World, sampling: SamplingSettings, rows: int) -> dict[str, float]:
    """Compares distributions at all masked positions of every step of `rows` trajectories.

    Returns:
        `total_variation`: mean over positions of half the summed absolute difference, 0..1; `top1_agreement`: share of
        positions with the same most probable code; `largest_difference`: of one code's probability.
    """
    config, rng = models.generator.config, np.random.default_rng(_SEED)
    prompts = ["", *(world.prompt(rng, world.sample_spec(rng)) for _ in range(rows))]
    prompt_ids = encode_prompts(models.tokenizer, prompts, config.max_prompt_tokens)
    row_prompt = np.arange(1, rows + 1)
    session = GraphSession(build_step_graph(models.generator, expose_probability=True))
    prefix_kv = GraphSession(build_prefix_graph(models.generator)).run({"prompt_ids": prompt_ids})["prefix_kv"]
    uniforms = [uniform.numpy() for uniform in random_uniforms(_SEED, sampling, rows, config.image_tokens)]
    trajectory = sample_trajectory(session, prefix_kv, row_prompt, *uniforms, sampling, config.codebook_size)

    with torch.inference_mode():
        exact_prefix = models.generator.prefix(torch.from_numpy(prompt_ids))
    distances, hits, largest = [], [], 0.0
    guidance = np.full(rows, sampling.guidance, dtype=np.float32)
    for tokens, uniform in zip(trajectory.tokens, uniforms[0], strict=True):
        output = session.run(
            {"tokens": tokens, "prefix_kv": prefix_kv, "row_prompt": row_prompt, "guidance": guidance, "uniform": uniform}
        )
        with torch.inference_mode():
            state, prompt = torch.from_numpy(tokens), torch.from_numpy(row_prompt)
            conditional = models.generator.image_logits(state, exact_prefix, prompt)
            free = models.generator.image_logits(state, exact_prefix, torch.zeros_like(prompt))
            exact = ((1 + sampling.guidance) * conditional - sampling.guidance * free).softmax(-1).flatten(0, 1).numpy()
        masked = (tokens == config.codebook_size).ravel()
        graph, exact = output["probability"][masked], exact[masked]
        difference = np.abs(graph - exact)
        distances.append(difference.sum(1) / 2)
        hits.append(graph.argmax(1) == exact.argmax(1))
        largest = max(largest, float(difference.max()))
    return {
        "total_variation": float(np.concatenate(distances).mean()),
        "top1_agreement": float(np.concatenate(hits).mean()),
        "largest_difference": largest,
    }


def time_graphs(models: BundleModels, threads: int) -> dict[str, dict[str, float]]:
    """Milliseconds per row of every graph at several row counts."""
    config, size = models.generator.config, models.quantizer.config.image_size
    sessions = {name: GraphSession(graph, threads) for name, graph in build_graphs(models).items()}
    prompt_ids = encode_prompts(models.tokenizer, ["", "a photo of a red apple"], config.max_prompt_tokens)
    prefix_kv = sessions["prefix.onnx"].run({"prompt_ids": prompt_ids})["prefix_kv"]
    rng = np.random.default_rng(_SEED)
    report: dict[str, dict[str, float]] = {name: {} for name in sessions}
    for rows in _TIMED_ROWS:
        image = rng.integers(0, 256, (rows, size, size, 3), dtype=np.uint8)
        prompts = prompt_ids[np.ones(rows, dtype=np.int64)]
        inputs = {
            "prefix.onnx": {"prompt_ids": prompts},
            "step.onnx": {
                "tokens": np.full((rows, config.image_tokens), config.codebook_size),
                "prefix_kv": prefix_kv,
                "row_prompt": np.ones(rows, dtype=np.int64),
                "guidance": np.full(rows, 2, dtype=np.float32),
                "uniform": rng.random((rows, config.image_tokens), dtype=np.float32),
            },
            "decode.onnx": {"ids": rng.integers(0, config.codebook_size, (rows, config.image_tokens))},
            "parm.onnx": {"image": image, "prompt_ids": prompts},
            "detector.onnx": {"image": image},
        }
        for name, session in sessions.items():
            report[name][f"rows {rows}"] = round(session.best_milliseconds(inputs[name]) / rows, 2)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=_TRAINING_DIRECTORY / "configs/emoji-96.toml")
    parser.add_argument("--settings", type=Path, default=_TRAINING_DIRECTORY / "configs/bundle.toml")
    parser.add_argument("--weights", type=Path, default=_TRAINING_DIRECTORY / "weights")
    parser.add_argument("--rows", type=int, default=16, help="trajectories compared")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    defaults = tomllib.loads(arguments.settings.read_text())["generator"]["defaults"]
    sampling = SamplingSettings(defaults["steps"], defaults["guidance"], defaults["temperature"])
    models = load_models(arguments.weights)
    world = World(WorldConfig.from_toml(arguments.config))
    report = {
        "step against PyTorch": compare_step(models, world, sampling, arguments.rows),
        "milliseconds per row": time_graphs(models, arguments.threads),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
