"""Trains the detector on ground-truth scenes.

    python -m training.stages.train_detector --minutes 20 [--resume]
    python -m training.stages.train_detector --minutes 9 --start FIRST/detector.pt --quantizer training/weights/quantizer.pt

It sees composed scenes, damaged and (with --quantizer) encoded and decoded, but never a picture of the generator.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.degradations import degrade, shuffle_patches
from training.data.detector_scenes import detector_worlds, images_of, sample_scenes
from training.data.object_targets import ObjectTargets, box_and_color_loss, object_targets
from training.data.reconstruction import CodedScenes, load_coded_scenes
from training.loop.config_file import read_settings
from training.loop.stage import Stage, TrainingSettings
from training.loop.stage_arguments import overridden, run_stage, stage_parser
from training.models.detector import Detector, DetectorConfig, DetectorMaps
from training.world.classes import CLASSES, COLORS
from training.world.config import WorldConfig
from training.world.world import World


@dataclass(frozen=True)
class DetectorTraining(TrainingSettings):
    """How the detector is trained.

    Attributes:
        empty_share: pictures of nothing in a batch, 0..0.5, so that half-made pictures do not read as objects.
        extents_weight, color_weight: of these terms beside the heat map's; see `detection_loss`.
    """

    adam_lr: float = 0.002
    average_decay: float = 0.999
    empty_share: float = 0.1
    extents_weight: float = 0.3
    color_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.empty_share <= 0.5:
            raise ValueError(f"empty_share must be 0 to 0.5, got {self.empty_share}")

    @property
    def empty(self) -> int:
        """Pictures of nothing in a batch."""
        return round(self.batch * self.empty_share)


@dataclass(frozen=True)
class DetectorBatch:
    """B pictures, once `DetectorStage.prepared` has damaged them and added the empty ones; fewer before.

    Attributes:
        images: uint8 [B, H, W, 3].
        targets: what the detector should say.
        noise: seed of the damage.
    """

    images: Tensor
    targets: ObjectTargets
    noise: int


def detection_loss(maps: DetectorMaps, targets: ObjectTargets, settings: DetectorTraining) -> tuple[Tensor, dict[str, Tensor]]:
    """Focal loss on centres, L1 on box extents, cross-entropy on colours.

    Args:
        maps: the detector's raw outputs.
        targets: what they should be.
        settings: weights of the terms.

    Returns:
        (scalar loss, its three terms by name).

    Source: CenterNet (arXiv 1904.07850), equations 1 and 2, alpha 2 and beta 4.
    """
    probability = maps.heat.sigmoid().clamp(1e-5, 1 - 1e-5)
    is_center = targets.heat == 1
    hit = -((1 - probability) ** 2) * probability.log()
    miss = -((1 - targets.heat) ** 4) * probability**2 * (1 - probability).log()
    heat = torch.where(is_center, hit, miss).sum() / is_center.sum().clamp(min=1)
    extents, color = box_and_color_loss(maps, targets)
    loss = heat + settings.extents_weight * extents + settings.color_weight * color
    return loss, {"heat": heat, "extents": extents, "color": color}


class DetectorStage(Stage):
    """The detector, on damaged scenes; batch normalisation wants its batches whole."""

    name = "detector"

    def __init__(self, model: Detector, settings: DetectorTraining, worlds: list[World], coded: CodedScenes | None):
        """Scenes are of `worlds`; every second one is of `coded` and shown as its codes show it, unless that is None."""
        super().__init__(model.to(memory_format=torch.channels_last))
        self._settings, self._worlds, self._coded = settings, worlds, coded

    def examples(self, rng: np.random.Generator, size: int) -> DetectorBatch:
        noise = int(rng.integers(2**62))
        scenes = sample_scenes(self._worlds, rng, size - self._settings.empty)
        images = images_of(scenes)
        if self._coded is not None:
            scenes[::2] = sample_scenes([self._coded.world], rng, len(scenes[::2]))
            images[::2] = self._coded.reconstruct(scenes[::2])
        return DetectorBatch(images, object_targets([scene.objects for scene in scenes], self.model.config), noise)

    def prepared(self, batch: DetectorBatch) -> DetectorBatch:
        generator = torch.Generator().manual_seed(batch.noise)
        empty = shuffle_patches(batch.images[: self._settings.empty], generator)
        images = torch.cat([degrade(batch.images, generator), empty])
        return DetectorBatch(images, _with_empty(batch.targets, self._settings.empty), batch.noise)

    def loss(self, model: Detector, batch: DetectorBatch) -> tuple[Tensor, dict[str, Tensor]]:
        return detection_loss(model(batch.images), batch.targets, self._settings)

    def is_hidden(self, name: str, weight: Tensor) -> bool:
        # The first kernel's 3 input channels leave nothing to orthogonalise.
        return weight.ndim == 4 and name.startswith("trunk") and weight.shape[1] > 3


def _with_empty(targets: ObjectTargets, count: int) -> ObjectTargets:
    """Targets with `count` pictures of nothing behind them."""
    return ObjectTargets(
        F.pad(targets.heat, (0, 0, 0, 0, 0, 0, 0, count)),
        F.pad(targets.extents, (0, 0, 0, 0, 0, 0, 0, count)),
        F.pad(targets.readable, (0, 0, 0, 0, 0, count)),
        F.pad(targets.colors, (0, 0, 0, 0, 0, count), value=-1),
    )


def main() -> None:
    parser = stage_parser(__doc__.splitlines()[0], "detector", minutes=50.0)
    parser.add_argument("--quantizer", type=Path, help="quantiser weights: half of each batch is shown as its codes show it")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    base = WorldConfig.from_toml(arguments.world)
    counts = {"image_size": base.image_size, "class_count": len(CLASSES), "color_count": len(COLORS)}
    model = Detector(read_settings(arguments.config, DetectorConfig, "detector", **counts))
    settings = overridden(read_settings(arguments.config, DetectorTraining, "training"), arguments)
    coded = load_coded_scenes(arguments.quantizer, World(base))
    run_stage(DetectorStage(model, settings, detector_worlds(base, arguments.config), coded), settings, arguments)


if __name__ == "__main__":
    main()
