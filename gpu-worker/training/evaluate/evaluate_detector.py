"""Measures the yardstick itself: `python -m training.evaluate.evaluate_detector`.

Prints a Markdown table and, as its last line, one JSON object: for each of GenEval's tasks, how often the verdict is the truth,
on composed scenes and on what the quantiser's codes keep of them; there also the strict verdicts, of each instrument and of both,
and which kinds of faults each refuses. With `--bundle` the shipped graphs read the pictures.
`--sweep` adds the agreement at other thresholds, what was counted wrongly and what was not seen.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data.broken_scenes import BrokenScenes
from training.data.detector_scenes import images_of
from training.data.reconstruction import Decoder, coded_scenes, session_decoder
from training.data.scene_codes import SceneCodes
from training.export.graphs.runtime import GraphSession
from training.folders import CONFIGS, WEIGHTS
from training.loop.checkpoint import load_weights
from training.models.detector import Detector, DetectorConfig, DetectorOutput
from training.models.quantizer import Quantizer, QuantizerConfig
from training.stages.train_faults import WRONG
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.geneval_rules import DetectionThresholds, objects_in
from training.world.held_out import HeldOut
from training.world.scene import Scene
from training.world.world import World
from training.yardstick.graph_detector import GraphDetector
from training.yardstick.strict_yardstick import StrictYardstick, bundle_yardstick, load_yardstick
from training.yardstick.truth_agreement import Agreement, Detections, Trial, count_agreement, draw_trials, measure_agreement
from training.yardstick.yardstick_report import (
    agreement_entry,
    agreement_table,
    counting_table,
    fault_table,
    refusal_lines,
    sweep_table,
)

_SCENES_PER_TASK = 200
_PICTURES_AT_ONCE = 64
_FAULT_SEED = 440_044  # never a training seed
# Grey levels by which a bundle's decoder may differ from the weights that encode: twenty times what its rounding costs.
_LARGEST_MEAN_DIFFERENCE = 5.0

# Shows scenes: uint8 [B, H, W, 3].
View = Callable[[Sequence[Scene]], Tensor]


def read_trials(
    trials: Sequence[Trial], detect: Callable[[Tensor], DetectorOutput], show: View | None = None
) -> list[Detections]:
    """What a detector sees in each trial's scene, as composed or as shown by `show`."""
    scenes = [trial.scene for trial in trials]
    if show is None:
        return objects_in(images_of(scenes), detect)
    parts = [scenes[start : start + _PICTURES_AT_ONCE] for start in range(0, len(scenes), _PICTURES_AT_ONCE)]
    return objects_in(torch.cat([show(part) for part in parts]), detect)


def bundle_thresholds() -> DetectionThresholds:
    """Those of `configs/bundle.toml`."""
    return DetectionThresholds.from_toml(CONFIGS / "bundle.toml")


