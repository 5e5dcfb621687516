"""Reward guidance: what a verifier adds to the training of a generator, with a gradient that reaches the generator.

The paper subtracts a reward from the loss that no weight of the generator enters (PARM, arXiv 2501.13926, its released code): a
term without a gradient. Here each verifier guides by what it knows.

- An ORM sees final pictures only. Its log-odds, less the prompt's mean, are the advantage of a policy gradient, so that prompts
  teach too whose pictures are all wrong.
- PARM judges steps. From a recorded state the generator draws its prediction, which is decoded and judged, and the log-odds of
  potential, of alignment at the end, flow back through verifier and decoder into the probabilities of the codes.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.alignment.path_states import PathStates, hidden_at, states_at
from training.alignment.rollouts import Rollouts
from training.loop.precision import full_precision
from training.models.generator import Generator
from training.models.quantizer import Quantizer
from training.models.verifier import TASKS, Verifier
from training.world.tokenizer import build_tokenizer, encode_prompts, unconditional_prompt

GUIDES = ("orm", "parm")
_PICTURES_AT_ONCE = 64


@dataclass(frozen=True)
class GuidanceSettings:
    """How strongly a verifier guides.

    Attributes:
        weight: of its term beside the objective's.
        divergence: of PARM, weight of the divergence from the reference, nats a picture, which keeps the prediction one of the
            generator's.
        highest: log-odds beyond which a verifier is not asked for more, because nothing is learned there but its quirks.
        first_step: of PARM, the first step whose predictions it judges; before it they are guesses from an almost empty grid.
        scale: of PARM, classifier-free guidance with which predictions are drawn, as they are served.
        share: share of a batch, 0..1, that is guided.
    """

    weight: float = 0.5
    divergence: float = 0.05
    highest: float = 4.0
    first_step: int = 3
    scale: float = 0.5
    share: float = 0.25


@dataclass(frozen=True)
class GuidedStates:
    """B states from which predictions are judged.

    Attributes:
        states: their hidden places count.
        questions: int64 [B, L], the prompts that the verifier is asked about, without words of a style.
        task: int64 [B], index in `training.models.verifier.TASKS` of what it is asked.
        uniform: float32 [K], 0..1, by which the codes of the hidden places are drawn.
    """

    states: PathStates
    questions: Tensor
    task: Tensor
    uniform: Tensor


@torch.no_grad()
def outcome_advantage(verifier: Verifier, quantizer: Quantizer, rollouts: Rollouts, highest: float) -> np.ndarray:
    """Log-odds of alignment of each picture, at most `highest` either way, less the mean of its prompt: float32 [n]."""
    logits, tokenizer = [], build_tokenizer()
    for start in range(0, len(rollouts), _PICTURES_AT_ONCE):
        part = slice(start, start + _PICTURES_AT_ONCE)
        images = quantizer.decode(torch.from_numpy(rollouts.codes[part].astype(np.int64)))
        questions = torch.from_numpy(encode_prompts(tokenizer, [spec["prompt"] for spec in rollouts.specs[part]]))
        logits.append(verifier.logits(images, questions)[:, TASKS.index("alignment")])
    answers = torch.cat(logits).clamp(-highest, highest).numpy()
    for rows in rollouts.groups:
        answers[rows] -= answers[rows].mean()
    return answers


class PathGuide(nn.Module):
    """PARM's answers about predictions, with a gradient."""

    def __init__(self, verifier: Verifier, quantizer: Quantizer, settings: GuidanceSettings, rollouts: Rollouts):
        """Verifier and quantiser are frozen and left in evaluation mode."""
        super().__init__()
        self._verifier, self._quantizer = verifier.eval().requires_grad_(False), quantizer.eval().requires_grad_(False)
        self._settings, self._rollouts = settings, rollouts
        self._questions = encode_prompts(build_tokenizer(), [spec["prompt"] for spec in rollouts.specs])

    def examples(self, rng: np.random.Generator, size: int, mask_id: int) -> GuidedStates:
        """`size` states of any paths, from the first step that is judged on, with something hidden."""
        last = self._rollouts.tokens.shape[1] - 1
        rows = rng.integers(len(self._rollouts), size=size)
        steps = rng.integers(min(self._settings.first_step, last), last + 1, size=size)
        hidden = hidden_at(self._rollouts, rows, steps, mask_id)
        states = states_at(self._rollouts, rows, steps, hidden)
        task = np.where(steps == last, TASKS.index("alignment"), TASKS.index("potential"))
        uniform = rng.random(int(hidden.sum()), dtype=np.float32)
        return GuidedStates(states, *map(torch.from_numpy, (self._questions[rows], task, uniform)))

    def loss(self, model: Generator, reference: Generator, batch: GuidedStates) -> tuple[Tensor, dict[str, Tensor]]:
        """-log P(yes) of what the generator draws, and its divergence from the reference.

        Returns:
            (scalar, {"yes": mean P(yes), "divergence": nats a code}).
        """
        states = batch.states
        log_p = self._guided(model, states)
        with torch.no_grad():
            log_reference = self._guided(reference, states)
        probability = log_p.exp()
        mass = probability.detach().cumsum(1)
        drawn = torch.searchsorted(mass, batch.uniform[:, None]).clamp(max=mass.shape[1] - 1)[:, 0]
        ids = states.tokens.flatten().index_copy(0, states.places, drawn).view_as(states.tokens)
        # Decoder and verifier as they are served: in float32, of whole grey levels from 0 to 255.
        with full_precision(states.tokens.device.type):
            images = 255 * self._quantizer.relaxed_pixels(ids, states.places, probability).permute(0, 2, 3, 1)
            images = images + (images.clamp(0, 255).round() - images).detach()
            answers = self._verifier.logits(images, batch.questions).gather(1, batch.task[:, None])[:, 0]
        divergence = (probability * (log_p - log_reference)).sum(1).mean()
        loss = -F.logsigmoid(answers.clamp(max=self._settings.highest)).mean()
        scalars = {"yes": answers.detach().sigmoid().mean(), "divergence": divergence.detach()}
        return loss + self._settings.divergence * states.tokens.shape[1] * divergence, scalars

    def _guided(self, model: Generator, states: PathStates) -> Tensor:
        """Log-probabilities of all codes at the places that count, guided as they are served: float32 [K, C]."""
        rows = len(states.tokens)
        free = torch.from_numpy(unconditional_prompt(states.prompt_ids.shape[1])).to(states.tokens.device)
        prefix = model.prefix(torch.cat([states.prompt_ids, free[None]]))
        owners = torch.arange(rows, device=states.tokens.device)
        told = model.hidden(states.tokens, prefix, owners, states.places)
        with torch.no_grad():
            untold = model.hidden(states.tokens, prefix, torch.full_like(owners, rows), states.places)
        scale = self._settings.scale
        return model.logits((1 + scale) * told - scale * untold).float().log_softmax(1)
