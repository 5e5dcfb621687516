"""What a quantiser makes of a picture: its round trip through the codes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.checkpoint import load_weights
from training.models.quantizer import Quantizer, QuantizerConfig
from training.precision import mixed_precision
from training.world.world import World


@dataclass(frozen=True)
class CodedScenes:
    """Scenes that can pass through a quantiser.

    Attributes:
        world: of the quantiser's own drawings, sizes and lattice; it has no codes for others, and what it makes of them is
            not what anybody will be shown.
        reconstruct: uint8 [B, H, W, 3] to the same encoded and decoded.
    """

    world: World
    reconstruct: Callable[[Tensor], Tensor]


def load_coded_scenes(weights: Path | None, world: World, device: torch.device | str = "cpu") -> CodedScenes | None:
    """Scenes of `world` through the quantiser of a file of weights, pictures on `device`; None without a path."""
    if weights is None:
        return None
    quantizer = load_weights(weights, Quantizer, QuantizerConfig).to(device)
    device_type = torch.device(device).type

    @torch.inference_mode()
    def reconstruct(images: Tensor) -> Tensor:
        with mixed_precision(device_type):
            return quantizer.decode(quantizer.encode(images))

    return CodedScenes(world, reconstruct)
