"""GenEval's verdict on one image: from what a detector saw to "satisfies the prompt's spec" or not.

The rules about classes, counts, colours and places are the world's own (`training.world.spec.satisfies`); this module
adds what only a detector has: confidences, their thresholds, and a limit on objects.

Source: Ghosh et al., GenEval (arXiv 2310.11513), `evaluation/evaluate_images.py`.
"""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from training.models.detector import DetectorOutput
from training.world.classes import COLORS
from training.world.spec import Spec, satisfies

MAX_OBJECTS_PER_CLASS = 16
_PICTURES_AT_ONCE = 64


@dataclass(frozen=True)
class DetectedObject:
    """One object that the detector saw.

    Attributes:
        class_index: index in `training.world.classes.CLASSES`.
        score: confidence, 0..1.
        color: the most probable of `COLORS`; a detector always names one.
        box: x0, y0, x1, y1 in pixels.
    """

    class_index: int
    score: float
    color: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class DetectionThresholds:
    """Scores at or below which a detection is dropped, 0..1; the defaults are GenEval's for Mask2Former.

    Attributes:
        score: for every task but counting.
        counting: for every class when the task is counting, where one detection too many is an error.
    """

    score: float = 0.3
    counting: float = 0.9

    def __post_init__(self) -> None:
        for name, value in (("score", self.score), ("counting", self.counting)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} threshold is {value}; it must be at least 0 and below 1")

    @classmethod
    def from_toml(cls, path: Path) -> "DetectionThresholds":
        """Reads the `[detector.thresholds]` of a bundle's settings."""
        return cls(**tomllib.loads(path.read_text())["detector"]["thresholds"])


def is_correct(objects: Iterable[DetectedObject], spec: Spec, thresholds: DetectionThresholds) -> bool:
    """Whether an image with these detections satisfies the spec.

    Args:
        objects: all detections of one image, in any order.
        spec: GenEval metadata (`training.world.spec`).
        thresholds: which detections count.
    """
    threshold = thresholds.counting if spec["tag"] == "counting" else thresholds.score
    kept: list[DetectedObject] = []
    of_class: dict[int, int] = {}
    for candidate in sorted(objects, key=lambda seen: -seen.score):
        count = of_class.get(candidate.class_index, 0)
        if candidate.score > threshold and count < MAX_OBJECTS_PER_CLASS:
            of_class[candidate.class_index] = count + 1
            kept.append(candidate)
    return satisfies(kept, spec)


def objects_in(images: Tensor, detect: Callable[[Tensor], DetectorOutput]) -> list[list[DetectedObject]]:
    """What a detector sees in uint8 images [R, H, W, 3], as `objects_of`; a few pictures at a time."""
    return [objects for part in images.split(_PICTURES_AT_ONCE) for objects in objects_of(detect(part))]


def objects_of(output: DetectorOutput) -> list[list[DetectedObject]]:
    """Splits a detector's output into one list of objects per image, highest score first."""
    colors = output.colors.argmax(-1).tolist()
    rows = zip(output.boxes.tolist(), output.scores.tolist(), output.labels.tolist(), colors, strict=True)
    return [
        [
            DetectedObject(label, score, COLORS[color], tuple(box))
            for box, score, label, color in zip(*row, strict=True)
            if score > 0
        ]
        for row in rows
    ]
