"""Configs: every stage's own file is complete, and mistakes in a file are named."""

import pytest

from training.data.detector_scenes import DetectorScenes
from training.folders import CONFIGS
from training.loop.config_file import read_settings, read_table
from training.loop.stage import TrainingSettings
from training.models.detector import DetectorConfig
from training.models.generator import GeneratorConfig
from training.models.quantizer import QuantizerConfig
from training.models.verifier import VerifierConfig
from training.stages.train_detector import DetectorTraining
from training.stages.train_generator import GeneratorTraining
from training.stages.train_quantizer import QuantizerTraining
from training.verifiers.verifier_stage import VerifierTraining


def test_every_stages_config_is_read_whole():
    assert read_settings(CONFIGS / "generator.toml", GeneratorConfig, "generator", vocabulary_size=9).vocabulary_size == 9
    assert read_settings(CONFIGS / "quantizer.toml", QuantizerConfig, "quantizer", tints=((0, 0, 0),)).patch == 12
    assert read_settings(CONFIGS / "detector.toml", DetectorConfig, "detector").channels == (32, 64, 160)
    assert read_settings(CONFIGS / "verifier.toml", VerifierConfig, "verifier", vocabulary_size=9).candidates == 6
    assert all(len(sizes) == 4 for sizes in read_settings(CONFIGS / "detector.toml", DetectorScenes, "scenes").object_sizes)
    for name, settings in (("generator", GeneratorTraining), ("quantizer", QuantizerTraining), ("detector", DetectorTraining)):
        assert read_settings(CONFIGS / f"{name}.toml", settings, "training").batch >= 64


def test_both_sources_of_verifier_examples_have_their_counts():
    scenes = read_settings(CONFIGS / "verifier.toml", VerifierTraining, "training", "ground_truth")
    pictures = read_settings(CONFIGS / "verifier.toml", VerifierTraining, "training", "trajectories")
    assert scenes.words == pictures.words and scenes.scene_share == 0 < pictures.scene_share < 1


def test_mistakes_are_named(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("[training]\nbatch = 8\nlearning_rate = 0.1\n[scenes]\nlattice = 4\n")
    with pytest.raises(ValueError, match=r"unknown keys \['learning_rate'\] in \[training\]; known are .*'batch'"):
        read_settings(path, TrainingSettings, "training")
    with pytest.raises(ValueError, match=r"no table \[world\]; it has \[training\], \[scenes\]"):
        read_table(path, "world")
    with pytest.raises(ValueError, match=r"\[scenes\] is incomplete: .*'sets'"):
        read_settings(path, DetectorScenes, "scenes")
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.toml", "training")
