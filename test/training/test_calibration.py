"""From logits to probabilities, thresholds and judged steps, and what they are worth."""

import numpy as np
import pytest
import torch
from verifier_cases import TOKENIZER, drawn_verifier, random_images

from training.averaged_weights import AveragedWeights
from training.calibrate_verifier import OperatingPoint, fold_into_head, release
from training.models.verifier import TASKS
from training.probability_quality import area_under_curve, brier_score, fit_scale_and_shift, reliability
from training.pruning_choice import POTENTIAL, PruningRule, choose_acceptance_threshold, choose_pruning, replay_pruning
from training.tokenizer import encode_prompts
from training.verifier_measurement import Answers, measure, selection

RECORDED = (3, 5)


def test_calibration_recovers_a_known_scale_and_shift():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))).astype(float)
    scale, shift = fit_scale_and_shift(logits, labels)
    assert scale == pytest.approx(0.5, abs=0.05) and shift == pytest.approx(-1, abs=0.1)
    before = reliability(1 / (1 + np.exp(-logits)), labels)
    after = reliability(1 / (1 + np.exp(-(scale * logits + shift))), labels)
    assert after["ece"] < 0.02 < before["ece"] and after["brier"] < before["brier"]


def test_folding_scales_and_shifts_the_answers():
    model = drawn_verifier()
    images, prompt_ids = random_images(2), torch.from_numpy(encode_prompts(TOKENIZER, ["a cat", "a dog"]))
    with torch.no_grad():
        before = model.logits(images, prompt_ids)
        fold_into_head(model, [(1.0, 0.0), (2.0, -1.0), (0.5, 3.0)])
        after = model.logits(images, prompt_ids)
    assert torch.allclose(after, before * torch.tensor([1.0, 2.0, 0.5]) + torch.tensor([0.0, -1.0, 3.0]), atol=1e-4)


def test_area_under_curve_on_hand_made_scores():
    assert area_under_curve(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1])) == 1.0
    assert area_under_curve(np.array([0.5, 0.5, 0.5]), np.array([0, 1, 1])) == 0.5
    assert area_under_curve(np.array([0.5, 0.6]), np.array([1, 1])) is None


def test_reliability_by_hand():
    table = reliability(np.array([0.1, 0.1, 0.9, 1.0]), np.array([0.0, 1.0, 1.0, 1.0]))
    assert table["bins"] == [
        {"probability": 0.1, "share": 0.5, "count": 2},
        {"probability": 0.95, "share": 1.0, "count": 2},
    ]
    assert table["ece"] == pytest.approx((2 * 0.4 + 2 * 0.05) / 4)
    assert brier_score(np.array([0.5, 1.0]), np.array([1.0, 1.0])) == 0.125


def answers(*steps) -> np.ndarray:
    """[1, S, 3] from (clarity, potential) pairs."""
    return np.array([[(clarity, potential, 0.0) for clarity, potential in steps]])


def test_potential_is_read_once_at_the_first_clear_step():
    good, rule = np.array([False]), PruningRule((3, 5), 0.5, 0.3)
    late_doubt = answers((0.9, 0.9), (0.9, 0.1))
    assert replay_pruning(late_doubt, good, RECORDED, 12, rule).caught == 0.0
    unclear_then_bad = replay_pruning(answers((0.1, 0.1), (0.9, 0.1)), good, RECORDED, 12, rule)
    assert unclear_then_bad.caught == 1.0 and unclear_then_bad.calls == 2
    assert unclear_then_bad.saved == pytest.approx(6 / 12), "steps 6 to 11 are not run"


def test_prune_rates_are_shares_of_those_asked_at_a_step():
    probability = np.concatenate([
        answers((0.9, 0.1), (0.9, 0.1)),  # pruned at the first step, so not asked at the second
        answers((0.1, 0.1), (0.9, 0.1)),
        answers((0.1, 0.1), (0.9, 0.8)),
        answers((0.9, 0.9), (0.9, 0.1)),  # kept at the first, so not asked at the second either
    ])  # fmt: skip
    outcome = replay_pruning(probability, np.zeros(4, bool), RECORDED, 12, PruningRule((3, 5), 0.5, 0.3))
    assert outcome.prune_rates == (0.25, 0.5)


