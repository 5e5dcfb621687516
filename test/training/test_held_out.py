"""What is scored is never trained on: the evaluation sets, and what training worlds draw."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from training.detector_scenes import detector_worlds
from training.evaluation_sets import development_prompts, generated_prompts, world_prompts
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.held_out import EVALUATION_SETS, HeldOut, evaluation_held_out, facts_of, read_evaluation_set
from training.world.official_prompts import official_prompts
from training.world.prompts import geneval_prompt
from training.world.world import World

CONFIG = Path(__file__).parents[2] / "gpu-worker/training/configs/emoji-96.toml"
DRAWS = 3000


def test_official_prompts_are_genevals_own() -> None:
    published = "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13"
    text = "".join(json.dumps(spec) + "\n" for spec in official_prompts())
    assert hashlib.sha256(text.encode()).hexdigest() == published


def test_the_committed_sets_are_what_the_command_writes() -> None:
    official = world_prompts()
    assert read_evaluation_set("official") == official
    generated = generated_prompts(official)
    assert read_evaluation_set("generated") == generated
    assert read_evaluation_set("development") == development_prompts(generated)


def test_generated_prompts_are_distinct_in_what_they_ask() -> None:
    facts = [facts_of(spec) for spec in read_evaluation_set("generated") if spec["tag"] != "single_object"]
    assert len(set(facts)) == len(facts)


@pytest.mark.parametrize("task", TASKS)
def test_training_draws_no_scored_prompt_and_no_scored_facts(task: str) -> None:
    scored = [spec for name in EVALUATION_SETS for spec in read_evaluation_set(name)]
    prompts, facts = {spec["prompt"] for spec in scored}, {facts_of(spec) for spec in scored} - {None}
    base = WorldConfig.from_toml(CONFIG)
    for world in (World(base), detector_worlds(base)[0]):
        rng = np.random.default_rng(11)
        for _ in range(DRAWS):
            spec = world.sample_spec(rng, task)
            assert facts_of(spec) not in facts
            assert world.prompt(rng, spec) not in prompts


def test_without_the_rule_training_would_draw_them() -> None:
    world, rng, held_out = World(WorldConfig(), HeldOut()), np.random.default_rng(11), evaluation_held_out()
    assert any(held_out.holds(world.sample_spec(rng, "counting")) for _ in range(100))
    spec = world.sample_spec(rng, "single_object")
    assert held_out.holds_prompt(geneval_prompt(spec))


def entry(name: str, **more: object) -> dict:
    return {"class": name, "count": 1, **more}


@pytest.mark.parametrize(
    ("task", "first", "second"),
    [
        (
            "position",
            [entry("dog"), entry("cat", position=["left of", 0])],
            [entry("cat"), entry("dog", position=["right of", 0])],
        ),
        ("two_object", [entry("dog"), entry("cat")], [entry("cat"), entry("dog")]),
        (
            "color_attr",
            [entry("dog", color="red"), entry("cat", color="blue")],
            [entry("cat", color="blue"), entry("dog", color="red")],
        ),
    ],
)
def test_facts_are_equal_in_either_order(task: str, first: list[dict], second: list[dict]) -> None:
    assert facts_of({"tag": task, "include": first}) == facts_of({"tag": task, "include": second})


def test_swapped_colors_are_other_facts() -> None:
    entries = [entry("dog", color="red"), entry("cat", color="blue")]
    swapped = [entry("dog", color="blue"), entry("cat", color="red")]
    assert facts_of({"tag": "color_attr", "include": entries}) != facts_of({"tag": "color_attr", "include": swapped})
