"""Labels, questions, splits and shards: what verifiers are taught."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import tiny_generator
from verifier_cases import LEFT, RIGHT, TINY, TOKENIZER, output_of, seen, trajectories

from training.data.ranking_shards import RankingData, read_shard, write_shard
from training.data.reconstruction import CodedScenes
from training.evaluate.validation_prompts import validation_prompts
from training.export.graphs import generator_graphs
from training.export.graphs.products import Products
from training.loop import precision
from training.loop.budget import Budget
from training.models.detector import Detector, DetectorConfig
from training.models.generator import Generator
from training.models.quantizer import Quantizer, QuantizerConfig
from training.models.verifier import TASKS as QUESTIONS
from training.sampling.graph_sampling import Trajectory
from training.sampling.mask_predict import SamplingSettings, random_uniforms
from training.sampling.ranking_data import (
    RankingConfig,
    TrajectorySampler,
    shard_path,
    share_correct,
    source_of,
    write_missing_shards,
)
from training.sampling.trajectory_sampler import GraphPainter, TorchPainter
from training.verifiers.clarity import has_final_verdict, is_clear, is_settled
from training.verifiers.questions import Questioner, describe
from training.verifiers.trajectory_examples import TrajectoryExamples, label
from training.verifiers.verifier_data import BatchMaker, SceneExamples
from training.verifiers.verifier_kinds import KINDS
from training.verifiers.word_targets import WordTargets
from training.world.classes import CLASSES, COLORS, TASKS
from training.world.config import WorldConfig
from training.world.fact_splits import SPLITS, TrainingFacts, split_of
from training.world.geneval_rules import DetectionThresholds
from training.world.held_out import HeldOut, evaluation_held_out, facts_of
from training.world.prompts import SET_WORDS, TINT_WORDS
from training.world.scene import Scene
from training.world.spec import satisfies
from training.world.spec_challenges import alternatives, challenge, weaken
from training.world.tokenizer import encode_prompts
from training.world.world import World

THRESHOLDS = DetectionThresholds(score=0.3, counting=0.5)
RED_CAT = {"tag": "colors", "include": [{"class": "cat", "count": 1, "color": "red"}]}
CATS = {"tag": "counting", "include": [{"class": "cat", "count": 2}], "exclude": [{"class": "cat", "count": 3}]}
SETTINGS = SamplingSettings(steps=4)


def test_a_step_is_clear_when_its_judgement_is_the_final_one():
    final = [seen("cat", LEFT)]
    assert is_clear([seen("cat", (10, 32, 42, 64))], final, RED_CAT, THRESHOLDS)
    assert not is_clear([], final, RED_CAT, THRESHOLDS), "nothing yet"
    assert not is_clear([seen("cat", RIGHT)], final, RED_CAT, THRESHOLDS), "another place"
    assert not is_clear([seen("cat", LEFT, color="blue")], final, RED_CAT, THRESHOLDS), "its colour will change, and the verdict"
    assert not is_clear([seen("cat", LEFT, score=0.2)], final, RED_CAT, THRESHOLDS), "not yet sure"
    assert not is_clear([], [], RED_CAT, THRESHOLDS), "a final picture of nothing makes nothing clear"


def test_what_will_vanish_matters_only_where_it_decides():
    final, ghost = [seen("cat", LEFT), seen("cat", RIGHT)], seen("cat", (40.0, 70.0, 60.0, 90.0))
    assert not is_clear([*final, ghost], final, CATS, THRESHOLDS), "three cats now, two in the end"
    assert is_clear([*final, ghost], final, RED_CAT, THRESHOLDS)
    assert not is_settled([*final, ghost], final, RED_CAT, THRESHOLDS)
    assert has_final_verdict([], [seen("dog")], CATS, THRESHOLDS), "the rule that calls blank pictures of bad paths clear"


def label_of(now: list, final: list, kind: str, *, whole: tuple[bool, bool] = (True, True)) -> tuple[float, float, float]:
    """Labels of a path's picture `now` under the prompt for a red cat."""
    data = trajectories([{**RED_CAT, "prompt": "a photo of a red cat"}], [[now, final]], whole=[whole])
    return label(data, 0, 0, RED_CAT, THRESHOLDS, KINDS[kind])


