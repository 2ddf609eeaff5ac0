"""The reference of exercise 12 against independent implementations: PyTorch's transformer and cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.checks import filled
from grader.probing.assembly import Exercise
from grader.probing.random import Random

SIZES = {"d_model": 12, "n_heads": 3, "n_layers": 2, "d_ff": 20}


@pytest.fixture
def ex12(reference: Callable[[str], Exercise]) -> Exercise:
    return reference("ex12_transformer")


@pytest.fixture
def rng() -> Random:
    return Random(12)


def theirs(model: Any, dtype: torch.dtype) -> nn.Transformer:
    """PyTorch's transformer with the weights of ours, and without the final norms, which post-norm has no use for."""
    other = nn.Transformer(12, 3, 2, 2, 20, dropout=0.0, batch_first=True, dtype=dtype).eval()
    other.encoder.norm = other.decoder.norm = None

    def attention(target: nn.MultiheadAttention, source: Any) -> None:
        projections = [source.q_proj, source.k_proj, source.v_proj]
        target.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
        target.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
        target.out_proj.load_state_dict(source.out_proj.state_dict())

    with torch.no_grad():
        for mine, layer in zip(model.encoder.layers, other.encoder.layers, strict=True):
            attention(layer.self_attn, mine.self_attention)
            norms = [mine.attention_residual.norm, mine.feed_forward_residual.norm]
            for target, source in zip([layer.norm1, layer.norm2], norms, strict=True):
                target.load_state_dict(source.state_dict())
            layer.linear1.load_state_dict(mine.feed_forward.up.state_dict())
            layer.linear2.load_state_dict(mine.feed_forward.down.state_dict())
        for mine, layer in zip(model.decoder.layers, other.decoder.layers, strict=True):
            attention(layer.self_attn, mine.self_attention)
            attention(layer.multihead_attn, mine.cross_attention)
            norms = [mine.attention_residual.norm, mine.cross_residual.norm, mine.feed_forward_residual.norm]
            for target, source in zip([layer.norm1, layer.norm2, layer.norm3], norms, strict=True):
                target.load_state_dict(source.state_dict())
            layer.linear1.load_state_dict(mine.feed_forward.up.state_dict())
            layer.linear2.load_state_dict(mine.feed_forward.down.state_dict())
    return other


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("pad_id", [0, 7])
def test_the_whole_is_pytorch_s_transformer_with_both_masks(
    ex12: Exercise, rng: Random, dtype: torch.dtype, tolerance: float, pad_id: int
) -> None:
    model = filled(ex12.Transformer(11, 13, max_len=9, pad_id=pad_id, **SIZES), rng, dtype=dtype).eval()
    src, tgt_in = 1 + rng.ids(6, 3, 7), rng.ids(13, 3, 5)
    src[0, 4:], src[2, 1:] = pad_id, pad_id
    padding = src == pad_id  # PyTorch's masks are True for what is hidden
    future = torch.ones(5, 5, dtype=torch.bool).triu(1)
    encoding = model.positions.pe.to(dtype)
    x = F.embedding(src, model.src_embedding.weight) * 12**0.5 + encoding[:7]  # (B, S, D)
    y = F.embedding(tgt_in, model.tgt_embedding.weight) * 12**0.5 + encoding[:5]  # (B, T, D)
    other = theirs(model, dtype)
    with torch.no_grad():
        hidden = other(x, y, tgt_mask=future, src_key_padding_mask=padding, memory_key_padding_mask=padding)
        expected = F.linear(hidden, model.output.weight, model.output.bias)  # (B, T, V)
        torch.testing.assert_close(model(src, tgt_in), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("ignore_index", [None, 0, -100])
def test_the_loss_and_its_gradient_are_pytorch_s(
    ex12: Exercise, rng: Random, dtype: torch.dtype, smoothing: float, ignore_index: int | None
) -> None:
    logits, targets = rng.tensor(3, 5, 8, dtype=dtype, scale=4.0, grad=True), rng.ids(8, 3, 5)
    if ignore_index is not None:
        targets[0, 2:], targets[2, 4] = ignore_index, ignore_index
    ignored = -100 if ignore_index is None else ignore_index  # PyTorch's own default
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=smoothing, ignore_index=ignored)
    mine = ex12.label_smoothed_cross_entropy(logits, targets, smoothing, ignore_index)
    torch.testing.assert_close(mine, expected)
    for ours, other in zip(*(torch.autograd.grad(loss, logits) for loss in (mine, expected)), strict=True):
        torch.testing.assert_close(ours, other)


def test_the_smoothed_loss_is_least_where_the_lesson_says(ex12: Exercise) -> None:
    logits = torch.zeros(1, 1, 10, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = ex12.label_smoothed_cross_entropy(logits, torch.tensor([[7]]), 0.1)
        loss.backward()
        return loss

    optimizer.step(closure)
    gaps = logits[0, 0, 7] - logits[0, 0, :7]
    torch.testing.assert_close(gaps, torch.full_like(gaps, 91.0).log(), rtol=1e-4, atol=0.0)


def test_the_schedule_rises_to_its_only_peak_and_falls_as_the_paper_says(ex12: Exercise) -> None:
    rates = [ex12.noam_lr(step, 512, 40) for step in range(1, 400)]
    assert max(rates) == rates[39] == pytest.approx((512 * 40) ** -0.5)
    assert all(later > earlier for earlier, later in pairwise(rates[:40]))
    assert all(later < earlier for earlier, later in pairwise(rates[39:]))
    assert rates[159] == pytest.approx(rates[39] / 2)


def test_greedy_decoding_is_the_argmax_of_the_forward_pass_on_what_was_written(ex12: Exercise, rng: Random) -> None:
    model = filled(ex12.Transformer(11, 13, max_len=9, **SIZES), rng).eval()
    src = 1 + rng.ids(10, 4, 6)
    written = ex12.greedy_decode(model, src, bos_id=1, eos_id=2, max_len=8)
    with torch.no_grad():
        said = model(src, ex12.shift_right(written, 1)).argmax(-1)
    for mine, best in zip(written.tolist(), said.tolist(), strict=True):
        length = mine.index(2) + 1 if 2 in mine else len(mine)
        assert mine[:length] == best[:length]
        assert not any(mine[length:])


def test_greedy_decoding_gives_the_mode_back_when_the_model_breaks(ex12: Exercise) -> None:
    model = ex12.Transformer(11, 13, max_len=4, **SIZES).train()
    with pytest.raises(ValueError, match="max_len"):
        ex12.greedy_decode(model, torch.full((1, 5), 3), 1, 2, 3)
    assert model.training
