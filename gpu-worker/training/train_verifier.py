"""Trains the verifier "parm".

    python -m training.train_verifier --minutes 25 --trunk training/weights/detector.pt     (ground truth)
    python -m training.train_verifier --minutes 12 --start FIRST/parm.pt \\
        --trajectories training/runs/ranking                                                (the generator's own pictures)

Ground truth teaches what words mean; trajectories teach what half-made pictures become. `training.calibrate_verifier`
turns the result into probabilities, thresholds and steps to judge.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.checkpoint import load_weights, read_start
from training.config_file import CONFIGS, read_settings
from training.detector_data import detector_worlds
from training.geneval_rules import DetectionThresholds
from training.models.detector import Detector, DetectorConfig
from training.models.verifier import TASKS, Verifier, VerifierConfig
from training.ranking_data import RankingData
from training.reconstruction import load_reconstruction
from training.stage import Stage, TrainingSettings
from training.stage_arguments import overridden, run_stage, stage_parser
from training.tokenizer import PAD, build_tokenizer
from training.verifier_data import TrajectoryExamples, VerifierBatch, scene_batch
from training.world.config import WorldConfig
from training.world.world import World


@dataclass(frozen=True)
class VerifierTraining(TrainingSettings):
    """How the verifier is trained.

    Attributes:
        batch: pictures of a step.
        questions: prompts for each picture.
        scene_share: composed scenes among a batch of the generator's pictures, 0..1.
    """

    muon_lr: float = 0.01
    adam_lr: float = 0.002
    average_decay: float = 0.999
    questions: int = 16
    scene_share: float = 0.0


def verifier_loss(logits: Tensor, answers: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Binary cross-entropy of the three questions, float32 [B, 3] each; with the loss, accuracies for the log."""
    loss = F.binary_cross_entropy_with_logits(logits, answers)
    hits = ((logits > 0) == (answers > 0.5)).float().mean(0)
    return loss, {"loss": loss, **dict(zip(TASKS, hits, strict=True))}


def join(first: VerifierBatch, second: VerifierBatch) -> VerifierBatch:
    """Both batches as one; shorter prompts are padded to the longer ones."""
    length = max(first.prompt_ids.shape[1], second.prompt_ids.shape[1])
    prompts = [F.pad(batch.prompt_ids, (0, length - batch.prompt_ids.shape[1]), value=PAD) for batch in (first, second)]
    return VerifierBatch(torch.cat([first.images, second.images]), torch.cat(prompts), torch.cat([first.answers, second.answers]))


class VerifierStage(Stage):
    """The verifier; batch normalisation wants its batches whole."""

    name = "parm"
    log_steps = 20

    def __init__(self, model: Verifier, make_batch: Callable[[np.random.Generator, int], VerifierBatch]):
        """`make_batch` makes examples as `Stage.examples` does."""
        super().__init__(model.to(memory_format=torch.channels_last))
        self._make_batch = make_batch

    def examples(self, rng: np.random.Generator, size: int) -> VerifierBatch:
        return self._make_batch(rng, size)

    def loss(self, model: Verifier, batch: VerifierBatch) -> tuple[Tensor, dict[str, Tensor]]:
        return verifier_loss(model.logits(batch.images, batch.prompt_ids), batch.answers)

    def is_hidden(self, name: str, weight: Tensor) -> bool:
        # Matrices and kernels between the inputs and the head.
        if weight.ndim == 4:
            return weight.shape[1] > 3
        return weight.ndim == 2 and name.startswith("layers")


def main() -> None:
    parser = stage_parser(__doc__.splitlines()[0], "verifier", minutes=25.0)
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml", help="detection thresholds (%(default)s)")
    parser.add_argument("--trunk", type=Path, help="detector weights whose trunk a new verifier starts from")
    parser.add_argument("--quantizer", type=Path, help="quantiser weights: half of the scenes are encoded and decoded")
    parser.add_argument("--trajectories", type=Path, nargs="*", help="folders of `training.ranking_data`")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    base = WorldConfig.from_toml(arguments.world)
    tokenizer = build_tokenizer()
    known = {"vocabulary_size": tokenizer.get_vocab_size(), "pad_id": PAD, "image_size": base.image_size}
    model = Verifier(read_settings(arguments.config, VerifierConfig, "verifier", **known))
    if arguments.start is not None:
        model.load_state_dict(read_start(arguments.start, model.config))
    elif arguments.trunk is not None:
        model.trunk.load_state_dict(load_weights(arguments.trunk, Detector, DetectorConfig).trunk.state_dict())
    source = "trajectories" if arguments.trajectories else "ground_truth"
    settings = overridden(read_settings(arguments.config, VerifierTraining, "training", source), arguments)

    home = World(base)
    # Two of three scenes look as the generator's; the others keep the trunk from knowing only its drawings.
    worlds = [home] * 10 + detector_worlds(base)
    reconstruct = load_reconstruction(arguments.quantizer)
    if arguments.trajectories:
        thresholds = DetectionThresholds(**tomllib.loads(arguments.settings.read_text())["detector"]["thresholds"])
        examples = TrajectoryExamples(RankingData.read(arguments.trajectories), home, tokenizer, thresholds)

        def make_batch(rng: np.random.Generator, size: int) -> VerifierBatch:
            count = round(size * settings.scene_share)
            scenes = scene_batch(worlds, tokenizer, reconstruct, rng, count, settings.questions)
            return join(scenes, examples.batch(rng, size - count, settings.questions))
    else:

        def make_batch(rng: np.random.Generator, size: int) -> VerifierBatch:
            return scene_batch(worlds, tokenizer, reconstruct, rng, size, settings.questions)

    run_stage(VerifierStage(model, make_batch), settings, arguments)


if __name__ == "__main__":
    main()
