"""Mask-predict generator in Show-o's form: a causal text prefix, and image tokens that see the text and each other.

Text rows never see image tokens, so their keys and values are computed once per prompt (`prefix`) and consumed by all
candidates and steps (`image_logits`). Letters: P prompts, L prompt tokens, R rows, N image tokens, D layers, H heads,
C codebook size. The mask token's id is C. Source: Show-o, arXiv 2408.12528; qk-norm as in its modified Phi backbone.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# How weights end that several codes share; the released form has none.
SHARED = ("_features", "_groups")


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of the generator.

    `vocabulary_size` counts prompt tokens, `grid` image tokens along one side. With `code_features` > 0 input table and
    output layer also learn one vector per feature of a code, so that rare codes learn from codes that look alike, with
    `code_groups` > 0 one per group of codes, so that a tone is learned in all colours at once; with `word_groups` > 0 prompt
    words have one per group, so that a plural is its singular and one mark. `Generator.folded` turns such a model into an equal
    one where all three are 0, which is the released form.
    """

    vocabulary_size: int
    codebook_size: int = 8192
    grid: int = 8
    max_prompt_tokens: int = 24
    width: int = 256
    layers: int = 8
    heads: int = 4
    mlp_width: int = 1024
    code_features: int = 0
    code_groups: int = 0
    word_groups: int = 0

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def image_tokens(self) -> int:
        return self.grid * self.grid


