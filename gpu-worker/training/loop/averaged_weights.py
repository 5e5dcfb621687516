"""Exponential moving average of a model's weights: what is evaluated and released."""

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Averages a module's floating-point state, buffers included; other buffers are copied.

    The decay grows with the number of steps, so that a short run is not dominated by its random start.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999, every: int = 1):
        """Begins at the module's present state.

        Args:
            module: on the device where the average is kept.
            decay: share of the average that a step keeps, 0..1; at 0 it is the module's state.
            every: calls of `update` between changes, each of which then counts for as many; at least 1.
        """
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; it must be at least 0 and less than 1")
        if every < 1:
            raise ValueError(f"every is {every}; it must be at least 1")
        self._decay, self._every = decay, every
        self._updates = 0
        self.state: dict[str, Tensor] = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the average towards the module's present state, once a step."""
        self._updates += 1
        if self._updates % self._every:
            return
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates)) ** self._every
        averaged, current = [], []
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                averaged.append(self.state[name])
                current.append(value)
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(averaged, current, 1 - decay)

    def checkpoint(self) -> dict:
        """What `restore` needs to continue."""
        return {"state": self.state, "updates": self._updates}

    @torch.no_grad()
    def restore(self, checkpoint: dict) -> None:
        """Continues the average of an interrupted run, on the device of this one."""
        for name, value in checkpoint["state"].items():
            self.state[name].copy_(value)
        self._updates = checkpoint["updates"]
