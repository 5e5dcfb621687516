"""The convolutional trunk that detector and verifier are built on."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TrunkConfig:
    """Shape of the trunk: one entry a stage, each stage halves the resolution.

    Attributes:
        channels: output channels of each stage.
        blocks: residual blocks after the downsampling convolution of each stage.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Input pixels per output cell."""
        return 2 ** len(self.channels)


class ConvNorm(nn.Module):
    """3x3 convolution and batch normalisation; the export folds the second into the first."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class ResidualBlock(nn.Module):
    """relu(x + conv(relu(conv(x)))), each convolution normalised."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels)
        # The block starts as the identity, so that depth costs nothing early in a short training run.
        nn.init.zeros_(self.second.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class ResidualTrunk(nn.Module):
    """Turns pictures into a feature map.

    Source: the basic block of He et al., Deep Residual Learning (arXiv 1512.03385).
    """

    def __init__(self, config: TrunkConfig):
        super().__init__()
        self.config = config
        stages = []
        in_channels = 3
        for channels, blocks in zip(config.channels, config.blocks, strict=True):
            down = ConvNorm(in_channels, channels, stride=2)
            stages.append(nn.ModuleList([down, *(ResidualBlock(channels) for _ in range(blocks))]))
            in_channels = channels
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> Tensor:
        """Maps uint8 [B, H, W, 3] to features [B, C, H/stride, W/stride], in the weights' dtype."""
        dtype = self.stages[0][0].conv.weight.dtype
        x = images.permute(0, 3, 1, 2).to(dtype) / 127.5 - 1.0  # (B, 3, H, W), channels-last in memory
        for down, *blocks in self.stages:
            x = torch.relu(down(x))
            for block in blocks:
                x = block(x)
        return x
