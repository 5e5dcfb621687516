"""Shows when a step is clear, beside other ways to say it: `python -m training.plots.draw_clarity`.

Draws `figures/clarity.png` from the training split of recorded trajectories and prints its numbers: for each rule of
`verifiers.clarity` and each step the share of pictures that it calls clear, and how often the verdict on a clear picture, read
by the yardstick, is that on the final one. A rule is good when the second is high as soon as the first is.
"""

import argparse
import json
import tomllib
from pathlib import Path

import matplotlib
import numpy as np

from training.data.ranking_shards import RankingData
from training.folders import CONFIGS, FIGURES, RUNS
from training.verifiers.clarity import CLARITY_RULES, ClarityRule
from training.world.geneval_rules import DetectionThresholds, is_correct


def clear_shares(data: RankingData, rule: ClarityRule, thresholds: DetectionThresholds) -> dict[str, list[float | None]]:
    """What a rule calls clear, by recorded step but the last.

    Returns:
        `clear`, the share of clear pictures; `borne_out`, of these the share whose verdict is the final one, None without any;
        `foretold`, the share of paths that end well among clear pictures that look right.
    """
    shares: dict[str, list[float | None]] = {"clear": [], "borne_out": [], "foretold": []}
    for place in range(len(data.steps) - 1):
        clear, same, good = [], [], []
        for row, spec in enumerate(data.specs):
            now, final = data.objects(row, place), data.objects(row, -1)
            clear.append(rule(now, final, spec, thresholds))
            if clear[-1]:
                looks, ends = (is_correct(objects, spec, thresholds) for objects in (now, final))
                same.append(looks == ends)
                good += [ends] if looks else []
        shares["clear"].append(_mean(clear))
        shares["borne_out"].append(_mean(same))
        shares["foretold"].append(_mean(good))
    return shares


def _mean(values: list[bool]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml")
    parser.add_argument("--trajectories", type=Path, default=RUNS / "ranking")
    parser.add_argument("--out", type=Path, default=FIGURES / "clarity.png")
    arguments = parser.parse_args()
    matplotlib.use("Agg")
    from matplotlib import pyplot

    thresholds = DetectionThresholds(**tomllib.loads(arguments.settings.read_text())["detector"]["thresholds"])
    data = RankingData.read(arguments.trajectories, "train")
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharex=True, sharey=True)
    for name, rule in CLARITY_RULES.items():
        shares = clear_shares(data, rule, thresholds)
        for axis, part in zip(axes, ("clear", "borne_out"), strict=True):
            axis.plot(data.steps[:-1], [np.nan if value is None else value for value in shares[part]], marker="o", label=name)
        print(json.dumps({"rule": name, "steps": data.steps[:-1], **shares}))
    for axis, title in zip(axes, ("share of pictures called clear", "clear pictures with the final verdict"), strict=True):
        axis.set(title=title, xlabel="step", ylim=(0, 1.02))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
