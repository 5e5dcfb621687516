"""The examples of each step: which they are, where they are composed, and how they reach the device."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

_AHEAD = 4  # batches that each worker may be ahead of training


@dataclass(frozen=True)
class Examples(Dataset):
    """The examples of a run; those of a step depend on seed, step and part only, so that a run can resume.

    Attributes:
        compose: `Stage.examples`.
        seed: of the run.
        size: examples of a step.
        parts: parts that they are composed in; they must divide `size`.
    """

    compose: Callable[[np.random.Generator, int], Any]
    seed: int
    size: int
    parts: int = 1

    def __post_init__(self) -> None:
        if self.size % self.parts:
            raise ValueError(f"a batch of {self.size} cannot be divided into {self.parts} equal parts; choose a multiple of them")

    def part(self, step: int, part: int) -> Any:
        """Part 0..parts-1 of the examples of a step."""
        return self.compose(np.random.default_rng([self.seed, step, part]), self.size // self.parts)

    def __getitem__(self, step: int) -> Any:
        return self.part(step, 0)


def stream(examples: Examples, first: int, workers: int) -> Iterator[Any]:
    """Whole batches of step `first` and all later ones, in order.

    Args:
        examples: of one part.
        first: step of the first batch.
        workers: processes that compose ahead; 0 composes when asked. The batches are the same for any number.
    """
    if examples.parts != 1:
        raise ValueError(f"only examples of one part can be streamed, these have {examples.parts}")
    loader = DataLoader(
        examples,
        batch_size=None,
        sampler=itertools.count(first),
        collate_fn=_as_it_is,
        num_workers=workers,
        # Forked workers share what was prepared before (drawings, codes, trajectories of many gigabytes) without a copy.
        multiprocessing_context="fork" if workers else None,
        prefetch_factor=_AHEAD if workers else None,
    )
    return iter(loader)


def to_device(batch: Any, device: torch.device) -> Any:
    """A dataclass of tensors, whole numbers, None, and such dataclasses, with its tensors on another device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if batch is None or isinstance(batch, int):
        return batch
    if not is_dataclass(batch):
        raise TypeError(f"a batch is made of dataclasses, tensors and whole numbers, got {type(batch).__name__}")
    return type(batch)(*(to_device(getattr(batch, field.name), device) for field in fields(batch)))


def _as_it_is(batch: Any) -> Any:
    return batch
