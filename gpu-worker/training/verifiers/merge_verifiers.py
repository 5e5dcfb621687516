"""Makes one verifier of several trainings that began at the same weights: the mean of what sees, and the mean of what reads.

    python -m training.verifiers.merge_verifiers --perception LONG --words FIRST SECOND ... \
        --out training/runs/verifier-parm/verifier.pt
    python -m training.verifiers.merge_verifiers --perception LONG LONG_PRM --words FIRST FIRST --prm FIRST_PRM \
        --orm FIRST_ORM --out ...

A long training sees objects better, and has learned by heart which facts its prompts were right in; the mean of short ones has
each forget what only it had learned so. Source: Wortsman et al., Model soups (arXiv 2203.05482).
"""

import argparse
import copy
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from training.loop.checkpoint import load_weights, save_weights
from training.models.verifier import TASKS, Verifier, VerifierConfig
from training.verifiers.verifier_kinds import KINDS


def merge(seeing: Sequence[Verifier], words: Sequence[Verifier]) -> Verifier:
    """A verifier with the mean perception of `seeing` and the mean of all other weights of `words`; evaluation mode.

    Args:
        seeing: one or more verifiers.
        words: one or more verifiers; one that is listed twice counts twice.

    Raises:
        ValueError: a list is empty, or the verifiers are not of equal sizes.
    """
    for name, members in (("seeing", seeing), ("words", words)):
        if not members:
            raise ValueError(f"{name} is empty; at least one verifier has to be given")
    if any(other.config != seeing[0].config for other in (*seeing, *words)):
        raise ValueError("the verifiers are of different sizes; merge those of one configuration")
    merged = Verifier(seeing[0].config)
    merged.load_state_dict(_mean(words))
    merged.perception.load_state_dict(_mean([verifier.perception for verifier in seeing]))
    return merged.eval()


def answering_all(verifier: Verifier, kind: str) -> Verifier:
    """A copy of an ORM or PRM that gives its one answer for potential and for alignment.

    It was taught whether the picture before it satisfies the prompt; of a finished picture PARM's potential and alignment ask the
    same.
    """
    [task] = KINDS[kind].tasks
    copied = copy.deepcopy(verifier)
    with torch.no_grad():
        for values in (copied.head.weight, copied.head.bias):
            answer = values[TASKS.index(task)].clone()
            for same in ("potential", "alignment"):
                values[TASKS.index(same)] = answer
    return copied


def _mean(modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    states = [module.state_dict() for module in modules]
    # Batch normalisation counts its batches in whole numbers.
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if first.is_floating_point() else first
        for name, first in states[0].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--perception", type=Path, nargs="+", required=True, help="whose trunk and object maps are averaged")
    parser.add_argument("--words", type=Path, nargs="+", required=True, help="verifiers whose other weights are averaged")
    for kind in ("orm", "prm"):
        parser.add_argument(f"--{kind}", type=Path, nargs="+", default=[], help=f"as --words, of {kind} trainings, for a parm")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    def load(path: Path) -> Verifier:
        return load_weights(path, Verifier, VerifierConfig)

    words = [load(path) for path in arguments.words]
    words += [answering_all(load(path), kind) for kind in ("orm", "prm") for path in getattr(arguments, kind)]
    merged = merge([load(path) for path in arguments.perception], words)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(arguments.out, merged)
    print(json.dumps({"weights": str(arguments.out), "perceptions": len(arguments.perception), "words": len(words)}))


if __name__ == "__main__":
    main()
