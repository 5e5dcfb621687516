"""Scores the generator's unselected samples with the detector: `python -m training.evaluate_generator`.

For each task it draws fresh prompts, one picture each, and prints one JSON object of the share that satisfies its spec.
Several values of `--steps`, `--guidance` or `--temperature` are compared on the same prompts and seed.
"""

import argparse
import itertools
import json
import math
from pathlib import Path

import numpy as np
import torch

from training.checkpoint import load_weights
from training.geneval_rules import DetectionThresholds, is_correct, objects_of
from training.models.detector import Detector, DetectorConfig
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.painter import Painter
from training.pictures import save_grid
from training.sampling import SamplingSettings
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.prompts import geneval_prompt
from training.world.spec import Spec
from training.world.world import World

_DIRECTORY = Path(__file__).parent
_SEED = 770_001  # never a training seed
_ROWS = 64  # pictures the detector is shown at once


def judge(detector: Detector, images: torch.Tensor, specs: list[Spec], thresholds: DetectionThresholds) -> list[bool]:
    """GenEval's verdict on each picture: images uint8 [R, H, W, 3] against `specs[r]`."""
    seen = [objects for part in images.split(_ROWS) for objects in objects_of(detector.detect(part))]
    return [is_correct(objects, spec, thresholds) for objects, spec in zip(seen, specs, strict=True)]


def fresh_specs(world: World, tasks: list[str], per_task: int) -> list[Spec]:
    """`per_task` specs of each task, in that order, always the same."""
    rng = np.random.default_rng(_SEED)
    return [world.sample_spec(rng, task) for task in tasks for _ in range(per_task)]


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """95% interval of a share, 0..1, that was measured on `count` trials. Source: Wilson (1927)."""
    z = 1.96
    center = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return center - half, center + half


def main() -> None:
    parser = argparse.ArgumentParser(description="Scores unselected samples of the generator.")
    parser.add_argument("--generator", type=Path, default=_DIRECTORY / "weights/generator.pt")
    parser.add_argument("--quantizer", type=Path, default=_DIRECTORY / "weights/quantizer.pt")
    parser.add_argument("--detector", type=Path, default=_DIRECTORY / "weights/detector.pt")
    parser.add_argument("--world", type=Path, default=_DIRECTORY / "configs/emoji-96.toml")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--per-task", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=[SamplingSettings.steps])
    parser.add_argument("--guidance", type=float, nargs="+", default=[SamplingSettings.guidance])
    parser.add_argument("--temperature", type=float, nargs="+", default=[SamplingSettings.temperature])
    parser.add_argument("--score", type=float, default=0.3, help="detection threshold of every task but counting")
    parser.add_argument("--counting", type=float, default=0.5, help="detection threshold of counting")
    parser.add_argument("--out", type=Path, help="PNG of the last setting's pictures, one row of columns per task")
    args = parser.parse_args()
    painter = Painter(
        load_weights(args.generator, Generator, GeneratorConfig), load_weights(args.quantizer, Quantizer, QuantizerConfig)
    )
    detector = load_weights(args.detector, Detector, DetectorConfig)
    thresholds = DetectionThresholds(args.score, args.counting)
    specs = fresh_specs(World(WorldConfig.from_toml(args.world)), args.tasks, args.per_task)
    prompts = [geneval_prompt(spec) for spec in specs]
    for steps, guidance, temperature in itertools.product(args.steps, args.guidance, args.temperature):
        settings = SamplingSettings(steps, guidance, temperature)
        images = painter.paint(prompts, settings, seed=_SEED)
        correct = np.array(judge(detector, images, specs, thresholds)).reshape(len(args.tasks), args.per_task)
        report = {"steps": steps, "guidance": guidance, "temperature": temperature}
        for task, results in zip(args.tasks, correct, strict=True):
            low, high = wilson_interval(results.mean(), args.per_task)
            report[task] = {"correct": round(results.mean(), 3), "interval95": [round(low, 3), round(high, 3)]}
        report["mean"] = round(correct.mean(), 4)
        print(json.dumps(report), flush=True)
    if args.out:
        captions = [prompt.removeprefix("a photo of ") for prompt in prompts]
        save_grid(args.out, images.numpy(), columns=min(16, args.per_task), captions=captions)


if __name__ == "__main__":
    main()
