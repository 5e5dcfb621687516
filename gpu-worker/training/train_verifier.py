"""Trains the verifier "parm".

    python -m training.train_verifier --minutes 25 --trunk training/weights/detector.pt     (ground truth)
    python -m training.train_verifier --minutes 12 --start training/weights/parm.pt \\
        --trajectories training/runs/ranking                                                (the generator's own pictures)

Ground truth teaches what words mean; trajectories teach what half-made pictures become. `training.calibrate_verifier`
turns the result into probabilities, thresholds and steps to judge.
"""

import argparse
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.averaged_weights import AveragedWeights
from training.budget import Budget, rate_scale
from training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from training.detector_data import detector_worlds
from training.geneval_rules import DetectionThresholds
from training.models.detector import Detector, DetectorConfig
from training.models.verifier import TASKS, Verifier, VerifierConfig
from training.muon import build_optimizers, set_learning_rate
from training.precision import mixed_precision
from training.ranking_data import RankingData
from training.reconstruction import load_reconstruction
from training.run_log import RunLog
from training.tokenizer import PAD, build_tokenizer
from training.verifier_data import TrajectoryExamples, VerifierBatch, scene_batch
from training.world.config import WorldConfig
from training.world.world import World

_TRAINING_DIRECTORY = Path(__file__).parent
# Pictures of a batch and prompts for each. Reading a picture costs twenty times as much as asking about it, so a composed
# scene is asked about often; a generated picture's own prompt is the question that counts, so there pictures are many.
_SCENES, _SCENE_QUESTIONS = 16, 16
_PICTURES, _PICTURE_QUESTIONS = 32, 4
# Scenes among the pictures of the second stage; they keep the words from narrowing to what the generator draws.
_SCENES_AMONG_PICTURES = 8
_CHECKPOINT_SECONDS = 120
_LOG_STEPS = 20


