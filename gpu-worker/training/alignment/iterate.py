"""Alignment in rounds, each on pictures of the newest generator: `python -m training.alignment.iterate --rounds 3`.

The paper's iterative alignment (PARM, arXiv 2501.13926, section 3.3): a round records pictures of the generator that the one
before it left, and trains on them with that generator as its reference. One folder a round; an interrupted run goes on where
it stopped.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from training.alignment.guidance import GUIDES
from training.alignment.measure import Measured, comparison, measure
from training.alignment.roll_out import load_sampler, summary, write_rollouts
from training.alignment.train_aligned import KINDS, build_stage, read_aligned, released_guide
from training.folders import CONFIGS, EVALUATION, RUNS, WEIGHTS
from training.loop.budget import Budget
from training.loop.device import DEVICES, Hardware, choose_hardware
from training.loop.run_log import RunLog
from training.loop.training_loop import TrainingLoop
from training.world.held_out import read_specs

# Rows that are sampled together.
_CPU_ROWS, _CUDA_ROWS = 16, 512
_PROMPTS_OF_A_FILE = 20


def run_round(index: int, generator: Path, arguments: argparse.Namespace, hardware: Hardware) -> Path:
    """Records, trains and measures one round, as far as that is not done yet; returns the generator that it leaves."""
    folder, device = arguments.run / f"round-{index}", hardware.device.type
    rows = _CPU_ROWS if device == "cpu" else _CUDA_ROWS
    sampler = load_sampler(generator, arguments.weights, arguments.world, arguments.settings, device, arguments.per_prompt)
    # A seed of its own: a round that sees the prompts of the one before it learns them by heart.
    seeds = {"seed": arguments.seed + index, "prompts": _PROMPTS_OF_A_FILE, "rows": rows, "files": arguments.files}
    rollouts = write_rollouts(sampler, folder / "rollouts", **seeds)
    log = RunLog(folder / "log.jsonl")
    log.write(round=index, generator=str(generator), rollouts=summary(rollouts))
    weights = folder / "generator.pt"
    if not weights.exists():
        settings = read_aligned(arguments.config)
        if arguments.adam_lr is not None:
            settings = replace(settings, adam_lr=arguments.adam_lr)
        guide = released_guide(arguments.guide, arguments.weights)
        recorded, quantizer = [folder / "rollouts"], arguments.weights / "quantizer.pt"
        stage = build_stage(generator, arguments.kind, settings, recorded, quantizer, arguments.world, guide)
        budget, unfinished = Budget(steps=arguments.steps), folder / "unfinished.pt"
        TrainingLoop(
            stage, settings, budget, folder, hardware=hardware, seed=arguments.seed + index, weights=unfinished
        ).train()
        unfinished.rename(weights)
    specs = read_specs(arguments.prompts)
    before, after = folder / "before.npz", folder / "after.npz"
    for path, model in ((before, generator), (after, weights)):
        if not path.exists():
            judged = load_sampler(model, arguments.weights, arguments.world, arguments.settings, device)
            measure(judged, specs, arguments.pictures, rows).write(path)
    ours, theirs = Measured.read(after), Measured.read(before)
    report = {"round": index, **ours.summary(), "differences": comparison(ours, theirs)}
    log.write(**report)
    print(json.dumps(report))
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=KINDS, default="nft")
    parser.add_argument("--guide", choices=GUIDES, help="a verifier whose answers are added to the loss")
    parser.add_argument("--start", type=Path, default=WEIGHTS / "generator.pt", help="generator of the first round")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the other models (%(default)s)")
    parser.add_argument("--run", type=Path, default=RUNS / "aligned", help="folder of the rounds (%(default)s)")
    parser.add_argument("--config", type=Path, default=CONFIGS / "aligned.toml")
    parser.add_argument("--world", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml", help="sampling and thresholds")
    parser.add_argument("--files", type=int, default=10, help="of 20 prompts each that a round records (%(default)s)")
    parser.add_argument("--per-prompt", type=int, default=12, help="pictures of each prompt (%(default)s)")
    parser.add_argument("--steps", type=int, default=120, help="optimiser steps of a round (%(default)s)")
    parser.add_argument("--adam-lr", type=float, help="instead of the config's")
    parser.add_argument("--prompts", type=Path, default=EVALUATION / "development.jsonl", help="that are measured on")
    parser.add_argument("--pictures", type=int, default=4, help="of each of these (%(default)s)")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    hardware, generator = choose_hardware(arguments.device, arguments.threads), arguments.start
    for index in range(1, arguments.rounds + 1):
        generator = run_round(index, generator, arguments, hardware)
    print(json.dumps({"generator": str(generator)}))


if __name__ == "__main__":
    main()
