"""The generator's attention rules, training examples, and training that survives interruption."""

import numpy as np
import pytest
import torch
from tiny import TINY_QUANTIZER, TINY_WORLD, tiny_generator

from training.models.generator import Generator
from training.models.quantizer import Quantizer
from training.token_scenes import TokenScenes
from training.tokenizer import build_tokenizer, encode_prompts, unconditional_prompt
from training.train_generator import GeneratorTraining, generator_loss, mask_tokens, masked_batch
from training.world.classes import CLASSES
from training.world.config import WorldConfig
from training.world.world import World

MASK = 8192


def make_generator(code_bits: int = 0) -> Generator:
    torch.manual_seed(0)
    model = Generator(tiny_generator(build_tokenizer().get_vocab_size(), code_bits))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("output.weight", "narrow.weight", "_bits", "position")):
                weight.normal_(std=0.2)  # blocks start as the identity, which would hide any leak
    return model.eval()


@pytest.fixture(scope="module")
def scenes() -> TokenScenes:
    torch.manual_seed(0)
    return TokenScenes(World(TINY_WORLD), Quantizer(TINY_QUANTIZER).eval(), build_tokenizer())


def prompt_ids(*texts: str) -> torch.Tensor:
    return torch.from_numpy(encode_prompts(build_tokenizer(), list(texts)))


@torch.no_grad()
def test_text_never_sees_later_words_nor_the_image() -> None:
    model = make_generator()
    first, second = model.prefix(prompt_ids("a photo of a dog", "a photo of a red cat")).unbind(2)
    shared = 5  # [BOS] a photo of a
    torch.testing.assert_close(first[:, :, :, :shared], second[:, :, :, :shared], rtol=0, atol=1e-6)
    assert (first[:, :, :, shared] - second[:, :, :, shared]).abs().max() > 1e-3


@torch.no_grad()
def test_an_image_token_sees_the_prompt_and_every_other_image_token() -> None:
    model = make_generator()
    ids = prompt_ids("a photo of a dog", "a photo of a cat")
    tokens = torch.full((1, 16), MASK)
    logits = model(ids[:1], tokens)
    assert logits.shape == (1, 16, 8192)
    assert (model(ids[1:], tokens) - logits).abs().amax(-1).min() > 1e-4
    changed = tokens.clone()
    changed[0, 15] = 7
    assert (model(ids[:1], changed) - logits).abs().amax(-1).min() > 1e-4


