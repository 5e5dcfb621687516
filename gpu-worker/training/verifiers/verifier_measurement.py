"""What a verifier says about recorded trajectories, and how good that is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.data.ranking_shards import RankingData
from training.export.graphs.runtime import GraphSession
from training.models.verifier import TASKS
from training.verifiers.coherence import CoherenceFit, fused
from training.verifiers.probability_quality import area_under_curve, reliability
from training.verifiers.pruning_choice import ALIGNMENT, POTENTIAL
from training.verifiers.trajectory_examples import label
from training.verifiers.verifier_kinds import VerifierKind
from training.world.geneval_rules import DetectionThresholds
from training.world.tokenizer import build_tokenizer, encode_prompt

# Sigmoids in float32 are 1 beyond this; a logit read back from them must stay finite.
_LARGEST_LOGIT = 15.0


@dataclass(frozen=True)
class Answers:
    """A verifier's answers about n trajectories of S recorded steps, each picture under its own prompt.

    Attributes:
        logits: float64 [n, S, 3] in the order of `TASKS`.
        labels: float64 [n, S, 3], 0 or 1.
        coherence: float64 [n, S], logits of the generator's own opinion (`training.verifiers.coherence`).
        tags: str [n], GenEval task of each.
        siblings: rows of each prompt.
        steps: step indices of the second axis.
    """

    logits: np.ndarray
    labels: np.ndarray
    coherence: np.ndarray
    tags: np.ndarray
    siblings: list[list[int]]
    steps: tuple[int, ...]

    def calibrated(self, fits: list[tuple[float, float]]) -> np.ndarray:
        """Logits float64 [n, S, 3] under a scale and a shift for each question."""
        return self.logits * [scale for scale, _ in fits] + [shift for _, shift in fits]

    def scores(self, fits: list[tuple[float, float]], fusion: dict[str, dict[str, float]]) -> np.ndarray:
        """What decisions go by, float64 [n, S, 3], 0..1: calibrated answers, those in `fusion` fused with coherence."""
        logits = self.calibrated(fits)
        for task, weights in fusion.items():
            logits[..., TASKS.index(task)] = fused(logits[..., TASKS.index(task)], self.coherence, weights)
        return 1 / (1 + np.exp(-logits))


def read_answers(
    verifier: GraphSession,
    decode: Callable[[np.ndarray], np.ndarray],
    data: RankingData,
    thresholds: DetectionThresholds,
    kind: VerifierKind,
    coherence: CoherenceFit,
) -> Answers:
    """Asks the exported verifier about every recorded picture.

    Args:
        verifier: graph that answers all questions.
        decode: int64 [R, N] codes to uint8 [R, H, W, 3].
        data: trajectories.
        thresholds: which detections count for the labels.
        kind: what potential means in the labels.
        coherence: fitted after all recorded steps.
    """
    tokenizer, logits, labels = build_tokenizer(), [], []
    for row, spec in enumerate(data.specs):
        labels.append([label(data, row, place, spec, thresholds, kind) for place in range(len(data.steps))])
        prompt_ids = np.repeat(encode_prompt(tokenizer, spec["prompt"])[None], len(data.steps), axis=0)
        yes = verifier.run({"image": decode(data.codes[row].astype(np.int64)), "prompt_ids": prompt_ids})["yes"].astype(
            np.float64
        )
        with np.errstate(divide="ignore"):
            logits.append(np.clip(np.log(yes) - np.log1p(-yes), -_LARGEST_LOGIT, _LARGEST_LOGIT))
    tags = np.array([spec["tag"] for spec in data.specs])
    own_opinion = coherence.logits(data.coherence, data.steps)
    return Answers(np.stack(logits), np.asarray(labels, np.float64), own_opinion, tags, data.siblings, data.steps)


def measure(answers: Answers, probability: np.ndarray, tasks: tuple[str, ...]) -> dict:
    """Area under the ROC curve by question, step and GenEval task, reliability, and what choosing by the score earns.

    Args:
        answers: of trajectories that neither training nor calibration saw.
        probability: calibrated, float [n, S, 3].
        tasks: the questions that the verifier answers.
    """
    report: dict = {"trajectories": len(answers.labels)}
    for task in tasks:
        index = TASKS.index(task)
        scores, labels = probability[..., index], answers.labels[..., index]
        report[task] = {
            "areaUnderCurve": {
                f"step {step}": {
                    "all": _rounded(area_under_curve(scores[:, place], labels[:, place])),
                    **_by_tag(answers.tags, scores[:, place], labels[:, place]),
                }
                for place, step in enumerate(answers.steps)
            },
            "reliability": {
                f"step {step}": reliability(scores[:, place], labels[:, place]) for place, step in enumerate(answers.steps)
            },
        }
    report["selection"] = selection(answers, probability[:, -1, ALIGNMENT if "alignment" in tasks else POTENTIAL])
    return report


def selection(answers: Answers, scores: np.ndarray) -> dict[str, dict[str, float]]:
    """Share of right final pictures by GenEval task: of all, of each prompt's best by its score, and of prompts that have any.

    Args:
        answers: labels and siblings.
        scores: float [n], what ranks the final pictures of a prompt.
    """
    right = answers.labels[:, -1, ALIGNMENT]
    outcomes: dict[str, list[tuple[float, float, float]]] = {}
    for rows in answers.siblings:
        chosen = rows[int(np.argmax(scores[rows]))]
        outcomes.setdefault(str(answers.tags[rows[0]]), []).append((right[rows].mean(), right[chosen], right[rows].max()))
    means = {tag: np.mean(values, axis=0) for tag, values in outcomes.items()}
    return {
        tag: {name: round(float(value), 4) for name, value in zip(("single", "chosen", "any"), mean, strict=True)}
        for tag, mean in sorted({**means, "overall": np.mean(list(means.values()), axis=0)}.items())
    }


def _by_tag(tags: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    return {str(tag): _rounded(area_under_curve(scores[tags == tag], labels[tags == tag])) for tag in np.unique(tags)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
