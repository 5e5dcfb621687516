"""Recolouring a drawing to one of GenEval's colours while its light and dark parts stay light and dark."""

import numpy as np

from training.world.classes import COLORS

# sRGB anchors: what the drawing's darkest, middle and lightest tones become.
_RAMPS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "red": ((96, 6, 14), (222, 38, 42), (250, 158, 150)),
    "orange": ((122, 50, 0), (248, 138, 20), (255, 208, 142)),
    "yellow": ((136, 104, 0), (252, 214, 28), (255, 244, 168)),
    "green": ((8, 66, 22), (38, 158, 62), (162, 224, 160)),
    "blue": ((10, 28, 104), (36, 96, 222), (156, 194, 250)),
    "purple": ((48, 12, 86), (132, 56, 186), (206, 166, 234)),
    "pink": ((150, 38, 96), (250, 120, 182), (255, 206, 228)),
    "brown": ((48, 24, 8), (128, 78, 40), (200, 158, 118)),
    "black": ((4, 4, 6), (40, 40, 44), (112, 112, 118)),
    "white": ((150, 152, 158), (234, 235, 238), (255, 255, 255)),
}
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def recolor(rgba: np.ndarray, color: str) -> np.ndarray:
    """Maps the luminance of a drawing onto the tonal ramp of a colour.

    Args:
        rgba: uint8 [H, W, 4], straight (not premultiplied) alpha.
        color: one of `COLORS`.

    Returns:
        uint8 [H, W, 4] with the same alpha. Pixels keep their order of luminance; the drawing's median tone becomes
        the colour itself, so a dark drawing turned yellow is yellow and not brown.

    Raises:
        ValueError: the colour is not one of `COLORS`.
    """
    if color not in _RAMPS:
        raise ValueError(f"unknown colour {color!r}; known are {', '.join(COLORS)}")
    ramp = np.array(_RAMPS[color], dtype=np.float32)
    rgb = np.stack([np.interp(_tone(rgba), (0, 0.5, 1), ramp[:, channel]) for channel in range(3)], axis=-1)
    return np.concatenate([np.rint(rgb).astype(np.uint8), rgba[..., 3:]], axis=-1)


def tone_layers(rgba: np.ndarray) -> np.ndarray:
    """A drawing without any colour: what `palette` gives one to.

    Args:
        rgba: uint8 [H, W, 4], straight (not premultiplied) alpha.

    Returns:
        float32 [H, W, 4]: how far a pixel is lighter than the drawing's middle tone, and how far darker, 0..0.5; nothing; opacity
        0..1. All are multiplied by opacity, so that they may be averaged, as resizing does.
    """
    tone, opacity = _tone(rgba), rgba[..., 3].astype(np.float32) / 255
    light, dark = np.maximum(tone - 0.5, 0), np.maximum(0.5 - tone, 0)
    return np.stack([light * opacity, dark * opacity, np.zeros_like(opacity), opacity], axis=-1).astype(np.float32)


def palette() -> np.ndarray:
    """What each of `COLORS` makes of tone layers: float32 [colours, 4, 4].

    Matrix times `tone_layers` of a pixel = its colour times opacity, and opacity, 0..1: what `recolor` makes of it, since its
    ramps are two straight lines that meet in the middle tone.
    """
    matrices = np.zeros((len(COLORS), 4, 4), np.float32)
    for index, color in enumerate(COLORS):
        darkest, middle, lightest = np.array(_RAMPS[color], dtype=np.float32) / 255
        matrices[index, :3, 0] = 2 * (lightest - middle)
        matrices[index, :3, 1] = -2 * (middle - darkest)
        matrices[index, :3, 3] = middle
        matrices[index, 3, 3] = 1
    return matrices


def _tone(rgba: np.ndarray) -> np.ndarray:
    """Luminance as a tone of the drawing, 0..1: 0.5 is its median, 0 and 1 its darkest and lightest; float32 [H, W]."""
    luma = rgba[..., :3].astype(np.float32) @ _LUMA  # (H, W), 0..255
    visible = rgba[..., 3] > 128
    low, middle, high = np.percentile(luma[visible], [2, 50, 98])
    # Flat drawings have a median equal to an extreme: move the outer knots away, so that the main tone stays the colour.
    low, high = min(low, middle - 24), max(high, middle + 24)
    # Nearly transparent edge pixels carry rounding noise instead of a tone.
    opacity = rgba[..., 3].astype(np.float32) / 255
    luma = luma * opacity + middle * (1 - opacity)
    return np.interp(luma, (low, middle, high), (0, 0.5, 1))
