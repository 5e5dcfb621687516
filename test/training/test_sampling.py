"""The mask-predict sampler."""

import pytest
import torch
from tiny import tiny_generator

from training.models.generator import Generator
from training.sampling import SamplingSettings, gumbel, mask_counts, noise_scale, random_uniforms, sample
from training.tokenizer import build_tokenizer, encode_prompts

CODES = 128
SETTINGS = SamplingSettings(steps=5, guidance=1.5, temperature=1.0)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    model = Generator(tiny_generator(build_tokenizer().get_vocab_size(), codebook_size=CODES))
    for name, weight in model.named_parameters():
        if name.endswith(("output.weight", "narrow.weight", "head.weight")):
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def prompts(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    tokenizer = build_tokenizer()
    ids = torch.from_numpy(encode_prompts(tokenizer, [*texts, ""]))
    return ids[:-1], ids[-1]


@pytest.mark.parametrize(
    ("count", "steps", "expected"),
    [
        (256, 18, [255, 252, 247, 240, 232, 221, 209, 196, 181, 164, 146, 127, 108, 87, 66, 44, 22, 1]),
        (256, 16, [254, 251, 244, 236, 225, 212, 197, 181, 162, 142, 120, 97, 74, 49, 25, 1]),
        (256, 12, [253, 247, 236, 221, 203, 181, 155, 127, 97, 66, 33, 1]),
        (1024, 18, [1020, 1008, 989, 962, 928, 886, 838, 784, 724, 658, 587, 511, 432, 350, 265, 177, 89, 1]),
    ],
)
def test_the_schedule_equals_the_references(count: int, steps: int, expected: list[int]) -> None:
    assert mask_counts(count, steps) == expected


def test_the_noise_depends_on_the_step_only_and_ends_at_zero() -> None:
    assert [noise_scale(2.0, step, 4) for step in range(4)] == [1.5, 1.0, 0.5, 0.0]


def test_gumbel_noise_stays_finite_at_the_ends() -> None:
    assert gumbel(torch.tensor([0.0, 0.5, 1.0])).isfinite().all()


def test_known_tokens_never_change_and_every_prediction_is_complete(generator: Generator) -> None:
    ids, free = prompts(["a photo of a dog", "a photo of a red car"])
    uniforms = random_uniforms(0, SETTINGS, 4, 16)
    steps = sample(generator, ids, free, torch.tensor([0, 1, 1, 0]), *uniforms, SETTINGS)
    assert steps.shape == (5, 4, 16) and steps.max() < CODES
    for step, still_masked in enumerate(mask_counts(16, 5)[:-1]):
        kept = (steps[step] == steps[step + 1]).sum(dim=1)
        assert (kept >= 16 - still_masked).all()


def test_a_row_does_not_depend_on_its_neighbours(generator: Generator) -> None:
    ids, free = prompts(["a photo of a dog", "a photo of a red car"])
    token_uniform, mask_uniform = random_uniforms(3, SETTINGS, 3, 16)
    together = sample(generator, ids, free, torch.tensor([0, 1, 0]), token_uniform, mask_uniform, SETTINGS)
    alone = sample(generator, ids[1:], free, torch.tensor([0]), token_uniform[:, 1:2], mask_uniform[:, 1:2], SETTINGS)
    assert (together[:, 1:2] == alone).all()


def test_without_temperature_the_mask_noise_is_ignored(generator: Generator) -> None:
    ids, free = prompts(["a photo of a dog"])
    calm = SamplingSettings(steps=5, guidance=0.0, temperature=0.0)
    token_uniform, mask_uniform = random_uniforms(1, calm, 1, 16)
    first = sample(generator, ids, free, torch.tensor([0]), token_uniform, mask_uniform, calm)
    assert (first == sample(generator, ids, free, torch.tensor([0]), token_uniform, 1 - mask_uniform, calm)).all()


@pytest.mark.parametrize("code_temperature", [0.5, 1.0])
def test_codes_follow_the_guided_distribution(generator: Generator, code_temperature: float) -> None:
    """One step at one position: the inverse CDF of many uniforms reproduces the probabilities."""
    ids, free = prompts(["a photo of a dog"])
    rows, once = 4000, SamplingSettings(steps=1, guidance=1.0, temperature=0.0, code_temperature=code_temperature)
    grid = ((torch.arange(rows) + 0.5) / rows)[None, :, None].expand(1, rows, 16)
    drawn = sample(generator, ids, free, torch.zeros(rows, dtype=torch.long), grid, grid, once)[-1][:, 0]
    with torch.no_grad():
        blank = torch.full((1, 16), CODES)
        logits = [generator(prompt[None], blank)[0, 0] for prompt in (ids[0], free)]
    expected = ((2 * logits[0] - logits[1]) / code_temperature).softmax(-1)
    counted = torch.bincount(drawn, minlength=CODES) / rows
    assert (counted - expected).abs().max() < 2 / rows


def test_guidance_moves_the_prediction_towards_the_prompt(generator: Generator) -> None:
    ids, free = prompts(["a photo of a dog"])
    uniforms = random_uniforms(1, SETTINGS, 8, 16)
    row_prompt = torch.zeros(8, dtype=torch.long)
    plain = sample(generator, ids, free, row_prompt, *uniforms, SamplingSettings(5, 0.0, 1.0))
    guided = sample(generator, ids, free, row_prompt, *uniforms, SamplingSettings(5, 4.0, 1.0))
    assert (plain != guided).any()
    same = sample(generator, free[None], free, row_prompt, *uniforms, SamplingSettings(5, 4.0, 1.0))
    unguided = sample(generator, free[None], free, row_prompt, *uniforms, SamplingSettings(5, 0.0, 1.0))
    assert (same == unguided).float().mean() > 0.99  # guiding by the unconditional prompt itself changes nothing


def test_runs_of_different_step_counts_begin_with_the_same_numbers() -> None:
    short, long = (random_uniforms(4, SamplingSettings(steps=steps), 2, 16) for steps in (3, 5))
    for few, many in zip(short, long, strict=True):
        assert torch.equal(few, many[:3])
    assert not torch.equal(short[0], short[1]), "codes and masks have numbers of their own"
    assert not torch.equal(short[0][0], short[0][1]), "so has every step"


def test_a_code_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"code_temperature is 0\.0"):
        SamplingSettings(code_temperature=0.0)
