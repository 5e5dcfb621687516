"""Preference pairs: which of two pictures of a prompt is the better one.

The paper ranks pictures of one prompt and lets every right one win over every wrong one. Here each wrong picture loses to what is
nearest to it and right, so that what both share cancels and the fault remains. Where the matcher finds that its objects are
what was asked for, only drawn badly, that is the same scene of whole drawings; else it is the right sibling with the most
equal codes.
"""

from dataclasses import dataclass

import numpy as np

from training.alignment.rollouts import Rollouts


@dataclass(frozen=True)
class Pairs:
    """M pairs of one recording.

    Attributes:
        rejected: int64 [M], the row of the worse picture.
        chosen: int64 [M], the row of the better one; the same row where it is the scene composed of it.
        codes: int64 [M, N], the better picture.
        composed: bool [M], whether nobody drew the better one.
        fault: M words, what is wrong with the worse one.
    """

    rejected: np.ndarray
    chosen: np.ndarray
    codes: np.ndarray
    composed: np.ndarray
    fault: list[str]

    def __len__(self) -> int:
        return len(self.rejected)

    @property
    def weights(self) -> np.ndarray:
        """How often each pair is drawn, adding up to 1: every kind of fault as often as any other, float64 [M].

        A recording has more of some errors than of others, too many objects rather than too few. Taught as they come, its
        pairs teach the direction beside the rule.
        """
        counts = {word: self.fault.count(word) for word in self.fault}
        weights = np.array([1 / counts[word] for word in self.fault])
        return weights / weights.sum()


def preference_pairs(rollouts: Rollouts, per_prompt: int = 4) -> Pairs:
    """The pairs of a recording, at most `per_prompt` of each prompt; a function of the recording alone.

    Raises:
        ValueError: no prompt has a wrong picture with a better one.
    """
    found = []
    for rows in rollouts.groups:
        right = rows[rollouts.right[rows]]
        of_prompt = []
        for row in rows[~rollouts.right[rows]]:
            if rollouts.fulfils[row]:
                of_prompt.append((row, row, rollouts.composed[row], True))
            elif len(right):
                nearest = right[(rollouts.codes[right] == rollouts.codes[row]).sum(1).argmax()]
                of_prompt.append((row, nearest, rollouts.codes[nearest], False))
        found += of_prompt[:per_prompt]
    if not found:
        raise ValueError(f"none of {len(rollouts.groups)} prompts has a wrong picture and a better one; record more prompts")
    rejected, chosen, codes, composed = (np.array(values) for values in zip(*found, strict=True))
    return Pairs(rejected, chosen, codes.astype(np.int64), composed, [rollouts.shown[row] for row in rejected])
