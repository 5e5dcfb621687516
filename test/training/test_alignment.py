"""Alignment: recordings, pairs, what each objective asks for, and a training that does what it says."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import TINY_CODES, TINY_WORLD, tiny_generator, tiny_quantizer

from training.alignment.measure import Measured, comparison, paired_difference
from training.alignment.objectives import Objective, dpo_loss, nft_loss, picture_likelihood, policy_gradient_loss
from training.alignment.pairs import preference_pairs
from training.alignment.path_states import PathStates, committed_at, hidden_at, states_at, taught_at
from training.alignment.roll_out import summary
from training.alignment.rollouts import Rollouts
from training.alignment.train_aligned import KINDS, AlignedStage, AlignedTraining, _log_probability
from training.data.scene_codes import SceneCodes
from training.data.token_scenes import TokenScenes
from training.loop.budget import Budget
from training.loop.checkpoint import load_weights
from training.loop.device import Hardware
from training.loop.training_loop import TrainingLoop
from training.models.generator import Generator, GeneratorConfig
from training.world.tokenizer import build_tokenizer, encode_prompts
from training.world.world import World

STEPS, TOKENS = 4, 16
TOKENIZER = build_tokenizer()
CPU = Hardware(torch.device("cpu"))


def recording(right=(1, 0, 0, 1, 1, 0, 0, 0), fulfils=None, seed=0) -> Rollouts:
    """Pictures of two prompts in equal shares, whose paths uncover four places a step, of random codes."""
    rng, right = np.random.default_rng(seed), np.array(right, bool)
    count = len(right)
    codes = rng.integers(TINY_CODES, size=(count, TOKENS)).astype(np.uint16)
    tokens = np.full((count, STEPS, TOKENS), TINY_CODES, np.uint16)
    order = rng.random((count, TOKENS)).argsort(1)
    for step in range(1, STEPS):
        known = order[:, : 4 * step]
        np.put_along_axis(tokens[:, step], known, np.take_along_axis(codes, known, 1), 1)
    prompts = ["a photo of a cat"] * (count // 2) + ["a photo of two dogs"] * (count - count // 2)
    tags = {"a photo of a cat": ("single_object", "cat", 1), "a photo of two dogs": ("counting", "dog", 2)}
    specs = [
        {"tag": tags[prompt][0], "prompt": prompt, "include": [{"class": tags[prompt][1], "count": tags[prompt][2]}]}
        for prompt in prompts
    ]
    holds = right if fulfils is None else np.array(fulfils, bool) | right
    composed = np.where(right[:, None], codes, (codes + 1) % TINY_CODES)
    shown = ["none" if is_right else ("broken" if held else "too few") for is_right, held in zip(right, holds, strict=True)]
    ids = encode_prompts(TOKENIZER, prompts).astype(np.uint8)
    return Rollouts("a", specs, shown, ids, tokens, codes, composed.astype(np.uint16), right, right, holds)


def fresh_generator() -> Generator:
    tiny_quantizer()
    torch.manual_seed(0)
    return Generator(tiny_generator(TOKENIZER.get_vocab_size()))


def stage_of(kind: str, recorded: Rollouts, settings: AlignedTraining | None = None) -> AlignedStage:
    world, quantizer = World(TINY_WORLD), tiny_quantizer()
    scenes = TokenScenes(world, SceneCodes(world, quantizer), TOKENIZER)
    return AlignedStage(fresh_generator(), kind, settings or AlignedTraining(batch=8), recorded, scenes, 4)


def test_a_recording_is_read_as_it_was_written_and_of_one_generator_only(tmp_path):
    first, second = recording(), recording(seed=1)
    first.write(tmp_path / "0.npz")
    second.write(tmp_path / "1.npz")
    both = Rollouts.read(tmp_path)
    assert len(both) == 16 and both.specs == first.specs + second.specs and both.shown == first.shown + second.shown
    assert np.array_equal(both.tokens, np.concatenate([first.tokens, second.tokens]))
    replace(second, source="b").write(tmp_path / "2.npz")
    with pytest.raises(ValueError, match="2 generators"):
        Rollouts.read(tmp_path)
    with pytest.raises(ValueError, match=r"training\.alignment\.roll_out --out"):
        Rollouts.read(tmp_path / "nothing")


def test_a_recording_says_what_is_wrong_with_how_many():
    recorded = recording(fulfils=(1, 1, 0, 1, 1, 0, 0, 0))
    assert recorded.success.tolist() == [0.5] * 4 + [0.25] * 4
    assert summary(recorded) == {
        "single_object": {"pictures": 4, "right": 0.5, "faults": {"broken": 1, "too few": 1}},
        "counting": {"pictures": 4, "right": 0.25, "faults": {"too few": 3}},
    }


def test_a_wrong_picture_loses_to_its_own_scene_drawn_whole_or_to_the_nearest_right_sibling():
    recorded = recording(right=(1, 0, 0, 1, 0, 0, 0, 0), fulfils=(1, 1, 0, 1, 0, 0, 0, 0))
    codes = recorded.codes.copy()
    codes[2, :9] = codes[3, :9]  # nearer to picture 3 than to picture 0
    pairs = preference_pairs(replace(recorded, codes=codes))
    assert pairs.rejected.tolist() == [1, 2] and pairs.chosen.tolist() == [1, 3], "a prompt with no right picture has no pair"
    assert pairs.composed.tolist() == [True, False] and pairs.fault == ["broken", "too few"]
    assert np.array_equal(pairs.codes, [recorded.composed[1], codes[3]])


def test_every_kind_of_fault_is_drawn_as_often_as_any_other():
    recorded = recording(right=(1, 0, 0, 0, 1, 0, 0, 0), fulfils=(1, 1, 0, 0, 1, 0, 0, 0))
    pairs = preference_pairs(recorded)
    broken = [word == "broken" for word in pairs.fault]
    assert sum(broken) == 1 and pairs.weights[broken].sum() == pytest.approx(0.5) and pairs.weights.sum() == pytest.approx(1)
    assert len(preference_pairs(recorded, per_prompt=2)) == 4
    with pytest.raises(ValueError, match="none of 2 prompts"):
        preference_pairs(recording(right=[1] * 8))


def test_committed_places_are_those_that_a_step_draws_and_the_path_keeps():
    recorded = recording()
    rows, steps = np.array([0, 1, 2]), np.array([0, 2, STEPS - 1])
    hidden, committed = (places(recorded, rows, steps, TINY_CODES) for places in (hidden_at, committed_at))
    assert hidden.sum(1).tolist() == [16, 8, 4] and committed.sum(1).tolist() == [4, 4, 4] and (hidden >= committed).all()


def test_a_state_is_taught_what_is_hidden_or_wrong():
    tokens = np.full((200, TOKENS), TINY_CODES)
    tokens[:, 8:] = 7
    targets = np.full((200, TOKENS), 7)
    targets[:, 12:] = 9  # known, and wrong
    targets[:, 4:8] = TINY_CODES - 1  # plain background
    counted = taught_at(np.random.default_rng(0), tokens, targets, TINY_CODES, plain_codes=4)
    assert counted[:, :4].all() and counted[:, 12:].all()
    assert 0.2 < counted[:, 4:8].mean() < 0.3 and 0.1 < counted[:, 8:12].mean() < 0.2


def states_of(recorded: Rollouts, rows: list[int]) -> PathStates:
    chosen, steps = np.array(rows), np.full(len(rows), 1)
    return states_at(recorded, chosen, steps, hidden_at(recorded, chosen, steps, TINY_CODES))


def test_a_pair_of_equal_pictures_costs_ln_2_and_moves_nothing():
    states = states_of(recording(), [0, 0])
    policy = torch.full((len(states.places),), -1.5, requires_grad=True)
    loss, scalars = dpo_loss(policy, torch.full_like(policy, -2.0), states, Objective(anchor=0))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    half = len(policy) // 2
    assert torch.allclose(policy.grad[:half], -policy.grad[half:]), "what both sides share cancels"
    assert scalars["chosen"].item() == scalars["rejected"].item() == pytest.approx(0.5 * TOKENS)


def test_the_anchor_holds_the_chosen_picture_up():
    states = states_of(recording(), [0, 1])
    policy = torch.full((len(states.places),), -2.0, requires_grad=True)
    chosen = states.owner == 0
    for anchor in (0.0, 3.0):
        policy.grad = None
        dpo_loss(policy, torch.full_like(policy, -2.0), states, Objective(anchor=anchor))[0].backward()
        ratio = -(policy.grad[chosen].sum() / policy.grad[~chosen].sum()).item()
        assert ratio == pytest.approx(1) if anchor == 0 else ratio > 2


def test_likelihood_counts_a_picture_as_a_whole_however_much_of_it_is_hidden():
    recorded = recording()
    steps = np.array([0, 3])
    states = states_at(recorded, np.array([0, 1]), steps, hidden_at(recorded, np.array([0, 1]), steps, TINY_CODES))
    assert picture_likelihood(torch.full((len(states.places),), -1.0), states).tolist() == [-TOKENS, -TOKENS]


def test_the_first_gradient_of_negative_aware_fine_tuning_is_that_of_the_policy_gradient():
    states = states_of(recording(), list(range(8)))
    gradients = []
    for objective in (nft_loss, policy_gradient_loss):
        policy = torch.full((len(states.places),), -2.0, requires_grad=True)
        objective(policy, policy.detach(), states, Objective())[0].backward()
        gradients.append(policy.grad)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-7) and gradients[0].abs().max() > 0
    right = states.right[states.owner] > 0
    assert (gradients[0][right] < 0).all() and (gradients[0][~right] > 0).all()


def test_what_has_been_unlearned_enough_is_left_alone():
    states = states_of(recording(), [1, 5])
    policy = torch.full((len(states.places),), -2.0, requires_grad=True)
    # Twice as likely as before: of the negatives the implicit policy has nothing left.
    loss, scalars = nft_loss(policy, policy.detach() - math.log(8), states, Objective())
    loss.backward()
    assert scalars["floored"].item() == 1 and policy.grad.abs().max() == 0
    loss, scalars = policy_gradient_loss(policy, policy.detach() + math.log(8), states, Objective())
    assert scalars["clipped"].item() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_lifts_what_it_is_told_to_lift(kind, tmp_path):
    recorded = recording(fulfils=(1, 1, 0, 1, 1, 0, 0, 0))
    stage = stage_of(kind, recorded)
    before = [value.clone() for value in stage.model.state_dict().values()]
    better, worse = states_of(recorded, [0, 3, 4]), states_of(recorded, [2, 5, 6])
    frozen = {name for name, weight in stage.model.named_parameters() if not weight.requires_grad}
    assert frozen == {"text_table.weight", "image_table.weight", "head.weight", "head.bias"}

    def lead() -> float:
        with torch.no_grad():
            means = [_log_probability(loop.model, states).mean() for states in (better, worse)]
        return float(means[0] - means[1])

    settings = AlignedTraining(batch=8, adam_lr=3e-3, average_decay=0.0)
    loop = TrainingLoop(stage, settings, Budget(steps=20), tmp_path, hardware=CPU, seed=1)
    first = lead()
    loop.train()
    assert lead() > first + 0.01
    released = load_weights(loop.weights, Generator, GeneratorConfig)
    changed = [not torch.equal(one, other) for one, other in zip(before, loop.model.state_dict().values(), strict=True)]
    names = list(loop.model.state_dict())
    assert {name for name, is_changed in zip(names, changed, strict=True) if not is_changed} == frozen
    assert released.config == stage.model.config


def test_the_reference_is_what_the_training_began_at():
    stage = stage_of("dpo", recording())
    batch = stage.examples(np.random.default_rng(0), 8)
    _, scalars = stage.loss(stage.model, batch)
    assert scalars["chosen"].item() == scalars["rejected"].item() == 0
    assert len(batch.states.tokens) == 6 and len(batch.rehearsal.tokens) == 2, "a quarter is ordinary training"


def test_recordings_without_anything_to_learn_are_refused():
    with pytest.raises(ValueError, match="all right or all wrong"):
        stage_of("nft", recording(right=(1, 1, 1, 1, 0, 0, 0, 0)))
    with pytest.raises(ValueError, match="8 and 0"):
        stage_of("imitation", recording(right=[1] * 8))
    with pytest.raises(ValueError, match="known are dpo, nft, grpo, imitation"):
        stage_of("ppo", recording())


def measured(right: np.ndarray) -> Measured:
    tasks = np.array(["counting", "colors"] * (len(right) // 2))
    codes = np.random.default_rng(0).integers(9, size=(*right.shape, TOKENS)).astype(np.uint16)
    return Measured(tasks, right, right, codes, np.where(right, "none", "broken"))


def test_differences_are_paired_by_prompt_and_tasks_weigh_the_same(tmp_path):
    theirs = np.random.default_rng(1).random((40, 4)) < 0.7
    ours = theirs.copy()
    ours[::2] = True  # all counting prompts
    gained = 1 - theirs[::2].mean()
    mean, low, high = paired_difference(ours, theirs, measured(ours).tasks)
    assert mean == pytest.approx(gained / 2) and 0 < low < mean < high
    rows = comparison(measured(ours), measured(theirs))
    assert rows["colors"] == [0, 0, 0] and rows["counting"][0] == pytest.approx(gained, abs=1e-4)
    measured(ours).write(tmp_path / "ours.npz")
    assert Measured.read(tmp_path / "ours.npz").summary() == measured(ours).summary()
    assert measured(ours).summary()["tasks"]["counting"] == {"strict": 1.0, "any": 1.0}
