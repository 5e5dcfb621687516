"""Examples from the generator's own trajectories, labelled by the detector's reading of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from training.data.ranking_shards import RankingData
from training.verifiers.clarity import is_clear
from training.verifiers.questions import Questioner
from training.verifiers.verifier_data import BatchMaker, Example, VerifierBatch
from training.verifiers.verifier_kinds import VerifierKind
from training.world.geneval_rules import DetectedObject, DetectionThresholds, is_correct
from training.world.spec import Spec

# Pairs drawn before one is taken whose pictures show what is held out.
_ATTEMPTS = 20
# Detections below this score are the detector's own noise; above it, how sure it is is worth learning.
_SMALLEST_SCORE = 0.05


def label(
    data: RankingData, row: int, place: int, spec: Spec, thresholds: DetectionThresholds, kind: VerifierKind
) -> tuple[float, float, float]:
    """Answers 0 or 1 about one picture under a spec: clarity, potential, alignment.

    Alignment: this picture satisfies the spec and is whole. Potential: the final one does, or for a kind that does not judge the
    outcome, this one. Clarity: `clarity.is_clear`, by GenEval's rules alone: hardly any unfinished picture is whole.

    Args:
        data: trajectories.
        row, place: which of them, and after which recorded step.
        spec: what is asked.
        thresholds: which detections count.
        kind: what potential means.
    """
    alignment, outcome = (float(data.is_right(row, at, spec, thresholds)) for at in (place, -1))
    clarity = is_clear(data.objects(row, place), data.objects(row, -1), spec, thresholds)
    return float(clarity), outcome if kind.judges_outcome else alignment, alignment


class TrajectoryExamples:
    """Draws recorded pictures and asks about them."""

    def __init__(
        self,
        data: RankingData,
        questioner: Questioner,
        maker: BatchMaker,
        thresholds: DetectionThresholds,
        kind: VerifierKind,
    ):
        """
        Args:
            data: trajectories of the training split.
            questioner: asks about the pictures.
            maker: makes the tensors.
            thresholds: which detections count for a verdict.
            kind: which steps are shown, and what potential means.
        """
        self._data, self._questioner, self._maker = data, questioner, maker
        self._thresholds, self._kind = thresholds, kind
        self._siblings = [self._by_outcome(rows) for rows in data.siblings]

    def batch(self, rng: np.random.Generator, size: int, questions: int) -> VerifierBatch:
        """`size` pictures, two of a prompt at the same step, one that ends well and one that does not where there are such.

        Args:
            rng: source of randomness; the batch is a function of its state only.
            size: an even number.
            questions: prompts for each picture.
        """
        if size % 2:
            raise ValueError(f"size is {size}; pictures come in pairs, so it must be even")
        drawn: list[tuple[int, int]] = []
        for _ in range(size // 2):
            drawn += self._draw_pair_at_a_step(rng)
        rows, places = map(list, zip(*drawn, strict=True))
        codes = torch.from_numpy(self._data.codes[rows, places].astype(np.int64))
        no_images = torch.empty(0, 1, 1, 3, dtype=torch.uint8)
        return self._maker.batch([self._example(rng, row, place, questions) for row, place in drawn], no_images, codes)

    def _by_outcome(self, rows: list[int]) -> tuple[list[int], list[int]]:
        """Rows that end well, and rows that do not."""
        parts: tuple[list[int], list[int]] = ([], [])
        for row in rows:
            parts[not self._data.is_right(row, -1, self._data.specs[row], self._thresholds)].append(row)
        return parts

    def _draw_pair_at_a_step(self, rng: np.random.Generator) -> list[tuple[int, int]]:
        for _ in range(_ATTEMPTS):
            place = self._draw_place(rng)
            pair = self._draw_pair(rng)
            if all(self._questioner.may_ask(self._data.specs[row], self._shows(row, place)) for row in pair):
                break
        return [(row, place) for row in pair]

    def _shows(self, row: int, place: int) -> Callable[[Spec], bool]:
        """Whether a picture, or the one that its path ends with, satisfies a spec."""
        pictures = [self._data.objects(row, at) for at in (place, -1)]
        return lambda spec: any(is_correct(objects, spec, self._thresholds) for objects in pictures)

    def _draw_pair(self, rng: np.random.Generator) -> tuple[int, int]:
        good, bad = self._siblings[int(rng.integers(len(self._siblings)))]
        if good and bad:
            return int(rng.choice(good)), int(rng.choice(bad))
        first, second = rng.choice(good or bad, size=2)
        return int(first), int(second)

    def _draw_place(self, rng: np.random.Generator) -> int:
        last = len(self._data.steps) - 1
        if self._kind.final_share is None or last == 0:
            return int(rng.integers(last + 1))
        if rng.random() < self._kind.final_share:
            return last
        # The earlier the oftener: that is where pruning saves, and where judging is hard.
        weights = np.arange(last, 0, -1)
        return int(rng.choice(last, p=weights / weights.sum()))

    def _seen(self, row: int, place: int, *, has_colors: bool) -> list[DetectedObject]:
        """Objects with their colours, if any were asked for: the detector names a colour for everything, a dog's fur as well."""
        found = [known for known in self._data.objects(row, place) if known.score > _SMALLEST_SCORE]
        return found if has_colors else [replace(known, color=None) for known in found]

    def _example(self, rng: np.random.Generator, row: int, place: int, questions: int) -> Example:
        own = self._data.specs[row]
        now, final = (self._seen(row, at, has_colors=any("color" in entry for entry in own["include"])) for at in (place, -1))
        # What is shown, and the wrong answer to look for, is taken from either of the two pictures.
        described, at = (now, place) if rng.random() < 0.5 else (final, -1)
        counted = [known for known in described if known.score > self._thresholds.score]
        is_right = partial(self._data.is_right, row, at, thresholds=self._thresholds)
        asked = self._questioner.ask(rng, own, counted, is_right, questions, self._shows(row, place))
        answers = [label(self._data, row, place, spec, self._thresholds, self._kind) for spec in asked]
        return Example(now, final, asked, answers)
