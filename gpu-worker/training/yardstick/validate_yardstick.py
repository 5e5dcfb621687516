"""Holds the yardstick against pictures that people looked at: `python -m training.yardstick.validate_yardstick`.

`evaluation/by-eye` has unselected pictures of the generator, as codes and as they were shown, and labels that were given blind,
by looking at each picture enlarged. Prints how often each instrument, both together and GenEval's rules agree with the labels,
per task with Wilson intervals, and as its last line one JSON object. Pictures that thresholds were chosen by are told apart.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from training.folders import CONFIGS, EVALUATION, WEIGHTS
from training.world.classes import TASKS
from training.world.spec import Spec
from training.yardstick.intervals import wilson_interval
from training.yardstick.matcher import Matcher
from training.yardstick.strict_yardstick import StrictYardstick, Verdicts, bundle_yardstick, load_yardstick

_BY_EYE = EVALUATION / "by-eye"
_JUDGES = ("strict", "detector", "matcher", "geneval")
_ROWS = 64


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures with what people said of them.

    Attributes:
        specs: of each picture.
        right: bool [R], the label.
        sure: bool [R], whether the label was clear; false where those who looked did not agree at first.
        codes: int64 [R, N].
        shown: uint8 [R, H, W, 3], the pictures as they were looked at.
        tuning: bool [R], pictures that thresholds were chosen by.
    """

    specs: Sequence[Spec]
    right: np.ndarray
    sure: np.ndarray
    codes: np.ndarray
    shown: np.ndarray
    tuning: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> "LabelledPictures":
        """Reads `labels.jsonl`, one picture a line (`spec`, `right`, `sure`, `tuning`), `codes.npy` and `pictures.png`.

        Raises:
            ValueError: they do not have the same number of pictures.
        """
        labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
        codes = np.load(folder / "codes.npy").astype(np.int64)
        sheet = np.asarray(Image.open(folder / "pictures.png").convert("RGB"))
        if len(codes) != len(labels):
            raise ValueError(f"{folder} has {len(labels)} labels and codes of {len(codes)} pictures")
        shown = cut_sheet(sheet, len(labels))
        told = {name: np.array([label[name] for label in labels], bool) for name in ("right", "sure", "tuning")}
        return cls([label["spec"] for label in labels], told["right"], told["sure"], codes, shown, told["tuning"])


def cut_sheet(sheet: np.ndarray, count: int) -> np.ndarray:
    """The first pictures of a square sheet, row by row: uint8 [S, S, 3] to [count, H, W, 3].

    Raises:
        ValueError: the sheet is not square.
    """
    if sheet.shape[0] != sheet.shape[1]:
        raise ValueError(f"a sheet of pictures must be square, got {sheet.shape[1]} x {sheet.shape[0]}")
    columns = int(np.ceil(count**0.5))
    side = len(sheet) // columns
    cut = sheet.reshape(columns, side, columns, side, 3).transpose(0, 2, 1, 3, 4).reshape(-1, side, side, 3)
    return cut[:count]


def agreement(verdicts: Verdicts, pictures: LabelledPictures, chosen: np.ndarray) -> dict[str, dict[str, dict]]:
    """By judge and task: how often the verdict is the label, among chosen pictures, bool [R].

    Returns:
        By judge, then by task and `all`: `{"pictures", "agree", "share", "interval95", "acceptedWrong", "refusedRight"}`.
    """
    tags = np.array([spec["tag"] for spec in pictures.specs])
    said = dict(zip(_JUDGES, (verdicts.right, verdicts.detector, verdicts.matcher, verdicts.geneval), strict=True))
    return {
        judge: {
            task: _counted(says[rows], pictures.right[rows])
            for task in (*TASKS, "all")
            if (rows := chosen & ((tags == task) | (task == "all"))).any()
        }
        for judge, says in said.items()
    }


def agreement_table(agreements: dict[str, dict[str, dict]]) -> str:
    """One line for each task, two columns for each judge: agreement, and mistakes of either kind."""
    heads = [head for judge in agreements for head in (judge, "accepted wrong / refused right")]
    lines = [f"| task | pictures | {' | '.join(heads)} |", "|---" * (2 + len(heads)) + "|"]
    for task, first in agreements[_JUDGES[0]].items():
        cells = [task, str(first["pictures"])]
        for of_task in agreements.values():
            found = of_task[task]
            low, high = found["interval95"]
            cells += [f"{found['share']:.3f} ({low:.3f}-{high:.3f})", f"{found['acceptedWrong']} / {found['refusedRight']}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _counted(said: np.ndarray, right: np.ndarray) -> dict:
    agree = int((said == right).sum())
    return {
        "pictures": len(right),
        "right": int(right.sum()),
        "agree": agree,
        "share": round(agree / len(right), 4),
        "interval95": [round(edge, 4) for edge in wilson_interval(agree, len(right))],
        "acceptedWrong": int((said & ~right).sum()),
        "refusedRight": int((~said & right).sum()),
    }


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    pictures = LabelledPictures.read(arguments.pictures)
    yardstick = _yardstick(arguments)
    images = _decoded(yardstick.matcher, pictures.codes)
    # Labels say what people saw. Where the decoder is another one by now they hold as far as it shows the same.
    moved = float(np.abs(images.astype(np.int16) - pictures.shown).mean())
    print(
        f"{len(images)} pictures, {pictures.right.mean():.3f} of them right to the eye; what the decoder shows differs from what"
    )
    print(f"was looked at by {moved:.2f} grey levels in the mean.")
    verdicts = yardstick.judge(images, pictures.specs)
    views = {"all": np.ones(len(images), bool), "sure": pictures.sure}
    if pictures.tuning.any():
        views |= {"not tuned on": ~pictures.tuning}
    found = {view: agreement(verdicts, pictures, chosen) for view, chosen in views.items()}
    for view, of_view in found.items():
        print(f"\n{view}:\n\n{agreement_table(of_view)}")
    apart = float(verdicts.disagree.mean())
    print(f"\nThe two strict instruments disagree on {apart:.3f} of the pictures.")
    print(json.dumps({**found, "disagreement": round(apart, 4), "moved": round(moved, 3)}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=_BY_EYE, help="folder of pictures and labels (%(default)s)")
    parser.add_argument("--detector", type=Path, default=WEIGHTS / "detector.pt")
    parser.add_argument("--faults", type=Path, default=WEIGHTS / "faults.pt")
    parser.add_argument("--quantizer", type=Path, default=WEIGHTS / "quantizer.pt")
    parser.add_argument("--config", type=Path, default=CONFIGS / "emoji-96.toml", help="the world, for its drawings")
    parser.add_argument("--settings", type=Path, default=CONFIGS / "bundle.toml", help="thresholds")
    parser.add_argument("--bundle", type=Path, help="use this bundle's graphs and drawings instead of the weights")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _yardstick(arguments: argparse.Namespace) -> StrictYardstick:
    if arguments.bundle:
        return bundle_yardstick(arguments.bundle, arguments.threads)
    return load_yardstick(
        arguments.detector, arguments.faults, arguments.quantizer, arguments.config, arguments.settings, arguments.threads
    )


def _decoded(matcher: Matcher, codes: np.ndarray) -> np.ndarray:
    return np.concatenate([matcher.shown(codes[start : start + _ROWS]) for start in range(0, len(codes), _ROWS)])


if __name__ == "__main__":
    main()
