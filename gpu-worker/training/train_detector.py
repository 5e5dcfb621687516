"""Trains the detector on ground-truth scenes: `python -m training.train_detector --minutes 50`.

It sees composed scenes, damaged and (with --quantizer) encoded and decoded, but never a picture of the generator.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.averaged_weights import AveragedWeights
from training.budget import Budget, rate_scale
from training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from training.degradations import degrade, shuffle_patches
from training.detector_data import DetectorTargets, detector_worlds, images_of, sample_scenes, targets_of
from training.evaluate_detector import evaluate_detector
from training.models.detector import Detector, DetectorConfig, DetectorMaps
from training.muon import build_optimizers, set_learning_rate
from training.precision import mixed_precision
from training.reconstruction import load_reconstruction
from training.run_log import RunLog
from training.world.classes import CLASSES, COLORS
from training.world.config import WorldConfig

_TRAINING_DIRECTORY = Path(__file__).parent
_BATCH = 64
# Pictures of nothing at the end of each batch, so that half-made pictures do not read as objects.
_EMPTY = 6
_CHECKPOINT_SECONDS = 150
_LOG_STEPS = 50


def detection_loss(maps: DetectorMaps, targets: DetectorTargets) -> tuple[Tensor, dict[str, float]]:
    """Focal loss on centres, L1 on box extents, cross-entropy on colours.

    Args:
        maps: the detector's raw outputs.
        targets: what they should be.

    Returns:
        The summed loss, and its three parts for the log.

    Source: CenterNet (arXiv 1904.07850), equations 1 and 2, alpha 2 and beta 4.
    """
    object_count = max(float((targets.heat == 1).sum()), 1.0)
    probability = maps.heat.sigmoid().clamp(1e-5, 1 - 1e-5)
    is_center = targets.heat == 1
    hit = -((1 - probability) ** 2) * probability.log()
    miss = -((1 - targets.heat) ** 4) * probability**2 * (1 - probability).log()
    heat = torch.where(is_center, hit, miss).sum() / object_count
    distance = (maps.extents - targets.extents).abs().sum(1)  # (B, G, G)
    extents = (distance * targets.readable).sum() / targets.readable.sum().clamp(min=1.0)
    colors = F.cross_entropy(maps.colors, targets.colors, ignore_index=-1, reduction="none")
    colored = targets.readable * (targets.colors >= 0)
    color = (colors * colored).sum() / colored.sum().clamp(min=1.0)
    loss = heat + 0.3 * extents + 0.5 * color
    return loss, {name: round(part.item(), 4) for name, part in (("heat", heat), ("extents", extents), ("color", color))}


def make_batch(worlds: list, config: DetectorConfig, seed: int, step: int, reconstruct) -> tuple[Tensor, DetectorTargets]:
    """Returns uint8 images [B, H, W, 3] and targets; a function of seed and step only, so that a run can resume.

    Args:
        reconstruct: maps uint8 images to what a quantiser makes of them, or None.
    """
    rng = np.random.default_rng((seed, step))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    scenes = sample_scenes(worlds, rng, _BATCH - _EMPTY)
    targets = targets_of(scenes, config)
    clean = images_of(scenes)
    empty = shuffle_patches(clean[:_EMPTY], generator)
    if reconstruct is not None:
        clean[::2], empty = reconstruct(clean[::2]), reconstruct(empty)
    images = torch.cat([degrade(clean, generator), empty])
    return images, DetectorTargets(
        F.pad(targets.heat, (0, 0, 0, 0, 0, 0, 0, _EMPTY)),
        F.pad(targets.extents, (0, 0, 0, 0, 0, 0, 0, _EMPTY)),
        F.pad(targets.readable, (0, 0, 0, 0, 0, _EMPTY)),
        F.pad(targets.colors, (0, 0, 0, 0, 0, _EMPTY), value=-1),
    )


def is_kernel(name: str, weight: Tensor) -> bool:
    """The trunk's convolutions but the first, whose 3 input channels leave nothing to orthogonalise."""
    return weight.ndim == 4 and name.startswith("trunk") and weight.shape[1] > 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=_TRAINING_DIRECTORY / "configs/emoji-96.toml")
    parser.add_argument("--minutes", type=float, default=50.0, help="training time, all resumed parts together")
    parser.add_argument("--muon-lr", type=float, default=0.02, help="learning rate of the convolution kernels")
    parser.add_argument("--adam-lr", type=float, default=2e-3, help="learning rate of norms and heads")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run", type=Path, default=_TRAINING_DIRECTORY / "runs/detector")
    parser.add_argument("--resume", action="store_true", help="continue the run's checkpoint")
    parser.add_argument("--start", type=Path, help="weights to start a new run from")
    parser.add_argument("--quantizer", type=Path, help="quantiser weights: half of each batch is encoded and decoded")
    parser.add_argument("--weights", type=Path, default=_TRAINING_DIRECTORY / "weights/detector.pt")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    base = WorldConfig.from_toml(arguments.config)
    worlds = detector_worlds(base)
    reconstruct = load_reconstruction(arguments.quantizer)
    config = DetectorConfig(image_size=base.image_size, class_count=len(CLASSES), color_count=len(COLORS))
    model = Detector(config).to(memory_format=torch.channels_last)
    if arguments.start is not None:
        model.load_state_dict(load_weights(arguments.start, Detector, DetectorConfig).state_dict())
    average = AveragedWeights(model)
    optimizers = build_optimizers(model, arguments.muon_lr, arguments.adam_lr, is_kernel)
    checkpoint_path = arguments.run / "checkpoint.pt"
    step, spent_seconds = 0, 0.0
    if arguments.resume:
        checkpoint = load_checkpoint(checkpoint_path)
        model.load_state_dict(checkpoint["model"])
        average.restore(checkpoint["average"])
        for optimizer, state in zip(optimizers, checkpoint["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        step, spent_seconds = checkpoint["step"], checkpoint["spent_seconds"]

    arguments.run.mkdir(parents=True, exist_ok=True)
    log = RunLog(arguments.run / "log.jsonl")
    budget = Budget(minutes=arguments.minutes, spent_seconds=spent_seconds)
    saved_at = time.monotonic()

    def save() -> None:
        content = {
            "model": model.state_dict(), "average": average.checkpoint(), "step": step,
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "spent_seconds": budget.elapsed_seconds(),
        }  # fmt: skip
        save_checkpoint(checkpoint_path, content)
        save_weights(arguments.weights, model, average.state)

    while (progress := budget.progress(step)) < 1:
        images, targets = make_batch(worlds, config, arguments.seed, step, reconstruct)
        set_learning_rate(optimizers, rate_scale(progress))
        with mixed_precision():
            maps = model(images)
        loss, parts = detection_loss(maps, targets)
        model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        average.update(model)
        step += 1
        if step % _LOG_STEPS == 0:
            minutes = round(budget.elapsed_seconds() / 60, 2)
            log.write(step=step, minutes=minutes, loss=round(loss.item(), 4), **parts)
        if time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
            save()
            saved_at = time.monotonic()
    save()
    model.load_state_dict(average.state)
    model.eval()
    print(json.dumps(evaluate_detector(model, base, reconstruct=reconstruct)))


if __name__ == "__main__":
    main()
