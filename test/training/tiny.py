"""Small models and worlds that train in seconds."""

import copy
from dataclasses import replace
from functools import cache

import torch

from training.models.generator import Generator, GeneratorConfig
from training.models.quantizer import Quantizer, QuantizerConfig
from training.stages.codebook import CodebookSettings, find_codebook
from training.world.config import WorldConfig
from training.world.tokenizer import build_tokenizer, word_group_ids
from training.world.world import World

TINY_WORLD = WorldConfig(image_size=48, lattice=12, object_sizes=(24, 24, 12, 12))
TINY_CODES = 512
TINY_QUANTIZER = QuantizerConfig(
    TINY_WORLD.backgrounds, image_size=48, codebook_size=TINY_CODES, components=16,
    decoder_width=32, decoder_blocks=1, detail_width=8, detail_blocks=1,
)  # fmt: skip


@cache
def _tiny_codebook() -> Quantizer:
    return find_codebook(World(TINY_WORLD), TINY_QUANTIZER, CodebookSettings(rounds=2)).eval()


def tiny_quantizer() -> Quantizer:
    """A copy of its own: real codes of the tiny world, and a decoder that shows each code's mean patch."""
    return copy.deepcopy(_tiny_codebook())


def tiny_generator(vocabulary_size: int, codebook_size: int = TINY_CODES) -> GeneratorConfig:
    return GeneratorConfig(vocabulary_size, codebook_size, grid=4, width=32, layers=2, heads=2, mlp_width=64)


def sharing_generator() -> Generator:
    """A tiny generator as it is trained: codes also learn from codes that look alike or share tone or colour, words by stem."""
    quantizer, tokenizer = tiny_quantizer(), build_tokenizer()
    words = torch.from_numpy(word_group_ids(tokenizer))
    shared = {"code_features": 8, "code_groups": quantizer.config.code_groups, "word_groups": int(words.max()) + 1}
    config = replace(tiny_generator(tokenizer.get_vocab_size()), **shared)
    return Generator(config, quantizer.code_features(8), quantizer.code_groups(), words)
