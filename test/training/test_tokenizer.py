"""Prompt layout and vocabulary."""

import numpy as np
from tokenizers import Tokenizer

from training.world.classes import CLASSES, COUNT_WORDS
from training.world.config import WorldConfig
from training.world.held_out import EVALUATION_SETS, read_evaluation_set
from training.world.prompts import (
    SET_WORDS,
    TINT_WORDS,
    correct_plural,
    drawn_style,
    drawn_styles,
    geneval_plural,
    styled,
    vocabulary,
    word_groups,
)
from training.world.tokenizer import (
    BOS,
    EOS,
    MAX_PROMPT_TOKENS,
    PAD,
    SPECIAL_TOKENS,
    UNK,
    build_tokenizer,
    encode_prompt,
    encode_prompts,
    word_group_ids,
)
from training.world.world import World


def words_of(tokenizer: Tokenizer, ids: np.ndarray) -> list[str]:
    return [tokenizer.id_to_token(int(value)) for value in ids if value not in (PAD, BOS, EOS)]


def test_layout_is_start_words_end_padding() -> None:
    tokenizer = build_tokenizer()
    ids = encode_prompt(tokenizer, "a photo of a teddy bear", 12)
    assert ids[0] == BOS and ids[7] == EOS and (ids[8:] == PAD).all()
    assert words_of(tokenizer, ids) == ["a", "photo", "of", "a", "teddy", "bear"]


def test_the_empty_prompt_is_start_end_padding() -> None:
    assert encode_prompt(build_tokenizer(), "", 5).tolist() == [BOS, EOS, PAD, PAD, PAD]


def test_case_punctuation_and_unknown_words_do_not_change_the_ids() -> None:
    tokenizer = build_tokenizer()
    plain = encode_prompt(tokenizer, "a red dog and a cat")
    assert (encode_prompt(tokenizer, "  A RED, dog; and a... cat!") == plain).all()
    assert (encode_prompt(tokenizer, "a red quixotic dog and a cat 犬") == plain).all()


def test_control_words_in_a_prompt_are_only_words() -> None:
    tokenizer = build_tokenizer()
    assert encode_prompt(tokenizer, "[EOS] dog [PAD] [BOS]", 6).tolist() == encode_prompt(tokenizer, "dog", 6).tolist()


def test_foreign_words_are_unknown_and_not_lost() -> None:
    assert build_tokenizer().encode("un éléphant").ids.count(UNK) == 2


def test_a_long_prompt_keeps_its_first_words_and_the_end() -> None:
    ids = encode_prompt(build_tokenizer(), "dog " * 100, 8)
    assert len(ids) == 8 and ids[-1] == EOS and (ids[1:-1] == ids[1]).all()


def test_every_prompt_of_the_world_is_in_the_vocabulary_and_fits_with_its_style() -> None:
    tokenizer, world, rng = build_tokenizer(), World(WorldConfig(paraphrase_rate=0.7)), np.random.default_rng(0)
    for _ in range(2000):
        prompt = drawn_style(rng, world.prompt(rng, world.sample_spec(rng)))
        ids = tokenizer.encode(prompt).ids
        assert UNK not in ids, prompt
        assert len(ids) <= MAX_PROMPT_TOKENS - 2, prompt


def test_words_of_styles_came_last_so_that_all_others_kept_their_ids() -> None:
    tokenizer, words = build_tokenizer(), vocabulary()
    others = words[: -len(SET_WORDS) - len(TINT_WORDS)]
    assert others == sorted(set(others)) and words == [*others, *SET_WORDS, *TINT_WORDS]
    assert [tokenizer.token_to_id(word) for word in words] == [len(SPECIAL_TOKENS) + index for index in range(len(words))]


def test_a_style_stands_before_a_prompts_own_words_and_every_style_is_drawn() -> None:
    assert styled("two cats", 1, 2) == f"{SET_WORDS[1]} {TINT_WORDS[2]} two cats"
    drawn = drawn_styles(["two cats"] * 400, seed=3)
    assert drawn == drawn_styles(["two cats"] * 400, seed=3) != drawn_styles(["two cats"] * 400, seed=4)
    styles = [tuple(prompt.split()[:2]) for prompt in drawn]
    assert len(set(styles)) == len(SET_WORDS) * len(TINT_WORDS)
    assert min(styles.count(style) for style in set(styles)) > 20  # of 50 expected: below once in 100,000 tries
    assert all(prompt.split()[2:] == ["two", "cats"] for prompt in drawn)


def groups_of(word: str) -> tuple[int, int]:
    stem, mark = word_group_ids(build_tokenizer())[:, build_tokenizer().token_to_id(word)]
    return int(stem), int(mark)


def test_a_plural_has_its_singulars_stem_and_the_plurals_mark() -> None:
    plural, none = groups_of("cats")[1], groups_of("cat")[1]
    for name in CLASSES:
        singular = name.split()[-1]
        for word in (geneval_plural(name).split()[-1], correct_plural(name).split()[-1]):
            if word != singular:
                assert groups_of(word) == (groups_of(singular)[0], plural), word
                assert groups_of(singular)[1] == none and groups_of(singular)[0] > 0
    assert len({groups_of(name.split()[-1])[0] for name in CLASSES}) == len({name.split()[-1] for name in CLASSES})


def test_a_digit_has_its_number_words_stem_and_a_mark_of_its_own() -> None:
    digit = groups_of("3")[1]
    assert digit not in (groups_of("cats")[1], groups_of("cat")[1])
    for number, word in enumerate(COUNT_WORDS):
        assert groups_of(str(number)) == (groups_of(word)[0], digit) and groups_of(word)[1] == groups_of("cat")[1]


def test_words_that_share_nothing_have_no_stem_and_no_number_means_two_things() -> None:
    tokenizer = build_tokenizer()
    stems, marks = word_group_ids(tokenizer)
    assert stems.shape == marks.shape == (tokenizer.get_vocab_size(),)
    alone = [word for word in ("photo", "of", "red", "left", *SET_WORDS, *TINT_WORDS, *SPECIAL_TOKENS)]
    assert all(groups_of(word) == (0, groups_of("cat")[1]) for word in alone)
    assert not set(stems.tolist()) & set(marks.tolist())
    assert set(stems.tolist()) | set(marks.tolist()) == set(range(int(max(stems.max(), marks.max())) + 1))


def test_every_word_that_is_scored_is_drawn_in_training_or_made_of_what_is() -> None:
    world, rng = World(WorldConfig(paraphrase_rate=0.3)), np.random.default_rng(0)
    drawn = {word for _ in range(4000) for word in world.prompt(rng, world.sample_spec(rng)).split()}
    stem_and_mark = dict(zip(vocabulary(), word_groups(), strict=True))
    stems, marks = ({stem_and_mark[word][part] for word in drawn} for part in (0, 1))
    scored = {word for name in EVALUATION_SETS for spec in read_evaluation_set(name) for word in spec["prompt"].split()}
    assert len(scored) > 150
    for word in scored - drawn:
        stem, mark = stem_and_mark[word]
        assert stem in stems and mark in marks, word


def test_the_saved_file_reads_back_the_same(tmp_path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    prompts = ["a photo of two wine glasses", "show me 4 dogs", ""]
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert (encode_prompts(again, prompts) == encode_prompts(tokenizer, prompts)).all()
