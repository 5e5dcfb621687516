"""Finds the quantiser's codes: weighted k-means over the patches of all drawings.

    python -m training.stages.codebook

Less than a minute. Leaves `codebook.pt` and `log.jsonl` in the run's folder: a quantiser whose decoder is untrained
and shows each code's mean patch, for `training.stages.train_quantizer` to begin from.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.data.drawing_patches import drawing_patches
from training.folders import CONFIGS, RUNS
from training.loop.checkpoint import save_weights
from training.loop.config_file import read_settings
from training.loop.run_log import RunLog
from training.models.quantizer import Quantizer, QuantizerConfig, nearest
from training.world.config import WorldConfig
from training.world.recolor import palette
from training.world.world import World

_POINTS = 2048  # compared with all centroids at once


@dataclass(frozen=True)
class CodebookSettings:
    """Rounds of k-means, and the seed of its first centroids."""

    rounds: int = 20
    seed: int = 1


def weighted_kmeans(points: Tensor, weights: Tensor, count: int, settings: CodebookSettings, log: RunLog | None = None) -> Tensor:
    """Lloyd's algorithm; a centroid that loses all its points moves to one of the worst served.

    Args:
        points: float [M, D], M at least `count`.
        weights: float [M], above 0.
        count: number of centroids.
        settings: rounds and seed.
        log: gets the root of the weighted mean squared distance before each round.

    Returns:
        float [count, D].

    Source: Lloyd (1982); first centroids by weight times squared distance from the mean.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    chances = weights * points.square().sum(1).clamp(min=1e-3)
    centroids = points[torch.multinomial(chances, count, generator=generator)].clone()
    for round_number in range(settings.rounds):
        squares = centroids.square().sum(1)
        found = [(squares - 2 * part @ centroids.T).min(1) for part in points.split(_POINTS)]
        nearest = torch.cat([part.indices for part in found])
        distance = (torch.cat([part.values for part in found]) + points.square().sum(1)).clamp(min=0)
        if log is not None:
            log.write(round=round_number, error=round(((weights * distance).sum() / weights.sum()).sqrt().item(), 5))
        total = torch.zeros(count).index_add_(0, nearest, weights)
        moved = torch.zeros_like(centroids).index_add_(0, nearest, points * weights[:, None])
        centroids = torch.where(total[:, None] > 0, moved / total.clamp(min=1e-9)[:, None], centroids)
        empty = (total == 0).nonzero().flatten()
        centroids[empty] = points[torch.topk(weights * distance, len(empty)).indices]
    return centroids


def find_codebook(world: World, config: QuantizerConfig, settings: CodebookSettings, log: RunLog | None = None) -> Quantizer:
    """A quantiser with codes and an untrained decoder.

    Distance is that of pixels averaged over the backgrounds, and for tones over the colours as well.
    """
    torch.manual_seed(settings.seed)
    quantizer = Quantizer(config)
    quantizer.set_palette(torch.from_numpy(palette()))
    drawn = drawing_patches(world, config.patch)
    kinds = (
        (quantizer.own_features(drawn.own), drawn.own, drawn.own_weights, config.own_codes),
        (quantizer.tone_features(drawn.tones), drawn.tones, drawn.tone_weights, config.tones),
    )
    codes = []
    for features, patches, weights, count in kinds:
        centroids = weighted_kmeans(features, weights, count, settings, log)
        codes.append(_means(patches.flatten(1), weights, nearest(features, centroids), count))
    patches = torch.cat(codes)  # (A + S, 4*patch^2)
    mean = patches.mean(0)
    directions = torch.linalg.eigh((patches - mean).T @ (patches - mean)).eigenvectors.flip(1)[:, : config.components]
    quantizer.set_codebook((patches - mean) @ directions, basis=directions.T.contiguous(), mean_patch=mean)
    return quantizer


def _means(points: Tensor, weights: Tensor, group: Tensor, count: int) -> Tensor:
    """Weighted mean of the points float [M, D] of each group int64 [M], 0..count-1: float [count, D]."""
    total = torch.zeros(count).index_add_(0, group, weights)
    return torch.zeros(count, points.shape[1]).index_add_(0, group, points * weights[:, None]) / total[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIGS / "quantizer.toml")
    parser.add_argument("--world", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--run", type=Path, default=RUNS / "codebook")
    arguments = parser.parse_args()
    world = World(WorldConfig.from_toml(arguments.world))
    config = read_settings(arguments.config, QuantizerConfig, "quantizer", tints=world.config.backgrounds)
    settings = read_settings(arguments.config, CodebookSettings, "codebook")
    arguments.run.mkdir(parents=True, exist_ok=True)
    quantizer = find_codebook(world, config, settings, RunLog(arguments.run / "log.jsonl"))
    save_weights(arguments.run / "codebook.pt", quantizer)
    print(json.dumps({"weights": str(arguments.run / "codebook.pt")}))


if __name__ == "__main__":
    main()
