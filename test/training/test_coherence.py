"""The generator's own opinion as a probability, and what it adds to a verifier's."""

import numpy as np
import pytest
from verifier_cases import LEFT, seen, trajectories

from training.verifiers.coherence import CoherenceFit, fit_coherence, fit_fusion, fused, right_in_the_end
from training.world.geneval_rules import DetectionThresholds

THRESHOLDS = DetectionThresholds(score=0.3, counting=0.5)
CAT = {"tag": "single_object", "include": [{"class": "cat", "count": 1}], "prompt": "a photo of a cat"}


def drawn(rng: np.random.Generator, logits: np.ndarray) -> np.ndarray:
    """Yes or no with these logits: bool."""
    return rng.random(logits.shape) < 1 / (1 + np.exp(-logits))


def paths_of(raw: np.ndarray):
    """Trajectories of raw coherence float [n, S]."""
    data = trajectories([CAT] * len(raw), [[[]] * raw.shape[1]] * len(raw))
    data.coherence[:] = raw
    return data


def test_the_fit_recovers_a_known_relation_at_every_step():
    rng = np.random.default_rng(0)
    raw = np.stack([rng.normal(-3.0, 0.3, 8000), rng.normal(-0.5, 0.1, 8000)], axis=1)
    right = drawn(rng, 12.0 + 4.0 * raw[:, 0])
    fit = fit_coherence(paths_of(raw), right)
    assert fit.steps == (4, 5)
    assert fit.slopes[0] == pytest.approx(4.0, rel=0.1) and fit.offsets[0] == pytest.approx(12.0, rel=0.1)
    told = 1 / (1 + np.exp(-fit.logits(raw, (4, 5))))
    for place in (0, 1):
        assert told[:, place].mean() == pytest.approx(right.mean(), abs=0.01)
    likely = told[:, 0] > 0.7
    assert right[likely].mean() == pytest.approx(told[likely, 0].mean(), abs=0.03)
    assert told[:, 1].std() < 0.05, "nothing is read into numbers that say nothing"


@pytest.mark.parametrize("right", [np.ones(6, bool), np.array([True, True, True, False, False, False])])
def test_the_fit_stays_finite_where_all_end_alike_or_are_separated(right):
    raw = np.array([-1.0, -1.1, -1.2, -3.0, -3.1, -3.2])[:, None]
    for values in (raw, np.full((6, 1), -2.0)):
        fit = fit_coherence(paths_of(values), right)
        assert np.isfinite([*fit.offsets, *fit.slopes]).all() and np.isfinite(fit.logits(values, (5,))).all()


def test_logits_are_those_of_each_step_and_no_surer_than_one_in_a_million():
    fit = CoherenceFit((2, 3, 17), (0.0, 1.0, 2.0), (1.0, 2.0, 500.0))
    assert fit.logits(np.array([[-1.0, -0.25]]), (3, 2)).tolist() == [[-1.0, -0.25]]
    assert fit.logits(np.array([[-1.0]]), (17,)) == pytest.approx(-np.log(1e6), rel=1e-6)
    with pytest.raises(ValueError, match=r"coherence was fitted after steps \[2, 3, 17\], not after \[5\]"):
        fit.logits(np.zeros((1, 2)), (3, 5))


def test_a_fit_reads_back_as_its_points_and_a_missing_one_names_the_command(tmp_path):
    fit = CoherenceFit((2, 17), (1.5, -2.0), (3.25, 4.0))
    (tmp_path / "coherence.json").write_text(f'{{"points": {fit.points()}}}'.replace("'", '"'))
    assert CoherenceFit.read(tmp_path / "coherence.json") == fit
    missing = r"no coherence at .*none\.json; `python -m training\.verifiers\.coherence` writes it"
    with pytest.raises(FileNotFoundError, match=missing):
        CoherenceFit.read(tmp_path / "none.json")


def test_a_path_ends_right_when_its_last_picture_fulfils_its_prompt_and_is_whole():
    shown = [seen("cat", LEFT)]
    whole = [[True, True], [True, False], [False, True], [True, True]]
    data = trajectories([CAT] * 4, [[[], shown], [[], shown], [[], shown], [shown, []]], whole=whole)
    assert right_in_the_end(data, THRESHOLDS).tolist() == [True, False, True, False]


def test_fusion_recovers_known_weights():
    rng = np.random.default_rng(0)
    own, coherence = rng.normal(0, 2, 20_000), rng.normal(0, 2, 20_000)
    labels = drawn(rng, -0.5 + 0.8 * own + 0.4 * coherence)
    weights = fit_fusion(own, coherence, labels)
    assert weights == pytest.approx({"own": 0.8, "coherence": 0.4, "bias": -0.5}, abs=0.05)
    by_hand = {"own": 2.0, "coherence": 0.5, "bias": 1.0}
    assert fused(np.array([1.0, -1.0]), np.array([2.0, 0.5]), by_hand).tolist() == [4.0, -0.75]


def test_a_coherence_that_says_nothing_leaves_the_answer_as_it_is():
    rng = np.random.default_rng(0)
    own, noise = rng.normal(0, 2, 20_000), rng.normal(0, 2, 20_000)
    assert fit_fusion(own, noise, drawn(rng, own)) == pytest.approx({"own": 1.0, "coherence": 0.0, "bias": 0.0}, abs=0.05)


def test_fusion_stays_finite_where_labels_are_separated():
    weights = fit_fusion(np.array([3.0, 2.0, -2.0, -3.0]), np.array([1.0, 1.0, -1.0, -1.0]), np.array([1, 1, 0, 0]))
    assert all(np.isfinite(value) and abs(value) < 20 for value in weights.values())
