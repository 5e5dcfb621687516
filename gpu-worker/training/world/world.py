"""Draws specs, composes scenes that satisfy them, and words their prompts."""

import numpy as np

from training.world.atlas import Atlas
from training.world.classes import CLASS_INDEX, CLASSES, COLORABLE, COLORS, RELATIONS, TASKS
from training.world.config import WorldConfig
from training.world.held_out import HeldOut, evaluation_held_out
from training.world.prompts import geneval_prompt, paraphrase
from training.world.scene import Scene, SceneObject
from training.world.spec import Spec, satisfies

_PLACEMENT_ATTEMPTS = 1000


class World:
    """The distribution of scenes and prompts. Holds no random state: every method takes the generator it draws from.

    It draws nothing that is held out, by default what the committed evaluation sets score.
    """

    def __init__(self, config: WorldConfig, held_out: HeldOut | None = None):
        self.config = config
        self._held_out = evaluation_held_out() if held_out is None else held_out
        self.atlas = Atlas(config.sets, config.fallback_sets)
        self._task_shares = np.asarray(config.task_weights) / sum(config.task_weights)

    def sample_spec(self, rng: np.random.Generator, task: str | None = None) -> Spec:
        """Draws what a picture must contain, in GenEval's metadata form.

        Args:
            rng: source of randomness.
            task: one of `TASKS`, or None to draw one by `task_weights`.

        Raises:
            ValueError: the task is unknown.
        """
        if task is None:
            task = str(rng.choice(TASKS, p=self._task_shares))
        spec = self._draw_spec(rng, task)
        while self._held_out.holds(spec):
            spec = self._draw_spec(rng, task)
        return spec

    def _draw_spec(self, rng: np.random.Generator, task: str) -> Spec:
        match task:
            case "single_object":
                include = [_entry(name) for name in _names(rng, CLASSES, 1)]
            case "two_object":
                include = [_entry(name) for name in _names(rng, CLASSES, 2)]
            case "counting":
                count = int(rng.integers(2, 5))
                name = _names(rng, CLASSES, 1)[0]
                exclude = [{"class": name, "count": count + 1}]
                return {"tag": task, "include": [{"class": name, "count": count}], "exclude": exclude}
            case "colors":
                include = [{**_entry(_names(rng, COLORABLE, 1)[0]), "color": str(rng.choice(COLORS))}]
            case "position":
                target, subject = _names(rng, CLASSES, 2)
                relation = str(rng.choice(RELATIONS))
                include = [_entry(target), {**_entry(subject), "position": [relation, 0]}]
            case "color_attr":
                colors = rng.choice(COLORS, size=2, replace=False)
                names = _names(rng, COLORABLE, 2)
                include = [{**_entry(name), "color": str(color)} for name, color in zip(names, colors, strict=True)]
            case _:
                raise ValueError(f"unknown task {task!r}; known are {', '.join(TASKS)}")
        return {"tag": task, "include": include}

    def compose(self, rng: np.random.Generator, spec: Spec) -> Scene:
        """Draws a scene that satisfies a spec and holds nothing else.

        Returns:
            Scene with image uint8 [image_size, image_size, 3].

        Raises:
            ValueError: as `arrange`.
        """
        objects, background = self.arrange(rng, spec)
        return Scene(self.draw(objects, background), objects, background)

    def arrange(
        self, rng: np.random.Generator, spec: Spec, set_index: int | None = None
    ) -> tuple[tuple[SceneObject, ...], int]:
        """Chooses drawings, places and background of a scene that satisfies a spec, without drawing it.

        Args:
            rng: source of randomness.
            spec: what the scene must hold.
            set_index: of `config.sets`, the set that all drawings are taken from, as far as it draws their classes; None draws
                each object's by itself.

        Returns:
            (objects, index of the background in `config.backgrounds`).

        Raises:
            ValueError: the spec asks for more objects than a scene can hold, or for what no placement can fulfil.
        """
        wanted = [entry for entry in spec["include"] for _ in range(entry["count"])]
        if not 1 <= len(wanted) <= len(self.config.object_sizes):
            raise ValueError(f"a scene holds 1 to {len(self.config.object_sizes)} objects, the spec asks for {len(wanted)}")
        sizes = self.config.object_sizes
        smaller = rng.random() < self.config.smaller_rate and not any("color" in entry for entry in wanted)
        size = sizes[min(len(wanted) - 1 + smaller, len(sizes) - 1)]
        drawings = [(self._pick_sprite(rng, entry, set_index), self._pick_color(rng, entry)) for entry in wanted]
        for _ in range(_PLACEMENT_ATTEMPTS):
            corners = self._place(rng, len(wanted), size)
            objects = tuple(
                self._locate(sprite, color, corner, size) for (sprite, color), corner in zip(drawings, corners, strict=True)
            )
            if satisfies(objects, spec):
                return objects, int(rng.integers(len(self.config.backgrounds)))
        raise ValueError(f"no placement of {len(wanted)} objects of {size} px satisfies {spec}")

    def draw(self, objects: tuple[SceneObject, ...], background: int) -> np.ndarray:
        """Pixels of arranged objects: uint8 [image_size, image_size, 3].

        Args:
            objects: from `arrange`; they must not overlap.
            background: index in `config.backgrounds`.
        """
        image = np.empty((self.config.image_size, self.config.image_size, 3), dtype=np.uint8)
        image[:] = self.config.backgrounds[background]
        for known in objects:
            x0, y0, x1, y1 = known.cell
            premultiplied, transparency, _ = self.atlas.render(self.atlas.sprites[known.sprite], known.color, x1 - x0)
            under = image[y0:y1, x0:x1].astype(np.uint32)
            image[y0:y1, x0:x1] = (premultiplied + under * transparency + 127) // 255
        return image

    def prompt(self, rng: np.random.Generator, spec: Spec) -> str:
        """Words a spec: GenEval's template, or with probability `paraphrase_rate` an ordinary paraphrase.

        Where GenEval's words are held out, always a paraphrase.
        """
        prompt = geneval_prompt(spec)
        if rng.random() < self.config.paraphrase_rate:
            prompt = paraphrase(rng, spec)
        while self._held_out.holds_prompt(prompt):
            prompt = paraphrase(rng, spec)
        return prompt

    def _pick_sprite(self, rng: np.random.Generator, entry: dict, set_index: int | None):
        choices = self.atlas.by_class[CLASS_INDEX[entry["class"]]]
        if set_index is not None:
            of_set = [sprite for sprite in choices if sprite.set == self.config.sets[set_index]]
            choices = of_set or choices
        return choices[int(rng.integers(len(choices)))]

    def _pick_color(self, rng: np.random.Generator, entry: dict) -> str | None:
        if "color" in entry:
            return entry["color"]
        free = entry["class"] in COLORABLE and rng.random() < self.config.free_color_rate
        return str(rng.choice(COLORS)) if free else None

    def _place(self, rng: np.random.Generator, count: int, size: int) -> list[tuple[int, int]]:
        """Top-left corners of `count` squares on the lattice that do not overlap."""
        positions = (self.config.image_size - size) // self.config.lattice + 1
        corners: list[tuple[int, int]] = []
        for _ in range(_PLACEMENT_ATTEMPTS):
            x, y = (int(value) * self.config.lattice for value in rng.integers(positions, size=2))
            if all(abs(x - other[0]) >= size or abs(y - other[1]) >= size for other in corners):
                corners.append((x, y))
                if len(corners) == count:
                    return corners
            # A few squares can block all room for the next one: begin again rather than search on.
            elif rng.random() < 0.1:
                corners.clear()
        raise ValueError(f"could not place {count} squares of {size} px in {self.config.image_size} px")

    def _locate(self, sprite, color: str | None, corner: tuple[int, int], size: int) -> SceneObject:
        x, y = corner
        left, top, right, bottom = self.atlas.render(sprite, color, size)[2]
        box = (x + left, y + top, x + right, y + bottom)
        return SceneObject(sprite.class_index, color, box, (x, y, x + size, y + size), sprite.index)


def _entry(name: str) -> dict:
    return {"class": name, "count": 1}


def _names(rng: np.random.Generator, names: tuple[str, ...], count: int) -> list[str]:
    return [names[int(index)] for index in rng.choice(len(names), size=count, replace=False)]