class RowNorm(nn.Module):
    """Root-mean-square norm over the last axis with a learned gain, computed in float32."""

    def __init__(self, width: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.gain


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys; text and image rows share all weights."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.heads, self.head_dim = config.heads, config.head_dim
        self.query = nn.Linear(config.width, config.width, bias=False)
        self.key = nn.Linear(config.width, config.width, bias=False)
        self.value = nn.Linear(config.width, config.width, bias=False)
        self.output = nn.Linear(config.width, config.width, bias=False)
        self.query_norm = RowNorm(config.head_dim)
        self.key_norm = RowNorm(config.head_dim)

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)  # (B, H, T, head_dim)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised keys and plain values of x [B, T, width]: two of [B, H, T, head_dim]."""
        value = self.split(self.value(x))
        return self.key_norm(self.split(self.key(x))).to(value.dtype), value

    def attend(
        self, x: Tensor, key: Tensor, value: Tensor, blocked: Tensor | None = None, places: Tensor | None = None
    ) -> Tensor:
        """Attention of x [B, T, width] over keys and values [B, H, S, head_dim]; same shape as x, or [K, width] with `places`.

        `blocked` bool [T, S] is True where a row may not look; `places` int64 [K] are those of the flattened [B * T] that are
        wanted. Written out, because on a CPU the fused kernel's backward pass took ten times as long at these lengths (20 ms
        against 2 ms for 32 rows of 88).
        """
        query = self.query_norm(self.split(self.query(x))) * self.head_dim**-0.5
        scores = (query.to(key.dtype) @ key.transpose(-1, -2)).float()  # (B, H, T, S)
        if blocked is not None:
            scores = scores.masked_fill(blocked, -torch.inf)
        mixed = (scores.softmax(-1).to(value.dtype) @ value).transpose(1, 2).flatten(2)
        return self.output(_at(mixed, places))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.attention_norm = RowNorm(config.width)
        self.attention = Attention(config)
        self.mlp_norm = RowNorm(config.width)
        self.widen = nn.Linear(config.width, config.mlp_width)
        self.narrow = nn.Linear(config.mlp_width, config.width)

    def mlp(self, x: Tensor) -> Tensor:
        return self.narrow(F.gelu(self.widen(self.mlp_norm(x)), approximate="tanh"))

    def text(self, x: Tensor, later: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One causal layer over text [P, L, width]; returns the new text and its keys and values [P, H, L, head_dim].

        `later` bool [L, L] is True above the diagonal.
        """
        normed = self.attention_norm(x)
        key, value = self.attention.keys_values(normed)
        x = x + self.attention.attend(normed, key, value, later)
        return x + self.mlp(x), key, value

    def image(self, x: Tensor, text_key: Tensor, text_value: Tensor, places: Tensor | None = None) -> Tensor:
        """One bidirectional layer over image tokens [R, N, width], which also see the row's text [R, H, L, head_dim].

        With `places` int64 [K] only these of the flattened [R * N] come out, [K, width].
        """
        normed = self.attention_norm(x)
        key, value = self.attention.keys_values(normed)
        key = torch.cat([text_key.to(key.dtype), key], dim=2)
        value = torch.cat([text_value.to(value.dtype), value], dim=2)
        x = _at(x, places) + self.attention.attend(normed, key, value, places=places)
        return x + self.mlp(x)


def _at(x: Tensor, places: Tensor | None) -> Tensor:
    """x [B, T, width] itself, or its rows at `places` int64 [K] of the flattened [B * T]: [K, width]."""
    return x if places is None else x.flatten(0, 1).index_select(0, places)


class Generator(nn.Module):
    """Predicts the codes of masked image tokens from the prompt and the codes that are known."""

    def __init__(
        self,
        config: GeneratorConfig,
        features: Tensor | None = None,
        groups: Tensor | None = None,
        word_groups: Tensor | None = None,
    ):
        """
        Args:
            config: sizes.
            features: float [codebook_size, code_features], what each code shows; None when `code_features` is 0.
            groups: int64 [any, codebook_size], 0..code_groups-1, the groups that each code is in; None when `code_groups` is 0.
            word_groups: int64 [any, vocabulary_size], 0..word_groups-1, those that each word is in; None when `word_groups` is 0.
        """
        super().__init__()
        if config.code_features != (0 if features is None else features.shape[1]):
            given = "none" if features is None else features.shape[1]
            raise ValueError(f"expected {config.code_features} features a code, got {given}")
        for kind, expected, given in (("codes", config.code_groups, groups), ("words", config.word_groups, word_groups)):
            if expected != (0 if given is None else int(given.max()) + 1):
                raise ValueError(f"expected {expected} groups of {kind}, got {'none' if given is None else int(given.max()) + 1}")
        if config.width % config.heads:
            raise ValueError(f"width {config.width} must be a multiple of heads {config.heads}")
        self.config = config
        self.text_table = nn.Embedding(config.vocabulary_size, config.width)
        self.text_position = nn.Parameter(torch.zeros(config.max_prompt_tokens, config.width))
        self.image_table = nn.Embedding(config.codebook_size + 1, config.width)  # the last row is the mask token
        self.row_position = nn.Parameter(torch.zeros(config.grid, 1, config.width))
        self.column_position = nn.Parameter(torch.zeros(1, config.grid, config.width))
        self.cell_position = nn.Parameter(torch.zeros(config.grid, config.grid, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.output_norm = RowNorm(config.width)
        self.head = nn.Linear(config.width, config.codebook_size)
        if features is not None:
            self.register_buffer("features", features, persistent=False)
            self.input_features = nn.Parameter(torch.zeros(config.code_features, config.width))
            self.output_features = nn.Parameter(torch.zeros(config.code_features, config.width))
        if groups is not None:
            self.register_buffer("groups", groups, persistent=False)
            self.input_groups = nn.Parameter(torch.zeros(config.code_groups, config.width))
            self.output_groups = nn.Parameter(torch.zeros(config.code_groups, config.width))
        if word_groups is not None:
            self.register_buffer("grouped_words", word_groups, persistent=False)
            self.word_groups = nn.Parameter(torch.zeros(config.word_groups, config.width))
        self._initialize()

    def _initialize(self) -> None:
        for name, weight in self.named_parameters():
            if name.endswith("gain"):
                continue
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            elif name.endswith(SHARED):
                nn.init.normal_(weight, std=0.01)
            elif name.endswith(("output.weight", "narrow.weight")):
                nn.init.zeros_(weight)  # every block starts as the identity
            else:
                nn.init.normal_(weight, std=0.1 if "position" in name or "table" in name else self.config.width**-0.5)
        nn.init.normal_(self.head.weight, std=0.005)

    def word_table(self) -> Tensor:
        """Vectors of prompt tokens: float [vocabulary_size, width]."""
        if not self.config.word_groups:
            return self.text_table.weight
        return self.text_table.weight + sum(F.embedding(group, self.word_groups) for group in self.grouped_words)

    def input_table(self) -> Tensor:
        """Input vectors of all codes and of the mask token: float [C + 1, width]."""
        shared = self._shared("input")
        return self.image_table.weight if shared is None else self.image_table.weight + F.pad(shared, (0, 0, 0, 1))

    def output_matrix(self) -> Tensor:
        """Weight of the output layer: float [C, width]."""
        shared = self._shared("output")
        return self.head.weight if shared is None else self.head.weight + shared

    def _shared(self, side: str) -> Tensor | None:
        """What features and groups add to the vectors of codes, "input" or "output": float [C, width]; None without any."""
        parts = []
        if self.config.code_features:
            parts.append(self.features @ getattr(self, f"{side}_features"))
        if self.config.code_groups:
            parts += [F.embedding(group, getattr(self, f"{side}_groups")) for group in self.groups]
        return sum(parts) if parts else None

    @torch.no_grad()
    def share_words(self) -> None:
        """Moves what words of one stem have in common out of their own vectors, as a first guess.

        A stem gets the mean of its unmarked words, a mark the mean of what its words add to their stems, and marked words keep
        nothing of their own: so a word that training never showed begins as its stem and its mark. The vectors of unmarked words
        stay as they are.
        """
        if not self.config.word_groups:
            return
        stems, marks = self.grouped_words
        own, shared = self.text_table.weight, self.word_groups
        plain, has_stem = marks == marks[0], stems > 0
        for stem in stems[has_stem].unique():
            shared[stem] = own[plain & (stems == stem)].mean(0)
        own[has_stem] -= shared[stems[has_stem]]
        for mark in marks[~plain].unique():
            shared[mark] = own[marks == mark].mean(0)
        own[~plain] = 0

    @torch.no_grad()
    def share_codes(self) -> None:
        """Leaves codes that are in groups nothing of their own: their own vectors become what their groups have in common.

        A training that never shows a tone in some colour, because the class in that colour is held out, learns only one thing of
        that code itself, which is never to draw it; what its tone and its colour look like it knows from others.
        """
        if not self.config.code_groups:
            return
        codes = self.config.codebook_size
        for values in (self.image_table.weight[:codes], self.head.weight, self.head.bias):
            values.copy_(self._in_common(values))

    def _in_common(self, own: Tensor) -> Tensor:
        """Values float [C, ...] with those of codes in all groups replaced by their groups' means, added up around the mean."""
        is_grouped = (self.groups > self.groups.amin(1, keepdim=True)).all(0)
        values, result = own[is_grouped], own.clone()
        fit = (1 - len(self.groups)) * values.mean(0, keepdim=True).expand_as(values)
        for group in self.groups[:, is_grouped]:
            counts = torch.bincount(group, minlength=self.config.code_groups).clamp(min=1).to(own.dtype)
            sums = own.new_zeros(self.config.code_groups, *own.shape[1:]).index_add_(0, group, values)
            fit = fit + (sums / counts.view(-1, *[1] * (own.ndim - 1)))[group]
        result[is_grouped] = fit
        return result

    @torch.no_grad()
    def folded(self) -> "Generator":
        """An equal generator without features and groups; its weights are copies."""
        plain = Generator(replace(self.config, code_features=0, code_groups=0, word_groups=0))
        state = {name: value for name, value in self.state_dict().items() if not name.endswith(SHARED)}
        state |= {"image_table.weight": self.input_table(), "head.weight": self.output_matrix()}
        state |= {"text_table.weight": self.word_table()}
        plain.load_state_dict(state)
        return plain.train(self.training)

    def prefix(self, prompt_ids: Tensor) -> Tensor:
        """Keys and values of prompts, exactly as image rows consume them (keys after their norm).

        Args:
            prompt_ids: int64 [P, L]; L is `max_prompt_tokens`, padding included: pads are tokens like any other.

        Returns:
            float [D, 2, P, H, L, head_dim]; index 0 of the second axis holds keys, 1 values.
        """
        x = F.embedding(prompt_ids, self.word_table()) + self.text_position
        layers = []
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        for block in self.blocks[:-1]:
            x, key, value = block.text(x, later)
            layers.append(torch.stack([key, value]))
        # Nobody reads what the last layer would make of the text.
        last = self.blocks[-1]
        layers.append(torch.stack(last.attention.keys_values(last.attention_norm(x))))
        return torch.stack(layers)

    def hidden(self, tokens: Tensor, prefix_kv: Tensor, row_prompt: Tensor, places: Tensor | None = None) -> Tensor:
        """Normalised states of image tokens before the output layer: float [R, N, width]; arguments as `image_logits`.

        With `places` int64 [K] only those of the flattened [R * N], [K, width]: training then leaves out most of the last layer.
        """
        positions = (self.row_position + self.column_position + self.cell_position).flatten(0, 1)
        x = F.embedding(tokens, self.input_table()) + positions
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            text_key, text_value = prefix_kv[index, 0][row_prompt], prefix_kv[index, 1][row_prompt]
            x = block.image(x, text_key, text_value, places if index == last else None)
        return self.output_norm(x)

    def logits(self, states: Tensor) -> Tensor:
        """Output layer: states [..., width] from `hidden` to float [..., C]."""
        return F.linear(states, self.output_matrix(), self.head.bias)

    def image_logits(self, tokens: Tensor, prefix_kv: Tensor, row_prompt: Tensor) -> Tensor:
        """Logits over the codebook at every image position.

        Args:
            tokens: int64 [R, N], 0..C-1 where known, C where masked.
            prefix_kv: float [D, 2, P, H, L, head_dim] from `prefix`.
            row_prompt: int64 [R], 0..P-1, which prompt each row follows.

        Returns:
            float [R, N, C].
        """
        return self.logits(self.hidden(tokens, prefix_kv, row_prompt))

    def forward(self, prompt_ids: Tensor, tokens: Tensor) -> Tensor:
        """Logits [R, N, C] where row r follows prompt r: prompt_ids int64 [R, L], tokens int64 [R, N]."""
        return self.image_logits(tokens, self.prefix(prompt_ids), torch.arange(len(tokens), device=tokens.device))
