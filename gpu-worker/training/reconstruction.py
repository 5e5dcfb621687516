"""What a quantiser makes of a picture: its round trip through the codes."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from training.checkpoint import load_weights
from training.models.quantizer import Quantizer, QuantizerConfig
from training.precision import mixed_precision


def load_reconstruction(weights: Path | None, device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor] | None:
    """Returns a function from uint8 [B, H, W, 3] on a device to the same encoded and decoded, or None without a path."""
    if weights is None:
        return None
    quantizer = load_weights(weights, Quantizer, QuantizerConfig).to(device)
    device_type = torch.device(device).type

    @torch.inference_mode()
    def reconstruct(images: Tensor) -> Tensor:
        with mixed_precision(device_type):
            return quantizer.decode(quantizer.encode(images))

    return reconstruct
