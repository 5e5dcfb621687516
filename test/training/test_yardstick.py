"""How the yardstick is measured: trials whose truth is known, and what is counted about them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import TINY_WORLD, tiny_quantizer

from training.data.reconstruction import coded_scenes
from training.evaluate import evaluate_detector
from training.evaluate.evaluate_detector import bundle_thresholds, graph_decoder, read_trials
from training.export.graphs.decode_graph import build_decode_graph
from training.export.graphs.detector_graph import build_detector_graph
from training.loop.checkpoint import save_weights
from training.models.detector import Detector, DetectorConfig
from training.models.fault_finder import FaultConfig, FaultFinder
from training.world.classes import CLASS_INDEX, TASKS
from training.world.geneval_rules import DetectedObject, DetectionThresholds
from training.world.held_out import read_evaluation_set
from training.world.spec import satisfies
from training.world.world import World
from training.yardstick.graph_detector import GraphDetector
from training.yardstick.intervals import wilson_interval
from training.yardstick.truth_agreement import draw_trials, measure_agreement, read_counts
from training.yardstick.yardstick_report import agreement_entry, agreement_table, counting_table, refusal_lines, sweep_table

THRESHOLDS = DetectionThresholds(score=0.3, counting=0.5)
DETECTOR = DetectorConfig(image_size=48, channels=(8, 8, 16), blocks=(0, 0, 1))


def perfect(trials, score=0.9):
    """What a detector without faults sees; drawings in their own colours are called brown."""
    return [
        [DetectedObject(known.class_index, score, known.color or "brown", known.box) for known in trial.scene.objects]
        for trial in trials
    ]


@pytest.mark.parametrize("task", TASKS)
def test_trials_ask_held_out_specs_about_scenes_of_known_truth(task):
    trials = draw_trials(TINY_WORLD, task, 6)
    held_out = [json.dumps(spec) for spec in read_evaluation_set("generated")]
    assert len(trials) == 12
    for trial in trials:
        assert json.dumps(trial.spec) in held_out
        assert satisfies(trial.scene.objects, trial.spec) == trial.right
    assert [trial.right for trial in trials] == [True, False] * 6


def test_trials_are_the_same_every_time_and_arrange_a_spec_anew():
    first, second = (draw_trials(TINY_WORLD, "counting", 82) for _ in range(2))
    assert all(np.array_equal(one.scene.image, other.scene.image) for one, other in zip(first, second, strict=True))
    assert first[0].spec == first[160].spec, "there are 80 counting specs"
    assert not np.array_equal(first[0].scene.image, first[160].scene.image)


@pytest.mark.parametrize("task", TASKS)
def test_a_perfect_detector_agrees_with_the_truth(task):
    trials = draw_trials(TINY_WORLD, task, 20)
    agreement = measure_agreement(trials, perfect(trials), THRESHOLDS)
    assert (agreement.right, agreement.wrong) == (20, 20)
    assert agreement.share == 1.0


def test_agreement_counts_both_kinds_of_mistakes():
    trials = draw_trials(TINY_WORLD, "counting", 10)
    blind = measure_agreement(trials, [[] for _ in trials], THRESHOLDS)
    assert (blind.accepted, blind.refused, blind.share) == (0, 10, 0.5)
    seen = perfect(trials)
    seen[0] = seen[0][1:]  # a right picture in which one object is missed
    assert measure_agreement(trials, seen, THRESHOLDS).share == pytest.approx(19 / 20)


def test_counts_are_of_the_scenes_own_class_above_the_threshold():
    trials = draw_trials(TINY_WORLD, "counting", 2)
    seen = perfect(trials)
    doubled = seen[0][0]
    stranger = DetectedObject((doubled.class_index + 1) % len(CLASS_INDEX), 0.9, "red", (0, 0, 9, 9))
    faint = DetectedObject(doubled.class_index, 0.4, "red", (0, 0, 9, 9))
    reading = read_counts(trials[:1], [[*seen[0], doubled, stranger, faint]], THRESHOLDS.counting)[0]
    assert reading.seen == reading.truth + 1
    table = counting_table("a view", trials[:1], [[*seen[0], doubled]], THRESHOLDS.counting)
    assert f"| {reading.truth} | 1 | 0 | 0 | 1 |" in table
    assert f"{reading.name}: more in 1 of 1" in table


def test_the_report_names_share_interval_and_the_worst_task():
    trials = {task: draw_trials(TINY_WORLD, task, 5) for task in TASKS}
    seen = {task: perfect(trials[task]) for task in TASKS}
    seen["position"] = [[] for _ in seen["position"]]
    agreements = {task: measure_agreement(trials[task], seen[task], THRESHOLDS) for task in TASKS}
    entry = agreement_entry(agreements)
    low, high = wilson_interval(5, 10)
    assert entry["position"] == {
        "agreement": 0.5, "interval95": [round(low, 4), round(high, 4)], "accepted": 0.0, "refused": 1.0, "pictures": 10,
    }  # fmt: skip
    assert entry["lowest"] == 0.5
    assert f"| a view | position | 0.500 ({low:.3f}-{high:.3f}) | 0 of 5 | 5 of 5 |" in agreement_table({"a view": agreements})
    assert "| 0.9 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 |" in sweep_table("a view", trials, seen), "scores are 0.9"


def test_refusals_are_explained():
    trials = {task: draw_trials(TINY_WORLD, task, 1)[:1] for task in ("single_object", "counting", "colors", "position")}
    seen = {task: perfect(of_task) for task, of_task in trials.items()}
    assert refusal_lines("a view", trials, seen, THRESHOLDS).count("none") == 4
    name = {task: of_task[0].spec["include"][0]["class"] for task, of_task in trials.items()}
    color = trials["colors"][0].spec["include"][0]["color"]
    other = "red" if color != "red" else "blue"
    seen["single_object"] = [[]]
    seen["counting"] = [[*seen["counting"][0], seen["counting"][0][0]]]
    seen["colors"] = [[replace(seen["colors"][0][0], color=other)]]
    seen["position"] = [[replace(known, box=(0, 0, 9, 9)) for known in seen["position"][0]]]
    assert refusal_lines("a view", trials, seen, THRESHOLDS).splitlines()[1:] == [
        f"- single_object: {name['single_object']} not seen (1)",
        f"- counting: {name['counting']} seen too often (1)",
        f"- colors: {color} {name['colors']} read as {other} (1)",
        "- position: place misread (1)",
    ]


def test_wilson_interval_of_known_cases():
    assert wilson_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-3)
    assert wilson_interval(98, 100) == pytest.approx((0.930, 0.9945), abs=1e-3)
    with pytest.raises(ValueError, match="3 hits of 2 trials"):
        wilson_interval(3, 2)


def test_weights_and_exported_graphs_see_the_same(tmp_path):
    torch.manual_seed(0)
    detector, quantizer = Detector(DETECTOR).eval(), tiny_quantizer()
    for weight in (*detector.parameters(), *quantizer.parameters()):
        weight.data = torch.randn(weight.shape).mul((1 / max(weight[0].numel(), 1)) ** 0.5).half().float()
    path = tmp_path / "decode.onnx"
    path.write_bytes(build_decode_graph(quantizer).SerializeToString())
    trials = draw_trials(TINY_WORLD, "colors", 3)
    graph = GraphDetector(build_detector_graph(detector), threads=1)
    coded = coded_scenes(quantizer, World(TINY_WORLD), graph_decoder(path, quantizer, threads=1))
    for reconstruct in (None, coded.reconstruct):
        exact, served = (read_trials(trials, model.detect, reconstruct) for model in (detector, graph))
        assert [len(seen) for seen in exact] == [len(seen) for seen in served] and any(exact)
        scores = [np.array([[known.score for known in seen] for seen in found]) for found in (exact, served)]
        # A cell as high as its neighbour is a peak or none by a rounding.
        assert np.isclose(*scores, atol=1e-3).mean() > 0.95


def test_a_decoder_of_other_weights_is_refused(tmp_path):
    torch.manual_seed(0)
    quantizer, other = tiny_quantizer(), tiny_quantizer()
    other.decoder[-2].bias.data += 1
    path = tmp_path / "decode.onnx"
    path.write_bytes(build_decode_graph(other).SerializeToString())
    with pytest.raises(ValueError, match=r"decode.onnx is another quantiser's decoder"):
        graph_decoder(path, quantizer, threads=1)


def test_the_command_prints_a_table_and_one_json_line(tmp_path, monkeypatch, capsys):
    """An untrained detector sees nothing, so it refuses right and wrong pictures alike."""
    torch.manual_seed(0)
    save_weights(tmp_path / "detector.pt", Detector(DETECTOR))
    save_weights(tmp_path / "quantizer.pt", tiny_quantizer())
    save_weights(tmp_path / "faults.pt", FaultFinder(FaultConfig(image_size=48, hidden=16, width=16, blocks=1)))
    world = {"image_size": TINY_WORLD.image_size, "lattice": TINY_WORLD.lattice, "object_sizes": list(TINY_WORLD.object_sizes)}
    lines = "\n".join(f"{name} = {value}" for name, value in world.items())
    (tmp_path / "world.toml").write_text(f"[world]\n{lines}\n")
    files = {"--config": "world.toml", "--weights": "detector.pt", "--quantizer": "quantizer.pt", "--faults": "faults.pt"}
    paths = [part for option, name in files.items() for part in (option, str(tmp_path / name))]
    monkeypatch.setattr("sys.argv", ["evaluate_detector", *paths, "--scenes-per-task", "2", "--sweep", "--counting", "0.4"])
    evaluate_detector.main()
    printed = capsys.readouterr().out
    report = json.loads(printed.splitlines()[-1])
    refused = report.pop("faults refused")
    assert set(refused) >= {"patches", "halves", "strays"} and all(shares["detector"] == 1 for shares in refused.values())
    strict = {judge: report.pop(f"through the quantiser, strict, {judge}") for judge in ("detector", "matcher", "both")}
    assert strict["matcher"]["lowest"] > strict["both"]["lowest"] == 0.5
    assert set(report) == {"ground truth", "through the quantiser"}
    assert all(set(entry) == {*TASKS, "lowest"} and entry["lowest"] == 0.5 for entry in report.values())
    assert "| ground truth | counting | 0.500" in printed and "not seen" in printed


def test_default_thresholds_are_the_bundles():
    assert 0 < bundle_thresholds().score <= bundle_thresholds().counting < 1