def test_the_final_picture_answers_for_the_earlier_ones():
    shown = [seen("cat", LEFT)]
    assert label_of([], shown, "parm") == (0.0, 1.0, 0.0)
    assert label_of(shown, shown, "parm") == (1.0, 1.0, 1.0)
    assert label_of(shown, [], "parm") == (0.0, 0.0, 1.0)
    assert label_of([], shown, "prm")[1] == 0.0, "a process reward judges the step before it"


def test_a_broken_picture_is_not_right_but_can_be_clear():
    shown = [seen("cat", LEFT)]
    assert label_of(shown, shown, "parm", whole=(False, True)) == (1.0, 1.0, 0.0), "hardly any unfinished picture is whole"
    assert label_of(shown, shown, "parm", whole=(True, False)) == (1.0, 0.0, 1.0)
    assert label_of(shown, shown, "prm", whole=(False, True))[1] == 0.0
    data = trajectories([{**RED_CAT, "prompt": "a photo of a red cat"}], [[shown, shown]], whole=[[True, False]])
    assert [data.is_right(0, place, RED_CAT, THRESHOLDS) for place in (0, 1)] == [True, False]
    blue = {"tag": "colors", "include": [{"class": "cat", "count": 1, "color": "blue"}]}
    assert not data.is_right(0, 0, blue, THRESHOLDS), "whole, but another colour"
    assert share_correct(data, THRESHOLDS) == {"colors": 0.0}


@pytest.mark.parametrize("task", TASKS)
def test_challenges_are_mostly_wrong_and_weaker_specs_always_right(task):
    world, rng, wrong = World(WorldConfig()), np.random.default_rng(0), 0
    for _ in range(40):
        spec = world.sample_spec(rng, task)
        scene = world.compose(rng, spec)
        asked = challenge(rng, spec)
        assert asked["tag"] == task and asked != spec
        wrong += not satisfies(scene.objects, asked)
        assert satisfies(scene.objects, weaken(rng, spec))
    assert wrong >= 36


@pytest.mark.parametrize(
    ("task", "count"),
    [("single_object", 0), ("two_object", 0), ("counting", 2), ("colors", 9), ("position", 3), ("color_attr", 18)],
)
def test_alternatives_change_one_count_colour_or_relation(task, count):
    spec = World(WorldConfig()).sample_spec(np.random.default_rng(0), task)
    others = alternatives({**spec, "prompt": "own words"})
    assert len(others) == count == len({str(other) for other in others})
    for other in others:
        assert other["tag"] == task and other != spec and "prompt" not in other
        assert [entry["class"] for entry in other["include"]] == [entry["class"] for entry in spec["include"]]
        if task == "counting":
            assert other["exclude"] == [{"class": spec["include"][0]["class"], "count": other["include"][0]["count"] + 1}]


def test_what_is_held_out_is_never_shown_as_the_wrong_answer_to_something_else():
    def cats(count: int) -> dict:
        counted = {"class": "cat", "count": count}
        return {"tag": "counting", "include": [counted], "exclude": [{**counted, "count": count + 1}], "prompt": f"{count} cats"}

    held_out = HeldOut([cats(3)])
    world = World(WorldConfig(), held_out)
    questioner = Questioner(world, held_out)
    places = [(8.0 * place, 8.0, 8.0 * place + 8, 16.0) for place in range(4)]
    two, three, four = ([seen("cat", box) for box in places[:count]] for count in (2, 3, 4))

    def shows(objects):
        return lambda spec: satisfies(objects, spec)

    assert questioner.may_ask(cats(2), shows(two)) and questioner.may_ask(cats(2), shows(four))
    assert not questioner.may_ask(cats(2), shows(three)) and not questioner.may_ask(cats(3), shows(three))
    rng = np.random.default_rng(0)
    asked = questioner.ask(rng, cats(2), three, shows(three), 200)[1:]
    assert not [spec for spec in asked if spec["tag"] == "counting" and spec["include"][0]["class"] == "cat"]
    # Six final pictures: their own prompt may be asked of all but the one that shows what is held out.
    data = trajectories([cats(2)] * 6, [[two], [two], [four], [three], [three], [three]])
    recorded = TrajectoryExamples(data, questioner, BatchMaker(TOKENIZER, TINY), THRESHOLDS, KINDS["orm"])
    assert set(recorded.batch(rng, 40, 1).codes[:, 0].tolist()) == {0, 1, 2}


