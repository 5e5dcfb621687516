"""Draws the pictures of README.md: `python -m training.figures`.

Atlas sheet and scenes come from the world; curves come from the logs of the runs that are there.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from training.pictures import save_grid
from training.world.atlas import Atlas
from training.world.classes import CLASSES, TASKS
from training.world.config import WorldConfig
from training.world.world import World

_DIRECTORY = Path(__file__).parent
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


def draw_curve(path: Path, log: Path, names: dict[str, str], unit: str) -> None:
    """Named columns of a run's log over minutes of training.

    Args:
        path: PNG to write.
        log: `log.jsonl` of a run.
        names: log key to label.
        unit: label of the vertical axis.
    """
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    figure, axes = plt.subplots(figsize=(6, 3.2))
    for key, label in names.items():
        points = [(entry["minutes"], entry[key]) for entry in entries if key in entry]
        axes.plot(*zip(*points, strict=True), label=label)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws the pictures of README.md.")
    parser.add_argument("--out", type=Path, default=_DIRECTORY / "figures")
    parser.add_argument("--runs", type=Path, default=_DIRECTORY / "runs")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    draw_atlas(args.out / "atlas.png")
    draw_scenes(args.out / "scenes.png", World(WorldConfig.from_toml(_DIRECTORY / "configs/emoji-96.toml")))
    quantizer, generator = args.runs / "quantizer/log.jsonl", args.runs / "generator/log.jsonl"
    if quantizer.exists():
        draw_curve(args.out / "quantizer-curve.png", quantizer, {"object_psnr": "object pixels, held out"}, "PSNR, dB")
    if generator.exists():
        labels = {"object": "object tokens", "background": "background tokens"}
        draw_curve(args.out / "generator-curve.png", generator, labels, "cross-entropy, nats")
    print(f"figures written to {args.out}")


if __name__ == "__main__":
    main()
