"""The verifier: what it reads, what it learns, its labels, and how its thresholds are chosen."""

import numpy as np
import pytest
import torch

from training.averaged_weights import AveragedWeights
from training.budget import Budget
from training.calibrate_verifier import (
    ALIGNMENT,
    CLARITY,
    POTENTIAL,
    area_under_curve,
    choose_alignment_threshold,
    choose_pruning,
    fit_scale_and_shift,
    fold_into_head,
    replay_pruning,
)
from training.device import Hardware
from training.geneval_rules import DetectedObject, DetectionThresholds
from training.models.verifier import Verifier, VerifierConfig
from training.ranking_data import RankingData, is_settled, read_shard, recorded_steps, write_shard
from training.spec_challenges import challenge, weaken
from training.tokenizer import PAD, build_tokenizer, encode_prompts
from training.train_verifier import VerifierStage, VerifierTraining, join, verifier_loss
from training.training_loop import TrainingLoop
from training.verifier_data import TrajectoryExamples, VerifierBatch, encode_short, scene_batch
from training.world.classes import CLASS_INDEX, TASKS
from training.world.config import WorldConfig
from training.world.spec import satisfies
from training.world.world import World

TOKENIZER = build_tokenizer()
TINY = VerifierConfig(TOKENIZER.get_vocab_size(), pad_id=PAD, channels=(8, 16, 16), blocks=(0, 0, 1), width=32, heads=2, layers=1)


def make_verifier() -> Verifier:
    torch.manual_seed(0)
    return Verifier(TINY)


def random_images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 96, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


def cat(box, score=0.9, color="red"):
    return DetectedObject(CLASS_INDEX["cat"], score, color, box)


def test_padding_is_not_read():
    model = make_verifier().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    images, prompt_ids = random_images(1), torch.from_numpy(encode_prompts(TOKENIZER, ["a photo of a cat"]))
    padded = prompt_ids == PAD
    before = model(images, prompt_ids)
    with torch.no_grad():
        model.word_table.weight[PAD] += 5.0
        model.word_position[padded[0]] -= 5.0
    assert torch.allclose(model(images, prompt_ids), before, atol=1e-6)


