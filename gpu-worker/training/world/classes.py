"""The closed vocabulary of the world: object classes, colours, relations and number words.

Names and orders follow GenEval (`object_names.txt`, `evaluation/create_prompts.py`), restricted to the classes that
at least three emoji sets draw. `class_index` everywhere means the index in `CLASSES`, not GenEval's own line number.
"""

CLASSES: tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "stop sign", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack",
    "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "sports ball", "kite", "skateboard",
    "tennis racket", "bottle", "wine glass", "cup", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "toilet", "tv", "laptop", "computer mouse", "computer keyboard", "cell phone", "book", "clock", "vase",
    "scissors", "teddy bear", "toothbrush",
)  # fmt: skip
CLASS_INDEX: dict[str, int] = {name: index for index, name in enumerate(CLASSES)}

COLORS: tuple[str, ...] = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white",
)  # fmt: skip

# GenEval never gives a person a colour: "a red person" has no agreed meaning.
COLORABLE: tuple[str, ...] = tuple(name for name in CLASSES if name != "person")

RELATIONS: tuple[str, ...] = ("left of", "right of", "above", "below")
COUNT_WORDS: tuple[str, ...] = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
)  # fmt: skip
TASKS: tuple[str, ...] = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