def foreseeable(rng: np.random.Generator, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Good and bad paths that potential tells apart from step 5 on; at step 4 it is noise."""
    good = rng.random(count) < 0.5
    probability = np.full((count, 4, 3), 0.9)
    probability[:, 0, POTENTIAL] = rng.random(count)
    probability[:, 1:, POTENTIAL] = np.where(good, 0.8, 0.1)[:, None]
    return probability, good


def test_chosen_pruning_keeps_nearly_all_good_candidates():
    probability, good = foreseeable(np.random.default_rng(0))
    rule = choose_pruning(probability, good, (4, 5, 6, 11), 12, call_row_steps=1.1)
    assert rule.steps == (5,) and 0.1 < rule.potential <= 0.8
    outcome = replay_pruning(probability, good, (4, 5, 6, 11), 12, rule)
    assert outcome.lost == 0 and outcome.caught == 1


def test_alignment_threshold_reaches_the_wanted_precision():
    probability = np.array([0.55] * 10 + [0.75] * 10 + [0.9] * 20)
    labels = np.array([0.0] * 10 + [1.0] * 5 + [0.0] * 5 + [1.0] * 20)
    assert choose_acceptance_threshold(probability, labels) == 0.8


def recorded_answers(rng: np.random.Generator) -> Answers:
    probability, good = foreseeable(rng)
    logits = np.log(probability) - np.log1p(-probability)
    logits[..., 2] = np.where(good, 1.0, -3.0)[:, None] + rng.normal(0, 0.5, probability.shape[:2])
    labels = np.repeat(good.astype(float)[:, None, None], 4, axis=1).repeat(3, axis=2)
    tags = np.where(np.arange(len(good)) % 2, "counting", "colors")
    siblings = [list(range(start, start + 4)) for start in range(0, len(good), 4)]
    return Answers(logits, labels, tags, siblings, (4, 5, 6, 11))


def test_choosing_by_the_score_is_compared_with_chance_and_with_the_best_there_is():
    known = recorded_answers(np.random.default_rng(0))
    earned = selection(known, known.labels[:, -1, 2])["overall"]
    assert earned["chosen"] == earned["any"] > earned["single"]
    assert selection(known, -known.labels[:, -1, 2])["overall"]["chosen"] < earned["single"]


@pytest.mark.parametrize("tasks", [TASKS, ("alignment",), ("potential",)])
def test_a_released_verifier_says_how_to_act_on_it(tasks):
    splits = {name: recorded_answers(np.random.default_rng(seed)) for seed, name in enumerate(("calibration", "test"))}
    report = release(drawn_verifier(), splits.__getitem__, tasks, 12, call_row_steps=1.0)
    assert report["tasks"] == list(tasks) and report["judgedStepsOf"] == 12
    assert set(report["thresholds"]) == set(TASKS)
    assert all(report["thresholds"][task] == 1.0 for task in set(TASKS) - set(tasks))
    assert all(0 < report["thresholds"][task] < 1 for task in tasks)
    measured = report["measured"]
    assert set(tasks) <= set(measured) and measured["trajectories"] == 400
    if "alignment" in tasks:
        assert measured["alignment"]["reliability"]["step 11"]["ece"] < 0.1
        assert 0.5 <= report["thresholds"]["alignment"] < 1
    if tasks == TASKS:
        assert report["judgedSteps"] == [5] and measured["pruning"]["caught"] == 1.0
        assert len(report["pruneRates"]) == 1 and 0.3 < report["pruneRates"][0] < 0.7
    else:
        assert report["judgedSteps"] == [] and "pruning" not in measured


def test_measurement_is_of_each_task_and_step():
    known = recorded_answers(np.random.default_rng(0))
    report = measure(known, known.probability([(1.0, 0.0)] * 3), TASKS)
    curve = report["potential"]["areaUnderCurve"]
    assert curve["step 5"] == {"all": 1.0, "colors": 1.0, "counting": 1.0}
    assert 0.35 < curve["step 4"]["all"] < 0.65


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


def test_an_operating_point_that_is_given_is_used_and_measured():
    splits = {name: recorded_answers(np.random.default_rng(seed)) for seed, name in enumerate(("calibration", "test"))}
    given = OperatingPoint(PruningRule((6,), 0.1, 0.95), 0.7)
    report = release(drawn_verifier(), splits.__getitem__, TASKS, 12, call_row_steps=1.0, given=given)
    assert report["thresholds"] == {"clarity": 0.1, "potential": 0.95, "alignment": 0.7}
    assert report["judgedSteps"] == [6]
    # This potential never reaches 0.95, so good candidates are lost as well: known before anybody serves it.
    assert report["pruneRates"] == [1.0] and report["measured"]["pruning"]["lost"] == 1.0
    with pytest.raises(ValueError, match=r"judged steps \[11\] were not recorded; permitted are \[4, 5, 6\]"):
        beyond = OperatingPoint(PruningRule((6, 11), 0.1, 0.95), 0.7)
        release(drawn_verifier(), splits.__getitem__, TASKS, 12, call_row_steps=1.0, given=beyond)
