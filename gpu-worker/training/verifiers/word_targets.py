"""What each word of a prompt names, known because the prompt was written for a spec."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from training.world.classes import CLASS_INDEX, CLASSES, COLORS
from training.world.prompts import correct_plural, geneval_plural
from training.world.spec import Spec
from training.world.tokenizer import UNK

NO_OBJECT, ANY_COLOR = len(CLASSES), len(COLORS)


@dataclass(frozen=True)
class WordLabels:
    """Labels of the tokens of one prompt, `[BOS] words [EOS]`.

    Attributes:
        classes: the class that a word names, or `NO_OBJECT`.
        colors: the colour that its object must have, or `ANY_COLOR`.
        counts: how many there must be where that is asked, or None for at least one.
    """

    classes: list[int]
    colors: list[int]
    counts: list[int | None]


class WordTargets:
    """Labels the words of prompts."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._names = {name: self._forms(name) for name in CLASSES}

    def label(self, prompt: str, spec: Spec) -> WordLabels:
        """What each word of a prompt that was written for a spec names: every word of an object's name carries its labels.

        Raises:
            ValueError: the prompt does not name an object of the spec.
        """
        ids = [token for token in self._tokenizer.encode(prompt).ids if token != UNK]
        classes, colors = [NO_OBJECT] * len(ids), [ANY_COLOR] * len(ids)
        counts: list[int | None] = [None] * len(ids)
        # Longer names first: the "dog" of "hot dog" is no dog.
        forms = {form for entry in spec["include"] for form in self._names[entry["class"]]}
        for entry in sorted(spec["include"], key=lambda entry: -len(self._names[entry["class"]][0])):
            start, stop = self._find(ids, classes, entry["class"], forms, prompt)
            for place in range(start, stop):
                classes[place] = CLASS_INDEX[entry["class"]]
                colors[place] = COLORS.index(entry["color"]) if "color" in entry else ANY_COLOR
                counts[place] = entry["count"] if spec["tag"] == "counting" else None
        return WordLabels([NO_OBJECT, *classes, NO_OBJECT], [ANY_COLOR, *colors, ANY_COLOR], [None, *counts, None])

    def _find(self, ids: list[int], classes: list[int], name: str, forms: set[tuple[int, ...]], prompt: str) -> tuple[int, int]:
        for form in self._names[name]:
            for start in range(len(ids) - len(form) + 1):
                stop = start + len(form)
                # An "orange" before a name is its colour.
                is_color = any(tuple(ids[stop : stop + len(other)]) == other for other in forms)
                if tuple(ids[start:stop]) == form and set(classes[start:stop]) == {NO_OBJECT} and not is_color:
                    return start, stop
        raise ValueError(f"the prompt {prompt!r} does not name the spec's {name!r}")

    def _forms(self, name: str) -> list[tuple[int, ...]]:
        forms = {form: None for form in (name, geneval_plural(name), correct_plural(name))}
        return sorted((tuple(self._tokenizer.encode(form).ids) for form in forms), key=len, reverse=True)


def word_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of word labels int64 [R, L], -1 at padding, under logits float32 [R, L, kinds]; a scalar."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1)


def pad_labels(labels: list[list[int]], length: int) -> Tensor:
    """Labels side by side: int64 [len(labels), length], -1 beyond a prompt's end."""
    return torch.tensor([row + [-1] * (length - len(row)) for row in labels])