def test_a_description_says_what_a_picture_shows():
    world, rng, described = World(WorldConfig()), np.random.default_rng(0), set()
    for _ in range(300):
        scene = world.compose(rng, world.sample_spec(rng))
        spec = describe(rng, scene.objects)
        if spec is not None:
            assert satisfies(scene.objects, spec)
            described.add(spec["tag"])
    assert described == set(TASKS)
    assert all(describe(rng, []) is None for _ in range(20))


def test_questions_are_right_and_wrong_alike_and_never_about_what_is_held_out():
    facts = TrainingFacts()
    world, rng = World(WorldConfig(), facts), np.random.default_rng(0)
    questioner, right, tags = Questioner(world, facts), [], []
    for _ in range(60):
        spec = world.sample_spec(rng)
        scene = world.compose(rng, spec)
        own = {**spec, "prompt": world.prompt(rng, spec)}
        asked = questioner.ask(rng, own, scene.objects, lambda other, scene=scene: satisfies(scene.objects, other), 6)
        assert asked[0] is own
        for other in asked[1:]:
            right.append(satisfies(scene.objects, other))
            tags.append(other["tag"])
            assert not facts.holds(other) and not facts.holds_prompt(other["prompt"])
    assert 0.4 < np.mean(right) < 0.6
    assert set(tags) == set(TASKS)


def test_a_fact_belongs_to_one_split_in_every_wording():
    world, rng = World(WorldConfig(paraphrase_rate=1.0)), np.random.default_rng(0)
    splits = {split: set() for split in SPLITS}
    for _ in range(900):
        spec = world.sample_spec(rng)
        worded = {**spec, "prompt": world.prompt(rng, spec)}
        splits[split_of(worded)].add(facts_of(spec) or worded["prompt"])
        if facts_of(spec) is not None:
            assert split_of({**spec, "prompt": "other words"}) == split_of(worded)
    assert not splits["train"] & splits["calibration"] and not splits["train"] & splits["test"]
    assert not splits["calibration"] & splits["test"]
    assert all(0.07 < len(splits[split]) / sum(map(len, splits.values())) < 0.17 for split in ("calibration", "test"))


def test_a_training_world_draws_only_training_facts():
    world, rng = World(WorldConfig(), TrainingFacts()), np.random.default_rng(1)
    for _ in range(200):
        spec = world.sample_spec(rng)
        assert split_of({**spec, "prompt": world.prompt(rng, spec)}) == "train"


def test_a_scene_batch_is_repeatable_and_mixes_right_and_wrong():
    facts = TrainingFacts()
    world = World(WorldConfig(), facts)
    scenes = SceneExamples([world], Questioner(world, facts), BatchMaker(TOKENIZER, TINY), None)
    first, second = (scenes.batch(np.random.default_rng(3), 24, 4) for _ in range(2))
    assert torch.equal(first.images, second.images) and torch.equal(first.prompt_ids, second.prompt_ids)
    assert first.answers.shape == (24 * 4, 3)
    clarity, potential, alignment = first.answers.unbind(1)
    assert 0.35 < alignment.mean() < 0.75 and torch.equal(potential, alignment)
    unclear = clarity == 0
    assert unclear.any() and (first.answers[unclear] == 0).all()
    empty = first.now.heat.amax((1, 2, 3)) == 0
    assert torch.equal(empty.repeat_interleave(4), unclear), "a picture of shuffled patches holds no object"


