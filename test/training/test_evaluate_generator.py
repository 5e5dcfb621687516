"""Scores of sampling settings: the same pictures as PyTorch's sampler, paired comparison, the report."""

import itertools
import json

import numpy as np
import pytest
import torch
from tiny import TINY_WORLD, tiny_generator, tiny_quantizer
from tiny_bundle import bundle_settings

from training.data.drawing_codes import DrawingSet
from training.evaluate import evaluate_generator
from training.evaluate.evaluate_generator import score_setting, scored_specs
from training.evaluate.sampling_report import JUDGES, SettingScore, score_entries, score_table
from training.export.graph_painter import GraphPainter
from training.export.graphs import generator_graphs
from training.export.graphs.detector_graph import build_detector_graph
from training.export.graphs.products import Products
from training.loop.checkpoint import save_weights
from training.models.detector import Detector, DetectorConfig
from training.models.fault_finder import FaultConfig, FaultFinder
from training.models.generator import Generator
from training.models.quantizer import Quantizer
from training.sampling.mask_predict import SamplingSettings, random_uniforms, sample
from training.world.geneval_rules import DetectionThresholds
from training.world.held_out import read_evaluation_set
from training.world.prompts import drawn_styles
from training.world.tokenizer import build_tokenizer, encode_prompts
from training.world.world import World
from training.yardstick.graph_detector import GraphDetector
from training.yardstick.matcher import Matcher
from training.yardstick.strict_yardstick import StrictThresholds, StrictYardstick

FAST = SamplingSettings(steps=2)
TINY_FAULTS = FaultConfig(image_size=48, hidden=16, width=16, blocks=1)
PROMPTS = ["a photo of a dog", "a photo of two cats", "a photo of a red car"]


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    model = Generator(tiny_generator(build_tokenizer().get_vocab_size()))
    for name, weight in model.named_parameters():
        if name.endswith(("output.weight", "narrow.weight", "head.weight")):
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def quantizer() -> Quantizer:
    """Of the tiny generator's 4 x 4 grid and codes."""
    return tiny_quantizer()


@pytest.fixture(scope="module")
def detector() -> Detector:
    torch.manual_seed(2)
    return Detector(DetectorConfig(image_size=48, channels=(8, 8, 16), blocks=(0, 0, 1))).eval()


def test_the_painter_samples_what_pytorch_samples(generator, quantizer, monkeypatch):
    """With float layers, so that only the loop around the graphs is under test; 20 prompts are more than one batch."""
    monkeypatch.setattr(generator_graphs, "Products", lambda graph, _: Products(graph, "float32"))
    settings = SamplingSettings(steps=3, guidance=1.0, code_temperature=0.7, corrections=2)
    texts = [PROMPTS[index % 3] for index in range(20)]
    images = GraphPainter.of_weights(generator, quantizer, 0.7, threads=1).paint(texts, settings, seed=3)
    ids = torch.from_numpy(encode_prompts(build_tokenizer(), [*drawn_styles(texts, seed=3), ""]))
    uniforms = random_uniforms(3, settings, 20, 16)
    codes = sample(generator, ids[:-1], ids[-1], torch.arange(20), *uniforms, settings).predictions[-1]
    expected = quantizer.decode(codes)
    assert images.shape == (20, 48, 48, 3) and images.dtype == torch.uint8
    # A uniform beside a category's edge may draw another code: a patch of 144 pixels of 2,304.
    assert ((images.int() - expected.int()).abs() <= 4).float().mean() > 0.9


def test_a_code_temperature_that_the_graphs_do_not_have_is_refused(generator, quantizer):
    painter = GraphPainter.of_weights(generator, quantizer, 0.7, threads=1)
    with pytest.raises(ValueError, match=r"code temperature 0.7, the settings ask for 1.0"):
        painter.paint(PROMPTS, FAST, seed=0)


def test_prompts_are_the_first_of_each_task_of_the_held_out_set():
    specs = scored_specs("official", ["counting", "position"], 3)
    official = [spec["prompt"] for spec in read_evaluation_set("official") if spec["tag"] == "counting"]
    assert [spec["prompt"] for spec in specs["counting"]] == official[:3]
    assert len(scored_specs("official", ["counting"], None)["counting"]) == len(official)


def test_prompts_of_a_file_are_scored_as_well(tmp_path):
    spec = read_evaluation_set("official")[0]
    (tmp_path / "mine.jsonl").write_text(json.dumps(spec) + "\n")
    assert scored_specs(str(tmp_path / "mine.jsonl"), [spec["tag"]], None) == {spec["tag"]: [spec]}
    with pytest.raises(ValueError, match="has no prompts of counting"):
        scored_specs(str(tmp_path / "mine.jsonl"), ["counting"], None)


