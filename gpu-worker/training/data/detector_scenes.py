"""The scenes that a detector learns from: the generator's world, widened."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.folders import CONFIGS
from training.loop.config_file import read_settings
from training.world.config import WorldConfig
from training.world.scene import Scene
from training.world.world import World


@dataclass(frozen=True)
class DetectorScenes:
    """How training scenes widen the generator's world: the `[scenes]` table of configs/detector.toml.

    Attributes:
        sets: emoji sets whose drawings are used.
        object_sizes: one world each; as `WorldConfig.object_sizes`.
        lattice, free_color_rate, task_weights: as in `WorldConfig`.
    """

    sets: tuple[str, ...]
    object_sizes: tuple[tuple[int, ...], ...]
    lattice: int
    free_color_rate: float
    task_weights: tuple[float, ...]


def detector_worlds(base: WorldConfig, config: Path = CONFIGS / "detector.toml") -> list[World]:
    """The generator's world, widened as the config's `[scenes]` table says."""
    scenes = read_settings(config, DetectorScenes, "scenes")
    wide = replace(
        base, sets=scenes.sets, fallback_sets=(), lattice=scenes.lattice,
        free_color_rate=scenes.free_color_rate, task_weights=scenes.task_weights,
    )  # fmt: skip
    return [World(replace(wide, object_sizes=sizes)) for sizes in scenes.object_sizes]


def sample_scenes(worlds: list[World], rng: np.random.Generator, count: int) -> list[Scene]:
    """Composes scenes of all tasks, each from a world drawn at random."""
    scenes = []
    while len(scenes) < count:
        world = worlds[int(rng.integers(len(worlds)))]
        try:
            scenes.append(world.compose(rng, world.sample_spec(rng)))
        except ValueError:
            # Four large cells may find no room on a coarse lattice: draw another scene.
            continue
    return scenes


def images_of(scenes: list[Scene]) -> Tensor:
    """uint8 [B, H, W, 3]."""
    return torch.from_numpy(np.stack([scene.image for scene in scenes]))
