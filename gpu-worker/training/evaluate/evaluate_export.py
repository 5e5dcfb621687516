"""Measures what the export costs in accuracy and takes in space and time: `python -m training.evaluate.evaluate_export`.

Accuracy: the graphs against PyTorch; the step graph's distributions on states of real trajectories, the decoder's pixels
and the verifiers' answers on what these trajectories end in.
Space and time: bytes, and milliseconds of loading and running each graph, which mean something on a quiet machine only;
`--processor-time` is disturbed less. With `--bundle` only these are measured, of the files of an exported bundle.
"""

import argparse
import json
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from training.export.bundle_models import BundleModels, load_models
from training.export.export_bundle import build_graphs, export_bundle
from training.export.graphs.generator_graphs import build_prefix_graph, build_step_graph
from training.export.graphs.runtime import GraphSession
from training.folders import CONFIGS, WEIGHTS
from training.models.verifier import TASKS
from training.sampling.graph_sampling import Trajectory, sample_trajectory
from training.sampling.mask_predict import SamplingSettings, random_uniforms
from training.world.config import WorldConfig
from training.world.tokenizer import encode_prompts
from training.world.world import World

_SEED = 990_002
_TIMED_ROWS = (1, 4, 8)
_LOADS = 5  # of which the shortest counts


def compare_step(models: BundleModels, prompts: Sequence[str], sampling: SamplingSettings) -> tuple[dict, Trajectory]:
    """Compares distributions at all masked positions of every step of one trajectory for each prompt.

    Returns:
        The trajectories, and `total_variation`: mean over positions of half the summed absolute difference, 0..1;
        `top1_agreement`: share of positions with the same most probable code; `largest_difference`: of one code's probability.
    """
    config, rows = models.generator.config, len(prompts)
    prompt_ids = encode_prompts(models.tokenizer, ["", *prompts], config.max_prompt_tokens)
    row_prompt = np.arange(1, rows + 1)
    session = GraphSession(
        build_step_graph(models.generator, code_temperature=sampling.code_temperature, expose_probability=True)
    )
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
            logits = (1 + sampling.guidance) * conditional - sampling.guidance * free
            exact = (logits / sampling.code_temperature).softmax(-1).flatten(0, 1).numpy()
        masked = (tokens == config.codebook_size).ravel()
        graph, exact = output["probability"][masked], exact[masked]
        difference = np.abs(graph - exact)
        distances.append(difference.sum(1) / 2)
        hits.append(graph.argmax(1) == exact.argmax(1))
        largest = max(largest, float(difference.max()))
    report = {
        "total_variation": float(np.concatenate(distances).mean()),
        "top1_agreement": float(np.concatenate(hits).mean()),
        "largest_difference": largest,
    }
    return report, trajectory


@torch.inference_mode()
def compare_pictures(models: BundleModels, prompts: Sequence[str], ids: np.ndarray) -> dict[str, dict[str, float]]:
    """Compares what decoder, detector and verifiers make of codes with PyTorch's float32.

    Args:
        models: with every verifier to compare.
        prompts: R prompts; every verifier is asked about each picture under its own.
        ids: int64 [R, N], codes of R pictures.

    Returns:
        `decode`: in grey levels, 0..255; `detector`: of the scores; verifiers by name: of P(yes). Each with the mean and the
        largest absolute difference.
    """
    sessions = {name: GraphSession(graph) for name, graph in build_graphs(models).items()}
    images = models.quantizer.decode(torch.from_numpy(ids))
    prompt_ids = encode_prompts(models.tokenizer, list(prompts), models.generator.config.max_prompt_tokens)
    seen = {"image": images.numpy()}
    pairs = {
        "decode": (sessions["decode.onnx"].run({"ids": ids})["image"], images),
        "detector": (sessions["detector.onnx"].run(seen)["scores"], models.detector.detect(images).scores),
    }
    for name, verifier in models.verifiers.items():
        asked = [task in verifier.calibration.tasks for task in TASKS]
        answers = sessions[f"{name}.onnx"].run({**seen, "prompt_ids": prompt_ids})["yes"]
        pairs[name] = (answers[:, asked], verifier.model(images, torch.from_numpy(prompt_ids))[:, asked])
    differences = {name: np.abs(graph.astype(np.float64) - exact.numpy()) for name, (graph, exact) in pairs.items()}
    return {name: {"mean": float(values.mean()), "largest": float(values.max())} for name, values in differences.items()}


