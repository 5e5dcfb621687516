"""Trains the quantiser on composed scenes.

    python -m training.train_quantizer --minutes 30 --run runs/quantizer [--resume]

Writes `checkpoint.pt` (to resume), `log.jsonl`, `reconstructions.png`, and at the end `quantizer.pt` (float16 weights).
"""

import argparse
import os
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.budget import Budget, rate_scale
from training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from training.models.quantizer import Quantizer, QuantizerConfig
from training.muon import build_optimizers, set_learning_rate
from training.parallel import ThreadedGradients
from training.pictures import save_grid
from training.run_log import RunLog
from training.world.config import WorldConfig
from training.world.world import World

CONFIGS = Path(__file__).parent / "configs"
PARTS = 4  # parts of a batch that threads take one by one


@dataclass(frozen=True)
class QuantizerTraining:
    """Batch size, learning rates, and weights of the loss terms; see `quantizer_loss`."""

    batch: int = 128
    muon_lr: float = 0.02
    adam_lr: float = 0.001
    object_weight: float = 4.0
    edge_weight: float = 0.5
    commitment_weight: float = 0.1
    entropy_weight: float = 0.1
    decorrelation_weight: float = 0.1


def scene_batch(world: World, seed: int, step: int, size: int) -> tuple[Tensor, Tensor]:
    """Scenes of one step, a pure function of (seed, step): images uint8 [size, H, W, 3] and object masks bool [size, H, W]."""
    rng = np.random.default_rng([seed, step])
    scenes = [world.compose(rng, world.sample_spec(rng)) for _ in range(size)]
    images = torch.from_numpy(np.stack([scene.image for scene in scenes]))
    return images, torch.from_numpy(np.stack([scene.object_mask() for scene in scenes]))


def quantizer_loss(
    model: Quantizer, images: Tensor, masks: Tensor, settings: QuantizerTraining
) -> tuple[Tensor, dict[str, float]]:
    """Reconstruction of pixels and edges, and the terms that keep the codes in use.

    Args:
        model: the quantiser.
        images: uint8 [R, H, W, 3].
        masks: bool [R, H, W], object pixels, weighted `object_weight` times the background.
        settings: weights of the terms.

    Returns:
        (scalar loss, its parts by name). Commitment pulls raw numbers to -1 and +1; entropy keeps each bit on for
        half of all object patches; decorrelation keeps bits from repeating each other.

    Source: LFQ, arXiv 2310.05737 (entropy per bit instead of per code, as 2^13 codes would need far larger batches).
    """
    raw = model.encode_raw(images)  # (R, bits, grid, grid)
    signs = torch.where(raw > 0, 1.0, -1.0).to(raw.dtype)
    pixels = model.decode_raw(raw + (signs - raw).detach()).float()  # straight-through
    target = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    weights = 1 + (settings.object_weight - 1) * masks[:, None].float()  # (R, 1, H, W)
    weights = weights / weights.mean()
    difference = pixels - target
    reconstruction = (difference.abs() * weights).mean()
    edges = (difference.diff(dim=3).abs() * weights[..., 1:]).mean() + (difference.diff(dim=2).abs() * weights[:, :, 1:]).mean()

    occupied = F.max_pool2d(masks[:, None].float(), model.config.patch).flatten() > 0
    on_objects = raw.float().permute(0, 2, 3, 1).reshape(-1, model.config.bits)[occupied]  # (patches, bits)
    commitment = (on_objects.abs() - 1).square().mean()
    share = torch.sigmoid(4 * on_objects).mean(0).clamp(1e-4, 1 - 1e-4)
    entropy = -(share * share.log2() + (1 - share) * (1 - share).log2()).mean()  # bits, 1 is best
    soft = torch.tanh(2 * on_objects)
    soft = soft - soft.mean(0)
    covariance = soft.T @ soft / len(soft)
    decorrelation = (covariance - covariance.diagonal().diag()).square().sum() / model.config.bits

    loss = (
        reconstruction
        + settings.edge_weight * edges
        + settings.commitment_weight * commitment
        + settings.entropy_weight * (1 - entropy)
        + settings.decorrelation_weight * decorrelation
    )
    parts = {"reconstruction": reconstruction, "edges": edges, "commitment": commitment, "entropy": entropy}
    parts["decorrelation"] = decorrelation
    return loss, {name: round(value.item(), 5) for name, value in parts.items()}


