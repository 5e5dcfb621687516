"""Scores of unselected samples under several sampling settings, as a Markdown table and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from training.sampling.mask_predict import SamplingSettings
from training.yardstick.intervals import wilson_interval

# Who says whether a picture is right: both strict instruments together, each alone, and GenEval's rules over the detector.
JUDGES = ("strict", "detector", "matcher", "geneval")


@dataclass(frozen=True)
class SettingScore:
    """What one setting's pictures were worth.

    Attributes:
        settings: how they were sampled.
        verdicts: of each of `JUDGES` by task, bool [prompts, pictures].
        seconds: what sampling, decoding and judging took.
    """

    settings: SamplingSettings
    verdicts: Mapping[str, Mapping[str, np.ndarray]]
    seconds: float

    def overall(self, judge: str) -> tuple[float, float]:
        """The mean of the task scores, 0..1, as GenEval's overall score is one, and half of its 95% interval."""
        return _mean_of_tasks([of_task.mean(1) for of_task in self.verdicts[judge].values()])

    def difference(self, other: "SettingScore", judge: str) -> tuple[float, float]:
        """Overall score above another setting's, -1..1, and half of its 95% interval, from differences prompt by prompt.

        Both were asked the same prompts with the same random numbers, which makes this interval narrower than those of the two
        scores suggest.
        """
        own, others = self.verdicts[judge], other.verdicts[judge]
        return _mean_of_tasks([own[task].mean(1) - others[task].mean(1) for task in own])

    @property
    def disagreement(self) -> float:
        """Share of the pictures, 0..1, on which the two strict instruments do not agree; each task counts alike."""
        detector, matcher = self.verdicts["detector"], self.verdicts["matcher"]
        return float(np.mean([(detector[task] != matcher[task]).mean() for task in detector]))


def _mean_of_tasks(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean of the tasks' means and 1.96 standard errors of it; values float [prompts >= 2] by task, prompts independent."""
    variances = [of_task.var(ddof=1) / len(of_task) for of_task in values]
    return float(np.mean([of_task.mean() for of_task in values])), float(1.96 * np.sqrt(np.sum(variances)) / len(values))


def score_entries(scores: Sequence[SettingScore]) -> list[dict]:
    """Settings; by judge task shares with Wilson intervals, overall score and difference from the first setting.

    GenEval's own stand beside the settings, the others under their names.
    """
    entries = []
    for score in scores:
        by_judge = {judge: _judged(score, scores[0], judge) for judge in JUDGES}
        entry = {**asdict(score.settings), **by_judge.pop("geneval"), **by_judge}
        entries.append({**entry, "disagreement": round(score.disagreement, 4), "seconds": round(score.seconds, 1)})
    return entries


def _judged(score: SettingScore, first: SettingScore, judge: str) -> dict:
    tasks = {}
    for task, correct in score.verdicts[judge].items():
        low, high = wilson_interval(int(correct.sum()), correct.size)
        tasks[task] = {"correct": round(float(correct.mean()), 4), "interval95": [round(low, 4), round(high, 4)]}
    entry = {"tasks": tasks}
    for name, (mean, half) in (("overall", score.overall(judge)), ("difference", score.difference(first, judge))):
        entry[name] = {"mean": round(mean, 4), "interval95": [round(mean - half, 4), round(mean + half, 4)]}
    return entry


def score_table(scores: Sequence[SettingScore]) -> str:
    """One line for each setting: strict scores, what each instrument says alone, and GenEval's rules over the detector."""
    tasks = list(scores[0].verdicts["strict"])
    shown = ("steps", "corrections", "correction_share", "guidance", "temperature", "code_temperature")
    heads = [*(name.replace("_", " ") for name in shown), *tasks, "overall", "above the first setting"]
    heads += ["detector alone", "matcher alone", "they disagree", "GenEval's rules"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for index, score in enumerate(scores):
        cells = [f"{getattr(score.settings, name):g}" for name in shown]
        for correct in score.verdicts["strict"].values():
            low, high = wilson_interval(int(correct.sum()), correct.size)
            cells.append(f"{correct.mean():.2f} ({low:.2f}-{high:.2f})")
        mean, half = score.overall("strict")
        cells.append(f"**{mean:.3f}** ± {half:.3f}")
        mean, half = score.difference(scores[0], "strict")
        cells.append(f"{mean:+.3f} ± {half:.3f}" if index else "")
        cells += [f"{score.overall(judge)[0]:.3f}" for judge in ("detector", "matcher")]
        cells += [f"{score.disagreement:.3f}", f"{score.overall('geneval')[0]:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
