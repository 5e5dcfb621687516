"""Lookup-free quantiser: a picture becomes a grid of codes and back.

Every code is the sign pattern of `bits` numbers, as in MAGVIT-v2's LFQ (arXiv 2310.05737); there is no learned codebook.
The encoder sees one patch at a time, so a patch's code never depends on its neighbours: equal drawings give equal
codes wherever they stand, and empty background is one code per tint. The decoder sees many patches at once and tells
apart by their neighbours the patches that had to share a code.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class QuantizerConfig:
    """Sizes of the quantiser; `image_size` must be a multiple of `patch`, and `patch` of `DETAIL`."""

    image_size: int = 96
    patch: int = 12
    bits: int = 13
    encoder_width: int = 512
    encoder_blocks: int = 3
    decoder_width: int = 256
    decoder_blocks: int = 4
    detail_width: int = 64
    detail_blocks: int = 2

    @property
    def grid(self) -> int:
        """Codes along one side of the picture."""
        return self.image_size // self.patch

    @property
    def codebook_size(self) -> int:
        return 2**self.bits


DETAIL = 4  # the decoder's last stage works on cells of 4x4 pixels


class ResidualBlock(nn.Module):
    """Pre-activation residual block without normalisation; it starts as the identity, which replaces it."""

    def __init__(self, width: int, hidden: int, kernel: int):
        super().__init__()
        self.widen = nn.Conv2d(width, hidden, kernel, padding=kernel // 2)
        self.narrow = nn.Conv2d(hidden, width, kernel, padding=kernel // 2)
        self.gain = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gain * self.narrow(F.silu(self.widen(F.silu(x))))


class Quantizer(nn.Module):
    """Encoder, sign quantisation and decoder. R rows, N = grid * grid codes in row-major order."""

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        if config.image_size % config.patch or config.patch % DETAIL:
            raise ValueError(f"patch {config.patch} must divide image_size {config.image_size} and be a multiple of {DETAIL}")
        self.config = config
        wide, base, fine = config.encoder_width, config.decoder_width, config.detail_width
        upscale = config.patch // DETAIL
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(config.patch),
            nn.Conv2d(3 * config.patch**2, wide, 1),
            *(ResidualBlock(wide, wide, 1) for _ in range(config.encoder_blocks)),
            nn.SiLU(),
            nn.Conv2d(wide, config.bits, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(config.bits, base, 3, padding=1),
            *(ResidualBlock(base, base, 3) for _ in range(config.decoder_blocks)),
            nn.SiLU(),
            nn.Conv2d(base, fine * upscale**2, 1),
            nn.PixelShuffle(upscale),
            *(ResidualBlock(fine, fine, 3) for _ in range(config.detail_blocks)),
            nn.SiLU(),
            nn.Conv2d(fine, 3 * DETAIL**2, 3, padding=1),
            nn.PixelShuffle(DETAIL),
        )
        powers = 2 ** torch.arange(config.bits - 1, -1, -1)  # most significant bit first
        self.register_buffer("powers", powers, persistent=False)

    def encode_raw(self, images: Tensor) -> Tensor:
        """Numbers whose signs are the bits: images uint8 [R, H, W, 3] to float [R, bits, grid, grid]."""
        pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1  # (R, 3, H, W), -1..1
        return self.encoder(pixels.contiguous(memory_format=torch.channels_last))

    def decode_raw(self, signs: Tensor) -> Tensor:
        """Signs (-1 or +1) [R, bits, grid, grid] to pixels float [R, 3, H, W], about -1..1."""
        return self.decoder(signs)

    def encode(self, images: Tensor) -> Tensor:
        """Codes of pictures.

        Args:
            images: uint8 [R, image_size, image_size, 3], sRGB.

        Returns:
            int64 [R, N], 0..codebook_size-1; bit 0 of the raw vector is the most significant (0 counts as -1).
        """
        bits = (self.encode_raw(images) > 0).long()  # (R, bits, grid, grid)
        return (bits * self.powers.view(1, -1, 1, 1)).sum(1).flatten(1)

    def decode(self, ids: Tensor) -> Tensor:
        """Pictures of codes.

        Args:
            ids: int64 [R, N], 0..codebook_size-1.

        Returns:
            uint8 [R, image_size, image_size, 3], sRGB.
        """
        pixels = self.decode_raw(self.signs(ids))
        scaled = (pixels.permute(0, 2, 3, 1).float() + 1) * 127.5
        return scaled.clamp(0, 255).round().to(torch.uint8)

    def signs(self, ids: Tensor) -> Tensor:
        """The sign vectors of codes: int64 [R, N] to float [R, bits, grid, grid], each -1 or +1."""
        grid = self.config.grid
        bits = (ids.view(-1, 1, grid, grid) // self.powers.view(1, -1, 1, 1)) % 2
        return bits.to(self.encoder[1].weight.dtype) * 2 - 1
