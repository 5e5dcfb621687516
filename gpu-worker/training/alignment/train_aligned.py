"""Trains a generator on recordings of its own pictures: `python -m training.alignment.train_aligned --kind dpo --start FILE`.

Kinds: `dpo`, pairs (the paper's); `nft`, negative-aware fine-tuning; `grpo`, group-relative policy gradient; `imitation`, the
matcher's answers to the generator's own mistakes. Blocks, norms and positions learn; vectors and output layer stay, because a
recording holds most of the 8,192 codes hardly ever. A share of each batch is ordinary training on composed scenes.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.alignment.guidance import GUIDES, GuidanceSettings, GuidedStates, PathGuide, outcome_advantage
from training.alignment.objectives import Objective, dpo_loss, imitation_loss, nft_loss, policy_gradient_loss
from training.alignment.pairs import preference_pairs
from training.alignment.path_states import PathStates, committed_at, hidden_at, states_at, taught_at
from training.alignment.rollouts import Rollouts
from training.data.scene_codes import SceneCodes
from training.data.token_scenes import TokenScenes
from training.folders import RUNS, WEIGHTS
from training.loop.checkpoint import load_weights
from training.loop.config_file import read_settings
from training.loop.stage import Stage, TrainingSettings
from training.loop.stage_arguments import overridden, run_stage, stage_parser
from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.models.verifier import Verifier, VerifierConfig
from training.stages.train_generator import GeneratorTraining, MaskedBatch, generator_loss, masked_batch
from training.world.config import WorldConfig
from training.world.tokenizer import build_tokenizer
from training.world.world import World

KINDS = ("dpo", "nft", "grpo", "imitation")


@dataclass(frozen=True)
class AlignedTraining(TrainingSettings):
    """How a generator is aligned (`configs/aligned.toml`).

    Attributes:
        rehearsal: share of a batch, 0..1, that is ordinary training on composed scenes.
        mended: of `imitation`, share of the other examples, 0..1, that are wrong pictures with what should have come of them.
        first_step: the first step of a path that is learned from. Before it a path has hardly begun, and what comes of it is
            chance.
        objective: constants of the losses.
        guidance: how strongly a verifier guides, where one does.
    """

    adam_lr: float = 1e-4
    average_decay: float = 0.98
    rehearsal: float = 0.25
    mended: float = 0.5
    first_step: int = 0
    objective: Objective = field(default_factory=Objective)
    guidance: GuidanceSettings = field(default_factory=GuidanceSettings)


@dataclass(frozen=True)
class AlignedBatch:
    """States of recorded paths, those that a verifier guides, and ordinary examples beside them."""

    states: PathStates
    guided: PathStates | GuidedStates | None
    rehearsal: MaskedBatch


@dataclass(frozen=True)
class Guide:
    """A verifier that guides.

    Attributes:
        kind: one of `guidance.GUIDES`.
        verifier: its weights.
        quantizer: decodes what it judges.
    """

    kind: str
    verifier: Verifier
    quantizer: Quantizer


class AlignedStage(Stage):
    """The generator, on recordings of its own pictures."""

    name = "generator"
    parts = 2
    log_steps = 10
    checkpoint_seconds = 240.0

    def __init__(
        self, model: Generator, kind: str, settings: AlignedTraining, rollouts: Rollouts, scenes: TokenScenes, plain_codes: int,
        guide: Guide | None = None,
    ):  # fmt: skip
        """
        Args:
            model: in its released form, at the weights that it begins at: they are the reference, too.
            kind: one of `KINDS`.
            settings: how.
            rollouts: of this generator.
            scenes: ordinary examples.
            plain_codes: codes of plain background.
            guide: a verifier whose answers are added; none for None.

        Raises:
            ValueError: the kind is unknown, or the recording has nothing to learn from.
        """
        super().__init__(model)
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; known are {', '.join(KINDS)}")
        self._kind, self._settings, self._rollouts, self._scenes, self._plain = kind, settings, rollouts, scenes, plain_codes
        self._reference = copy.deepcopy(model).requires_grad_(False)
        for name, weight in model.named_parameters():
            weight.requires_grad_(name.startswith("blocks.") or "norm" in name or "position" in name)
        self._rows = {"imitation": self._imitated, "dpo": self._paired, "nft": self._mixed, "grpo": self._mixed}[kind]()
        self._path_guide, self._outcome = None, None
        if guide and guide.kind == "parm":
            self._path_guide = PathGuide(guide.verifier, guide.quantizer, settings.guidance, rollouts)
        elif guide:
            self._outcome = outcome_advantage(guide.verifier.eval(), guide.quantizer, rollouts, settings.guidance.highest)

    def _imitated(self) -> tuple[np.ndarray, np.ndarray]:
        recorded = self._rollouts
        mended, right = np.flatnonzero(recorded.fulfils & ~recorded.right), np.flatnonzero(recorded.right)
        if not len(mended) or not len(right):
            raise ValueError(f"imitation needs right and mendable pictures; the recording has {len(right)} and {len(mended)}")
        return mended, right

    def _paired(self) -> tuple[np.ndarray, np.ndarray]:
        self._pairs = preference_pairs(self._rollouts)
        return self._pairs.rejected, self._pairs.chosen

    def _mixed(self) -> np.ndarray:
        # A prompt whose pictures are all right, or all wrong, says nothing of which is better.
        rows = np.flatnonzero((self._rollouts.success > 0) & (self._rollouts.success < 1))
        if not len(rows):
            raise ValueError("every prompt's pictures are all right or all wrong; record more prompts")
        return rows

    def examples(self, rng: np.random.Generator, size: int) -> AlignedBatch:
        rehearsed = round(size * self._settings.rehearsal / 2) * 2
        guided = round(size * self._settings.guidance.share / 2) * 2 if self._is_guided else 0
        states = {"imitation": self._imitation_states, "dpo": self._pair_states}.get(self._kind, self._mixed_states)
        scenes = self._scenes.batch(rng, max(2, rehearsed), 2)
        ordinary = masked_batch(scenes, rng, self.model.config.codebook_size, GeneratorTraining())
        return AlignedBatch(states(rng, size - rehearsed - guided), self._guided_states(rng, guided), ordinary)

    @property
    def _is_guided(self) -> bool:
        return self._path_guide is not None or self._outcome is not None

    def _guided_states(self, rng: np.random.Generator, size: int) -> PathStates | GuidedStates | None:
        mask_id = self.model.config.codebook_size
        if self._path_guide is not None:
            return self._path_guide.examples(rng, size, mask_id)
        if self._outcome is None:
            return None
        rows, steps = rng.integers(len(self._rollouts), size=size), self._any_steps(rng, size)
        committed = committed_at(self._rollouts, rows, steps, mask_id)
        return states_at(self._rollouts, rows, steps, committed, advantage=self._outcome)

    def _imitation_states(self, rng: np.random.Generator, size: int) -> PathStates:
        wrong = min(round(size * self._settings.mended), size - 1)
        rows = np.concatenate([rng.choice(kind, count) for kind, count in zip(self._rows, (wrong, size - wrong), strict=True)])
        steps = self._any_steps(rng, size)
        targets, mask_id = self._rollouts.composed[rows].astype(np.int64), self.model.config.codebook_size
        counted = taught_at(rng, self._rollouts.tokens[rows, steps].astype(np.int64), targets, mask_id, self._plain)
        return states_at(self._rollouts, rows, steps, counted, targets=targets)

    def _pair_states(self, rng: np.random.Generator, size: int) -> PathStates:
        chosen = rng.choice(len(self._pairs), size // 2, p=self._pairs.weights)
        steps = self._any_steps(rng, size // 2)
        of_rejected = self._pairs.rejected[chosen]
        rows, both = np.concatenate([self._pairs.chosen[chosen], of_rejected]), np.concatenate([steps, steps])
        targets = np.concatenate([self._pairs.codes[chosen], self._rollouts.codes[of_rejected].astype(np.int64)])
        hidden = hidden_at(self._rollouts, rows, both, self.model.config.codebook_size)
        return states_at(self._rollouts, rows, both, hidden, targets=targets)

    def _mixed_states(self, rng: np.random.Generator, size: int) -> PathStates:
        rows, steps = rng.choice(self._rows, size), self._any_steps(rng, size)
        places = committed_at if self._kind == "grpo" else hidden_at
        return states_at(self._rollouts, rows, steps, places(self._rollouts, rows, steps, self.model.config.codebook_size))

    def _any_steps(self, rng: np.random.Generator, size: int) -> np.ndarray:
        return rng.integers(self._settings.first_step, self._rollouts.tokens.shape[1], size=size)

    def loss(self, model: Generator, batch: AlignedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        states, objective = batch.states, self._settings.objective
        policy = _log_probability(model, states)
        if self._kind == "imitation":
            loss, scalars = imitation_loss(policy), {}
        else:
            with torch.no_grad():
                reference = _log_probability(self._reference, states)
            of_kind = {"dpo": dpo_loss, "nft": nft_loss, "grpo": policy_gradient_loss}[self._kind]
            loss, scalars = of_kind(policy, reference, states, objective)
        scalars = {self._kind: loss, **scalars}
        if batch.guided is not None:
            guidance, of_guide = self._guidance(model, batch.guided)
            loss = loss + self._settings.guidance.weight * guidance
            scalars |= {"guidance": guidance, **of_guide}
        ordinary, _ = generator_loss(model, batch.rehearsal)
        share = self._settings.rehearsal
        return (1 - share) * loss + share * ordinary, {**scalars, "rehearsal": ordinary}

    def _guidance(self, model: Generator, guided: PathStates | GuidedStates) -> tuple[Tensor, dict[str, Tensor]]:
        if isinstance(guided, GuidedStates):
            return self._path_guide.loss(model, self._reference, guided)
        with torch.no_grad():
            reference = _log_probability(self._reference, guided)
        policy = _log_probability(model, guided)
        return policy_gradient_loss(policy, reference, guided, self._settings.objective)[0], {}

    def is_hidden(self, name: str, weight: Tensor) -> bool:
        return False

    def start_from(self, path: Path) -> None:
        raise ValueError(f"an aligned generator begins where its recording was made; --start {path} is read before")


def _log_probability(model: Generator, states: PathStates) -> Tensor:
    """Of the targets at the places that count: float32 [K], nats."""
    owners = torch.arange(len(states.tokens), device=states.tokens.device)
    hidden = model.hidden(states.tokens, model.prefix(states.prompt_ids), owners, states.places)
    return model.logits(hidden).float().log_softmax(-1).gather(1, states.targets[:, None])[:, 0]


def build_stage(
    generator: Path, kind: str, settings: AlignedTraining, rollouts: Sequence[Path], quantizer: Path, world: Path,
    guide: tuple[str, Path] | None = None,
) -> AlignedStage:  # fmt: skip
    """The stage of files.

    Args:
        generator: weights that made the recordings.
        kind: as `AlignedStage`.
        settings: as there.
        rollouts: folders of the recordings.
        quantizer: weights.
        world: its configuration.
        guide: kind and weights of a verifier that guides.
    """
    model = load_weights(generator, Generator, GeneratorConfig).train()
    codes = load_weights(quantizer, Quantizer, QuantizerConfig)
    drawn = World(WorldConfig.from_toml(world))
    scenes = TokenScenes(drawn, SceneCodes(drawn, codes), build_tokenizer())
    recorded = Rollouts.joined([Rollouts.read(folder) for folder in rollouts])
    guiding = Guide(guide[0], load_weights(guide[1], Verifier, VerifierConfig), codes) if guide else None
    return AlignedStage(model, kind, settings, recorded, scenes, len(codes.config.tints), guiding)


def read_aligned(config: Path) -> AlignedTraining:
    """All tables of `configs/aligned.toml`."""
    objective = read_settings(config, Objective, "objective")
    guidance = read_settings(config, GuidanceSettings, "guidance")
    return read_settings(config, AlignedTraining, "training", objective=objective, guidance=guidance)


def released_guide(kind: str | None, weights: Path = WEIGHTS) -> tuple[str, Path] | None:
    """The released verifier that guides as `kind`, one of `guidance.GUIDES`; none for None."""
    return None if kind is None else (kind, weights / {"orm": "orm-ft.pt", "parm": "parm.pt"}[kind])


def main() -> None:
    parser = stage_parser("Aligns a generator with the verdicts on its own pictures.", "aligned", minutes=20.0)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--rollouts", type=Path, nargs="+", default=[RUNS / "rollouts"], help="recordings of --generator")
    parser.add_argument("--generator", type=Path, default=WEIGHTS / "generator.pt", help="that made them, and is trained on")
    parser.add_argument("--quantizer", type=Path, default=WEIGHTS / "quantizer.pt")
    parser.add_argument("--guide", choices=GUIDES, help="add the answers of a verifier of this kind to the loss")
    parser.add_argument("--verifier", type=Path, help="its weights (weights/orm-ft.pt, weights/parm.pt)")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    settings = overridden(read_aligned(arguments.config), arguments)
    guide = released_guide(arguments.guide)
    if guide and arguments.verifier:
        guide = (guide[0], arguments.verifier)
    stage = build_stage(
        arguments.generator, arguments.kind, settings, arguments.rollouts, arguments.quantizer, arguments.world, guide
    )
    run_stage(stage, settings, arguments)


if __name__ == "__main__":
    main()
