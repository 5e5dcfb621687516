"""Patches of the world's drawings, and how much each counts."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.world.classes import CLASSES, COLORABLE, COLORS
from training.world.world import World

# Mean difference of an ordinary drawing from its background, of 255.
_ORDINARY_CONTRAST = 85.0
_LARGEST_EMPHASIS = 4.0
# Opacity below which a patch is plain background, 0..1.
_VISIBLE = 0.03


@dataclass(frozen=True)
class DrawingPatches:
    """Patches float32 [M, patch, patch, 4], colour times opacity and opacity, 0..1; weights float32 [M], above 0."""

    patches: Tensor
    weights: Tensor


def emphasis(contrast: float) -> float:
    """How much more than an ordinary drawing one counts that differs from its background by `contrast`, 0..255: 1 to 4.

    Errors in a white cup on a pale background are small in numbers, not to the eye.
    """
    return float(np.clip(_ORDINARY_CONTRAST / max(contrast, 1.0), 1.0, _LARGEST_EMPHASIS))


def cut(rgba: np.ndarray, patch: int) -> np.ndarray:
    """Patches in row-major order: [S, S, 4] to [(S/patch)^2, patch, patch, 4]."""
    count = len(rgba) // patch
    return rgba.reshape(count, patch, count, patch, 4).transpose(0, 2, 1, 3, 4).reshape(-1, patch, patch, 4)


def shows_something(patches: np.ndarray) -> np.ndarray:
    """Which of float [M, patch, patch, 4] are not plain background: bool [M]."""
    return patches[..., 3].max((1, 2)) > _VISIBLE


def drawing_patches(world: World, patch: int) -> DrawingPatches:
    """All patches that show something, of every drawing in every colour and size of a world.

    Weights: the root of how often a drawing is drawn in that colour, times the square of its `emphasis`.
    """
    background = np.asarray(world.config.backgrounds, np.float32).mean(0)
    patches, weights = [], []
    for class_index, sprites in enumerate(world.atlas.by_class):
        colors = COLORS if CLASSES[class_index] in COLORABLE else ()
        for sprite in sprites:
            for color in (None, *colors):
                for size in sorted(set(world.config.object_sizes)):
                    rgba = world.atlas.rgba(sprite, color, size)
                    share = (1.0 if color is None else 1 / len(colors)) / len(sprites)
                    shown = cut(rgba, patch)
                    shown = shown[shows_something(shown)]
                    patches.append(shown)
                    weights.append(np.full(len(shown), share**0.5 * emphasis(_contrast(rgba, background)) ** 2, np.float32))
    return DrawingPatches(torch.from_numpy(np.concatenate(patches)), torch.from_numpy(np.concatenate(weights)))


def _contrast(rgba: np.ndarray, background: np.ndarray) -> float:
    """Mean difference of a drawing's visible pixels from a colour, 0..255."""
    visible = rgba[..., 3] > 0.5
    return float(np.abs(rgba[..., :3] * 255 - background)[visible].mean())
