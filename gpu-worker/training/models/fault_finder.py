"""Finds what is broken in a picture: patches that do not belong where they are.

It is the detector's second opinion for the strict yardstick. It sees neither the prompt nor the detector's objects: a picture has
faults whatever was asked for. It has weights of its own, so that what the detector finds, and with it GenEval's verdict, stays.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.models.residual_trunk import ResidualBlock

# Logit of a prior of 2%: most patches of most pictures are as they should be.
_FAULT_PRIOR = -3.9


@dataclass(frozen=True)
class FaultConfig:
    """Shape of the fault finder.

    Attributes:
        image_size: height and width of the pictures in pixels.
        patch: side of the patches that pictures are made of, in pixels; it must divide `image_size`.
        hidden: width of the layer that reads a patch by itself.
        width: channels of a patch.
        blocks: residual blocks over the grid of patches; two convolutions each, so four of them see a grid of 8 whole.
    """

    image_size: int = 96
    patch: int = 12
    hidden: int = 384
    width: int = 160
    blocks: int = 4

    def __post_init__(self) -> None:
        if self.image_size % self.patch:
            raise ValueError(f"patch {self.patch} must divide image_size {self.image_size}")

    @property
    def grid(self) -> int:
        """Patches along one side of a picture."""
        return self.image_size // self.patch


class FaultFinder(nn.Module):
    """A small residual network over a grid of patches, each read whole first: pictures are made of them."""

    def __init__(self, config: FaultConfig):
        super().__init__()
        self.config = config
        self.read = nn.Linear(3 * config.patch**2, config.hidden)
        self.embed = nn.Linear(config.hidden, config.width)
        self.blocks = nn.ModuleList(ResidualBlock(config.width) for _ in range(config.blocks))
        self.faults = nn.Conv2d(config.width, 1, 1)
        nn.init.constant_(self.faults.bias, _FAULT_PRIOR)
        nn.init.normal_(self.faults.weight, std=0.01)

    def forward(self, images: Tensor) -> Tensor:
        """Logit of a fault in each patch of uint8 images [B, H, W, 3]: float [B, grid, grid]."""
        grid, patch = self.config.grid, self.config.patch
        signal = images.to(self.read.weight.dtype) / 127.5 - 1.0
        patches = signal.view(-1, grid, patch, grid, patch, 3).transpose(2, 3).flatten(3)  # (B, grid, grid, 3*patch^2)
        x = self.embed(torch.relu(self.read(patches))).permute(0, 3, 1, 2)  # channels-last in memory
        for block in self.blocks:
            x = block(x)
        return self.faults(x).squeeze(1).float()

    @torch.inference_mode()
    def find(self, images: Tensor) -> Tensor:
        """Probability of a fault in each patch of uint8 images [B, H, W, 3]: float32 [B, grid, grid], 0..1."""
        return self(images).sigmoid()


def broken_logit(faults: Tensor) -> Tensor:
    """Logit of a picture that it is broken, that of its most faulty patch: float [B, grid, grid] to [B]."""
    return faults.flatten(1).amax(1)
