"""Trains the quantiser's decoder on composed scenes.

    python -m training.stages.codebook                                                       (the codes; once)
    python -m training.stages.train_quantizer --minutes 30 [--resume] [--start training/weights/quantizer.pt]

The codes stay as they are, so a decoder can be trained further without the generator noticing. Leaves `reconstructions.png` in
the run's folder, beside what every stage leaves there (`training_loop.py`).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data.drawing_patches import emphasis
from training.data.scene_codes import SceneCodes
from training.folders import RUNS
from training.loop.checkpoint import load_weights
from training.loop.config_file import read_settings, read_table
from training.loop.examples import to_device
from training.loop.stage import Stage, TrainingSettings
from training.loop.stage_arguments import hardware_of, overridden, run_stage, stage_parser
from training.models.quantizer import Quantizer, QuantizerConfig
from training.plots.pictures import save_grid
from training.world.config import WorldConfig
from training.world.scene import SceneObject
from training.world.world import World

_CODEBOOK = RUNS / "codebook/codebook.pt"
_HELD_OUT_SEED = 880_001  # never a training seed
_SHOWN = 32  # of them in the picture


@dataclass(frozen=True)
class QuantizerTraining(TrainingSettings):
    """Weights of the loss terms; see `quantizer_loss`."""

    batch: int = 128
    object_weight: float = 4.0
    edge_weight: float = 1.0


@dataclass(frozen=True)
class SceneBatch:
    """R scenes.

    Attributes:
        images: uint8 [R, H, W, 3], sRGB.
        codes: int64 [R, N].
        tints: int64 [R], index of the background.
        emphasis: float32 [R, H, W]: 0 on background, in an object's box 1 to 4, see `drawing_patches.emphasis`.
    """

    images: Tensor
    codes: Tensor
    tints: Tensor
    emphasis: Tensor


def scene_batch(world: World, scene_codes: SceneCodes, rng: np.random.Generator, size: int) -> SceneBatch:
    """`size` composed scenes; a function of the generator's state only."""
    images, codes, tints, weights = [], [], [], []
    for _ in range(size):
        objects, background = world.arrange(rng, world.sample_spec(rng))
        images.append(world.draw(objects, background))
        codes.append(scene_codes.grid(objects, background).ravel())
        tints.append(background)
        weights.append(_emphasis_map(images[-1], objects, world.config.backgrounds[background]))
    stacked = (torch.from_numpy(np.stack(arrays)) for arrays in (images, codes, tints, weights))
    return SceneBatch(*stacked)


def _emphasis_map(image: np.ndarray, objects: tuple[SceneObject, ...], background: tuple[int, int, int]) -> np.ndarray:
    """`SceneBatch.emphasis` of one scene: float32 [H, W]."""
    difference = np.abs(image.astype(np.float32) - np.asarray(background, np.float32)).mean(-1)  # (H, W), 0..255
    result = np.zeros(image.shape[:2], np.float32)
    for known in objects:
        x0, y0, x1, y1 = known.box
        seen = difference[y0:y1, x0:x1]
        result[y0:y1, x0:x1] = emphasis(float(seen[seen > 0].mean()))
    return result


def quantizer_loss(model: Quantizer, batch: SceneBatch, settings: QuantizerTraining) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted mean absolute error of pixels, and of the differences between neighbours, which keeps edges sharp.

    Args:
        model: the quantiser.
        batch: R scenes; object pixels weigh `object_weight` times their emphasis, background pixels 1.
        settings: weights of the terms.

    Returns:
        (scalar loss, its parts by name), on a scale of 2 from black to white.
    """
    pixels = model.decode_pixels(batch.codes, batch.tints).float()
    weights = torch.where(batch.emphasis > 0, settings.object_weight * batch.emphasis, 1.0)[:, None]  # (R, 1, H, W)
    weights = weights / weights.mean()
    difference = 2 * (pixels - batch.images.permute(0, 3, 1, 2).float() / 255)
    across, down = difference.diff(dim=3).abs() * weights[..., 1:], difference.diff(dim=2).abs() * weights[:, :, 1:]
    reconstruction, edges = (difference.abs() * weights).mean(), across.mean() + down.mean()
    return reconstruction + settings.edge_weight * edges, {"reconstruction": reconstruction, "edges": edges}


@torch.no_grad()
def measure_quantizer(model: Quantizer, batch: SceneBatch) -> tuple[dict[str, float], Tensor]:
    """Reconstruction quality on given scenes.

    Returns:
        (PSNR of object pixels in dB, mean absolute error of object pixels in 0..255, share of the codes in use;
        reconstructions uint8 [R, H, W, 3]).
    """
    decoded = model.decode(batch.codes)
    error = (decoded.float() - batch.images.float())[batch.emphasis > 0]
    return {
        "object_psnr": round((20 * torch.log10(255 / error.square().mean().sqrt())).item(), 2),
        "object_error": round(error.abs().mean().item(), 2),
        "codes_used": round(batch.codes.unique().numel() / model.config.codebook_size, 4),
    }, decoded


class QuantizerStage(Stage):
    """The quantiser's decoder, on scenes and their codes."""

    name = "quantizer"
    parts = 4
    log_steps = 25

    def __init__(self, model: Quantizer, settings: QuantizerTraining, world: World, scene_codes: SceneCodes, held_out: int = 256):
        """Every checkpoint is measured on the same `held_out` scenes."""
        super().__init__(model.train().to(memory_format=torch.channels_last))
        self._settings, self._world, self._codes = settings, world, scene_codes
        self._held_out = scene_batch(world, scene_codes, np.random.default_rng(_HELD_OUT_SEED), held_out)

    def examples(self, rng: np.random.Generator, size: int) -> SceneBatch:
        return scene_batch(self._world, self._codes, rng, size)

    def loss(self, model: Quantizer, batch: SceneBatch) -> tuple[Tensor, dict[str, Tensor]]:
        return quantizer_loss(model, batch, self._settings)

    def is_hidden(self, name: str, weight: Tensor) -> bool:
        return weight.ndim == 4 and min(weight.shape[:2]) > 16

    def measure(self, model: Quantizer, run: Path) -> dict[str, float]:
        quality, decoded = measure_quantizer(model, to_device(self._held_out, model.tints.device))
        pairs = torch.stack([self._held_out.images[:_SHOWN], decoded[:_SHOWN].cpu()], dim=1).flatten(0, 1)
        save_grid(run / "reconstructions.png", pairs.numpy(), columns=16)
        return quality


def main() -> None:
    arguments = stage_parser("Trains the decoder of the emoji world's quantiser.", "quantizer", minutes=30.0).parse_args()
    torch.manual_seed(arguments.seed)
    world = World(replace(WorldConfig.from_toml(arguments.world), **read_table(arguments.config, "world")))
    settings = overridden(read_settings(arguments.config, QuantizerTraining, "training"), arguments)
    model = load_weights(arguments.start or _CODEBOOK, Quantizer, QuantizerConfig)
    scene_codes = SceneCodes(world, model)
    if hardware_of(arguments).workers:
        scene_codes.encode_all()
    run_stage(QuantizerStage(model, settings, world, scene_codes), settings, arguments)


if __name__ == "__main__":
    main()
