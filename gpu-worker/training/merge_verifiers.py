"""Makes one verifier of several trainings that began at the same weights: perception of one, the mean of the others' words.

    python -m training.merge_verifiers --perception LONG --words FIRST SECOND ... --out training/runs/verifier-parm/verifier.pt

A long training sees objects better, and has learned by heart which facts its prompts were right in; the mean of short ones has
each forget what only it had learned so. Source: Wortsman et al., Model soups (arXiv 2203.05482).
"""

import argparse
import json
from pathlib import Path

import torch

from training.checkpoint import load_weights, save_weights
from training.models.verifier import Verifier, VerifierConfig


def merge(perception: Verifier, words: list[Verifier]) -> Verifier:
    """A verifier that sees as `perception` does, with the mean of all other weights of `words`; evaluation mode.

    Raises:
        ValueError: `words` is empty, or the verifiers are not of equal sizes.
    """
    if not words:
        raise ValueError("words is empty; at least one verifier has to say what words ask for")
    if any(other.config != perception.config for other in words):
        raise ValueError("the verifiers are of different sizes; merge those of one configuration")
    merged = Verifier(perception.config)
    states = [other.state_dict() for other in words]
    # Batch normalisation counts its batches in whole numbers; only perception has any.
    means = {
        name: torch.stack([state[name] for state in states]).mean(0) if first.is_floating_point() else first
        for name, first in states[0].items()
    }
    merged.load_state_dict(means)
    merged.perception.load_state_dict(perception.perception.state_dict())
    return merged.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--perception", type=Path, required=True, help="verifier whose trunk and object maps are taken")
    parser.add_argument("--words", type=Path, nargs="+", required=True, help="verifiers whose other weights are averaged")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    seeing, *words = (load_weights(path, Verifier, VerifierConfig) for path in (arguments.perception, *arguments.words))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(arguments.out, merge(seeing, words))
    print(json.dumps({"weights": str(arguments.out), "words": len(words)}))


if __name__ == "__main__":
    main()
