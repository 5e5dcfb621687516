"""Batches of pictures, prompts and answers for verifiers, from ground truth and from the generator's trajectories."""

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from training.data.degradations import degrade, shuffle_patches
from training.data.detector_scenes import images_of
from training.data.object_targets import ObjectTargets, object_targets
from training.data.reconstruction import CodedScenes
from training.models.verifier import TASKS, VerifierConfig
from training.verifiers.questions import Questioner
from training.verifiers.word_targets import WordTargets, pad_labels
from training.world.scene import Scene
from training.world.spec import KnownObject, Spec, satisfies
from training.world.tokenizer import PAD, encode_prompts
from training.world.world import World

# Share of ground-truth pictures whose patches are shuffled: nothing to be judged in them.
_SHUFFLED = 0.08


@dataclass(frozen=True)
class VerifierBatch:
    """B pictures with M prompts each.

    Attributes:
        images: uint8 [B - C, H, W, 3].
        codes: int64 [C, N], the last C pictures as codes of the quantiser, to be decoded where the training runs.
        prompt_ids: int64 [B*M, L'], the prompts of one picture side by side, cut to the longest of them.
        answers: float32 [B*M, 3], 0 or 1 for clarity, potential, alignment.
        now: objects of the pictures.
        final: objects of the pictures that their paths end with.
        classes, colors, numbers: int64 [B*M, L'], what each word names (`VerifierReading`); -1 at padding.
    """

    images: Tensor
    codes: Tensor
    prompt_ids: Tensor
    answers: Tensor
    now: ObjectTargets
    final: ObjectTargets
    classes: Tensor
    colors: Tensor
    numbers: Tensor


@dataclass(frozen=True)
class Example:
    """What a picture holds, and what is asked about it.

    Attributes:
        now, final: its objects, and those of the picture that its path ends with.
        asked: specs with their `prompt`.
        answers: for each of them clarity, potential, alignment, 0 or 1.
    """

    now: list[KnownObject]
    final: list[KnownObject]
    asked: list[Spec]
    answers: list[tuple[float, float, float]]


class BatchMaker:
    """Turns examples into tensors."""

    def __init__(self, tokenizer: Tokenizer, config: VerifierConfig):
        self._tokenizer, self._config, self._words = tokenizer, config, WordTargets(tokenizer)

    def batch(self, examples: list[Example], images: Tensor, codes: Tensor) -> VerifierBatch:
        """Examples with the same number of questions each; images and codes as in `VerifierBatch`."""
        asked = [spec for example in examples for spec in example.asked]
        prompt_ids = encode_short(self._tokenizer, [spec["prompt"] for spec in asked])
        labels = [self._words.label(spec["prompt"], spec) for spec in asked]
        length, at_least_one = prompt_ids.shape[1], self._config.candidates + 1
        return VerifierBatch(
            images,
            codes,
            prompt_ids,
            torch.tensor([answer for example in examples for answer in example.answers]),
            object_targets([example.now for example in examples], self._config),
            object_targets([example.final for example in examples], self._config),
            pad_labels([words.classes for words in labels], length),
            pad_labels([words.colors for words in labels], length),
            pad_labels([[at_least_one if n is None else n for n in words.counts] for words in labels], length),
        )


def encode_short(tokenizer: Tokenizer, prompts: list[str]) -> Tensor:
    """Prompt ids without the columns that are padding in every row: int64 [len(prompts), L'].

    Padding is masked in the verifier, so leaving it out changes nothing but the time.
    """
    prompt_ids = torch.from_numpy(encode_prompts(tokenizer, prompts))
    return prompt_ids[:, : int((prompt_ids != PAD).sum(1).max())]


def join(scenes: VerifierBatch, recorded: VerifierBatch) -> VerifierBatch:
    """A batch of images and a batch of codes as one; shorter prompts are padded to the longer ones."""
    batches = (scenes, recorded)
    length = max(batch.prompt_ids.shape[1] for batch in batches)

    def padded(name: str, value: int) -> Tensor:
        parts = [getattr(batch, name) for batch in batches]
        return torch.cat([F.pad(part, (0, length - part.shape[1]), value=value) for part in parts])

    def targets(name: str) -> ObjectTargets:
        parts = [getattr(batch, name) for batch in batches]
        return ObjectTargets(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(ObjectTargets)))

    return VerifierBatch(
        scenes.images,
        recorded.codes,
        padded("prompt_ids", PAD),
        torch.cat([batch.answers for batch in batches]),
        targets("now"),
        targets("final"),
        padded("classes", -1),
        padded("colors", -1),
        padded("numbers", -1),
    )


class SceneExamples:
    """Ground-truth scenes and questions about them.

    A composed scene is as clear as a picture gets, and its potential equals its alignment.
    """

    def __init__(self, worlds: list[World], questioner: Questioner, maker: BatchMaker, coded: CodedScenes | None):
        """
        Args:
            worlds: where scenes come from.
            questioner: asks about them.
            maker: makes the tensors.
            coded: every second picture is one of these, as their codes show it, unless it is None.
        """
        self._worlds, self._questioner, self._maker, self._coded = worlds, questioner, maker, coded

    def batch(self, rng: np.random.Generator, size: int, questions: int) -> VerifierBatch:
        """`size` scenes with `questions` prompts each; a function of the generator's state only."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        made = [self._compose(rng, through_codes=place % 2 == 0) for place in range(size)]
        images = self._damage(self._show([scene for _, scene in made]), generator)
        shuffled = round(size * _SHUFFLED)
        if shuffled:
            images[-shuffled:] = shuffle_patches(images[-shuffled:], generator)
        examples = []
        for place, (spec, scene) in enumerate(made):
            is_shuffled = place >= size - shuffled
            examples.append(self._example(rng, spec, scene, questions, is_shuffled))
        return self._maker.batch(examples, images, torch.empty(0, 1, dtype=torch.int64))

    def _compose(self, rng: np.random.Generator, *, through_codes: bool) -> tuple[Spec, Scene]:
        worlds = [self._coded.world] if through_codes and self._coded is not None else self._worlds
        while True:
            world = worlds[int(rng.integers(len(worlds)))]
            spec = world.sample_spec(rng)
            try:
                return {**spec, "prompt": world.prompt(rng, spec)}, world.compose(rng, spec)
            except ValueError:
                # Four large cells may find no room on a coarse lattice: draw another scene.
                continue

    def _show(self, scenes: list[Scene]) -> Tensor:
        images = images_of(scenes)
        if self._coded is not None:
            images[::2] = self._coded.reconstruct(scenes[::2])
        return images

    def _damage(self, images: Tensor, generator: torch.Generator) -> Tensor:
        # Every fourth stays as it is: what the generator draws at its best is not damaged.
        damaged = torch.arange(len(images)) % 4 != 0
        images[damaged] = degrade(images[damaged], generator)
        return images

    def _example(self, rng: np.random.Generator, spec: Spec, scene: Scene, questions: int, is_shuffled: bool) -> Example:
        asked = self._questioner.ask(rng, spec, scene.objects, lambda other: satisfies(scene.objects, other), questions)
        if is_shuffled:
            return Example([], [], asked, [(0.0,) * len(TASKS)] * questions)
        right = [float(satisfies(scene.objects, other)) for other in asked]
        return Example(list(scene.objects), list(scene.objects), asked, [(1.0, value, value) for value in right])
