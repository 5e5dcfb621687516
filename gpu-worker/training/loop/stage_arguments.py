"""The command line that the four training scripts share."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from training.folders import CONFIGS, RUNS
from training.loop.budget import Budget
from training.loop.device import DEVICES, Hardware, choose_hardware
from training.loop.stage import Stage, TrainingSettings
from training.loop.training_loop import TrainingLoop

S = TypeVar("S", bound=TrainingSettings)


def stage_parser(description: str, name: str, minutes: float) -> argparse.ArgumentParser:
    """A parser with everything that all stages are asked.

    Args:
        description: first line of the help text.
        name: of the stage: its file in `configs` and its folder in `runs`.
        minutes: default allowance.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, default=CONFIGS / f"{name}.toml", help="sizes, rates and shares (%(default)s)")
    parser.add_argument("--world", type=Path, default=CONFIGS / "emoji-96.toml", help="what scenes look like (%(default)s)")
    parser.add_argument("--run", type=Path, default=RUNS / name, help="folder of checkpoint and log (%(default)s)")
    parser.add_argument("--weights", type=Path, help="file of the released weights, instead of the one in the run's folder")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=minutes, help="allowance, all resumed parts together (%(default)s)")
    length.add_argument("--steps", type=int, help="exact number of steps instead, for repeatable runs")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU where there is one")
    parser.add_argument("--threads", type=int, help="threads that compute on a CPU; one a core unless given")
    parser.add_argument("--workers", type=int, help="processes that compose examples; on a CPU 0, else one a core but one")
    parser.add_argument("--batch", type=int, help="instead of the config's")
    parser.add_argument("--muon-lr", type=float, help="learning rate of hidden weights, instead of the config's")
    parser.add_argument("--adam-lr", type=float, help="learning rate of all others, instead of the config's")
    parser.add_argument("--seed", type=int, default=1, help="of first weights and examples (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="continue the run's checkpoint")
    parser.add_argument("--start", type=Path, help="released weights that a new run begins from")
    return parser


def hardware_of(arguments: argparse.Namespace) -> Hardware:
    """The hardware that the command line asks for; see `choose_hardware`."""
    return choose_hardware(arguments.device, arguments.threads, arguments.workers)


def overridden(settings: S, arguments: argparse.Namespace) -> S:
    """Settings of the config file, with what the command line says instead."""
    given = {name: getattr(arguments, name) for name in ("batch", "muon_lr", "adam_lr")}
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def run_stage(stage: Stage, settings: TrainingSettings, arguments: argparse.Namespace) -> TrainingLoop:
    """Trains a stage as the command line says and prints where its weights are; a run that resumes needs no start."""
    if arguments.start is not None and not arguments.resume:
        stage.start_from(arguments.start)
    budget = Budget(steps=arguments.steps) if arguments.steps is not None else Budget(minutes=arguments.minutes)
    loop = TrainingLoop(
        stage, settings, budget, arguments.run,
        hardware=hardware_of(arguments), seed=arguments.seed, weights=arguments.weights,
    )  # fmt: skip
    if arguments.resume:
        loop.resume()
    loop.train()
    print(json.dumps({"weights": str(loop.weights), "steps": loop.step}))
    return loop
