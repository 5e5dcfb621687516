"""Gradients of one batch computed by several threads of a CPU, each on its own parts.

PyTorch's own CPU threads meet at a barrier in every operator, so one busy core slows all of them to its pace; on two
cores shared with other work that cost more than half of the speed. Here every thread runs whole forward and backward
passes on single-threaded operators, takes the next part when it is free, and they meet once per optimiser step.
"""

import copy
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from training.loop.examples import Examples
from training.loop.precision import mixed_precision
from training.loop.stage import Stage


class ThreadedGradients:
    """Computes a stage's gradients part by part on `threads` threads.

    Each thread works on a replica that shares the model's weights (optimisers must update them in place). Buffers are
    each replica's own: a model that learns through buffers, as batch normalisation does, must not come here.
    """

    def __init__(self, stage: Stage, examples: Examples, threads: int):
        torch.set_num_threads(1)
        self._stage, self._examples = stage, examples
        self._weights = [weight for weight in stage.model.parameters() if weight.requires_grad]
        self._replicas: queue.SimpleQueue[nn.Module] = queue.SimpleQueue()
        for _ in range(threads):
            replica = copy.deepcopy(stage.model)
            for own, shared in zip(replica.parameters(), stage.model.parameters(), strict=True):
                own.data = shared.data
            self._replicas.put(replica)
        # The thread count is a setting of each thread, so every thread of the pool has to make it.
        self._pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def backward(self, step: int) -> list[dict[str, Tensor]]:
        """Sets the weights' `.grad` to the mean gradient over the parts of a step's examples.

        Returns:
            The scalars for the log of each part, detached. Gradients are summed in the order of parts, so the result
            does not depend on which thread was faster.
        """
        results = list(self._pool.map(lambda part: self._part(step, part), range(self._examples.parts)))
        total = list(results[0][0])
        for gradients, _ in results[1:]:
            torch._foreach_add_(total, list(gradients))
        torch._foreach_mul_(total, 1 / len(results))
        for weight, gradient in zip(self._weights, total, strict=True):
            weight.grad = gradient
        return [scalars for _, scalars in results]

    def run(self, tasks: list[Callable[[], None]]) -> None:
        """Runs independent tasks on the same threads and waits for all of them."""
        list(self._pool.map(lambda task: task(), tasks))

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def _part(self, step: int, part: int) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        batch = self._stage.prepared(self._examples.part(step, part))
        replica = self._replicas.get()
        try:
            # All threads share autocast's cache of converted weights and clear it for each other, so whether two uses
            # of a weight share one conversion, and with it the rounding of its gradient, would depend on timing.
            with mixed_precision(cache_enabled=False):
                loss, scalars = self._stage.loss(replica, batch)
            learned = [weight for weight in replica.parameters() if weight.requires_grad]
            gradients = torch.autograd.grad(loss, learned)
            return gradients, {name: value.detach() for name, value in scalars.items()}
        finally:
            self._replicas.put(replica)
