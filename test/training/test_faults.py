"""The fault finder: what it learns from, that it learns, its graph, and the strict verdict that it takes part in."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TINY_CODES, TINY_WORLD, sharing_generator, tiny_quantizer
from tiny_stages import TOKENIZER, tiny_stage

from training.data.broken_scenes import BrokenScenes
from training.data.scene_codes import SceneCodes
from training.data.token_scenes import TokenScenes
from training.export.graphs.detector_graph import build_detector_graph
from training.loop.muon import build_optimizers
from training.models.detector import Detector, DetectorConfig, DetectorOutput
from training.models.fault_finder import FaultConfig, FaultFinder, broken_logit
from training.plots.draw_broken import BrokenPictures
from training.sampling.mask_predict import SamplingSettings
from training.stages.train_faults import FaultBatch, FaultTraining, fault_loss
from training.world.classes import CLASS_INDEX
from training.world.geneval_rules import DetectionThresholds
from training.world.world import World
from training.yardstick.graph_detector import GraphDetector
from training.yardstick.matcher import Composition, MatchThresholds
from training.yardstick.strict_yardstick import StrictThresholds, StrictYardstick
from training.yardstick.validate_yardstick import LabelledPictures, agreement

WORLD, QUANTIZER = World(TINY_WORLD), tiny_quantizer()
CODES = SceneCodes(WORLD, QUANTIZER)
SPEC = {"tag": "single_object", "include": [{"class": "cat", "count": 1}]}


def test_each_kind_of_fault_changes_codes_and_is_a_function_of_the_random_numbers():
    scenes = BrokenScenes(WORLD, CODES)
    for kind in scenes.kinds:
        drawn = [scenes.broken(np.random.default_rng(seed), kind) for seed in range(30)]
        assert np.mean([(codes != composed).any() for codes, composed, _ in drawn]) > 0.5, kind
        again = scenes.broken(np.random.default_rng(3), kind)
        assert np.array_equal(again[0], drawn[3][0]) and again[2] == drawn[3][2]
        assert all(codes.min() >= 0 and codes.max() < TINY_CODES for codes, _, _ in drawn)


def test_the_composed_scene_is_left_as_it_was():
    scenes = BrokenScenes(WORLD, CODES)
    rng = np.random.default_rng(5)
    spec = WORLD.sample_spec(rng)
    composed = CODES.grid(*WORLD.arrange(rng, spec))
    assert np.array_equal(scenes.broken(np.random.default_rng(5), "fused")[1], composed)


def test_a_batch_says_what_is_known_of_each_of_its_pictures():
    stage, settings = tiny_stage("faults")
    batch = stage.examples(np.random.default_rng(0), 40)
    assert batch.images.shape == (40, 48, 48, 3) and batch.faults.shape == (40, 4, 4)
    clean = round(40 * settings.clean_share)
    assert (batch.faults[:clean] == 0).all() and (batch.broken[:clean] == 0).all()
    unfinished = round(40 * settings.unfinished_share)
    assert (batch.faults[-unfinished:] == -1).all() and (batch.broken[-unfinished:] == 1).all()
    made = batch.faults[clean:-unfinished]
    assert torch.equal((made > 0).any(2).any(1), batch.broken[clean:-unfinished] == 1)
    repeated = stage.examples(np.random.default_rng(0), 40)
    assert torch.equal(repeated.images, batch.images) and torch.equal(repeated.faults, batch.faults)


def test_what_is_not_known_teaches_nothing():
    logits = torch.zeros(2, 4, 4, requires_grad=True)
    faults = torch.zeros(2, 4, 4)
    faults[1] = -1
    batch = FaultBatch(torch.zeros(2, 48, 48, 3), faults, torch.tensor([0.0, -1.0]))
    fault_loss(logits, batch, FaultTraining())[0].backward()
    assert logits.grad[0].abs().sum() > 0 and logits.grad[1].abs().sum() == 0


def test_it_learns_to_tell_whole_scenes_from_broken_ones():
    stage, settings = tiny_stage("faults")
    optimizers = build_optimizers(stage.model, settings.muon_lr, settings.adam_lr, stage.is_hidden)
    rng, losses = np.random.default_rng(0), []
    for _ in range(40):
        loss, _ = stage.loss(stage.model, stage.examples(rng, 48))
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        stage.model.zero_grad()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="at most 1 together"):
        FaultTraining(clean_share=0.8, refilled_share=0.3)


def test_the_graph_finds_what_pytorch_finds_beside_the_detectors_objects():
    torch.manual_seed(0)
    detector = Detector(DetectorConfig(image_size=48, channels=(8, 8, 16), blocks=(0, 0, 1))).eval()
    finder = FaultFinder(FaultConfig(image_size=48, hidden=16, width=16, blocks=2)).eval()
    torch.nn.init.normal_(finder.faults.weight, std=1.0)
    images = torch.randint(256, (3, 48, 48, 3), dtype=torch.uint8)
    output, faults = GraphDetector(build_detector_graph(detector, finder), threads=1).look(images)
    # Stored as float16.
    assert torch.allclose(faults, finder.find(images), atol=0.01)
    alone, nothing = GraphDetector(build_detector_graph(detector), threads=1).look(images)
    assert nothing is None and torch.equal(alone.scores, output.scores)
    assert torch.equal(broken_logit(faults), faults.flatten(1).max(1).values)


def test_the_generator_breaks_pictures_where_it_fills_them_in():
    generator = sharing_generator().eval()
    broken = BrokenPictures(TokenScenes(WORLD, CODES, TOKENIZER), generator, SamplingSettings(steps=8))
    codes, composed = broken.refilled(1, 6)
    share = (codes != composed).mean()
    assert codes.shape == composed.shape == (6, 16) and 0.02 < share < 0.8
    assert np.array_equal(codes, broken.refilled(1, 6)[0])
    unfinished = broken.unfinished(1, 6)
    assert unfinished.shape == (30, 16) and unfinished.min() >= 0 and unfinished.max() < TINY_CODES


class Seeing:
    """Stands for both instruments: says the same of every picture."""

    def __init__(self, *, scores=(0.9,), labels=("cat",), fault=0.0, matched=True):
        self._scores, self._labels = torch.tensor([scores]), torch.tensor([[CLASS_INDEX[name] for name in labels]])
        self._fault, self._matched = fault, matched

    def look(self, images):
        rows, kept = len(images), self._scores.shape[1]
        boxes = torch.tensor([0.0, 0.0, 40.0, 40.0]).expand(rows, kept, 4)
        output = DetectorOutput(boxes, self._scores.expand(rows, -1), self._labels.expand(rows, -1), torch.zeros(rows, kept, 10))
        faults = torch.zeros(rows, 8, 8)
        faults[:, 3, 4] = self._fault
        return output, faults

    def compose(self, images, specs):
        return Composition(np.full(len(images), self._matched), np.zeros((len(images), 64), int), np.zeros((len(images), 64)))

    def accepts(self, composition):
        return composition.fulfils


@pytest.mark.parametrize(
    ("seeing", "geneval", "detector", "right", "fault"),
    [
        (Seeing(), True, True, True, "none"),
        (Seeing(fault=0.6), True, False, False, "broken"),
        (Seeing(fault=0.4), True, True, True, "none"),
        (Seeing(matched=False), True, True, False, "broken"),
        (Seeing(labels=("dog",)), False, False, False, "missing"),
        (Seeing(scores=(0.9, 0.8), labels=("cat", "dog")), True, False, False, "extra"),
        (Seeing(scores=(0.9, 0.4), labels=("cat", "dog")), True, True, True, "none"),
    ],
)
def test_right_is_what_both_instruments_accept(seeing, geneval, detector, right, fault):
    strict = StrictThresholds(0.5, 0.5, MatchThresholds())
    yardstick = StrictYardstick(seeing.look, seeing, DetectionThresholds(0.3, 0.5), strict)
    verdicts = yardstick.judge(torch.zeros(70, 96, 96, 3, dtype=torch.uint8), [SPEC] * 70)
    assert (verdicts.geneval == geneval).all() and (verdicts.detector == detector).all() and (verdicts.right == right).all()
    assert set(verdicts.faults) == {fault}


CAT_ABOVE = {"class": "cat", "count": 1, "position": ["above", 0]}


@pytest.mark.parametrize(
    ("asked", "labels", "fault"),
    [
        ({"tag": "counting", "include": [{"class": "cat", "count": 2}]}, ("cat",), "too few"),
        ({"tag": "counting", "include": [{"class": "cat", "count": 2}]}, ("cat",) * 3, "too many"),
        ({"tag": "colors", "include": [{"class": "cat", "count": 1, "color": "blue"}]}, ("cat",), "color"),
        ({"tag": "position", "include": [{"class": "dog", "count": 1}, CAT_ABOVE]}, ("cat", "dog"), "place"),
    ],
)
def test_what_is_wrong_is_told_by_its_kind(asked, labels, fault):
    seeing = Seeing(labels=labels, scores=(0.9,) * len(labels))
    strict = StrictThresholds(0.5, 0.5, MatchThresholds())
    yardstick = StrictYardstick(seeing.look, seeing, DetectionThresholds(0.3, 0.5), strict)
    exclude = {"exclude": [{"class": "cat", "count": 3}]} if asked["tag"] == "counting" else {}
    verdicts = yardstick.judge(torch.zeros(1, 96, 96, 3, dtype=torch.uint8), [{**asked, **exclude, "prompt": "p"}])
    assert verdicts.faults == [fault]


def test_agreement_with_labels_is_counted_by_task_and_by_kind_of_mistake(tmp_path):
    specs = [SPEC, SPEC, {**SPEC, "tag": "counting"}]
    lines = [{"spec": spec, "right": right, "sure": True, "tuning": False} for spec, right in zip(specs, (1, 0, 1), strict=True)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    np.save(tmp_path / "codes.npy", np.zeros((3, 4), np.uint16))
    sheet = np.random.default_rng(0).integers(256, size=(4, 4, 3), dtype=np.uint8)
    Image.fromarray(sheet).save(tmp_path / "pictures.png")
    pictures = LabelledPictures.read(tmp_path)
    assert np.array_equal(pictures.shown[1], sheet[:2, 2:]) and np.array_equal(pictures.shown[2], sheet[2:, :2])
    seeing = Seeing()
    strict = StrictThresholds(0.5, 0.5, MatchThresholds())
    yardstick = StrictYardstick(seeing.look, seeing, DetectionThresholds(0.3, 0.5), strict)
    found = agreement(yardstick.judge(pictures.shown, specs), pictures, np.ones(3, bool))
    assert found["strict"]["single_object"]["agree"] == 1 and found["strict"]["single_object"]["acceptedWrong"] == 1
    assert found["strict"]["counting"]["share"] == 1.0 and "colors" not in found["strict"]
    (tmp_path / "labels.jsonl").write_text(json.dumps(lines[0]) + "\n")
    with pytest.raises(ValueError, match="has 1 labels and codes of 3 pictures"):
        LabelledPictures.read(tmp_path)
