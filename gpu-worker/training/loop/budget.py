"""How far a training run has come, in wall-clock minutes or in steps, and the learning rate that follows from it."""

import time
from dataclasses import dataclass, field


@dataclass
class Budget:
    """A run's allowance: `minutes` of wall clock, or exactly `steps` optimiser steps.

    A run in minutes ends on time on any machine; a run in steps can be repeated exactly.

    Attributes:
        minutes: wall-clock allowance, earlier parts of a resumed run included; None when counted in steps.
        steps: number of steps; None when counted in minutes.
        spent_seconds: what earlier parts of a resumed run used.
    """

    minutes: float | None = None
    steps: int | None = None
    spent_seconds: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("give either minutes or steps, not both and not neither")
        allowance = self.minutes if self.minutes is not None else self.steps
        if not allowance > 0:
            raise ValueError(f"minutes or steps must be more than 0, got {allowance}")

    def elapsed_seconds(self) -> float:
        """Seconds used so far, earlier parts included."""
        return self.spent_seconds + time.monotonic() - self._started

    def progress(self, step: int) -> float:
        """Share of the allowance used before `step` begins, 0..1."""
        used = step / self.steps if self.steps is not None else self.elapsed_seconds() / (60 * self.minutes)
        return min(used, 1.0)


def rate_scale(progress: float, warmup: float = 0.02, decay_from: float = 0.4) -> float:
    """Warm-up, plateau, linear decay to zero ("WSD"): scale of the learning rate, 0..1, at a progress of 0..1."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    if progress < decay_from:
        return 1.0
    return max((1 - progress) / (1 - decay_from), 0.0)