def measure_files(bundle: Path, threads: int, clock: Callable[[], float] = time.perf_counter) -> dict:
    """Bytes of every file of a bundle, and of each graph the milliseconds of loading and of one row at several row counts.

    Args:
        bundle: its folder.
        threads: of every graph.
        clock: seconds; `time.process_time` adds up what all threads took.
    """
    manifest = json.loads((bundle / "manifest.json").read_text())
    times = {}
    for name, inputs in _timing_inputs(bundle, manifest, threads).items():
        loads = []
        for _ in range(_LOADS):
            started = clock()
            session = GraphSession(bundle / name, threads)
            loads.append(clock() - started)
        times[name] = {"load": round(min(loads) * 1e3, 1)}
        for rows, values in zip(_TIMED_ROWS, inputs, strict=True):
            times[name][f"rows {rows}"] = round(session.best_milliseconds(values, clock=clock) / rows, 2)
    sizes = {name: entry["bytes"] for name, entry in manifest["files"].items()}
    return {"bytes": {**sizes, "all": sum(sizes.values())}, "milliseconds, runs per row": times}


def _timing_inputs(bundle: Path, manifest: dict, threads: int) -> dict[str, list[dict[str, np.ndarray]]]:
    """Inputs of every graph by file name, for each of `_TIMED_ROWS`; what they hold does not change the time."""
    generator, prompt = manifest["generator"], manifest["prompt"]
    height, width = generator["imageSize"]
    tokens, rng = generator["grid"][0] * generator["grid"][1], np.random.default_rng(_SEED)
    unconditional = np.array([prompt["unconditional"]], dtype=np.int64)
    prefix_kv = GraphSession(bundle / generator["prefixGraph"], threads).run({"prompt_ids": unconditional})["prefix_kv"]
    inputs: dict[str, list[dict[str, np.ndarray]]] = {}
    for rows in _TIMED_ROWS:
        image = rng.integers(0, 256, (rows, height, width, 3), dtype=np.uint8)
        prompt_ids = unconditional.repeat(rows, axis=0)
        of_graph = {
            generator["prefixGraph"]: {"prompt_ids": prompt_ids},
            generator["stepGraph"]: {
                "tokens": np.full((rows, tokens), generator["codebookSize"]),
                "prefix_kv": prefix_kv,
                "row_prompt": np.zeros(rows, dtype=np.int64),
                "guidance": np.full(rows, 2, dtype=np.float32),
                "uniform": rng.random((rows, tokens), dtype=np.float32),
            },
            generator["decodeGraph"]: {"ids": rng.integers(0, generator["codebookSize"], (rows, tokens))},
            manifest["detector"]["graph"]: {"image": image},
            **{entry["graph"]: {"image": image, "prompt_ids": prompt_ids} for entry in manifest["verifiers"].values()},
        }
        for name, values in of_graph.items():
            inputs.setdefault(name, []).append(values)
    return inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--bundle", type=Path, help="measure the files of this bundle's folder; its accuracy is not compared")
    parser.add_argument("--rows", type=int, default=16, help="trajectories compared")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor-time", action="store_true", help="of all threads together, instead of elapsed time")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.processor_time else time.perf_counter
    if arguments.bundle:
        print(json.dumps(measure_files(arguments.bundle, arguments.threads, clock)))
        return
    settings = tomllib.loads(arguments.settings.read_text())
    models = load_models(arguments.weights, settings["verifiers"]["names"])
    world, rng = World(WorldConfig.from_toml(arguments.config)), np.random.default_rng(_SEED)
    prompts = [world.prompt(rng, world.sample_spec(rng)) for _ in range(arguments.rows)]
    sampling = SamplingSettings.of_bundle(settings)
    step, trajectory = compare_step(models, prompts, sampling)
    with tempfile.TemporaryDirectory() as folder:
        export_bundle(models, settings, Path(folder))
        report = {
            "step against PyTorch": step,
            "others against PyTorch": compare_pictures(models, prompts, trajectory.predictions[-1]),
            **measure_files(Path(folder), arguments.threads, clock),
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
