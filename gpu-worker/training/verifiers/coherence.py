"""The generator's own opinion of its pictures as a probability, and what it adds to a verifier's.

While a picture is made the generator says after each step how likely it finds every code that stands there. The mean of these
log-probabilities tells whole drawings from patchwork, which a verifier, who reads the prompt, need not have learned.

    python -m training.verifiers.coherence        fits it on the calibration split; weights/coherence.json
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data.ranking_shards import RankingData
from training.folders import CONFIGS, RUNS, WEIGHTS
from training.verifiers.probability_quality import area_under_curve, fit_scale_and_shift
from training.world.geneval_rules import DetectionThresholds

# As far as a logit of a probability may go; the engine clips probabilities to match.
_LARGEST_LOGIT = float(np.log((1 - 1e-6) / 1e-6))


@dataclass(frozen=True)
class CoherenceFit:
    """Coherence = sigmoid(offset + slope * raw) after certain steps, raw in nats as `training.sampling.mask_predict.Sampled`.

    Attributes:
        steps: step indices, ascending.
        offsets, slopes: of each.
    """

    steps: tuple[int, ...]
    offsets: tuple[float, ...]
    slopes: tuple[float, ...]

    def logits(self, raw: np.ndarray, steps: Sequence[int]) -> np.ndarray:
        """Logits of the coherence of raw values float [n, S] after S of these steps: float64 [n, S].

        Raises:
            ValueError: there is no fit for one of the steps.
        """
        if unknown := set(steps) - set(self.steps):
            raise ValueError(f"coherence was fitted after steps {list(self.steps)}, not after {sorted(unknown)}")
        places = [self.steps.index(step) for step in steps]
        logits = np.asarray(self.offsets)[places] + np.asarray(self.slopes)[places] * raw
        return np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)

    def points(self) -> list[dict[str, float]]:
        """One entry a step, as its file and the bundle's manifest hold them."""
        return [
            {"stepIndex": step, "offset": round(offset, 4), "slope": round(slope, 4)}
            for step, offset, slope in zip(self.steps, self.offsets, self.slopes, strict=True)
        ]

    @classmethod
    def read(cls, path: Path) -> "CoherenceFit":
        """Reads what this module's command wrote.

        Raises:
            FileNotFoundError: it has not; the message names the file.
        """
        if not path.exists():
            raise FileNotFoundError(f"no coherence at {path}; `python -m training.verifiers.coherence` writes it")
        points = json.loads(path.read_text())["points"]
        return cls(*(tuple(point[key] for point in points) for key in ("stepIndex", "offset", "slope")))


def right_in_the_end(data: RankingData, thresholds: DetectionThresholds) -> np.ndarray:
    """Whether each path ends with a right picture, by the strict verdict: bool [n]."""
    return np.array([data.is_right(row, -1, spec, thresholds) for row, spec in enumerate(data.specs)])


def fit_coherence(data: RankingData, right: np.ndarray) -> CoherenceFit:
    """Fits P(the path ends right) by the raw coherence after each recorded step; `right` bool [n]."""
    fits = [_fit(data.coherence[:, place], right) for place in range(len(data.steps))]
    return CoherenceFit(data.steps, tuple(offset for offset, _ in fits), tuple(slope for _, slope in fits))


def _fit(raw: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    # Fitted around the mean and in units of the deviation, where the fit's weak pull to scale 1 does no harm.
    mean, deviation = float(raw.mean()), max(float(raw.std()), 1e-6)
    scale, shift = fit_scale_and_shift((raw - mean) / deviation, right)
    return shift - scale * mean / deviation, scale / deviation


def fit_fusion(own: np.ndarray, coherence: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Weights of a verifier's logits and of coherence's in P(yes) = sigmoid(bias + own * own + coherence * coherence).

    Args:
        own: float [m], logits of a verifier's calibrated answers.
        coherence: float [m], `CoherenceFit.logits` of the same pictures.
        labels: float or bool [m].
    """
    inputs = torch.from_numpy(np.stack([np.ones(len(own)), own, coherence], axis=1)).double()
    wanted = torch.from_numpy(np.asarray(labels)).double()
    start = torch.tensor([0.0, 1.0, 0.0], dtype=torch.double)
    weights = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        # A weak pull to the verifier's own answer keeps the fit finite where the labels are separated perfectly.
        loss = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weights, wanted)
        loss = loss + 1e-3 * (weights - start).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    bias, of_own, of_coherence = weights.detach().tolist()
    return {"own": round(of_own, 4), "coherence": round(of_coherence, 4), "bias": round(bias, 4)}


def fused(own: np.ndarray, coherence: np.ndarray, weights: dict[str, float]) -> np.ndarray:
    """Logits under `fit_fusion`'s weights, float64 in the shape of both."""
    own = np.clip(own, -_LARGEST_LOGIT, _LARGEST_LOGIT)
    return weights["bias"] + weights["own"] * own + weights["coherence"] * coherence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of released weights")
    parser.add_argument("--trajectories", type=Path, default=RUNS / "ranking")
    arguments = parser.parse_args()
    thresholds = DetectionThresholds.from_toml(arguments.settings)
    calibration, test = (RankingData.read(arguments.trajectories, split) for split in ("calibration", "test"))
    fit = fit_coherence(calibration, right_in_the_end(calibration, thresholds))
    right = right_in_the_end(test, thresholds)
    areas = {
        f"step {step}": _rounded(area_under_curve(test.coherence[:, place], right)) for place, step in enumerate(test.steps)
    }
    measured = {"areaUnderCurve": areas, "trajectories": len(test)}
    content = {"points": fit.points(), "calibratedOn": len(calibration), "measured": measured}
    (arguments.weights / "coherence.json").write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(content))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


if __name__ == "__main__":
    main()
