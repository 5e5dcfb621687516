"""Trains the quantiser on composed scenes.

    python -m training.train_quantizer --minutes 30 [--resume] [--start training/weights/quantizer.pt]

Leaves `reconstructions.png` in the run's folder, beside what every stage leaves there (`training_loop.py`).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.config_file import read_settings, read_table
from training.examples import to_device
from training.models.quantizer import Quantizer, QuantizerConfig
from training.pictures import save_grid
from training.stage import Stage, TrainingSettings
from training.stage_arguments import overridden, run_stage, stage_parser
from training.world.config import WorldConfig
from training.world.world import World

_HELD_OUT_SEED = 880_001  # never a training seed
_SHOWN = 32  # of them in the picture


@dataclass(frozen=True)
class QuantizerTraining(TrainingSettings):
    """Weights of the loss terms; see `quantizer_loss`."""

    batch: int = 128
    object_weight: float = 4.0
    edge_weight: float = 0.5
    commitment_weight: float = 0.1
    entropy_weight: float = 0.1
    decorrelation_weight: float = 0.1


@dataclass(frozen=True)
class SceneBatch:
    """R scenes.

    Attributes:
        images: uint8 [R, H, W, 3], sRGB.
        masks: bool [R, H, W], object pixels.
    """

    images: Tensor
    masks: Tensor


def scene_batch(world: World, rng: np.random.Generator, size: int) -> SceneBatch:
    """`size` composed scenes; a function of the generator's state only."""
    scenes = [world.compose(rng, world.sample_spec(rng)) for _ in range(size)]
    images, masks = [scene.image for scene in scenes], [scene.object_mask() for scene in scenes]
    return SceneBatch(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks)))


def quantizer_loss(model: Quantizer, batch: SceneBatch, settings: QuantizerTraining) -> tuple[Tensor, dict[str, Tensor]]:
    """Reconstruction of pixels and edges, and the terms that keep the codes in use.

    Args:
        model: the quantiser.
        batch: R scenes; object pixels are weighted `object_weight` times the background.
        settings: weights of the terms.

    Returns:
        (scalar loss, its parts by name). Commitment pulls raw numbers to -1 and +1; entropy keeps each bit on for
        half of all object patches; decorrelation keeps bits from repeating each other.

    Source: LFQ, arXiv 2310.05737 (entropy per bit instead of per code, as 2^13 codes would need far larger batches).
    """
    raw = model.encode_raw(batch.images)  # (R, bits, grid, grid)
    signs = torch.where(raw > 0, 1.0, -1.0).to(raw.dtype)
    pixels = model.decode_raw(raw + (signs - raw).detach()).float()  # straight-through
    object_pixels = batch.masks[:, None].float()  # (R, 1, H, W)
    reconstruction, edges = _pixel_errors(pixels, batch.images, 1 + (settings.object_weight - 1) * object_pixels)
    on_object = (F.max_pool2d(object_pixels, model.config.patch).flatten() > 0).float()  # (patches,)
    patches = raw.float().permute(0, 2, 3, 1).reshape(-1, model.config.bits)  # (patches, bits)
    commitment, entropy, decorrelation = _code_terms(patches, on_object[:, None])

    loss = (
        reconstruction
        + settings.edge_weight * edges
        + settings.commitment_weight * commitment
        + settings.entropy_weight * (1 - entropy)
        + settings.decorrelation_weight * decorrelation
    )
    parts = {"reconstruction": reconstruction, "edges": edges, "commitment": commitment, "entropy": entropy}
    return loss, parts | {"decorrelation": decorrelation}


