"""Word-level prompt tokenizer, stored as a Hugging Face `tokenizer.json` so that Node reads the very same file.

Prompt layout: [BOS] words [EOS], then [PAD] up to a fixed length. Words outside the vocabulary are dropped before
padding; the serving side names them in `warnings`. Special tokens are plain vocabulary entries and not "added tokens":
text such as "[EOS]" in a prompt is normalised to the word "eos" and can never become a control token.

Run `python -m training.world.tokenizer --out FILE` to write the file.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

from training.world.prompts import vocabulary, word_groups

PAD, UNK, BOS, EOS = range(4)
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")
MAX_PROMPT_TOKENS = 24


def build_tokenizer() -> Tokenizer:
    """The tokenizer over the world's grammar; token ids are stable as long as the grammar's words are."""
    words = {word: index for index, word in enumerate([*SPECIAL_TOKENS, *vocabulary()])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    separators = normalizers.Replace(Regex(r"[^\p{L}\p{N}]+"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), separators])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def encode_prompt(tokenizer: Tokenizer, prompt: str, length: int = MAX_PROMPT_TOKENS) -> np.ndarray:
    """Token ids of a prompt.

    Args:
        tokenizer: from `build_tokenizer` or `Tokenizer.from_file`.
        prompt: any text; the empty one gives the unconditional prompt.
        length: ids returned, at least 2; a longer prompt keeps its first `length - 2` known words.

    Returns:
        int64 [length].
    """
    words = [token for token in tokenizer.encode(prompt).ids if token != UNK][: length - 2]
    ids = [BOS, *words, EOS]
    return np.array(ids + [PAD] * (length - len(ids)), dtype=np.int64)


def word_group_ids(tokenizer: Tokenizer) -> np.ndarray:
    """The groups of each token (`training.world.prompts.word_groups`): int64 [2, vocabulary size].

    First the stem that it shares with other words, 0 where it shares none, then the mark that tells it from its stem, or that
    there is none; no number means both.
    """
    groups = np.zeros((2, tokenizer.get_vocab_size()), dtype=np.int64)
    stem_of = dict(zip(vocabulary(), word_groups(), strict=True))
    counts = Counter(stem for stem, _ in stem_of.values())
    shared = {stem: index for index, stem in enumerate(sorted(stem for stem in counts if counts[stem] > 1), start=1)}
    marks = {mark: len(shared) + 1 + index for index, mark in enumerate((None, "plural", "digit"))}
    groups[1] = marks[None]
    for word, (stem, mark) in stem_of.items():
        groups[:, tokenizer.token_to_id(word)] = shared.get(stem, 0), marks[mark]
    return groups


def unconditional_prompt(length: int = MAX_PROMPT_TOKENS) -> np.ndarray:
    """Ids of the prompt of no words, int64 [length]; guidance and caption dropout use it."""
    return np.array([BOS, EOS] + [PAD] * (length - 2), dtype=np.int64)


def encode_prompts(tokenizer: Tokenizer, prompts: list[str], length: int = MAX_PROMPT_TOKENS) -> np.ndarray:
    """`encode_prompt` for several prompts: int64 [len(prompts), length]."""
    return np.stack([encode_prompt(tokenizer, prompt, length) for prompt in prompts])


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the tokenizer of the emoji world.")
    parser.add_argument("--out", type=Path, required=True, help="where tokenizer.json goes")
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    tokenizer.save(str(out), pretty=True)
    print(f"{tokenizer.get_vocab_size()} tokens written to {out}")


if __name__ == "__main__":
    main()
