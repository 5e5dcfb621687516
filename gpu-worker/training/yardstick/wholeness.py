"""Whether pictures are whole: the half of the strict yardstick that needs no numbers, colours or places.

A picture is whole when it consists of whole drawings of the classes that its prompt names, and nothing else is there. How many
they are, in which colours and where, GenEval's rules decide; both together are the strict verdict, for a picture's own prompt and
for others about the same classes.
"""

from collections.abc import Sequence

import numpy as np

from training.world.classes import CLASS_INDEX
from training.world.spec import Spec
from training.yardstick.matcher import Matcher


class Wholeness:
    """Tells whole pictures from broken ones by the matcher of the world's drawings."""

    def __init__(self, matcher: Matcher):
        """`matcher` is of the quantiser and the world that the pictures come from."""
        self._matcher = matcher

    def of(self, images: np.ndarray, specs: Sequence[Spec]) -> np.ndarray:
        """Which of uint8 images [R, H, W, 3], made for R specs, are whole: bool [R]."""
        classes = [sorted({CLASS_INDEX[entry["class"]] for entry in spec["include"]}) for spec in specs]
        readings = self._matcher.read(images, classes)
        return np.array([bool(reading.objects) and not reading.unexplained.any() for reading in readings])
