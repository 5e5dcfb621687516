"""What the export costs: differences from PyTorch, bytes and milliseconds; and pictures from a bundle's own files."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bundle import CODES, VERIFIER_TASKS, bundle_settings, tiny_bundle_models

from training.evaluate.evaluate_export import compare_pictures, compare_step, measure_files
from training.export.bundle_models import BundleModels
from training.export.export_bundle import export_bundle
from training.export.graph_painter import GraphPainter
from training.sampling.mask_predict import SamplingSettings

PROMPTS = ["a photo of a cat", "two red dogs", "a cup above a book"]


@pytest.fixture(scope="module")
def models() -> BundleModels:
    return tiny_bundle_models()


@pytest.fixture(scope="module")
def bundle(models, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    export_bundle(models, bundle_settings(), folder)
    return folder


@pytest.mark.parametrize("code_temperature", [0.5, 1.0])
def test_the_step_graph_is_compared_at_its_own_code_temperature(models, code_temperature):
    settings = SamplingSettings(steps=3, code_temperature=code_temperature)
    report, trajectory = compare_step(models, PROMPTS, settings)
    assert trajectory.predictions.shape == (3, 3, 64)
    assert 0 < report["total_variation"] < 0.2, "random weights; half of all would be another temperature's distance"
    assert report["top1_agreement"] > 0.7


def test_pictures_and_answers_are_compared_for_every_verifier(models):
    ids = np.random.default_rng(0).integers(0, CODES, (3, 64))
    report = compare_pictures(models, PROMPTS, ids)
    assert set(report) == {"decode", "detector", *VERIFIER_TASKS}
    assert 0 < report["decode"]["mean"] < 1
    for name in VERIFIER_TASKS:
        assert 0 < report[name]["mean"] <= report[name]["largest"] < 0.01
    assert report["detector"]["largest"] < 1e-3


def test_files_are_measured_as_they_lie(bundle):
    report = measure_files(bundle, threads=1, clock=time.process_time)
    sizes = report["bytes"]
    assert sizes.pop("all") == sum(sizes.values())
    assert {name: (bundle / name).stat().st_size for name in sizes} == sizes
    times = report["milliseconds, runs per row"]
    assert set(times) == {"prefix.onnx", "step.onnx", "decode.onnx", "detector.onnx", "parm.onnx", "orm-zs.onnx"}
    assert all(set(entry) == {"load", "rows 1", "rows 4", "rows 8"} for entry in times.values())
    assert all(value > 0 for entry in times.values() for value in entry.values())


def test_a_bundles_files_paint_what_its_models_paint(models, bundle):
    settings = SamplingSettings(steps=2)
    painters = (GraphPainter.of_bundle(bundle, 1), GraphPainter.of_weights(models.generator, models.quantizer, 1.0, 1))
    first, second = (painter.paint(PROMPTS, settings, seed=4) for painter in painters)
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