def test_every_second_scene_is_shown_as_the_quantisers_codes_show_it():
    facts = TrainingFacts()
    white = World(WorldConfig(backgrounds=((255, 255, 255),)), facts)
    shown = []

    def reconstruct(scenes: list[Scene]) -> torch.Tensor:
        shown.extend(scene.image for scene in scenes)
        return torch.zeros(len(scenes), 96, 96, 3, dtype=torch.uint8)

    world = World(WorldConfig(), facts)
    scenes = SceneExamples([world], Questioner(world, facts), BatchMaker(TOKENIZER, TINY), CodedScenes(white, reconstruct))
    images = scenes.batch(np.random.default_rng(3), 12, 1).images
    assert len(shown) == 6 and min((image == 255).all(-1).mean() for image in shown) > 0.2
    assert images[:10:2].float().mean() < 60 < images[1:10:2].float().mean()


def cat_paths() -> RankingData:
    """Two paths for a red cat, one of which loses it, and two for a dog that never comes."""
    cat, dog = {**RED_CAT, "prompt": "a photo of a red cat"}, {"tag": "single_object", "include": [{"class": "dog", "count": 1}]}
    dog = {**dog, "prompt": "a photo of a dog"}
    shown = [seen("cat", LEFT)]
    return trajectories([cat, cat, dog, dog], [[[], shown], [shown, []], [[], []], [shown, shown]])


def examples_of(kind: str) -> TrajectoryExamples:
    facts = TrainingFacts()
    questioner = Questioner(World(WorldConfig(), facts), facts)
    return TrajectoryExamples(cat_paths(), questioner, BatchMaker(TOKENIZER, TINY), THRESHOLDS, KINDS[kind])


def test_pictures_come_in_pairs_of_one_prompt_that_end_differently():
    batch = examples_of("orm").batch(np.random.default_rng(0), 12, 3)
    row = batch.codes[:, 0].view(6, 2)
    about_cat = (row < 2).all(1)
    assert about_cat.any() and ((row < 2).any(1) == about_cat).all(), "pictures of a pair share their prompt"
    assert (row[about_cat] == torch.tensor([0, 1])).all(), "first the one that ends well"
    own = batch.answers.view(12, 3, 3)[:, 0]
    assert torch.equal(own[:, 2], (batch.codes[:, 0] == 0).float())
    assert batch.now.heat.amax((1, 2, 3)).tolist() == batch.final.heat.amax((1, 2, 3)).tolist(), "an ORM sees final pictures"
    with pytest.raises(ValueError, match="size is 3"):
        examples_of("orm").batch(np.random.default_rng(0), 3, 1)


def test_a_parm_example_holds_the_objects_of_now_and_of_the_end():
    batch = examples_of("parm").batch(np.random.default_rng(1), 40, 1)
    row, now, final = batch.codes[:, 0], batch.now.heat.amax((1, 2, 3)), batch.final.heat.amax((1, 2, 3))
    early = (row == 0) & (now == 0)
    assert early.any() and (final[early] > 0.8).all()
    clarity, potential, alignment = batch.answers[early].unbind(1)
    assert (potential == 1).all() and (clarity == 0).all() and (alignment == 0).all()


def test_a_picture_that_looks_right_but_is_broken_is_paired_as_one_that_ends_badly():
    cat = {**RED_CAT, "prompt": "a photo of a red cat"}
    shown = [seen("cat", LEFT)]
    facts = TrainingFacts()
    questioner = Questioner(World(WorldConfig(), facts), facts)
    data = trajectories([cat, cat], [[shown], [shown]], whole=[[False], [True]])
    examples = TrajectoryExamples(data, questioner, BatchMaker(TOKENIZER, TINY), THRESHOLDS, KINDS["orm"])
    batch = examples.batch(np.random.default_rng(0), 8, 1)
    assert batch.codes[:, 0].tolist() == [1, 0] * 4 and batch.answers[:, 2].tolist() == [1, 0] * 4


