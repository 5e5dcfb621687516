"""Gradients of one batch in one pass: the way of a GPU, and of a CPU where batch normalisation ties a batch together."""

from collections.abc import Callable

import torch
from torch import Tensor

from training.loop.device import Hardware
from training.loop.examples import Examples, stream, to_device
from training.loop.precision import mixed_precision
from training.loop.stage import Stage


class WholeBatchGradients:
    """Computes a stage's gradients on its model's device, while workers compose the next examples."""

    def __init__(self, stage: Stage, examples: Examples, hardware: Hardware, first: int):
        """`first` is the step that `backward` is called with first; steps then follow in order."""
        torch.set_num_threads(hardware.threads)
        self._stage, self._device = stage, hardware.device
        self._batches = stream(examples, first, hardware.workers)
        self._next = first

    def backward(self, step: int) -> list[dict[str, Tensor]]:
        """Sets the weights' `.grad` for a step's examples; returns one entry of detached scalars for the log.

        Raises:
            ValueError: the step is not the one after the last.
        """
        if step != self._next:
            raise ValueError(f"examples of step {self._next} come next, step {step} was asked for")
        self._next += 1
        batch = self._stage.prepared(to_device(next(self._batches), self._device))
        with mixed_precision(self._device.type):
            loss, scalars = self._stage.loss(self._stage.model, batch)
        self._stage.model.zero_grad(set_to_none=True)
        loss.backward()
        return [{name: value.detach() for name, value in scalars.items()}]

    def run(self, tasks: list[Callable[[], None]]) -> None:
        """Runs tasks one after the other; a GPU takes their work from one stream in any case."""
        for task in tasks:
            task()

    def close(self) -> None:
        """Ends the workers."""
        del self._batches
