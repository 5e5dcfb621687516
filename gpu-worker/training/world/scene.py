"""A composed picture and its exact ground truth."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SceneObject:
    """One drawn object.

    Attributes:
        class_index: index in `training.world.classes.CLASSES`.
        color: one of `COLORS`, or None when the drawing keeps its own colours.
        box: tight box (x0, y0, x1, y1) of its visible pixels, x1 and y1 exclusive.
        cell: the square (x0, y0, x1, y1) it was placed in.
        sprite: index of the drawing in the atlas.
    """

    class_index: int
    color: str | None
    box: tuple[int, int, int, int]
    cell: tuple[int, int, int, int]
    sprite: int


@dataclass(frozen=True)
class Scene:
    """One picture.

    Attributes:
        image: uint8 [size, size, 3], sRGB.
        objects: in the order they were drawn; they never overlap.
        background: index in the world's `backgrounds`.
    """

    image: np.ndarray
    objects: tuple[SceneObject, ...]
    background: int

    def object_mask(self) -> np.ndarray:
        """bool [size, size]: pixels inside some object's tight box."""
        mask = np.zeros(self.image.shape[:2], dtype=bool)
        for known in self.objects:
            x0, y0, x1, y1 = known.box
            mask[y0:y1, x0:x1] = True
        return mask
