"""From logits to probabilities, thresholds and judged steps, and what they are worth."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bundle import tiny_bundle_models
from verifier_cases import LEFT, TOKENIZER, drawn_verifier, random_images, seen, trajectories

from training.data.ranking_shards import write_shard
from training.export.bundle_models import load_models
from training.folders import CONFIGS
from training.loop.averaged_weights import AveragedWeights
from training.loop.checkpoint import save_weights
from training.models.verifier import TASKS
from training.sampling.mask_predict import SamplingSettings
from training.sampling.ranking_data import RankingConfig, released_files, sampling_of, source_of
from training.verifiers import calibrate_verifier, coherence
from training.verifiers.calibrate_verifier import OperatingPoint, fit_fusions, fold_into_head, release
from training.verifiers.probability_quality import area_under_curve, brier_score, fit_scale_and_shift, reliability
from training.verifiers.pruning_choice import POTENTIAL, PruningRule, choose_acceptance_threshold, choose_pruning, replay_pruning
from training.verifiers.verifier_measurement import Answers, measure, selection
from training.world.fact_splits import split_of
from training.world.tokenizer import encode_prompts

RECORDED = (3, 5)
SAMPLING = SamplingSettings(steps=9, corrections=3)


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
    coherence = np.where(good, 1.0, -1.0)[:, None] + rng.normal(0, 1.0, probability.shape[:2])
    return Answers(logits, labels, coherence, tags, siblings, (4, 5, 6, 11))


def test_choosing_by_the_score_is_compared_with_chance_and_with_the_best_there_is():
    known = recorded_answers(np.random.default_rng(0))
    earned = selection(known, known.labels[:, -1, 2])["overall"]
    assert earned["chosen"] == earned["any"] > earned["single"]
    assert selection(known, -known.labels[:, -1, 2])["overall"]["chosen"] < earned["single"]


@pytest.mark.parametrize("tasks", [TASKS, ("alignment",), ("potential",)])
def test_a_released_verifier_says_how_to_act_on_it(tasks):
    splits = {name: recorded_answers(np.random.default_rng(seed)) for seed, name in enumerate(("calibration", "test"))}
    report = release(drawn_verifier(), splits.__getitem__, tasks, SAMPLING, call_row_steps=1.0)
    assert report["tasks"] == list(tasks)
    assert report["judgedStepsOf"] == SAMPLING.steps == 9, "judged steps are of the first pass; corrections come after it"
    assert set(report["fusion"]) == set(tasks) - {"clarity"}
    assert all(set(weights) == {"own", "coherence", "bias"} for weights in report["fusion"].values())
    assert set(report["thresholds"]) == set(TASKS)
    assert all(report["thresholds"][task] == 1.0 for task in set(TASKS) - set(tasks))
    assert all(0 < report["thresholds"][task] < 1 for task in tasks)
    measured = report["measured"]
    assert set(tasks) <= set(measured) and measured["trajectories"] == 400
    if "alignment" in tasks:
        assert measured["alignment"]["reliability"]["step 11"]["ece"] < 0.1
        assert 0.5 <= report["thresholds"]["alignment"] < 1
        assert report["fusion"]["alignment"]["coherence"] > 0.3
        assert measured["parts"]["coherence"] < measured["alignment"]["areaUnderCurve"]["step 11"]["all"]
        assert measured["parts"]["verifier"] <= measured["alignment"]["areaUnderCurve"]["step 11"]["all"]
    if tasks == TASKS:
        assert report["judgedSteps"] == [5] and measured["pruning"]["caught"] > 0.95
        assert len(report["pruneRates"]) == 1 and 0.3 < report["pruneRates"][0] < 0.7
    else:
        assert report["judgedSteps"] == [] and "pruning" not in measured


def test_measurement_is_of_each_task_and_step():
    known = recorded_answers(np.random.default_rng(0))
    report = measure(known, known.scores([(1.0, 0.0)] * 3, {}), TASKS)
    curve = report["potential"]["areaUnderCurve"]
    assert curve["step 5"] == {"all": 1.0, "colors": 1.0, "counting": 1.0}
    assert 0.35 < curve["step 4"]["all"] < 0.65


def test_scores_are_calibrated_answers_and_those_of_a_fused_question_hold_coherence_too():
    known = recorded_answers(np.random.default_rng(0))
    fits = [(1.0, 0.0), (2.0, -1.0), (0.5, 0.25)]
    plain = known.scores(fits, {})
    assert plain == pytest.approx(1 / (1 + np.exp(-(known.logits * [1, 2, 0.5] + [0, -1, 0.25]))))
    scored = known.scores(fits, {"alignment": {"own": 0.5, "coherence": 2.0, "bias": -0.5}})
    assert np.array_equal(scored[..., :2], plain[..., :2])
    logits = -0.5 + 0.5 * (0.5 * known.logits[..., 2] + 0.25) + 2.0 * known.coherence
    assert scored[..., 2] == pytest.approx(1 / (1 + np.exp(-logits)))


def test_potential_is_fused_before_the_end_and_alignment_at_it():
    rng = np.random.default_rng(1)
    known = recorded_answers(rng)
    # Coherence tells good from bad before the last step only, or at the last only.
    sign, noise = np.where(known.labels[:, -1, 2] > 0.5, 1.0, -1.0), rng.normal(0, 1, known.coherence.shape)
    early, late = noise.copy(), noise.copy()
    early[:, :-1] += sign[:, None]
    late[:, -1] += sign
    fits = [(1.0, 0.0)] * 3
    for opinion, strong, weak in ((early, "potential", "alignment"), (late, "alignment", "potential")):
        blurred = replace(known, coherence=opinion, logits=known.logits * 0.1)
        fusion = fit_fusions(blurred, fits, TASKS)
        assert fusion[strong]["coherence"] > 1 > 0.5 > abs(fusion[weak]["coherence"])
    alone = fit_fusions(replace(known, coherence=late, logits=known.logits * 0.1), fits, ("potential",))
    assert set(alone) == {"potential"} and alone["potential"]["coherence"] > 1, "a process reward's last answer decides"


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
    given = OperatingPoint(PruningRule((6,), 0.1, 1.0), 0.7)
    report = release(drawn_verifier(), splits.__getitem__, TASKS, SAMPLING, call_row_steps=1.0, given=given)
    assert report["thresholds"] == {"clarity": 0.1, "potential": 1.0, "alignment": 0.7}
    assert report["judgedSteps"] == [6]
    # Potential never reaches 1, so good candidates are lost as well: known before anybody serves it.
    assert report["pruneRates"] == [1.0] and report["measured"]["pruning"]["lost"] == 1.0
    with pytest.raises(ValueError, match=r"judged steps \[11\] were not recorded; permitted are \[4, 5, 6\]"):
        beyond = OperatingPoint(PruningRule((6, 11), 0.1, 0.95), 0.7)
        release(drawn_verifier(), splits.__getitem__, TASKS, SAMPLING, call_row_steps=1.0, given=beyond)


def cat_prompts(split: str, count: int) -> list[dict]:
    """Specs of one cat, in wordings of a split."""
    cat = {"tag": "single_object", "include": [{"class": "cat", "count": 1}]}
    worded = ({**cat, "prompt": f"a photo of a cat {number}"} for number in itertools.count())
    return list(itertools.islice((spec for spec in worded if split_of(spec) == split), count))


def write_cat_trajectories(folder: Path, source: str, sampling: SamplingSettings) -> tuple[int, ...]:
    """Two paths of each of 40 prompts, of which the one that its generator finds likely shows the cat; the recorded steps."""
    steps = RankingConfig(1, (1,) * 6, 2).recorded_steps(sampling)
    specs = [spec for split in ("calibration", "test") for spec in cat_prompts(split, 20) for _ in range(2)]
    shown = [seen("cat", LEFT)]
    data = trajectories(specs, [[shown] * len(steps), [[]] * len(steps)] * 40, source)
    coherence = np.where(np.arange(80) % 2, -2.0, -0.5)[:, None] * np.ones(len(steps), np.float32)
    write_shard(replace(data, steps=steps, step_count=sampling.all_steps, coherence=coherence), folder / "000.npz")
    return steps


def test_the_commands_write_what_a_bundle_says_of_coherence_and_of_a_verifier(tmp_path, monkeypatch, capsys):
    models, settings = tiny_bundle_models(), CONFIGS / "bundle.toml"
    weights, sampling = tmp_path / "weights", sampling_of(settings)
    for name, model in (("generator", models.generator.folded()), ("quantizer", models.quantizer), ("detector", models.detector)):
        save_weights(weights / f"{name}.pt", model)
    save_weights(weights / "faults.pt", models.faults)
    save_weights(tmp_path / "trained.pt", models.verifiers["parm"].model)
    steps = write_cat_trajectories(tmp_path / "ranking", source_of(released_files(weights), sampling), sampling)
    places = ["--weights", str(weights), "--trajectories", str(tmp_path / "ranking")]
    point = ["--judged-steps", "4", "6", "--clarity", "0.2", "--potential", "0.5", "--alignment", "0.97"]
    calibrating = ["calibrate_verifier", "parm", *places, "--trained", str(tmp_path / "trained.pt"), "--threads", "1", *point]

    monkeypatch.setattr("sys.argv", calibrating)
    with pytest.raises(FileNotFoundError, match=r"coherence\.json; `python -m training\.verifiers\.coherence` writes it"):
        calibrate_verifier.main()
    monkeypatch.setattr("sys.argv", ["coherence", *places])
    coherence.main()
    told = json.loads((weights / "coherence.json").read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == told
    assert told["calibratedOn"] == told["measured"]["trajectories"] == 40
    assert set(told["measured"]["areaUnderCurve"].values()) == {1.0}
    assert [entry["stepIndex"] for entry in told["points"]] == list(steps) and steps[-1] == sampling.all_steps - 1

    monkeypatch.setattr("sys.argv", calibrating)
    calibrate_verifier.main()
    report = json.loads((weights / "parm.json").read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == report
    assert report["judgedSteps"] == [4, 6] and report["judgedStepsOf"] == sampling.steps < sampling.all_steps
    assert set(report["fusion"]) == {"potential", "alignment"} and report["measured"]["parts"]["coherence"] == 1.0
    area = report["measured"]["alignment"]["areaUnderCurve"][f"step {steps[-1]}"]["all"]
    assert area == 1.0, "fused with what tells them apart"
    loaded = load_models(weights, ["parm"])
    calibration, head = loaded.verifiers["parm"].calibration, loaded.verifiers["parm"].model.head
    assert loaded.coherence == told["points"] and calibration.fusion == report["fusion"]
    assert calibration.judged_steps_of == sampling.steps and calibration.judged_steps == (4, 6)
    assert not torch.equal(head.weight, models.verifiers["parm"].model.head.weight), "the fit is folded in"