def test_shards_read_back_as_written_and_split_by_facts(tmp_path):
    data = replace(cat_paths(), whole=np.array([[True, False], [False, True], [True, True], [False, False]]))
    write_shard(data, tmp_path / "000.npz")
    again = read_shard(tmp_path / "000.npz")
    assert again.specs == data.specs and again.steps == data.steps and again.step_count == data.step_count
    assert np.array_equal(again.codes, data.codes) and again.siblings == [[0, 1], [2, 3]]
    assert np.array_equal(again.whole, data.whole) and again.whole.dtype == bool
    assert np.array_equal(again.coherence, data.coherence) and again.coherence.dtype == np.float32
    assert [(part.whole.tolist(), part.coherence[:, 0].tolist()) for part in [again.select([2, 1])]] == [
        ([[True, True], [False, True]], [-3.0, -2.0])
    ]
    [known] = again.objects(0, -1)
    assert known == replace(seen("cat", LEFT), score=known.score) and known.score == pytest.approx(0.9)
    parts = []
    for split in SPLITS:
        expected = [row for row, spec in enumerate(data.specs) if split_of(spec) == split]
        if expected:
            part = RankingData.read(tmp_path, split)
            parts += [spec["prompt"] for spec in part.specs]
            assert np.array_equal(part.whole, data.whole[expected]) and np.array_equal(part.coherence, data.coherence[expected])
        else:
            with pytest.raises(ValueError, match=f"split '{split}'"):
                RankingData.read(tmp_path, split)
    assert sorted(parts) == sorted(spec["prompt"] for spec in data.specs)
    with pytest.raises(ValueError, match="no trajectories"):
        RankingData.read(tmp_path / "empty", "train")
    write_shard(replace(data, source="other weights"), tmp_path / "001.npz")
    with pytest.raises(ValueError, match="mixes trajectories of 2 models"):
        RankingData.read(tmp_path, "train")


def test_trajectories_of_an_earlier_version_are_refused(tmp_path):
    write_shard(cat_paths(), tmp_path / "000.npz")
    with np.load(tmp_path / "000.npz") as shard:
        kept = {name: shard[name] for name in shard if name not in ("whole", "coherence")}
    np.savez(tmp_path / "000.npz", **kept)
    wanted = r"000\.npz was written by an earlier version, without whole, coherence; empty .* and sample anew"
    with pytest.raises(ValueError, match=wanted):
        RankingData.read(tmp_path, "train")


class GreyPainter:
    """Draws the cat that the first prompt asked for, and counts what it was asked."""

    calls = 0

    def predict(self, prompt_ids, row_prompt, uniforms):
        GreyPainter.calls += 1
        steps, rows, tokens = uniforms[0].shape
        coherence = -np.arange(steps, dtype=np.float32)[:, None] - np.arange(rows, dtype=np.float32) / 100
        predictions = np.broadcast_to(np.arange(rows)[None, :, None], (steps, rows, tokens)).copy()
        return Trajectory(predictions, predictions, coherence)

    def decode(self, ids):
        return np.broadcast_to(ids[:, :1, None, None].astype(np.uint8), (len(ids), 96, 96, 3))

    def detect(self, images):
        return output_of([[seen("cat", LEFT)]] * len(images))


class DarkIsWhole:
    """Calls pictures of less than three grey levels whole."""

    def of(self, images, specs):
        assert len(images) == len(specs)
        return images[:, 0, 0, 0] < 3


