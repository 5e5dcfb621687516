"""The world's ground truth, prompts and specs."""

from dataclasses import replace

import numpy as np
import pytest

from training.world.atlas import Atlas
from training.world.classes import CLASS_INDEX, CLASSES, COLORS, RELATIONS, TASKS
from training.world.config import WorldConfig
from training.world.prompts import correct_plural, geneval_plural, geneval_prompt
from training.world.recolor import palette, recolor
from training.world.scene import SceneObject
from training.world.spec import relations, satisfies
from training.world.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(WorldConfig())


def known(name: str, color: str | None = None, box: tuple = (0, 0, 30, 30)) -> SceneObject:
    return SceneObject(CLASS_INDEX[name], color, box, box, 0)


@pytest.mark.parametrize("task", TASKS)
def test_a_composed_scene_satisfies_its_spec_and_stays_inside_the_picture(world: World, task: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(60):
        spec = world.sample_spec(rng, task)
        scene = world.compose(rng, spec)
        assert scene.image.shape == (96, 96, 3) and scene.image.dtype == np.uint8
        assert satisfies(scene.objects, spec)
        assert len(scene.objects) == sum(entry["count"] for entry in spec["include"])
        for item in scene.objects:
            x0, y0, x1, y1 = item.box
            assert 0 <= x0 < x1 <= 96 and 0 <= y0 < y1 <= 96


def test_objects_never_overlap_and_stand_on_the_lattice(world: World) -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        cells = [item.cell for item in world.compose(rng, world.sample_spec(rng, "counting")).objects]
        for index, (x0, y0, x1, y1) in enumerate(cells):
            assert x0 % 12 == 0 and y0 % 12 == 0
            for ox0, oy0, ox1, oy1 in cells[:index]:
                assert x1 <= ox0 or ox1 <= x0 or y1 <= oy0 or oy1 <= y0


def test_pixels_outside_every_box_are_the_background(world: World) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        scene = world.compose(rng, world.sample_spec(rng))
        outside = scene.image[~scene.object_mask()].astype(int)
        # A box ends where alpha falls to a quarter; only such faint edge pixels may differ from the tint.
        tint = np.median(outside, axis=0)
        assert (np.abs(outside - tint).max(axis=1) > 0).mean() < 0.05


@pytest.mark.parametrize("color", COLORS)
def test_a_recolored_drawing_is_nearer_to_its_color_than_to_any_other(color: str) -> None:
    anchors = {
        "red": (222, 38, 42), "orange": (248, 138, 20), "yellow": (252, 214, 28), "green": (38, 158, 62),
        "blue": (36, 96, 222), "purple": (132, 56, 186), "pink": (250, 120, 182), "brown": (128, 78, 40),
        "black": (40, 40, 44), "white": (234, 235, 238),
    }  # fmt: skip
    atlas = Atlas(("fluent-emoji-flat",), ("noto",))
    wrong = []
    for choices in atlas.by_class:
        premultiplied, transparency, _ = atlas.render(choices[0], color, 96)
        median = np.median((premultiplied[transparency[..., 0] == 0] // 255), axis=0)
        distances = {name: np.abs(median - anchor).sum() for name, anchor in anchors.items()}
        if min(distances, key=distances.get) != color:
            wrong.append(CLASSES[choices[0].class_index])
    # A median per channel can fall between the tones of a drawing that is mostly outline.
    assert len(wrong) <= 2, wrong


def test_the_palette_makes_of_tones_what_recolouring_makes_of_the_drawing() -> None:
    atlas = Atlas(("twemoji",), ("noto",))
    for class_index in (0, 12, 40):
        (sprite,) = atlas.by_class[class_index]
        tones = atlas.tones(sprite, 48)
        for color, matrix in zip(COLORS, palette(), strict=True):
            # Recolouring rounds every pixel, resizing rounds again.
            np.testing.assert_allclose(tones @ matrix.T, atlas.rgba(sprite, color, 48), atol=2 / 255)


def test_recoloring_keeps_the_order_of_light_and_dark() -> None:
    grey = np.linspace(0, 255, 64).astype(np.uint8)
    rgba = np.stack([grey, grey, grey, np.full(64, 255, np.uint8)], axis=-1)[None]
    for color in COLORS:
        luma = recolor(rgba, color)[0, :, :3] @ np.array([0.299, 0.587, 0.114])
        assert (np.diff(luma) >= -1).all()


def test_an_unknown_color_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match=r"'teal'.*red, orange"):
        recolor(np.zeros((4, 4, 4), np.uint8), "teal")


def test_the_same_seed_draws_the_same_scene(world: World) -> None:
    scenes = []
    for _ in range(2):
        rng = np.random.default_rng(11)
        scenes.append(world.compose(rng, world.sample_spec(rng)))
    assert scenes[0].objects == scenes[1].objects
    assert (scenes[0].image == scenes[1].image).all()


def test_official_prompts_and_their_misspelt_plurals() -> None:
    spec = {"tag": "counting", "include": [{"class": "bus", "count": 3}], "exclude": [{"class": "bus", "count": 4}]}
    assert geneval_prompt(spec) == "a photo of three buses"
    assert [geneval_plural(name) for name in ("sheep", "knife", "scissors")] == ["sheeps", "knifes", "scissorses"]
    assert [correct_plural(name) for name in ("sheep", "knife", "scissors", "bus")] == ["sheep", "knives", "scissors", "buses"]
    position = [{"class": "teddy bear", "count": 1}, {"class": "dog", "count": 1, "position": ["right of", 0]}]
    assert geneval_prompt({"tag": "position", "include": position}) == "a photo of a dog right of a teddy bear"
    colors = [{"class": "wine glass", "count": 1, "color": "purple"}, {"class": "apple", "count": 1, "color": "orange"}]
    assert geneval_prompt({"tag": "color_attr", "include": colors}) == "a photo of a purple wine glass and an orange apple"


def test_paraphrases_name_every_object_and_color(world: World) -> None:
    always = World(replace(world.config, paraphrase_rate=1.0))
    rng = np.random.default_rng(2)
    for _ in range(300):
        spec = always.sample_spec(rng)
        prompt = always.prompt(rng, spec)
        for entry in spec["include"]:
            names = (entry["class"], correct_plural(entry["class"]))
            assert any(name in prompt for name in names), (prompt, spec)
            assert entry.get("color", "") in prompt


@pytest.mark.parametrize(
    ("objects", "spec", "expected"),
    [
        ([known("dog")], {"include": [{"class": "dog", "count": 1}]}, True),
        ([known("cat")], {"include": [{"class": "dog", "count": 1}]}, False),
        ([known("dog"), known("dog")], {"include": [{"class": "dog", "count": 1}]}, True),
        (
            [known("dog")] * 3,
            {"include": [{"class": "dog", "count": 2}], "exclude": [{"class": "dog", "count": 3}]},
            False,
        ),
        ([known("dog", "red")], {"include": [{"class": "dog", "count": 1, "color": "red"}]}, True),
        ([known("dog")], {"include": [{"class": "dog", "count": 1, "color": "red"}]}, False),
        # Only the most certain dog is looked at, as in GenEval.
        ([known("dog", "blue"), known("dog", "red")], {"include": [{"class": "dog", "count": 1, "color": "red"}]}, False),
    ],
)
def test_satisfies_follows_genevals_rules(objects: list, spec: dict, expected: bool) -> None:
    assert satisfies(objects, spec) is expected


def test_relations_need_more_than_the_margin() -> None:
    assert relations((0, 30, 30, 60), (60, 30, 90, 60)) == {"left of"}
    assert relations((0, 60, 30, 90), (0, 0, 30, 30)) == {"below"}
    assert relations((60, 60, 90, 90), (0, 0, 30, 30)) == {"right of", "below"}
    assert relations((2, 0, 32, 30), (0, 0, 30, 30)) == set()


def test_every_relation_is_drawn_as_named(world: World) -> None:
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(80):
        spec = world.sample_spec(rng, "position")
        target, subject = world.compose(rng, spec).objects
        relation = spec["include"][1]["position"][0]
        seen.add(relation)
        assert relation in relations(subject.box, target.box)
    assert seen == set(RELATIONS)


def test_bad_configuration_is_refused_with_the_key_named(tmp_path) -> None:
    path = tmp_path / "world.toml"
    path.write_text("[world]\nlatice = 4\n")
    with pytest.raises(ValueError, match="latice"):
        WorldConfig.from_toml(path)
    with pytest.raises(ValueError, match=r"unknown emoji sets.*'openmoji'"):
        World(WorldConfig(sets=("openmoji",)))
    with pytest.raises(ValueError, match="97 does not fit"):
        WorldConfig(object_sizes=(97,))
