"""Trains the mask-predict generator on code grids of composed scenes.

    python -m training.stages.train_generator --minutes 80 [--resume] [--start training/weights/generator.pt]

Leaves `samples.png` in the run's folder, beside what every stage leaves there (`training_loop.py`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.scene_codes import SceneCodes
from training.data.token_scenes import TokenBatch, TokenScenes
from training.folders import WEIGHTS
from training.loop.checkpoint import load_weights, read_start
from training.loop.config_file import read_settings
from training.loop.stage import Stage, TrainingSettings
from training.loop.stage_arguments import hardware_of, overridden, run_stage, stage_parser
from training.models.generator import SHARED, Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.plots.pictures import save_grid
from training.sampling.mask_predict import SamplingSettings
from training.sampling.painter import Painter
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.prompts import geneval_prompt
from training.world.tokenizer import build_tokenizer, unconditional_prompt, word_group_ids
from training.world.world import World


@dataclass(frozen=True)
class GeneratorTraining(TrainingSettings):
    """How the generator is trained.

    Attributes:
        caption_dropout: share of prompts, 0..1, that get the unconditional prompt, for guidance.
        pictures_per_prompt: pictures of each prompt in a batch, at least 1; they share the work of its prefix.
        background_share: share of masked background tokens, 0..1, that enter the loss. All masked object tokens do, which
            weighs objects up and saves output-layer work that plain background would waste.
        redrawn_rows: share of examples, 0..1, in which some hidden tokens are shown as the model itself draws them, so that it
            learns to tell its own mistakes from what is right, and to mend them.
        known_share: share of shown object tokens, 0..1, that enter the loss too; of background tokens a fifth of that.
        told_rate, count_only_rate: see `TokenScenes`.
    """

    adam_lr: float = 0.0015
    average_decay: float = 0.999
    average_every: int = 4  # an update costs as much as a twentieth of a step
    caption_dropout: float = 0.1
    pictures_per_prompt: int = 2
    background_share: float = 0.25
    redrawn_rows: float = 0.5
    known_share: float = 0.15
    told_rate: float = 0.85
    count_only_rate: float = 0.25


@dataclass(frozen=True)
class MaskedBatch:
    """B examples of P prompts with hidden tokens, of which K enter the loss.

    Attributes:
        prompt_ids: int64 [P, L].
        row_prompt: int64 [B], 0..P-1, the prompt of each example.
        tokens: int64 [B, N], the mask id where hidden. The last `redrawn_rows` examples are those with tokens to redraw.
        redrawn_rows: 0..B.
        redrawn: int64 [F], hidden places in the flattened [redrawn_rows * N] that the model fills before it predicts.
        uniform: float32 [F], 0..1, by which it draws.
        counted: int64 [K], places in the flattened [B * N] whose codes are to be predicted.
        targets: int64 [K], their codes.
        on_object: bool [K], True where the patch is not plain background.
    """

    prompt_ids: Tensor
    row_prompt: Tensor
    tokens: Tensor
    redrawn_rows: int
    redrawn: Tensor
    uniform: Tensor
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


# Hidden share of examples with redrawn tokens. From an almost empty grid the model can only guess another picture than the true
# one, and what it would learn of that is to doubt everything.
_REDRAWN_HIDDEN = (0.1, 0.75)


def masked_batch(batch: TokenBatch, rng: np.random.Generator, mask_id: int, settings: GeneratorTraining) -> MaskedBatch:
    """Hides tokens, chooses those to redraw and those that count, and takes some prompts' words away."""
    tokens, hidden = mask_tokens(rng, batch.codes, mask_id)
    rows, count = tokens.shape
    redrawn_rows = round(rows * settings.redrawn_rows)
    redrawn = np.zeros((redrawn_rows, count), dtype=bool)
    if redrawn_rows:
        part = slice(rows - redrawn_rows, None)
        hidden[part] = rng.random((redrawn_rows, count)) < rng.uniform(*_REDRAWN_HIDDEN, (redrawn_rows, 1))
        tokens[part] = np.where(hidden[part], mask_id, batch.codes[part])
        redrawn = hidden[part] & (rng.random(redrawn.shape) < rng.random((redrawn_rows, 1)))
    chances = np.where(hidden, 1.0, settings.known_share) * np.where(batch.on_object, 1.0, 0.2)
    chances = np.where(hidden & ~batch.on_object, settings.background_share, chances)
    counted = rng.random(hidden.shape) < chances
    counted[np.arange(rows), hidden.argmax(axis=1)] = True  # never an empty selection
    prompts = batch.prompt_ids.copy()
    dropped = rng.random(len(prompts)) < settings.caption_dropout
    prompts[dropped] = unconditional_prompt(prompts.shape[1])
    places, filled = np.flatnonzero(counted), np.flatnonzero(redrawn)
    uniform = rng.random(len(filled), dtype=np.float32)
    of_loss = (places, batch.codes.ravel()[places], batch.on_object.ravel()[places])
    shown = map(torch.from_numpy, (prompts, batch.row_prompt, tokens))
    return MaskedBatch(*shown, redrawn_rows, *map(torch.from_numpy, (filled, uniform, *of_loss)))


