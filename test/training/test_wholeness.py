"""Pictures are whole when they are whole drawings of what their prompt names, and nothing else."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny import TINY_WORLD, tiny_quantizer

from training.data.drawing_codes import DrawingSet
from training.data.scene_codes import SceneCodes
from training.world.scene import SceneObject
from training.world.spec import Spec
from training.world.world import World
from training.yardstick.matcher import Matcher
from training.yardstick.wholeness import Wholeness

CAT = {"tag": "single_object", "include": [{"class": "cat", "count": 1}]}
CATS = {"tag": "counting", "include": [{"class": "cat", "count": 2}], "exclude": [{"class": "cat", "count": 3}]}
RED_BUS_AND_CAT = {
    "tag": "color_attr",
    "include": [{"class": "bus", "count": 1, "color": "red"}, {"class": "cat", "count": 1, "color": "blue"}],
}
Drawn = tuple[tuple[SceneObject, ...], np.ndarray]


@pytest.fixture(scope="module")
def world() -> World:
    return World(TINY_WORLD)


@pytest.fixture(scope="module")
def codes(world: World) -> SceneCodes:
    return SceneCodes(world, tiny_quantizer())


@pytest.fixture(scope="module")
def decode() -> Callable[[torch.Tensor], torch.Tensor]:
    return tiny_quantizer().decode


@pytest.fixture(scope="module")
def wholeness(world: World, codes: SceneCodes, decode) -> Wholeness:
    return Wholeness(Matcher(DrawingSet.of_world(world, tiny_quantizer()), decode))


def drawn(world: World, codes: SceneCodes, spec: Spec, seed: int) -> Drawn:
    """A scene of a spec: its objects, and its codes int64 [grid, grid]."""
    objects, background = world.arrange(np.random.default_rng(seed), spec)
    return objects, codes.grid(objects, background)


def pictures(decode, *grids: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return decode(torch.from_numpy(np.stack([grid.ravel() for grid in grids]))).numpy()


@pytest.mark.parametrize("spec", [CAT, CATS, RED_BUS_AND_CAT], ids=lambda spec: spec["tag"])
def test_composed_scenes_are_whole(spec, world, codes, decode, wholeness):
    grids = [drawn(world, codes, spec, seed)[1] for seed in range(8)]
    assert wholeness.of(pictures(decode, *grids), [spec] * 8).tolist() == [True] * 8


def test_a_picture_with_a_foreign_patch_is_broken_and_so_is_one_of_nothing(world, codes, decode, wholeness):
    for seed in range(6):
        _, grid = drawn(world, codes, CAT, seed)
        # Of a class that the prompt does not name, so that no small drawing of a cat looks like it.
        _, other = drawn(world, codes, {"tag": "single_object", "include": [{"class": "bus", "count": 1}]}, seed)
        foreign, is_plain = other[other < codes.plain(0)][0], grid >= codes.plain(0)
        patched, stray, empty = grid.copy(), grid.copy(), np.full_like(grid, codes.plain(1))
        patched[tuple(np.argwhere(~is_plain)[0])] = foreign
        stray[tuple(np.argwhere(is_plain)[-1])] = foreign
        shown = pictures(decode, grid, patched, stray, empty)
        assert wholeness.of(shown, [CAT] * 4).tolist() == [True, False, False, False], seed


def test_a_whole_drawing_of_something_else_is_not_asked_for(world, codes, decode, wholeness):
    _, grid = drawn(world, codes, RED_BUS_AND_CAT, 3)
    shown = pictures(decode, grid, grid)
    giraffe = {"tag": "single_object", "include": [{"class": "giraffe", "count": 1}]}
    assert wholeness.of(shown, [RED_BUS_AND_CAT, giraffe]).tolist() == [True, False]


def test_how_many_and_in_which_colours_is_not_asked_here(world, codes, decode, wholeness):
    _, two = drawn(world, codes, CATS, 2)
    other_colors = {**RED_BUS_AND_CAT, "include": [{**entry, "color": "green"} for entry in RED_BUS_AND_CAT["include"]]}
    _, colored = drawn(world, codes, RED_BUS_AND_CAT, 4)
    assert wholeness.of(pictures(decode, two, colored), [CAT, other_colors]).tolist() == [True, True]


def test_a_pictures_verdict_does_not_depend_on_the_pictures_beside_it(world, codes, decode, wholeness):
    """In this world a patch of a red bus is a small red cat; which was tried first depended on the batch."""
    _, both = drawn(world, codes, RED_BUS_AND_CAT, 4)
    for beside in range(6):
        _, cats = drawn(world, codes, CATS, beside)
        assert wholeness.of(pictures(decode, cats, both), [CATS, RED_BUS_AND_CAT]).tolist() == [True, True]
    alone = Wholeness(Matcher(DrawingSet.of_world(world, tiny_quantizer()), decode)).of(pictures(decode, both), [RED_BUS_AND_CAT])
    assert alone.tolist() == [True]
