"""The trained models that a bundle is made of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer

from training.data.drawing_codes import DrawingSet
from training.folders import CONFIGS
from training.loop.checkpoint import load_weights
from training.models.detector import Detector, DetectorConfig
from training.models.fault_finder import FaultConfig, FaultFinder
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.models.verifier import Verifier, VerifierConfig
from training.verifiers.coherence import CoherenceFit
from training.world.classes import CLASSES, COLORS
from training.world.config import WorldConfig
from training.world.tokenizer import PAD, build_tokenizer
from training.world.world import World


@dataclass(frozen=True)
class Calibration:
    """What a verifier's training found out about how to use it.

    Attributes:
        tasks: the questions it answers.
        thresholds: by task, the P(yes) at or above which it passes.
        judged_steps: 0-based step indices of a run of `judged_steps_of` steps.
        judged_steps_of: number of steps of that run.
        call_row_steps: what a judgement and the decoding of its picture cost, in row-steps.
        prune_rates: for each judged step, pruned among those asked there, at `thresholds`.
        fusion: by task, the weights of its answer and of coherence in what decisions go by; empty where the answer alone decides.
    """

    tasks: tuple[str, ...]
    thresholds: dict[str, float]
    judged_steps: tuple[int, ...]
    judged_steps_of: int
    call_row_steps: float
    prune_rates: tuple[float, ...]
    fusion: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Calibration":
        """Reads what `training.verifiers.calibrate_verifier` wrote.

        Raises:
            FileNotFoundError: it has not; the message names the file.
        """
        if not path.exists():
            raise FileNotFoundError(f"no calibration at {path}; `python -m training.verifiers.calibrate_verifier` writes it")
        content = json.loads(path.read_text())
        return cls(
            tuple(content["tasks"]),
            content["thresholds"],
            tuple(content["judgedSteps"]),
            content["judgedStepsOf"],
            content["callRowSteps"],
            tuple(content["pruneRates"]),
            content.get("fusion", {}),
        )


@dataclass(frozen=True)
class CalibratedVerifier:
    """A verifier in evaluation mode, float32, and how to act on what it says."""

    model: Verifier
    calibration: Calibration


@dataclass(frozen=True)
class BundleModels:
    """All models in evaluation mode, float32; verifiers by name.

    `coherence` holds the points of `training.verifiers.coherence`, none where the generator's opinion was not calibrated.
    """

    tokenizer: Tokenizer
    quantizer: Quantizer
    generator: Generator
    verifiers: dict[str, CalibratedVerifier]
    detector: Detector
    faults: FaultFinder
    drawings: DrawingSet
    coherence: list[dict[str, float]] = field(default_factory=list)


def load_models(weights: Path, verifier_names: Sequence[str], config: Path = CONFIGS / "emoji-96.toml") -> BundleModels:
    """Reads the released weights of every model; a verifier's are `NAME.pt` and `NAME.json`.

    Raises:
        FileNotFoundError: one is missing, or `coherence.json` is; the message names it and says what writes it.
    """
    quantizer = load_weights(weights / "quantizer.pt", Quantizer, QuantizerConfig)
    return BundleModels(
        tokenizer=build_tokenizer(),
        quantizer=quantizer,
        generator=load_weights(weights / "generator.pt", Generator, GeneratorConfig),
        verifiers={
            name: CalibratedVerifier(
                load_weights(weights / f"{name}.pt", Verifier, VerifierConfig), Calibration.read(weights / f"{name}.json")
            )
            for name in verifier_names
        },
        detector=load_weights(weights / "detector.pt", Detector, DetectorConfig),
        coherence=CoherenceFit.read(weights / "coherence.json").points(),
        faults=load_weights(weights / "faults.pt", FaultFinder, FaultConfig),
        drawings=DrawingSet.of_world(World(WorldConfig.from_toml(config)), quantizer),
    )


def untrained_models(verifier_names: Sequence[str], seed: int = 0) -> BundleModels:
    """Models of the released shapes with random weights: for measuring graphs before there is anything trained.

    Weights that training starts at zero are drawn too, because zeros would hide errors of the export.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    vocabulary_size = tokenizer.get_vocab_size()
    models = (
        Quantizer(QuantizerConfig(tints=WorldConfig().backgrounds)),
        Generator(GeneratorConfig(vocabulary_size)),
        Detector(DetectorConfig(class_count=len(CLASSES), color_count=len(COLORS))),
        FaultFinder(FaultConfig()),
        *(Verifier(VerifierConfig(vocabulary_size, pad_id=PAD)) for _ in verifier_names),
    )
    for model in models:
        for weight in model.parameters():
            if weight.ndim > 1 and not weight.any():
                torch.nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
            # Released weights are float16: what they cannot hold must not appear as an error of the export.
            weight.data = weight.data.half().float()
        model.eval()
    quantizer, generator, detector, faults, *verifiers = models
    quantizer.basis.normal_(std=quantizer.config.patch_values**-0.5)
    thresholds = {"clarity": 0.5, "potential": 0.3, "alignment": 0.6}
    calibration = Calibration(tuple(thresholds), thresholds, (3, 5, 7), 12, call_row_steps=1.0, prune_rates=(0.0, 0.0, 0.0))
    calibrated = {name: CalibratedVerifier(model, calibration) for name, model in zip(verifier_names, verifiers, strict=True)}
    return BundleModels(
        tokenizer, quantizer, generator, calibrated, detector, faults, DrawingSet.of_world(World(WorldConfig()), quantizer)
    )
