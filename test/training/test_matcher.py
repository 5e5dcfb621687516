"""The matcher: what it finds in composed scenes, what it refuses, and that a file of drawings says the same as the weights."""

import json

import numpy as np
import pytest
from tiny import TINY_WORLD, tiny_quantizer

from training.data.broken_scenes import BrokenScenes
from training.data.drawing_codes import DrawingSet, drawings_file
from training.data.scene_codes import SceneCodes
from training.world.classes import CLASS_INDEX, TASKS
from training.world.held_out import HeldOut
from training.world.scene import SceneObject
from training.world.world import World
from training.yardstick.matcher import Matcher, MatchThresholds

WORLD = World(TINY_WORLD, HeldOut())
QUANTIZER = tiny_quantizer()
CODES = SceneCodes(WORLD, QUANTIZER)
CAT, DOG = ({"class": name, "count": 1} for name in ("cat", "dog"))
ONE_CAT, ONE_DOG = {"tag": "single_object", "include": [CAT]}, {"tag": "single_object", "include": [DOG]}


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(DrawingSet.of_world(WORLD, QUANTIZER), QUANTIZER.decode)


def placed(name: str, corner: tuple[int, int], size: int = 24, color: str | None = None, number: int = 0) -> SceneObject:
    """A drawing of a class with its cell's upper left corner at a pixel."""
    sprite = WORLD.atlas.by_class[CLASS_INDEX[name]][number]
    x, y = corner
    return SceneObject(sprite.class_index, color, (x, y, x + size, y + size), (x, y, x + size, y + size), sprite.index)


def shown(matcher: Matcher, *objects: SceneObject, background: int = 0) -> np.ndarray:
    return matcher.shown(CODES.grid(objects, background).reshape(1, -1))


def test_composed_scenes_of_every_task_are_right(matcher):
    rng = np.random.default_rng(0)
    specs = [WORLD.sample_spec(rng, task) for task in TASKS for _ in range(6)]
    grids = np.stack([CODES.grid(*WORLD.arrange(rng, spec)).ravel() for spec in specs])
    assert matcher.right(matcher.shown(grids), specs).mean() > 0.97


def test_a_reading_names_drawing_colour_size_and_place(matcher):
    image = shown(matcher, placed("cat", (12, 24), color="blue", number=1), background=2)
    (reading,) = matcher.read(image, [[CLASS_INDEX["cat"]]])
    (found,) = reading.objects
    assert (found.class_index, found.color, found.corner) == (CLASS_INDEX["cat"], "blue", (1, 2))
    assert (found.drawing.number, found.drawing.size) == (1, 24)
    assert found.box[0] >= 12 and found.box[1] >= 24 and found.box[2] <= 36 and found.box[3] <= 48
    assert reading.whole.all() and not reading.unexplained.any() and reading.differences.max() == 0


def test_a_whole_drawing_is_not_enough_where_anything_else_is_there(matcher):
    both = shown(matcher, placed("cat", (0, 0)), placed("dog", (24, 24)))
    assert matcher.right(both, [{"tag": "two_object", "include": [CAT, DOG]}]).tolist() == [True]
    assert matcher.right(both, [ONE_CAT]).tolist() == [False]
    (reading,) = matcher.read(both, [[CLASS_INDEX["cat"]]])
    assert reading.whole[0] and not reading.whole[1:].any()
    assert reading.unexplained[2:, 2:].any() and not reading.unexplained[:2, :2].any()


def test_a_second_one_of_the_class_is_refused_where_one_is_asked_for(matcher):
    cats = shown(matcher, placed("cat", (0, 0)), placed("cat", (24, 0)))
    assert matcher.right(cats, [ONE_CAT]).tolist() == [False]
    two = {"tag": "counting", "include": [{"class": "cat", "count": 2}], "exclude": [{"class": "cat", "count": 3}]}
    assert matcher.right(cats, [two]).tolist() == [True]


def test_colours_and_relations_are_facts(matcher):
    red = {"tag": "colors", "include": [{**CAT, "color": "red"}]}
    assert matcher.right(shown(matcher, placed("cat", (0, 0), color="red")), [red]).tolist() == [True]
    assert matcher.right(shown(matcher, placed("cat", (0, 0), color="green")), [red]).tolist() == [False]
    beside = shown(matcher, placed("cat", (0, 12)), placed("dog", (24, 12)))
    relation = {"tag": "position", "include": [CAT, {**DOG, "position": ["right of", 0]}]}
    assert matcher.right(beside, [relation]).tolist() == [True]
    other = {"tag": "position", "include": [CAT, {**DOG, "position": ["left of", 0]}]}
    assert matcher.right(beside, [other]).tolist() == [False]


