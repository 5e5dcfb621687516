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
# What a picture's style is called: the set its drawings are taken from, then its background; in the order of the world's.
SET_WORDS = ("fluent", "twemoji")
TINT_WORDS = ("sky", "sand", "mint", "lilac")
# Apart from the streams of a picture's steps, which count from 0.
_STYLE_STREAM = 1_000_000


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


def styled(prompt: str, set_index: int, background: int) -> str:
    """A prompt whose picture's style is told: the words of a set and of a background, then the prompt's own."""
    return f"{SET_WORDS[set_index]} {TINT_WORDS[background]} {prompt}"


def drawn_style(rng: np.random.Generator, prompt: str) -> str:
    """A prompt with the words of a style drawn for its picture; a function of the generator's state only."""
    return styled(prompt, int(rng.integers(len(SET_WORDS))), int(rng.integers(len(TINT_WORDS))))


def drawn_styles(prompts: list[str], seed: int) -> list[str]:
    """`drawn_style` of each prompt; a function of prompts and seed."""
    rng = np.random.default_rng((seed, _STYLE_STREAM))
    return [drawn_style(rng, prompt) for prompt in prompts]


def count_only(prompt: str, spec: Spec) -> str:
    """A counting prompt without its noun ("a photo of three"), so that how many is learned from one word in all classes.

    Raises:
        ValueError: the prompt does not end with the plural of the spec's class.
    """
    for plural in (geneval_plural(spec["include"][0]["class"]), correct_plural(spec["include"][0]["class"])):
        if prompt.endswith(f" {plural}"):
            return prompt.removesuffix(f" {plural}")
    raise ValueError(f"{prompt!r} does not end with what {spec} counts")


def vocabulary() -> list[str]:
    """Every word the grammar can produce: those of prompts, sorted, then those of styles."""
    from training.world.classes import COLORS, RELATIONS

    texts = [*CLASSES, *COLORS, *RELATIONS, *COUNT_WORDS, *_OPENINGS, *_JOINERS, *map(correct_plural, CLASSES)]
    texts += [*map(geneval_plural, CLASSES), *(str(number) for number in range(11))]
    texts += [phrase for phrases in _RELATION_PHRASES.values() for phrase in phrases]
    texts += ["a an the one photo of colored that is in are"]
    # Styles came later: the ids of all other words, and with them the verifiers' tables, stay as they were.
    return [*sorted({word for text in texts for word in text.split()}), *SET_WORDS, *TINT_WORDS]


def word_groups() -> list[tuple[str, str | None]]:
    """The stem of every word of `vocabulary`, and the mark that tells it from the stem, in the same order.

    A plural has its singular's stem and the mark "plural"; a digit has its number word's stem and the mark "digit"; any other
    word is its own stem and has no mark. So what is learned of "cat" and of "plural" is known of "cats", seen or not.
    """
    stems = {}
    for name in CLASSES:
        singular = name.split()[-1]
        for plural in (geneval_plural(name), correct_plural(name)):
            if (word := plural.split()[-1]) != singular:
                stems[word] = (singular, "plural")
    stems |= {str(number): (word, "digit") for number, word in enumerate(COUNT_WORDS)}
    return [stems.get(word, (word, None)) for word in vocabulary()]


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
