"""The reference of exercise 20 against other people's code, and against exercises 7 and 18 where they must agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F


def layer(reference: Callable, heads: int, kv_heads: int, width: int = 48, **options):
    torch.manual_seed(heads * 10 + kv_heads)
    made = reference("ex20_grouped_query").GroupedQueryAttention(width, heads, kv_heads, **options).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3)
    return made


@pytest.mark.parametrize(("heads", "kv_heads"), [(6, 2), (8, 8), (4, 1), (12, 3)])
@pytest.mark.parametrize("bias", [False, True])
def test_as_the_grouped_kernel_of_pytorch(reference: Callable, heads: int, kv_heads: int, bias: bool) -> None:
    ours, x = layer(reference, heads, kv_heads, bias=bias), torch.randn(2, 9, 48, dtype=torch.float64)
    rotate, positions = reference("ex18_rope").rotate, torch.arange(9)
    q, k, v = (
        proj(x).unflatten(-1, (h, -1)).transpose(1, 2)
        for proj, h in ((ours.q_proj, heads), (ours.k_proj, kv_heads), (ours.v_proj, kv_heads))
    )
    q, k = rotate(q, positions), rotate(k, positions)
    theirs = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(ours(x), ours.out_proj(theirs.transpose(1, 2).flatten(2)))


def test_with_a_head_for_each_query_it_is_the_attention_of_exercise_18(reference: Callable) -> None:
    ours, x = layer(reference, 4, 4, base=500.0), torch.randn(3, 7, 48, dtype=torch.float64)
    rotary = reference("ex18_rope").RotaryAttention(48, 4, base=500.0).double()
    rotary.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), rotary(x))


def test_scores_depend_on_distances_alone(reference: Callable) -> None:
    ours, x = layer(reference, 6, 2), torch.randn(1, 5, 48, dtype=torch.float64)

    with torch.no_grad():
        mask = reference("ex06_masks").causal_mask
        found = []
        for start in (0, 1000):
            positions = torch.arange(start, start + 5)
            q, k = (
                reference("ex18_rope").rotate(proj(x).unflatten(-1, (h, -1)).transpose(1, 2), positions)
                for proj, h in ((ours.q_proj, 6), (ours.k_proj, 2))
            )
            scores = q @ reference("ex20_grouped_query").repeat_heads(k, 3).transpose(-2, -1)
            found.append(scores.masked_fill(~mask(5), 0.0))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(("heads", "kv_heads"), [(6, 2), (4, 4), (4, 1)])
def test_as_in_transformers(reference: Callable, heads: int, kv_heads: int) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

    config = transformers.LlamaConfig(
        hidden_size=48, num_attention_heads=heads, num_key_value_heads=kv_heads, num_hidden_layers=1, rope_theta=10000.0
    )
    config._attn_implementation = "eager"
    theirs, ours = LlamaAttention(config, layer_idx=0).double().eval(), layer(reference, heads, kv_heads)
    for name, other in (("q", "q"), ("k", "k"), ("v", "v"), ("o", "out")):
        getattr(theirs, f"{name}_proj").weight.data.copy_(getattr(ours, f"{other}_proj").weight)
    x = torch.randn(2, 7, 48, dtype=torch.float64)
    mask = torch.zeros(1, 1, 7, 7, dtype=torch.float64).masked_fill(~torch.ones(7, 7).tril().bool(), -1e300)
    places = LlamaRotaryEmbedding(config=config)(x, torch.arange(7)[None])
    out, _ = theirs(x, position_embeddings=places, attention_mask=mask)
    torch.testing.assert_close(ours(x), out, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pieces", [[9], [1] * 9, [4, 3, 2], [1, 8]])
def test_any_pieces_give_the_whole(reference: Callable, pieces: list[int]) -> None:
    ours, x, cache = (
        layer(reference, 6, 3),
        torch.randn(2, 9, 48, dtype=torch.float64),
        reference("ex17_kv_cache").KVCache(),
    )
    found = torch.cat([ours(piece, cache, 2) for piece in x.split(pieces, dim=1)], dim=1)
    torch.testing.assert_close(found, ours(x))


def test_the_bytes_are_those_of_a_cache(reference: Callable) -> None:
    ex, cache = reference("ex20_grouped_query"), reference("ex17_kv_cache").KVCache()
    for number in range(3):
        layer(reference, 6, 2)(torch.randn(2, 10, 48, dtype=torch.float64), cache, number)
    kept = [tensor for number in range(3) for tensor in cache._kept[number]]
    counted = sum(tensor.numel() * tensor.element_size() for tensor in kept)
    assert counted == ex.cache_bytes(3, 2, 8, 10, batch_size=2, bytes_per_number=8)
