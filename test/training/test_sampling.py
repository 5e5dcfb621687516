"""The mask-predict sampler, and how it corrects itself."""

from dataclasses import replace

import pytest
import torch
from one_device import OneDevice
from tiny import tiny_generator
from tiny_bundle import bundle_settings

from training.models.generator import Generator
from training.sampling.mask_predict import (
    SamplingSettings,
    gumbel,
    mask_again,
    mask_counts,
    masked_after,
    noise_scale,
    random_uniforms,
    sample,
)
from training.world.tokenizer import build_tokenizer, encode_prompts

CODES = 128
SETTINGS = SamplingSettings(steps=5, guidance=1.5, temperature=1.0)
CORRECTED = replace(SETTINGS, corrections=3, correction_share=0.4)


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
    assert noise_scale(2.0, 4, 4) == noise_scale(2.0, 9, 4) == 0.0, "corrections have none"


def test_gumbel_noise_stays_finite_at_the_ends() -> None:
    assert gumbel(torch.tensor([0.0, 0.5, 1.0])).isfinite().all()


def test_known_tokens_never_change_and_every_prediction_is_complete(generator: Generator) -> None:
    ids, free = prompts(["a photo of a dog", "a photo of a red car"])
    uniforms = random_uniforms(0, SETTINGS, 4, 16)
    steps = sample(generator, ids, free, torch.tensor([0, 1, 1, 0]), *uniforms, SETTINGS).predictions
    assert steps.shape == (5, 4, 16) and steps.max() < CODES
    for step, still_masked in enumerate(mask_counts(16, 5)[:-1]):
        kept = (steps[step] == steps[step + 1]).sum(dim=1)
        assert (kept >= 16 - still_masked).all()


@pytest.mark.parametrize("settings", [SETTINGS, CORRECTED, replace(CORRECTED, throughout=True)])
def test_a_row_does_not_depend_on_its_neighbours(generator: Generator, settings: SamplingSettings) -> None:
    ids, free = prompts(["a photo of a dog", "a photo of a red car"])
    token_uniform, mask_uniform = random_uniforms(3, settings, 3, 16)
    together = sample(generator, ids, free, torch.tensor([0, 1, 0]), token_uniform, mask_uniform, settings)
    alone = sample(generator, ids[1:], free, torch.tensor([0]), token_uniform[:, 1:2], mask_uniform[:, 1:2], settings)
    assert (together.predictions[:, 1:2] == alone.predictions).all()
    torch.testing.assert_close(together.coherence[:, 1:2], alone.coherence, rtol=1e-4, atol=1e-4)


def test_without_temperature_the_mask_noise_is_ignored(generator: Generator) -> None:
    ids, free = prompts(["a photo of a dog"])
    calm = SamplingSettings(steps=5, guidance=0.0, temperature=0.0)
    token_uniform, mask_uniform = random_uniforms(1, calm, 1, 16)
    first = sample(generator, ids, free, torch.tensor([0]), token_uniform, mask_uniform, calm)
    again = sample(generator, ids, free, torch.tensor([0]), token_uniform, 1 - mask_uniform, calm)
    assert (first.predictions == again.predictions).all()


@pytest.mark.parametrize("code_temperature", [0.5, 1.0])
def test_codes_follow_the_guided_distribution(generator: Generator, code_temperature: float) -> None:
    """One step at one position: the inverse CDF of many uniforms reproduces the probabilities."""
    ids, free = prompts(["a photo of a dog"])
    rows, once = 4000, SamplingSettings(steps=1, guidance=1.0, temperature=0.0, code_temperature=code_temperature)
    grid = ((torch.arange(rows) + 0.5) / rows)[None, :, None].expand(1, rows, 16)
    drawn = sample(generator, ids, free, torch.zeros(rows, dtype=torch.long), grid, grid, once).predictions[-1][:, 0]
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

    def sampled(of: torch.Tensor, guidance: float) -> torch.Tensor:
        return sample(generator, of, free, row_prompt, *uniforms, SamplingSettings(5, guidance, 1.0)).predictions

    assert (sampled(ids, 0.0) != sampled(ids, 4.0)).any()
    same, unguided = (sampled(free[None], guidance) for guidance in (4.0, 0.0))
    assert (same == unguided).float().mean() > 0.99  # guiding by the unconditional prompt itself changes nothing


