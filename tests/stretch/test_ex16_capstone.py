"""What the stretch goals of exercise 16 must do."""

from __future__ import annotations

from typing import Any

import torch

from grader.checks import Exercise, Random, check, filled


def model_of(ex: Exercise, rng: Random, vocab_size: int, context: int) -> Any:
    """A small model in evaluation mode."""
    gpt = ex.of("ex13_gpt")
    config = gpt.GPTConfig(vocab_size, context, d_model=6, n_heads=2, n_layers=1, dropout=0.5)
    return filled(gpt.GPT(config), rng, dtype=torch.float64, scale=0.5).eval()


@check("bits for each character of a text of several windows")
def test_bits(ex: Exercise, rng: Random):
    tokenizer = ex.of("ex02_tokenizers").CharTokenizer("abcde ")
    text = rng.text(23, "abcde ")
    return float(ex.bits_per_character(model_of(ex, rng, 6, 5), tokenizer, text))


@check("tokens of several characters, full windows, and a text shorter than one", after=test_bits)
def test_bits_of_any_text(ex: Exercise, rng: Random):
    tokenizer = ex.of("ex02_tokenizers").BPETokenizer([(b"a", b"b"), (b"ab", b"c"), (b"\xc3", b"\xa9")])
    model = model_of(ex, rng, 259, 5)
    texts = {"merged": "abcabé abéé abc", "full": "dabcéd", "one more": "dabcédd", "short": "é abc", "pair": "ad"}
    return {name: float(ex.bits_per_character(model, tokenizer, text)) for name, text in texts.items()}


@check("the longest piece that stands in the corpus")
def test_copy(ex: Exercise, rng: Random):
    corpus = rng.text(300, "abc")
    text = rng.text(20, "abc") + corpus[100:125] + rng.text(20, "abcd")
    return {
        "drawn": ex.longest_copy(text, corpus),
        "first": ex.longest_copy("xabyaczbc", "ab ac bc"),
        "none": ex.longest_copy("xyz", "abc"),
        "all": ex.longest_copy("bca", "abcabc"),
        "empty": ex.longest_copy("", "abc"),
        "inside": ex.longest_copy("aab", "caabx aaa"),
    }


@check("a text of 500 letters and a corpus of a million", after=test_copy)
def test_copy_of_a_long_text(ex: Exercise, rng: Random):
    corpus = rng.text(10_000, "abcdefgh ") * 100
    return ex.longest_copy(rng.text(200, "abcdefgh ") + corpus[5_000:5_100] + rng.text(200, "abcdefgh "), corpus)
