"""What the stretch goals of exercise 22 must do."""

from __future__ import annotations

from typing import Any

from grader.checks import Exercise, Random, check

SIZES = {"d_model": 24, "n_heads": 6, "n_kv_heads": 2, "n_layers": 3, "d_ff": 20}


@check("as many as the model has")
def test_count(ex: Exercise, rng: Random):
    vocab_size, context = rng.sizes(2, 5, 20)
    config = ex.LlamaConfig(vocab_size, context, **SIZES)
    made = sum(parameter.numel() for parameter in ex.Llama(config).parameters())
    return {"formula": ex.parameter_count(config), "model": made}


@check("any number of heads, and a head of its own", after=test_count)
def test_count_of_any_config(ex: Exercise, rng: Random):
    def count(**other: Any) -> int:
        return int(ex.parameter_count(ex.LlamaConfig(11, 7, **{**SIZES, **other})))

    return {
        "untied": count(tied=False),
        "one": count(n_kv_heads=1),
        "all": count(n_kv_heads=6),
        "no blocks": count(n_layers=0),
    }


@check("a model of 70 billion is counted, and not made", after=test_count)
def test_count_of_a_large_config(ex: Exercise, rng: Random):
    return ex.parameter_count(ex.LlamaConfig(128256, 8192, 8192, 64, 8, 80, 28672, tied=False))


@check("the products of one more token")
def test_multiplications(ex: Exercise, rng: Random):
    config = ex.LlamaConfig(11, 100, **SIZES)
    return [ex.multiplications(config, length) for length in (0, 1, 50)]


@check(
    "tied or not, the head works as much; keys that are shared are read by each query head", after=test_multiplications
)
def test_multiplications_of_any_config(ex: Exercise, rng: Random):
    def count(**other: Any) -> int:
        return int(ex.multiplications(ex.LlamaConfig(11, 100, **{**SIZES, **other}), 30))

    return {"untied": count(tied=False), "one": count(n_kv_heads=1), "all": count(n_kv_heads=6)}
