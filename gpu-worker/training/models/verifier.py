"""The verifier: three yes/no questions about a picture and its prompt.

Clarity: can this (intermediate) picture be judged? Potential: can its path end well? Alignment: does it satisfy the
prompt? Source: PARM, arXiv 2501.13926, whose verifier is a 7B vision-language model; this one knows only one world.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.residual_trunk import ResidualTrunk, TrunkConfig

TASKS = ("clarity", "potential", "alignment")


@dataclass(frozen=True)
class VerifierConfig:
    """Shape of the verifier.

    Attributes:
        vocabulary_size: prompt token ids.
        pad_id: the padding id; padded positions are neither read nor pooled.
        max_prompt_tokens: L.
        image_size: height and width of the pictures in pixels.
        channels, blocks: the picture trunk's stages (`TrunkConfig`).
        width: features of a word.
        heads: attention heads; must divide `width`.
        layers: times that words look at the picture and at each other.
    """

    vocabulary_size: int
    pad_id: int = 0
    max_prompt_tokens: int = 24
    image_size: int = 96
    channels: tuple[int, ...] = (32, 64, 160)
    blocks: tuple[int, ...] = (0, 2, 3)
    width: int = 128
    heads: int = 4
    layers: int = 3

    @property
    def trunk(self) -> TrunkConfig:
        return TrunkConfig(self.channels, self.blocks)

    @property
    def cells(self) -> int:
        """Places in the picture that a word can look at."""
        return (self.image_size // self.trunk.stride) ** 2


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention of queries over a context."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of {heads} heads")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        # The layer starts silent: the residual stream carries the words alone at first.
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor, context: Tensor, bias: Tensor | None) -> Tensor:
        """x [B, T, width] looks at context [B, S, width]; bias [B, 1, 1, S] is added to the scores."""
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, T, head_dim)
        key, value = self.key_value(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        # Written out: PyTorch's fused attention takes twice as long in its backward pass at these sizes on a CPU.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)  # (B, heads, T, S)
        if bias is not None:
            scores = scores + bias
        mixed = scores.softmax(-1) @ value
        return self.output(mixed.transpose(1, 2).flatten(2))


class WordLayer(nn.Module):
    """Words look at the picture, then at each other, then think on their own."""

    def __init__(self, config: VerifierConfig):
        super().__init__()
        self.picture_norm = nn.LayerNorm(config.width)
        self.picture = MultiHeadAttention(config.width, config.heads)
        self.words_norm = nn.LayerNorm(config.width)
        self.words = MultiHeadAttention(config.width, config.heads)
        self.mlp_norm = nn.LayerNorm(config.width)
        self.widen = nn.Linear(config.width, 3 * config.width)
        self.narrow = nn.Linear(3 * config.width, config.width)

    def forward(self, words: Tensor, picture: Tensor, word_bias: Tensor) -> Tensor:
        """words [B*M, L, width], M prompts for each of the pictures [B, cells, width]; word_bias [B*M, 1, 1, L]."""
        questions = self.picture_norm(words).reshape(len(picture), -1, words.shape[-1])  # (B, M*L, width)
        words = words + self.picture(questions, picture, None).view(words.shape)
        normed = self.words_norm(words)
        words = words + self.words(normed, normed, word_bias)
        return words + self.narrow(F.gelu(self.widen(self.mlp_norm(words)), approximate="tanh"))


class Verifier(nn.Module):
    """Words of the prompt as queries over a picture's features, pooled into three logits."""

    def __init__(self, config: VerifierConfig):
        super().__init__()
        self.config = config
        self.trunk = ResidualTrunk(config.trunk)
        self.picture_input = nn.Linear(config.channels[-1], config.width)
        self.picture_position = nn.Parameter(torch.randn(config.cells, config.width) * 0.5)
        self.picture_norm = nn.LayerNorm(config.width)
        self.word_table = nn.Embedding(config.vocabulary_size, config.width)
        self.word_position = nn.Parameter(torch.randn(config.max_prompt_tokens, config.width) * 0.5)
        self.layers = nn.ModuleList(WordLayer(config) for _ in range(config.layers))
        self.output_norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, len(TASKS))

    def logits(self, images: Tensor, prompt_ids: Tensor) -> Tensor:
        """Log-odds of yes.

        Args:
            images: uint8 [B, H, W, 3].
            prompt_ids: int64 [B*M, L'], L' <= L; M >= 1 prompts for each picture, those of one picture side by side; each starts
                with a token that is not padding.

        Returns:
            float32 [B*M, 3] in the order of `TASKS`.

        Raises:
            ValueError: the number of prompts is not a multiple of the number of pictures.
        """
        if len(prompt_ids) % len(images):
            raise ValueError(f"{len(prompt_ids)} prompts cannot be shared out evenly among {len(images)} pictures")
        features = self.trunk(images).flatten(2).transpose(1, 2)  # (B, cells, channels)
        picture = self.picture_norm(self.picture_input(features) + self.picture_position)
        words = self.word_table(prompt_ids) + self.word_position[: prompt_ids.shape[1]]
        is_word = prompt_ids != self.config.pad_id  # (B*M, L)
        word_bias = torch.where(is_word, 0.0, -1e9)[:, None, None, :].to(picture.dtype)
        for layer in self.layers:
            words = layer(words, picture, word_bias)
        # The first token opens every prompt and belongs to no word: it gathers the answer.
        return self.head(self.output_norm(words[:, 0])).float()

    def forward(self, images: Tensor, prompt_ids: Tensor) -> Tensor:
        """P(yes) to the three questions, float32 [B*M, 3], 0..1; arguments as `logits`."""
        return self.logits(images, prompt_ids).sigmoid()
