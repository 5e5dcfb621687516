"""Writes prompts to choose a verifier's settings by: `python -m training.evaluate.validation_prompts --out FILE`.

They ask for facts of the calibration split: neither a training nor a score has seen them, so a setting chosen by a recording of
them (`npm run geneval -- --record DIR --prompts FILE`, then `--tune DIR`) is not fitted to what is reported.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from training.folders import CONFIGS
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.fact_splits import split_of
from training.world.spec import Spec
from training.world.world import World

_SPLIT = "calibration"
# For each prompt that is wanted; one of eight is of this split.
_DRAWS = 200


def validation_prompts(world: World, per_task: int, seed: int = 1) -> list[Spec]:
    """`per_task` specs of each task with their `prompt`, none twice: GenEval's metadata form, in the order of the tasks.

    Raises:
        ValueError: the split has fewer prompts of a task, as far as many draws show.
    """
    rng = np.random.default_rng(seed)
    chosen: list[Spec] = []
    for task in TASKS:
        prompts: set[str] = set()
        for _ in range(_DRAWS * per_task):
            spec = world.sample_spec(rng, task)
            worded = {**spec, "prompt": world.prompt(rng, spec)}
            if split_of(worded) == _SPLIT and worded["prompt"] not in prompts and len(prompts) < per_task:
                prompts.add(worded["prompt"])
                chosen.append(worded)
        if len(prompts) < per_task:
            raise ValueError(f"the {_SPLIT} split has about {len(prompts)} prompts of {task}; {per_task} were asked for")
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml", help="the world (%(default)s)")
    parser.add_argument("--per-task", type=int, default=10, help="prompts of each task (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="file to write, JSON lines")
    arguments = parser.parse_args()
    specs = validation_prompts(World(WorldConfig.from_toml(arguments.config)), arguments.per_task, arguments.seed)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("".join(json.dumps(spec) + "\n" for spec in specs))
    print(arguments.out, len(specs))


if __name__ == "__main__":
    main()
