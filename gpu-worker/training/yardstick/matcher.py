"""Which of the world's drawings stand whole in a picture, and whether anything else is there.

The second half of the strict yardstick. It shares nothing with the detector and needs no training: a picture of this world is
drawings that stand on a lattice of patches before one of four plain backgrounds, and all of them are known.

1. Every drawing in every size and colour, as the quantiser's decoder shows it, is laid on each place and compared coarsely. Of
   those that come near, the best are taken one by one, none on patches that another has taken.
2. What was taken is composed and decoded, and the picture must be that: patch by patch, objects and background alike.

The second step is what decides. Composed as a whole, a scene and its picture differ by nothing, because how a patch looks depends
on its neighbours, and these are the same; the first step, which lays drawings on places alone, has to allow for that.

A picture is taken as pixels, so it may come from anywhere. Letters: R pictures, N places of patches in row-major order, D numbers
of a patch, V drawings of one size, P places of a cell, C patches of a cell.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data.drawing_codes import CodedDrawing, DrawingSet
from training.data.reconstruction import Decoder, exported_decoder, session_decoder
from training.export.graphs.runtime import GraphSession
from training.folders import CONFIGS, WEIGHTS
from training.loop.checkpoint import load_weights
from training.models.quantizer import Quantizer, QuantizerConfig
from training.world.classes import CLASS_INDEX, CLASSES
from training.world.config import WorldConfig
from training.world.spec import Spec, satisfies
from training.world.world import World

_QUANTIZER, _WORLD = WEIGHTS / "quantizer.pt", CONFIGS / "emoji-96.toml"
# Grey levels by which every channel of a background pixel may differ from the tint that it is counted for.
_TINT_TOLERANCE = 8
# Side in pixels of the squares whose mean the first step compares: a quarter of the numbers finds the same drawings.
_COARSE = 2
_PICTURES_AT_ONCE = 32
# A misfit below this is rounding.
_PERFECT = 0.01

# Index of a class, and a colour; all colours, its own included, for None.
_Wanted = tuple[int, str | None]


@dataclass(frozen=True)
class MatchThresholds:
    """When a drawing is tried, and when a patch is as it should be.

    Attributes:
        misfit: up to which a drawing is tried: its root mean square difference from the picture over the patches that it covers,
            as a share, 0..1, of its difference from plain background.
        patch: root mean square difference in grey levels, 0..255, up to which a patch of the picture is what was composed.
    """

    misfit: float = 0.5
    patch: float = 14.0

    def __post_init__(self) -> None:
        for name, limit in (("misfit", 1), ("patch", 255)):
            if not 0 < getattr(self, name) < limit:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0 and below {limit}")


@dataclass(frozen=True)
class PlacedDrawing:
    """A drawing that was found in a picture; a `KnownObject`.

    Attributes:
        drawing: which, in what size and colour.
        corner: x and y of its cell's upper left corner in patches.
        covers: int64 [M], the places in the picture of the patches that it covers.
        misfit: of the first step (`MatchThresholds`), 0 where the picture is the drawing.
    """

    drawing: CodedDrawing
    corner: tuple[int, int]
    covers: np.ndarray
    misfit: float
    patch: int

    @property
    def class_index(self) -> int:
        """Index in `training.world.classes.CLASSES`."""
        return self.drawing.class_index

    @property
    def color(self) -> str | None:
        """One of `COLORS`, or None for the drawing's own colours."""
        return self.drawing.color

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Tight box (x0, y0, x1, y1) of its visible pixels, x1 and y1 exclusive."""
        x, y = (value * self.patch for value in self.corner)
        left, top, right, bottom = self.drawing.box
        return (x + left, y + top, x + right, y + bottom)


@dataclass(frozen=True)
class Reading:
    """What a picture shows.

    Attributes:
        objects: drawings that were found, best fitting first.
        differences: float32 [grid, grid], root mean square difference of each patch from what these would look like, grey levels.
        whole: bool [objects], whether all patches of each are as they should be.
        unexplained: bool [grid, grid], patches that differ.
    """

    objects: tuple[PlacedDrawing, ...]
    differences: np.ndarray
    whole: np.ndarray
    unexplained: np.ndarray

    def holds(self, spec: Spec) -> bool:
        """Whether this is what was asked for and nothing else is there."""
        return not self.unexplained.any() and fulfils(self.objects, spec)


@dataclass(frozen=True)
class Composition:
    """R pictures as they would be, were what was found in them drawn whole.

    Attributes:
        fulfils: bool [R], whether what was found is what was asked for.
        grids: int64 [R, N], codes of the scenes composed of it.
        differences: float32 [R, N], root mean square difference of each patch from these, grey levels; infinite where it does not
            fulfil.
    """

    fulfils: np.ndarray
    grids: np.ndarray
    differences: np.ndarray


def fulfils(objects: Sequence[PlacedDrawing], spec: Spec) -> bool:
    """Whether these objects are what was asked for, and as many."""
    return len(objects) == sum(entry["count"] for entry in spec["include"]) and satisfies(objects, spec)


@dataclass(frozen=True)
class _Templates:
    """V drawings of one class and size on one background, as coarse differences from it.

    Attributes:
        drawings: V of them.
        values: float32 [V, C, D].
        squares: float32 [V, C], mean of the squared values.
        covers: bool [V, C], patches that are not empty.
        windows: int64 [P, C], the place in the picture of each patch of a cell.
    """

    drawings: tuple[CodedDrawing, ...]
    values: np.ndarray
    squares: np.ndarray
    covers: np.ndarray
    windows: np.ndarray


class Matcher:
    """Reads pictures of a world. Templates are made when a class is first asked for on a background."""

    def __init__(self, drawings: DrawingSet, decode: Decoder, thresholds: MatchThresholds | None = None):
        """`decode` shows the codes that the drawings are written in."""
        self._drawings, self._decode = drawings, decode
        self.thresholds = thresholds or MatchThresholds()
        self.patch = drawings.patch
        self._grid = drawings.image_size // drawings.patch
        self._tints = np.asarray(drawings.tints, np.int16)
        self._templates: dict[tuple[_Wanted, int], list[_Templates]] = {}

    def right(self, images: Tensor | np.ndarray, specs: Sequence[Spec]) -> np.ndarray:
        """Whether each picture shows what its spec asks for, every object one whole drawing, and nothing else: bool [R].

        Args:
            images: uint8 [R, H, W, 3], pictures of the world's size.
            specs: R of them.

        Raises:
            ValueError: as `read`.
        """
        return self.accepts(self.compose(images, specs))

    def accepts(self, composition: "Composition") -> np.ndarray:
        """Where R pictures are what was composed of them, and that is what was asked for: bool [R]."""
        return composition.fulfils & (composition.differences.max(1, initial=0) <= self.thresholds.patch)

    def compose(self, images: Tensor | np.ndarray, specs: Sequence[Spec]) -> "Composition":
        """The whole drawings that R pictures come nearest to, of those that their specs ask for.

        Args:
            images: uint8 [R, H, W, 3], pictures of the world's size.
            specs: R of them.

        Raises:
            ValueError: as `read`.
        """
        images = self._checked(images)
        tints = self._tint_of(images)
        found = self._find(images, tints, [_looked_for(spec) for spec in specs])
        held = np.array([fulfils(objects, spec) for objects, spec in zip(found, specs, strict=True)], dtype=bool)
        grids = self._grids(tints, found)
        differences = np.full(grids.shape, np.inf, np.float32)
        # Most wrong pictures are so by their facts; only the others need be compared.
        differences[held] = self._differences(images[held], grids[held])
        return Composition(held, grids, differences)

    def read(self, images: Tensor | np.ndarray, classes: Sequence[Sequence[int]] | None = None) -> list[Reading]:
        """What R pictures show.

        Args:
            images: uint8 [R, H, W, 3].
            classes: for each picture the classes whose drawings are looked for; all of them for None.

        Raises:
            ValueError: the pictures have another size or type, or there are not as many lists of classes.
        """
        images = self._checked(images)
        tints = self._tint_of(images)
        names = [range(len(CLASSES))] * len(images) if classes is None else classes
        found = self._find(images, tints, [[(index, None) for index in of_picture] for of_picture in names])
        differences = self._differences(images, self._grids(tints, found))
        return [self._reading(objects, of_patch) for objects, of_patch in zip(found, differences, strict=True)]

    def _reading(self, objects: tuple[PlacedDrawing, ...], differences: np.ndarray) -> Reading:
        unexplained = differences > self.thresholds.patch
        whole = np.array([not unexplained[known.covers].any() for known in objects], dtype=bool)
        shape = (self._grid, self._grid)
        return Reading(objects, differences.reshape(shape), whole, unexplained.reshape(shape))

    def _checked(self, images: Tensor | np.ndarray) -> np.ndarray:
        images, side = np.asarray(images), self._grid * self.patch
        if images.dtype != np.uint8 or images.shape[1:] != (side, side, 3):
            raise ValueError(f"images must be uint8 [R, {side}, {side}, 3], got {images.dtype} {list(images.shape)}")
        return images

    def _find(
        self, images: np.ndarray, tints: np.ndarray, wanted: Sequence[Sequence[_Wanted]]
    ) -> list[tuple[PlacedDrawing, ...]]:
        """The first step: drawings of what is wanted in R pictures on backgrounds int64 [R]."""
        if len(wanted) != len(images):
            raise ValueError(f"{len(images)} pictures but classes or specs of {len(wanted)}")
        patches = self._coarse(images, tints)
        near: list[list[PlacedDrawing]] = [[] for _ in images]
        rows_of: dict[tuple[_Wanted, int], list[int]] = {}
        for row, of_picture in enumerate(wanted):
            for kind in of_picture:
                rows_of.setdefault((kind, int(tints[row])), []).append(row)
        for (kind, tint), rows in rows_of.items():
            for templates in self._templates_of(kind, tint):
                for start in range(0, len(rows), _PICTURES_AT_ONCE):
                    part = rows[start : start + _PICTURES_AT_ONCE]
                    for row, placed in self._near(patches[part], templates):
                        near[part[row]].append(placed)
        return [self._best(placed) for placed in near]

    def _best(self, near: list[PlacedDrawing]) -> tuple[PlacedDrawing, ...]:
        """Takes the best fitting first, each on patches that none before it has taken."""
        taken, chosen = np.zeros(self._grid**2, bool), []
        for placed in sorted(near, key=_preference):
            if not taken[placed.covers].any():
                taken[placed.covers] = True
                chosen.append(placed)
        return tuple(chosen)

    def _near(self, patches: np.ndarray, templates: _Templates) -> list[tuple[int, PlacedDrawing]]:
        """Drawings of one class and size that come near in pictures float32 [R, N, D], with the picture's index."""
        rows, places, numbers = patches.shape
        shape = templates.covers.shape
        products = patches.reshape(-1, numbers) @ templates.values.reshape(-1, numbers).T
        differences = -2 / numbers * products.reshape(rows, places, *shape) + templates.squares
        differences += np.square(patches).mean(2)[:, :, None, None]
        cells = differences[:, templates.windows, :, np.arange(shape[1])]  # (P, C, R, V)
        cells = np.maximum(cells, 0) * templates.covers.T[:, None]
        contrast = (templates.squares * templates.covers).sum(1)  # (V,)
        misfit = np.sqrt(cells.sum(1) / contrast)  # (P, R, V)
        near = np.nonzero(misfit <= self.thresholds.misfit)
        placed = []
        for place, row, which in zip(*near, strict=True):
            window = templates.windows[place]
            corner = (int(window[0]) % self._grid, int(window[0]) // self._grid)
            covers = window[templates.covers[which]]
            fit = PlacedDrawing(templates.drawings[which], corner, covers, float(misfit[place, row, which]), self.patch)
            placed.append((int(row), fit))
        return placed

    def _grids(self, tints: np.ndarray, found: Sequence[Sequence[PlacedDrawing]]) -> np.ndarray:
        """What was found, composed: int64 [R, N]."""
        grids = np.empty((len(tints), self._grid**2), np.int64)
        for row, objects in enumerate(found):
            grids[row] = self._drawings.plain_code + tints[row]
            for placed in objects:
                grids[row, placed.covers] = placed.drawing.codes[placed.drawing.codes >= 0]
        return grids

    def _differences(self, images: np.ndarray, grids: np.ndarray) -> np.ndarray:
        """The second step: how far each patch is from what was composed, as root mean square of grey levels: float32 [R, N]."""
        differences = np.empty(grids.shape, np.float32)
        for start in range(0, len(images), _PICTURES_AT_ONCE):
            part = slice(start, start + _PICTURES_AT_ONCE)
            shown = self.shown(grids[part]).astype(np.int32)
            differences[part] = np.sqrt(self._cut(np.square(shown - images[part])).mean((2, 3, 4)))
        return differences

    def _templates_of(self, wanted: _Wanted, tint: int) -> list[_Templates]:
        """Templates of what is wanted on a background, one entry for each size."""
        if (wanted, tint) not in self._templates:
            class_index, color = wanted
            known = [drawing for drawing in self._drawings.of_class(class_index) if color in (None, drawing.color)]
            sizes = sorted({drawing.size for drawing in known}, reverse=True)
            self._templates[wanted, tint] = [
                self._alone([drawing for drawing in known if drawing.size == size], tint) for size in sizes
            ]
        return self._templates[wanted, tint]

    def _alone(self, drawings: list[CodedDrawing], tint: int) -> _Templates:
        """What the decoder makes of drawings of one size, each alone in the middle of a picture."""
        plain, side, grid = self._drawings.plain_code + tint, len(drawings[0].codes), self._grid
        middle = slice((grid - side) // 2, (grid - side) // 2 + side)
        grids = np.full((len(drawings), grid, grid), plain, np.int64)
        covers = np.stack([drawing.codes >= 0 for drawing in drawings])
        grids[:, middle, middle] = np.where(covers, np.stack([drawing.codes for drawing in drawings]), plain)
        images = self.shown(grids.reshape(len(drawings), -1))
        patches = self._coarse(images, np.full(len(images), tint)).reshape(len(drawings), grid, grid, -1)
        values = patches[:, middle, middle].reshape(len(drawings), side * side, -1)
        corners = np.arange(grid - side + 1)
        inside = (np.arange(side)[:, None] * grid + np.arange(side)).ravel()
        windows = (corners[:, None] * grid + corners).reshape(-1, 1) + inside
        return _Templates(tuple(drawings), values, np.square(values).mean(2), covers.reshape(len(drawings), -1), windows)

    def shown(self, grids: np.ndarray) -> np.ndarray:
        """Pictures uint8 [B, H, W, 3] of codes int64 [B, N], by the decoder that it compares with."""
        with torch.inference_mode():
            return self._decode(torch.from_numpy(grids)).numpy()

    def _tint_of(self, images: np.ndarray) -> np.ndarray:
        """The background that most pixels of each picture are close to, the first on a tie: int64 [R]."""
        near = [(np.abs(images.astype(np.int16) - tint).max(-1) < _TINT_TOLERANCE).sum((1, 2)) for tint in self._tints]
        return np.stack(near, axis=1).argmax(1)

    def _coarse(self, images: np.ndarray, tints: np.ndarray) -> np.ndarray:
        """Patches at half the resolution as differences from their picture's background: float32 [R, N, D]."""
        values = images.astype(np.float32) - self._tints[tints].astype(np.float32)[:, None, None]
        side = values.shape[1] // _COARSE
        means = values.reshape(-1, side, _COARSE, side, _COARSE, 3).mean((2, 4))
        return np.ascontiguousarray(self._cut(means).reshape(len(images), self._grid**2, -1))

    def _cut(self, values: np.ndarray) -> np.ndarray:
        """[R, S, S, 3] to patches [R, N, S / grid, S / grid, 3]."""
        grid, side = self._grid, values.shape[1] // self._grid
        cut = values.reshape(-1, grid, side, grid, side, 3).transpose(0, 1, 3, 2, 4, 5)
        return cut.reshape(len(values), grid * grid, side, side, 3)


def _preference(placed: PlacedDrawing) -> tuple:
    """Lowest first: the misfit; of those that fit perfectly the drawing that explains more; of these any fixed order.

    A patch of a large drawing can be a small one of another class. Without a rule a picture's reading would hang on the order in
    which drawings were tried, and so on the pictures beside it.
    """
    drawing = placed.drawing
    fixed = (drawing.class_index, drawing.number, drawing.color or "", placed.corner)
    return (max(placed.misfit, _PERFECT), -len(placed.covers), *fixed)


def _looked_for(spec: Spec) -> list[_Wanted]:
    """What could fulfil a spec. Where it asks for a colour, the class in no other need be looked for."""
    return sorted({(CLASS_INDEX[entry["class"]], entry.get("color")) for entry in spec["include"]}, key=str)


def load_matcher(quantizer: Path = _QUANTIZER, config: Path = _WORLD, thresholds: MatchThresholds | None = None) -> Matcher:
    """The matcher of a file of quantiser weights and a world; it decodes through the graph that is served, on one thread.

    A process that is forked later cannot use it: see `exported_decoder`.
    """
    model = load_weights(quantizer, Quantizer, QuantizerConfig)
    drawings = DrawingSet.of_world(World(WorldConfig.from_toml(config)), model)
    return Matcher(drawings, exported_decoder(model), thresholds)


def bundle_matcher(bundle: Path, threads: int = 1) -> Matcher:
    """The matcher that a bundle's files describe; what `npm run geneval` computes is the same.

    Raises:
        ValueError: the bundle has no drawings.
    """
    manifest = json.loads((bundle / "manifest.json").read_text())
    strict = manifest["detector"].get("strict")
    if strict is None:
        raise ValueError(f"{bundle} has no drawings to match: its manifest has no detector.strict")
    decode = session_decoder(GraphSession(bundle / manifest["generator"]["decodeGraph"], threads))
    return Matcher(DrawingSet.read(bundle / strict["drawings"]), decode, MatchThresholds(strict["misfit"], strict["patch"]))
