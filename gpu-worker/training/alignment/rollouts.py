"""Pictures of a generator with their paths and their strict verdicts, on disk and in memory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from training.world.spec import Spec

_ARRAYS = ("prompt_ids", "tokens", "codes", "composed", "right", "geneval", "fulfils")


@dataclass(frozen=True)
class Rollouts:
    """n pictures that a generator drew, each with the path that led to it.

    Attributes:
        source: identifies the weights and settings that made them (`training.sampling.ranking_data.source_of`).
        specs: what was asked, n GenEval metadata dicts with `prompt`; pictures of one prompt follow each other.
        shown: what the yardstick found in each, in a word (`yardstick.strict_yardstick.Verdicts.faults`).
        prompt_ids: uint8 [n, L], the prompt in the words and style that it was drawn for.
        tokens: uint16 [n, S, N], the tokens before each step, corrections included; the codebook size where masked.
        codes: uint16 [n, N], the picture.
        composed: uint16 [n, N], the scene of whole drawings that the picture comes nearest to; its own codes where it is right.
        right: bool [n], the strict verdict.
        geneval: bool [n], the verdict by GenEval's rules alone.
        fulfils: bool [n], whether `composed` is what was asked for.
    """

    source: str
    specs: list[Spec]
    shown: list[str]
    prompt_ids: np.ndarray
    tokens: np.ndarray
    codes: np.ndarray
    composed: np.ndarray
    right: np.ndarray
    geneval: np.ndarray
    fulfils: np.ndarray

    def __len__(self) -> int:
        return len(self.specs)

    @cached_property
    def groups(self) -> list[np.ndarray]:
        """Rows of each prompt, in the order in which prompts first appear."""
        rows: dict[str, list[int]] = {}
        for row, spec in enumerate(self.specs):
            rows.setdefault(spec["prompt"], []).append(row)
        return [np.array(of_prompt) for of_prompt in rows.values()]

    @cached_property
    def success(self) -> np.ndarray:
        """Share of its prompt's pictures that are right, of each row: float64 [n], 0..1."""
        shares = np.empty(len(self))
        for rows in self.groups:
            shares[rows] = self.right[rows].mean()
        return shares

    @classmethod
    def joined(cls, parts: Sequence["Rollouts"]) -> "Rollouts":
        """All of several.

        Raises:
            ValueError: there are none, or other weights or settings made some of them.
        """
        if len({part.source for part in parts}) != 1:
            raise ValueError(f"rollouts of {len({part.source for part in parts})} generators cannot be joined; keep those of one")
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS)
        specs, shown = ([value for part in parts for value in getattr(part, name)] for name in ("specs", "shown"))
        return cls(parts[0].source, specs, shown, *arrays)

    def write(self, path: Path) -> None:
        """Writes them so that a killed process leaves whole files only."""
        meta = json.dumps({"source": self.source, "specs": self.specs, "shown": self.shown})
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            arrays = {name: getattr(self, name) for name in _ARRAYS}
            np.savez_compressed(file, meta=np.frombuffer(meta.encode(), np.uint8), **arrays)
        partial.rename(path)

    @classmethod
    def read(cls, folder: Path) -> "Rollouts":
        """All that a folder holds, in the order of its files.

        Raises:
            ValueError: it holds none, or those of several generators.
        """
        paths = sorted(folder.glob("*.npz"))
        if not paths:
            raise ValueError(f"no rollouts in {folder}; `python -m training.alignment.roll_out --out {folder}` makes them")
        return cls.joined([_read_file(path) for path in paths])


def _read_file(path: Path) -> Rollouts:
    with np.load(path) as shard:
        meta = json.loads(shard["meta"].tobytes())
        return Rollouts(meta["source"], meta["specs"], meta["shown"], *(shard[name] for name in _ARRAYS))
