"""Endless batches of scenes with the detector's targets on the grid of cells."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.config_file import CONFIGS, read_settings
from training.models.detector import DetectorConfig
from training.world.classes import COLORS
from training.world.config import WorldConfig
from training.world.scene import Scene
from training.world.world import World

# Spread of a centre's Gaussian in cells: neighbours are half wrong, cells two away are wrong.
_CENTER_SPREAD = 0.7
# Box and colour are also learned this far from the centre, in cells, because a peak can fall on a neighbour.
_READABLE_DISTANCE = 1.0


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


@dataclass(frozen=True)
class DetectorTargets:
    """What the maps of a batch should be; G cells a side.

    Attributes:
        heat: float32 [B, classes, G, G], 1 at the cell of a centre, less around it.
        extents: float32 [B, 4, G, G], cells from the cell's centre to the box's left, top, right, bottom.
        readable: float32 [B, G, G], weight of the box at that cell, 0..1.
        colors: int64 [B, G, G], colour index, or -1 where no colour is known.
    """

    heat: Tensor
    extents: Tensor
    readable: Tensor
    colors: Tensor


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


def targets_of(scenes: list[Scene], config: DetectorConfig) -> DetectorTargets:
    """Places each object's centre, box and colour on the grid."""
    grid, stride = config.cells, config.trunk.stride
    heat = np.zeros((len(scenes), config.class_count, grid, grid), np.float32)
    extents = np.zeros((len(scenes), 4, grid, grid), np.float32)
    readable = np.zeros((len(scenes), grid, grid), np.float32)
    colors = np.full((len(scenes), grid, grid), -1, np.int64)
    cell_center = np.arange(grid, dtype=np.float32) + 0.5
    for row, scene in enumerate(scenes):
        for known in scene.objects:
            left, top, right, bottom = (edge / stride for edge in known.box)
            x, y = (left + right) / 2, (top + bottom) / 2
            distance = (cell_center[None, :] - x) ** 2 + (cell_center[:, None] - y) ** 2  # (G, G), squared
            bump = np.exp(-distance / (2 * _CENTER_SPREAD**2)).astype(np.float32)
            bump[min(int(y), grid - 1), min(int(x), grid - 1)] = 1.0
            np.maximum(heat[row, known.class_index], bump, out=heat[row, known.class_index])
            near = (distance <= _READABLE_DISTANCE**2) | (bump == 1.0)
            rows, columns = np.nonzero(near)
            extents[row, :, rows, columns] = np.stack(
                [cell_center[columns] - left, cell_center[rows] - top, right - cell_center[columns], bottom - cell_center[rows]],
                -1,
            )
            readable[row, rows, columns] = bump[rows, columns]
            if known.color is not None:
                colors[row, rows, columns] = COLORS.index(known.color)
    return DetectorTargets(*(torch.from_numpy(a) for a in (heat, extents, readable, colors)))