def test_prompts_of_one_picture_do_not_see_each_other_or_other_pictures():
    model = make_verifier().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    prompts = ["a photo of a cat", "two red dogs", "a cup", "a photo of three clocks"]
    prompt_ids = torch.from_numpy(encode_prompts(TOKENIZER, prompts))
    images = random_images(2)
    together = model(images, prompt_ids)
    alone = torch.cat([model(images[i // 2 : i // 2 + 1], prompt_ids[i : i + 1]) for i in range(4)])
    assert together.shape == (4, 3)
    assert torch.allclose(together, alone, atol=1e-5)
    assert (together.std(0) > 1e-3).all(), "answers must depend on picture and prompt"


def test_prompts_that_cannot_be_shared_out_are_refused():
    prompt_ids = torch.from_numpy(encode_prompts(TOKENIZER, ["a", "b", "c"]))
    with pytest.raises(ValueError, match=r"3 prompts .* 2 pictures"):
        make_verifier().logits(random_images(2), prompt_ids)


def test_learns_a_handful_of_answers(tmp_path):
    torch.manual_seed(0)
    prompts = ["a photo of a cat", "a photo of a dog"] * 4
    answers = torch.tensor([[1.0, float(i % 2), float((i // 2) % 2)] for i in range(8)])
    batch = VerifierBatch(random_images(4), torch.from_numpy(encode_prompts(TOKENIZER, prompts)), answers)
    model = make_verifier()
    first, _ = verifier_loss(model.logits(batch.images, batch.prompt_ids), answers)
    settings = VerifierTraining(batch=4, muon_lr=0.02, adam_lr=1e-2)
    stage = VerifierStage(model, lambda rng, size: batch)
    TrainingLoop(stage, settings, Budget(steps=120), tmp_path, hardware=Hardware(torch.device("cpu")), seed=0).train()
    model.train()
    last, parts = verifier_loss(model.logits(batch.images, batch.prompt_ids), answers)
    assert last < 0.3 * first
    assert parts["potential"] == 1.0


def test_a_scene_batch_is_repeatable_and_mixes_right_and_wrong():
    world = World(WorldConfig())
    first, second = (scene_batch([world], TOKENIZER, None, np.random.default_rng(3), 24, 4) for _ in range(2))
    assert torch.equal(first.images, second.images) and torch.equal(first.prompt_ids, second.prompt_ids)
    assert first.answers.shape == (24 * 4, 3)
    right = first.answers[:, ALIGNMENT].mean()
    assert 0.25 < right < 0.75
    unclear = first.answers[:, CLARITY] == 0
    assert unclear.any() and (first.answers[unclear] == 0).all()


def test_joining_batches_pads_the_shorter_prompts():
    def batch(prompt):
        return VerifierBatch(random_images(1), encode_short(TOKENIZER, [prompt]), torch.zeros(1, 3))

    joined = join(batch("cat"), batch("a photo of a cat"))
    assert joined.prompt_ids.shape == (2, 7)
    assert joined.prompt_ids[0, 3:].tolist() == [PAD] * 4
    model = make_verifier().eval()
    alone = model.logits(joined.images[:1], encode_short(TOKENIZER, ["cat"]))
    assert torch.allclose(model.logits(joined.images, joined.prompt_ids)[:1], alone, atol=1e-5)


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


def test_a_picture_is_settled_when_it_shows_what_the_final_one_shows():
    final = [cat((10, 10, 50, 50))]
    assert is_settled([cat((12, 10, 52, 50), color="blue")], final, 0.3)
    assert not is_settled([cat((60, 60, 90, 90))], final, 0.3), "another place"
    assert not is_settled([], final, 0.3), "nothing yet"
    assert not is_settled([cat((10, 10, 50, 50)), cat((60, 60, 90, 90))], final, 0.3), "one too many"
    assert not is_settled([], [], 0.3), "a final picture of nothing settles nothing"


def make_trajectories() -> RankingData:
    """Two runs for a cat: one that ends with it, one that loses it at the end."""
    spec = {"tag": "single_object", "include": [{"class": "cat", "count": 1}], "prompt": "a photo of a cat"}
    shown, nothing = [cat((10, 10, 50, 50))], []
    images = random_images(4).numpy().reshape(2, 2, 96, 96, 3)
    return RankingData([spec, spec], (2, 3), 4, images, [[nothing, shown], [shown, nothing]])


def test_the_final_picture_answers_for_the_earlier_ones():
    examples = TrajectoryExamples(make_trajectories(), World(WorldConfig()), TOKENIZER, DetectionThresholds())
    spec = make_trajectories().specs[0]
    assert examples.answers(0, 0, spec) == (0.0, 1.0, 0.0)
    assert examples.answers(0, 1, spec) == (1.0, 1.0, 1.0)
    assert examples.answers(1, 0, spec) == (0.0, 0.0, 1.0)
    batch = examples.batch(np.random.default_rng(0), 5, 3)
    assert batch.images.shape == (5, 96, 96, 3)
    assert len(batch.prompt_ids) == 5 * 3


def test_shards_read_back_as_written(tmp_path):
    data = make_trajectories()
    write_shard(data, tmp_path / "000.npz")
    again = read_shard(tmp_path / "000.npz")
    assert again.specs == data.specs and again.steps == data.steps and again.step_count == data.step_count
    assert np.array_equal(again.images, data.images) and again.objects == data.objects
    assert len(RankingData.read([tmp_path])) == 2
    with pytest.raises(ValueError, match="no trajectories"):
        RankingData.read([tmp_path / "empty"])


def test_the_last_step_is_always_recorded():
    assert recorded_steps(12) == tuple(range(2, 12))
    assert recorded_steps(1) == (0,)


def test_calibration_recovers_a_known_scale_and_shift():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 20_000).astype(np.float32)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))).astype(np.float32)
    scale, shift = fit_scale_and_shift(logits, labels)
    assert scale == pytest.approx(0.5, abs=0.05) and shift == pytest.approx(-1, abs=0.1)
    model = make_verifier().eval()
    images, prompt_ids = random_images(2), torch.from_numpy(encode_prompts(TOKENIZER, ["a cat", "a dog"]))
    with torch.no_grad():
        before = model.logits(images, prompt_ids)
        fold_into_head(model, [(1.0, 0.0), (2.0, -1.0), (0.5, 3.0)])
        after = model.logits(images, prompt_ids)
    assert torch.allclose(after, before * torch.tensor([1.0, 2.0, 0.5]) + torch.tensor([0.0, -1.0, 3.0]), atol=1e-5)


def test_area_under_curve_on_hand_made_scores():
    assert area_under_curve(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])) == 1.0
    assert area_under_curve(np.array([0.5, 0.5, 0.5]), np.array([0, 1, 1])) == 0.5
    assert area_under_curve(np.array([0.5, 0.6]), np.array([1, 1])) is None


def answers(*steps) -> np.ndarray:
    """[1, S, 3] from (clarity, potential) pairs."""
    return np.array([[(clarity, potential, 0.0) for clarity, potential in steps]])


def test_potential_is_read_once_at_the_first_clear_step():
    good = np.array([False])
    late_doubt = answers((0.9, 0.9), (0.9, 0.1))
    assert replay_pruning(late_doubt, good, [0, 1], [3, 5], 12, 0.5, 0.3).caught == 0.0
    unclear_then_bad = replay_pruning(answers((0.1, 0.1), (0.9, 0.1)), good, [0, 1], [3, 5], 12, 0.5, 0.3)
    assert unclear_then_bad.caught == 1.0 and unclear_then_bad.calls == 2
    assert unclear_then_bad.saved == pytest.approx(6 / 12), "steps 6 to 11 are not run"


def test_chosen_pruning_keeps_nearly_all_good_candidates():
    rng = np.random.default_rng(0)
    good = rng.random(400) < 0.5
    probability = np.full((400, 4, 3), 0.9)
    # From step 5 on potential tells good from bad; at step 4 it is noise.
    probability[:, 0, POTENTIAL] = rng.random(400)
    probability[:, 1:, POTENTIAL] = np.where(good, 0.8, 0.1)[:, None]
    steps, _, potential, outcome = choose_pruning(probability, good, (4, 5, 6, 11), 12)
    assert steps == (5,) and 0.1 < potential <= 0.8
    assert outcome.lost == 0 and outcome.caught == 1


def test_alignment_threshold_reaches_the_wanted_precision():
    probability = np.array([0.55] * 10 + [0.75] * 10 + [0.9] * 20)
    labels = np.array([0.0] * 10 + [1.0] * 5 + [0.0] * 5 + [1.0] * 20)
    assert choose_alignment_threshold(probability, labels) == 0.8


def test_averaged_weights_follow_and_resume():
    module = torch.nn.Linear(2, 2)
    average = AveragedWeights(module, decay=0.5)
    with torch.no_grad():
        module.weight += 1.0
    average.update(module)
    again = AveragedWeights(torch.nn.Linear(2, 2), decay=0.5)
    again.restore(average.checkpoint())
    for one in (average, again):
        one.update(module)
    assert torch.equal(average.state["weight"], again.state["weight"])
    assert (average.state["weight"] < module.weight).all()
