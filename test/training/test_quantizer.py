"""Codes, reconstruction, and a decoder that learns."""

import numpy as np
import pytest
import torch
from tiny import TINY_CODES, TINY_QUANTIZER, TINY_WORLD, tiny_quantizer

from training.data.drawing_patches import cut, drawing_patches, emphasis
from training.data.scene_codes import SceneCodes
from training.loop.budget import rate_scale
from training.loop.checkpoint import load_checkpoint, load_weights, save_weights
from training.models.quantizer import Quantizer, QuantizerConfig, nearest, tint_features
from training.stages.codebook import CodebookSettings, weighted_kmeans
from training.stages.train_quantizer import QuantizerTraining, SceneBatch, measure_quantizer, quantizer_loss, scene_batch
from training.world.classes import CLASSES, COLORS
from training.world.config import WorldConfig
from training.world.world import World

PLAIN = TINY_QUANTIZER.drawing_codes


@pytest.fixture(scope="module")
def world() -> World:
    return World(TINY_WORLD)


@pytest.fixture(scope="module")
def scene_codes(world: World) -> SceneCodes:
    return SceneCodes(world, tiny_quantizer())


def sample(world: World, scene_codes: SceneCodes, size: int, seed: int = 0) -> SceneBatch:
    return scene_batch(world, scene_codes, np.random.default_rng(seed), size)


def test_kmeans_finds_the_weighted_means_of_separate_heaps() -> None:
    points = torch.tensor([[0.0, 0], [1, 0], [10, 0], [10, 3], [-9, 9]])
    found = weighted_kmeans(points, torch.tensor([3.0, 1, 1, 2, 1]), 3, CodebookSettings(rounds=10))
    assert sorted(found.tolist()) == [[-9, 9], [0.25, 0], [10, 2]]


def test_no_centroid_stays_without_points() -> None:
    points = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    found = weighted_kmeans(points, torch.ones(200), 200, CodebookSettings(rounds=30))
    nearest = torch.cdist(points, found).argmin(1)
    assert nearest.unique().numel() == 200


def test_distance_of_features_is_that_of_pixels_averaged_over_the_backgrounds() -> None:
    generator = torch.Generator().manual_seed(0)
    tints = torch.rand(4, 3, generator=generator)
    patches = torch.rand(2, 12, 12, 4, generator=generator)
    first, second = tint_features(patches, tints)
    shown = [patch[..., :3] + (1 - patch[..., 3:]) * tint for tint in tints for patch in patches]
    expected = sum((shown[2 * index] - shown[2 * index + 1]).square().sum() for index in range(4)) / 4
    torch.testing.assert_close((first - second).square().sum(), expected)


def test_a_faint_drawing_counts_more_and_never_more_than_four_times() -> None:
    assert emphasis(200) == emphasis(85) == 1
    assert emphasis(42.5) == 2
    assert emphasis(1) == emphasis(0) == 4


def test_patches_are_cut_row_by_row() -> None:
    picture = np.arange(4 * 4 * 4).reshape(4, 4, 4)
    assert (cut(picture, 2)[1] == picture[:2, 2:]).all() and (cut(picture, 2)[2] == picture[2:, :2]).all()


def test_every_drawing_gives_patches_and_white_ones_count_more(world: World) -> None:
    drawn = drawing_patches(world, 12)
    for patches, weights in ((drawn.own, drawn.own_weights), (drawn.tones, drawn.tone_weights)):
        assert patches.shape[1:] == (12, 12, 4) and len(patches) == len(weights) and weights.min() > 0
        assert patches.min() >= 0 and patches.max() <= 1
        assert (patches[..., :3] <= patches[..., 3:] + 1e-6).all(), "colour is multiplied by opacity"
    assert drawn.own_weights.max() > 4 * drawn.own_weights.min()