def test_a_setting_is_scored_picture_by_picture(generator, quantizer, detector):
    painter = GraphPainter.of_weights(generator, quantizer, 1.0, threads=1)
    seeing = GraphDetector(build_detector_graph(detector, FaultFinder(TINY_FAULTS).eval()), threads=1)
    matcher = Matcher(DrawingSet.of_world(World(TINY_WORLD), quantizer), quantizer.decode)
    strict = StrictThresholds(0.5, 0.5, matcher.thresholds)
    yardstick = StrictYardstick(seeing.look, matcher, DetectionThresholds(0.0, 0.0), strict)
    specs = scored_specs("generated", ["single_object", "counting"], 2)
    score, images = score_setting(painter, yardstick, specs, FAST, pictures=3)
    assert images.shape == (12, 48, 48, 3)
    shapes = {"single_object": (2, 3), "counting": (2, 3)}
    assert {judge: {task: says.shape for task, says in of.items()} for judge, of in score.verdicts.items()} == dict.fromkeys(
        ("strict", "detector", "matcher", "geneval"), shapes
    )


def scored(single, counting, **settings) -> SettingScore:
    """All judges say the same."""
    correct = {"single_object": np.array(single, bool)[:, None], "counting": np.array(counting, bool)[:, None]}
    return SettingScore(SamplingSettings(**settings), dict.fromkeys(JUDGES, correct), 1.0)


def test_instruments_that_do_not_agree_are_counted_task_by_task():
    score = scored([1, 1, 0, 0], [1, 0])
    verdicts = {**score.verdicts, "matcher": {**score.verdicts["matcher"], "counting": np.array([[False], [False]])}}
    assert score.disagreement == 0
    assert SettingScore(score.settings, verdicts, 1.0).disagreement == pytest.approx((0 + 0.5) / 2)


def test_overall_is_the_mean_of_tasks_whatever_their_sizes():
    score = scored([1, 1, 1, 0], [1, 0])
    mean, half = score.overall("strict")
    assert mean == pytest.approx((0.75 + 0.5) / 2)
    assert half == pytest.approx(1.96 * np.sqrt(0.25 / 4 + 0.5 / 2) / 2)


def test_paired_differences_are_surer_than_two_scores_apart():
    rng = np.random.default_rng(0)
    base = rng.random(200) < 0.5
    better = base | (rng.random(200) < 0.1)
    first, second = scored(base, base), scored(better, better, steps=16)
    mean, half = second.difference(first, "strict")
    assert mean == pytest.approx(second.overall("strict")[0] - first.overall("strict")[0])
    assert 0 < half < 0.6 * np.hypot(first.overall("strict")[1], second.overall("strict")[1])
    assert first.difference(first, "strict") == (0, 0)


def test_the_report_has_a_line_for_each_setting():
    scores = [scored([1, 1], [0, 1]), scored([1, 1], [1, 1], steps=16, corrections=4, code_temperature=0.8)]
    lines = score_table(scores).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("| steps | corrections | correction share | guidance | temperature | code temperature |")
    assert lines[2].startswith("| 12 | 0 | 0.2 | 1 | 1 | 1 | 1.00 (0.34-1.00) | 0.50 (0.09-0.91) | **0.750**")
    assert lines[3].startswith("| 16 | 4 | 0.2 | 1 | 1 | 0.8 |") and "+0.250" in lines[3]
    entries = score_entries(scores)
    assert entries[1]["tasks"]["counting"]["correct"] == 1.0
    assert entries[1]["difference"]["mean"] == 0.25, "GenEval's rules keep their keys"
    assert entries[1]["strict"]["overall"]["mean"] == 1.0
    json.loads(json.dumps(entries, allow_nan=False))


def test_the_command_compares_settings_and_keeps_what_it_printed(generator, quantizer, detector, tmp_path, monkeypatch, capsys):
    models = {"generator": generator, "quantizer": quantizer, "detector": detector, "faults": FaultFinder(TINY_FAULTS)}
    for name, model in models.items():
        save_weights(tmp_path / f"{name}.pt", model)
    weights = [part for name in models for part in (f"--{name}", str(tmp_path / f"{name}.pt"))]
    (tmp_path / "world.toml").write_text("[world]\nimage_size = 48\nobject_sizes = [24, 24, 12, 12]\n")
    weights += ["--config", str(tmp_path / "world.toml")]
    grid = ["--steps", "1", "2", "--code-temperature", "0.5", "1", "--corrections", "0", "1", "--per-task", "2", "--threads", "1"]
    monkeypatch.setattr("sys.argv", ["evaluate_generator", *weights, *grid, "--out", str(tmp_path / "out")])
    evaluate_generator.main()
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    settings = [(entry["code_temperature"], entry["steps"], entry["corrections"]) for entry in printed["settings"]]
    assert settings == list(itertools.product((0.5, 1.0), (1, 2), (0, 1)))
    served = SamplingSettings.of_bundle(bundle_settings())
    assert {entry["correction_share"] for entry in printed["settings"]} == {served.correction_share}, "what is not given"
    assert json.loads((tmp_path / "out/scores.json").read_text()) == printed
    assert len((tmp_path / "out/scores.md").read_text().splitlines()) == 10
    assert (tmp_path / "out/counting.png").exists()
    monkeypatch.setattr("sys.argv", ["evaluate_generator", "--bundle", "anywhere", "--code-temperature", "0.5"])
    with pytest.raises(SystemExit):
        evaluate_generator.main()
    assert "code temperature is inside its step graph" in capsys.readouterr().err
