"""Codes, reconstruction, and training that survives interruption."""

import numpy as np
import pytest
import torch
from tiny import TINY_QUANTIZER, TINY_WORLD

from training.budget import rate_scale
from training.checkpoint import load_checkpoint, load_weights, save_weights
from training.models.quantizer import Quantizer, QuantizerConfig
from training.train_quantizer import QuantizerTraining, SceneBatch, measure_quantizer, quantizer_loss, scene_batch
from training.world.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(TINY_WORLD)


def random_images(rows: int, size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (rows, size, size, 3), dtype=np.uint8))


def test_bit_zero_is_the_most_significant() -> None:
    model = Quantizer(TINY_QUANTIZER)
    signs = model.signs(torch.tensor([[0, 1, 4096, 8191] + [0] * 12]))[0].flatten(1)  # (bits, N)
    assert (signs[:, 0] == -1).all()
    assert signs[:, 1].tolist() == [-1] * 12 + [1]
    assert signs[:, 2].tolist() == [1] + [-1] * 12
    assert (signs[:, 3] == 1).all()


def test_encoding_inverts_the_sign_vectors() -> None:
    model = Quantizer(TINY_QUANTIZER)
    ids = torch.randint(0, 8192, (3, 16), generator=torch.Generator().manual_seed(0))
    model.encode_raw = lambda signs: signs  # the quantisation alone
    assert (model.encode(model.signs(ids)) == ids).all()


def test_shapes_types_and_ranges_of_codes_and_pictures() -> None:
    model = Quantizer(QuantizerConfig(encoder_blocks=1, decoder_blocks=1)).eval()
    images = random_images(2, 96)
    with torch.no_grad():
        ids = model.encode(images)
        decoded = model.decode(ids)
    assert ids.shape == (2, 64) and ids.dtype == torch.int64 and ids.min() >= 0 and ids.max() < 8192
    assert decoded.shape == images.shape and decoded.dtype == torch.uint8


def test_a_patch_keeps_its_code_wherever_it_stands_and_whatever_is_beside_it() -> None:
    model = Quantizer(QuantizerConfig(encoder_blocks=2)).eval()
    for block in model.encoder:
        if hasattr(block, "gain"):
            torch.nn.init.ones_(block.gain)
    images = random_images(2, 96)
    images[1, 24:36, 60:72] = images[0, 48:60, 12:24]
    with torch.no_grad():
        ids = model.encode(images).view(2, 8, 8)
    assert ids[1, 2, 5] == ids[0, 4, 1]
    assert ids.unique().numel() > 30


def test_a_patch_that_does_not_divide_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="patch 20 must divide image_size 96"):
        Quantizer(QuantizerConfig(patch=20))


def test_a_small_quantizer_learns_to_reconstruct(world: World) -> None:
    torch.manual_seed(0)
    model = Quantizer(TINY_QUANTIZER)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = scene_batch(world, np.random.default_rng(0), 8)
    history = []
    for _ in range(150):
        loss, parts = quantizer_loss(model, batch, QuantizerTraining())
        history.append(parts["reconstruction"].item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert history[-1] < 0.45 * history[0]


def test_only_codes_of_objects_are_taught_to_stay_in_use() -> None:
    model = Quantizer(TINY_QUANTIZER)
    images = random_images(4, 48)
    masks = torch.zeros(4, 48, 48, dtype=torch.bool)
    masks[:, :13, :12] = True  # patches (0, 0) and (1, 0)
    _, parts = quantizer_loss(model, SceneBatch(images, masks), QuantizerTraining())
    raw = model.encode_raw(images).permute(0, 2, 3, 1)[:, :2, 0].reshape(8, 13)
    share = torch.sigmoid(4 * raw).mean(0)
    soft = torch.tanh(2 * raw) - torch.tanh(2 * raw).mean(0)
    between = (soft.T @ soft / 8) * (1 - torch.eye(13))
    torch.testing.assert_close(parts["commitment"], (raw.abs() - 1).square().mean())
    torch.testing.assert_close(parts["entropy"], -(share * share.log2() + (1 - share) * (1 - share).log2()).mean())
    torch.testing.assert_close(parts["decorrelation"], between.square().sum() / 13)


def test_measured_quality_of_a_picture_that_comes_back_unchanged_but_for_one_grey_level(world: World) -> None:
    batch = scene_batch(world, np.random.default_rng(0), 4)
    model = Quantizer(TINY_QUANTIZER)
    model.decode = lambda ids: batch.images.clamp(max=254) + 1
    quality, decoded = measure_quantizer(model, SceneBatch(batch.images.clamp(max=254), batch.masks))
    assert quality["object_error"] == 1.0 and quality["object_psnr"] == pytest.approx(48.13)
    assert 0 < quality["codes_used"] <= 64 / 8192
    assert decoded.shape == batch.images.shape


def test_released_weights_read_back_within_half_precision(tmp_path) -> None:
    model = Quantizer(TINY_QUANTIZER).eval()
    save_weights(tmp_path / "quantizer.pt", model)
    again = load_weights(tmp_path / "quantizer.pt", Quantizer, QuantizerConfig)
    assert again.config == model.config
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-6)
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "none.pt")


def test_the_learning_rate_warms_up_stays_and_falls_to_zero() -> None:
    assert rate_scale(0.0) < 0.05
    assert rate_scale(0.1) == rate_scale(0.39) == 1.0
    assert 0.4 < rate_scale(0.7) < 0.6
    assert rate_scale(1.0) == 0.0