def test_sampling_goes_on_where_it_stopped_and_refuses_other_weights(tmp_path):
    config = RankingConfig(pictures_per_prompt=3, task_weights=(0, 0, 1, 0, 0, 1), first_step=2)
    world = World(WorldConfig())

    def sampler(source="a"):
        return TrajectorySampler(world, GreyPainter(), DarkIsWhole(), SETTINGS, config, 64, source)

    GreyPainter.calls = 0
    options = {"seed": 5, "rows": 6, "threads": 2}
    write_missing_shards(sampler(), tmp_path, budget=Budget(steps=2), **options)
    first = read_shard(shard_path(tmp_path, 5, 1))
    write_missing_shards(sampler(), tmp_path, budget=Budget(steps=4), **options)
    assert GreyPainter.calls == 4 and len(list(tmp_path.glob("*.npz"))) == 4
    assert first.steps == (2, 3) and first.codes.shape == (6, 2, 64) and first.codes.dtype == np.uint16
    assert [len(rows) for rows in first.siblings] == [3, 3]
    assert {spec["tag"] for spec in first.specs} <= {"counting", "color_attr"}
    assert first.whole.tolist() == [[True, True]] * 3 + [[False, False]] * 3
    assert first.coherence.tolist() == pytest.approx(np.array([[-2, -3]] * 6) - np.arange(6)[:, None] / 100)
    again = sampler().sample(np.random.default_rng((5, 1)), 6)
    assert again.specs == first.specs
    with pytest.raises(ValueError, match="other weights or settings"):
        write_missing_shards(sampler("b"), tmp_path, budget=Budget(steps=5), **options)


def test_a_prompts_pictures_are_painted_in_styles_of_their_own_that_its_spec_does_not_know():
    asked = []

    class Listening(GreyPainter):
        def predict(self, prompt_ids, row_prompt, uniforms):
            asked.append((prompt_ids, row_prompt))
            return super().predict(prompt_ids, row_prompt, uniforms)

    config, corrected = RankingConfig(8, (1, 1, 1, 1, 1, 1), 2), replace(SETTINGS, corrections=3)
    sampler = TrajectorySampler(World(WorldConfig()), Listening(), DarkIsWhole(), corrected, config, 64, "a")
    data = sampler.sample(np.random.default_rng(3), 16)
    assert data.steps == (2, 3, 6) and data.step_count == 7 and data.coherence[:, -1].max() <= -6
    [(prompt_ids, row_prompt)] = asked
    assert row_prompt.tolist() == list(range(16)) and [len(rows) for rows in data.siblings] == [8, 8]
    styles = set()
    for ids, spec in zip(prompt_ids, data.specs, strict=True):
        set_word, tint_word = (TOKENIZER.id_to_token(int(value)) for value in ids[1:3])
        assert (ids == encode_prompts(TOKENIZER, [f"{set_word} {tint_word} {spec['prompt']}"])[0]).all()
        assert set_word in SET_WORDS and tint_word in TINT_WORDS and not spec["prompt"].startswith(SET_WORDS)
        styles.add((set_word, tint_word))
    assert len(styles) > 4


def test_the_source_of_trajectories_is_weights_and_settings(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"1")
    first = source_of([tmp_path / "a.pt"], SETTINGS)
    assert first == source_of([tmp_path / "a.pt"], SamplingSettings(steps=4))
    assert first != source_of([tmp_path / "a.pt"], SamplingSettings(steps=5))
    assert first != source_of([tmp_path / "a.pt"], SamplingSettings(steps=4, corrections=1))
    (tmp_path / "a.pt").write_bytes(b"2")
    assert first != source_of([tmp_path / "a.pt"], SETTINGS)


def test_the_last_step_is_always_recorded_and_of_the_corrections_no_other():
    config = RankingConfig(1, (1, 1, 1, 1, 1, 1), first_step=2)
    assert config.recorded_steps(SamplingSettings(12)) == tuple(range(2, 12))
    assert config.recorded_steps(SamplingSettings(12, corrections=6)) == (*range(2, 12), 17)
    assert config.recorded_steps(SamplingSettings(1)) == (0,)
    with pytest.raises(ValueError, match="task_weights needs 6 numbers"):
        RankingConfig(1, (1, 1), 2)


