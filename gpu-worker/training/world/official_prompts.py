"""GenEval's own 553 prompts, made anew by its published recipe.

Source: https://github.com/djghosh13/geneval (MIT), `prompts/create_prompts.py` with seed 43. The recipe's draws depend on
NumPy's generator; a test compares the result with the published file's SHA-256.
"""

import json

import numpy as np

from training.world.classes import COLORS, RELATIONS
from training.world.prompts import geneval_prompt
from training.world.spec import Spec

# GenEval's object_names.txt: COCO's 80 classes in COCO's order, some renamed.
OFFICIAL_CLASSES: tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot",
    "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop",
    "computer mouse", "tv remote", "computer keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
_SEED = 43
_DRAWS = 100


def official_prompts() -> list[Spec]:
    """All 553 in GenEval's order: metadata objects with their `prompt`."""
    rng = np.random.default_rng(_SEED)
    person = OFFICIAL_CLASSES.index("person")
    count = len(OFFICIAL_CLASSES)
    specs: list[Spec] = [_spec("single_object", [{"class": name}]) for name in _drawn(rng, OFFICIAL_CLASSES, count)]
    for _ in range(_DRAWS):
        specs.append(_spec("two_object", [{"class": name} for name in _drawn(rng, OFFICIAL_CLASSES, 2)]))
    for _ in range(_DRAWS):
        name, number = OFFICIAL_CLASSES[rng.choice(count)], int(rng.integers(2, 4, endpoint=True))
        specs.append(
            {"tag": "counting", "include": [{"class": name, "count": number}], "exclude": [{"class": name, "count": number + 1}]}
        )
    for _ in range(_DRAWS):
        name = OFFICIAL_CLASSES[(rng.choice(count - 1) + 1 + person) % count]
        specs.append(_spec("colors", [{"class": name, "color": COLORS[rng.choice(len(COLORS))]}]))
    for _ in range(_DRAWS):
        subject, target = _drawn(rng, OFFICIAL_CLASSES, 2)
        relation = RELATIONS[rng.choice(len(RELATIONS))]
        specs.append(_spec("position", [{"class": target}, {"class": subject, "position": [relation, 0]}]))
    for _ in range(_DRAWS):
        names = [OFFICIAL_CLASSES[(index + 1 + person) % count] for index in rng.choice(count - 1, size=2, replace=False)]
        colors = _drawn(rng, COLORS, 2)
        include = [{"class": name, "color": color} for name, color in zip(names, colors, strict=True)]
        specs.append(_spec("color_attr", include))
    worded = [{**spec, "prompt": geneval_prompt(spec)} for spec in specs]
    return list({json.dumps(spec): spec for spec in worded}.values())  # GenEval keeps the first of equal ones


def _drawn(rng: np.random.Generator, names: tuple[str, ...], count: int) -> list[str]:
    return [names[int(index)] for index in rng.choice(len(names), size=count, replace=False)]


def _spec(task: str, entries: list[dict]) -> Spec:
    """Metadata with GenEval's order of keys: class, count, then the rest."""
    return {"tag": task, "include": [{"class": entry.pop("class"), "count": 1, **entry} for entry in entries]}
