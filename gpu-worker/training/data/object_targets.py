"""What object maps of detectors and verifiers should show, from ground truth or a detector's reading, and losses that teach it.

To a verifier objects are taught beside the answers: a yes or a no is one bit a picture; the objects in it, with class, box,
colour and how sure the yardstick is of them, are hundreds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.models.detector import DetectorConfig, DetectorMaps
from training.models.verifier import VerifierConfig
from training.world.classes import COLORS
from training.world.spec import KnownObject

# Spread of a centre's Gaussian in cells: neighbours are half wrong, cells two away are wrong.
_CENTER_SPREAD = 0.7
# Box and colour are also taught this far from the centre, in cells, because a peak can fall on a neighbour.
_READABLE_DISTANCE = 1.0
_EXTENTS_WEIGHT, _COLOR_WEIGHT = 0.3, 0.5


@dataclass(frozen=True)
class ObjectTargets:
    """What the maps of B pictures should be; G cells a side.

    Attributes:
        heat: float32 [B, classes, G, G], the score of an object at the cell of its centre, less around it.
        extents: float32 [B, 4, G, G], cells from the cell's centre to the box's left, top, right, bottom.
        readable: float32 [B, G, G], weight of box and colour at that cell, 0..1.
        colors: int64 [B, G, G], colour index, or -1 where no colour is known.
    """

    heat: Tensor
    extents: Tensor
    readable: Tensor
    colors: Tensor


def object_targets(pictures: Sequence[Sequence[KnownObject]], config: DetectorConfig | VerifierConfig) -> ObjectTargets:
    """Places each object's centre, box and colour on the grid; ground truth, which has no score, counts as certain."""
    grid, stride, batch = config.cells, config.trunk.stride, len(pictures)
    heat = np.zeros((batch, config.class_count, grid, grid), np.float32)
    extents = np.zeros((batch, 4, grid, grid), np.float32)
    readable = np.zeros((batch, grid, grid), np.float32)
    colors = np.full((batch, grid, grid), -1, np.int64)
    center = np.arange(grid, dtype=np.float32) + 0.5
    for row, objects in enumerate(pictures):
        # The surest last: where two overlap, its box is the one to read.
        for known in sorted(objects, key=_score):
            left, top, right, bottom = (edge / stride for edge in known.box)
            x, y = (left + right) / 2, (top + bottom) / 2
            distance = (center[None, :] - x) ** 2 + (center[:, None] - y) ** 2  # (G, G), squared
            bump = np.exp(-distance / (2 * _CENTER_SPREAD**2)).astype(np.float32)
            bump[min(int(y), grid - 1), min(int(x), grid - 1)] = 1.0
            bump *= _score(known)
            np.maximum(heat[row, known.class_index], bump, out=heat[row, known.class_index])
            rows, columns = np.nonzero((distance <= _READABLE_DISTANCE**2) | (bump == bump.max()))
            edges = (center[columns] - left, center[rows] - top, right - center[columns], bottom - center[rows])
            extents[row, :, rows, columns] = np.stack(edges, -1)
            readable[row, rows, columns] = bump[rows, columns]
            colors[row, rows, columns] = -1 if known.color is None else COLORS.index(known.color)
    return ObjectTargets(*(torch.from_numpy(a) for a in (heat, extents, readable, colors)))


def object_loss(maps: DetectorMaps, targets: ObjectTargets) -> Tensor:
    """Quality focal loss on scores, L1 on box extents, cross-entropy on colours; a scalar, a mean over objects.

    Source: Li et al., Generalized Focal Loss (arXiv 2006.04388), equation 3, whose targets are scores between 0 and 1.
    """
    gap = (targets.heat - maps.heat.sigmoid()).square()
    heat = (gap * F.binary_cross_entropy_with_logits(maps.heat, targets.heat, reduction="none")).sum()
    object_count = targets.heat.amax(1).sum().clamp(min=1.0)
    extents, color = box_and_color_loss(maps, targets)
    return heat / object_count + _EXTENTS_WEIGHT * extents + _COLOR_WEIGHT * color


def box_and_color_loss(maps: DetectorMaps, targets: ObjectTargets) -> tuple[Tensor, Tensor]:
    """L1 on box extents and cross-entropy on colours where they are read; two scalars, means over those cells."""
    distance = (maps.extents - targets.extents).abs().sum(1)  # (B, G, G)
    extents = (distance * targets.readable).sum() / targets.readable.sum().clamp(min=1.0)
    colors = F.cross_entropy(maps.colors, targets.colors, ignore_index=-1, reduction="none")
    colored = targets.readable * (targets.colors >= 0)
    return extents, (colors * colored).sum() / colored.sum().clamp(min=1.0)


def _score(known: KnownObject) -> float:
    return getattr(known, "score", 1.0)
