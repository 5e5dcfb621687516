"""Trains the mask-predict generator on code grids of composed scenes.

    python -m training.train_generator --minutes 80 [--resume] [--start training/weights/generator.pt]

Leaves `samples.png` in the run's folder, beside what every stage leaves there (`training_loop.py`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.checkpoint import load_weights, read_start
from training.config_file import read_settings
from training.models.generator import SHARED, Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.painter import Painter
from training.pictures import save_grid
from training.sampling import SamplingSettings
from training.scene_codes import SceneCodes
from training.stage import Stage, TrainingSettings
from training.stage_arguments import hardware_of, overridden, run_stage, stage_parser
from training.token_scenes import TokenBatch, TokenScenes
from training.tokenizer import build_tokenizer, unconditional_prompt
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.prompts import geneval_prompt
from training.world.world import World

_WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class GeneratorTraining(TrainingSettings):
    """How the generator is trained.

    Attributes:
        caption_dropout: share of prompts, 0..1, that get the unconditional prompt, for guidance.
        pictures_per_prompt: pictures of each prompt in a batch, at least 1; they share the work of its prefix.
        background_share: share of masked background tokens, 0..1, that enter the loss. All masked object tokens do, which
            weighs objects up and saves output-layer work that plain background would waste.
    """

    adam_lr: float = 0.0015
    average_decay: float = 0.999
    average_every: int = 4  # an update costs as much as a twentieth of a step
    caption_dropout: float = 0.1
    pictures_per_prompt: int = 2
    background_share: float = 0.25


@dataclass(frozen=True)
class MaskedBatch:
    """B examples of P prompts with hidden tokens, of which K enter the loss.

    Attributes:
        prompt_ids: int64 [P, L].
        row_prompt: int64 [B], 0..P-1, the prompt of each example.
        tokens: int64 [B, N], the mask id where hidden.
        counted: int64 [K], places in the flattened [B * N] whose codes are to be predicted.
        targets: int64 [K], their codes.
        on_object: bool [K], True where the patch is not plain background.
    """

    prompt_ids: Tensor
    row_prompt: Tensor
    tokens: Tensor
    counted: Tensor
    targets: Tensor
    on_object: Tensor


def mask_tokens(rng: np.random.Generator, codes: np.ndarray, mask_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Hides a random share of each row, cos(pi/2 u) with u uniform, at least one token.

    Args:
        rng: source of randomness.
        codes: int64 [B, N].
        mask_id: written where hidden.

    Returns:
        (int64 [B, N] with hidden tokens replaced, bool [B, N] True where hidden).

    Source: MaskGIT, arXiv 2202.04200, cosine schedule.
    """
    rows, count = codes.shape
    hidden_count = np.maximum(1, np.ceil(count * np.cos(np.pi / 2 * rng.random(rows)))).astype(np.int64)
    rank = rng.random((rows, count)).argsort(axis=1).argsort(axis=1)
    hidden = rank < hidden_count[:, None]
    return np.where(hidden, mask_id, codes), hidden


def masked_batch(batch: TokenBatch, rng: np.random.Generator, mask_id: int, settings: GeneratorTraining) -> MaskedBatch:
    """Hides tokens, chooses those that count, and takes some prompts' words away."""
    tokens, hidden = mask_tokens(rng, batch.codes, mask_id)
    counted = hidden & (batch.on_object | (rng.random(hidden.shape) < settings.background_share))
    counted[np.arange(len(hidden)), hidden.argmax(axis=1)] = True  # never an empty selection
    prompts = batch.prompt_ids.copy()
    dropped = rng.random(len(prompts)) < settings.caption_dropout
    prompts[dropped] = unconditional_prompt(prompts.shape[1])
    places = np.flatnonzero(counted)
    arrays = (prompts, batch.row_prompt, tokens, places, batch.codes.ravel()[places], batch.on_object.ravel()[places])
    return MaskedBatch(*map(torch.from_numpy, arrays))


