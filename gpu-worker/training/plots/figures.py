"""Draws the pictures of README.md, and any run's training curves.

python -m training.plots.figures                              (atlas, scenes, and the curves of every run that is here)
python -m training.plots.figures training/runs/generator      (that run's curves)
"""

import argparse
from pathlib import Path

import numpy as np

from training.folders import CONFIGS, FIGURES, RUNS
from training.plots.curves import draw_curves, read_curves
from training.plots.pictures import save_grid
from training.world.atlas import Atlas
from training.world.classes import CLASSES, TASKS
from training.world.config import WorldConfig
from training.world.world import World

_SETS = ("fluent-emoji-flat", "twemoji", "noto", "noto-v1", "fxemoji", "emojione")


def draw_atlas(path: Path) -> None:
    """Every class in every set that draws it, 48 px each, on white."""
    atlas = Atlas(_SETS, ())
    images, captions = [], []
    for class_index, choices in enumerate(atlas.by_class):
        drawn = {sprite.set: sprite for sprite in choices}
        for set_name in _SETS:
            image = np.full((48, 48, 3), 255, dtype=np.uint32)
            if set_name in drawn:
                premultiplied, transparency, _ = atlas.render(drawn[set_name], None, 48)
                image = (premultiplied.astype(np.uint32) + image * transparency + 127) // 255
            images.append(image.astype(np.uint8))
            captions.append(CLASSES[class_index] if set_name == _SETS[0] else "")
    save_grid(path, np.stack(images), columns=24, captions=captions)


def draw_scenes(path: Path, world: World, per_task: int = 8) -> None:
    """Composed scenes with their prompts, one row per task."""
    rng = np.random.default_rng(0)
    scenes, captions = [], []
    for task in TASKS:
        for _ in range(per_task):
            spec = world.sample_spec(rng, task)
            scenes.append(world.compose(rng, spec).image)
            captions.append(world.prompt(rng, spec).removeprefix("a photo of "))
    save_grid(path, np.stack(scenes).repeat(2, axis=1).repeat(2, axis=2), columns=per_task, captions=captions)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws the pictures of README.md, or the curves of given runs.")
    parser.add_argument("runs", type=Path, nargs="*", help="folders of runs: only their curves are drawn, as FOLDER-curve.png")
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder of the pictures (%(default)s)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs = arguments.runs
    if not runs:
        draw_atlas(arguments.out / "atlas.png")
        draw_scenes(arguments.out / "scenes.png", World(WorldConfig.from_toml(CONFIGS / "emoji-96.toml")))
        runs = sorted(log.parent for log in (RUNS).rglob("log.jsonl") if read_curves(log))
    for run in runs:
        draw_curves(run / "log.jsonl", arguments.out / f"{run.resolve().name}-curve.png")
    print(f"figures written to {arguments.out}")


if __name__ == "__main__":
    main()
