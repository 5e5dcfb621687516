"""Training curves: what a run's log says over its minutes, one panel a kind of number, the same look for every stage."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Numbers that every entry has or that say how fast, not how well, the model learns.
_NOT_DRAWN = {"step", "minutes", "examples_per_second"}
# Panels by what they measure, with the label of their vertical axis; a number that is not here gets a panel of its own.
_PANELS = {
    "reconstruction error, -1..1": ("reconstruction", "edges"),
    "code terms": ("commitment", "entropy", "decorrelation"),
    "PSNR, dB": ("object_psnr",),
    "mean error, 0..255": ("object_error",),
    "share of codes in use": ("codes_used",),
    "cross-entropy, nats": ("object", "background"),
    "loss terms": ("heat", "extents", "color"),
    "loss": ("loss", "answers", "now", "final", "words"),
    "share answered right": ("clarity", "potential", "alignment"),
}
_COLUMNS = 3
_SMOOTHED = 40  # points to which a long curve's trend is averaged


def draw_curves(log: Path, path: Path) -> None:
    """Draws a run's log as one PNG.

    Args:
        log: `log.jsonl` of any stage's run.
        path: PNG to write; its folder must exist.

    Raises:
        FileNotFoundError: there is no such log.
        ValueError: the log has no numbers to draw yet.
    """
    curves = read_curves(log)
    panels = _panels_of(list(curves))
    if not panels:
        raise ValueError(f"{log} has no numbers to draw yet; a run writes them every few dozen steps")
    rows = -(-len(panels) // _COLUMNS)
    columns = min(len(panels), _COLUMNS)
    figure, grid = plt.subplots(rows, columns, figsize=(4 * columns, 2.8 * rows), squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (unit, names) in zip(grid.flat, panels.items(), strict=False):
        _draw_panel(axes, unit, {name: curves[name] for name in names})
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def read_curves(log: Path) -> dict[str, list[tuple[float, float]]]:
    """(minutes of training, value) of every number in a log, in the order in which names first appear.

    What a resumed run did again, and what an earlier run left in the same file, is taken from its last doing.
    """
    entries: list[dict] = []
    for entry in map(json.loads, log.read_text().splitlines()):
        if "start" in entry:
            entries = [earlier for earlier in entries if earlier["step"] <= entry["start"] > 0]
        elif "minutes" in entry:
            entries.append(entry)
    curves: dict[str, list[tuple[float, float]]] = {}
    for entry in entries:
        for name, value in entry.items():
            if name not in _NOT_DRAWN:
                curves.setdefault(name, []).append((entry["minutes"], value))
    return curves


def _panels_of(names: list[str]) -> dict[str, list[str]]:
    panels = {unit: [name for name in members if name in names] for unit, members in _PANELS.items()}
    placed = {name for members in panels.values() for name in members}
    panels |= {name.replace("_", " "): [name] for name in names if name not in placed}
    return {unit: members for unit, members in panels.items() if members}


def _draw_panel(axes: Axes, unit: str, curves: dict[str, list[tuple[float, float]]]) -> None:
    for name, points in curves.items():
        noisy = len(points) > 2 * _SMOOTHED
        (line,) = axes.plot(*zip(*points, strict=True), linewidth=0.6 if noisy else 1.4, alpha=0.3 if noisy else 1.0)
        axes.plot(*zip(*_trend(points), strict=True), color=line.get_color(), linewidth=1.4, label=name.replace("_", " "))
    axes.set_xlabel("minutes of training")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _trend(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbouring points where there are many, the points themselves where there are few."""
    size = max(1, len(points) // _SMOOTHED)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [tuple(sum(values) / len(values) for values in zip(*group, strict=True)) for group in groups]
