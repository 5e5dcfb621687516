"""What training must never be shown: the prompts that pictures are scored on.

Sets in GenEval's metadata format are scored and therefore held out (`evaluation/`): `official.jsonl`, GenEval's own prompts about
the objects of this world, `generated.jsonl`, a larger set of the same form, and two parts of its facts for one clean look each.
Of two objects, counts, colours, positions and attributes the *facts* are held out, in every wording and either order. A single
object cannot be: a world without dogs would have none to draw. There, the scored wording is held out.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from training.folders import EVALUATION
from training.world.spec import Spec

EVALUATION_SETS = ("official", "generated", "scored-a", "scored-b")

Facts = tuple
_MIRRORED = {"right of": "left of", "below": "above"}


def facts_of(spec: Spec) -> Facts | None:
    """What a spec asks for, equal for all ways to say it; None for a single object, which is not held out by its facts."""
    task, include = spec["tag"], spec["include"]
    match task:
        case "single_object":
            return None
        case "position":
            target, subject = include
            relation = subject["position"][0]
            names = (subject["class"], target["class"])
            if relation in _MIRRORED:
                relation, names = _MIRRORED[relation], names[::-1]
            return (task, relation, *names)
        case _:
            return (task, *sorted((entry["class"], entry["count"], entry.get("color", "")) for entry in include))


class HeldOut:
    """Facts and wordings that training prompts must avoid."""

    def __init__(self, specs: Iterable[Spec] = ()):
        """`specs` are metadata objects with their `prompt`."""
        listed = list(specs)
        self._facts = {facts for spec in listed if (facts := facts_of(spec)) is not None}
        self._prompts = {spec["prompt"] for spec in listed}

    def holds(self, spec: Spec) -> bool:
        """Whether what `spec` asks for is scored."""
        return facts_of(spec) in self._facts

    def holds_prompt(self, prompt: str) -> bool:
        """Whether these very words are scored."""
        return prompt in self._prompts


def read_evaluation_set(name: str) -> list[Spec]:
    """One of `EVALUATION_SETS`: metadata objects with their `prompt`, in the order they are scored."""
    return read_specs(EVALUATION / f"{name}.jsonl")


def read_specs(path: Path) -> list[Spec]:
    """Metadata objects with their `prompt`, one a line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@cache
def evaluation_held_out() -> HeldOut:
    """Everything that any set scores."""
    return HeldOut(spec for name in EVALUATION_SETS for spec in read_evaluation_set(name))
