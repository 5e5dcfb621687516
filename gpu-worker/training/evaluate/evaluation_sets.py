"""Writes the prompts that pictures are scored on: `python -m training.evaluate.evaluation_sets`.

`evaluation/official.jsonl`: GenEval's 553 prompts restricted to the objects of the world.
`evaluation/generated.jsonl`: more prompts of the same six forms. Where the world has few (single objects, counts, colours)
they include official ones; elsewhere none is official.
`evaluation/development.jsonl`: the last ones a task of those, by which settings are chosen; no report or benchmark comes as far.
`evaluation/scored-a.jsonl`, `scored-b.jsonl`: 40 prompts a task each, disjoint, of the facts between the first ones (which
earlier reports scored) and the development ones. Each is for one clean look: nothing may be chosen by it.

All are committed. Drawing other ones makes every trained weight invalid as a subject of evaluation: see `world/held_out.py`.
"""

import json

import numpy as np

from training.folders import EVALUATION
from training.world.classes import CLASS_INDEX, CLASSES, TASKS
from training.world.config import WorldConfig
from training.world.held_out import HeldOut, facts_of
from training.world.official_prompts import official_prompts
from training.world.prompts import geneval_prompt, paraphrase
from training.world.spec import Spec
from training.world.world import World

_SEED = 2611
# Counts and colours are few (192 and 630 kinds of facts): most must stay for training, so the official ones are scored again.
_SIZES = {"single_object": len(CLASSES), "two_object": 200, "counting": 80, "colors": 120, "position": 200, "color_attr": 200}
_DEVELOPMENT = 24
_REUSES_OFFICIAL = ("counting", "colors")
# Prompts a task that reports have scored again and again before there were sets for one look.
_SCORED_BEFORE = 16
_CLEAN = 40
_CLEAN_SEED = 2612
CLEAN_SETS = ("scored-a", "scored-b")


def world_prompts() -> list[Spec]:
    """GenEval's own prompts whose objects the world knows, in GenEval's order."""
    return [spec for spec in official_prompts() if all(entry["class"] in CLASS_INDEX for entry in spec["include"])]


def generated_prompts(official: list[Spec]) -> list[Spec]:
    """`_SIZES` prompts of each task, no facts twice; always the same."""
    # Draws must not depend on what is held out, which this decides.
    world, rng = World(WorldConfig(), HeldOut()), np.random.default_rng(_SEED)
    official_facts = {facts_of(spec) for spec in official}
    specs: list[Spec] = []
    for task in TASKS:
        if task == "single_object":
            specs += [_worded({"tag": task, "include": [{"class": name, "count": 1}]}) for name in CLASSES]
            continue
        chosen = [spec for spec in official if spec["tag"] == task] if task in _REUSES_OFFICIAL else []
        taken = {facts_of(spec) for spec in chosen} | official_facts
        while len(chosen) < _SIZES[task]:
            spec = world.sample_spec(rng, task)
            if facts_of(spec) not in taken:
                taken.add(facts_of(spec))
                chosen.append(_worded(spec))
        # Mixed, so that the first few of a task are a fair sample of all.
        specs += [chosen[int(index)] for index in rng.permutation(len(chosen))]
    return specs


def development_prompts(generated: list[Spec]) -> list[Spec]:
    """The last 24 of each task."""
    return [spec for task in TASKS for spec in [other for other in generated if other["tag"] == task][-_DEVELOPMENT:]]


def clean_prompts(generated: list[Spec]) -> dict[str, list[Spec]]:
    """The prompts of each of `CLEAN_SETS`: `_CLEAN` a task, no fact in both, none scored before, none of development.

    There are 40 counting facts left, so each set has 20 of them in two wordings. Single objects have no facts that could be held
    out: each prompt is a wording that training never draws, and the sets have different ones.
    """
    rng = np.random.default_rng(_CLEAN_SEED)
    sets: dict[str, list[Spec]] = {name: [] for name in CLEAN_SETS}
    taken = {spec["prompt"] for spec in generated}
    for task in TASKS:
        specs = [spec for spec in generated if spec["tag"] == task]
        pool = specs if task == "single_object" else specs[_SCORED_BEFORE:-_DEVELOPMENT]
        order = rng.permutation(len(pool))
        for place, chosen in enumerate(sets.values()):
            if task == "single_object":
                ours = [_other_wording(rng, pool[int(index)], taken) for index in rng.permutation(len(pool))[:_CLEAN]]
            elif task == "counting":
                half = [pool[int(index)] for index in order[place::2][: _CLEAN // 2]]
                ours = half + [_other_wording(rng, spec, taken) for spec in half]
            else:
                ours = [pool[int(index)] for index in order[place::2][:_CLEAN]]
            chosen += ours
    return sets


def _other_wording(rng: np.random.Generator, spec: Spec, taken: set[str]) -> Spec:
    """The spec in a paraphrase that is not taken yet."""
    while (prompt := paraphrase(rng, spec)) in taken:
        pass
    taken.add(prompt)
    return {**spec, "prompt": prompt}


def _worded(spec: Spec) -> Spec:
    return {**spec, "prompt": geneval_prompt(spec)}


def main() -> None:
    official = world_prompts()
    generated = generated_prompts(official)
    sets = {"official": official, "generated": generated, "development": development_prompts(generated)}
    for name, specs in (sets | clean_prompts(generated)).items():
        path = EVALUATION / f"{name}.jsonl"
        path.write_text("".join(json.dumps(spec) + "\n" for spec in specs))
        print(path, len(specs))


if __name__ == "__main__":
    main()
