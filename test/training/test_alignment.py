"""Alignment: recordings, pairs, what each objective asks for, and a training that does what it says."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import TINY_CODES, TINY_WORLD, tiny_generator, tiny_quantizer

from training.alignment.guidance import GUIDES, GuidanceSettings, GuidedStates, PathGuide, outcome_advantage
from training.alignment.measure import Measured, comparison, paired_difference
from training.alignment.objectives import Objective, dpo_loss, nft_loss, picture_likelihood, policy_gradient_loss
from training.alignment.pairs import preference_pairs
from training.alignment.path_states import PathStates, committed_at, hidden_at, states_at, taught_at
from training.alignment.roll_out import summary
from training.alignment.rollouts import Rollouts
from training.alignment.train_aligned import KINDS, AlignedStage, AlignedTraining, Guide, _log_probability
from training.data.scene_codes import SceneCodes
from training.data.token_scenes import TokenScenes
from training.loop.budget import Budget
from training.loop.checkpoint import load_weights
from training.loop.device import Hardware
from training.loop.training_loop import TrainingLoop
from training.models.generator import Generator, GeneratorConfig
from training.models.verifier import Verifier, VerifierConfig
from training.world.tokenizer import PAD, build_tokenizer, encode_prompts
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


def test_a_state_is_taught_what_is_hidden_and_of_known_codes_right_and_wrong_ones_alike():
    tokens = np.full((200, TOKENS), TINY_CODES)
    tokens[:, 8:] = 7
    targets = np.full((200, TOKENS), 7)
    targets[:, 12:] = 9  # known, and wrong
    targets[:, 4:8] = TINY_CODES - 1  # plain background
    counted = taught_at(np.random.default_rng(0), tokens, targets, TINY_CODES, plain_codes=4)
    assert counted[:, :4].all() and 0.2 < counted[:, 4:8].mean() < 0.3
    assert abs(counted[:, 8:12].mean() - 0.5) < 0.06 and abs(counted[:, 12:].mean() - 0.5) < 0.06


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


def tiny_verifier() -> Verifier:
    torch.manual_seed(5)
    config = VerifierConfig(
        TOKENIZER.get_vocab_size(), pad_id=PAD, image_size=48, channels=(8, 16, 16), blocks=(0, 0, 1), width=32, heads=2, layers=1
    )
    verifier = Verifier(config).eval()
    # Without training its answers hardly differ.
    verifier.head.weight.data *= 20
    return verifier


def path_guide(**settings) -> PathGuide:
    return PathGuide(tiny_verifier(), tiny_quantizer(), GuidanceSettings(first_step=1, **settings), recording())


def learned_gradients(loss: torch.Tensor, model: Generator) -> dict[str, torch.Tensor]:
    blocks = {name: weight for name, weight in model.named_parameters() if name.startswith("blocks.")}
    return dict(zip(blocks, torch.autograd.grad(loss, list(blocks.values()), allow_unused=True), strict=True))


def test_a_relaxed_picture_is_the_picture_and_its_gradient_that_of_the_expected_codes():
    quantizer = tiny_quantizer()
    ids = torch.randint(0, TINY_CODES, (3, TOKENS), generator=torch.Generator().manual_seed(0))
    places, probability = torch.tensor([1, 20]), torch.full((2, TINY_CODES), 1 / TINY_CODES, requires_grad=True)
    relaxed = quantizer.relaxed_pixels(ids, places, probability)
    assert torch.allclose(relaxed, quantizer.decode_pixels(ids, quantizer.tint_of(ids)), atol=1e-5)
    # What one more share of a code adds is what the picture would gain if the code's patch were added there.
    relaxed[0].sum().backward()
    assert probability.grad[0].abs().max() > 0 and probability.grad[1].abs().max() == 0, "place 20 is of another picture"


def test_a_verifiers_answer_reaches_every_block_of_the_generator_and_a_constant_one_none():
    model, guide = fresh_generator(), path_guide(divergence=0.0)
    torch.nn.init.normal_(model.head.weight, std=0.5)
    for name, weight in model.named_parameters():
        if name.endswith(("output.weight", "narrow.weight")):  # each block starts as the identity
            torch.nn.init.normal_(weight, std=0.05)
    reference = copy.deepcopy(model)
    batch = guide.examples(np.random.default_rng(0), 8, TINY_CODES)
    assert (batch.task > 0).all() and len(batch.uniform) == len(batch.states.places)
    gradients = learned_gradients(guide.loss(model, reference, batch)[0], model)
    reached = {name for name, gradient in gradients.items() if gradient is not None and gradient.abs().max() > 0}
    assert {name.split(".")[1] for name in reached} == {"0", "1"} and len(reached) > len(gradients) / 2
    # Beyond the highest log-odds nothing more is asked for, so the reward is constant.
    satisfied = path_guide(divergence=0.0, highest=-50.0)
    gradients = learned_gradients(satisfied.loss(model, reference, batch)[0], model)
    assert all(gradient is None or gradient.abs().max() == 0 for gradient in gradients.values())


def test_a_step_along_the_gradient_raises_what_the_verifier_says_of_the_same_states():
    model, guide = fresh_generator(), path_guide()
    torch.nn.init.normal_(model.head.weight, std=0.5)
    reference, batch = copy.deepcopy(model), path_guide().examples(np.random.default_rng(0), 32, TINY_CODES)
    optimizer = torch.optim.Adam([weight for name, weight in model.named_parameters() if name.startswith("blocks.")], lr=3e-3)
    said = []
    for _ in range(8):
        loss, scalars = guide.loss(model, reference, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        said.append(scalars)
    assert said[-1]["yes"] > said[0]["yes"] + 0.005 and said[0]["divergence"] == 0 < said[-1]["divergence"]


def test_outcome_guidance_compares_the_pictures_of_a_prompt():
    recorded, verifier = recording(), tiny_verifier()
    advantage = outcome_advantage(verifier, tiny_quantizer(), recorded, highest=50.0)
    assert np.ptp(advantage[:4]) > 0 and [advantage[rows].mean() for rows in recorded.groups] == pytest.approx([0, 0], abs=1e-6)
    assert np.abs(outcome_advantage(verifier, tiny_quantizer(), recorded, highest=1e-9)).max() < 1e-8


@pytest.mark.parametrize("kind", GUIDES)
def test_a_guided_training_has_states_of_its_own(kind):
    world, quantizer = World(TINY_WORLD), tiny_quantizer()
    scenes = TokenScenes(world, SceneCodes(world, quantizer), TOKENIZER)
    guide = Guide(kind, tiny_verifier(), quantizer)
    stage = AlignedStage(fresh_generator(), "dpo", AlignedTraining(batch=16), recording(), scenes, 4, guide)
    batch = stage.examples(np.random.default_rng(0), 16)
    guided = batch.guided.states if isinstance(batch.guided, GuidedStates) else batch.guided
    assert [len(part.tokens) for part in (batch.states, guided, batch.rehearsal)] == [8, 4, 4]
    loss, scalars = stage.loss(stage.model, batch)
    assert torch.isfinite(loss) and "guidance" in scalars


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
