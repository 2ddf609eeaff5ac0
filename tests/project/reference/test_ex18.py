"""The reference of exercise 18 against complex arithmetic and the rotary code of Hugging Face."""

from __future__ import annotations

import cmath
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

os.environ.setdefault("HF_HUB_OFFLINE", "1")
halves, bases = st.integers(1, 8), st.floats(2.0, 1e6)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=5), halves, bases)
def test_a_pair_is_a_complex_number_that_is_multiplied(reference, positions, half, base):
    x = torch.randn(2, len(positions), 2 * half, dtype=torch.float64)
    out = reference("ex18_rope").rotate(x, torch.tensor(positions), base)
    for row, position in enumerate(positions):
        for i in range(half):
            pair = complex(x[1, row, i], x[1, row, i + half]) * cmath.exp(1j * position * base ** (-i / half))
            assert complex(out[1, row, i], out[1, row, i + half]) == pytest.approx(pair, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), halves)
def test_scores_know_the_distance_only(reference, t, s, by, half):
    rotate = reference("ex18_rope").rotate
    q, k = torch.randn(2, 1, 2 * half, dtype=torch.float64)
    near = rotate(q, torch.tensor([t])) @ rotate(k, torch.tensor([s])).T
    far = rotate(q, torch.tensor([t + by])) @ rotate(k, torch.tensor([s + by])).T
    torch.testing.assert_close(near, far, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), halves, st.integers(1, 9))
def test_reordered_projections_give_the_scores_of_neighbouring_pairs(reference, heads, half, length):
    """Scores of neighbouring pairs, written with complex numbers, equal those of the reordered rows under `rotate`."""
    ex = reference("ex18_rope")
    width, positions = 2 * half, torch.arange(length)
    x = torch.randn(length, 5, dtype=torch.float64)
    query, key = torch.randn(2, heads * width, 5, dtype=torch.float64)
    speeds = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    turns = torch.polar(torch.ones(length, half, dtype=torch.float64), positions.double()[:, None] * speeds)

    def neighbours(weight):
        return torch.view_as_complex((x @ weight.T).view(length, heads, half, 2)) * turns[:, None]

    def split(weight):
        rows = x @ ex.halves_from_interleaved(weight, heads).T
        return ex.rotate(rows.view(length, heads, width).transpose(0, 1), positions)

    wanted = torch.einsum("qhi,khi->hqk", neighbours(query), neighbours(key).conj()).real
    torch.testing.assert_close(split(query) @ split(key).transpose(1, 2), wanted, rtol=1e-9, atol=1e-9)


def test_rotate_and_the_attention_are_those_of_transformers(reference):
    transformers = pytest.importorskip("transformers")
    from transformers.models.llama import modeling_llama as theirs

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=24,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=64,
        attn_implementation="eager",
    )
    ex = reference("ex18_rope")
    x, positions = torch.randn(2, 7, 24).double(), torch.arange(7)
    rotary = theirs.LlamaRotaryEmbedding(config)
    cos, sin = (part.double() for part in rotary(x.float(), positions[None]))
    q = torch.randn(2, 3, 7, 8).double()
    turned, _ = theirs.apply_rotary_pos_emb(q, q, cos, sin)
    torch.testing.assert_close(ex.rotate(q, positions), turned, rtol=0, atol=1e-5)

    attention = theirs.LlamaAttention(config, layer_idx=0).double().eval()
    mine = ex.RotaryAttention(24, 3).double()
    for one, other in (("q_proj", "q_proj"), ("k_proj", "k_proj"), ("v_proj", "v_proj"), ("out_proj", "o_proj")):
        with torch.no_grad():
            getattr(mine, one).weight.copy_(getattr(attention, other).weight)
    mask = torch.full((7, 7), float("-inf")).double().triu(1)[None, None]
    wanted, _ = attention(x, position_embeddings=(cos, sin), attention_mask=mask)
    torch.testing.assert_close(mine(x), wanted, rtol=0, atol=1e-5)
