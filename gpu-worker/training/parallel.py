"""Gradients of one batch computed by several threads, each on its own parts.

PyTorch's own CPU threads meet at a barrier in every operator, so one busy core slows all of them to its pace; on two
cores shared with other work that cost more than half of the speed. Here every thread runs whole forward and backward
passes on single-threaded operators, takes the next part when it is free, and they meet once per optimiser step.
"""

import copy
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from training.precision import mixed_precision


class ThreadedGradients:
    """Computes a model's gradients part by part on `threads` threads.

    Each thread works on a replica that shares the model's weights (optimisers must update them in place).
    """

    def __init__(self, model: nn.Module, threads: int):
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        torch.set_num_threads(1)
        self._weights = list(model.parameters())
        self._replicas: queue.SimpleQueue[nn.Module] = queue.SimpleQueue()
        for _ in range(threads):
            replica = copy.deepcopy(model)
            for own, shared in zip(replica.parameters(), self._weights, strict=True):
                own.data = shared.data
            self._replicas.put(replica)
        # The thread count is a setting of each thread, so every thread of the pool has to make it.
        self._pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def backward(self, loss: Callable[[nn.Module, int], tuple[Tensor, Any]], parts: int) -> list[Any]:
        """Sets the weights' `.grad` to the mean gradient over parts.

        Args:
            loss: called as `loss(replica, part)` on some thread; returns a scalar to differentiate and anything else.
            parts: number of parts, at least 1.

        Returns:
            What `loss` returned beside the scalar, in the order of parts. Gradients are summed in that order too, so the
            result does not depend on which thread was faster.
        """

        def work(part: int) -> tuple[tuple[Tensor, ...], Any]:
            replica = self._replicas.get()
            try:
                # All threads share autocast's cache of converted weights and clear it for each other, so whether two uses
                # of a weight share one conversion, and with it the rounding of its gradient, would depend on timing.
                with mixed_precision(cache_enabled=False):
                    value, extra = loss(replica, part)
                return torch.autograd.grad(value, list(replica.parameters())), extra
            finally:
                self._replicas.put(replica)

        results = list(self._pool.map(work, range(parts)))
        total = list(results[0][0])
        for gradients, _ in results[1:]:
            torch._foreach_add_(total, list(gradients))
        torch._foreach_mul_(total, 1 / parts)
        for weight, gradient in zip(self._weights, total, strict=True):
            weight.grad = gradient
        return [extra for _, extra in results]

    def run(self, tasks: list[Callable[[], None]]) -> None:
        """Runs independent tasks on the same threads and waits for all of them."""
        list(self._pool.map(lambda task: task(), tasks))
