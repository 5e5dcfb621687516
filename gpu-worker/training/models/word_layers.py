"""The layers in which words of a prompt exchange what they know, and look at a picture."""

import torch.nn.functional as F
from torch import Tensor, nn


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


class TextLayer(nn.Module):
    """Words look at each other, then think on their own."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.words_norm = nn.LayerNorm(width)
        self.words = MultiHeadAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 3 * width)
        self.narrow = nn.Linear(3 * width, width)

    def forward(self, words: Tensor, word_bias: Tensor) -> Tensor:
        """words [B*M, L, width]; word_bias [B*M, 1, 1, L], very negative at padding."""
        normed = self.words_norm(words)
        words = words + self.words(normed, normed, word_bias)
        return words + self.narrow(F.gelu(self.widen(self.mlp_norm(words)), approximate="tanh"))


class PictureLayer(nn.Module):
    """Words look at the picture, then at each other, then think on their own."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.picture_norm = nn.LayerNorm(width)
        self.picture = MultiHeadAttention(width, heads)
        self.text = TextLayer(width, heads)

    def forward(self, words: Tensor, picture: Tensor, word_bias: Tensor) -> Tensor:
        """words [B*M, L, width], M prompts for each of the pictures [B, cells, width]; word_bias as `TextLayer`."""
        questions = self.picture_norm(words).reshape(len(picture), -1, words.shape[-1])  # (B, M*L, width)
        words = words + self.picture(questions, picture, None).view(words.shape)
        return self.text(words, word_bias)
