"""The verifiers of the paper: what each is asked, and which pictures it learns from.

An outcome reward model (ORM) sees final pictures, a process reward model (PRM) the picture of every step; both say yes or no to
the picture before them. PARM is asked three questions, of which potential is about the picture that a path will end with.
Zero-shot ones have seen ground truth only; one training serves both, as one pre-trained model does in the paper.
"""

from dataclasses import dataclass
from pathlib import Path

from training.folders import RUNS
from training.models.verifier import TASKS

ZERO_SHOT = "zero-shot"


@dataclass(frozen=True)
class VerifierKind:
    """How a verifier is taught from trajectories.

    Attributes:
        tasks: the questions that it is taught.
        final_share: share of final pictures among its examples, 0..1, the others being mostly early ones; None treats all
            recorded steps alike.
        judges_outcome: whether its potential is about the final picture, not the one before it.
    """

    tasks: tuple[str, ...]
    final_share: float | None
    judges_outcome: bool


KINDS = {
    # What scenes teach is asked of no step in particular, so it is taught whole.
    ZERO_SHOT: VerifierKind(TASKS, None, judges_outcome=True),
    "orm": VerifierKind(("alignment",), 1.0, judges_outcome=True),
    # The engine ranks by its potential, the score of a step.
    "prm": VerifierKind(("potential",), None, judges_outcome=False),
    # The paper has 200,000 examples of selection among 400,000; here early pictures are what is hard.
    "parm": VerifierKind(TASKS, 0.4, judges_outcome=True),
}


@dataclass(frozen=True)
class ReleasedVerifier:
    """A verifier of the bundle: which training made it, and what it answers."""

    trained_as: str
    tasks: tuple[str, ...]


RELEASED = {
    "orm-zs": ReleasedVerifier(ZERO_SHOT, KINDS["orm"].tasks),
    "orm-ft": ReleasedVerifier("orm", KINDS["orm"].tasks),
    "prm-zs": ReleasedVerifier(ZERO_SHOT, KINDS["prm"].tasks),
    "prm-ft": ReleasedVerifier("prm", KINDS["prm"].tasks),
    "parm": ReleasedVerifier("parm", KINDS["parm"].tasks),
}


def trained_weights(kind: str) -> Path:
    """Where the training of a kind leaves its weights, not yet calibrated."""
    return RUNS / f"verifier-{kind}/verifier.pt"
