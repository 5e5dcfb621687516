"""How sure a measured share is."""

import math


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """95% interval, 0..1, of a share that was measured as `hits` of `trials`. Source: Wilson (1927).

    Raises:
        ValueError: there was no trial, or more hits than trials.
    """
    if not 0 <= hits <= trials or not trials:
        raise ValueError(f"{hits} hits of {trials} trials; there must be a trial, and 0 to {trials} hits")
    z, share = 1.96, hits / trials
    center = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(0.0, center - half), min(1.0, center + half)
