"""Which steps to judge and where to draw the lines: the engine's rule replayed on trajectories."""

import itertools
from dataclasses import dataclass

import numpy as np

from training.models.verifier import TASKS

CLARITY, POTENTIAL, ALIGNMENT = range(len(TASKS))
# Pruning may lose this share of the candidates that would have ended well. At half of it, measured, judging cost more than it
# saved; among several candidates a lost one is seldom missed.
_LARGEST_LOSS = 0.1
_WANTED_PRECISION = 0.95
_CLARITY_CHOICES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_POTENTIAL_CHOICES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)


@dataclass(frozen=True)
class PruningRule:
    """When a candidate is judged and pruned.

    Attributes:
        steps: judged step indices, ascending.
        clarity, potential: thresholds, 0..1.
    """

    steps: tuple[int, ...]
    clarity: float
    potential: float


@dataclass(frozen=True)
class PruningOutcome:
    """What the pruning rule does to a set of trajectories; shares 0..1.

    Attributes:
        lost: pruned among those that would have ended well.
        caught: pruned among those that would have ended badly.
        saved: row-steps not run, among all.
        calls: verifier calls at judged steps per trajectory.
        prune_rates: for each judged step, pruned among those asked there.
    """

    lost: float
    caught: float
    saved: float
    calls: float
    prune_rates: tuple[float, ...]


def replay_pruning(
    probability: np.ndarray, good: np.ndarray, recorded: tuple[int, ...], step_count: int, rule: PruningRule
) -> PruningOutcome:
    """Replays the engine's rule: clarity is asked at judged steps until it passes, then potential decides once.

    Args:
        probability: float [n, S, 3], calibrated P(yes) after the recorded steps.
        good: bool [n], whether the final picture satisfies its spec.
        recorded: step indices of the second axis.
        step_count: steps of a whole run.
        rule: its steps are among the recorded.
    """
    undecided = np.ones(len(good), bool)
    pruned = np.zeros(len(good), bool)
    saved = np.zeros(len(good))
    calls, rates = 0, []
    for step in rule.steps:
        place = recorded.index(step)
        asked = int(undecided.sum())
        clear = undecided & (probability[:, place, CLARITY] >= rule.clarity)
        dropped = clear & (probability[:, place, POTENTIAL] < rule.potential)
        calls += asked
        rates.append(float(dropped.sum() / max(asked, 1)))
        pruned |= dropped
        saved[dropped] = step_count - 1 - step
        undecided &= ~clear
    return PruningOutcome(
        lost=float(pruned[good].mean()) if good.any() else 0.0,
        caught=float(pruned[~good].mean()) if (~good).any() else 0.0,
        saved=float(saved.mean() / step_count),
        calls=calls / len(good),
        prune_rates=tuple(rates),
    )


def choose_pruning(
    probability: np.ndarray, good: np.ndarray, recorded: tuple[int, ...], step_count: int, call_row_steps: float
) -> PruningRule:
    """The rule that saves most, judging paid for, while losing few good candidates; arguments as `replay_pruning`.

    Args:
        call_row_steps: what one judgement and the decoding of its picture cost, in row-steps.

    Raises:
        ValueError: every rule loses too many.
    """
    judgeable = [step for step in recorded if step < step_count - 2]
    options = [steps for size in (1, 2, 3) for steps in itertools.combinations(judgeable, size)]
    best, best_worth = None, -np.inf
    for choice in itertools.product(options, _CLARITY_CHOICES, _POTENTIAL_CHOICES):
        rule = PruningRule(*choice)
        outcome = replay_pruning(probability, good, recorded, step_count, rule)
        worth = outcome.saved - call_row_steps * outcome.calls / step_count
        if outcome.lost <= _LARGEST_LOSS and worth > best_worth:
            best, best_worth = rule, worth
    if best is None:
        raise ValueError(f"every choice of steps and thresholds loses more than {_LARGEST_LOSS:.0%} of the good candidates")
    return best


def choose_acceptance_threshold(probability: np.ndarray, labels: np.ndarray) -> float:
    """The lowest threshold at which accepted pictures are right with the wanted precision, else the most precise one.

    Args:
        probability: float [m], P(the final picture satisfies its prompt), by the question that ranks final pictures.
        labels: float [m], whether it does.
    """
    best_threshold, best_precision = 0.5, 0.0
    for threshold in (round(0.05 * twentieth, 2) for twentieth in range(10, 20)):
        accepted = probability >= threshold
        precision = float(labels[accepted].mean()) if accepted.any() else 0.0
        if precision >= _WANTED_PRECISION:
            return threshold
        if precision > best_precision:
            best_threshold, best_precision = threshold, precision
    return best_threshold
