"""How a generator scores on fixed prompts with fixed random numbers, and how two compare.

    python -m training.alignment.measure --generator A.pt --out runs/a.npz
    python -m training.alignment.measure --generator B.pt --out runs/b.npz --against runs/a.npz

Equal prompts and random numbers for all generators: differences are paired, with 95% intervals by resampling prompts.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from training.alignment.roll_out import RolloutSampler, load_sampler
from training.folders import CONFIGS, EVALUATION, WEIGHTS
from training.world.classes import TASKS
from training.world.held_out import read_specs
from training.world.prompts import drawn_styles
from training.world.spec import Spec

_SEED = 771_001  # never a training seed
_RESAMPLES = 4_000


@dataclass(frozen=True)
class Measured:
    """K pictures of each of P prompts.

    Attributes:
        tasks: P tasks.
        right: bool [P, K], the strict verdicts.
        geneval: bool [P, K], by GenEval's rules alone.
        codes: uint16 [P, K, N], the pictures.
        faults: str [P, K], as `yardstick.strict_yardstick.Verdicts.faults`.
    """

    tasks: np.ndarray
    right: np.ndarray
    geneval: np.ndarray
    codes: np.ndarray
    faults: np.ndarray

    def write(self, path: Path) -> None:
        """Writes them."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **vars(self))

    @classmethod
    def read(cls, path: Path) -> "Measured":
        """Reads what `write` wrote."""
        with np.load(path) as content:
            return cls(**{name: content[name] for name in cls.__dataclass_fields__})

    def summary(self) -> dict:
        """Scores by task and over all tasks, each task weighing the same; any of K; distance of siblings."""
        found = {task: _shares(self.right[self.tasks == task]) for task in TASKS if (self.tasks == task).any()}
        overall = {name: round(float(np.mean([of_task[name] for of_task in found.values()])), 4) for name in ("strict", "any")}
        by_rules = [self.geneval[self.tasks == task].mean() for task in found]
        distance = (self.codes[:, :1] != self.codes[:, 1:]).mean() if self.codes.shape[1] > 1 else 0.0
        names, counts = np.unique(self.faults, return_counts=True)
        return {
            **overall, "geneval": round(float(np.mean(by_rules)), 4), "siblingDistance": round(float(distance), 4),
            "faults": dict(zip(names.tolist(), counts.tolist(), strict=True)), "tasks": found,
        }  # fmt: skip


def _shares(right: np.ndarray) -> dict[str, float]:
    return {"strict": round(float(right.mean()), 4), "any": round(float(right.any(1).mean()), 4)}


def paired_difference(ours: np.ndarray, theirs: np.ndarray, tasks: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Difference of two scores on the same prompts, each task weighing the same.

    Args:
        ours, theirs: [P, K], K pictures of each prompt, or [P].
        tasks: P tasks; prompts are drawn again within their task.
        seed: of the resampling.

    Returns:
        (difference, lower and upper end of its 95% bootstrap interval).
    """
    difference = (ours.astype(float) - theirs).reshape(len(tasks), -1).mean(1)
    rng = np.random.default_rng(seed)
    names = [task for task in TASKS if (tasks == task).any()]
    drawn = np.zeros(_RESAMPLES)
    for task in names:
        values = difference[tasks == task]
        drawn += values[rng.integers(len(values), size=(_RESAMPLES, len(values)))].mean(1) / len(names)
    mean = float(np.mean([difference[tasks == task].mean() for task in names]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return mean, float(low), float(high)


def measure(sampler: RolloutSampler, specs: list[Spec], pictures: int, rows: int) -> Measured:
    """`pictures` pictures of each spec, at most `rows` at a time; equal styles and random numbers for every generator."""
    asked = [spec for spec in specs for _ in range(pictures)]
    styled = drawn_styles([spec["prompt"] for spec in asked], _SEED)
    parts = [
        sampler.of_prompts(asked[start : start + rows], styled[start : start + rows], (_SEED, start))
        for start in range(0, len(asked), rows)
    ]
    by_prompt = (len(specs), pictures)
    join = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("right", "geneval", "codes")}
    faults = np.array([word for part in parts for word in part.shown])
    tasks = np.array([spec["tag"] for spec in specs])
    verdicts = (join[name].reshape(by_prompt) for name in ("right", "geneval"))
    return Measured(tasks, *verdicts, join["codes"].reshape(*by_prompt, -1), faults.reshape(by_prompt))


def comparison(ours: Measured, theirs: Measured) -> dict[str, list[float]]:
    """Paired differences with their intervals: overall and of each task."""
    rows = {"overall": np.ones(len(ours.tasks), bool)} | {task: ours.tasks == task for task in TASKS if task in ours.tasks}
    return {
        name: [round(value, 4) for value in paired_difference(ours.right[chosen], theirs.right[chosen], ours.tasks[chosen])]
        for name, chosen in rows.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", type=Path, default=WEIGHTS / "generator.pt")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the other models (%(default)s)")
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml")
    parser.add_argument("--prompts", type=Path, default=EVALUATION / "development.jsonl", help="%(default)s")
    parser.add_argument("--pictures", type=int, default=4, help="of each prompt (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="file of verdicts and codes")
    parser.add_argument("--against", type=Path, help="such a file of another generator, to compare with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sampler = load_sampler(arguments.generator, arguments.weights, arguments.config, arguments.settings)
    measured = measure(sampler, read_specs(arguments.prompts), arguments.pictures, rows=16)
    measured.write(arguments.out)
    report = measured.summary()
    if arguments.against:
        report["differences"] = comparison(measured, Measured.read(arguments.against))
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