def _pixel_errors(pixels: Tensor, images: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean absolute error of pixels and of the differences between neighbours.

    Args: pixels float [R, 3, H, W], about -1..1; images uint8 [R, H, W, 3]; weights [R, 1, H, W].
    """
    weights = weights / weights.mean()
    difference = pixels - (images.permute(0, 3, 1, 2).float() / 127.5 - 1)
    across, down = difference.diff(dim=3).abs() * weights[..., 1:], difference.diff(dim=2).abs() * weights[:, :, 1:]
    return (difference.abs() * weights).mean(), across.mean() + down.mean()


def _code_terms(patches: Tensor, on_object: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Commitment, entropy and decorrelation of raw codes [patches, bits] over the patches where on_object [patches, 1] is 1."""
    count = on_object.sum().clamp(min=1.0)
    commitment = ((patches.abs() - 1).square() * on_object).sum() / (count * patches.shape[1])
    share = ((torch.sigmoid(4 * patches) * on_object).sum(0) / count).clamp(1e-4, 1 - 1e-4)
    entropy = -(share * share.log2() + (1 - share) * (1 - share).log2()).mean()  # bits, 1 is best
    soft = torch.tanh(2 * patches) * on_object
    soft = (soft - soft.sum(0) / count) * on_object
    covariance = soft.T @ soft / count
    decorrelation = (covariance - covariance.diagonal().diag()).square().sum() / patches.shape[1]
    return commitment, entropy, decorrelation


@torch.no_grad()
def measure_quantizer(model: Quantizer, batch: SceneBatch) -> tuple[dict[str, float], Tensor]:
    """Reconstruction quality on given scenes through real codes.

    Returns:
        (PSNR of object pixels in dB, mean absolute error of object pixels in 0..255, share of the codebook in use on
        object patches; reconstructions uint8 [R, H, W, 3]).
    """
    ids = model.encode(batch.images)
    decoded = model.decode(ids)
    error = (decoded.float() - batch.images.float())[batch.masks]
    occupied = F.max_pool2d(batch.masks[:, None].float(), model.config.patch).flatten(1) > 0
    return {
        "object_psnr": round((20 * torch.log10(255 / error.square().mean().sqrt())).item(), 2),
        "object_error": round(error.abs().mean().item(), 2),
        "codes_used": round(ids[occupied].unique().numel() / model.config.codebook_size, 4),
    }, decoded


class QuantizerStage(Stage):
    """The quantiser, on pictures of scenes."""

    name = "quantizer"
    parts = 4
    log_steps = 25

    def __init__(self, model: Quantizer, settings: QuantizerTraining, world: World, held_out: int = 256):
        """Every checkpoint is measured on the same `held_out` scenes."""
        super().__init__(model.to(memory_format=torch.channels_last))
        self._settings, self._world = settings, world
        self._held_out = scene_batch(world, np.random.default_rng(_HELD_OUT_SEED), held_out)

    def examples(self, rng: np.random.Generator, size: int) -> SceneBatch:
        return scene_batch(self._world, rng, size)

    def loss(self, model: Quantizer, batch: SceneBatch) -> tuple[Tensor, dict[str, Tensor]]:
        return quantizer_loss(model, batch, self._settings)

    def is_hidden(self, name: str, weight: Tensor) -> bool:
        return weight.ndim == 4 and min(weight.shape[:2]) > 16

    def measure(self, model: Quantizer, run: Path) -> dict[str, float]:
        quality, decoded = measure_quantizer(model, to_device(self._held_out, model.powers.device))
        pairs = torch.stack([self._held_out.images[:_SHOWN], decoded[:_SHOWN].cpu()], dim=1).flatten(0, 1)
        save_grid(run / "reconstructions.png", pairs.numpy(), columns=16)
        return quality


def main() -> None:
    arguments = stage_parser("Trains the quantiser of the emoji world.", "quantizer", minutes=30.0).parse_args()
    torch.manual_seed(arguments.seed)
    world = World(replace(WorldConfig.from_toml(arguments.world), **read_table(arguments.config, "world")))
    model = Quantizer(read_settings(arguments.config, QuantizerConfig, "quantizer"))
    settings = overridden(read_settings(arguments.config, QuantizerTraining, "training"), arguments)
    run_stage(QuantizerStage(model, settings, world), settings, arguments)


if __name__ == "__main__":
    main()
