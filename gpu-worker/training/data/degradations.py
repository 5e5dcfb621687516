"""Random damage to clean scenes, so that the detector can read what a quantiser has softened.

Every function takes and returns float32 [B, 3, H, W] in 0..255 and draws from the given generator, which is of a CPU
wherever the images are: kinds and strengths decide what happens next, and the CPU must not wait for a GPU to know them.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_GROUP = 16
_PATCH = 12
_JPEG_BLOCK = 8


def degrade(images: Tensor, generator: torch.Generator) -> Tensor:
    """Damages uint8 images [B, H, W, 3]; a group of 16 shares its kind and strength of blur and compression."""
    groups = []
    for group in images.permute(0, 3, 1, 2).float().split(_GROUP):
        damaged = group
        if _chance(generator, 0.3):
            damaged = _replace_patches(damaged, generator)
        if _chance(generator, 0.5):
            damaged = _resample(damaged, generator)
        if _chance(generator, 0.4):
            damaged = _blur(damaged, _uniform(generator, 0.4, 1.8))
        if _chance(generator, 0.3):
            damaged = _compress(damaged, _uniform(generator, 8.0, 60.0))
        groups.append(_jitter(damaged, generator))
    return torch.cat(groups).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def shuffle_patches(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rearranges the 12 px patches of uint8 images [B, H, W, 3] among all images: pictures of nothing."""
    batch, height, width, _ = images.shape
    rows, columns = height // _PATCH, width // _PATCH
    patches = images.reshape(batch, rows, _PATCH, columns, _PATCH, 3).permute(0, 1, 3, 2, 4, 5)
    patches = patches.reshape(-1, _PATCH, _PATCH, 3)
    order = torch.randperm(len(patches), generator=generator).to(images.device)
    patches = patches.index_select(0, order)
    patches = patches.reshape(batch, rows, columns, _PATCH, _PATCH, 3).permute(0, 1, 3, 2, 4, 5)
    return patches.reshape(images.shape)


def _replace_patches(images: Tensor, generator: torch.Generator) -> Tensor:
    """Replaces up to 5% of each image's patches by the patches of its neighbour, as a wrong token does."""
    batch, _, height, width = images.shape
    share = _uniform(generator, 0.0, 0.05)
    shape = (batch, 1, height // _PATCH, width // _PATCH)
    wrong = torch.rand(shape, generator=_there(images, generator), device=images.device) < share
    wrong = wrong.repeat_interleave(_PATCH, 2).repeat_interleave(_PATCH, 3)
    return torch.where(wrong, images.roll(1, 0), images)


def _resample(images: Tensor, generator: torch.Generator) -> Tensor:
    side = int(images.shape[-1] / _uniform(generator, 1.2, 3.0))
    small = F.interpolate(images, size=(side, side), mode="area")
    mode = "bilinear" if _chance(generator, 0.7) else "nearest"
    return F.interpolate(small, size=images.shape[-2:], mode=mode)


def _blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, as two passes of one dimension; sigma in pixels."""
    radius = math.ceil(2.5 * sigma)
    line = torch.exp(-torch.arange(-radius, radius + 1, device=images.device).float().square() / (2 * sigma**2))
    line = line / line.sum()
    channels = images.shape[1]
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, line.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(across, line.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)


def _compress(images: Tensor, coarseness: float) -> Tensor:
    """Rounds 8x8 cosine coefficients, high frequencies coarser, as JPEG does."""
    index = torch.arange(_JPEG_BLOCK, device=images.device).float()
    basis = torch.cos(math.pi / _JPEG_BLOCK * (index[None] + 0.5) * index[:, None])
    basis = basis * torch.where(index[:, None] == 0, math.sqrt(1 / _JPEG_BLOCK), math.sqrt(2 / _JPEG_BLOCK))
    batch, channels, height, width = images.shape
    blocks = images.reshape(batch, channels, height // _JPEG_BLOCK, _JPEG_BLOCK, width // _JPEG_BLOCK, _JPEG_BLOCK)
    blocks = blocks.permute(0, 1, 2, 4, 3, 5) - 128.0  # (B, 3, rows, columns, 8, 8)
    coefficients = basis @ blocks @ basis.T
    step = coarseness * (1 + index[:, None] + index[None]) / _JPEG_BLOCK
    blocks = basis.T @ ((coefficients / step).round() * step) @ basis + 128.0
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(images.shape)


def _jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Small changes of gain and offset per channel, and noise of up to 10 grey levels."""
    shape, there, device = (len(images), 3, 1, 1), _there(images, generator), images.device
    gain = 1 + 0.08 * (2 * torch.rand(shape, generator=there, device=device) - 1)
    offset = 10 * (2 * torch.rand(shape, generator=there, device=device) - 1)
    noise = torch.randn(images.shape, generator=there, device=device) * _uniform(generator, 0.0, 10.0)
    return images * gain + offset + noise


def _there(images: Tensor, generator: torch.Generator) -> torch.Generator:
    """A generator on the images' device whose numbers follow from the given one's."""
    return torch.Generator(images.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _chance(generator: torch.Generator, probability: float) -> bool:
    return float(torch.rand((), generator=generator)) < probability
