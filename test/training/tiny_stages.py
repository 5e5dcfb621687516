"""All four trainings at a size at which a step takes a moment."""

import numpy as np
import torch
from tiny import TINY_QUANTIZER, TINY_WORLD, tiny_generator

from training.detector_data import detector_worlds
from training.models.detector import DetectorConfig
from training.models.quantizer import Quantizer
from training.models.verifier import Verifier, VerifierConfig
from training.stage import Stage, TrainingSettings
from training.token_scenes import TokenScenes
from training.tokenizer import PAD, build_tokenizer
from training.train_detector import DetectorStage, DetectorTraining
from training.train_generator import GeneratorStage, GeneratorTraining
from training.train_quantizer import QuantizerStage, QuantizerTraining
from training.train_verifier import VerifierStage, VerifierTraining
from training.verifier_data import scene_batch
from training.world.config import WorldConfig
from training.world.world import World

TOKENIZER = build_tokenizer()
TRUNK = {"channels": (8, 16, 16), "blocks": (0, 0, 1)}
STAGES = ("quantizer", "generator", "detector", "parm")


def tiny_stage(name: str) -> tuple[Stage, TrainingSettings]:
    """A stage with fresh weights, the same every time, and settings for a batch of 8."""
    torch.manual_seed(0)
    match name:
        case "quantizer":
            settings = QuantizerTraining(batch=8)
            return QuantizerStage(TINY_QUANTIZER, settings, World(TINY_WORLD), held_out=16), settings
        case "generator":
            settings, world, quantizer = GeneratorTraining(batch=8), World(TINY_WORLD), Quantizer(TINY_QUANTIZER).eval()
            config = tiny_generator(TOKENIZER.get_vocab_size(), code_bits=13)
            return GeneratorStage(config, settings, TokenScenes(world, quantizer, TOKENIZER), quantizer, world), settings
        case "detector":
            settings = DetectorTraining(batch=8, empty_share=0.25)
            worlds = detector_worlds(WorldConfig())[:1]
            return DetectorStage(DetectorConfig(**TRUNK), settings, worlds, reconstruct=None), settings
        case _:
            settings, worlds = VerifierTraining(batch=8, questions=2), [World(WorldConfig())]
            model = Verifier(VerifierConfig(TOKENIZER.get_vocab_size(), pad_id=PAD, **TRUNK, width=32, heads=2, layers=1))

            def make_batch(rng: np.random.Generator, size: int):
                return scene_batch(worlds, TOKENIZER, None, rng, size, settings.questions)

            return VerifierStage(model, make_batch), settings