def verifier_loss(logits: Tensor, answers: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Binary cross-entropy of the three questions, float32 [B, 3] each; the parts are accuracies for the log."""
    loss = F.binary_cross_entropy_with_logits(logits, answers)
    hits = ((logits > 0) == (answers > 0.5)).float().mean(0)
    return loss, {task: round(hit.item(), 4) for task, hit in zip(TASKS, hits, strict=True)}


def join(first: VerifierBatch, second: VerifierBatch) -> VerifierBatch:
    """Both batches as one; shorter prompts are padded to the longer ones."""
    length = max(first.prompt_ids.shape[1], second.prompt_ids.shape[1])
    prompts = [F.pad(batch.prompt_ids, (0, length - batch.prompt_ids.shape[1]), value=PAD) for batch in (first, second)]
    return VerifierBatch(torch.cat([first.images, second.images]), torch.cat(prompts), torch.cat([first.answers, second.answers]))


def is_hidden_weight(name: str, weight: Tensor) -> bool:
    """Matrices and kernels between the inputs and the head: what Muon trains."""
    if weight.ndim == 4:
        return weight.shape[1] > 3
    return weight.ndim == 2 and name.startswith("layers")


def train(
    model: Verifier,
    make_batch: Callable[[np.random.Generator], VerifierBatch],
    budget: Budget,
    run: Path,
    weights: Path,
    *,
    muon_lr: float,
    adam_lr: float,
    seed: int,
    resume: bool,
) -> None:
    """Trains until the budget is spent and leaves the averaged weights in `model` and in the file `weights`.

    Args:
        make_batch: returns the examples of a step, a function of the generator it is given.
        run: folder of the checkpoint and the log.
        resume: continue the run's checkpoint; batches go on where they stopped.
    """
    average = AveragedWeights(model)
    optimizers = build_optimizers(model, muon_lr, adam_lr, is_hidden_weight)
    checkpoint_path, step = run / "checkpoint.pt", 0
    if resume:
        checkpoint = load_checkpoint(checkpoint_path)
        model.load_state_dict(checkpoint["model"])
        average.restore(checkpoint["average"])
        for optimizer, state in zip(optimizers, checkpoint["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        step, budget.spent_seconds = checkpoint["step"], checkpoint["seconds"]
    run.mkdir(parents=True, exist_ok=True)
    log = RunLog(run / "log.jsonl")

    def save() -> None:
        content = {
            "model": model.state_dict(), "average": average.checkpoint(), "step": step,
            "optimizers": [optimizer.state_dict() for optimizer in optimizers], "seconds": budget.elapsed_seconds(),
        }  # fmt: skip
        save_checkpoint(checkpoint_path, content)
        save_weights(weights, model, average.state)

    saved_at = budget.elapsed_seconds()
    model.train()
    while (progress := budget.progress(step)) < 1:
        set_learning_rate(optimizers, rate_scale(progress))
        batch = make_batch(np.random.default_rng((seed, step)))
        with mixed_precision():
            logits = model.logits(batch.images, batch.prompt_ids)
        loss, parts = verifier_loss(logits, batch.answers)
        model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        average.update(model)
        step += 1
        if step % _LOG_STEPS == 0:
            log.write(step=step, minutes=round(budget.elapsed_seconds() / 60, 2), loss=round(loss.item(), 4), **parts)
        if budget.elapsed_seconds() - saved_at > _CHECKPOINT_SECONDS:
            save()
            saved_at = budget.elapsed_seconds()
    save()
    model.load_state_dict(average.state)
    model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=_TRAINING_DIRECTORY / "configs/emoji-96.toml")
    parser.add_argument("--settings", type=Path, default=_TRAINING_DIRECTORY / "configs/bundle.toml")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--muon-lr", type=float, default=0.01)
    parser.add_argument("--adam-lr", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--run", type=Path, default=_TRAINING_DIRECTORY / "runs/verifier")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--trunk", type=Path, help="detector weights whose trunk a new verifier starts from")
    parser.add_argument("--start", type=Path, help="verifier weights to start from")
    parser.add_argument("--quantizer", type=Path, help="quantiser weights: half of the scenes are encoded and decoded")
    parser.add_argument("--trajectories", type=Path, nargs="*", help="folders of `training.ranking_data`")
    parser.add_argument("--weights", type=Path, default=_TRAINING_DIRECTORY / "weights/parm.pt")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    base = WorldConfig.from_toml(arguments.config)
    tokenizer = build_tokenizer()
    if arguments.start is not None:
        model = load_weights(arguments.start, Verifier, VerifierConfig)
    else:
        model = Verifier(VerifierConfig(tokenizer.get_vocab_size(), pad_id=PAD, image_size=base.image_size))
        if arguments.trunk is not None:
            model.trunk.load_state_dict(load_weights(arguments.trunk, Detector, DetectorConfig).trunk.state_dict())
    model = model.to(memory_format=torch.channels_last)

    home = World(base)
    # Two of three scenes look as the generator's; the others keep the trunk from knowing only its drawings.
    worlds = [home] * 10 + detector_worlds(base)
    reconstruct = load_reconstruction(arguments.quantizer)
    if arguments.trajectories:
        thresholds = DetectionThresholds(**tomllib.loads(arguments.settings.read_text())["detector"]["thresholds"])
        examples = TrajectoryExamples(RankingData.read(arguments.trajectories), home, tokenizer, thresholds)

        def make_batch(rng: np.random.Generator) -> VerifierBatch:
            scenes = scene_batch(worlds, tokenizer, reconstruct, rng, _SCENES_AMONG_PICTURES, _PICTURE_QUESTIONS)
            return join(scenes, examples.batch(rng, _PICTURES - _SCENES_AMONG_PICTURES, _PICTURE_QUESTIONS))
    else:

        def make_batch(rng: np.random.Generator) -> VerifierBatch:
            return scene_batch(worlds, tokenizer, reconstruct, rng, _SCENES, _SCENE_QUESTIONS)

    train(
        model, make_batch, Budget(minutes=arguments.minutes), arguments.run, arguments.weights,
        muon_lr=arguments.muon_lr, adam_lr=arguments.adam_lr, seed=arguments.seed, resume=arguments.resume,
    )  # fmt: skip
    print(json.dumps({"weights": str(arguments.weights)}))


if __name__ == "__main__":
    main()