def test_a_drawing_in_another_colour_has_the_same_tones(world: World, scene_codes: SceneCodes) -> None:
    config = tiny_quantizer().config

    def codes(color: str) -> np.ndarray:
        spec = {"tag": "colors", "include": [{"class": "apple", "count": 1, "color": color}]}
        return scene_codes.grid(*world.arrange(np.random.default_rng(7), spec)).ravel()

    red, blue = codes("red"), codes("blue")
    drawn = red < PLAIN
    assert drawn.any() and (drawn == (blue < PLAIN)).all()
    assert (red[drawn] >= config.own_codes).all()
    assert (blue[drawn] - red[drawn] == (COLORS.index("blue") - COLORS.index("red")) * config.tones).all()


def test_codes_of_own_colours_and_of_tones_are_the_nearest_of_their_kind(world: World) -> None:
    model, drawn = tiny_quantizer(), drawing_patches(world, 12)
    own, tones = model.own_features(drawn.own), model.tone_features(drawn.tones)
    own_known, tones_known = model.known_features()
    shown = tint_features(model.centroid_patches(), model.tints)
    torch.testing.assert_close(own_known, shown[: model.config.own_codes])
    by_color = shown[model.config.own_codes :].view(model.config.colors, model.config.tones, -1)
    torch.testing.assert_close(tones_known, by_color.transpose(0, 1).flatten(1))
    for features, known in ((own, own_known), (tones, tones_known)):
        found = torch.cdist(features, known).min(1)
        assert (nearest(features, known) == found.indices).float().mean() > 0.99


def test_groups_say_which_codes_share_a_tone_or_a_colour() -> None:
    model = tiny_quantizer()
    config = model.config
    tone, color = model.code_groups()
    assert tone.max() < color.min() and int(color.max()) + 1 == config.code_groups
    first, second = model.colored_code(3, 2), model.colored_code(3, 9)
    assert tone[first] == tone[second] and color[first] != color[second]
    assert color[first] == color[model.colored_code(5, 2)] and tone[first] != tone[model.colored_code(5, 2)]
    without = [0, config.own_codes - 1, PLAIN]
    assert tone[without].unique().numel() == color[without].unique().numel() == 1
    assert tone.unique().numel() + color.unique().numel() == config.code_groups


def test_a_drawing_keeps_its_codes_on_every_background_and_wherever_it_stands(world: World, scene_codes: SceneCodes) -> None:
    spec = {"tag": "colors", "include": [{"class": "apple", "count": 1, "color": "red"}]}
    grids = {}
    for seed in range(60):
        objects, background = world.arrange(np.random.default_rng(seed), spec)
        (known,) = objects
        x, y, right, below = (value // 12 for value in known.cell)
        grid = scene_codes.grid(objects, background)
        block = tuple(code if code < PLAIN else -1 for code in grid[y:below, x:right].ravel())
        grids.setdefault((known.sprite, right - x), set()).add(block)
        grid[y:below, x:right] = PLAIN + background
        assert (grid == PLAIN + background).all(), "nothing is drawn outside of the cell"
    assert len(grids) >= 2 and all(len(blocks) == 1 for blocks in grids.values())


def test_codes_of_all_drawings_are_encoded_ahead_as_they_are_on_demand(world: World) -> None:
    quantizer = tiny_quantizer()
    ahead, on_demand = SceneCodes(world, quantizer), SceneCodes(world, tiny_quantizer())
    drawings = sum(len(sprites) * (1 if CLASSES[index] == "person" else 11) for index, sprites in enumerate(world.atlas.by_class))
    assert ahead.encode_all() == drawings * 2, "two sizes"

    def refuse(*_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("nothing is left to encode")

    quantizer.own_features = quantizer.tone_features = refuse
    expected, found = (sample(world, codes, 16).codes for codes in (on_demand, ahead))
    assert (found == expected).all()


def test_encoding_a_picture_finds_the_codes_that_it_was_composed_of(world: World, scene_codes: SceneCodes) -> None:
    model = tiny_quantizer()
    ids = sample(world, scene_codes, 16).codes
    shown = model.decode(ids)  # the untrained decoder shows each code's own patch
    found = model.encode(shown)
    again = model.decode(found)
    assert (again.int() - shown.int()).abs().float().mean() < 2
    plain = ids >= PLAIN
    assert (found[plain] == ids[plain]).float().mean() > 0.99


def test_the_background_is_what_most_plain_patches_name() -> None:
    model = tiny_quantizer()
    ids = torch.zeros(3, 16, dtype=torch.int64)
    ids[0, :3] = PLAIN + 2
    ids[0, 3:5] = PLAIN + 1
    ids[1, 0] = PLAIN + 3
    assert model.tint_of(ids).tolist() == [2, 3, 0]


def test_background_is_exact(world: World, scene_codes: SceneCodes) -> None:
    model = tiny_quantizer()
    ids = torch.full((4, 16), PLAIN) + torch.arange(4)[:, None]
    expected = torch.tensor(TINY_WORLD.backgrounds)[:, None, None].expand(4, 48, 48, 3)
    assert (model.decode(ids).int() - expected).abs().max() <= 1


def test_shapes_types_and_ranges_of_codes_and_pictures() -> None:
    model = Quantizer(QuantizerConfig(WorldConfig().backgrounds, decoder_blocks=1)).eval()
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8))
    with torch.no_grad():
        ids = model.encode(images)
        decoded = model.decode(ids)
    assert ids.shape == (2, 64) and ids.dtype == torch.int64 and ids.min() >= 0 and ids.max() < 8192
    assert decoded.shape == images.shape and decoded.dtype == torch.uint8


