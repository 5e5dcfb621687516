"""Trains the fault finder, the part of the detector that refuses broken pictures.

    python -m training.plots.draw_broken                                  # training/runs/broken.npz
    python -m training.stages.train_faults --minutes 25 --broken training/runs/broken.npz

It sees composed scenes, which are whole; scenes with faults made in their codes and scenes that the generator filled in, where
the scene says which patches are wrong; and predictions of the generator's first steps, of which all that is known is that they
are broken. A patch is wrong where its code shows something else to the eye than the composed one. No matcher takes part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.broken_scenes import BrokenScenes
from training.data.reconstruction import Decoder, exported_decoder
from training.data.scene_codes import SceneCodes
from training.folders import WEIGHTS
from training.loop.checkpoint import load_weights
from training.loop.config_file import read_settings
from training.loop.stage import Stage, TrainingSettings
from training.loop.stage_arguments import overridden, run_stage, stage_parser
from training.models.fault_finder import FaultConfig, FaultFinder, broken_logit
from training.models.quantizer import Quantizer, QuantizerConfig
from training.world.config import WorldConfig
from training.world.held_out import HeldOut
from training.world.world import World

# Root mean square differences in grey levels: above the first a patch is wrong to the eye, below the second it is not. Between
# them the eye may go either way, and nothing is taught.
WRONG, RIGHT = 14.0, 6.0
_MEASURED = 48  # pictures of each kind
_MEASURE_SEED = 880_001  # never a training seed


@dataclass(frozen=True)
class FaultTraining(TrainingSettings):
    """How the fault finder is trained.

    Attributes:
        clean_share: pictures of a batch that are whole, 0..1; a sixth of them as drawn, the others as their codes show them.
        refilled_share, unfinished_share: pictures that the generator broke; the rest are broken in their codes.
        picture_weight: of the picture's own term beside that of its patches.
    """

    clean_share: float = 0.4
    refilled_share: float = 0.2
    unfinished_share: float = 0.1
    picture_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = (self.clean_share, self.refilled_share, self.unfinished_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(f"the shares of a batch must be at least 0 and at most 1 together, got {shares}")


@dataclass(frozen=True)
class FaultBatch:
    """B pictures.

    Attributes:
        images: uint8 [B, H, W, 3].
        faults: float32 [B, grid, grid], 1 where a patch is wrong, 0 where not, -1 where nothing is known.
        broken: float32 [B], the same of the picture.
    """

    images: Tensor
    faults: Tensor
    broken: Tensor


@dataclass(frozen=True)
class GeneratorFaults:
    """What `training.plots.draw_broken` drew: int64 [M, N] codes each; of the first two one row belongs to one."""

    refilled: np.ndarray
    composed: np.ndarray
    unfinished: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "GeneratorFaults":
        with np.load(path) as content:
            return cls(*(content[name].astype(np.int64) for name in ("refilled", "composed", "unfinished")))


def fault_loss(logits: Tensor, batch: FaultBatch, settings: FaultTraining) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of patches and of pictures, each over those of which something is known.

    Args:
        logits: float [B, grid, grid].
        batch: what they should say.
        settings: weight of the second term.

    Returns:
        (scalar loss, named scalars).
    """
    known = (batch.faults >= 0).float()
    patches = F.binary_cross_entropy_with_logits(logits, batch.faults.clamp(min=0), reduction="none")
    # Wrong patches are few: they count as much as the others together.
    weight = known * torch.where(
        batch.faults > 0, (known * (batch.faults <= 0)).sum() / (batch.faults > 0).sum().clamp(min=1), 1.0
    )
    patch_term = (patches * weight).sum() / weight.sum().clamp(min=1)
    picture = F.binary_cross_entropy_with_logits(broken_logit(logits), batch.broken.clamp(min=0), reduction="none")
    told = (batch.broken >= 0).float()
    picture_term = (picture * told).sum() / told.sum().clamp(min=1)
    right = ((broken_logit(logits) > 0) == (batch.broken > 0.5)).float()
    loss = patch_term + settings.picture_weight * picture_term
    return loss, {"patches": patch_term, "pictures": picture_term, "right": (right * told).sum() / told.sum().clamp(min=1)}


def code_pixels(quantizer: Quantizer) -> Tensor:
    """What each code shows by itself on the mean background, grey levels: float32 [codebook_size, 3 * patch^2]."""
    with torch.no_grad():
        drawn = quantizer.centroid_patches()  # (K, patch, patch, 4)
        behind = (1 - drawn[..., 3:]) * quantizer.tints.mean(0)
        plain = quantizer.tints.mean(0).expand(len(quantizer.tints), *drawn.shape[1:3], 3)
        return torch.cat([drawn[..., :3] + behind, plain]).flatten(1) * 255


