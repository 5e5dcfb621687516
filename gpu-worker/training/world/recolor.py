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
    luma = rgba[..., :3].astype(np.float32) @ _LUMA  # (H, W), 0..255
    visible = rgba[..., 3] > 128
    low, middle, high = np.percentile(luma[visible], [2, 50, 98])
    # Flat drawings have a median equal to an extreme: move the outer knots away, so that the main tone stays the colour.
    low, high = min(low, middle - 24), max(high, middle + 24)
    # Nearly transparent edge pixels carry rounding noise instead of a tone.
    opacity = rgba[..., 3].astype(np.float32) / 255
    luma = luma * opacity + middle * (1 - opacity)
    ramp = np.array(_RAMPS[color], dtype=np.float32)
    rgb = np.stack([np.interp(luma, (low, middle, high), ramp[:, channel]) for channel in range(3)], axis=-1)
    return np.concatenate([np.rint(rgb).astype(np.uint8), rgba[..., 3:]], axis=-1)
