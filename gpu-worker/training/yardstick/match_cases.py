"""Writes the pictures on which the matcher in TypeScript is held against this one: `python -m training.yardstick.match_cases`.

Composed scenes, which are right; the same scenes under a spec that they miss in one respect; and scenes with each kind of fault.
They are kept as codes, so that they stay the same cases when the decoder is trained anew. Cases within a few grey levels of the
threshold are left out: rounding may decide them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from training.data.broken_scenes import BrokenScenes
from training.data.scene_codes import SceneCodes
from training.folders import BUNDLES, CONFIGS, EVALUATION, WEIGHTS
from training.loop.checkpoint import load_weights
from training.models.quantizer import Quantizer, QuantizerConfig
from training.world.classes import CLASS_INDEX, TASKS
from training.world.config import WorldConfig
from training.world.held_out import HeldOut
from training.world.prompts import geneval_prompt
from training.world.spec import Spec, satisfies
from training.world.spec_challenges import challenge
from training.world.world import World
from training.yardstick.matcher import Matcher, bundle_matcher

_CASES = EVALUATION.parents[1] / "test/gpu-worker/geneval/strict/match-cases.json"
_SEED = 661
_PER_TASK, _PER_KIND = 3, 3
# Grey levels around the threshold in which no case may lie.
_MARGIN = 3.0


def match_cases(world: World, codes: SceneCodes, matcher: Matcher) -> list[dict]:
    """Cases `{"kind", "spec", "codes", "right"}`; `codes` is row-major."""
    rng = np.random.default_rng(_SEED)
    drawn: list[tuple[str, Spec, np.ndarray]] = []
    for task in TASKS:
        for _ in range(_PER_TASK):
            spec = world.sample_spec(rng, task)
            objects, background = world.arrange(rng, spec)
            grid = codes.grid(objects, background)
            other = challenge(rng, spec)
            while satisfies(objects, other):
                other = challenge(rng, spec)
            drawn += [("composed", spec, grid), ("near miss", other, grid)]
    scenes = BrokenScenes(world, codes)
    for kind in scenes.kinds:
        for _ in range(_PER_KIND):
            grid, _, spec = scenes.broken(rng, kind)
            drawn.append((kind, spec, grid))
    grids = np.stack([grid.ravel() for _, _, grid in drawn])
    images = matcher.shown(grids)
    wanted = [[CLASS_INDEX[entry["class"]] for entry in spec["include"]] for _, spec, _ in drawn]
    readings = matcher.read(images, wanted)
    right = matcher.right(images, [spec for _, spec, _ in drawn])
    return [
        {"kind": kind, "spec": {**spec, "prompt": geneval_prompt(spec)}, "codes": grid.ravel().tolist(), "right": bool(holds)}
        for (kind, spec, grid), reading, holds in zip(drawn, readings, right, strict=True)
        if abs(reading.differences.max() - matcher.thresholds.patch) > _MARGIN
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml", help="the world (%(default)s)")
    parser.add_argument("--quantizer", type=Path, default=WEIGHTS / "quantizer.pt", help="whose codes they are")
    parser.add_argument(
        "--bundle", type=Path, default=BUNDLES / "emoji-96", help="whose matcher says what is right"
    )
    parser.add_argument("--out", type=Path, default=_CASES, help="file to write (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    world = World(WorldConfig.from_toml(arguments.config), HeldOut())
    codes = SceneCodes(world, load_weights(arguments.quantizer, Quantizer, QuantizerConfig))
    cases = match_cases(world, codes, bundle_matcher(arguments.bundle))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(arguments.out, len(cases), "cases,", sum(case["right"] for case in cases), "right")


if __name__ == "__main__":
    main()
