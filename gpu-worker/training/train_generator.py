"""Trains the mask-predict generator on code grids of composed scenes.

    python -m training.train_generator --minutes 80 --run training/runs/generator [--resume]

Writes `checkpoint.pt` (to resume), `log.jsonl`, `samples.png`, and `generator.pt` (float16 averaged weights) at every
checkpoint.
"""

import argparse
import os
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.budget import Budget, rate_scale
from training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.muon import build_optimizers, set_learning_rate
from training.painter import Painter
from training.parallel import ThreadedGradients
from training.pictures import save_grid
from training.run_log import RunLog
from training.sampling import SamplingSettings
from training.token_scenes import TokenBatch, TokenScenes
from training.tokenizer import build_tokenizer, unconditional_prompt
from training.world.classes import TASKS
from training.world.config import WorldConfig
from training.world.prompts import geneval_prompt
from training.world.world import World

CONFIGS = Path(__file__).parent / "configs"
PARTS = 4  # parts of a batch that threads take one by one
CHECKPOINT_SECONDS = 300
AVERAGE_EVERY = 4  # steps between updates of the averaged weights, which cost as much as a twentieth of a step


@dataclass(frozen=True)
class GeneratorTraining:
    """How the generator is trained.

    Attributes:
        batch: examples per optimiser step, a multiple of `PARTS`.
        muon_lr: learning rate of the blocks' matrices.
        adam_lr: learning rate of everything else.
        caption_dropout: share of examples, 0..1, that get the unconditional prompt, for guidance.
        background_share: share of masked background tokens, 0..1, that enter the loss. All masked object tokens do, which
            weighs objects up and saves output-layer work that plain background would waste.
        average_decay: share of the old averaged weights kept per step, 0..1.
    """

    batch: int = 64
    muon_lr: float = 0.02
    adam_lr: float = 0.0015
    caption_dropout: float = 0.1
    background_share: float = 0.25
    average_decay: float = 0.999


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


