"""All trainings at a size at which a step takes a moment."""

import numpy as np
import torch
from tiny import TINY_CODES, TINY_WORLD, sharing_generator, tiny_quantizer

from training.data.detector_scenes import detector_worlds
from training.data.scene_codes import SceneCodes
from training.data.token_scenes import TokenScenes
from training.loop.stage import Stage, TrainingSettings
from training.models.detector import Detector, DetectorConfig
from training.models.fault_finder import FaultConfig, FaultFinder
from training.models.verifier import TASKS, Verifier, VerifierConfig
from training.stages.train_detector import DetectorStage, DetectorTraining
from training.stages.train_faults import FaultStage, FaultTraining, GeneratorFaults
from training.stages.train_generator import GeneratorStage, GeneratorTraining
from training.stages.train_quantizer import QuantizerStage, QuantizerTraining
from training.verifiers.questions import Questioner
from training.verifiers.verifier_data import BatchMaker, SceneExamples, VerifierBatch
from training.verifiers.verifier_stage import VerifierStage, VerifierTraining
from training.world.config import WorldConfig
from training.world.fact_splits import TrainingFacts
from training.world.tokenizer import PAD, build_tokenizer
from training.world.world import World

TOKENIZER = build_tokenizer()
TRUNK = {"channels": (8, 16, 16), "blocks": (0, 0, 1)}
STAGES = ("quantizer", "generator", "detector", "faults", "verifier")


def tiny_stage(name: str) -> tuple[Stage, TrainingSettings]:
    """A stage with fresh weights, the same every time, and settings for a batch of 8."""
    tiny_quantizer()  # making its codebook, once a process, draws numbers as well
    torch.manual_seed(0)
    match name:
        case "quantizer":
            settings = QuantizerTraining(batch=8)
            world, quantizer = World(TINY_WORLD), tiny_quantizer()
            return QuantizerStage(quantizer, settings, world, SceneCodes(world, quantizer), held_out=16), settings
        case "generator":
            settings, world, quantizer = GeneratorTraining(batch=8), World(TINY_WORLD), tiny_quantizer()
            model = sharing_generator()
            scenes = TokenScenes(world, SceneCodes(world, quantizer), TOKENIZER)
            return GeneratorStage(model, settings, scenes, quantizer, world), settings
        case "detector":
            settings = DetectorTraining(batch=8, empty_share=0.25)
            worlds = detector_worlds(WorldConfig())[:1]
            return DetectorStage(Detector(DetectorConfig(**TRUNK)), settings, worlds, coded=None), settings
        case "faults":
            settings, world, quantizer = FaultTraining(batch=8), World(TINY_WORLD), tiny_quantizer()
            model = FaultFinder(FaultConfig(image_size=48, hidden=16, width=16, blocks=1))
            drawn = np.random.default_rng(0).integers(TINY_CODES, size=(3, 5, 16))
            return FaultStage(model, settings, world, quantizer, [quantizer.decode], GeneratorFaults(*drawn)), settings
        case _:
            settings, facts = VerifierTraining(batch=8, questions=2), TrainingFacts()
            world = World(WorldConfig(), facts)
            model = Verifier(VerifierConfig(TOKENIZER.get_vocab_size(), pad_id=PAD, **TRUNK, width=32, heads=2, layers=1))
            scenes = SceneExamples([world], Questioner(world, facts), BatchMaker(TOKENIZER, model.config), None)

            def make_batch(rng: np.random.Generator, size: int) -> VerifierBatch:
                return scenes.batch(rng, size, settings.questions)

            return VerifierStage(model, settings, TASKS, make_batch), settings
