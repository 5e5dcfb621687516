"""The words of a spec: GenEval's own templates, and ordinary paraphrases of them."""

import numpy as np

from training.world.classes import CLASSES, COUNT_WORDS
from training.world.spec import Spec

_IRREGULAR_PLURALS = {
    "person": "people", "bus": "buses", "sheep": "sheep", "skis": "skis", "wine glass": "wine glasses",
    "knife": "knives", "sandwich": "sandwiches", "broccoli": "broccoli", "couch": "couches", "scissors": "scissors",
    "computer mouse": "computer mice", "toothbrush": "toothbrushes",
}  # fmt: skip
_OPENINGS = (
    "a picture of", "an image of", "a drawing of", "an emoji of", "a photo of", "show me", "draw", "please draw",
    "make a picture of", "i want", "generate", "",
)  # fmt: skip
_RELATION_PHRASES = {
    "left of": ("to the left of", "on the left of", "left of"),
    "right of": ("to the right of", "on the right of", "right of"),
    "above": ("above", "on top of", "over"),
    "below": ("below", "under", "underneath", "beneath"),
}
_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_JOINERS = ("and", "and", "with", "next to", "beside", "near")


def with_article(noun: str) -> str:
    """GenEval's article: "an" before a, e, i, o, u."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def geneval_plural(name: str) -> str:
    """GenEval's plural, misspellings kept ("benchs", "sheeps", "buses"), because its prompts are spelled so."""
    return name + ("es" if name.endswith("s") else "s")


def correct_plural(name: str) -> str:
    """The plural a person would write."""
    return _IRREGULAR_PLURALS.get(name, name + "s")


def geneval_prompt(spec: Spec) -> str:
    """The prompt GenEval itself writes for a spec. Source: `prompts/create_prompts.py`."""
    include = spec["include"]
    if spec["tag"] == "counting":
        return f"a photo of {COUNT_WORDS[include[0]['count']]} {geneval_plural(include[0]['class'])}"
    if spec["tag"] == "position":
        target, subject = include
        return f"a photo of {with_article(subject['class'])} {subject['position'][0]} {with_article(target['class'])}"
    return "a photo of " + " and ".join(with_article(_plain_name(entry)) for entry in include)


def paraphrase(rng: np.random.Generator, spec: Spec) -> str:
    """An ordinary way to ask for the same spec; a function of the generator's state only."""
    opening = _choose(rng, _OPENINGS)
    include = spec["include"]
    if spec["tag"] == "counting":
        count = include[0]["count"]
        number = str(count) if rng.random() < 0.3 else COUNT_WORDS[count]
        body = f"{number} {correct_plural(include[0]['class'])}"
    elif spec["tag"] == "position":
        body = _position_phrase(rng, include[1]["class"], include[1]["position"][0], include[0]["class"])
    else:
        order = list(rng.permutation(len(include)))
        body = f" {_choose(rng, _JOINERS)} ".join(_noun_phrase(rng, include[index]) for index in order)
    return f"{opening} {body}".strip()


def vocabulary() -> list[str]:
    """Every word the grammar can produce, sorted."""
    from training.world.classes import COLORS, RELATIONS

    texts = [*CLASSES, *COLORS, *RELATIONS, *COUNT_WORDS, *_OPENINGS, *_JOINERS, *map(correct_plural, CLASSES)]
    texts += [*map(geneval_plural, CLASSES), *(str(number) for number in range(11))]
    texts += [phrase for phrases in _RELATION_PHRASES.values() for phrase in phrases]
    texts += ["a an the one photo of colored that is in are"]
    return sorted({word for text in texts for word in text.split()})


def _choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _plain_name(entry: dict) -> str:
    return f"{entry['color']} {entry['class']}" if "color" in entry else entry["class"]


def _noun_phrase(rng: np.random.Generator, entry: dict) -> str:
    if "color" not in entry:
        return _choose(rng, (with_article(entry["class"]), f"one {entry['class']}", f"the {entry['class']}", entry["class"]))
    plain, name, color = _plain_name(entry), entry["class"], entry["color"]
    forms = (
        with_article(plain), f"one {plain}", f"the {plain}", plain,
        with_article(f"{color} colored {name}"), f"{with_article(name)} that is {color}", f"{with_article(name)} in {color}",
    )  # fmt: skip
    return _choose(rng, forms)


def _position_phrase(rng: np.random.Generator, subject: str, relation: str, target: str) -> str:
    if rng.random() < 0.3:
        subject, relation, target = target, _OPPOSITE[relation], subject
    phrase = _choose(rng, _RELATION_PHRASES[relation])
    article = (lambda noun: f"the {noun}") if rng.random() < 0.2 else with_article
    return f"{article(subject)} {phrase} {article(target)}"