def graph_decoder(path: Path, quantizer: Quantizer, threads: int) -> Decoder:
    """A bundle's decoder, in float32.

    Raises:
        ValueError: it is not the decoder of these weights, which encode; the bundle was exported from others.
    """
    decode = session_decoder(GraphSession(path, threads))
    config = quantizer.config
    ids = torch.randint(config.codebook_size, (4, config.grid**2), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        difference = (decode(ids).float() - quantizer.decode(ids).float()).abs().mean().item()
    if difference > _LARGEST_MEAN_DIFFERENCE:
        raise ValueError(
            f"{path} is another quantiser's decoder: its pictures are {difference:.1f} grey levels away; export the bundle "
            "anew, or give the weights it was made from by --quantizer"
        )
    return decode


def strict_agreements(
    trials: Mapping[str, Sequence[Trial]], show: View, yardstick: StrictYardstick
) -> dict[str, dict[str, Agreement]]:
    """Agreement of the strict verdicts on trials as `show` shows them, by judge and task."""
    found: dict[str, dict[str, Agreement]] = {}
    for task, of_task in trials.items():
        scenes = [trial.scene for trial in of_task]
        parts = [scenes[start : start + _PICTURES_AT_ONCE] for start in range(0, len(scenes), _PICTURES_AT_ONCE)]
        verdicts = yardstick.judge(torch.cat([show(part) for part in parts]), [trial.spec for trial in of_task])
        for judge, says in (("detector", verdicts.detector), ("matcher", verdicts.matcher), ("both", verdicts.right)):
            found.setdefault(f"through the quantiser, strict, {judge}", {})[task] = count_agreement(of_task, says.tolist())
    return found


def refused_faults(scenes: BrokenScenes, yardstick: StrictYardstick, count: int) -> dict[str, dict[str, float]]:
    """Shares 0..1 of scenes with one fault that are refused, by kind and judge.

    Only those count in which a patch shows something else to the eye than the composed scene does.
    """
    rng = np.random.default_rng(_FAULT_SEED)
    shares: dict[str, dict[str, float]] = {}
    for kind in scenes.kinds:
        drawn = [scenes.broken(rng, kind) for _ in range(count)]
        parts = range(0, count, _PICTURES_AT_ONCE)
        images, whole = (
            np.concatenate([yardstick.matcher.shown(grids[start : start + _PICTURES_AT_ONCE]) for start in parts])
            for grids in (np.stack([one[which].ravel() for one in drawn]) for which in (0, 1))
        )
        visible = np.flatnonzero(worst_patch(images, whole, yardstick.matcher.patch) > WRONG)
        verdicts = yardstick.judge(images[visible], [drawn[row][2] for row in visible])
        says = {"geneval": verdicts.geneval, "detector": verdicts.detector, "matcher": verdicts.matcher, "both": verdicts.right}
        shares[kind] = {judge: round(float((~accepted).mean()), 4) for judge, accepted in says.items()}
    return shares


def worst_patch(images: np.ndarray, others: np.ndarray, patch: int) -> np.ndarray:
    """Root mean square difference of the patch in which two pictures differ most, grey levels: uint8 [R, H, W, 3] to [R]."""
    grid = images.shape[1] // patch
    squares = np.square(images.astype(np.float32) - others).reshape(-1, grid, patch, grid, patch, 3)
    return np.sqrt(squares.mean((2, 4, 5))).max((1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "detector.pt")
    parser.add_argument("--quantizer", type=Path, default=WEIGHTS / "quantizer.pt")
    parser.add_argument(
        "--bundle", type=Path, help="read pictures with this bundle's detector and decoder instead of the weights"
    )
    parser.add_argument("--faults", type=Path, default=WEIGHTS / "faults.pt", help="of the fault finder")
    parser.add_argument("--score", type=float, help="threshold of every task but counting; default: configs/bundle.toml")
    parser.add_argument("--counting", type=float, help="threshold of counting; default: configs/bundle.toml")
    parser.add_argument("--scenes-per-task", type=int, default=_SCENES_PER_TASK, help="right pictures, and as many wrong ones")
    parser.add_argument(
        "--sweep", action="store_true", help="also other thresholds, what was counted wrongly and what was not seen"
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    defaults = bundle_thresholds()
    thresholds = DetectionThresholds(
        defaults.score if arguments.score is None else arguments.score,
        defaults.counting if arguments.counting is None else arguments.counting,
    )
    base = WorldConfig.from_toml(arguments.config)
    detect, show_codes = _readers(arguments, World(base, HeldOut()))
    trials = {task: draw_trials(base, task, arguments.scenes_per_task) for task in TASKS}
    views = {"ground truth": None, "through the quantiser": show_codes}
    seen = {view: {task: read_trials(trials[task], detect, shown) for task in TASKS} for view, shown in views.items()}
    agreements = {view: _measure(trials, of_task, thresholds) for view, of_task in seen.items()}
    yardstick = _yardstick(arguments)
    agreements |= strict_agreements(trials, show_codes, yardstick)
    print(agreement_table(agreements))
    world = World(base, HeldOut())
    codes = SceneCodes(world, load_weights(arguments.quantizer, Quantizer, QuantizerConfig))
    refused = refused_faults(BrokenScenes(world, codes), yardstick, arguments.scenes_per_task)
    print(f"\n{fault_table(refused)}\n")
    if arguments.sweep:
        for view, of_task in seen.items():
            print(f"\n{sweep_table(view, trials, of_task)}")
            print(f"\n{counting_table(view, trials['counting'], of_task['counting'], thresholds.counting)}")
            print(f"\n{refusal_lines(view, trials, of_task, thresholds)}\n")
    entries = {view: agreement_entry(of_task) for view, of_task in agreements.items()}
    print(json.dumps({**entries, "faults refused": refused}))


def _readers(arguments: argparse.Namespace, world: World) -> tuple[Callable[[Tensor], DetectorOutput], View]:
    """The detector that the command line asks for, and scenes of `world` as its decoder shows their codes."""
    quantizer = load_weights(arguments.quantizer, Quantizer, QuantizerConfig)
    if arguments.bundle is None:
        detector = load_weights(arguments.weights, Detector, DetectorConfig)
        return detector.detect, coded_scenes(quantizer, world, quantizer.decode).reconstruct
    manifest = json.loads((arguments.bundle / "manifest.json").read_text())
    detector = GraphDetector(arguments.bundle / manifest["detector"]["graph"], arguments.threads)
    decode = graph_decoder(arguments.bundle / manifest["generator"]["decodeGraph"], quantizer, arguments.threads)
    return detector.detect, coded_scenes(quantizer, world, decode).reconstruct


def _yardstick(arguments: argparse.Namespace) -> StrictYardstick:
    if arguments.bundle:
        return bundle_yardstick(arguments.bundle, arguments.threads)
    settings = CONFIGS / "bundle.toml"
    return load_yardstick(arguments.weights, arguments.faults, arguments.quantizer, arguments.config, settings, arguments.threads)


def _measure(
    trials: Mapping[str, Sequence[Trial]], seen: Mapping[str, Sequence[Detections]], thresholds: DetectionThresholds
) -> dict[str, Agreement]:
    return {task: measure_agreement(trials[task], seen[task], thresholds) for task in trials}


if __name__ == "__main__":
    main()