def test_half_a_drawing_is_no_drawing(matcher):
    grid = CODES.grid((placed("cat", (0, 0)),), 0)
    grid[:, 1] = CODES.plain(0)
    assert matcher.right(matcher.shown(grid.reshape(1, -1)), [ONE_CAT]).tolist() == [False]


def test_what_is_broken_to_the_eye_is_refused(matcher):
    """A drawing here is one or four patches, so that a few faults make another right picture."""
    scenes, rng = BrokenScenes(WORLD, CODES), np.random.default_rng(1)
    for kind in scenes.kinds:
        drawn = [scenes.broken(rng, kind) for _ in range(24)]
        images, whole = (matcher.shown(np.stack([one[which].ravel() for one in drawn])) for which in (0, 1))
        moved = np.abs(images.astype(int) - whole).max((1, 2, 3)) > 100
        right = matcher.right(images, [one[2] for one in drawn])
        assert right[moved].mean() < 0.2, kind


def test_small_differences_are_forgiven_and_large_ones_not(matcher):
    image = shown(matcher, placed("cat", (0, 0)))
    noise = np.random.default_rng(0).normal(0, 6, image.shape)
    soft = np.clip(image + noise, 0, 255).astype(np.uint8)
    assert matcher.right(soft, [ONE_CAT]).tolist() == [True]
    spot = image.copy()
    spot[0, 40:46, 40:46] = 0
    assert matcher.right(spot, [ONE_CAT]).tolist() == [False]


def test_without_a_spec_all_classes_are_looked_for(matcher):
    (reading,) = matcher.read(shown(matcher, placed("umbrella", (0, 0)), placed("clock", (24, 24))))
    assert {found.class_index for found in reading.objects} == {CLASS_INDEX["umbrella"], CLASS_INDEX["clock"]}
    assert not reading.unexplained.any()


def test_a_plain_picture_holds_nothing(matcher):
    (reading,) = matcher.read(shown(matcher), [[CLASS_INDEX["cat"]]])
    assert reading.objects == () and not reading.unexplained.any()
    assert matcher.right(shown(matcher), [ONE_CAT]).tolist() == [False]


def test_verdicts_do_not_depend_on_the_pictures_beside(matcher):
    images = np.concatenate([shown(matcher, placed("cat", (0, 0))), shown(matcher, placed("dog", (12, 0)), background=3)] * 20)
    specs = [ONE_CAT, ONE_DOG] * 20
    assert matcher.right(images, specs).all()
    assert not matcher.right(images, specs[::-1]).any()


def test_a_file_of_drawings_says_what_the_weights_say(matcher, tmp_path):
    path = tmp_path / "drawings.json"
    path.write_text(json.dumps(drawings_file(DrawingSet.of_world(WORLD, QUANTIZER))))
    read, known = DrawingSet.read(path), DrawingSet.of_world(WORLD, QUANTIZER)
    for name in ("person", "cat", "tennis racket"):
        for one, other in zip(read.of_class(CLASS_INDEX[name]), known.of_class(CLASS_INDEX[name]), strict=True):
            assert np.array_equal(one.codes, other.codes)
            assert (one.color, one.size, one.box, one.number) == (other.color, other.size, other.box, other.number)
    image = shown(matcher, placed("cat", (0, 0), color="pink"))
    assert Matcher(read, QUANTIZER.decode).right(image, [{"tag": "colors", "include": [{**CAT, "color": "pink"}]}]).all()


@pytest.mark.parametrize("settings", [{"misfit": 0}, {"misfit": 1}, {"patch": 0}, {"patch": 255}])
def test_thresholds_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="must be above 0 and below"):
        MatchThresholds(**settings)


def test_pictures_of_another_size_are_refused_by_name(matcher):
    with pytest.raises(ValueError, match=r"images must be uint8 \[R, 48, 48, 3\], got uint8 \[1, 96, 96, 3\]"):
        matcher.right(np.zeros((1, 96, 96, 3), np.uint8), [ONE_CAT])
    with pytest.raises(ValueError, match="2 pictures but classes or specs of 1"):
        matcher.right(np.zeros((2, 48, 48, 3), np.uint8), [ONE_CAT])
