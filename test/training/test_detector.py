"""The detector: targets, peaks, learning, and damage to its training pictures."""

import numpy as np
import pytest
import torch

from training.data.degradations import degrade, shuffle_patches
from training.data.detector_scenes import detector_worlds
from training.data.object_targets import object_targets
from training.data.reconstruction import CodedScenes
from training.loop.muon import build_optimizers
from training.models.detector import Detector, DetectorConfig, DetectorMaps, pick_peaks
from training.stages.train_detector import DetectorStage, DetectorTraining, detection_loss
from training.world.config import WorldConfig
from training.world.scene import SceneObject
from training.world.world import World

CONFIG = DetectorConfig()


def perfect_maps(targets):
    """The maps of a detector that reproduces its targets."""
    logits = torch.logit(targets.heat.clamp(1e-4, 1 - 1e-4))
    colors = torch.nn.functional.one_hot(targets.colors.clamp(min=0), CONFIG.color_count).permute(0, 3, 1, 2).float() * 9
    return DetectorMaps(logits, targets.extents, colors)


def test_targets_read_back_as_the_objects_they_came_from():
    cat = SceneObject(12, "blue", (8, 16, 50, 60), (8, 16, 50, 60), 0)
    dog = SceneObject(13, "red", (52, 20, 92, 58), (52, 20, 92, 58), 1)
    output = pick_peaks(perfect_maps(object_targets([[cat, dog]], CONFIG)), CONFIG)
    found = {int(label): index for index, label in enumerate(output.labels[0, :2])}
    assert set(found) == {12, 13}
    assert (output.scores[0, :2] > 0.99).all()
    assert (output.scores[0, 2:] < 0.7).all(), "neighbours of a peak must not be peaks"
    for known, color in ((cat, 4), (dog, 0)):
        index = found[known.class_index]
        assert torch.allclose(output.boxes[0, index], torch.tensor(known.box, dtype=torch.float32), atol=1e-3)
        assert int(output.colors[0, index].argmax()) == color


def test_two_objects_of_one_class_are_two_peaks():
    first = SceneObject(5, None, (4, 4, 40, 40), (4, 4, 40, 40), 0)
    second = SceneObject(5, None, (44, 44, 80, 80), (44, 44, 80, 80), 0)
    output = pick_peaks(perfect_maps(object_targets([[first, second]], CONFIG)), CONFIG)
    assert output.labels[0, :2].tolist() == [5, 5]
    assert (output.scores[0, :2] > 0.99).all()


def test_objects_without_a_known_colour_do_not_teach_colour():
    targets = object_targets([[SceneObject(5, None, (4, 4, 40, 40), (4, 4, 40, 40), 0)]], CONFIG)
    assert (targets.colors == -1).all()
    _, parts = detection_loss(perfect_maps(targets), targets, DetectorTraining())
    assert parts["color"] == 0


def make_stage(**settings) -> DetectorStage:
    torch.manual_seed(0)
    config = DetectorConfig(channels=(8, 16, 32), blocks=(0, 1, 1))
    return DetectorStage(Detector(config), DetectorTraining(**settings), detector_worlds(WorldConfig()), coded=None)


def test_learns_a_handful_of_scenes():
    stage = make_stage(batch=4, empty_share=0.0)
    batch = stage.examples(np.random.default_rng(0), 4)
    optimizers = build_optimizers(stage.model.train(), 0.02, 5e-3, stage.is_hidden)
    first = stage.loss(stage.model, batch)[0].item()
    for _ in range(60):
        loss, _ = stage.loss(stage.model, batch)
        stage.model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    assert loss.item() < 0.2 * first


def test_a_batch_ends_with_pictures_of_nothing():
    stage = make_stage(batch=10, empty_share=0.3)
    first, second = (stage.prepared(stage.examples(np.random.default_rng(1), 10)) for _ in range(2))
    assert first.images.shape == (10, 96, 96, 3) and first.images.dtype == torch.uint8
    assert torch.equal(first.images, second.images)
    assert len(first.targets.heat) == len(first.targets.colors) == 10
    assert (first.targets.heat[:7].flatten(1).amax(1) == 1).all()
    assert first.targets.heat[7:].max() == 0 and first.targets.readable[7:].max() == 0 and first.targets.colors[7:].max() == -1
    with pytest.raises(ValueError, match=r"empty_share must be 0 to 0\.5, got 0\.6"):
        DetectorTraining(empty_share=0.6)


def test_half_of_the_scenes_are_shown_as_the_quantisers_codes_show_them():
    shown = []
    torch.manual_seed(0)
    settings = DetectorTraining(batch=10, empty_share=0.3)

    def reconstruct(scenes):
        shown.append(len(scenes))
        return torch.zeros(len(scenes), 96, 96, 3, dtype=torch.uint8)

    home = World(WorldConfig(backgrounds=((255, 255, 255),)))
    stage = DetectorStage(Detector(DetectorConfig()), settings, detector_worlds(WorldConfig()), CodedScenes(home, reconstruct))
    examples = stage.examples(np.random.default_rng(1), 10)
    assert shown == [4]
    assert (examples.images.flatten(1).amax(1) == 0).tolist() == [True, False, True, False, True, False, True]
    batch = stage.prepared(examples)
    assert batch.images[0:7:2].float().mean() < 60 < batch.images[1:7:2].float().mean(), "noise on black beside scenes"


def test_damage_is_repeatable_and_keeps_form():
    images = torch.randint(0, 256, (20, 96, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    once, twice = (degrade(images, torch.Generator().manual_seed(7)) for _ in range(2))
    assert once.shape == images.shape and once.dtype == torch.uint8
    assert torch.equal(once, twice)
    assert not torch.equal(once, images)


def test_shuffling_moves_patches_and_keeps_every_pixel():
    images = torch.randint(0, 256, (3, 96, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shuffled = shuffle_patches(images, torch.Generator().manual_seed(1))
    assert not torch.equal(shuffled, images)
    assert torch.equal(shuffled.flatten().sort().values, images.flatten().sort().values)
