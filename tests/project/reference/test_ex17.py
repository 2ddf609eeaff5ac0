"""The reference of exercise 17 against exercise 15, token for token, and against the model without a cache."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

SIZES = [{"n_layers": 1, "n_heads": 1}, {"n_layers": 3, "n_heads": 2}, {"n_layers": 2, "n_heads": 4, "bias": False}]


def model(reference: Callable, **options):
    gpt = reference("ex13_gpt")
    torch.manual_seed(0)
    config = gpt.GPTConfig(vocab_size=23, context_length=40, d_model=16, **options)
    made = gpt.GPT(config).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(6)  # far from uniform: a wrong key shows
    return made


@pytest.mark.parametrize("options", SIZES, ids=str)
def test_greedy_texts_are_those_of_exercise_15(reference: Callable, options) -> None:
    gpt, prompts = model(reference, **options), torch.randint(23, (4, 3), generator=torch.Generator().manual_seed(1))
    slow = reference("ex15_sampling").generate(gpt, prompts, 37, temperature=0.0)
    fast = reference("ex17_kv_cache").generate_cached(gpt, prompts, 37, temperature=0.0)
    assert torch.equal(slow, fast)
    assert len(set(fast[0].tolist())) > 3


@pytest.mark.parametrize("knobs", [{}, {"temperature": 0.7}, {"top_k": 4}, {"top_p": 0.8, "temperature": 1.4}], ids=str)
def test_drawn_texts_are_those_of_exercise_15_with_the_same_generator(reference: Callable, knobs) -> None:
    gpt, prompts = model(reference, **SIZES[1]), torch.zeros(3, 2, dtype=torch.int64)
    slow, fast = (
        reference(stem).__getattr__(name)(gpt, prompts, 30, generator=torch.Generator().manual_seed(7), **knobs)
        for stem, name in (("ex15_sampling", "generate"), ("ex17_kv_cache", "generate_cached"))
    )
    assert torch.equal(slow, fast)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8).filter(lambda pieces: sum(pieces) <= 40))
def test_any_pieces_give_the_logits_of_the_whole(reference: Callable, pieces) -> None:
    ex, gpt = reference("ex17_kv_cache"), model(reference, **SIZES[1])
    ids = torch.randint(23, (2, sum(pieces)), generator=torch.Generator().manual_seed(sum(pieces)))
    cache = ex.KVCache()
    with torch.no_grad():
        found = torch.cat([ex.forward_with_cache(gpt, piece, cache) for piece in ids.split(pieces, dim=1)], dim=1)
        torch.testing.assert_close(found, gpt(ids)[0])


def test_gradients_reach_the_earlier_tokens_through_the_cache(reference: Callable) -> None:
    ex, gpt = reference("ex17_kv_cache"), model(reference, **SIZES[0])
    ids, cache = torch.randint(23, (1, 6)), ex.KVCache()
    found = torch.cat([ex.forward_with_cache(gpt, piece, cache) for piece in ids.split([4, 2], dim=1)], dim=1)
    (mine,) = torch.autograd.grad(found.square().sum(), gpt.token_embedding.weight)
    (whole,) = torch.autograd.grad(gpt(ids)[0].square().sum(), gpt.token_embedding.weight)
    torch.testing.assert_close(mine, whole)
