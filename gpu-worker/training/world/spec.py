"""What a picture must contain, in GenEval's metadata form, and whether known objects satisfy it.

A spec is a JSON object `{"tag", "include": [{"class", "count", "color"?, "position"?: [relation, target]}],
"exclude"?: [{"class", "count"}]}`; `target` is the index in `include` of the object the relation refers to.
"""

from collections.abc import Sequence
from typing import Protocol

from training.world.classes import CLASS_INDEX

Spec = dict


class KnownObject(Protocol):
    """An object as ground truth or a detector states it."""

    class_index: int
    color: str | None
    box: tuple[float, float, float, float]


def relations(box: Sequence[float], target: Sequence[float]) -> set[str]:
    """The relations of `box` to `target` (x0, y0, x1, y1; pixels); at most one horizontal and one vertical.

    Source: GenEval `evaluation/evaluate_images.py`, `relative_position`, threshold 0.1.
    """
    offset, revised = [], []
    for axis in (0, 1):
        distance = (box[axis] + box[axis + 2] - target[axis] - target[axis + 2]) / 2
        sizes = box[axis + 2] - box[axis] + target[axis + 2] - target[axis]
        offset.append(distance)
        revised.append(max(abs(distance) - 0.1 * sizes, 0) * (1 if distance > 0 else -1))
    if all(abs(value) < 1e-3 for value in revised):
        return set()
    norm = (offset[0] ** 2 + offset[1] ** 2) ** 0.5
    dx, dy = revised[0] / norm, revised[1] / norm
    named = {"left of": dx < -0.5, "right of": dx > 0.5, "above": dy < -0.5, "below": dy > 0.5}
    return {name for name, holds in named.items() if holds}


def satisfies(objects: Sequence[KnownObject], spec: Spec) -> bool:
    """Whether objects, most certain first, fulfil a spec under GenEval's rules.

    Args:
        objects: class index, colour (None where the object has its own colours) and box of each object.
        spec: what is asked.

    Returns:
        True when each include entry finds its count, colour and relation among the first `count` objects of its
        class, and no exclude entry reaches its count.

    Source: GenEval `evaluation/evaluate_images.py`, `evaluate`.
    """
    matched: list[list[KnownObject] | None] = []
    for wanted in spec["include"]:
        found = [known for known in objects if known.class_index == CLASS_INDEX[wanted["class"]]][: wanted["count"]]
        good = len(found) == wanted["count"]
        if good and "color" in wanted:
            good = all(known.color == wanted["color"] for known in found)
        if good and "position" in wanted:
            relation, target = wanted["position"]
            targets = matched[target]
            good = targets is not None and all(
                relation in relations(known.box, other.box) for known in found for other in targets
            )
        matched.append(found if good else None)
    if any(found is None for found in matched):
        return False
    for refused in spec.get("exclude", ()):
        if sum(known.class_index == CLASS_INDEX[refused["class"]] for known in objects) >= refused["count"]:
            return False
    return True