def generator_loss(model: Generator, batch: MaskedBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of hidden tokens.

    Returns:
        (scalar loss in nats, {"object": mean loss of hidden object tokens, "background": of background tokens}); a mean of
        none is not a number.
    """
    prefix_kv = model.prefix(batch.prompt_ids)
    states = model.hidden(batch.tokens, prefix_kv, batch.row_prompt, batch.counted)  # (K, width)
    logits = model.logits(states).float()
    losses = F.cross_entropy(logits, batch.targets, reduction="none")
    on_object = batch.on_object.float()
    parts = {"object": on_object, "background": 1 - on_object}
    return losses.mean(), {name: (losses * share).sum() / share.sum() for name, share in parts.items()}


class GeneratorStage(Stage):
    """The generator, on code grids of scenes."""

    name = "generator"
    parts = 4
    checkpoint_seconds = 300.0

    def __init__(self, model: Generator, settings: GeneratorTraining, scenes: TokenScenes, quantizer: Quantizer, world: World):
        """`quantizer` and `world` draw the samples of a checkpoint."""
        super().__init__(model)
        self._settings, self._scenes, self._quantizer, self._world = settings, scenes, quantizer, world

    def examples(self, rng: np.random.Generator, size: int) -> MaskedBatch:
        scenes = self._scenes.batch(rng, size, self._settings.pictures_per_prompt)
        return masked_batch(scenes, rng, self.model.config.codebook_size, self._settings)

    def loss(self, model: Generator, batch: MaskedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        return generator_loss(model, batch)

    def is_hidden(self, name: str, weight: Tensor) -> bool:
        return name.startswith("blocks.") and weight.ndim == 2

    def start_from(self, path: Path) -> None:
        # The released form has no shared vectors: these start at zero, where the logits are equal.
        weights = read_start(path, self.model.config, ignored=("code_features", "code_groups"))
        vectors = {name: value for name, value in self.model.named_parameters() if name.endswith(SHARED)}
        weights |= {name: torch.zeros_like(value) for name, value in vectors.items()}
        self.model.load_state_dict(weights)

    def released(self, model: Generator) -> Generator:
        return model.folded()

    def measure(self, model: Generator, run: Path) -> dict[str, float]:
        draw_samples(model.cpu(), self._quantizer, self._world, run / "samples.png")
        return {}


def draw_samples(generator: Generator, quantizer: Quantizer, world: World, path: Path, per_task: int = 8) -> None:
    """Writes unselected samples of fresh prompts, one row per task, the same prompts every time."""
    rng = np.random.default_rng(0)
    prompts = [geneval_prompt(world.sample_spec(rng, task)) for task in TASKS for _ in range(per_task)]
    images = Painter(generator, quantizer).paint(prompts, SamplingSettings(), seed=0).numpy()
    save_grid(path, images, columns=per_task, captions=[prompt.removeprefix("a photo of ") for prompt in prompts])


def main() -> None:
    parser = stage_parser("Trains the generator of the emoji world.", "generator", minutes=80.0)
    parser.add_argument("--quantizer", type=Path, default=_WEIGHTS / "quantizer.pt", help="released quantiser")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    world = World(WorldConfig.from_toml(arguments.world))
    quantizer = load_weights(arguments.quantizer, Quantizer, QuantizerConfig)
    tokenizer = build_tokenizer()
    known = {"vocabulary_size": tokenizer.get_vocab_size(), "code_groups": quantizer.config.code_groups}
    config = read_settings(arguments.config, GeneratorConfig, "generator", **known)
    settings = overridden(read_settings(arguments.config, GeneratorTraining, "training"), arguments)
    codes = SceneCodes(world, quantizer)
    if hardware_of(arguments).workers:
        codes.encode_all()
    model = Generator(config, quantizer.code_features(config.code_features), quantizer.code_groups())
    run_stage(GeneratorStage(model, settings, TokenScenes(world, codes, tokenizer), quantizer, world), settings, arguments)


if __name__ == "__main__":
    main()
