"""Recorded trajectories on disk and in memory.

A picture is kept as its 64 codes, 128 bytes, and decoded when it is needed: as pixels it would take 27,648.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from training.models.detector import DetectorOutput
from training.world.classes import COLORS
from training.world.fact_splits import split_of
from training.world.geneval_rules import DetectedObject, DetectionThresholds, is_correct
from training.world.spec import Spec


@dataclass(frozen=True)
class Detections:
    """K detections of each of S pictures of n trajectories, surest first.

    Attributes:
        boxes: float16 [n, S, K, 4], pixels.
        scores: float32 [n, S, K]; 0 where there is none.
        labels: uint8 [n, S, K], class index.
        colors: uint8 [n, S, K], the most probable of `COLORS`.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    colors: np.ndarray

    @classmethod
    def of(cls, steps: list[DetectorOutput]) -> "Detections":
        """The detector's outputs on n pictures, for each of S steps."""
        boxes, scores, labels = (
            np.stack([getattr(step, name).numpy() for step in steps], axis=1) for name in ("boxes", "scores", "labels")
        )
        colors = np.stack([step.colors.argmax(-1).numpy() for step in steps], axis=1)
        return cls(boxes.astype(np.float16), scores, labels.astype(np.uint8), colors.astype(np.uint8))

    def objects(self, row: int, place: int) -> list[DetectedObject]:
        """What was seen in one picture."""
        values = (array[row, place].tolist() for array in (self.labels, self.scores, self.colors, self.boxes))
        return [
            DetectedObject(label, score, COLORS[color], tuple(box))
            for label, score, color, box in zip(*values, strict=True)
            if score > 0
        ]


_DETECTIONS = ("boxes", "scores", "labels", "colors")
_ARRAYS = ("codes", "whole", "coherence", *_DETECTIONS)


@dataclass(frozen=True)
class RankingData:
    """n trajectories of S recorded steps.

    Attributes:
        source: identifies the weights and settings that made them.
        specs: what was asked, n GenEval metadata dicts with `prompt`; pictures of one prompt follow each other.
        steps: the recorded step indices, ascending; the last is the final step.
        step_count: steps of a whole run.
        codes: uint16 [n, S, N], the complete prediction after each recorded step.
        detections: what the detector saw in each of these pictures.
        whole: bool [n, S], whether a picture is whole drawings of what was asked for and nothing else (`yardstick.wholeness`).
        coherence: float32 [n, S], how likely the generator found its picture, nats (`training.sampling.mask_predict.Sampled`).
    """

    source: str
    specs: list[Spec]
    steps: tuple[int, ...]
    step_count: int
    codes: np.ndarray
    detections: Detections
    whole: np.ndarray
    coherence: np.ndarray

    def __len__(self) -> int:
        return len(self.specs)

    @cached_property
    def siblings(self) -> list[list[int]]:
        """Rows of each prompt, in the order in which prompts first appear."""
        rows: dict[str, list[int]] = {}
        for row, spec in enumerate(self.specs):
            rows.setdefault(spec["prompt"], []).append(row)
        return list(rows.values())

    def objects(self, row: int, place: int) -> list[DetectedObject]:
        """What the detector saw after the `place`-th recorded step."""
        return self.detections.objects(row, place)

    def is_right(self, row: int, place: int, spec: Spec, thresholds: DetectionThresholds) -> bool:
        """The strict verdict on a recorded picture: it satisfies a spec by GenEval's rules, is whole, and shows nothing else."""
        if not self.whole[row, place]:
            return False
        objects, asked = self.objects(row, place), sum(entry["count"] for entry in spec["include"])
        seen = sum(known.score > thresholds.score for known in objects)
        return seen <= asked and is_correct(objects, spec, thresholds)

    def select(self, rows: list[int]) -> "RankingData":
        """Some of the trajectories."""
        detections = Detections(*(getattr(self.detections, name)[rows] for name in _DETECTIONS))
        specs = [self.specs[row] for row in rows]
        arrays = (self.codes[rows], detections, self.whole[rows], self.coherence[rows])
        return RankingData(self.source, specs, self.steps, self.step_count, *arrays)

    @classmethod
    def read(cls, folder: Path, split: str, source: str | None = None) -> "RankingData":
        """The trajectories of one of `fact_splits.SPLITS`, which must be of `source` unless that is None.

        Raises:
            ValueError: there are none, or they were not all made by the same models and settings, or by others than asked for.
        """
        shards = [read_shard(path) for path in sorted(folder.glob("*.npz"))]
        if not shards:
            raise ValueError(f"no trajectories in {folder}; `python -m training.sampling.ranking_data --out {folder}` makes them")
        kinds = {(shard.source, shard.steps, shard.step_count) for shard in shards}
        if len(kinds) > 1:
            raise ValueError(f"{folder} mixes trajectories of {len(kinds)} models or settings; keep those of one")
        first = shards[0]
        if source not in (None, first.source):
            raise ValueError(f"{folder} holds trajectories of other weights or settings than those given; sample anew")
        joined = cls(
            first.source,
            [spec for shard in shards for spec in shard.specs],
            first.steps,
            first.step_count,
            np.concatenate([shard.codes for shard in shards]),
            Detections(*(np.concatenate([getattr(shard.detections, name) for shard in shards]) for name in _DETECTIONS)),
            np.concatenate([shard.whole for shard in shards]),
            np.concatenate([shard.coherence for shard in shards]),
        )
        rows = [row for row, spec in enumerate(joined.specs) if split_of(spec) == split]
        if not rows:
            raise ValueError(f"none of the {len(joined)} trajectories in {folder} belongs to the split {split!r}; sample more")
        return joined.select(rows)


def write_shard(data: RankingData, path: Path) -> None:
    """Writes trajectories so that a killed process leaves whole shards only."""
    meta = {"source": data.source, "specs": data.specs, "steps": data.steps, "stepCount": data.step_count}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    detections = {name: getattr(data.detections, name) for name in _DETECTIONS}
    with partial.open("wb") as file:
        arrays = {"codes": data.codes, "whole": data.whole, "coherence": data.coherence, **detections}
        np.savez(file, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
    partial.rename(path)


def read_shard(path: Path) -> RankingData:
    """Reads what `write_shard` wrote.

    Raises:
        ValueError: an earlier version wrote it, which did not keep all that is needed.
    """
    with np.load(path) as shard:
        if absent := [name for name in _ARRAYS if name not in shard]:
            lacking = ", ".join(absent)
            raise ValueError(f"{path} was written by an earlier version, without {lacking}; empty {path.parent} and sample anew")
        meta = json.loads(shard["meta"].tobytes())
        detections = Detections(*(shard[name] for name in _DETECTIONS))
        arrays = (shard["codes"], detections, shard["whole"], shard["coherence"])
        return RankingData(meta["source"], meta["specs"], tuple(meta["steps"]), meta["stepCount"], *arrays)
