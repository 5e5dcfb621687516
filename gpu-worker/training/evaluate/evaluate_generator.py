"""Scores the generator's unselected samples with the strict yardstick: `python -m training.evaluate.evaluate_generator`.

The prompts are those that GenEval runs score, or a file of others: settings are chosen by `validation_prompts`, not by
what is reported. Several values of a setting (`--steps`, `--corrections`, `--guidance`, ...) are compared on the same prompts and
random numbers. Pictures come from the graphs that are served: exported in memory from the weights, or a bundle's.
Prints a Markdown table and, as its last line, one JSON object; `--out` keeps both.
"""

import argparse
import itertools
import json
import time
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from training.evaluate.sampling_report import JUDGES, SettingScore, score_entries, score_table
from training.export.graph_painter import GraphPainter
from training.folders import CONFIGS, WEIGHTS
from training.loop.checkpoint import load_weights
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.plots.pictures import save_grid
from training.sampling.mask_predict import SamplingSettings
from training.world.classes import TASKS
from training.world.held_out import EVALUATION_SETS, read_evaluation_set, read_specs
from training.world.spec import Spec
from training.yardstick.strict_yardstick import StrictYardstick, bundle_yardstick, load_yardstick

_SEED = 770_001  # never a training seed
_SHEET_COLUMNS = 16
# Settings of which several values may be given, the first changing slowest.
_COMPARED = {
    "code_temperature": float, "steps": int, "corrections": int, "correction_share": float, "guidance": float,
    "temperature": float,
}  # fmt: skip


def scored_specs(name: str, tasks: Sequence[str], per_task: int | None) -> dict[str, list[Spec]]:
    """The first `per_task` prompts of each task of an evaluation set or a file, all of them for None.

    Raises:
        ValueError: a task has none.
    """
    specs = read_evaluation_set(name) if name in EVALUATION_SETS else read_specs(Path(name))
    if absent := set(tasks) - {spec["tag"] for spec in specs}:
        raise ValueError(f"{name} has no prompts of {', '.join(sorted(absent))}")
    return {task: [spec for spec in specs if spec["tag"] == task][:per_task] for task in tasks}


def score_setting(
    painter: GraphPainter,
    yardstick: StrictYardstick,
    specs: dict[str, list[Spec]],
    settings: SamplingSettings,
    pictures: int = 1,
) -> tuple[SettingScore, torch.Tensor]:
    """Paints and judges `pictures` samples of every prompt.

    Args:
        painter: with the graphs under test.
        yardstick: judges its pictures.
        specs: by task, GenEval metadata with `prompt`.
        settings: how to sample.
        pictures: at least 1.

    Returns:
        The score, and the pictures uint8 [prompts * pictures, H, W, 3] in the order of the specs.
    """
    started = time.perf_counter()
    asked = [spec for of_task in specs.values() for spec in of_task for _ in range(pictures)]
    images = painter.paint([spec["prompt"] for spec in asked], settings, _SEED)
    found = yardstick.judge(images, asked)
    edges = np.cumsum([len(of_task) for of_task in specs.values()])[:-1]
    verdicts = {
        judge: dict(zip(specs, np.split(says.reshape(-1, pictures), edges), strict=True))
        for judge, says in zip(JUDGES, (found.right, found.detector, found.matcher, found.geneval), strict=True)
    }
    return SettingScore(settings, verdicts, time.perf_counter() - started), images


def main() -> None:
    arguments = _arguments()
    yardstick, painters = _models(arguments)
    specs = scored_specs(arguments.prompts, arguments.tasks, arguments.per_task)
    scores: list[SettingScore] = []
    for values in itertools.product(*(getattr(arguments, name) for name in _COMPARED)):
        settings = replace(arguments.defaults, **dict(zip(_COMPARED, values, strict=True)))
        painter = painters[settings.code_temperature]
        score, images = score_setting(painter, yardstick, specs, settings, arguments.pictures)
        scores.append(score)
        if arguments.out:  # after every setting, so that an interrupted grid is not lost
            _write(arguments.out, arguments.prompts, specs, scores, images, arguments.pictures)
    print(score_table(scores))
    print(json.dumps({"prompts": arguments.prompts, "pictures": arguments.pictures, "settings": score_entries(scores)}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Scores unselected samples of the generator.")
    parser.add_argument("--prompts", default="generated", help="an evaluation set or a file of GenEval metadata (%(default)s)")
    parser.add_argument("--generator", type=Path, default=WEIGHTS / "generator.pt")
    parser.add_argument("--quantizer", type=Path, default=WEIGHTS / "quantizer.pt")
    parser.add_argument("--detector", type=Path, default=WEIGHTS / "detector.pt")
    parser.add_argument("--faults", type=Path, default=WEIGHTS / "faults.pt")
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml", help="the world, for its drawings")
    parser.add_argument("--bundle", type=Path, help="use this bundle's graphs and drawings instead of the weights")
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml", help="thresholds and defaults")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--per-task", type=int, help="only the first so many prompts of each task, at least 2")
    parser.add_argument("--pictures", type=int, default=1, help="samples of each prompt")
    for name, kind in _COMPARED.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, nargs="+", help="one or several; default: the bundle's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for scores.md, scores.json and the last setting's pictures, by task")
    arguments = parser.parse_args()
    if arguments.per_task is not None and arguments.per_task < 2:
        parser.error(f"--per-task is {arguments.per_task}; an interval needs at least 2 prompts of each task")
    if arguments.bundle and arguments.code_temperature not in (None, [1.0]):
        parser.error("a bundle's code temperature is inside its step graph: compare others by weights, without --bundle")
    arguments.defaults = SamplingSettings.of_bundle(tomllib.loads(arguments.settings.read_text()))
    if arguments.bundle:  # its graphs carry their code temperature already
        arguments.defaults = replace(arguments.defaults, code_temperature=1.0)
    for name in _COMPARED:
        if getattr(arguments, name) is None:
            setattr(arguments, name, [getattr(arguments.defaults, name)])
    return arguments


def _models(arguments: argparse.Namespace) -> tuple[StrictYardstick, dict[float, GraphPainter]]:
    """The yardstick, and a painter for each code temperature."""
    if arguments.bundle:
        return bundle_yardstick(arguments.bundle, arguments.threads), {
            1.0: GraphPainter.of_bundle(arguments.bundle, arguments.threads)
        }
    generator = load_weights(arguments.generator, Generator, GeneratorConfig)
    quantizer = load_weights(arguments.quantizer, Quantizer, QuantizerConfig)
    yardstick = load_yardstick(
        arguments.detector, arguments.faults, arguments.quantizer, arguments.config, arguments.settings, arguments.threads
    )
    painters = {
        value: GraphPainter.of_weights(generator, quantizer, value, arguments.threads) for value in arguments.code_temperature
    }
    return yardstick, painters


def _write(
    folder: Path, prompts: str, specs: dict[str, list[Spec]], scores: list[SettingScore], images: torch.Tensor, pictures: int
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scores.md").write_text(score_table(scores) + "\n")
    content = {"prompts": prompts, "pictures": pictures, "settings": score_entries(scores)}
    (folder / "scores.json").write_text(json.dumps(content, indent=1) + "\n")
    counts = [len(of_task) * pictures for of_task in specs.values()]
    for (task, of_task), shown in zip(specs.items(), images.split(counts), strict=True):
        captions = [spec["prompt"].removeprefix("a photo of ") for spec in of_task for _ in range(pictures)]
        save_grid(folder / f"{task}.png", shown.numpy(), columns=min(_SHEET_COLUMNS, len(shown)), captions=captions)


if __name__ == "__main__":
    main()
