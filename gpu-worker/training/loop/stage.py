"""What one of the four trainings gives the loop that they share."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from training.loop.checkpoint import read_start


@dataclass(frozen=True)
class TrainingSettings:
    """What every training is told; stages add their own.

    Attributes:
        batch: examples of an optimiser step.
        muon_lr: learning rate of hidden weights, which Muon trains.
        adam_lr: learning rate of all others, which AdamW trains.
        average_decay: share of the old averaged weights kept per step, 0..1; at 0 the average is the weights themselves.
        average_every: steps between updates of the average.
    """

    batch: int = 64
    muon_lr: float = 0.02
    adam_lr: float = 0.001
    average_decay: float = 0.0
    average_every: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")


class Stage(ABC):
    """A model, its examples and its loss.

    Attributes:
        name: of the run's folder and of the file of released weights.
        parts: parts of a batch whose gradients may be computed apart and averaged; 1 where batch normalisation ties a
            batch together.
        log_steps: steps between entries of the log.
        checkpoint_seconds: seconds between checkpoints.
        model: what is trained; its `config` is a dataclass.
    """

    name: ClassVar[str]
    parts: ClassVar[int] = 1
    log_steps: ClassVar[int] = 50
    checkpoint_seconds: ClassVar[float] = 120.0

    def __init__(self, model: nn.Module):
        self.model = model

    @abstractmethod
    def examples(self, rng: np.random.Generator, size: int) -> Any:
        """`size` fresh examples: a dataclass of CPU tensors, a function of the generator's state only.

        Called on several threads at once, or in processes forked from this one.
        """

    def prepared(self, batch: Any) -> Any:
        """Last touches to a batch on the training device, outside of mixed precision; none unless a stage has some."""
        return batch

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar loss of a batch on `model`, which shares `self.model`'s weights, and named scalars for the log.

        A GPU must not have to wait for the CPU here: no `.item()`, no boolean index.
        """

    @abstractmethod
    def is_hidden(self, name: str, weight: Tensor) -> bool:
        """Whether Muon trains this weight; never one of less than two dimensions."""

    def start_from(self, path: Path) -> None:
        """Begins at released weights.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: they are of a model of other sizes.
        """
        self.model.load_state_dict(read_start(path, self.model.config))

    def released(self, model: nn.Module) -> nn.Module:
        """The form in which the averaged model is released; the model itself unless a stage says otherwise."""
        return model

    def measure(self, model: nn.Module, run: Path) -> dict[str, float]:
        """Measures the released form at a checkpoint, and leaves pictures of it in `run`.

        Args:
            model: released form on the training device, evaluation mode.
            run: the run's folder.

        Returns:
            Numbers for the log; none where the stage measures nothing.
        """
        return {}
