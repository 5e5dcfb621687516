"""Specs derived from a given one: harder to tell from it, or asking for less."""

import copy

import numpy as np

from training.world.classes import COLORABLE, COLORS, RELATIONS
from training.world.spec import Spec

_COUNTS = (2, 3, 4)


def challenge(rng: np.random.Generator, spec: Spec) -> Spec:
    """Changes one class, colour, count or relation of a spec, or swaps two colours or two roles.

    A picture of the original mostly fails the result; `training.world.spec.satisfies` tells whether it does.

    Args:
        rng: source of randomness.
        spec: left unchanged.

    Returns:
        A spec of the same tag.
    """
    changed = copy.deepcopy(spec)
    changed.pop("prompt", None)
    ways = [_change_class]
    match spec["tag"]:
        case "counting":
            ways = [_change_class, _change_count, _change_count, _change_count]
        case "colors":
            ways = [_change_class, _change_color, _change_color]
        case "position":
            ways = [_change_class, _change_relation, _change_relation]
        case "color_attr":
            ways = [_change_class, _change_color, _change_color, _swap_colors]
    ways[int(rng.integers(len(ways)))](rng, changed)
    return changed


def alternatives(spec: Spec) -> list[Spec]:
    """Specs that ask for another count, colour or relation of the same objects; none of two objects, which have neither.

    Of two colours one is changed at a time.
    """
    found = []

    def add(place: int, name: str, value: object) -> None:
        other = copy.deepcopy(spec)
        other.pop("prompt", None)
        other["include"][place][name] = value
        if name == "count":
            other["exclude"] = [{"class": other["include"][place]["class"], "count": value + 1}]
        found.append(other)

    for place, entry in enumerate(spec["include"]):
        if spec["tag"] == "counting":
            for count in _COUNTS:
                if count != entry["count"]:
                    add(place, "count", count)
        for color in COLORS:
            if color != entry.get("color", color):
                add(place, "color", color)
        for relation in RELATIONS:
            if relation != entry.get("position", [relation])[0]:
                add(place, "position", [relation, entry["position"][1]])
    return found


def weaken(rng: np.random.Generator, spec: Spec) -> Spec:
    """Asks for one of the spec's objects only, without its relation: a picture of the original satisfies it too."""
    entry = spec["include"][int(rng.integers(len(spec["include"])))]
    kept = {"class": entry["class"], "count": 1}
    if "color" not in entry:
        return {"tag": "single_object", "include": [kept]}
    return {"tag": "colors", "include": [{**kept, "color": entry["color"]}]}


def _change_class(rng: np.random.Generator, spec: Spec) -> None:
    """Replaces one class by another that takes colours, so that any prompt about it makes sense."""
    used = {entry["class"] for entry in spec["include"]}
    others = [name for name in COLORABLE if name not in used]
    entry = spec["include"][int(rng.integers(len(spec["include"])))]
    entry["class"] = others[int(rng.integers(len(others)))]
    for refused in spec.get("exclude", ()):
        refused["class"] = entry["class"]


def _change_count(rng: np.random.Generator, spec: Spec) -> None:
    entry = spec["include"][0]
    entry["count"] = int(rng.choice([count for count in _COUNTS if count != entry["count"]]))
    spec["exclude"] = [{"class": entry["class"], "count": entry["count"] + 1}]


def _change_color(rng: np.random.Generator, spec: Spec) -> None:
    entry = spec["include"][int(rng.integers(len(spec["include"])))]
    used = {other.get("color") for other in spec["include"]}
    entry["color"] = str(rng.choice([color for color in COLORS if color not in used]))


def _swap_colors(rng: np.random.Generator, spec: Spec) -> None:
    first, second = spec["include"]
    first["color"], second["color"] = second["color"], first["color"]


def _change_relation(rng: np.random.Generator, spec: Spec) -> None:
    position = spec["include"][1]["position"]
    position[0] = str(rng.choice([relation for relation in RELATIONS if relation != position[0]]))
