"""What is scored is never trained on: the evaluation sets, and what training worlds draw."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY_WORLD, tiny_quantizer

from training.data.detector_scenes import detector_worlds
from training.data.scene_codes import SceneCodes
from training.data.token_scenes import TokenScenes
from training.evaluate import evaluation_sets
from training.evaluate.evaluation_sets import CLEAN_SETS, clean_prompts, development_prompts, generated_prompts, world_prompts
from training.folders import EVALUATION
from training.world.classes import CLASSES, TASKS
from training.world.config import WorldConfig
from training.world.held_out import (
    EVALUATION_SETS,
    HeldOut,
    evaluation_held_out,
    facts_of,
    read_evaluation_set,
)
from training.world.official_prompts import official_prompts
from training.world.prompts import geneval_prompt
from training.world.tokenizer import build_tokenizer
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
    for name, specs in clean_prompts(generated).items():
        assert read_evaluation_set(name) == specs


def test_writing_the_sets_anew_gives_the_committed_files(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(evaluation_sets, "EVALUATION", tmp_path)
    evaluation_sets.main()
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(written) == {f"{name}.jsonl" for name in (*EVALUATION_SETS, "development")}
    for name, content in written.items():
        assert (EVALUATION / name).read_bytes() == content, name


def of_task(name: str, task: str) -> list[dict]:
    return [spec for spec in read_evaluation_set(name) if spec["tag"] == task]


@pytest.mark.parametrize("task", TASKS)
def test_clean_sets_share_no_facts_and_hold_none_that_anything_was_chosen_or_scored_by(task: str) -> None:
    generated = of_task("generated", task)
    looked_at = [*generated[:16], *of_task("development", task)]
    if task == "single_object":
        # These have no facts that could be held out: there the wording counts, and no other set has it.
        seen = [{spec["prompt"] for spec in specs} for specs in (*(of_task(name, task) for name in CLEAN_SETS), generated)]
    else:
        facts = [{facts_of(spec) for spec in of_task(name, task)} for name in CLEAN_SETS]
        assert set.union(*facts) <= {facts_of(spec) for spec in generated}
        seen = [*facts, {facts_of(spec) for spec in looked_at}]
    for index, one in enumerate(seen):
        for other in seen[index + 1 :]:
            assert not one & other
    for name in CLEAN_SETS:
        prompts = [spec["prompt"] for spec in of_task(name, task)]
        assert len(prompts) == len(set(prompts)) == 40


def test_counting_facts_of_a_clean_set_come_in_two_wordings() -> None:
    for name in CLEAN_SETS:
        counted = [facts_of(spec) for spec in of_task(name, "counting")]
        assert len(set(counted)) == 20 and counted[:20] == counted[20:]
        assert {spec["include"][0]["count"] for spec in of_task(name, "counting")} == {2, 3, 4}


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


def test_a_prompt_without_its_noun_never_comes_with_a_picture_of_what_is_held_out() -> None:
    shown = []

    class Watched(World):
        def arrange(self, rng, spec, set_index=None):
            objects, background = super().arrange(rng, spec, set_index)
            shown.append(objects)
            return objects, background

    world = Watched(replace(TINY_WORLD, task_weights=(0, 0, 1, 0, 0, 0)))
    tokenizer = build_tokenizer()
    scenes = TokenScenes(world, SceneCodes(world, tiny_quantizer()), tokenizer, count_only_rate=1.0)
    batch = scenes.batch(np.random.default_rng(1), 800)
    nouns = {tokenizer.token_to_id(word) for name in CLASSES for word in name.split()}
    assert not nouns & set(batch.prompt_ids.ravel().tolist())
    held_out, counted = evaluation_held_out(), set()
    for objects in shown:
        [class_index] = {known.class_index for known in objects}
        counted.add((class_index, len(objects)))
    assert len(counted) > 60
    for class_index, count in counted:
        spec = {"tag": "counting", "include": [{"class": CLASSES[class_index], "count": count}]}
        assert not held_out.holds(spec), (CLASSES[class_index], count)


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
