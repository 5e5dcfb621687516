"""Quantiser: a picture becomes a grid of codes and back.

A code names a patch of a drawing: colour and opacity, but not the tint behind it. Plain background has one code per tint,
and a picture's tint is the one that most of its plain patches name. So a drawing has the same codes on every tint and
wherever it stands, and the generator has one thing to learn where it would otherwise have had four.

Codes are the centroids of a weighted k-means over the world's drawings (`training.stages.codebook`). A drawing in one of the ten
colours has, patch by patch, the same tones in each of them: its codes differ from those in another colour by a constant. So
what a generator learns of a drawing in one colour it knows in all, and so does the decoder, which makes tones and lets
a linear map of each colour (`training.world.recolor.palette`) make pixels of them. The decoder starts from the
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
    components: int = 384
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
    def patches(self) -> int:
        """Patches that codes show, tones once for all colours."""
        return self.own_codes + self.tones

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
        # Zero weights grow in a few of Muon's steps, whose length does not depend on the gradient's; a zero gain could grow by
        # Adam's rate a step at most.
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(F.silu(self.widen(F.silu(x))))


class Quantizer(nn.Module):
    """Codebook and decoder."""

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        self.config = config
        base, fine = config.decoder_width, config.detail_width
        upscale = config.patch // DETAIL
        # What `training.stages.codebook` found: centroids as principal components, the components, and the mean patch.
        self.register_buffer("centroids", torch.zeros(config.patches, config.components))
        self.register_buffer("basis", torch.zeros(config.components, config.patch_values))
        self.register_buffer("mean_patch", torch.zeros(config.patch_values))
        # What a colour makes of a patch's four layers. Own colours are left as they are, and of plain patches nothing is left.
        identity, nothing = torch.eye(4)[None], torch.zeros(1, 4, 4)
        self.register_buffer("palette", torch.cat([identity, identity.expand(config.colors, 4, 4), nothing]))
        self.table = nn.Embedding(config.patches + 1, config.components)  # the last row is the plain patch
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
        self.register_buffer("_patch_of", self.patch_of_code(), persistent=False)
        self.register_buffer("_color_of", self.color_of_code(), persistent=False)

    @torch.no_grad()
    def set_palette(self, palette: Tensor) -> None:
        """Takes what each colour makes of tone layers: float [colors, 4, 4] of `training.world.recolor.palette`."""
        self.palette[1:-1] = palette

    @torch.no_grad()
    def set_codebook(self, centroids: Tensor, basis: Tensor, mean_patch: Tensor) -> None:
        """Takes the codes of `training.stages.codebook`; the decoder starts from their pixels.

        Args:
            centroids: float [A + S, components].
            basis: float [components, 4*patch*patch]: a patch is `mean_patch` plus centroid times basis.
            mean_patch: float [4*patch*patch].
        """
        self.centroids.copy_(centroids)
        self.basis.copy_(basis)
        self.mean_patch.copy_(mean_patch)
        self.table.weight[:-1] = centroids
        self.table.weight[-1] = -mean_patch @ basis.T

    def patch_of_code(self) -> Tensor:
        """The row of `table` that each code shows, before it is coloured: int64 [codebook_size]."""
        config, code = self.config, torch.arange(self.config.codebook_size)
        tone = config.own_codes + (code - config.own_codes) % config.tones
        return torch.where(code < config.own_codes, code, torch.where(code < config.drawing_codes, tone, config.patches))

    def color_of_code(self) -> Tensor:
        """The matrix of `palette` that colours each code: int64 [codebook_size], 0 for own colours, colors + 1 for plain."""
        config, code = self.config, torch.arange(self.config.codebook_size)
        color = 1 + (code - config.own_codes) // config.tones
        return torch.where(code < config.own_codes, 0, torch.where(code < config.drawing_codes, color, config.colors + 1))

    @torch.no_grad()
    def code_features(self, count: int) -> Tensor:
        """What each code shows, for models that learn from codes: float [codebook_size, count].

        The first principal components of its pixels, scaled together so that the first one has unit deviation.
        """
        shown = tint_features(self.centroid_patches(), self.tints)  # (K, 4*patch^2)
        mean = shown.mean(0)
        directions = torch.linalg.eigh((shown - mean).T @ (shown - mean)).eigenvectors.flip(1)[:, :count]
        plain = tint_features(torch.zeros(1, self.config.patch, self.config.patch, 4), self.tints)
        components = torch.cat([shown, plain.expand(len(self.tints), -1)]) - mean
        return (components @ directions) / ((shown - mean) @ directions[:, 0]).std()

    def code_groups(self) -> Tensor:
        """What codes have in common, for models that learn from codes: int64 [2, codebook_size], 0..`code_groups`-1.

        First the tone or that there is none, then the colour or that there is none; no number means both.
        """
        config = self.config
        tone = (self.patch_of_code() - config.own_codes + 1).clamp(min=0)
        color = self.color_of_code()
        is_colored = (color > 0) & (color <= config.colors)
        return torch.stack([tone * is_colored, config.tones + 1 + color * is_colored])

    def own_features(self, patches: Tensor) -> Tensor:
        """Rows whose squared distance is that of pixels averaged over the tints: float [M, patch, patch, 4] to [M, D]."""
        return tint_features(patches, self.tints)

    def tone_features(self, patches: Tensor) -> Tensor:
        """Rows whose squared distance is that of pixels averaged over tints and summed over colours.

        Args:
            patches: float [M, patch, patch, 4], `training.world.recolor.tone_layers`.

        Returns:
            float [M, colors * 4 * patch * patch].
        """
        colored = torch.einsum("cij,mhwj->mchwi", self.palette[1:-1], patches)
        return tint_features(colored.flatten(0, 1), self.tints).view(len(patches), -1)

    def known_features(self) -> tuple[Tensor, Tensor]:
        """`own_features` of the codes for own colours, [A, D], and `tone_features` of the tones, [S, colors * D]."""
        shown = self._row_patches()
        return self.own_features(shown[: self.config.own_codes]), self.tone_features(shown[self.config.own_codes :])

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
            found = nearest(patches[rows].flatten(0, 1), known)
            found[found == self.config.drawing_codes] += tint
            codes[rows] = found.view(len(rows), -1)
        return codes

    def decode_layers(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """What stands in front of the background: colour times opacity, float [R, 3, H, W], and opacity, [R, 1, H, W].

        Both about 0..1, and exactly 0 in plain patches.
        """
        return self._layers(self.table(self._patch_of[ids]), self.palette[self._color_of[ids]])

    def relaxed_pixels(self, ids: Tensor, places: Tensor, probability: Tensor) -> Tensor:
        """Pictures that are those of `decode_pixels` and whose gradient reaches the probabilities of codes ("straight-through").

        Args:
            ids: int64 [R, N], the codes that are shown.
            places: int64 [K] in the flattened [R * N], where the code was drawn.
            probability: float [K, codebook_size], of what; its gradient is that of the expected patch and colour.

        Returns:
            float [R, 3, H, W], about 0..1, on the tints that the codes name.

        Source: Bengio et al., arXiv 1308.3432; over codes as in Soft-Di[M]O, arXiv 2509.22925.
        """
        free = probability - probability.detach()
        shape = (*ids.shape, -1)
        vectors = self.table(self._patch_of[ids]).flatten(0, 1)
        vectors = vectors.index_add(0, places, free @ self.table.weight[self._patch_of])
        palette = self.palette[self._color_of[ids]].flatten(0, 1).flatten(1)
        palette = palette.index_add(0, places, free @ self.palette[self._color_of].flatten(1))
        color, opacity = self._layers(vectors.view(shape), palette.view(*ids.shape, 4, 4))
        return color + (1 - opacity) * self.tints[self.tint_of(ids)][:, :, None, None]

    def _layers(self, vectors: Tensor, palette: Tensor) -> tuple[Tensor, Tensor]:
        """As `decode_layers`, of vectors float [R, N, components] and matrices float [R, N, 4, 4]."""
        grid, patch = self.config.grid, self.config.patch
        own = (vectors @ self.basis + self.mean_patch).unflatten(2, (patch**2, 4)).transpose(2, 3)  # (R, N, 4, patch^2)
        spatial = vectors.view(-1, grid, grid, self.config.components).permute(0, 3, 1, 2)
        learned = self.decoder(spatial).view(-1, 4, grid, patch, grid, patch)
        layers = own + learned.permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(1, 2)
        shown = palette.to(layers.dtype) @ layers  # (R, N, 4, patch^2)
        shown = shown.view(-1, grid, grid, 4, patch, patch).permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)  # (R, 4, H, W)
        return shown[:, :3], shown[:, 3:]

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
        drawing = slice(self.config.drawing_codes)
        shown, matrices = self._row_patches()[self._patch_of[drawing]], self.palette[self._color_of[drawing]]
        return torch.einsum("kij,khwj->khwi", matrices, shown)

    def _row_patches(self) -> Tensor:
        """The four layers of all patches, tones without a colour: float [A + S, patch, patch, 4]."""
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


def _compose(rgba: Tensor, tint: Tensor) -> Tensor:
    return rgba[..., :3] + (1 - rgba[..., 3:]) * tint


def nearest(wanted: Tensor, known: Tensor) -> Tensor:
    """Index of the nearest row: float [M, D] and [K, D] to int64 [M]."""
    squares = known.square().sum(1)
    return torch.cat([(squares - 2 * part @ known.T).argmin(1) for part in wanted.split(4096)])
