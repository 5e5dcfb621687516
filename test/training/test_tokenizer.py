"""Prompt layout and vocabulary."""

import numpy as np
from tokenizers import Tokenizer

from training.tokenizer import BOS, EOS, PAD, UNK, build_tokenizer, encode_prompt, encode_prompts
from training.world.config import WorldConfig
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


def test_every_prompt_of_the_world_is_in_the_vocabulary_and_fits() -> None:
    tokenizer, world, rng = build_tokenizer(), World(WorldConfig(paraphrase_rate=0.7)), np.random.default_rng(0)
    for _ in range(2000):
        prompt = world.prompt(rng, world.sample_spec(rng))
        ids = tokenizer.encode(prompt).ids
        assert UNK not in ids, prompt
        assert len(ids) <= 22, prompt


def test_the_saved_file_reads_back_the_same(tmp_path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    prompts = ["a photo of two wine glasses", "show me 4 dogs", ""]
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert (encode_prompts(again, prompts) == encode_prompts(tokenizer, prompts)).all()