def generator_loss(
    model: Generator, batch: TokenBatch, rng: np.random.Generator, settings: GeneratorTraining
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of hidden tokens.

    Returns:
        (scalar loss in nats, {"object": mean loss of hidden object tokens, "background": of background tokens}).
    """
    tokens, hidden = mask_tokens(rng, batch.codes, model.config.codebook_size)
    counted = hidden & (batch.on_object | (rng.random(hidden.shape) < settings.background_share))
    counted[np.arange(len(hidden)), hidden.argmax(axis=1)] = True  # never an empty selection
    prompts = batch.prompt_ids.copy()
    dropped = rng.random(len(prompts)) < settings.caption_dropout
    prompts[dropped] = unconditional_prompt(prompts.shape[1])
    selected = torch.from_numpy(counted)
    prefix_kv = model.prefix(torch.from_numpy(prompts))
    states = model.hidden(torch.from_numpy(tokens), prefix_kv, torch.arange(len(tokens)))
    targets = torch.from_numpy(batch.codes)[selected]
    losses = F.cross_entropy(model.logits(states[selected]).float(), targets, reduction="none")
    on_object = torch.from_numpy(batch.on_object)[selected]
    parts = {"object": losses[on_object].mean().item(), "background": losses[~on_object].mean().item()}
    return losses.mean(), parts


class GeneratorRun:
    """One training run: model, its average, optimisers and files."""

    def __init__(
        self, scenes: TokenScenes, config: GeneratorConfig, settings: GeneratorTraining, budget: Budget, run: Path, seed: int
    ):
        torch.manual_seed(seed)
        self.scenes, self.settings, self.budget, self.run, self.seed = scenes, settings, budget, run, seed
        self.model = Generator(config)
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.optimizers = build_optimizers(
            self.model, settings.muon_lr, settings.adam_lr, lambda name, weight: name.startswith("blocks.") and weight.ndim == 2
        )
        self.step = 0
        run.mkdir(parents=True, exist_ok=True)
        self.log = RunLog(run / "log.jsonl")

    def resume(self) -> None:
        """Continues from `checkpoint.pt`; a run counted in steps then ends as if it had not been interrupted."""
        saved = load_checkpoint(self.run / "checkpoint.pt")
        self.model.load_state_dict(saved["model"])
        self.average = saved["average"]
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.budget.spent_seconds = saved["step"], saved["seconds"]

    def averaged(self) -> Generator:
        """The averaged model in its released form, evaluation mode."""
        model = Generator(self.model.config)
        model.load_state_dict(self.average)
        return model.folded().eval()

    def save(self) -> None:
        """Writes the checkpoint and the released form of the averaged weights."""
        content = {"model": self.model.state_dict(), "average": self.average, "step": self.step}
        content |= {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}
        save_checkpoint(
            self.run / "checkpoint.pt", content | {"seconds": self.budget.elapsed_seconds(), "config": asdict(self.model.config)}
        )
        save_weights(self.run / "generator.pt", self.averaged())

    def train(self, threads: int, on_checkpoint) -> None:
        """Trains until the budget is spent; calls `on_checkpoint(run)` after each checkpoint and at the end."""
        gradients = ThreadedGradients(self.model, threads)
        saved_at = self.budget.elapsed_seconds()
        recent: list[dict[str, float]] = []
        while (progress := self.budget.progress(self.step)) < 1:
            set_learning_rate(self.optimizers, rate_scale(progress))
            recent += gradients.backward(self._part_loss, PARTS)
            gradients.run([optimizer.step for optimizer in self.optimizers])
            self.step += 1
            if self.step % AVERAGE_EVERY == 0:
                self._update_average()
            if self.step % 50 == 0:
                losses = {name: round(float(np.nanmean([part[name] for part in recent])), 4) for name in recent[0]}
                self.log.write(step=self.step, minutes=round(self.budget.elapsed_seconds() / 60, 2), **losses)
                recent.clear()
            if self.budget.elapsed_seconds() - saved_at > CHECKPOINT_SECONDS:
                self.save()
                on_checkpoint(self)
                saved_at = self.budget.elapsed_seconds()
        self.save()
        on_checkpoint(self)

    def _part_loss(self, replica: Generator, part: int) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng([self.seed, self.step, part])
        batch = self.scenes.batch(rng, self.settings.batch // PARTS)
        return generator_loss(replica, batch, rng, self.settings)

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average must not remember the random start: the decay grows with the number of steps.
        decay = min(self.settings.average_decay, (1 + self.step) / (10 + self.step)) ** AVERAGE_EVERY
        names = list(self.average)
        current = self.model.state_dict()
        torch._foreach_lerp_([self.average[name] for name in names], [current[name] for name in names], 1 - decay)


def draw_samples(generator: Generator, quantizer: Quantizer, world: World, path: Path, per_task: int = 8) -> None:
    """Writes unselected samples of fresh prompts, one row per task, the same prompts every time."""
    rng = np.random.default_rng(0)
    prompts = [geneval_prompt(world.sample_spec(rng, task)) for task in TASKS for _ in range(per_task)]
    images = Painter(generator, quantizer).paint(prompts, SamplingSettings(), seed=0).numpy()
    save_grid(path, images, columns=per_task, captions=[prompt.removeprefix("a photo of ") for prompt in prompts])


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the generator of the emoji world.")
    parser.add_argument("--config", type=Path, default=CONFIGS / "generator.toml")
    parser.add_argument("--world", type=Path, default=CONFIGS / "emoji-96.toml")
    parser.add_argument("--quantizer", type=Path, default=Path("training/weights/quantizer.pt"), help="released quantiser")
    parser.add_argument("--run", type=Path, default=Path("training/runs/generator"), help="folder for checkpoints and logs")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="wall-clock allowance (default 80)")
    length.add_argument("--steps", type=int, help="exact number of steps, for repeatable runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    table = tomllib.loads(args.config.read_text())
    world = World(WorldConfig.from_toml(args.world))
    quantizer = load_weights(args.quantizer, Quantizer, QuantizerConfig)
    tokenizer = build_tokenizer()
    config = GeneratorConfig(vocabulary_size=tokenizer.get_vocab_size(), **table["generator"])
    budget = Budget(minutes=args.minutes if args.minutes or args.steps else 80.0, steps=args.steps)
    settings = GeneratorTraining(**table["training"])
    run = GeneratorRun(TokenScenes(world, quantizer, tokenizer), config, settings, budget, args.run, args.seed)
    if args.resume:
        run.resume()
    run.train(args.threads, lambda current: draw_samples(current.averaged(), quantizer, world, args.run / "samples.png"))


if __name__ == "__main__":
    main()
