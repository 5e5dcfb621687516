"""Exponential moving average of a model's weights: what is evaluated and released."""

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Averages a module's floating-point state, buffers included; other buffers are copied.

    The decay grows with the number of updates, so that a short run is not dominated by its random start.
    """

    def __init__(self, module: nn.Module, decay: float = 0.999):
        if not 0 < decay < 1:
            raise ValueError(f"decay is {decay}; it must lie between 0 and 1")
        self._decay = decay
        self._updates = 0
        self.state: dict[str, Tensor] = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the average towards the module's present state."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
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

    def restore(self, checkpoint: dict) -> None:
        """Continues the average of an interrupted run."""
        self.state, self._updates = checkpoint["state"], checkpoint["updates"]
