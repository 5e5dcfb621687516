"""The verifier: three yes/no questions about a picture and its prompt.

Clarity: can this (intermediate) picture be judged? Potential: can its path end well? Alignment: does it satisfy the
prompt? Source: PARM, arXiv 2501.13926, whose verifier is a 7B vision-language model; this one knows only one world.

A trunk turns the picture into features, and these into object maps of this picture and of the one that its path will
end with. Each word of the prompt learns what it names, gathers the evidence for it (`training.models.evidence`), looks at the
features themselves, and talks to the other words; the answer is read at the first token.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.detector import DetectorMaps
from training.models.evidence import READINGS, Evidence, ObjectMaps, WordMeanings
from training.models.residual_trunk import ResidualTrunk, TrunkConfig
from training.models.word_layers import PictureLayer, TextLayer

TASKS = ("clarity", "potential", "alignment")


@dataclass(frozen=True)
class VerifierConfig:
    """Shape of the verifier.

    Attributes:
        vocabulary_size: prompt token ids.
        pad_id: the padding id; padded positions are neither read nor pooled.
        max_prompt_tokens: L.
        image_size: height and width of the pictures in pixels.
        class_count, color_count: object classes and colours of the maps.
        candidates: the most objects that a word can count.
        channels, blocks: the picture trunk's stages (`TrunkConfig`).
        width: features of a word.
        heads: attention heads; must divide `width`.
        layers: times that words look at the picture and at each other, once they have their evidence.
    """

    vocabulary_size: int
    pad_id: int = 0
    max_prompt_tokens: int = 24
    image_size: int = 96
    class_count: int = 64
    color_count: int = 10
    candidates: int = 6
    channels: tuple[int, ...] = (32, 64, 128)
    blocks: tuple[int, ...] = (0, 1, 3)
    width: int = 96
    heads: int = 4
    layers: int = 2

    @property
    def trunk(self) -> TrunkConfig:
        return TrunkConfig(self.channels, self.blocks)

    @property
    def cells(self) -> int:
        """Places in the picture, along one side."""
        return self.image_size // self.trunk.stride


@dataclass(frozen=True)
class VerifierReading:
    """Everything that training teaches about B pictures with M prompts each.

    Attributes:
        logits: log-odds of yes, float32 [B*M, 3] in the order of `TASKS`.
        now: object maps of the pictures.
        final: object maps of what their paths will end with.
        classes: logits of what each word names, float32 [B*M, L', classes + 1]; the last is "no object".
        colors: logits of the colour that its object must have, float32 [B*M, L', colors + 1]; the last is "any".
        numbers: logits of how many there must be, float32 [B*M, L', candidates + 2]; the last is "at least one".
    """

    logits: Tensor
    now: DetectorMaps
    final: DetectorMaps
    classes: Tensor
    colors: Tensor
    numbers: Tensor


def with_vocabulary(weights: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """A verifier's weights for a vocabulary of `size` words: words that came after its training mean nothing to it.

    Raises:
        ValueError: its vocabulary is larger.
    """
    table = weights["word_table.weight"]
    if len(table) > size:
        raise ValueError(f"the verifier knows {len(table)} words, the tokenizer only {size}; ids would change their meaning")
    return weights | {"word_table.weight": F.pad(table, (0, 0, 0, size - len(table)))}


class Verifier(nn.Module):
    """Words of the prompt gather evidence from a picture; three logits are read at the first of them."""

    def __init__(self, config: VerifierConfig):
        super().__init__()
        self.config = config
        channels, width = config.channels[-1], config.width
        self.trunk = ResidualTrunk(config.trunk)
        self.now = ObjectMaps(channels, config.class_count, config.color_count)
        self.final = ObjectMaps(channels, config.class_count, config.color_count)
        self.picture_input = nn.Linear(channels, width)
        self.picture_position = nn.Parameter(torch.randn(config.cells**2, width) * 0.5)
        self.picture_norm = nn.LayerNorm(width)
        self.word_table = nn.Embedding(config.vocabulary_size, width)
        self.word_position = nn.Parameter(torch.randn(config.max_prompt_tokens, width) * 0.5)
        self.grammar = TextLayer(width, config.heads)
        self.meaning_norm = nn.LayerNorm(width)
        self.classes = nn.Linear(width, config.class_count + 1)
        self.colors = nn.Linear(width, config.color_count + 1)
        self.numbers = nn.Linear(width, config.candidates + 2)
        self.evidence = Evidence(config.candidates)
        self.evidence_input = nn.Linear(2 * self.evidence.features, width)
        self.weakest_input = nn.Linear(2 * READINGS, width)
        self.layers = nn.ModuleList(PictureLayer(width, config.heads) for _ in range(config.layers))
        self.output_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(TASKS))

    @property
    def perception(self) -> nn.ModuleDict:
        """The parts that see objects and know of no prompt."""
        return nn.ModuleDict({"trunk": self.trunk, "now": self.now, "final": self.final})

    def read(self, images: Tensor, prompt_ids: Tensor) -> VerifierReading:
        """Answers, and what they rest on.

        Args:
            images: uint8 [B, H, W, 3].
            prompt_ids: int64 [B*M, L'], L' <= L; M >= 1 prompts for each picture, those of one picture side by side; each starts
                with a token that is not padding.

        Raises:
            ValueError: the number of prompts is not a multiple of the number of pictures.
        """
        if len(prompt_ids) % len(images):
            raise ValueError(f"{len(prompt_ids)} prompts cannot be shared out evenly among {len(images)} pictures")
        features = self.trunk(images)  # (B, channels, G, G)
        now, final = self.now(features), self.final(features)
        cells = features.flatten(2).transpose(1, 2)  # (B, cells, channels)
        picture = self.picture_norm(self.picture_input(cells) + self.picture_position)

        words = self.word_table(prompt_ids) + self.word_position[: prompt_ids.shape[1]]
        is_word = prompt_ids != self.config.pad_id  # (B*M, L')
        word_bias = torch.where(is_word, 0.0, -1e9)[:, None, None, :].to(picture.dtype)
        words = self.grammar(words, word_bias)
        normed = self.meaning_norm(words)
        meant = [layer(normed).float() for layer in (self.classes, self.colors, self.numbers)]
        # All words of all prompts about a picture ask it side by side: (B, M*L', ...)
        meanings = WordMeanings(*(x.softmax(-1).reshape(len(images), -1, x.shape[-1]) for x in meant))
        gathered = [self.evidence(maps, meanings) for maps in (now, final)]
        seen, satisfied = (torch.cat(parts, dim=-1) for parts in zip(*gathered, strict=True))
        # A prompt is satisfied no better than the least satisfied of its words.
        weakest = (satisfied.view(*words.shape[:2], -1) * is_word[..., None]).amin(1, keepdim=True)
        words = words + self.evidence_input(seen).view(words.shape) + self.weakest_input(weakest)
        for layer in self.layers:
            words = layer(words, picture, word_bias)
        # The first token opens every prompt and belongs to no word: it gathers the answer.
        logits = self.head(self.output_norm(words[:, 0])).float()
        return VerifierReading(logits, now, final, *meant)

    def logits(self, images: Tensor, prompt_ids: Tensor) -> Tensor:
        """Log-odds of yes, float32 [B*M, 3] in the order of `TASKS`; arguments as `read`."""
        return self.read(images, prompt_ids).logits

    def forward(self, images: Tensor, prompt_ids: Tensor) -> Tensor:
        """P(yes) to the three questions, float32 [B*M, 3], 0..1; arguments as `read`."""
        return self.logits(images, prompt_ids).sigmoid()