@torch.no_grad()
def redraw_tokens(model: Generator, batch: MaskedBatch, prefix_kv: Tensor) -> Tensor:
    """The batch's tokens, int64 [B, N], with the places to redraw filled by the model's own draws."""
    if not batch.redrawn_rows:
        return batch.tokens
    kept = len(batch.tokens) - batch.redrawn_rows
    part = batch.tokens[kept:]
    states = model.hidden(part, prefix_kv.detach(), batch.row_prompt[kept:], batch.redrawn)
    mass = model.logits(states).float().softmax(-1).cumsum(-1)
    drawn = torch.searchsorted(mass, batch.uniform[:, None]).clamp(max=model.config.codebook_size - 1)
    filled = part.flatten().index_copy(0, batch.redrawn, drawn[:, 0]).view_as(part)
    return torch.cat([batch.tokens[:kept], filled])


def generator_loss(model: Generator, batch: MaskedBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of hidden tokens, of those that the model itself has drawn, and of some that are shown.

    Returns:
        (scalar loss in nats, {"object": mean loss of hidden object tokens, "background": of background tokens, "drawn": of object
        tokens that the model has drawn, "known": of shown object tokens}); a mean of none is not a number.

    Source: training on the model's own draws as in ProSeCo and Token-Critic (arXiv 2209.04439), with one network for both.
    """
    prefix_kv = model.prefix(batch.prompt_ids)
    tokens = redraw_tokens(model, batch, prefix_kv)
    states = model.hidden(tokens, prefix_kv, batch.row_prompt, batch.counted)  # (K, width)
    logits = model.logits(states).float()
    losses = F.cross_entropy(logits, batch.targets, reduction="none")
    mask_id = model.config.codebook_size
    before, shown = batch.tokens.flatten()[batch.counted], tokens.flatten()[batch.counted]
    hidden, known = (shown == mask_id).float(), (before != mask_id).float()
    drawn, on_object = 1 - hidden - known, batch.on_object.float()
    parts = {"object": on_object * hidden, "background": (1 - on_object) * hidden, "drawn": on_object * drawn}
    parts["known"] = on_object * known
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
        weights = read_start(path, self.model.config, ignored=("code_features", "code_groups", "word_groups", "vocabulary_size"))
        vectors = {name: value for name, value in self.model.named_parameters() if name.endswith(SHARED)}
        weights |= {name: torch.zeros_like(value) for name, value in vectors.items()}
        # Words that came after the start keep their first vectors; ids of older ones do not change.
        words = weights["text_table.weight"]
        weights["text_table.weight"] = torch.cat([words, self.model.text_table.weight.data[len(words) :]])
        self.model.load_state_dict(weights)
        self.model.share_words()

    def released(self, model: Generator) -> Generator:
        model.share_codes()
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
    parser.add_argument("--quantizer", type=Path, default=WEIGHTS / "quantizer.pt", help="released quantiser")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    world = World(WorldConfig.from_toml(arguments.world))
    quantizer = load_weights(arguments.quantizer, Quantizer, QuantizerConfig)
    tokenizer = build_tokenizer()
    word_groups = torch.from_numpy(word_group_ids(tokenizer))
    known = {"vocabulary_size": tokenizer.get_vocab_size(), "code_groups": quantizer.config.code_groups}
    known["word_groups"] = int(word_groups.max()) + 1
    config = read_settings(arguments.config, GeneratorConfig, "generator", **known)
    settings = overridden(read_settings(arguments.config, GeneratorTraining, "training"), arguments)
    codes = SceneCodes(world, quantizer)
    if hardware_of(arguments).workers:
        codes.encode_all()
    model = Generator(config, quantizer.code_features(config.code_features), quantizer.code_groups(), word_groups)
    rates = {"told_rate": settings.told_rate, "count_only_rate": settings.count_only_rate}
    scenes = TokenScenes(world, codes, tokenizer, **rates)
    run_stage(GeneratorStage(model, settings, scenes, quantizer, world), settings, arguments)


if __name__ == "__main__":
    main()