def test_runs_of_different_step_counts_begin_with_the_same_numbers() -> None:
    short, long = (random_uniforms(4, SamplingSettings(steps=steps), 2, 16) for steps in (3, 5))
    for few, many in zip(short, long, strict=True):
        assert torch.equal(few, many[:3])
    assert not torch.equal(short[0], short[1]), "codes and masks have numbers of their own"
    assert not torch.equal(short[0][0], short[0][1]), "so has every step"


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"code_temperature is 0\.0"):
        SamplingSettings(code_temperature=0.0)
    with pytest.raises(ValueError, match="corrections is -1; it must be at least 0"):
        SamplingSettings(corrections=-1)
    with pytest.raises(ValueError, match=r"correction_share is 1\.5; it must be from 0 to 1"):
        SamplingSettings(correction_share=1.5)


def test_a_bundles_settings_are_its_defaults_and_corrections() -> None:
    settings = bundle_settings()
    settings["generator"] |= {"code_temperature": 0.8, "defaults": {"steps": 9, "guidance": 2.0, "temperature": 0.5}}
    settings["generator"]["corrections"] = {"steps": 4, "share": 0.3, "scoring": "shown", "throughout": True}
    expected = SamplingSettings(9, 2.0, 0.5, 0.8, corrections=4, correction_share=0.3, throughout=True)
    assert SamplingSettings.of_bundle(settings) == expected and expected.all_steps == 13
    settings["generator"]["corrections"]["scoring"] = "commit"
    with pytest.raises(ValueError, match="scoring is 'commit'; a generator trained here has 'shown'"):
        SamplingSettings.of_bundle(settings)


@pytest.mark.parametrize(
    ("steps", "corrections", "share", "expected"),
    [
        (12, 0, 0.2, [63, 61, 59, 55, 50, 45, 38, 31, 24, 16, 8, 1]),
        (12, 6, 0.2, [63, 61, 59, 55, 50, 45, 38, 31, 24, 16, 8, 13, 11, 9, 6, 4, 2, 0]),
        (4, 4, 0.2, [59, 45, 24, 13, 10, 6, 3, 0]),
        (4, 2, 0.0, [59, 45, 24, 1, 1, 0]),
        (2, 2, 1.0, [45, 63, 32, 0]),
        (2, 1, 4.5 / 64, [45, 5, 0]),
    ],
)
def test_corrections_follow_the_first_steps_and_draw_fewer_tokens_each_time(steps, corrections, share, expected) -> None:
    settings = SamplingSettings(steps, corrections=corrections, correction_share=share)
    assert masked_after(64, settings) == expected and len(expected) == settings.all_steps


def test_known_tokens_are_masked_only_where_they_compete() -> None:
    score = torch.tensor([[-3.0, -1.0, -4.0, -2.0, -9.0], [-1.0, -1.0, -1.0, -5.0, -1.0]])
    unknown = torch.tensor([[True, True, False, True, False], [True, False, True, False, True]])
    silence = torch.zeros_like(score)
    assert mask_again(score, silence, unknown, 2, competes=False).tolist() == [[0, 3], [0, 2]]
    assert mask_again(score, silence, unknown, 3, competes=True).tolist() == [[4, 2, 0], [3, 0, 1]], "of equals the lower place"
    loud = torch.tensor([-7.0, 0.0, 9.0, 0.0, 0.0]).expand_as(score)
    assert mask_again(score, loud, unknown, 2, competes=True).tolist() == [[0, 4], [0, 3]], "noise is on new tokens only"


def test_without_corrections_pictures_are_those_of_a_sampler_that_never_goes_back(generator: Generator) -> None:
    """The sampler of earlier versions, written out."""
    ids, free = prompts(["a photo of a dog", "a photo of a red car"])
    row_prompt, (token_uniform, mask_uniform) = torch.tensor([0, 1, 1]), random_uniforms(8, SETTINGS, 3, 16)
    tokens, expected = torch.full((3, 16), CODES), []
    for step, count in enumerate(mask_counts(16, SETTINGS.steps)):
        with torch.no_grad():
            own, other = generator(ids[row_prompt], tokens), generator(free.expand(3, -1), tokens)
        probability = ((1 + SETTINGS.guidance) * own - SETTINGS.guidance * other).softmax(-1)
        drawn = torch.searchsorted(probability.cumsum(-1), token_uniform[step][..., None]).clamp(max=CODES - 1)
        unknown = tokens == CODES
        expected.append(torch.where(unknown, drawn[..., 0], tokens))
        likely = probability.gather(-1, drawn)[..., 0].clamp(min=1e-20).log()
        confidence = likely + gumbel(mask_uniform[step]) * noise_scale(SETTINGS.temperature, step, SETTINGS.steps)
        lowest = confidence.masked_fill(~unknown, torch.inf).argsort(dim=1, stable=True)[:, :count]
        tokens = expected[-1].scatter(1, lowest, CODES)
    found = sample(generator, ids, free, row_prompt, token_uniform, mask_uniform, SETTINGS)
    assert torch.equal(found.predictions, torch.stack(expected))


