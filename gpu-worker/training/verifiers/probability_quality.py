"""How well probabilities are calibrated, and how well they separate."""

import numpy as np
import torch
from torch import Tensor


def fit_scale_and_shift(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Scale a > 0 and shift b that minimise the cross-entropy of sigmoid(a * logit + b); float32 [m] each.

    Source: Platt scaling; Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599).
    """
    x, y = torch.from_numpy(logits).double(), torch.from_numpy(labels).double()
    parameters = torch.zeros(2, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        scaled = parameters[0].exp() * x + parameters[1]
        # A weak pull to scale 1 and shift 0 keeps the fit finite where the labels are separated perfectly.
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scaled, y) + 1e-3 * parameters.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    scale, shift = parameters.detach()
    return float(scale.exp()), float(shift)


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Probability that a positive scores higher than a negative, ties counted half; None without both kinds."""
    positive, negative = scores[labels > 0.5], scores[labels <= 0.5]
    if not len(positive) or not len(negative):
        return None
    order = np.sort(negative)
    below = np.searchsorted(order, positive, side="left") + np.searchsorted(order, positive, side="right")
    return float(below.mean() / 2 / len(negative))


def brier_score(probability: np.ndarray, labels: np.ndarray) -> float:
    """Mean squared error of probabilities [m] of labels [m], 0 at best; 0.25 is what "one half" always earns."""
    return float(np.square(probability - labels).mean())


def reliability(probability: np.ndarray, labels: np.ndarray, bins: int = 10) -> dict:
    """Reliability table of probabilities [m] of labels [m] in bins of equal width.

    Returns:
        `bins`, those that are not empty: mean probability, share of yes, and count; `ece`, the expected calibration error:
        the mean over examples of the gap between the two; `brier`.
    """
    place = np.minimum((probability * bins).astype(int), bins - 1)
    table, gap = [], 0.0
    for index in np.unique(place):
        inside = place == index
        mean, share, count = float(probability[inside].mean()), float(labels[inside].mean()), int(inside.sum())
        table.append({"probability": round(mean, 4), "share": round(share, 4), "count": count})
        gap += abs(mean - share) * count / len(labels)
    return {"bins": table, "ece": round(gap, 4), "brier": round(brier_score(probability, labels), 4)}
