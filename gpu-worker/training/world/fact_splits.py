"""Which facts verifiers learn from, are calibrated on, and are tested on.

A fact (`training.world.held_out.facts_of`) belongs to one split in every wording, so nothing that a verifier is measured on
has been asked in its training. Single objects have no facts of their own: there the wording decides.
"""

import hashlib

from training.world.held_out import Facts, HeldOut, evaluation_held_out, facts_of
from training.world.spec import Spec

SPLITS = ("train", "calibration", "test")
# Of a hundred facts.
_CALIBRATION, _TEST = 12, 12


def split_of(spec: Spec) -> str:
    """The split of a spec with its `prompt`."""
    facts = facts_of(spec)
    return _split(spec["prompt"] if facts is None else facts)


class TrainingFacts(HeldOut):
    """What the training of verifiers avoids: all that is scored, and the facts and wordings of the other splits."""

    def holds(self, spec: Spec) -> bool:
        facts = facts_of(spec)
        return evaluation_held_out().holds(spec) or (facts is not None and _split(facts) != "train")

    def holds_prompt(self, prompt: str) -> bool:
        return evaluation_held_out().holds_prompt(prompt) or _split(prompt) != "train"


def _split(key: Facts | str) -> str:
    # Not Python's own hash, which differs from process to process.
    place = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4]) % 100
    if place < _TEST:
        return "test"
    return "calibration" if place < _TEST + _CALIBRATION else "train"
