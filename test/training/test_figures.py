"""Training curves: every number of a log is drawn, whatever the stage."""

import json

import pytest
from PIL import Image

from training.plots.curves import draw_curves, read_curves

ENTRIES = (
    {"start": 0, "seed": 1, "training": {"batch": 8}},
    {"step": 20, "minutes": 0.5, "examples_per_second": 60.0, "loss": 0.7, "alignment": 0.5},
    {"step": 40, "minutes": 1.0, "examples_per_second": 61.0, "loss": 0.6},
    {"step": 41, "minutes": 1.1, "brand_new": 3.0},
    {"round": 3, "error": 1.4},
)


def write(path, entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_curves_hold_what_was_measured_and_when(tmp_path):
    curves = read_curves(write(tmp_path / "log.jsonl", ENTRIES))
    assert curves == {"loss": [(0.5, 0.7), (1.0, 0.6)], "alignment": [(0.5, 0.5)], "brand_new": [(1.1, 3.0)]}


def test_steps_that_a_resumed_run_did_again_count_once_and_an_earlier_run_not_at_all(tmp_path):
    def entry(step, loss):
        return {"step": step, "minutes": step / 10, "loss": loss}

    first = ({"start": 0}, entry(10, 9.0))
    second = ({"start": 0}, entry(10, 1.0), entry(20, 0.9), entry(30, 0.8), {"start": 20}, entry(30, 0.7))
    curves = read_curves(write(tmp_path / "log.jsonl", first + second))
    assert curves == {"loss": [(1.0, 1.0), (2.0, 0.9), (3.0, 0.7)]}


def test_a_log_becomes_a_picture_with_a_panel_for_each_kind_of_number(tmp_path):
    draw_curves(write(tmp_path / "log.jsonl", ENTRIES), tmp_path / "three.png")
    draw_curves(write(tmp_path / "short.jsonl", ENTRIES[:1] + ENTRIES[2:3]), tmp_path / "one.png")
    three, one = Image.open(tmp_path / "three.png"), Image.open(tmp_path / "one.png")
    assert three.width == 3 * one.width and three.height == one.height
    assert len(three.convert("RGB").getcolors(maxcolors=1_000_000)) > 50, "not an empty sheet"


def test_a_log_without_numbers_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no numbers to draw yet"):
        draw_curves(write(tmp_path / "log.jsonl", ENTRIES[:1]), tmp_path / "x.png")
