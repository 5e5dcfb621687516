"""Contact sheets of images for people to look at."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

_GAP = 4
_CAPTION = 14


def save_grid(path: Path, images: np.ndarray, columns: int, captions: list[str] | None = None, scale: int = 1) -> None:
    """Writes images as one PNG, row by row.

    Args:
        path: target; its folder must exist.
        images: uint8 [R, H, W, 3].
        columns: images in a row.
        captions: one line under each image, cut to its width; None for none.
        scale: whole-number enlargement.
    """
    height, width = images.shape[1] * scale, images.shape[2] * scale
    cell_height = height + _GAP + (_CAPTION if captions else 0)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + _GAP), rows * cell_height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        x, y = index % columns * (width + _GAP), index // columns * cell_height
        sheet.paste(Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST), (x, y))
        if captions:
            draw.text((x, y + height), captions[index][: width // 6], fill="black")
    sheet.save(path)
