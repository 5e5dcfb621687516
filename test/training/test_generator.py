"""The generator's attention rules, training examples, and training that survives interruption."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import TINY_CODES, TINY_WORLD, sharing_generator, tiny_generator, tiny_quantizer

from training.data.scene_codes import SceneCodes
from training.data.token_scenes import TokenScenes
from training.models.generator import SHARED, Generator
from training.stages.train_generator import (
    GeneratorTraining,
    MaskedBatch,
    generator_loss,
    mask_tokens,
    masked_batch,
    redraw_tokens,
)
from training.world.classes import COUNT_WORDS
from training.world.config import WorldConfig
from training.world.prompts import SET_WORDS, TINT_WORDS, vocabulary, word_groups
from training.world.scene import SceneObject
from training.world.spec import satisfies
from training.world.tokenizer import BOS, EOS, PAD, build_tokenizer, encode_prompts, unconditional_prompt
from training.world.world import World

MASK = TINY_CODES


def make_generator(*, sharing: bool = False) -> Generator:
    torch.manual_seed(0)
    model = sharing_generator() if sharing else Generator(tiny_generator(build_tokenizer().get_vocab_size()))
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
    assert plain.config.code_features == plain.config.code_groups == plain.config.word_groups == 0
    assert not any(name.endswith(SHARED) for name in plain.state_dict())
    tokens = torch.randint(0, MASK + 1, (2, 16), generator=torch.Generator().manual_seed(1))
    ids = prompt_ids("a dog", "fluent sky 3 cats")
    torch.testing.assert_close(plain(ids, tokens), model(ids, tokens), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain.text_table.weight, model.text_table.weight), "words have vectors of their groups too"


@torch.no_grad()
def test_a_colour_that_was_never_shown_is_drawn_as_its_tone_and_its_colour_are() -> None:
    model = make_generator(sharing=True)
    tones, colors = model.groups
    grouped = (tones > tones.min()) & (colors > colors.min())
    of_tone, of_color = torch.randn(int(tones.max()) + 1), torch.randn(int(colors.max()) + 1)
    model.head.bias.copy_(of_tone[tones] + of_color[colors])
    wanted, others = model.head.bias.clone(), model.head.bias[~grouped].clone()
    model.share_codes()
    torch.testing.assert_close(model.head.bias, wanted, msg="what is tone plus colour stays")
    unseen = grouped.nonzero().flatten()[0]
    model.head.bias[unseen] = -30.0
    model.share_codes()
    assert model.head.bias[unseen] > -30.0 / 2, "one code that training pushed down is lifted by the others of its groups"
    assert torch.equal(model.head.bias[~grouped], others), "codes without groups keep what is their own"


def test_masking_hides_at_least_one_token_and_all_counts_occur() -> None:
    codes = np.arange(64)[None].repeat(4000, axis=0)
    tokens, hidden = mask_tokens(np.random.default_rng(0), codes, MASK)
    assert ((tokens == MASK) == hidden).all() and (tokens[~hidden] == codes[~hidden]).all()
    counts = hidden.sum(1)
    assert counts.min() == 1 and counts.max() == 64
    assert abs(counts.mean() / 64 - 2 / np.pi) < 0.02  # mean of cos(pi/2 u)


def test_without_redrawing_what_counts_is_hidden_and_mostly_on_objects(scenes: TokenScenes) -> None:
    batch = scenes.batch(np.random.default_rng(0), 64)
    settings = GeneratorTraining(caption_dropout=0.5, background_share=0.0, redrawn_rows=0.0, known_share=0.0)
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
    with torch.no_grad():
        tokens = redraw_tokens(model, batch, model.prefix(batch.prompt_ids))
        logits = model(batch.prompt_ids[batch.row_prompt], tokens).flatten(0, 1)[batch.counted]
    expected = -logits.log_softmax(-1).gather(1, batch.targets[:, None])[:, 0]
    torch.testing.assert_close(loss.detach(), expected.mean())
    before, after = (shown.flatten()[batch.counted] == MASK for shown in (batch.tokens, tokens))
    of_part = {
        "object": after & batch.on_object, "background": after & ~batch.on_object,
        "drawn": before & ~after & batch.on_object, "known": ~before & batch.on_object,
    }  # fmt: skip
    assert set(parts) == set(of_part) and all(places.any() for places in of_part.values())
    for name, places in of_part.items():
        torch.testing.assert_close(parts[name].detach(), expected[places].mean())


def test_redrawn_tokens_are_hidden_ones_of_the_last_rows(scenes: TokenScenes) -> None:
    batch = scenes.batch(np.random.default_rng(0), 64)
    masked = masked_batch(batch, np.random.default_rng(1), MASK, GeneratorTraining(redrawn_rows=0.25))
    assert masked.redrawn_rows == 16 and len(masked.redrawn) == len(masked.uniform) > 16
    part = masked.tokens[48:].flatten()
    assert (part[masked.redrawn] == MASK).all(), "only what is hidden is drawn"
    assert (part == MASK).sum() > len(masked.redrawn), "some of it stays hidden"
    shown = masked.tokens != MASK
    assert (masked.tokens[shown] == torch.from_numpy(batch.codes)[shown]).all(), "what is shown is true"
    hidden = (masked.tokens[48:] == MASK).float().mean(1)
    assert hidden.max() < 0.95 and 0.3 < hidden.mean() < 0.55, "never an almost empty grid, from which nothing could be known"


def test_known_tokens_count_as_often_as_asked(scenes: TokenScenes) -> None:
    batch = scenes.batch(np.random.default_rng(0), 256)
    settings = GeneratorTraining(redrawn_rows=0.0, known_share=0.4)
    masked = masked_batch(batch, np.random.default_rng(1), MASK, settings)
    known = (masked.tokens != MASK).flatten()
    counted = torch.zeros_like(known)
    counted[masked.counted] = True
    on_object = torch.from_numpy(batch.on_object).flatten()
    assert abs(counted[known & on_object].float().mean() - 0.4) < 0.06
    assert abs(counted[known & ~on_object].float().mean() - 0.08) < 0.03, "of background a fifth of that"


@torch.no_grad()
def test_redrawing_fills_the_places_asked_for_and_no_others(scenes: TokenScenes) -> None:
    model, batch = make_generator(), scenes.batch(np.random.default_rng(0), 8)
    masked = masked_batch(batch, np.random.default_rng(1), MASK, GeneratorTraining(redrawn_rows=0.5))
    before, after = masked.tokens.flatten(), redraw_tokens(model, masked, model.prefix(masked.prompt_ids)).flatten()
    asked = torch.zeros_like(before, dtype=torch.bool)
    asked[4 * 16 + masked.redrawn] = True
    assert (after[asked] < MASK).all() and (before[asked] == MASK).all()
    assert torch.equal(after[~asked], before[~asked])
    nothing = masked_batch(batch, np.random.default_rng(1), MASK, GeneratorTraining(redrawn_rows=0.0))
    assert torch.equal(redraw_tokens(model, nothing, model.prefix(nothing.prompt_ids)), nothing.tokens)


@torch.no_grad()
def test_redrawn_tokens_follow_the_models_own_distribution() -> None:
    """One place of one picture, at many uniforms: the inverse CDF reproduces the probabilities."""
    model, rows, place = make_generator(), 4000, 5
    tokens = torch.arange(16).repeat(rows + 1, 1)
    tokens[:, place:] = MASK
    uniform = (torch.arange(rows) + 0.5) / rows
    nothing = torch.empty(0, dtype=torch.int64)
    prompts, row_prompt = prompt_ids("two cats", "a dog"), torch.ones(rows + 1, dtype=torch.int64)
    redrawn = torch.arange(rows) * 16 + place
    batch = MaskedBatch(prompts, row_prompt, tokens, rows, redrawn, uniform, nothing, nothing, nothing.bool())
    drawn = redraw_tokens(model, batch, model.prefix(prompts))[1:, place]
    expected = model(prompts[1:], tokens[:1])[0, place].softmax(-1)
    counted = torch.bincount(drawn, minlength=TINY_CODES) / rows
    assert (counted - expected).abs().max() < 2 / rows


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
    with pytest.raises(ValueError, match="expected 4 groups of words, got none"):
        Generator(replace(config, word_groups=4))
    with pytest.raises(ValueError, match="expected 0 groups of words, got 7"):
        Generator(config, word_groups=torch.arange(100)[None] % 7)


class WatchedWorld(World):
    """Remembers what it arranged."""

    def __init__(self, config: WorldConfig = TINY_WORLD):
        super().__init__(config)
        self.arranged: list[tuple[dict, tuple[SceneObject, ...], int | None]] = []

    def arrange(self, rng, spec, set_index=None):
        objects, background = super().arrange(rng, spec, set_index)
        self.arranged.append((spec, objects, set_index))
        return objects, background


def watched_scenes(**rates: float) -> tuple[WatchedWorld, SceneCodes, TokenScenes]:
    world = WatchedWorld()
    codes = SceneCodes(world, tiny_quantizer())
    return world, codes, TokenScenes(world, codes, build_tokenizer(), **rates)


def words_of(ids: np.ndarray) -> list[str]:
    tokenizer = build_tokenizer()
    return [tokenizer.id_to_token(int(value)) for value in ids if value not in (PAD, BOS, EOS)]


def test_examples_are_the_codes_of_scenes_that_satisfy_their_prompts() -> None:
    world, codes, scenes = watched_scenes(told_rate=1.0)
    batch = scenes.batch(np.random.default_rng(4), 48, per_prompt=2)
    assert batch.prompt_ids.shape == (24, 24) and len(batch.codes) == len(world.arranged) == 48
    assert batch.row_prompt.tolist() == [row // 2 for row in range(48)]
    for row, (spec, objects, set_index) in enumerate(world.arranged):
        set_word, tint_word, *words = words_of(batch.prompt_ids[batch.row_prompt[row]])
        tint = TINT_WORDS.index(tint_word)
        assert satisfies(objects, spec) and SET_WORDS.index(set_word) == set_index
        assert (codes.grid(objects, tint).ravel() == batch.codes[row]).all(), "in the style that its prompt tells"
        assert (batch.on_object[row] == (batch.codes[row] != codes.plain(tint))).all() and batch.on_object[row].any()
        asked = {word for entry in spec["include"] for word in entry["class"].split()}
        assert spec["tag"] == "counting" or asked <= set(words)


def test_drawings_of_a_picture_are_of_one_set_as_far_as_it_draws_them() -> None:
    world, _, scenes = watched_scenes()
    scenes.batch(np.random.default_rng(5), 200)
    sprites, sets = world.atlas.sprites, world.config.sets
    mixed = 0
    for _, objects, set_index in world.arranged:
        for known in objects:
            drawn_by = {sprite.set for sprite in world.atlas.by_class[known.class_index]}
            assert sprites[known.sprite].set == sets[set_index] or sets[set_index] not in drawn_by
        mixed += len({sprites[known.sprite].set for known in objects}) > 1
    assert {set_index for *_, set_index in world.arranged} == {0, 1} and mixed < 10


def test_styles_and_nouns_are_left_out_as_often_as_asked() -> None:
    world, _, scenes = watched_scenes(told_rate=0.6, count_only_rate=0.5)
    batch = scenes.batch(np.random.default_rng(6), 400)
    prompts = [words_of(ids) for ids in batch.prompt_ids]
    told = [words[0] in SET_WORDS for words in prompts]
    tinted = [bool(set(words[1:2]) & set(TINT_WORDS)) for words in prompts]
    assert tinted == told
    assert abs(np.mean(told) - 0.6) < 0.08
    counting = [words for words, (spec, *_) in zip(prompts, world.arranged, strict=True) if spec["tag"] == "counting"]
    numbers = {*COUNT_WORDS, *map(str, range(11))}
    assert abs(np.mean([words[-1] in numbers for words in counting]) - 0.5) < 0.25
    others = [words for words, (spec, *_) in zip(prompts, world.arranged, strict=True) if spec["tag"] != "counting"]
    assert not any(words[-1] in numbers for words in others)


def test_a_world_with_other_sets_or_backgrounds_than_there_are_words_for_is_refused() -> None:
    quantizer = tiny_quantizer()
    world = World(replace(TINY_WORLD, sets=TINY_WORLD.sets[:1]))
    with pytest.raises(ValueError, match=r"words for 2 sets \(fluent, twemoji\), the world has 1"):
        TokenScenes(world, SceneCodes(world, quantizer), build_tokenizer())


def word_vector(model: Generator, word: str) -> torch.Tensor:
    return model.word_table()[build_tokenizer().token_to_id(word)].detach()


def test_sharing_words_keeps_those_without_a_mark_and_makes_the_others_of_stem_and_mark() -> None:
    model, tokenizer = make_generator(sharing=True), build_tokenizer()
    with torch.no_grad():
        model.word_groups.zero_()
        words = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
        plurals = [(word, stem) for word, (stem, mark) in zip(vocabulary(), word_groups(), strict=True) if mark == "plural"]
        # Plurals as training leaves them: their stem, what all have in common, and something of their own.
        table = model.text_table.weight
        common = torch.randn(table.shape[1])
        for word, stem in plurals:
            table[words.index(word)] = table[words.index(stem)] + common + 0.01 * torch.randn(table.shape[1])
        never = table[words.index("cats")] = torch.randn(table.shape[1])  # of a plural that training never showed
        before = model.word_table().clone()
        model.share_words()
    marked = {word for word, (_, mark) in zip(vocabulary(), word_groups(), strict=True) if mark}
    plain = [index for index, word in enumerate(words) if word not in marked]
    torch.testing.assert_close(model.word_table()[plain], before[plain])
    assert (model.text_table.weight[[words.index(word) for word in marked]] == 0).all()
    shift = word_vector(model, "dogs") - word_vector(model, "dog")
    torch.testing.assert_close(word_vector(model, "cats") - word_vector(model, "cat"), shift)
    assert (shift - common).abs().max() < 0.2 < (never - word_vector(model, "cats")).abs().max()
    assert not torch.allclose(word_vector(model, "3") - word_vector(model, "three"), shift), "digits have a mark of their own"


def test_what_is_learned_of_a_word_is_learned_of_its_plural() -> None:
    model = make_generator(sharing=True)
    model.prefix(prompt_ids("two cats")).square().sum().backward()
    stems, _ = model.grouped_words
    cat, dog = (stems[build_tokenizer().token_to_id(word)] for word in ("cat", "dog"))
    assert model.word_groups.grad[cat].abs().sum() > 0 == model.word_groups.grad[dog].abs().sum()


def test_a_small_generator_learns_one_batch_by_heart(scenes: TokenScenes) -> None:
    torch.manual_seed(0)
    model = sharing_generator()
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