@torch.no_grad()
def test_forward_equals_a_prefix_computed_once_for_several_rows() -> None:
    model = make_generator()
    ids = prompt_ids("a photo of a dog", "two cats")
    tokens = torch.randint(0, 8193, (3, 16), generator=torch.Generator().manual_seed(1))
    row_prompt = torch.tensor([1, 0, 1])
    shared = model.image_logits(tokens, model.prefix(ids), row_prompt)
    torch.testing.assert_close(shared, model(ids[row_prompt], tokens), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_prefix_has_the_contracts_shape() -> None:
    assert make_generator().prefix(prompt_ids("a dog", "a cat", "")).shape == (2, 2, 3, 2, 24, 16)


@torch.no_grad()
def test_the_folded_model_gives_the_same_logits_without_bit_vectors() -> None:
    model = make_generator(code_bits=13)
    plain = model.folded()
    assert plain.config.code_bits == 0 and not any("_bits" in name for name in plain.state_dict())
    tokens = torch.randint(0, 8193, (2, 16), generator=torch.Generator().manual_seed(1))
    ids = prompt_ids("a dog", "a cat")
    torch.testing.assert_close(plain(ids, tokens), model(ids, tokens), rtol=1e-4, atol=1e-4)


def test_masking_hides_at_least_one_token_and_all_counts_occur() -> None:
    codes = np.arange(64)[None].repeat(4000, axis=0)
    tokens, hidden = mask_tokens(np.random.default_rng(0), codes, MASK)
    assert ((tokens == MASK) == hidden).all() and (tokens[~hidden] == codes[~hidden]).all()
    counts = hidden.sum(1)
    assert counts.min() == 1 and counts.max() == 64
    assert abs(counts.mean() / 64 - 2 / np.pi) < 0.02  # mean of cos(pi/2 u)


def test_what_counts_is_hidden_and_mostly_on_objects(scenes: TokenScenes) -> None:
    batch = scenes.batch(np.random.default_rng(0), 64)
    settings = GeneratorTraining(caption_dropout=0.5, background_share=0.0)
    masked = masked_batch(batch, np.random.default_rng(1), MASK, settings)
    counted = masked.counted.numpy()
    assert (masked.tokens.flatten()[masked.counted] == MASK).all()
    assert (masked.targets.numpy() == batch.codes.ravel()[counted]).all()
    assert (masked.on_object.numpy() == batch.on_object.ravel()[counted]).all()
    assert set(counted // 16) == set(range(64)), "every example has something to learn"
    assert masked.on_object.float().mean() > 0.5
    wordless = (masked.prompt_ids == torch.from_numpy(unconditional_prompt())).all(1)
    assert 0.25 < wordless.float().mean() < 0.75  # 64 coins: outside once in 20,000 tries


def test_a_loss_is_the_mean_over_what_counts(scenes: TokenScenes) -> None:
    model = make_generator()
    batch = masked_batch(scenes.batch(np.random.default_rng(0), 4), np.random.default_rng(1), MASK, GeneratorTraining())
    loss, parts = generator_loss(model, batch)
    logits = model(batch.prompt_ids, batch.tokens).flatten(0, 1)[batch.counted]
    expected = -logits.log_softmax(-1).gather(1, batch.targets[:, None])[:, 0]
    torch.testing.assert_close(loss, expected.mean())
    torch.testing.assert_close(parts["object"], expected[batch.on_object].mean())
    torch.testing.assert_close(parts["background"], expected[~batch.on_object].mean())


def test_codes_of_all_drawings_are_encoded_ahead_as_they_are_on_demand() -> None:
    torch.manual_seed(0)
    world, quantizer, tokenizer = World(TINY_WORLD), Quantizer(TINY_QUANTIZER).eval(), build_tokenizer()
    ahead, on_demand = (TokenScenes(world, quantizer, tokenizer) for _ in range(2))
    drawings = sum(len(sprites) * (1 if CLASSES[index] == "person" else 11) for index, sprites in enumerate(world.atlas.by_class))
    assert ahead.encode_all() == drawings * 2 * 4, "two sizes, four backgrounds"

    def refuse(images: torch.Tensor) -> torch.Tensor:
        raise AssertionError("nothing is left to encode")

    expected = on_demand.batch(np.random.default_rng(3), 32)
    quantizer.encode = refuse
    found = ahead.batch(np.random.default_rng(3), 32)
    assert (found.codes == expected.codes).all() and (found.on_object == expected.on_object).all()


def test_composed_codes_equal_the_codes_of_the_composed_picture() -> None:
    torch.manual_seed(0)
    world, quantizer = World(WorldConfig()), Quantizer(TINY_QUANTIZER.__class__(encoder_width=64, decoder_width=16)).eval()
    tokenizer = build_tokenizer()
    batch = TokenScenes(world, quantizer, tokenizer).batch(np.random.default_rng(4), 24)
    rng = np.random.default_rng(4)
    for prompt, codes in zip(batch.prompt_ids, batch.codes, strict=True):
        spec = world.sample_spec(rng)
        scene = world.compose(rng, spec)
        assert (encode_prompts(tokenizer, [world.prompt(rng, spec)])[0] == prompt).all()
        with torch.no_grad():
            assert (quantizer.encode(torch.from_numpy(scene.image[None]))[0].numpy() == codes).all()


def test_a_lattice_that_splits_patches_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of the patch of 12 px"):
        TokenScenes(World(WorldConfig(lattice=4)), Quantizer(TINY_QUANTIZER), build_tokenizer())


def test_a_small_generator_learns_one_batch_by_heart(scenes: TokenScenes) -> None:
    torch.manual_seed(0)
    model = Generator(tiny_generator(build_tokenizer().get_vocab_size(), code_bits=13))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    batch = scenes.batch(np.random.default_rng(0), 4)
    losses = []
    for step in range(120):
        settings = GeneratorTraining(caption_dropout=0)
        loss, _ = generator_loss(model, masked_batch(batch, np.random.default_rng(step), MASK, settings))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 8 and np.mean(losses[-10:]) < 1.0
