"""States on recorded paths, and the codes that should come of them: what every kind of alignment learns from."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.alignment.rollouts import Rollouts

# Shares of the places that count beside all masked ones of objects: masked background, known codes of objects and of background.
_BACKGROUND, _KNOWN, _KNOWN_BACKGROUND = 0.25, 0.5, 0.1


@dataclass(frozen=True)
class PathStates:
    """B states, of which K places count.

    Attributes:
        prompt_ids: int64 [B, L].
        tokens: int64 [B, N], the codebook size where masked.
        places: int64 [K] in the flattened [B * N].
        targets: int64 [K], the codes that should stand there.
        owner: int64 [K], 0..B-1, the state of each place.
        right: float32 [B], 1 where the picture that the path led to is right, else 0.
        success: float32 [B], share of its prompt's pictures that are.
        advantage: float32 [B], by how much the picture is better than its prompt's mean: of the verdicts unless said otherwise.
    """

    prompt_ids: Tensor
    tokens: Tensor
    places: Tensor
    targets: Tensor
    owner: Tensor
    right: Tensor
    success: Tensor
    advantage: Tensor


def states_at(
    rollouts: Rollouts,
    rows: np.ndarray,
    steps: np.ndarray,
    counted: np.ndarray,
    *,
    targets: np.ndarray | None = None,
    advantage: np.ndarray | None = None,
) -> PathStates:
    """States of some paths.

    Args:
        rollouts: the recording.
        rows: int64 [B].
        steps: int64 [B], the step that each is before.
        counted: bool [B, N], places that count.
        targets: int64 [B, N], what should stand there; each path's own picture for None.
        advantage: float [n], of every picture of the recording, instead of that of the verdicts.
    """
    better = rollouts.right - rollouts.success if advantage is None else advantage
    wanted = rollouts.codes[rows].astype(np.int64) if targets is None else targets
    places = np.flatnonzero(counted)
    arrays = (
        rollouts.prompt_ids[rows].astype(np.int64), rollouts.tokens[rows, steps].astype(np.int64), places, wanted.ravel()[places],
        places // counted.shape[1], rollouts.right[rows].astype(np.float32), rollouts.success[rows].astype(np.float32),
        better[rows].astype(np.float32),
    )  # fmt: skip
    return PathStates(*map(torch.from_numpy, arrays))


def hidden_at(rollouts: Rollouts, rows: np.ndarray, steps: np.ndarray, mask_id: int) -> np.ndarray:
    """Places that are masked before each step: bool [B, N]."""
    return rollouts.tokens[rows, steps] == mask_id


def committed_at(rollouts: Rollouts, rows: np.ndarray, steps: np.ndarray, mask_id: int) -> np.ndarray:
    """Places whose code a step draws and the path then keeps: bool [B, N]."""
    last = rollouts.tokens.shape[1] - 1
    before = rollouts.tokens[rows, steps] == mask_id
    after = np.where((steps < last)[:, None], rollouts.tokens[rows, np.minimum(steps + 1, last)], rollouts.codes[rows])
    return before & (after != mask_id)


def taught_at(
    rng: np.random.Generator, tokens: np.ndarray, targets: np.ndarray, mask_id: int, plain_codes: int
) -> np.ndarray:
    """Places at which a state is taught its target: bool [B, N].

    All masked ones of objects and a share of the background's. Of the known ones a share, of right and wrong ones alike:
    corrections go by what the generator says of a known code, and taught mostly of wrong ones it would doubt all of them.

    Args:
        rng: draws the shares.
        tokens: int64 [B, N].
        targets: int64 [B, N].
        mask_id: the codebook size.
        plain_codes: how many codes, the last of the codebook, show plain background.
    """
    hidden, on_object = tokens == mask_id, targets < mask_id - plain_codes
    known = np.where(on_object, _KNOWN, _KNOWN_BACKGROUND)
    counted = rng.random(tokens.shape) < np.where(hidden, np.where(on_object, 1.0, _BACKGROUND), known)
    counted[np.arange(len(tokens)), hidden.argmax(1)] = True  # never an empty selection
    return counted
