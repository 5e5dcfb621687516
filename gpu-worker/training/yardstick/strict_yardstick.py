"""The strict yardstick: right is what holds under GenEval's rules, shows every object as one whole drawing, and nothing else.

Two instruments that share nothing say so: the detector, which finds the objects and has a fault finder beside it, and the matcher
of the world's drawings. A picture is right where both agree. GenEval's own verdict is told beside theirs.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.export.graphs.detector_graph import build_detector_graph
from training.loop.checkpoint import load_weights
from training.models.detector import Detector, DetectorConfig, DetectorOutput
from training.models.fault_finder import FaultConfig, FaultFinder
from training.world.classes import CLASSES
from training.world.geneval_rules import DetectedObject, DetectionThresholds, is_correct, objects_of
from training.world.spec import Spec
from training.yardstick.graph_detector import GraphDetector
from training.yardstick.matcher import Composition, Matcher, MatchThresholds, bundle_matcher, load_matcher

_PICTURES_AT_ONCE = 64

# What a detector and the fault finder see in uint8 [R, H, W, 3]: objects, and the probability of a fault in each patch [R, G, G].
Look = Callable[[Tensor], tuple[DetectorOutput, Tensor]]


@dataclass(frozen=True)
class StrictThresholds:
    """When a picture that satisfies GenEval's rules is refused all the same.

    Attributes:
        fault: probability of a fault in any patch from which on the detector refuses, 0..1.
        extra: score of an object that nobody asked for from which on it does, 0..1.
        matcher: the matcher's.
    """

    fault: float
    extra: float
    matcher: MatchThresholds

    @classmethod
    def from_toml(cls, path: Path) -> "StrictThresholds":
        """Reads the `[detector.strict]` of a bundle's settings."""
        table = tomllib.loads(path.read_text())["detector"]["strict"]
        return cls(table["fault"], table["extra"], MatchThresholds(table["misfit"], table["patch"]))


@dataclass(frozen=True)
class Verdicts:
    """On R pictures, bool [R] each.

    Attributes:
        geneval: GenEval's rules over the detector, as they are.
        detector: the same, with no fault and no other object.
        matcher: of the matcher of drawings.
        faults: R words, the first thing that is wrong with each: "none", "too few" or "too many" objects of a class that was
            counted, "missing" objects, another "color" or "place", something "extra", or drawings that are "broken".
        composition: what the matcher composed of each.
    """

    geneval: np.ndarray
    detector: np.ndarray
    matcher: np.ndarray
    faults: list[str]
    composition: Composition

    @property
    def right(self) -> np.ndarray:
        """Where both strict instruments agree that it is."""
        return self.detector & self.matcher

    @property
    def disagree(self) -> np.ndarray:
        """Where they do not agree."""
        return self.detector != self.matcher


class StrictYardstick:
    """Both instruments and GenEval's rules."""

    def __init__(self, look: Look, matcher: Matcher, detection: DetectionThresholds, strict: StrictThresholds):
        self._look, self.matcher, self._detection, self._strict = look, matcher, detection, strict

    def judge(self, images: Tensor | np.ndarray, specs: Sequence[Spec]) -> Verdicts:
        """Whether uint8 pictures [R, H, W, 3] show what R specs ask for."""
        images = torch.as_tensor(images)
        geneval, detector, seen_objects = [], [], []
        for start in range(0, len(images), _PICTURES_AT_ONCE):
            seen, faults = self._look(images[start : start + _PICTURES_AT_ONCE])
            worst = faults.flatten(1).amax(1).tolist()
            for objects, fault, spec in zip(objects_of(seen), worst, specs[start : start + len(worst)], strict=True):
                seen_objects.append(objects)
                geneval.append(is_correct(objects, spec, self._detection))
                detector.append(geneval[-1] and fault < self._strict.fault and not self._extra(objects, spec))
        composition = self.matcher.compose(images, specs)
        verdicts = np.array(geneval, bool), np.array(detector, bool), self.matcher.accepts(composition)
        holds = verdicts[1] & verdicts[2]
        faults = [
            "none" if right else self._fault(objects, spec, by_rules)
            for objects, spec, by_rules, right in zip(seen_objects, specs, geneval, holds, strict=True)
        ]
        return Verdicts(*verdicts, faults, composition)

    def _fault(self, objects: Sequence[DetectedObject], spec: Spec, by_rules: bool) -> str:
        """The first thing that is wrong with what the detector sees of a picture that is not right."""
        threshold = self._detection.counting if spec["tag"] == "counting" else self._detection.score
        counts = Counter(CLASSES[known.class_index] for known in objects if known.score > threshold)
        wanted = Counter()
        for entry in spec["include"]:
            wanted[entry["class"]] += entry["count"]
        if any(counts[name] < count for name, count in wanted.items()):
            return "too few" if spec["tag"] == "counting" else "missing"
        if any(counts[name] > count for name, count in wanted.items()):
            return "too many" if spec["tag"] == "counting" else "extra"
        if not by_rules:
            return "place" if spec["tag"] == "position" else "color"
        return "extra" if self._extra(objects, spec) else "broken"

    def _extra(self, objects: Sequence[DetectedObject], spec: Spec) -> bool:
        """Whether more is seen than was asked for."""
        seen = sum(known.score > self._strict.extra for known in objects)
        return seen > sum(entry["count"] for entry in spec["include"])


def load_yardstick(
    detector: Path, faults: Path, quantizer: Path, config: Path, settings: Path, threads: int = 1
) -> StrictYardstick:
    """The yardstick of weights, through the graphs that are served.

    Args:
        detector, faults, quantizer: files of weights.
        config: the world whose drawings are matched.
        settings: a bundle's, with all thresholds.
        threads: of each graph.
    """
    models = load_weights(detector, Detector, DetectorConfig), load_weights(faults, FaultFinder, FaultConfig)
    strict = StrictThresholds.from_toml(settings)
    return StrictYardstick(
        GraphDetector(build_detector_graph(*models), threads).look, load_matcher(quantizer, config, strict.matcher),
        DetectionThresholds.from_toml(settings), strict,
    )  # fmt: skip


def bundle_yardstick(bundle: Path, threads: int = 1) -> StrictYardstick:
    """A bundle's own yardstick, the one that `npm run geneval` scores by.

    Raises:
        ValueError: the bundle has none.
    """
    matcher = bundle_matcher(bundle, threads)
    entry = json.loads((bundle / "manifest.json").read_text())["detector"]
    strict = StrictThresholds(entry["strict"]["fault"], entry["strict"]["extra"], matcher.thresholds)
    detector = GraphDetector(bundle / entry["graph"], threads)
    return StrictYardstick(detector.look, matcher, DetectionThresholds(**entry["thresholds"]), strict)
