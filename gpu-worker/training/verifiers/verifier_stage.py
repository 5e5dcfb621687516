"""What a verifier is taught, and how: the stage that `training.loop.training_loop` trains."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.object_targets import object_loss
from training.data.reconstruction import Decoder
from training.loop.checkpoint import load_weights, read_start
from training.loop.stage import Stage, TrainingSettings
from training.models.verifier import TASKS, Verifier, VerifierConfig, VerifierReading, with_vocabulary
from training.verifiers.verifier_data import VerifierBatch
from training.verifiers.word_targets import word_loss


@dataclass(frozen=True)
class VerifierTraining(TrainingSettings):
    """How a verifier is trained.

    Attributes:
        batch: pictures of a step.
        questions: prompts for each picture.
        scene_share: composed scenes among a batch of the generator's pictures, 0..1.
        own: weight of a question that is a picture's own prompt, the one that it is asked when it matters.
        other: weight of clarity and potential under another prompt. What is asked for and still missing will probably come
            if the path is made for it, and never otherwise: the second must not drown the first.
        ranking: weight of telling which of two pictures of a prompt, at the same step, is the better one.
        now, final, words: weights of what is taught beside the answers, whose weight is 1: objects of the picture, objects of the
            picture that its path ends with, what words name.
    """

    muon_lr: float = 0.02
    adam_lr: float = 0.002
    average_decay: float = 0.999
    questions: int = 8
    scene_share: float = 0.0
    own: float = 1.0
    other: float = 1.0
    ranking: float = 0.0
    now: float = 0.5
    final: float = 0.5
    words: float = 0.2


def verifier_loss(
    reading: VerifierReading, batch: VerifierBatch, tasks: tuple[str, ...], weights: VerifierTraining
) -> tuple[Tensor, dict[str, Tensor]]:
    """Binary cross-entropy of the questions in `tasks`, and the weighted losses of objects and words.

    Returns:
        The sum, and for the log: it, each of its parts, and the share of right answers to each question.
    """
    taught = [TASKS.index(task) for task in tasks]
    logits, answers = reading.logits[:, taught], batch.answers[:, taught]
    questions = len(logits) // len(reading.now.heat)
    parts = {
        "answers": F.binary_cross_entropy_with_logits(logits, answers, _question_weights(answers, questions, tasks, weights)),
        "ranking": ranking_loss(reading.logits, batch, questions, tasks),
        "now": object_loss(reading.now, batch.now),
        "final": object_loss(reading.final, batch.final),
        "words": sum(word_loss(getattr(reading, name), getattr(batch, name)) for name in ("classes", "colors", "numbers")),
    }
    loss = parts["answers"] + sum(getattr(weights, name) * parts[name] for name in ("ranking", "now", "final", "words"))
    hits = ((logits > 0) == (answers > 0.5)).float().mean(0)
    return loss, {"loss": loss, **parts, **dict(zip(tasks, hits, strict=True))}


def _question_weights(answers: Tensor, questions: int, tasks: tuple[str, ...], weights: VerifierTraining) -> Tensor:
    """Weight of each answer [B*M, tasks] about pictures with M questions each, the first their own; 1 on average."""
    others = answers.new_tensor([1.0 if task == "alignment" else weights.other for task in tasks])
    of_picture = torch.cat([torch.full_like(others, weights.own)[None], others.expand(questions - 1, -1)])
    return (of_picture / of_picture.mean()).repeat(len(answers) // questions, 1)


def ranking_loss(logits: Tensor, batch: VerifierBatch, questions: int, tasks: tuple[str, ...]) -> Tensor:
    """How far a better picture is from scoring above a worse one of the same prompt; a scalar, 0 where no such pair is there.

    Choosing among candidates only asks which of them is the better one. Source: the pairwise logistic loss of RankNet (Burges
    et al., ICML 2005).

    Args:
        logits: float32 [B*M, 3] of pictures with M = `questions` prompts each, the first their own.
        batch: their answers; those recorded for one prompt and step stand side by side, the first of them at an even place.
        tasks: the questions that are taught; clarity ranks nothing.
    """
    ranked = [TASKS.index(task) for task in tasks if task != "clarity"]
    pairs = len(logits) // questions // 2

    def own(of_prompts: Tensor) -> Tensor:
        return of_prompts[::questions][: 2 * pairs].unflatten(0, (pairs, 2))  # (pairs, 2, ...)

    scores, answers, words = own(logits[:, ranked]), own(batch.answers[:, ranked]), own(batch.prompt_ids)
    better = answers[:, 0] - answers[:, 1]  # -1, 0 or 1
    counts = better.abs() * (words[:, 0] == words[:, 1]).all(-1, keepdim=True)
    losses = F.softplus(-better * (scores[:, 0] - scores[:, 1]))
    return (losses * counts).sum() / counts.sum().clamp(min=1.0)


class VerifierStage(Stage):
    """A verifier; batch normalisation wants its batches whole."""

    name = "verifier"
    log_steps = 20

    def __init__(
        self,
        model: Verifier,
        settings: VerifierTraining,
        tasks: tuple[str, ...],
        make_batch: Callable[[np.random.Generator, int], VerifierBatch],
        decode: Decoder | None = None,
        *,
        perception: Path | None = None,
    ):
        """
        Args:
            model: what is trained.
            settings: weights of the losses.
            tasks: the questions that it is taught.
            make_batch: makes examples as `Stage.examples` does.
            decode: shows pictures that examples hold as codes, on the training device; None where they hold none.
            perception: weights of the verifier whose perception a new run takes over and leaves as it is; None trains all of it.
        """
        super().__init__(model.to(memory_format=torch.channels_last))
        self._settings, self._tasks, self._make_batch, self._decode = settings, tasks, make_batch, decode
        self._perception = perception
        model.perception.requires_grad_(perception is None)

    def examples(self, rng: np.random.Generator, size: int) -> VerifierBatch:
        return self._make_batch(rng, size)

    def start_from(self, path: Path) -> None:
        config = self.model.config
        weights = read_start(path, config, ignored=("vocabulary_size",))
        self.model.load_state_dict(with_vocabulary(weights, config.vocabulary_size))
        if self._perception is not None:
            self.model.perception.load_state_dict(
                load_weights(self._perception, Verifier, VerifierConfig).perception.state_dict()
            )

    @torch.no_grad()
    def prepared(self, batch: VerifierBatch) -> VerifierBatch:
        """Decodes codes to pictures, on the device, where it is quickest."""
        if not len(batch.codes):
            return batch
        decoded = self._decode(batch.codes)
        images = torch.cat([batch.images, decoded]) if len(batch.images) else decoded
        return replace(batch, images=images, codes=batch.codes[:0])

    def loss(self, model: Verifier, batch: VerifierBatch) -> tuple[Tensor, dict[str, Tensor]]:
        if self._perception is not None:
            # Its batch statistics must stay as they are, too.
            model.perception.eval()
        return verifier_loss(model.read(batch.images, batch.prompt_ids), batch, self._tasks, self._settings)

    def is_hidden(self, name: str, weight: Tensor) -> bool:
        # Matrices and kernels between the inputs and the heads.
        if weight.ndim == 4:
            return name.startswith("trunk") and weight.shape[1] > 3
        return weight.ndim == 2 and name.startswith(("grammar", "layers"))