def test_pytorch_paints_what_the_graphs_paint(monkeypatch):
    monkeypatch.setattr(generator_graphs, "Products", lambda graph, _: Products(graph, "float32"))
    monkeypatch.setattr(precision, "_CPU_HAS_BFLOAT16", False)  # its rounding would hide what is compared
    torch.manual_seed(0)
    generator = Generator(replace(tiny_generator(TOKENIZER.get_vocab_size(), codebook_size=256), grid=8, width=64))
    for name, weight in generator.named_parameters():
        if name.endswith(("output.weight", "narrow.weight", "head.weight")):
            torch.nn.init.normal_(weight, std=0.2)
    sizes = {"decoder_width": 32, "decoder_blocks": 1, "detail_width": 8, "detail_blocks": 1}
    quantizer = Quantizer(QuantizerConfig(WorldConfig().backgrounds, codebook_size=256, components=16, **sizes))
    quantizer.basis.normal_(std=0.1)
    kinds = {"class_count": len(CLASSES), "color_count": len(COLORS)}
    detector = Detector(DetectorConfig(**kinds, channels=(8, 16, 16), blocks=(0, 0, 1)))
    models = [model.eval() for model in (generator, quantizer, detector)]
    settings = replace(SETTINGS, corrections=2)
    painters = [GraphPainter(*models, settings), TorchPainter(*models, settings, torch.device("cpu"))]
    prompt_ids = encode_prompts(TOKENIZER, ["a photo of a cat", "two red dogs"])
    uniforms = random_uniforms(0, settings, 6, 64)
    row_prompt = np.array([0, 0, 0, 1, 1, 1])
    painted = [painter.predict(prompt_ids, row_prompt, uniforms) for painter in painters]
    (graphs, graphs_coherence), (twin, twin_coherence) = ((path.predictions, path.coherence) for path in painted)
    assert graphs.shape == twin.shape == (6, 6, 64) and graphs_coherence.shape == twin_coherence.shape == (6, 6)
    assert np.abs(graphs_coherence - twin_coherence).max() < 0.2 < np.ptp(twin_coherence) and twin_coherence.max() < 0
    # Uniforms beside a category's edge may fall on its other side, and what follows another code may be another.
    assert (graphs[0] == twin[0]).mean() > 0.97
    assert (graphs[-1] == twin[-1]).mean() > 0.8
    pictures = [painter.decode(graphs[-1]) for painter in painters]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 8
    seen_by = [painter.detect(pictures[1]) for painter in painters]
    assert torch.allclose(seen_by[0].scores, seen_by[1].scores, atol=2e-3)


def test_kinds_are_taught_questions_that_exist():
    for kind in KINDS.values():
        assert set(kind.tasks) <= set(QUESTIONS)


def test_validation_prompts_ask_for_facts_that_neither_training_nor_score_knows():
    chosen = validation_prompts(World(WorldConfig()), per_task=3)
    assert [spec["tag"] for spec in chosen] == [task for task in TASKS for _ in range(3)]
    assert len({spec["prompt"] for spec in chosen}) == len(chosen)
    for spec in chosen:
        assert split_of(spec) == "calibration"
        assert not evaluation_held_out().holds(spec) and not evaluation_held_out().holds_prompt(spec["prompt"])


def test_more_validation_prompts_than_there_are_is_an_error(monkeypatch):
    monkeypatch.setattr("training.evaluate.validation_prompts._DRAWS", 1)
    with pytest.raises(ValueError, match="prompts of single_object; 50 were asked for"):
        validation_prompts(World(WorldConfig()), per_task=50)


@pytest.mark.parametrize("prompt", ["a photo of an orange orange", "a photo of an orange donut and a white orange"])
def test_orange_before_a_name_is_a_colour_and_no_fruit(prompt):
    include = [{"class": "orange", "count": 1, "color": "orange" if "donut" not in prompt else "white"}]
    if "donut" in prompt:
        include.insert(0, {"class": "donut", "count": 1, "color": "orange"})
    labels = WordTargets(TOKENIZER).label(prompt, {"tag": "color_attr", "include": include, "prompt": prompt})
    fruit = CLASSES.index("orange")
    assert [place for place, name in enumerate(labels.classes) if name == fruit] == [len(labels.classes) - 2], "the last word"
    assert labels.colors[-2] == COLORS.index(include[-1]["color"])
