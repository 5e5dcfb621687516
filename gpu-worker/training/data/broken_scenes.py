"""Scenes with faults, made in the codes: what is wrong, and where.

Each fault is something that the generator does: patches of another drawing or colour, halves joined, a part left out, doubled or
shifted, two drawings in one place, strays on the background. Letters: `k` patches are the side of a drawing's cell.
"""

from collections.abc import Callable

import numpy as np

from training.data.scene_codes import Drawing, SceneCodes
from training.world.classes import CLASSES, COLORABLE, COLORS
from training.world.scene import SceneObject
from training.world.spec import Spec
from training.world.world import World

_EMPTY = -1
_MOST_PATCHES = 6
_MOST_STRAYS = 3


class BrokenScenes:
    """Puts one to three faults into composed scenes."""

    def __init__(self, world: World, codes: SceneCodes):
        self._world, self._codes = world, codes
        self._patch = world.config.lattice
        self._grid = world.config.image_size // world.config.lattice
        self._sprites = [sprite for of_class in world.atlas.by_class for sprite in of_class]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the faults."""
        return tuple(self._faults())

    def broken(self, rng: np.random.Generator, kind: str | None = None) -> tuple[np.ndarray, np.ndarray, Spec]:
        """A scene with faults.

        Args:
            rng: source of randomness.
            kind: of the one fault; up to three of any kind for None.

        Returns:
            (codes with the faults, codes as composed, spec of the latter): int64 [grid, grid] each. Where two patches look alike
            they show the same.
        """
        spec = self._world.sample_spec(rng)
        objects, background = self._world.arrange(rng, spec)
        plain = self._codes.plain(background)
        composed = self._codes.grid(objects, background)
        codes = np.where(composed == plain, _EMPTY, composed)
        faults = self._faults()
        names = [kind] if kind else list(rng.choice(self.kinds, size=rng.choice((1, 2, 3), p=(0.7, 0.2, 0.1))))
        for name in names:
            faults[name](rng, codes, objects[int(rng.integers(len(objects)))])
        return np.where(codes == _EMPTY, plain, codes), composed, spec

    def _faults(self) -> dict[str, Callable[[np.random.Generator, np.ndarray, SceneObject], None]]:
        return {
            "patches": self._patches, "halves": self._halves, "missing": self._missing, "doubled": self._doubled,
            "shifted": self._shifted, "fused": self._fused, "strays": self._strays,
        }  # fmt: skip

    def _patches(self, rng: np.random.Generator, codes: np.ndarray, known: SceneObject) -> None:
        """A few patches of another drawing, colour, size or place."""
        rows, columns = self._cell(known)
        block, other = codes[rows, columns], self._other(rng, known)
        where = self._some(rng, block.shape, _MOST_PATCHES)
        block[where] = other[where]

    def _halves(self, rng: np.random.Generator, codes: np.ndarray, known: SceneObject) -> None:
        """One side of another drawing, or of nothing."""
        rows, columns = self._cell(known)
        block = codes[rows, columns]
        other = np.full_like(block, _EMPTY) if rng.random() < 0.3 else self._other(rng, known)
        side = self._side(rng, len(block))
        block[side] = other[side]

    def _missing(self, rng: np.random.Generator, codes: np.ndarray, known: SceneObject) -> None:
        """A few patches left empty."""
        rows, columns = self._cell(known)
        block = codes[rows, columns]
        block[self._some(rng, block.shape, _MOST_PATCHES) & (block != _EMPTY)] = _EMPTY

    def _doubled(self, rng: np.random.Generator, codes: np.ndarray, known: SceneObject) -> None:
        """A part of the drawing again beside itself, on background or over it."""
        block = self._block(known)
        part = np.full_like(block, _EMPTY)
        side = self._side(rng, len(block))
        part[side] = block[side]
        rows, columns = self._cell(known)
        step = int(rng.integers(1, 3))
        down, right = ((0, step), (0, -step), (step, 0), (-step, 0), (step, step), (-step, step))[int(rng.integers(6))]
        self._lay(codes, part, rows.start + down, columns.start + right, over=rng.random() < 0.5)

    def _shifted(self, rng: np.random.Generator, codes: np.ndarray, known: SceneObject) -> None:
        """One side of the drawing a patch away from where it belongs."""
        rows, columns = self._cell(known)
        block = codes[rows, columns]
        side = self._side(rng, len(block))
        axis, step = int(rng.integers(2)), int(rng.choice((-1, 1)))
        block[side] = np.roll(block, step, axis)[side]

    def _fused(self, rng: np.random.Generator, codes: np.ndarray, known: SceneObject) -> None:
        """A second drawing into the first, or over a part of it."""
        rows, columns = self._cell(known)
        other = self._other(rng, known)
        if rng.random() < 0.5:
            block = codes[rows, columns]
            chosen = rng.random(block.shape) < rng.uniform(0.3, 0.7)
            block[chosen] = other[chosen]
            return
        reach = max(len(other) - 1, 1)
        down, right = (int(value) for value in rng.integers(-reach, reach + 1, size=2))
        self._lay(codes, other, rows.start + down, columns.start + right, over=rng.random() < 0.5)

    def _strays(self, rng: np.random.Generator, codes: np.ndarray, known: SceneObject) -> None:
        """Patches of drawings on the background."""
        empty = np.argwhere(codes == _EMPTY)
        if not len(empty):
            return
        other = self._other(rng, known) if rng.random() < 0.5 else self._drawn(rng, self._any(rng), known)
        shown = other[other != _EMPTY]
        for row, column in empty[rng.integers(len(empty), size=int(rng.integers(1, _MOST_STRAYS + 1)))]:
            codes[row, column] = shown[int(rng.integers(len(shown)))]

    def _other(self, rng: np.random.Generator, known: SceneObject) -> np.ndarray:
        """Another drawing in the size of one: of its class, in another colour, larger or smaller, a patch away, or any."""
        kind = rng.random()
        if kind < 0.35:
            of_class = self._world.atlas.by_class[known.class_index]
            return self._drawn(rng, of_class[int(rng.integers(len(of_class)))], known)
        if kind < 0.5:
            block = self._block(known, color=self._color(rng, known))
            return block if (block != self._block(known)).any() else self._drawn(rng, self._any(rng), known)
        if kind < 0.65:
            return np.roll(self._block(known), int(rng.choice((-1, 1))), int(rng.integers(2)))
        if kind < 0.8:
            return self._resized(rng, known)
        return self._drawn(rng, self._any(rng), known)

    def _resized(self, rng: np.random.Generator, known: SceneObject) -> np.ndarray:
        """The drawing in another size, at about the same place of its cell."""
        side = self._side_of(known)
        sizes = [size for size in sorted(set(self._world.config.object_sizes)) if size // self._patch != side]
        block = self._block(known, size=int(rng.choice(sizes)))
        place = np.arange(side) * len(block) // side
        return block[np.ix_(place, place)]

    def _drawn(self, rng: np.random.Generator, sprite, known: SceneObject) -> np.ndarray:
        """A drawing in the size of another and mostly in its colour."""
        color = known.color if rng.random() < 0.7 else str(rng.choice(COLORS))
        if CLASSES[sprite.class_index] not in COLORABLE or (known.color is None and rng.random() < 0.9):
            color = None
        return self._codes.block(Drawing(sprite.index, color, self._side_of(known) * self._patch))

    def _block(self, known: SceneObject, color: str | None = "", size: int | None = None) -> np.ndarray:
        drawn = known.color if color == "" else color
        return self._codes.block(Drawing(known.sprite, drawn, size or self._side_of(known) * self._patch))

    def _color(self, rng: np.random.Generator, known: SceneObject) -> str | None:
        return str(rng.choice(COLORS)) if CLASSES[known.class_index] in COLORABLE else None

    def _any(self, rng: np.random.Generator):
        return self._sprites[int(rng.integers(len(self._sprites)))]

    def _side_of(self, known: SceneObject) -> int:
        return (known.cell[2] - known.cell[0]) // self._patch

    def _cell(self, known: SceneObject) -> tuple[slice, slice]:
        """Rows and columns of the grid that its cell takes."""
        x0, y0, x1, y1 = (value // self._patch for value in known.cell)
        return slice(y0, y1), slice(x0, x1)

    def _some(self, rng: np.random.Generator, shape: tuple[int, int], most: int) -> np.ndarray:
        """bool [k, k]: one to `most` patches, often one beside the other."""
        chosen = np.zeros(shape, bool)
        row, column = (int(value) for value in rng.integers(shape[0], size=2))
        for _ in range(int(rng.integers(1, most + 1))):
            chosen[row, column] = True
            if rng.random() < 0.5:
                row, column = (int(value) for value in rng.integers(shape[0], size=2))
            else:
                row, column = (int(np.clip(value + rng.integers(-1, 2), 0, shape[0] - 1)) for value in (row, column))
        return chosen

    def _side(self, rng: np.random.Generator, side: int) -> tuple[slice, slice]:
        """The patches of a cell on one side of a line through it."""
        line, everything = int(rng.integers(1, max(side, 2))), slice(None)
        part = slice(line, None) if rng.random() < 0.5 else slice(0, line)
        return (part, everything) if rng.random() < 0.5 else (everything, part)

    def _lay(self, codes: np.ndarray, block: np.ndarray, row: int, column: int, *, over: bool) -> None:
        """Lays a drawing on the grid, cut at its edges: over what is there, or beneath it."""
        for down, right in np.argwhere(block != _EMPTY):
            y, x = row + down, column + right
            if 0 <= y < self._grid and 0 <= x < self._grid and (over or codes[y, x] == _EMPTY):
                codes[y, x] = block[down, right]
