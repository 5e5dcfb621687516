"""When a step is clear: the label of the verifier's first question.

The paper asks whether "the partially generated image contains enough visual clarity to be meaningfully assessed", and a
meaningful assessment is one that the finished picture bears out. So a step is clear when its picture, read by the yardstick,
already shows every object of the finished picture in its place, and already earns the verdict that the finished picture will.
`python -m training.plots.draw_clarity` shows it beside its alternatives.
"""

from collections.abc import Callable, Sequence

from training.world.geneval_rules import DetectedObject, DetectionThresholds, is_correct
from training.world.spec import Spec

# Boxes of one object in two pictures overlap at least this much (intersection over union).
_SAME_PLACE = 0.5

ClarityRule = Callable[[Sequence[DetectedObject], Sequence[DetectedObject], Spec, DetectionThresholds], bool]


def is_clear(
    objects: Sequence[DetectedObject], final: Sequence[DetectedObject], spec: Spec, thresholds: DetectionThresholds
) -> bool:
    """Whether a judgement of this picture is one of the final picture: the label.

    Args:
        objects: detections in the picture.
        final: detections in the picture that its path ends with.
        spec: what is asked.
        thresholds: which detections count.
    """
    return shows_final_objects(objects, final, spec, thresholds) and has_final_verdict(objects, final, spec, thresholds)


def has_final_verdict(
    objects: Sequence[DetectedObject], final: Sequence[DetectedObject], spec: Spec, thresholds: DetectionThresholds
) -> bool:
    """The verdict alone: a blank picture of a path that fails is "clear" by this rule, for want of anything to be wrong about."""
    return is_correct(objects, spec, thresholds) == is_correct(final, spec, thresholds)


def shows_final_objects(
    objects: Sequence[DetectedObject], final: Sequence[DetectedObject], spec: Spec, thresholds: DetectionThresholds
) -> bool:
    """Every object of the final picture, at least one, stands in its place; what will vanish may still be there."""
    return bool(_counted(final, thresholds)) and _unmatched(objects, final, thresholds) is not None


def is_settled(
    objects: Sequence[DetectedObject], final: Sequence[DetectedObject], spec: Spec, thresholds: DetectionThresholds
) -> bool:
    """The same objects one to one, whatever is asked: stricter, and blind to colours."""
    return bool(_counted(final, thresholds)) and _unmatched(objects, final, thresholds) == []


CLARITY_RULES: dict[str, ClarityRule] = {
    "final objects and verdict (the label)": is_clear,
    "final objects": shows_final_objects,
    "final verdict": has_final_verdict,
    "exactly the final objects": is_settled,
}


def _counted(objects: Sequence[DetectedObject], thresholds: DetectionThresholds) -> list[DetectedObject]:
    return [known for known in objects if known.score > thresholds.score]


def _unmatched(
    objects: Sequence[DetectedObject], final: Sequence[DetectedObject], thresholds: DetectionThresholds
) -> list[DetectedObject] | None:
    """The picture's objects beyond those of the final one, or None when one of the final ones is not there."""
    rest = _counted(objects, thresholds)
    for expected in _counted(final, thresholds):
        same = (o for o in rest if o.class_index == expected.class_index and _overlap(o.box, expected.box) >= _SAME_PLACE)
        match = next(same, None)
        if match is None:
            return None
        rest.remove(match)
    return rest


def _overlap(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)
