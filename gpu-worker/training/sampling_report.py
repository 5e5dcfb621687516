"""Scores of unselected samples under several sampling settings, as a Markdown table and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from training.intervals import wilson_interval
from training.sampling import SamplingSettings


@dataclass(frozen=True)
class SettingScore:
    """What one setting's pictures were worth.

    Attributes:
        settings: how they were sampled.
        correct: by task, bool [prompts, pictures]: whether the picture satisfies its prompt.
        seconds: what sampling, decoding and detecting took.
    """

    settings: SamplingSettings
    correct: Mapping[str, np.ndarray]
    seconds: float

    @property
    def overall(self) -> tuple[float, float]:
        """GenEval's overall score, the mean of the task scores, 0..1, and half of its 95% interval."""
        return _mean_of_tasks([of_task.mean(1) for of_task in self.correct.values()])

    def difference(self, other: "SettingScore") -> tuple[float, float]:
        """Overall score above another setting's, -1..1, and half of its 95% interval, from differences prompt by prompt.

        Both were asked the same prompts with the same random numbers, which makes this interval narrower than those of the two
        scores suggest.
        """
        return _mean_of_tasks([self.correct[task].mean(1) - other.correct[task].mean(1) for task in self.correct])


def _mean_of_tasks(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean of the tasks' means and 1.96 standard errors of it; values float [prompts >= 2] by task, prompts independent."""
    variances = [of_task.var(ddof=1) / len(of_task) for of_task in values]
    return float(np.mean([of_task.mean() for of_task in values])), float(1.96 * np.sqrt(np.sum(variances)) / len(values))


def score_entries(scores: Sequence[SettingScore]) -> list[dict]:
    """Settings, task shares with Wilson intervals, overall score and difference from the first setting."""
    entries = []
    for score in scores:
        tasks = {}
        for task, correct in score.correct.items():
            low, high = wilson_interval(int(correct.sum()), correct.size)
            tasks[task] = {"correct": round(float(correct.mean()), 4), "interval95": [round(low, 4), round(high, 4)]}
        entry = {**asdict(score.settings), "tasks": tasks, "seconds": round(score.seconds, 1)}
        for name, (mean, half) in (("overall", score.overall), ("difference", score.difference(scores[0]))):
            entry[name] = {"mean": round(mean, 4), "interval95": [round(mean - half, 4), round(mean + half, 4)]}
        entries.append(entry)
    return entries


def score_table(scores: Sequence[SettingScore]) -> str:
    """One line for each setting; the last column compares it with the first."""
    tasks = list(scores[0].correct)
    shown = ("steps", "corrections", "correction_share", "guidance", "temperature", "code_temperature")
    heads = [*(name.replace("_", " ") for name in shown), *tasks, "overall", "above the first setting"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for index, score in enumerate(scores):
        cells = [f"{getattr(score.settings, name):g}" for name in shown]
        for correct in score.correct.values():
            low, high = wilson_interval(int(correct.sum()), correct.size)
            cells.append(f"{correct.mean():.2f} ({low:.2f}-{high:.2f})")
        mean, half = score.overall
        cells.append(f"**{mean:.3f}** ± {half:.3f}")
        mean, half = score.difference(scores[0])
        cells.append(f"{mean:+.3f} ± {half:.3f}" if index else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
