"""What a picture holds for each word of a prompt: which objects match it, how many they are, and where.

Softmax attention cannot count: its weights sum to one whether it finds one cat or three. Here a word marks the cells whose
object it names, keeps the peaks, and receives the distribution of their number: for independent objects of
probability q_1..q_K that is the Poisson-binomial distribution, computed exactly.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.loop.precision import full_precision
from training.models.detector import HEAT_PRIOR, DetectorMaps

# Class logits beyond this say nothing more; a word that names no object sees this much absence everywhere.
LOGIT_LIMIT = 8.0
# Cells that are no peak: they are chosen only where a picture has fewer than K peaks.
NO_PEAK = -16.0
SMALLEST_PROBABILITY = 0.01
# Log-probabilities of -4.6..0 are shifted by this and halved, to lie about zero like what layers exchange.
LOG_CENTER = 2.3
# Ways to read a class logit as the probability that the yardstick counts the object: it has two thresholds.
READINGS = 2


class ObjectMaps(nn.Module):
    """Class, box and colour of the object at each cell, read from the trunk's features."""

    def __init__(self, channels: int, class_count: int, color_count: int):
        super().__init__()
        self.sizes = (class_count, 4, color_count)
        self.output = nn.Conv2d(channels, sum(self.sizes), 1)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)
        nn.init.constant_(self.output.bias[:class_count], HEAT_PRIOR)

    def forward(self, features: Tensor) -> DetectorMaps:
        """features [B, C, G, G]; maps as of the detector."""
        return DetectorMaps(*self.output(features).float().split(self.sizes, dim=1))


@dataclass(frozen=True)
class WordMeanings:
    """What each word names, as probabilities.

    Attributes:
        classes: float32 [B, T, classes + 1]; the last is "no object".
        colors: float32 [B, T, colors + 1]; the colour its object must have, the last is "any".
        numbers: float32 [B, T, K + 2]; how many there must be, 0..K, the last is "at least one".
    """

    classes: Tensor
    colors: Tensor
    numbers: Tensor


class Evidence(nn.Module):
    """Reads object maps for words."""

    def __init__(self, candidates: int):
        """`candidates` is K, the most objects that a word can count."""
        super().__init__()
        self.candidates = candidates
        # The detector's thresholds, 0.5 and 0.3, to begin with.
        self.slope = nn.Parameter(torch.tensor([2.0, 2.0]))
        self.shift = nn.Parameter(torch.tensor([0.0, 1.7]))

    @property
    def features(self) -> int:
        """Numbers that a word receives."""
        return 2 * READINGS * (self.candidates + 1) + 6

    def forward(self, maps: DetectorMaps, meanings: WordMeanings) -> tuple[Tensor, Tensor]:
        """Evidence for T words about each of B pictures.

        Returns:
            What each word receives, float32 [B, T, features]: scaled log-probabilities of 0..K objects of its class and
            colour, and of its class in any colour, under each reading; then logit, colour match, centre (x, y) and size (width,
            height) of the surest object, these four as shares of the picture; match and box are 0 for a word that names nothing.
            The scaled log-probability that the picture has what the word asks for under each reading, float32
            [B, T, readings]; 0 for a word that names nothing.
        """
        # Rounded to bfloat16, neighbouring cells become equal, and one object has two peaks.
        with full_precision(maps.heat.device.type):
            logit, match, cell = self._find(maps, meanings)
        present = (logit[..., None, :] * self.slope[:, None] + self.shift[:, None]).sigmoid()  # (B, T, readings, K)
        counted = torch.cat([present * match[..., None, :], present], dim=2)
        numbers = count_distribution(counted)  # (B, T, 2 * readings, K + 1)
        counts = (numbers.clamp(min=SMALLEST_PROBABILITY).log() + LOG_CENTER) / 2
        wanted = torch.cat([meanings.numbers[..., :1], meanings.numbers[..., 1:-1] + meanings.numbers[..., -1:]], dim=-1)
        satisfied = (numbers[..., :READINGS, :] * wanted[..., None, :]).sum(-1).clamp(min=SMALLEST_PROBABILITY).log()
        names = 1 - meanings.classes[..., -1:]  # where a word names nothing, the surest cell is any cell
        surest = torch.cat([match[..., :1], _box(maps.extents, cell[..., 0])], dim=-1) * names
        return torch.cat([counts.flatten(2), logit[..., :1] / LOGIT_LIMIT, surest], dim=-1), satisfied / LOG_CENTER * names

    def _find(self, maps: DetectorMaps, meanings: WordMeanings) -> tuple[Tensor, Tensor, Tensor]:
        """Class logit, colour match 0..1 and cell of the K surest objects that a word names; [B, T, K] each."""
        heat = maps.heat.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).flatten(2)  # (B, classes, cells)
        logits = meanings.classes[..., :-1] @ heat - LOGIT_LIMIT * meanings.classes[..., -1:]  # (B, T, cells)
        side = maps.heat.shape[-1]
        highest = F.max_pool2d(logits.view(*logits.shape[:2], side, side), 3, stride=1, padding=1).flatten(2)
        peaks = torch.where(logits == highest, logits, NO_PEAK)
        logit, cell = peaks.topk(self.candidates, dim=-1)
        colors = maps.colors.flatten(2).softmax(1)  # (B, colors, cells)
        match = meanings.colors[..., :-1] @ colors + meanings.colors[..., -1:]
        return logit, match.gather(-1, cell), cell


def count_distribution(probability: Tensor) -> Tensor:
    """How many of K independent objects are there: [..., K] probabilities to those of 0..K, [..., K + 1]."""
    distribution = 1 - probability[..., :1]
    distribution = torch.cat([distribution, probability[..., :1]], dim=-1)
    for index in range(1, probability.shape[-1]):
        one = probability[..., index : index + 1]
        distribution = F.pad(distribution, (0, 1)) * (1 - one) + F.pad(distribution, (1, 0)) * one
    return distribution


def _box(extents: Tensor, cell: Tensor) -> Tensor:
    """Centre and size of the boxes [B, 4, G, G] at cells [B, T]: x, y, width, height as shares of the picture, [B, T, 4]."""
    side = extents.shape[-1]
    edges = extents.flatten(2).gather(2, cell[:, None].expand(-1, 4, -1))  # (B, 4, T)
    left, top, right, bottom = edges.unbind(1)
    x, y = cell % side + 0.5, cell // side + 0.5
    return torch.stack([x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom], dim=-1) / side