class FaultStage(Stage):
    """The fault finder; batch normalisation wants its batches whole."""

    name = "faults"

    def __init__(
        self, model: FaultFinder, settings: FaultTraining, world: World, quantizer: Quantizer, decoders: Sequence[Decoder],
        drawn: GeneratorFaults | None,
    ):  # fmt: skip
        """
        Args:
            model, settings: what is trained, and how.
            world: of the scenes.
            quantizer: whose codes they are written in.
            decoders: that show these codes, one of them for each part of a batch.
            drawn: pictures that the generator broke; without them all broken ones are made in their codes.
        """
        super().__init__(model.to(memory_format=torch.channels_last))
        codes = SceneCodes(world, quantizer)
        self._settings, self._world, self._codes, self._decoders, self._drawn = settings, world, codes, decoders, drawn
        self._scenes = BrokenScenes(world, codes)
        self._pixels = code_pixels(quantizer)

    def examples(self, rng: np.random.Generator, size: int) -> FaultBatch:
        settings = self._settings
        clean = round(size * settings.clean_share)
        refilled, unfinished = (
            (0, 0) if self._drawn is None else (round(size * settings.refilled_share), round(size * settings.unfinished_share))
        )
        parts = [self.clean(rng, clean), self.made(rng, size - clean - refilled - unfinished)]
        if self._drawn is not None:
            parts += [self.refilled(rng, refilled), self.unfinished(rng, unfinished)]
        return FaultBatch(*(torch.cat([getattr(part, name) for part in parts]) for name in ("images", "faults", "broken")))

    def clean(self, rng: np.random.Generator, count: int) -> FaultBatch:
        """Whole pictures."""
        scenes = [self._world.arrange(rng, self._world.sample_spec(rng)) for _ in range(count)]
        drawn = count // 6
        images = self._shown(rng, np.stack([self._codes.grid(*scene) for scene in scenes]))
        images[:drawn] = torch.from_numpy(np.stack([self._world.draw(*scene) for scene in scenes[: max(drawn, 1)]]))[:drawn]
        grid = self.model.config.grid
        return FaultBatch(images, torch.zeros(count, grid, grid), torch.zeros(count))

    def made(self, rng: np.random.Generator, count: int, kind: str | None = None) -> FaultBatch:
        """Pictures broken in their codes."""
        pairs = [self._scenes.broken(rng, kind)[:2] for _ in range(count)]
        return self._compared(rng, *(np.stack(codes) for codes in zip(*pairs, strict=True)))

    def refilled(self, rng: np.random.Generator, count: int) -> FaultBatch:
        """Scenes that the generator filled in."""
        rows = rng.integers(len(self._drawn.refilled), size=count)
        return self._compared(rng, self._drawn.refilled[rows], self._drawn.composed[rows])

    def unfinished(self, rng: np.random.Generator, count: int) -> FaultBatch:
        """Predictions of the generator's first steps."""
        images = self._shown(rng, self._drawn.unfinished[rng.integers(len(self._drawn.unfinished), size=count)])
        grid = self.model.config.grid
        return FaultBatch(images, torch.full((count, grid, grid), -1.0), torch.ones(count))

    def _compared(self, rng: np.random.Generator, codes: np.ndarray, composed: np.ndarray) -> FaultBatch:
        """Pictures of codes, wrong where these do not look like the composed ones."""
        grid = self.model.config.grid
        codes, composed = (torch.from_numpy(part.reshape(len(part), -1)) for part in (codes, composed))
        difference = torch.zeros(codes.shape)
        other = codes != composed
        difference[other] = (self._pixels[codes[other]] - self._pixels[composed[other]]).square().mean(1).sqrt()
        faults = torch.where(difference > WRONG, 1.0, torch.where(difference < RIGHT, 0.0, -1.0))
        broken = torch.where((faults > 0).any(1), 1.0, faults.amin(1))
        return FaultBatch(self._shown(rng, codes.numpy()), faults.view(-1, grid, grid), broken)

    def _shown(self, rng: np.random.Generator, codes: np.ndarray) -> Tensor:
        decode = self._decoders[int(rng.integers(len(self._decoders)))]
        return decode(torch.from_numpy(codes.reshape(len(codes), -1)))

    def loss(self, model: FaultFinder, batch: FaultBatch) -> tuple[Tensor, dict[str, Tensor]]:
        return fault_loss(model(batch.images), batch, self._settings)

    def is_hidden(self, name: str, weight: Tensor) -> bool:
        return weight.ndim >= 2 and not name.startswith("faults")

    def measure(self, model: FaultFinder, run: Path) -> dict[str, float]:
        """Shares of pictures called broken, by kind; of the broken kinds only those that are broken to the eye count."""
        rng = np.random.default_rng(_MEASURE_SEED)
        kinds = {"whole": self.clean(rng, 3 * _MEASURED)}
        kinds |= {kind: self.made(rng, _MEASURED, kind) for kind in self._scenes.kinds}
        if self._drawn is not None:
            kinds |= {"refilled": self.refilled(rng, 2 * _MEASURED), "unfinished": self.unfinished(rng, _MEASURED)}
        shares = {}
        for kind, batch in kinds.items():
            found = (broken_logit(model(batch.images)) > 0).float()
            counted = batch.broken == (0 if kind == "whole" else 1)
            shares[f"broken_{kind}"] = round(found[counted].mean().item(), 3)
        return shares


def main() -> None:
    parser = stage_parser(__doc__.splitlines()[0], "faults", minutes=25.0)
    parser.add_argument(
        "--quantizer", type=Path, nargs="+", default=[WEIGHTS / "quantizer.pt"],
        help="what shows codes; several where pictures of other decoders of the same codes are to be read as well",
    )  # fmt: skip
    parser.add_argument("--broken", type=Path, help="file of training.plots.draw_broken: pictures that the generator broke")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    base = WorldConfig.from_toml(arguments.world)
    quantizers = [load_weights(path, Quantizer, QuantizerConfig) for path in arguments.quantizer]
    sizes = {"image_size": base.image_size, "patch": quantizers[0].config.patch}
    model = FaultFinder(read_settings(arguments.config, FaultConfig, "faults", **sizes))
    settings = overridden(read_settings(arguments.config, FaultTraining, "training"), arguments)
    # A yardstick has to know every drawing in every colour and number, those of scored prompts too; it teaches no generator.
    world = World(base, HeldOut())
    drawn = None if arguments.broken is None else GeneratorFaults.read(arguments.broken)
    decoders = [exported_decoder(quantizer) for quantizer in quantizers]
    run_stage(FaultStage(model, settings, world, quantizers[0], decoders, drawn), settings, arguments)


if __name__ == "__main__":
    main()
