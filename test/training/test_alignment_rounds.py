"""The whole chain of alignment with the released weights, in a shortened form: record, train, measure, and go on."""

import json
import sys
import time

import pytest

from training.alignment import iterate
from training.evaluate.validation_prompts import validation_prompts
from training.loop.checkpoint import load_weights
from training.models.generator import Generator, GeneratorConfig
from training.world.config import WorldConfig
from training.world.world import World


@pytest.mark.parametrize("kind", ["nft"])
def test_a_round_records_trains_and_measures_and_is_not_done_twice(kind, tmp_path, monkeypatch, capsys):
    prompts = tmp_path / "prompts.jsonl"
    specs = validation_prompts(World(WorldConfig()), 1)
    prompts.write_text("".join(json.dumps(spec) + "\n" for spec in specs))
    short = ["--rounds", "1", "--files", "1", "--per-prompt", "2", "--steps", "2", "--pictures", "2", "--threads", "1"]
    command = ["iterate", *short, "--kind", kind, "--prompts", str(prompts), "--run", str(tmp_path), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", command)
    iterate.main()
    report, left = map(json.loads, capsys.readouterr().out.splitlines()[-2:])
    folder = tmp_path / "round-1"
    assert left == {"generator": str(folder / "generator.pt")}
    assert 0 <= report["strict"] <= 1 and report["geneval"] >= report["strict"] and set(report["tasks"]) == {
        spec["tag"] for spec in specs
    }
    low, high = report["differences"]["overall"][1:]
    assert low <= report["differences"]["overall"][0] <= high
    kinds = [set(json.loads(line)) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert {"round", "generator", "rollouts"} <= kinds[0] and "differences" in kinds[-1]
    load_weights(folder / "generator.pt", Generator, GeneratorConfig)

    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")} | {
        path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")
    }
    started = time.monotonic()
    iterate.main()
    assert {path: path.stat().st_mtime_ns for path in made} == made and time.monotonic() - started < 60
