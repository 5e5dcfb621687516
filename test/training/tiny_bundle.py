"""Small models of every kind that a bundle holds, and an exported bundle's settings."""

import tomllib

import numpy as np
import torch

from training.data.drawing_codes import DrawingSet
from training.export.bundle_models import BundleModels, CalibratedVerifier, Calibration
from training.folders import CONFIGS
from training.models.detector import Detector, DetectorConfig
from training.models.fault_finder import FaultConfig, FaultFinder
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.models.verifier import Verifier, VerifierConfig
from training.world.classes import CLASSES, COLORS
from training.world.config import WorldConfig
from training.world.tokenizer import PAD, build_tokenizer

CODES = 256
FUSION = {"alignment": {"own": 0.75, "coherence": 0.5, "bias": -0.25}}
POINTS = [{"stepIndex": 1, "offset": 2.0, "slope": 1.5}, {"stepIndex": 17, "offset": 3.0, "slope": 2.0}]
VERIFIER_TASKS = {"parm": ("clarity", "potential", "alignment"), "orm-zs": ("alignment",)}


def bundle_settings() -> dict:
    return tomllib.loads((CONFIGS / "bundle.toml").read_text())


def tiny_bundle_models() -> BundleModels:
    """Every weight is drawn: zeros and ones would hide mistakes."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    words = tokenizer.get_vocab_size()
    trunk = {"channels": (16, 16, 32), "blocks": (0, 1, 1)}
    sizes = {"decoder_width": 32, "decoder_blocks": 1, "detail_width": 8, "detail_blocks": 1}
    quantizer = Quantizer(QuantizerConfig(WorldConfig().backgrounds, codebook_size=CODES, components=16, **sizes))
    shared = {"code_features": 8, "code_groups": 3, "word_groups": 5}
    config = GeneratorConfig(words, CODES, width=64, layers=2, heads=2, mlp_width=96, **shared)
    groups = (torch.arange(CODES)[None] % 3, torch.arange(words)[None] % 5)
    generator = Generator(config, torch.randn(CODES, 8).half().float(), *groups)
    verifiers = [Verifier(VerifierConfig(words, pad_id=PAD, width=32, heads=2, layers=2, **trunk)) for _ in VERIFIER_TASKS]
    detector = Detector(DetectorConfig(class_count=len(CLASSES), color_count=len(COLORS), **trunk))
    faults = FaultFinder(FaultConfig(hidden=24, width=16, blocks=1))
    for model in (quantizer, generator, detector, faults, *verifiers):
        for weight in model.parameters():
            std = (2 / weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.3
            weight.data = torch.randn(weight.shape).mul(std).half().float()
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
            elif name.endswith("running_mean"):
                buffer.normal_(0, 0.3)
        model.eval()
    quantizer.basis.normal_(std=0.1)
    # A trained decoder's pictures stay among the pixel values; noise cut at black and white is harder on rounded weights.
    quantizer.decoder[-2].weight.data *= 0.25
    thresholds = {"clarity": 0.5, "potential": 0.3, "alignment": 0.6}
    calibrated = {
        name: CalibratedVerifier(verifier, Calibration(tasks, thresholds, (1, 2), 4, 0.5, (0.1, 0.25), FUSION))
        for (name, tasks), verifier in zip(VERIFIER_TASKS.items(), verifiers, strict=True)
    }
    return BundleModels(tokenizer, quantizer, generator, calibrated, detector, faults, tiny_drawings(quantizer), POINTS)


def tiny_drawings(quantizer: Quantizer) -> DrawingSet:
    """Drawings of drawn codes, for a quantiser whose codes show nothing."""
    config = quantizer.config

    def entries(class_index: int) -> list[dict]:
        rng = np.random.default_rng(class_index)
        codes = {"own": rng.integers(config.own_codes, size=9).tolist(), "tones": rng.integers(config.tones, size=9).tolist()}
        return [{"set": "drawn", "sizes": [{"size": 36, "box": [0, 0, 36, 36], **codes}]}]

    return DrawingSet(
        config.patch, config.image_size, config.tints, config.drawing_codes, config.own_codes, config.tones, entries
    )
