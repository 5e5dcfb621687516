"""Small models and worlds that train in seconds."""

from training.models.generator import GeneratorConfig
from training.models.quantizer import QuantizerConfig
from training.world.config import WorldConfig

TINY_WORLD = WorldConfig(image_size=48, lattice=12, object_sizes=(24, 24, 12, 12))
TINY_QUANTIZER = QuantizerConfig(
    image_size=48, encoder_width=32, encoder_blocks=1, decoder_width=32, decoder_blocks=1, detail_width=8, detail_blocks=1
)


def tiny_generator(vocabulary_size: int, code_bits: int = 0, codebook_size: int = 8192) -> GeneratorConfig:
    return GeneratorConfig(vocabulary_size, codebook_size, grid=4, width=32, layers=2, heads=2, mlp_width=64, code_bits=code_bits)
