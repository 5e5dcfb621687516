"""Quantiser: a picture becomes a grid of codes and back.

A code names a patch of a drawing: colour and opacity, but not the tint behind it. Plain background has one code per tint,
and a picture's tint is the one that most of its plain patches name. So a drawing has the same codes on every tint and
wherever it stands, and the generator has one thing to learn where it would otherwise have had four.

Codes are the centroids of a weighted k-means over the world's drawings (`training.codebook`). A drawing in one of the ten
colours has, patch by patch, the same tones in each of them: its codes differ from those in another colour by a constant. So
what a generator learns of a drawing in one colour it knows in all. The decoder starts from the
centroid's own pixels and corrects them by what the neighbouring codes say, because patches that share a code differ in
what stands beside them. It predicts colour and opacity; flat background is exact.

Letters: R rows, K codes of drawings, A of them for own colours, S tones, T tints, N = grid * grid codes of a picture in
row-major order.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

DETAIL = 4  # the decoder's last stage works on cells of 4x4 pixels


@dataclass(frozen=True)
class QuantizerConfig:
    """Sizes of the quantiser; `image_size` must be a multiple of `patch`, and `patch` of `DETAIL`.

    `tints` are the backgrounds, RGB 0..255. Of the `codebook_size` codes the last `len(tints)` are plain background, and
    `colors` times `tones` before them are patches of recoloured drawings: all tones of the first colour, then of the next.

    Raises:
        ValueError: sizes do not fit, or no code is left for drawings in their own colours.
    """

    tints: tuple[tuple[int, int, int], ...]
    image_size: int = 96
    patch: int = 12
    codebook_size: int = 8192
    tones: int = 16
    colors: int = 10
    components: int = 192
    decoder_width: int = 256
    decoder_blocks: int = 4
    detail_width: int = 64
    detail_blocks: int = 2

    def __post_init__(self) -> None:
        if self.image_size % self.patch or self.patch % DETAIL:
            raise ValueError(f"patch {self.patch} must divide image_size {self.image_size} and be a multiple of {DETAIL}")
        if self.own_codes < 1:
            raise ValueError(
                f"codebook_size {self.codebook_size} leaves no code for drawings in their own colours beside "
                f"{self.colors} colours of {self.tones} tones and {len(self.tints)} backgrounds"
            )

    @property
    def grid(self) -> int:
        """Codes along one side of the picture."""
        return self.image_size // self.patch

    @property
    def own_codes(self) -> int:
        """Codes of drawings in their own colours; those of recoloured drawings follow them."""
        return self.drawing_codes - self.colors * self.tones

    @property
    def drawing_codes(self) -> int:
        """Codes that stand for patches of drawings; the tints' codes follow them."""
        return self.codebook_size - len(self.tints)

    @property
    def code_groups(self) -> int:
        """Groups that codes belong to: tones, colours, and those without."""
        return self.tones + self.colors + 2

    @property
    def patch_values(self) -> int:
        """Numbers of an RGBA patch."""
        return 4 * self.patch**2


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
    """Codebook and decoder."""

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        self.config = config
        base, fine = config.decoder_width, config.detail_width
        upscale = config.patch // DETAIL
        # What `training.codebook` found: centroids as principal components, the components, and the mean patch.
        self.register_buffer("centroids", torch.zeros(config.drawing_codes, config.components))
        self.register_buffer("basis", torch.zeros(config.components, config.patch_values))
        self.register_buffer("mean_patch", torch.zeros(config.patch_values))
        self.table = nn.Embedding(config.codebook_size, config.components)
        self.decoder = nn.Sequential(
            nn.Conv2d(config.components, base, 3, padding=1),
            *(ResidualBlock(base, base, 3) for _ in range(config.decoder_blocks)),
            nn.SiLU(),
            nn.Conv2d(base, fine * upscale**2, 1),
            nn.PixelShuffle(upscale),
            *(ResidualBlock(fine, fine, 3) for _ in range(config.detail_blocks)),
            nn.SiLU(),
            nn.Conv2d(fine, 4 * DETAIL**2, 3, padding=1),
            nn.PixelShuffle(DETAIL),
        )
        nn.init.zeros_(self.decoder[-2].weight)
        nn.init.zeros_(self.decoder[-2].bias)
        self.register_buffer("tints", torch.tensor(config.tints) / 255, persistent=False)  # (T, 3)

    @torch.no_grad()
    def set_codebook(self, centroids: Tensor, basis: Tensor, mean_patch: Tensor, plain: Tensor) -> None:
        """Takes the codes of `training.codebook`; the decoder starts from their pixels.

        Args:
            centroids: float [K, components].
            basis: float [components, 4*patch*patch]: a patch is `mean_patch` plus centroid times basis.
            mean_patch: float [4*patch*patch].
            plain: float [components], of a patch without a drawing.
        """
        self.centroids.copy_(centroids)
        self.basis.copy_(basis)
        self.mean_patch.copy_(mean_patch)
        self.table.weight[: self.config.drawing_codes] = centroids
        self.table.weight[self.config.drawing_codes :] = plain

    @torch.no_grad()
    def code_features(self, count: int) -> Tensor:
        """What each code shows, for models that learn from codes: float [codebook_size, count].

        The first principal components of its patch, scaled together so that the first one has unit deviation.
        """
        plain = self.table.weight[self.config.drawing_codes :]
        components = torch.cat([self.centroids, plain])[:, :count]
        return (components / self.centroids[:, 0].std()).clone()

    def code_groups(self) -> Tensor:
        """What codes have in common, for models that learn from codes: int64 [2, codebook_size], 0..`code_groups`-1.

        First the tone or that there is none, then the colour or that there is none; no number means both.
        """
        config = self.config
        groups = torch.zeros(2, config.codebook_size, dtype=torch.int64)
        place = torch.arange(config.colors * config.tones)
        groups[0, config.own_codes : config.drawing_codes] = place % config.tones + 1
        groups[1] = config.tones + 1
        groups[1, config.own_codes : config.drawing_codes] += place // config.tones + 1
        return groups

    def drawing_features(self) -> Tensor:
        """`tint_features` of all codes of drawings, for `encode_own` and `tones_of`: float [K, 4*patch*patch]."""
        return tint_features(self.centroid_patches(), self.tints)

    def encode_own(self, patches: Tensor, features: Tensor) -> Tensor:
        """Codes of patches of drawings in their own colours, whatever tint they will stand on.

        Args:
            patches: float [M, patch, patch, 4], 0..1: colour times opacity, and opacity.
            features: what `drawing_features` returned; it costs more than many patches do.

        Returns:
            int64 [M], 0..A-1: the code that is nearest on average over the tints.
        """
        return _nearest(tint_features(patches, self.tints), features[: self.config.own_codes])

    def tones_of(self, patches: Tensor, features: Tensor) -> Tensor:
        """Tones of patches of a recoloured drawing, from which `colored_code` gives the code in any colour.

        Args:
            patches: float [M, colors, patch, patch, 4], each in every colour.
            features: what `drawing_features` returned.

        Returns:
            int64 [M], 0..S-1: the tone that is nearest on average over tints and colours.
        """
        known = features[self.config.own_codes :].view(self.config.colors, self.config.tones, -1).transpose(0, 1).flatten(1)
        return _nearest(tint_features(patches.flatten(0, 1), self.tints).view(len(patches), -1), known)

    def colored_code(self, tones: np.ndarray, color: int) -> np.ndarray:
        """Codes of tones int64 [...], 0..S-1, in a colour, 0..colors-1."""
        return self.config.own_codes + color * self.config.tones + tones

    def encode(self, images: Tensor) -> Tensor:
        """Codes of pictures on one of the tints.

        Args:
            images: uint8 [R, image_size, image_size, 3], sRGB.

        Returns:
            int64 [R, N], 0..codebook_size-1: for each patch the code whose pixels on the picture's tint are nearest.
        """
        patch, grid = self.config.patch, self.config.grid
        pixels = images.float() / 255
        patches = pixels.view(-1, grid, patch, grid, patch, 3).transpose(2, 3).flatten(3).flatten(1, 2)  # (R, N, patch^2*3)
        tint_of = self._main_tint(pixels)
        codes = torch.empty(patches.shape[:2], dtype=torch.int64)
        rgba = self.centroid_patches().flatten(1, 2)  # (K, patch^2, 4)
        for tint in range(len(self.tints)):
            rows = (tint_of == tint).nonzero().flatten()
            if not len(rows):
                continue
            plain = self.tints[tint].expand(1, patch**2, 3)
            known = torch.cat([_compose(rgba, self.tints[tint]), plain]).flatten(1)
            found = _nearest(patches[rows].flatten(0, 1), known)
            found[found == self.config.drawing_codes] += tint
            codes[rows] = found.view(len(rows), -1)
        return codes

    def decode_layers(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What stands in front of the background: colour times opacity, float [R, 3, H, W], and opacity, [R, 1, H, W].

        Both about 0..1, and exactly 0 in plain patches.
        """
        grid, patch = self.config.grid, self.config.patch
        vectors = self.table(ids)  # (R, N, components)
        own = (vectors @ self.basis + self.mean_patch).view(-1, grid, grid, patch, patch, 4)
        own = own.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)  # (R, 4, H, W)
        spatial = vectors.view(-1, grid, grid, self.config.components).permute(0, 3, 1, 2)
        drawn = (ids < self.config.drawing_codes).view(-1, 1, grid, 1, grid, 1)
        layers = own + self.decoder(spatial)
        by_patch = layers.unflatten(3, (grid, patch)).unflatten(2, (grid, patch))  # (R, 4, grid, patch, grid, patch)
        layers = (by_patch * drawn).flatten(4).flatten(2, 3)
        return layers[:, :3], layers[:, 3:]

    def decode_pixels(self, ids: Tensor, tint: Tensor) -> Tensor:
        """Pictures float [R, 3, H, W], about 0..1, on given tints int64 [R]."""
        color, opacity = self.decode_layers(ids)
        return color + (1 - opacity) * self.tints[tint][:, :, None, None]

    def tint_of(self, ids: Tensor) -> Tensor:
        """The tint that most plain patches name, the first on a tie: int64 [R, N] to int64 [R]."""
        first = self.config.drawing_codes
        votes = torch.stack([(ids == first + tint).sum(1) for tint in range(len(self.tints))], dim=1)
        return votes.argmax(1)

    def decode(self, ids: Tensor) -> Tensor:
        """Pictures of codes.

        Args:
            ids: int64 [R, N], 0..codebook_size-1.

        Returns:
            uint8 [R, image_size, image_size, 3], sRGB.
        """
        pixels = self.decode_pixels(ids, self.tint_of(ids))
        return (pixels.permute(0, 2, 3, 1).float() * 255).clamp(0, 255).round().to(torch.uint8)

    def centroid_patches(self) -> Tensor:
        """Colour times opacity, and opacity, of all codes of drawings: float [K, patch, patch, 4], 0..1."""
        patch = self.config.patch
        return (self.centroids @ self.basis + self.mean_patch).view(-1, patch, patch, 4)

    def _main_tint(self, pixels: Tensor) -> Tensor:
        """The tint that most pixels of a picture are close to: float [R, H, W, 3] to int64 [R]."""
        near = [((pixels - tint).abs().amax(-1) < 0.03).sum((1, 2)) for tint in self.tints]
        return torch.stack(near, dim=1).argmax(1)


def tint_features(patches: Tensor, tints: Tensor) -> Tensor:
    """Rows whose squared distance is that of two patches' pixels, averaged over the tints behind them.

    Args:
        patches: float [M, patch, patch, 4], colour times opacity, and opacity.
        tints: float [T, 3].

    Returns:
        float [M, 4*patch*patch]: the pixels on the mean tint, and opacity scaled by how far the tints lie apart.
    """
    mean = tints.mean(0)
    spread = (tints - mean).square().mean(0).sum().sqrt()
    opacity = patches[..., 3:]
    return torch.cat([patches[..., :3] + (1 - opacity) * mean, opacity * spread], -1).flatten(1)


def from_tint_features(features: Tensor, tints: Tensor, patch: int) -> Tensor:
    """Inverse of `tint_features`: float [M, 4*patch*patch] to float [M, 4*patch*patch], colour times opacity and opacity."""
    mean = tints.mean(0)
    spread = (tints - mean).square().mean(0).sum().sqrt()
    values = features.view(-1, patch, patch, 4)
    opacity = values[..., 3:] / spread
    return torch.cat([values[..., :3] - (1 - opacity) * mean, opacity], -1).flatten(1)


def _compose(rgba: Tensor, tint: Tensor) -> Tensor:
    return rgba[..., :3] + (1 - rgba[..., 3:]) * tint


def _nearest(wanted: Tensor, known: Tensor) -> Tensor:
    """Index of the nearest row: float [M, D] and [K, D] to int64 [M]."""
    squares = known.square().sum(1)
    return torch.cat([(squares - 2 * part @ known.T).argmin(1) for part in wanted.split(4096)])
