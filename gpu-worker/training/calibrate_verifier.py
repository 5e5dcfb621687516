"""Turns a trained verifier into one that can be acted on: `python -m training.calibrate_verifier`.

On trajectories that training never saw it fits each question's probability, measures how well the questions separate
good from bad at every step, and chooses thresholds and steps by replaying the engine's pruning rule. Writes
`weights/parm.json`, and the fitted scale and shift into the head of `weights/parm.pt`.
"""

import argparse
import itertools
import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.checkpoint import load_weights, save_weights
from training.geneval_rules import DetectionThresholds
from training.models.verifier import TASKS, Verifier, VerifierConfig
from training.ranking_data import RankingData
from training.tokenizer import build_tokenizer, encode_prompts
from training.verifier_data import TrajectoryExamples
from training.world.config import WorldConfig
from training.world.world import World

_TRAINING_DIRECTORY = Path(__file__).parent
_BATCH = 64
CLARITY, POTENTIAL, ALIGNMENT = range(3)
# Pruning may lose this share of the candidates that would have ended well. At half of it, measured, judging cost more than it
# saved; among several candidates a lost one is seldom missed.
_LARGEST_LOSS = 0.1
# A judgement and the decoding of its picture cost this many row-steps (processor time on one thread: decode.onnx 4.0 ms,
# parm.onnx 3.7 ms, step.onnx 6.9 ms a row).
_CALL_ROW_STEPS = 1.1
_WANTED_PRECISION = 0.95
_CLARITY_CHOICES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_POTENTIAL_CHOICES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


@dataclass(frozen=True)
class PruningOutcome:
    """What the pruning rule does to a set of trajectories; shares 0..1.

    Attributes:
        lost: pruned among those that would have ended well.
        caught: pruned among those that would have ended badly.
        saved: row-steps not run, among all.
        calls: verifier calls at judged steps per trajectory.
    """

    lost: float
    caught: float
    saved: float
    calls: float


