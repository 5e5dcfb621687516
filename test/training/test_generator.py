"""The generator's attention rules, training examples, and training that survives interruption."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import TINY_CODES, TINY_WORLD, sharing_generator, tiny_generator, tiny_quantizer

from training.models.generator import SHARED, Generator
from training.scene_codes import SceneCodes
from training.token_scenes import TokenScenes
from training.tokenizer import build_tokenizer, encode_prompts, unconditional_prompt
from training.train_generator import GeneratorTraining, generator_loss, mask_tokens, masked_batch
from training.world.spec import satisfies
from training.world.world import World

MASK = TINY_CODES


def make_generator(*, sharing: bool = False) -> Generator:
    torch.manual_seed(0)
    words = build_tokenizer().get_vocab_size()
    model = sharing_generator(words) if sharing else Generator(tiny_generator(words))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("output.weight", "narrow.weight", *SHARED, "position")):
                weight.normal_(std=0.2)  # blocks start as the identity, which would hide any leak
    return model.eval()


def tiny_scenes() -> TokenScenes:
    world = World(TINY_WORLD)
    return TokenScenes(world, SceneCodes(world, tiny_quantizer()), build_tokenizer())


@pytest.fixture(scope="module")
def scenes() -> TokenScenes:
    return tiny_scenes()


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
    assert logits.shape == (1, 16, TINY_CODES)
    assert (model(ids[1:], tokens) - logits).abs().amax(-1).min() > 1e-4
    changed = tokens.clone()
    changed[0, 15] = 7
    assert (model(ids[:1], changed) - logits).abs().amax(-1).min() > 1e-4


@torch.no_grad()
def test_forward_equals_a_prefix_computed_once_for_several_rows() -> None:
    model = make_generator()
    ids = prompt_ids("a photo of a dog", "two cats")
    tokens = torch.randint(0, MASK + 1, (3, 16), generator=torch.Generator().manual_seed(1))
    row_prompt = torch.tensor([1, 0, 1])
    shared = model.image_logits(tokens, model.prefix(ids), row_prompt)
    torch.testing.assert_close(shared, model(ids[row_prompt], tokens), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_states_at_some_places_are_those_of_the_whole_picture() -> None:
    model = make_generator()
    prefix_kv = model.prefix(prompt_ids("a photo of a dog", "two cats"))
    tokens = torch.randint(0, MASK + 1, (2, 16), generator=torch.Generator().manual_seed(1))
    arguments = (tokens, prefix_kv, torch.arange(2))
    places = torch.tensor([0, 3, 17, 31])
    whole = model.hidden(*arguments).flatten(0, 1)[places]
    torch.testing.assert_close(model.hidden(*arguments, places), whole, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_prefix_has_the_contracts_shape() -> None:
    assert make_generator().prefix(prompt_ids("a dog", "a cat", "")).shape == (2, 2, 3, 2, 24, 16)


@torch.no_grad()
def test_the_folded_model_gives_the_same_logits_without_shared_vectors() -> None:
    model = make_generator(sharing=True)
    plain = model.folded()
    assert plain.config.code_features == plain.config.code_groups == 0
    assert not any(name.endswith(SHARED) for name in plain.state_dict())
    tokens = torch.randint(0, MASK + 1, (2, 16), generator=torch.Generator().manual_seed(1))
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
    drawn = scenes.batch(np.random.default_rng(0), 4, per_prompt=2)
    batch = masked_batch(drawn, np.random.default_rng(1), MASK, GeneratorTraining())
    loss, parts = generator_loss(model, batch)
    logits = model(batch.prompt_ids[batch.row_prompt], batch.tokens).flatten(0, 1)[batch.counted]
    expected = -logits.log_softmax(-1).gather(1, batch.targets[:, None])[:, 0]
    torch.testing.assert_close(loss, expected.mean())
    torch.testing.assert_close(parts["object"], expected[batch.on_object].mean())
    torch.testing.assert_close(parts["background"], expected[~batch.on_object].mean())


def test_features_and_groups_of_another_size_are_refused() -> None:
    config, groups = tiny_generator(100), torch.arange(TINY_CODES)[None] % 5
    with pytest.raises(ValueError, match="expected 8 features a code, got none"):
        Generator(replace(config, code_features=8))
    with pytest.raises(ValueError, match="expected 0 features a code, got 3"):
        Generator(config, torch.zeros(TINY_CODES, 3))
    with pytest.raises(ValueError, match="expected 4 groups of codes, got 5"):
        Generator(replace(config, code_groups=4), groups=groups)
    with pytest.raises(ValueError, match="expected 4 groups of codes, got none"):
        Generator(replace(config, code_groups=4))


def test_examples_are_the_codes_of_scenes_that_satisfy_their_prompts() -> None:
    world, tokenizer = World(TINY_WORLD), build_tokenizer()
    codes = SceneCodes(world, tiny_quantizer())
    batch = TokenScenes(world, codes, tokenizer).batch(np.random.default_rng(4), 24, per_prompt=2)
    assert batch.prompt_ids.shape == (12, 24) and len(batch.codes) == 24
    rng = np.random.default_rng(4)
    for row, (prompt, grid, on_object) in enumerate(zip(batch.row_prompt, batch.codes, batch.on_object, strict=True)):
        if row % 2 == 0:
            spec = world.sample_spec(rng)
            wanted = encode_prompts(tokenizer, [world.prompt(rng, spec)])[0]
        objects, background = world.arrange(rng, spec)
        assert satisfies(objects, spec)
        assert (batch.prompt_ids[prompt] == wanted).all()
        assert (codes.grid(objects, background).ravel() == grid).all()
        assert (on_object == (grid != codes.plain(background))).all() and on_object.any()


def test_a_small_generator_learns_one_batch_by_heart(scenes: TokenScenes) -> None:
    torch.manual_seed(0)
    model = sharing_generator(build_tokenizer().get_vocab_size())
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
    assert losses[0] > 5.5 and np.mean(losses[-10:]) < 1.0
