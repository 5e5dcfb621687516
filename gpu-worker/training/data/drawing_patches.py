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
    """Patches that show something, and how much each counts, above 0.

    Attributes:
        own: float32 [M, patch, patch, 4], of drawings in their own colours: colour times opacity and opacity, 0..1.
        own_weights: float32 [M].
        tones: float32 [P, patch, patch, 4], of drawings that can be recoloured: `tone_layers`.
        tone_weights: float32 [P].
    """

    own: Tensor
    own_weights: Tensor
    tones: Tensor
    tone_weights: Tensor


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

    Weights: the root of how often a drawing is drawn, times the square of its `emphasis` (for tones its mean over the colours).
    """
    background = np.asarray(world.config.backgrounds, np.float32).mean(0)
    own, own_weights, tones, tone_weights = [], [], [], []
    for class_index, sprites in enumerate(world.atlas.by_class):
        share = len(sprites) ** -0.5
        for sprite in sprites:
            for size in sorted(set(world.config.object_sizes)):
                rgba = world.atlas.rgba(sprite, None, size)
                shown = cut(rgba, patch)
                own.append(shown[shows_something(shown)])
                weight = share * emphasis(_contrast(rgba, background)) ** 2
                own_weights.append(np.full(len(own[-1]), weight, np.float32))
            for size in sorted(set(world.config.colored_sizes)) if CLASSES[class_index] in COLORABLE else ():
                shown = cut(world.atlas.tones(sprite, size), patch)
                tones.append(shown[shows_something(shown)])
                contrasts = [_contrast(world.atlas.rgba(sprite, color, size), background) for color in COLORS]
                weight = share * np.mean([emphasis(contrast) ** 2 for contrast in contrasts])
                tone_weights.append(np.full(len(tones[-1]), weight, np.float32))
    arrays = (own, own_weights, tones, tone_weights)
    return DrawingPatches(*(torch.from_numpy(np.concatenate(parts)) for parts in arrays))


def _contrast(rgba: np.ndarray, background: np.ndarray) -> float:
    """Mean difference of a drawing's visible pixels from a colour, 0..255."""
    visible = rgba[..., 3] > 0.5
    return float(np.abs(rgba[..., :3] * 255 - background)[visible].mean())
