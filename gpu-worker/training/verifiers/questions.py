"""What to ask about a picture, so that right and wrong are about equal and wrong is only just wrong."""

from collections.abc import Callable, Sequence

import numpy as np

from training.world.classes import CLASSES, COLORABLE, TASKS
from training.world.held_out import HeldOut
from training.world.spec import KnownObject, Spec, relations
from training.world.spec_challenges import alternatives, challenge, weaken
from training.world.world import World

# Specs drawn before an answer of the other kind is accepted.
_ATTEMPTS = 6
_LARGEST_COUNT = 4
# Share of probably right specs that ask for one of the objects only.
_WEAKER = 0.3


class Questioner:
    """Draws specs to ask about pictures, and words them; never what is held out."""

    def __init__(self, world: World, held_out: HeldOut):
        """`held_out` should be what the world itself avoids."""
        self._world, self._held_out = world, held_out

    def may_ask(self, asked: Spec, shows: Callable[[Spec], bool]) -> bool:
        """Whether neither a spec, nor what a picture shows in its place, is held out.

        A picture of three cats, where three cats must not be asked for, could only ever be the wrong answer to two or four; a
        verifier that is trained for long enough learns just that, and says no to every picture of three cats.

        Args:
            asked: a spec.
            shows: whether the picture, or one that its answers are about, satisfies a spec.
        """
        if self._held_out.holds(asked):
            return False
        return not any(self._held_out.holds(other) and shows(other) for other in alternatives(asked))

    def ask(
        self,
        rng: np.random.Generator,
        own: Spec,
        shown: Sequence[KnownObject],
        is_right: Callable[[Spec], bool],
        count: int,
        shows: Callable[[Spec], bool] | None = None,
    ) -> list[Spec]:
        """`count` specs with their `prompt`: the picture's own first, then as many right as wrong ones.

        Right ones say what the picture was made for, less than that, or what it shows instead. Wrong ones differ from either
        in one class, colour, count or relation: the mistakes that generators make.

        Args:
            rng: source of randomness.
            own: what the picture was made for, with its prompt.
            shown: objects that the picture holds.
            is_right: whether the picture satisfies a spec.
            count: at least 1.
            shows: as of `may_ask`, where answers are about more than one picture; `is_right` unless given.
        """
        return [own, *(self._ask_once(rng, own, shown, is_right, shows or is_right) for _ in range(count - 1))]

    def _ask_once(
        self,
        rng: np.random.Generator,
        own: Spec,
        shown: Sequence[KnownObject],
        is_right: Callable[[Spec], bool],
        shows: Callable[[Spec], bool],
    ) -> Spec:
        wanted = bool(rng.random() < 0.5)
        for _ in range(_ATTEMPTS):
            asked = self._draw(rng, own, shown, wanted, shows)
            if is_right(asked) == wanted:
                break
        return {**asked, "prompt": self._world.prompt(rng, asked)}

    def _draw(
        self, rng: np.random.Generator, own: Spec, shown: Sequence[KnownObject], wanted: bool, shows: Callable[[Spec], bool]
    ) -> Spec:
        """A spec that is probably right, or probably only just wrong."""
        for _ in range(_ATTEMPTS):
            asked = (describe(rng, shown) if rng.random() < 0.5 else None) or own
            if not wanted:
                asked = challenge(rng, asked)
            elif rng.random() < _WEAKER:
                asked = weaken(rng, asked)
            if self.may_ask(asked, shows):
                return asked
        return self._world.sample_spec(rng)


def describe(rng: np.random.Generator, shown: Sequence[KnownObject]) -> Spec | None:
    """A spec of a random task that objects satisfy, or None when they satisfy none of the task drawn."""
    task = str(rng.choice(TASKS))
    by_class: dict[str, list[KnownObject]] = {}
    for known in shown:
        by_class.setdefault(CLASSES[known.class_index], []).append(known)
    colored = {name: objects[0].color for name, objects in by_class.items() if name in COLORABLE and objects[0].color}
    match task:
        case "single_object":
            return _spec(task, [{"class": name} for name in _some(rng, list(by_class), 1)])
        case "two_object":
            return _spec(task, [{"class": name} for name in _some(rng, list(by_class), 2)])
        case "counting":
            several = [name for name, objects in by_class.items() if 2 <= len(objects) <= _LARGEST_COUNT]
            return _counting([(name, len(by_class[name])) for name in _some(rng, several, 1)])
        case "colors":
            return _spec(task, [{"class": name, "color": colored[name]} for name in _some(rng, list(colored), 1)])
        case "color_attr":
            pair = [{"class": name, "color": colored[name]} for name in _some(rng, list(colored), 2)]
            return _spec(task, pair) if len({entry["color"] for entry in pair}) == 2 else None
        case _:
            return _position(rng, by_class)


def _position(rng: np.random.Generator, by_class: dict[str, list[KnownObject]]) -> Spec | None:
    names = _some(rng, list(by_class), 2)
    if not names:
        return None
    target, subject = names
    holding = sorted(relations(by_class[subject][0].box, by_class[target][0].box))
    if not holding:
        return None
    return _spec("position", [{"class": target}, {"class": subject, "position": [str(rng.choice(holding)), 0]}])


def _counting(found: list[tuple[str, int]]) -> Spec | None:
    if not found:
        return None
    [(name, count)] = found
    return {
        "tag": "counting", "include": [{"class": name, "count": count}], "exclude": [{"class": name, "count": count + 1}],
    }  # fmt: skip


def _spec(task: str, entries: list[dict]) -> Spec | None:
    if not entries:
        return None
    return {"tag": task, "include": [{"class": entry.pop("class"), "count": 1, **entry} for entry in entries]}


def _some(rng: np.random.Generator, names: list[str], count: int) -> list[str]:
    """`count` of `names`, or none of them when they are fewer."""
    if len(names) < count:
        return []
    return [names[int(index)] for index in rng.choice(len(names), size=count, replace=False)]
