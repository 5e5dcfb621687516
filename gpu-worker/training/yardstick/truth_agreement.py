"""How far GenEval's verdict agrees with the truth, where the truth is known: on composed scenes.

For each task, held-out specs are asked about as many scenes that satisfy them as scenes that nearly do: the latter satisfy a spec
that differs in one class, colour, count or relation (`spec_challenges.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.world.classes import CLASSES, TASKS
from training.world.config import WorldConfig
from training.world.geneval_rules import DetectedObject, DetectionThresholds, is_correct
from training.world.held_out import HeldOut, read_evaluation_set
from training.world.scene import Scene
from training.world.spec import Spec, satisfies
from training.world.spec_challenges import challenge
from training.world.world import World
from training.yardstick.intervals import wilson_interval

# Never a training seed.
_SEED = 990_001

Detections = list[DetectedObject]


@dataclass(frozen=True)
class Trial:
    """A question whose answer is known: whether `scene` satisfies `spec`, a held-out one; `right` when it does."""

    spec: Spec
    scene: Scene
    right: bool


@dataclass(frozen=True)
class Agreement:
    """How often the verdict was the truth.

    Attributes:
        accepted: right pictures called right.
        refused: wrong pictures called wrong.
        right, wrong: pictures of either kind.
    """

    accepted: int
    refused: int
    right: int
    wrong: int

    @property
    def share(self) -> float:
        """Mean over right pictures called right and wrong pictures called wrong, 0..1."""
        return (self.accepted + self.refused) / (self.right + self.wrong)

    @property
    def interval95(self) -> tuple[float, float]:
        return wilson_interval(self.accepted + self.refused, self.right + self.wrong)


@dataclass(frozen=True)
class CountingReading:
    """What was seen of the one class that a counting scene shows: `seen` objects where there are `truth`."""

    name: str
    truth: int
    seen: int


def draw_trials(base: WorldConfig, task: str, scenes: int) -> list[Trial]:
    """`scenes` right and as many wrong pictures, always the same; each held-out spec of the task is asked equally often.

    Args:
        base: the world that the generator draws; what it shows decides how hard the detector's work is.
        task: one of `TASKS`.
        scenes: at least 1; more than there are specs gives some of them several arrangements.
    """
    world = World(base, HeldOut())  # may compose what training must not see
    rng = np.random.default_rng((_SEED, TASKS.index(task)))
    specs = [spec for spec in read_evaluation_set("generated") if spec["tag"] == task]
    trials = []
    for index in range(scenes):
        spec = specs[index % len(specs)]
        trials.append(Trial(spec, world.compose(rng, spec), right=True))
        trials.append(Trial(spec, _near_miss(world, rng, spec), right=False))
    return trials


def measure_agreement(trials: Sequence[Trial], detections: Sequence[Detections], thresholds: DetectionThresholds) -> Agreement:
    """Counts agreement over trials and what a detector saw in their pictures, in the same order."""
    return count_agreement(
        trials, [is_correct(seen, trial.spec, thresholds) for trial, seen in zip(trials, detections, strict=True)]
    )


def count_agreement(trials: Sequence[Trial], verdicts: Sequence[bool]) -> Agreement:
    """Counts agreement over trials and verdicts on their pictures, in the same order."""
    right = sum(trial.right for trial in trials)
    accepted = sum(trial.right and verdict for trial, verdict in zip(trials, verdicts, strict=True))
    refused = sum(not trial.right and not verdict for trial, verdict in zip(trials, verdicts, strict=True))
    return Agreement(accepted, refused, right, len(trials) - right)


def read_counts(trials: Sequence[Trial], detections: Sequence[Detections], threshold: float) -> list[CountingReading]:
    """What a detector counted in the scenes of counting trials, at a score threshold 0..1."""
    readings = []
    for trial, seen in zip(trials, detections, strict=True):
        (index,) = {known.class_index for known in trial.scene.objects}
        counted = sum(known.class_index == index and known.score > threshold for known in seen)
        readings.append(CountingReading(CLASSES[index], len(trial.scene.objects), counted))
    return readings


def _near_miss(world: World, rng: np.random.Generator, spec: Spec) -> Scene:
    """A scene of a spec that differs in one respect; drawn again while it satisfies the original as well."""
    while True:
        scene = world.compose(rng, challenge(rng, spec))
        if not satisfies(scene.objects, spec):
            return scene