def watched_sample(generator: Generator, monkeypatch, settings: SamplingSettings, rows: int = 4):
    """A run without guidance, with tokens before each step [steps, R, N] and log-probabilities of all codes [steps, R, N, C]."""
    before, likely, original = [], [], generator.image_logits

    def watched(tokens, prefix_kv, row_prompt):
        logits = original(tokens, prefix_kv, row_prompt)
        before.append(tokens.clone())
        likely.append(logits.log_softmax(-1))
        return logits

    monkeypatch.setattr(generator, "image_logits", watched)
    ids, free = prompts(["a photo of a dog"])
    uniforms = random_uniforms(2, settings, rows, 16)
    found = sample(generator, ids, free, torch.zeros(rows, dtype=torch.long), *uniforms, settings)
    return found, torch.stack(before), torch.stack(likely)


@pytest.mark.parametrize("throughout", [False, True])
def test_a_correction_draws_the_least_likely_tokens_anew_and_keeps_all_others(generator, monkeypatch, throughout) -> None:
    settings = replace(CORRECTED, guidance=0.0, temperature=0.0, throughout=throughout)
    found, before, likely = watched_sample(generator, monkeypatch, settings)
    went_back = []
    for step, count in enumerate(masked_after(16, settings)[:-1]):
        score = likely[step].gather(-1, found.predictions[step][..., None])[..., 0]
        masked = before[step + 1] == CODES
        assert (masked.sum(1) == count).all()
        assert torch.equal(before[step + 1][~masked], found.predictions[step][~masked]), "what is not masked stays"
        assert torch.equal(found.predictions[step + 1][~masked], found.predictions[step][~masked])
        went_back.append(bool((masked & (before[step] != CODES)).any()))
        if settings.competes(step):
            highest_masked = score.masked_fill(~masked, -torch.inf).amax(1)
            assert (highest_masked <= score.masked_fill(masked, torch.inf).amin(1) + 1e-5).all()
        else:
            assert not went_back[-1]
    assert any(went_back[4:]) and (any(went_back[:4]) == throughout)
    assert (found.predictions[4] != found.predictions[-1]).any()


def test_a_run_with_corrections_begins_as_one_without(generator: Generator) -> None:
    ids, free = prompts(["a photo of a dog", "two cats"])
    runs = [
        sample(generator, ids, free, torch.tensor([0, 1]), *random_uniforms(4, settings, 2, 16), settings)
        for settings in (SETTINGS, CORRECTED)
    ]
    assert torch.equal(runs[0].predictions, runs[1].predictions[:5]) and torch.equal(runs[0].coherence, runs[1].coherence[:5])
    assert runs[1].predictions.shape == (8, 2, 16) and runs[1].predictions.max() < CODES


def test_coherence_is_the_mean_log_probability_of_what_stands_in_the_picture(generator, monkeypatch) -> None:
    settings = replace(CORRECTED, guidance=0.0)
    found, _, likely = watched_sample(generator, monkeypatch, settings)
    expected = likely.gather(-1, found.predictions[..., None])[..., 0].mean(-1)
    torch.testing.assert_close(found.coherence, expected, rtol=1e-4, atol=1e-4)
    assert found.coherence.shape == (8, 4) and found.coherence.max() < 0


def test_sampling_stays_on_the_tensors_device(generator: Generator) -> None:
    # "meta" stands for a GPU: tensors of another device fail beside it, and so does every wish to know a value.
    model = Generator(generator.config).to("meta").eval()
    ids, free = prompts(["a photo of a dog"])
    given = (ids, free, torch.zeros(2, dtype=torch.long), *random_uniforms(0, CORRECTED, 2, 16))
    given = [value.to("meta") for value in given]
    with OneDevice():
        found = sample(model, *given, CORRECTED)
    assert found.predictions.device.type == found.coherence.device.type == "meta" and found.predictions.shape == (8, 2, 16)
