"""Batches of (picture, prompt, answers) for the verifier, from ground truth and from the generator's trajectories."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.degradations import degrade, shuffle_patches
from training.detector_data import images_of
from training.geneval_rules import DetectionThresholds, is_correct
from training.models.verifier import TASKS
from training.ranking_data import RankingData, is_settled
from training.spec_challenges import challenge, weaken
from training.tokenizer import PAD, encode_prompts
from training.world.spec import Spec, satisfies
from training.world.world import World

# How often a prompt beyond the first is the picture's own again, a weaker one, a challenge, or another picture's: right and
# wrong about equal.
_KINDS = (0.35, 0.15, 0.4, 0.1)
# Share of ground-truth pictures whose patches are shuffled: nothing to be judged in them.
_SHUFFLED = 0.08
# Share of trajectory pictures that are final ones; the others come from all earlier recorded steps alike.
_FINAL = 0.3


@dataclass(frozen=True)
class VerifierBatch:
    """B pictures with M prompts each.

    Attributes:
        images: uint8 [B, H, W, 3].
        prompt_ids: int64 [B*M, L'], the prompts of one picture side by side, cut to the longest of them.
        answers: float32 [B*M, 3], 0 or 1 for clarity, potential, alignment.
    """

    images: Tensor
    prompt_ids: Tensor
    answers: Tensor


def encode_short(tokenizer: Tokenizer, prompts: list[str]) -> Tensor:
    """Prompt ids without the columns that are padding in every row: int64 [len(prompts), L'].

    Padding is masked in the verifier, so leaving it out changes nothing but the time.
    """
    prompt_ids = torch.from_numpy(encode_prompts(tokenizer, prompts))
    return prompt_ids[:, : int((prompt_ids != PAD).sum(1).max())]


def questions_about(rng: np.random.Generator, world: World, spec: Spec, count: int) -> list[Spec]:
    """`count` specs to ask about a picture that was made for `spec`, which is the first of them."""
    asked = [spec]
    for kind in rng.choice(len(_KINDS), size=count - 1, p=_KINDS):
        match int(kind):
            case 0:
                asked.append(spec)
            case 1:
                asked.append(weaken(rng, spec))
            case 2:
                asked.append(challenge(rng, spec))
            case _:
                asked.append(world.sample_spec(rng))
    return asked


def scene_batch(
    worlds: list[World],
    tokenizer: Tokenizer,
    reconstruct: Callable[[Tensor], Tensor] | None,
    rng: np.random.Generator,
    size: int,
    questions: int,
) -> VerifierBatch:
    """Ground-truth scenes and questions about them; a function of the generator's state only.

    A composed scene is as clear as a picture gets, and its potential equals its alignment.

    Args:
        worlds: where scenes come from.
        tokenizer: of the prompts.
        reconstruct: maps half of the pictures to what a quantiser makes of them, or None.
        rng: source of randomness.
        size: B.
        questions: M, prompts for each picture.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    scenes, prompts, answers = [], [], []
    for _ in range(size):
        world = worlds[int(rng.integers(len(worlds)))]
        spec = world.sample_spec(rng)
        scene = world.compose(rng, spec)
        scenes.append(scene)
        for asked in questions_about(rng, world, spec, questions):
            right = float(satisfies(scene.objects, asked))
            prompts.append(world.prompt(rng, asked))
            answers.append((1.0, right, right))
    images = images_of(scenes)
    if reconstruct is not None:
        images[::2] = reconstruct(images[::2])
    # Every fourth stays as it is: what the generator draws at its best is not damaged.
    damaged = torch.arange(size) % 4 != 0
    images[damaged] = degrade(images[damaged], generator)
    labels = torch.tensor(answers).view(size, questions, len(TASKS))
    shuffled = round(size * _SHUFFLED)
    if shuffled:
        images[-shuffled:] = shuffle_patches(images[-shuffled:], generator)
        labels[-shuffled:] = 0.0
    return VerifierBatch(images, encode_short(tokenizer, prompts), labels.flatten(0, 1))


class TrajectoryExamples:
    """Turns trajectories into examples: the detector's reading of the final picture answers for all earlier ones."""

    def __init__(self, data: RankingData, world: World, tokenizer: Tokenizer, thresholds: DetectionThresholds):
        self._data, self._world, self._tokenizer, self._thresholds = data, world, tokenizer, thresholds

    def batch(self, rng: np.random.Generator, size: int, questions: int) -> VerifierBatch:
        """`size` random pictures, `questions` prompts for each; a function of the generator's state only."""
        last = len(self._data.steps) - 1
        images, prompts, answers = [], [], []
        for _ in range(size):
            row = int(rng.integers(len(self._data)))
            place = last if rng.random() < _FINAL else int(rng.integers(last))
            own = self._data.specs[row]
            images.append(self._data.images[row, place])
            for asked in questions_about(rng, self._world, own, questions):
                prompts.append(own["prompt"] if asked is own else self._world.prompt(rng, asked))
                answers.append(self.answers(row, place, asked))
        return VerifierBatch(
            torch.from_numpy(np.stack(images)),
            encode_short(self._tokenizer, prompts),
            torch.tensor(answers),
        )

    def answers(self, row: int, place: int, spec: dict) -> tuple[float, float, float]:
        """Labels 0 or 1 of one recorded picture under a spec: clarity, potential, alignment.

        Clarity: the picture shows the objects that the final one shows. Potential: the final picture satisfies the
        spec. Alignment: this picture does.
        """
        objects = self._data.objects[row]
        return (
            float(is_settled(objects[place], objects[-1], self._thresholds.score)),
            float(is_correct(objects[-1], spec, self._thresholds)),
            float(is_correct(objects[place], spec, self._thresholds)),
        )

    def own(self, row: int, place: int) -> tuple[np.ndarray, str, tuple[float, float, float]]:
        """Picture uint8 [H, W, 3], prompt and answers of a recorded picture under its own spec."""
        spec = self._data.specs[row]
        return self._data.images[row, place], spec["prompt"], self.answers(row, place, spec)