@torch.no_grad()
def measure(model: Quantizer, images: Tensor, masks: Tensor) -> tuple[dict[str, float], Tensor]:
    """Reconstruction quality on given scenes through real codes.

    Returns:
        (PSNR of object pixels in dB, mean absolute error of object pixels in 0..255, share of the codebook in use on
        object patches; reconstructions uint8 [R, H, W, 3]).
    """
    ids = model.encode(images)
    decoded = model.decode(ids)
    error = (decoded.float() - images.float())[masks]
    occupied = F.max_pool2d(masks[:, None].float(), model.config.patch).flatten(1) > 0
    return {
        "object_psnr": round((20 * torch.log10(255 / error.square().mean().sqrt())).item(), 2),
        "object_error": round(error.abs().mean().item(), 2),
        "codes_used": round(ids[occupied].unique().numel() / model.config.codebook_size, 4),
    }, decoded


def train(
    world: World,
    config: QuantizerConfig,
    settings: QuantizerTraining,
    budget: Budget,
    *,
    run: Path,
    seed: int,
    threads: int,
    resume: bool,
    start: Path | None = None,
) -> Quantizer:
    """Trains until the budget is spent; see the module's text for the files it writes into `run`.

    A run counted in steps ends with the same weights whether or not it was interrupted and resumed. `start` names released
    weights that a new run begins from.
    """
    torch.manual_seed(seed)
    model = Quantizer(config).to(memory_format=torch.channels_last)
    if start is not None:
        model.load_state_dict(load_weights(start, Quantizer, QuantizerConfig).state_dict())
    optimizers = build_optimizers(
        model, settings.muon_lr, settings.adam_lr, lambda name, weight: weight.ndim == 4 and min(weight.shape[:2]) > 16
    )
    step = 0
    if resume:
        saved = load_checkpoint(run / "checkpoint.pt")
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        step, budget.spent_seconds = saved["step"], saved["seconds"]
    gradients = ThreadedGradients(model, threads)
    run.mkdir(parents=True, exist_ok=True)
    log = RunLog(run / "log.jsonl")
    held_out = scene_batch(world, seed + 1, 0, 256)

    def save() -> None:
        content = {"model": model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
        save_checkpoint(
            run / "checkpoint.pt", content | {"step": step, "seconds": budget.elapsed_seconds(), "config": asdict(config)}
        )
        model.eval()
        quality, decoded = measure(model, *held_out)
        model.train()
        pairs = torch.stack([held_out[0][:32], decoded[:32]], dim=1).flatten(0, 1)
        save_grid(run / "reconstructions.png", pairs.numpy(), columns=16)
        log.write(step=step, minutes=round(budget.elapsed_seconds() / 60, 2), **quality)

    saved_at = budget.elapsed_seconds()
    while (progress := budget.progress(step)) < 1:
        set_learning_rate(optimizers, rate_scale(progress))

        def part_loss(replica: Quantizer, part: int, step: int = step) -> tuple[Tensor, dict[str, float]]:
            images, masks = scene_batch(world, seed, step * PARTS + part, settings.batch // PARTS)
            return quantizer_loss(replica, images, masks, settings)

        parts = gradients.backward(part_loss, PARTS)
        gradients.run([optimizer.step for optimizer in optimizers])
        step += 1
        if step % 25 == 0:
            log.write(step=step, minutes=round(budget.elapsed_seconds() / 60, 2), **parts[0])
        if budget.elapsed_seconds() - saved_at > 120:
            save()
            saved_at = budget.elapsed_seconds()
    save()
    save_weights(run / "quantizer.pt", model)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the quantiser of the emoji world.")
    parser.add_argument("--config", type=Path, default=CONFIGS / "quantizer.toml")
    parser.add_argument("--world", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--run", type=Path, default=Path("training/runs/quantizer"), help="folder for checkpoints and logs")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="wall-clock allowance (default 30)")
    length.add_argument("--steps", type=int, help="exact number of steps, for repeatable runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--start", type=Path, help="released weights that a new run begins from")
    args = parser.parse_args()
    table = tomllib.loads(args.config.read_text())
    overrides = {key: tuple(value) if isinstance(value, list) else value for key, value in table.get("world", {}).items()}
    world = World(replace(WorldConfig.from_toml(args.world), **overrides))
    minutes = args.minutes if args.minutes or args.steps else 30.0
    budget = Budget(minutes=minutes, steps=args.steps)
    train(
        world,
        QuantizerConfig(**table["quantizer"]),
        QuantizerTraining(**table["training"]),
        budget,
        run=args.run,
        seed=args.seed,
        threads=args.threads,
        resume=args.resume,
        start=args.start,
    )


if __name__ == "__main__":
    main()