@torch.inference_mode()
def read_answers(
    model: Verifier, data: RankingData, examples: TrajectoryExamples, tokenizer: Tokenizer
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of every recorded picture under its own prompt: float32 [n, S, 3] each."""
    logits, labels = [], []
    for row in range(len(data)):
        own = [examples.own(row, place) for place in range(len(data.steps))]
        labels.append([answers for _, _, answers in own])
        prompt_ids = torch.from_numpy(encode_prompts(tokenizer, [prompt for _, prompt, _ in own]))
        logits.append(model.logits(torch.from_numpy(np.stack([image for image, _, _ in own])), prompt_ids).numpy())
    return np.stack(logits), np.asarray(labels, dtype=np.float32)


def fit_scale_and_shift(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Scale a > 0 and shift b that minimise the cross-entropy of sigmoid(a * logit + b); float32 [m] each.

    Source: Platt scaling; Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599).
    """
    x, y = torch.from_numpy(logits).double(), torch.from_numpy(labels).double()
    parameters = torch.zeros(2, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        scaled = parameters[0].exp() * x + parameters[1]
        # A weak pull to scale 1 and shift 0 keeps the fit finite where the labels are separated perfectly.
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scaled, y) + 1e-3 * parameters.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    scale, shift = parameters.detach()
    return float(scale.exp()), float(shift)


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Probability that a positive scores higher than a negative, ties counted half; None without both kinds."""
    positive, negative = scores[labels > 0.5], scores[labels <= 0.5]
    if not len(positive) or not len(negative):
        return None
    order = np.sort(negative)
    below = np.searchsorted(order, positive, side="left") + np.searchsorted(order, positive, side="right")
    return float(below.mean() / 2 / len(negative))


def replay_pruning(
    probability: np.ndarray,
    good: np.ndarray,
    places: list[int],
    steps: list[int],
    step_count: int,
    clarity: float,
    potential: float,
) -> PruningOutcome:
    """Replays the engine's rule: clarity is asked at judged steps until it passes, then potential decides once.

    Args:
        probability: float [n, S, 3], calibrated P(yes).
        good: bool [n], whether the final picture satisfies its spec.
        places: positions of the judged steps on the second axis.
        steps: their step indices, ascending.
        step_count: steps of a whole run.
        clarity, potential: thresholds.
    """
    undecided = np.ones(len(good), bool)
    pruned = np.zeros(len(good), bool)
    saved = np.zeros(len(good))
    calls = 0
    for place, step in zip(places, steps, strict=True):
        calls += int(undecided.sum())
        clear = undecided & (probability[:, place, CLARITY] >= clarity)
        dropped = clear & (probability[:, place, POTENTIAL] < potential)
        pruned |= dropped
        saved[dropped] = step_count - 1 - step
        undecided &= ~clear
    return PruningOutcome(
        lost=float(pruned[good].mean()) if good.any() else 0.0,
        caught=float(pruned[~good].mean()) if (~good).any() else 0.0,
        saved=float(saved.mean() / step_count),
        calls=calls / len(good),
    )


def choose_pruning(
    probability: np.ndarray, good: np.ndarray, recorded: tuple[int, ...], step_count: int
) -> tuple[tuple[int, ...], float, float, PruningOutcome]:
    """The judged steps and thresholds that save most, judging paid for, while losing few good candidates.

    Returns:
        (judged steps, clarity threshold, potential threshold, what they do).
    """
    judgeable = [step for step in recorded if step < step_count - 2]
    options = [steps for size in (1, 2, 3) for steps in itertools.combinations(judgeable, size)]
    best = None
    for steps, clarity, potential in itertools.product(options, _CLARITY_CHOICES, _POTENTIAL_CHOICES):
        places = [recorded.index(step) for step in steps]
        outcome = replay_pruning(probability, good, places, list(steps), step_count, clarity, potential)
        worth = outcome.saved - _CALL_ROW_STEPS * outcome.calls / step_count
        if outcome.lost <= _LARGEST_LOSS and (best is None or worth > best[0]):
            best = (worth, steps, clarity, potential, outcome)
    if best is None:
        raise ValueError(f"every choice of steps and thresholds loses more than {_LARGEST_LOSS:.0%} of the good candidates")
    return best[1:]


def choose_alignment_threshold(probability: np.ndarray, labels: np.ndarray) -> float:
    """The lowest threshold at which accepted pictures are right with the wanted precision, else the most precise one.

    Args:
        probability: float [m], P(the final picture satisfies its prompt).
        labels: float [m], whether it does.
    """
    best_threshold, best_precision = 0.5, 0.0
    for threshold in (round(0.05 * twentieth, 2) for twentieth in range(10, 20)):
        accepted = probability >= threshold
        precision = float(labels[accepted].mean()) if accepted.any() else 0.0
        if precision >= _WANTED_PRECISION:
            return threshold
        if precision > best_precision:
            best_threshold, best_precision = threshold, precision
    return best_threshold


@torch.no_grad()
def fold_into_head(model: Verifier, fits: list[tuple[float, float]]) -> None:
    """Makes the head's logits the calibrated ones."""
    for task, (scale, shift) in enumerate(fits):
        model.head.weight[task] *= scale
        model.head.bias[task] = model.head.bias[task] * scale + shift


def curve_table(probability: np.ndarray, labels: np.ndarray, specs: list[dict], steps: tuple[int, ...]) -> dict:
    """Area under the curve by question and step, and of the last step's alignment by GenEval task."""
    table = {
        question: {
            f"step {step}": _rounded(area_under_curve(probability[:, place, index], labels[:, place, index]))
            for place, step in enumerate(steps)
        }
        for index, question in enumerate(TASKS)
    }
    tags = np.array([spec["tag"] for spec in specs])
    table["final alignment by task"] = {
        tag: _rounded(area_under_curve(probability[tags == tag, -1, ALIGNMENT], labels[tags == tag, -1, ALIGNMENT]))
        for tag in sorted(set(tags))
    }
    return table


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=_TRAINING_DIRECTORY / "configs/emoji-96.toml")
    parser.add_argument("--settings", type=Path, default=_TRAINING_DIRECTORY / "configs/bundle.toml")
    parser.add_argument("--weights", type=Path, default=_TRAINING_DIRECTORY / "weights/parm.pt")
    parser.add_argument("--trajectories", type=Path, nargs="+", default=[_TRAINING_DIRECTORY / "runs/ranking-held-out"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    model = load_weights(arguments.weights, Verifier, VerifierConfig)
    tokenizer = build_tokenizer()
    thresholds = DetectionThresholds(**tomllib.loads(arguments.settings.read_text())["detector"]["thresholds"])
    data = RankingData.read(arguments.trajectories)
    examples = TrajectoryExamples(data, World(WorldConfig.from_toml(arguments.config)), tokenizer, thresholds)
    logits, labels = read_answers(model, data, examples, tokenizer)

    # Potential and clarity are asked while a picture is made, alignment at its end.
    fits = [
        fit_scale_and_shift(logits[:, :-1, CLARITY].ravel(), labels[:, :-1, CLARITY].ravel()),
        fit_scale_and_shift(logits[:, :-1, POTENTIAL].ravel(), labels[:, :-1, POTENTIAL].ravel()),
        fit_scale_and_shift(logits[:, -1, ALIGNMENT], labels[:, -1, ALIGNMENT]),
    ]
    probability = 1 / (1 + np.exp(-(logits * [fit[0] for fit in fits] + [fit[1] for fit in fits])))
    good = labels[:, -1, ALIGNMENT] > 0.5
    steps, clarity, potential, outcome = choose_pruning(probability, good, data.steps, data.step_count)
    alignment = choose_alignment_threshold(probability[:, -1, ALIGNMENT], labels[:, -1, ALIGNMENT])
    report = {
        "tasks": list(TASKS),
        "thresholds": {"clarity": clarity, "potential": potential, "alignment": alignment},
        "judgedSteps": list(steps),
        "judgedStepsOf": data.step_count,
        "measured": {
            "trajectories": len(data),
            "correct": round(float(good.mean()), 4),
            "pruning": {key: round(value, 4) for key, value in asdict(outcome).items()},
            "areaUnderCurve": curve_table(probability, labels, data.specs, data.steps),
        },
    }
    fold_into_head(model, fits)
    save_weights(arguments.weights, model)
    arguments.weights.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