def test_sizes_and_worlds_that_do_not_fit_are_refused(world: World) -> None:
    with pytest.raises(ValueError, match="patch 20 must divide image_size 96"):
        Quantizer(QuantizerConfig(WorldConfig().backgrounds, patch=20))
    with pytest.raises(ValueError, match="leaves no code for drawings in their own colours beside 10 colours of 16 tones"):
        QuantizerConfig(WorldConfig().backgrounds, codebook_size=160)
    with pytest.raises(ValueError, match="multiples of the patch of 12 px"):
        SceneCodes(World(WorldConfig(lattice=4)), tiny_quantizer())
    with pytest.raises(ValueError, match="the quantiser knows the backgrounds"):
        other = WorldConfig(image_size=48, object_sizes=(24, 24, 12, 12), backgrounds=((1, 2, 3),))
        SceneCodes(World(other), tiny_quantizer())


def test_a_decoder_learns_what_its_codes_left_out(world: World, scene_codes: SceneCodes) -> None:
    torch.manual_seed(0)
    model = tiny_quantizer().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = sample(world, scene_codes, 8)
    history = []
    for _ in range(120):
        loss, parts = quantizer_loss(model, batch, QuantizerTraining())
        history.append(parts["reconstruction"].item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert history[-1] < 0.5 * history[0]


def test_measured_quality_of_a_picture_that_comes_back_unchanged_but_for_one_grey_level(
    world: World, scene_codes: SceneCodes
) -> None:
    batch = sample(world, scene_codes, 4)
    images = batch.images.clamp(max=254)
    model = tiny_quantizer()
    model.decode = lambda ids: images + 1
    quality, decoded = measure_quantizer(model, SceneBatch(images, batch.codes, batch.tints, batch.emphasis))
    assert quality["object_error"] == 1.0 and quality["object_psnr"] == pytest.approx(48.13)
    assert 0 < quality["codes_used"] <= 64 / TINY_CODES
    assert decoded.shape == batch.images.shape


def test_released_weights_read_back_within_half_precision(tmp_path) -> None:
    model = tiny_quantizer()
    save_weights(tmp_path / "quantizer.pt", model)
    again = load_weights(tmp_path / "quantizer.pt", Quantizer, QuantizerConfig)
    assert again.config == model.config
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "none.pt")


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    assert rate_scale(0.0) < 0.05
    assert rate_scale(0.1) == rate_scale(0.39) == 1.0
    assert 0.4 < rate_scale(0.7) < 0.6
    assert rate_scale(1.0) == 0.0
