"""Settings of a world, read from a TOML file's `[world]` table."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from training.world.classes import TASKS


@dataclass(frozen=True)
class WorldConfig:
    """What scenes look like and how often each task is drawn.

    Attributes:
        sets: emoji sets whose drawings are used, in order of preference.
        fallback_sets: used only for a class that none of `sets` draws.
        image_size: side of a scene in pixels.
        lattice: objects' cells start at multiples of this many pixels.
        object_sizes: cell side in pixels for scenes of 1, 2, 3 and 4 objects; multiples of `lattice` keep a drawing
            in phase with the quantiser's patches.
        smaller_rate: share of scenes without a prescribed colour, 0..1, whose objects take the size of a scene with one more
            object, so that an object whose count is held out has been seen at that count's size.
        backgrounds: RGB tints, 0..255, one of which fills a scene.
        task_weights: relative frequency of each task in `TASKS` order.
        paraphrase_rate: share of prompts, 0..1, that do not use GenEval's own template.
        free_color_rate: share of objects without a prescribed colour, 0..1, that are recoloured all the same.
    """

    sets: tuple[str, ...] = ("fluent-emoji-flat", "twemoji")
    fallback_sets: tuple[str, ...] = ("noto", "noto-v1", "fxemoji", "emojione")
    image_size: int = 96
    lattice: int = 12
    object_sizes: tuple[int, ...] = (72, 48, 36, 36)
    smaller_rate: float = 0.0
    backgrounds: tuple[tuple[int, int, int], ...] = ((176, 198, 218), (222, 204, 172), (178, 204, 178), (208, 186, 208))
    task_weights: tuple[float, ...] = (0.30, 0.12, 0.12, 0.22, 0.12, 0.12)
    paraphrase_rate: float = 0.3
    free_color_rate: float = 0.0

    def __post_init__(self) -> None:
        if len(self.task_weights) != len(TASKS):
            raise ValueError(f"task_weights needs {len(TASKS)} numbers in the order {TASKS}, got {self.task_weights}")
        for size in self.object_sizes:
            if not 0 < size <= self.image_size:
                raise ValueError(f"object size {size} does not fit an image of {self.image_size} px")
        if self.lattice < 1:
            raise ValueError(f"lattice must be at least 1 px, got {self.lattice}")

    @property
    def colored_sizes(self) -> tuple[int, ...]:
        """Sizes at which objects of a prescribed colour stand, px: GenEval asks for one or two of them."""
        return self.object_sizes[:2]

    @classmethod
    def from_toml(cls, path: Path) -> "WorldConfig":
        """Reads the `[world]` table of a TOML file.

        Raises:
            ValueError: a key is unknown or a value is out of range; the message names it.
        """
        table = tomllib.loads(Path(path).read_text())["world"]
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(table) - known)
        if unknown:
            raise ValueError(f"{path}: unknown keys {unknown} in [world]; known are {sorted(known)}")
        return cls(**{key: _freeze(value) for key, value in table.items()})


def _freeze(value: object) -> object:
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value
