"""Measures the detector on held-out ground truth: `python -m training.evaluate_detector`."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.checkpoint import load_weights
from training.detector_data import images_of
from training.geneval_rules import DetectionThresholds, is_correct, objects_of
from training.models.detector import Detector, DetectorConfig
from training.reconstruction import load_reconstruction
from training.spec_challenges import challenge
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.spec import satisfies
from training.world.world import World

_TRAINING_DIRECTORY = Path(__file__).parent
# Never used as a training seed.
_SEED = 990_001
_BATCH = 64


@torch.inference_mode()
def evaluate_detector(
    model: Detector,
    base: WorldConfig,
    *,
    scenes_per_task: int = 192,
    thresholds: DetectionThresholds | None = None,
    reconstruct: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, dict[str, float]]:
    """Compares GenEval's verdict from detections with the truth, on scenes that satisfy a spec and on the same scenes
    judged by a spec that differs in one respect.

    Args:
        model: in evaluation mode.
        base: the generator's world; its own drawings, sizes and lattice.
        scenes_per_task: scenes for each of the six tasks.
        thresholds: None for GenEval's defaults.
        reconstruct: maps uint8 images to the pictures the detector is shown, such as a quantiser's round trip.

    Returns:
        For each task, and for "all": `accepted` (share of right pictures called right), `refused` (share of wrong
        pictures called wrong), 0..1.
    """
    thresholds = thresholds or DetectionThresholds()
    rng = np.random.default_rng(_SEED)
    world = World(base)
    report = {}
    for task in TASKS:
        specs = [world.sample_spec(rng, task) for _ in range(scenes_per_task)]
        scenes = [world.compose(rng, spec) for spec in specs]
        images = images_of(scenes)
        if reconstruct is not None:
            images = torch.cat([reconstruct(part) for part in images.split(_BATCH)])
        seen = [objects for part in images.split(_BATCH) for objects in objects_of(model.detect(part))]
        accepted = [is_correct(objects, spec, thresholds) for objects, spec in zip(seen, specs, strict=True)]
        others = [challenge(rng, spec) for spec in specs]
        refused = [
            not is_correct(objects, other, thresholds)
            for objects, other, scene in zip(seen, others, scenes, strict=True)
            if not satisfies(scene.objects, other)
        ]
        report[task] = {"accepted": float(np.mean(accepted)), "refused": float(np.mean(refused))}
    report["all"] = {key: float(np.mean([report[task][key] for task in TASKS])) for key in ("accepted", "refused")}
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=_TRAINING_DIRECTORY / "configs/emoji-96.toml")
    parser.add_argument("--weights", type=Path, default=_TRAINING_DIRECTORY / "weights/detector.pt")
    parser.add_argument("--quantizer", type=Path, help="show the detector this quantiser's reconstructions")
    parser.add_argument("--score", type=float, default=0.3)
    parser.add_argument("--counting", type=float, default=0.9)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    report = evaluate_detector(
        load_weights(arguments.weights, Detector, DetectorConfig),
        WorldConfig.from_toml(arguments.config),
        thresholds=DetectionThresholds(arguments.score, arguments.counting),
        reconstruct=load_reconstruction(arguments.quantizer),
    )
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
