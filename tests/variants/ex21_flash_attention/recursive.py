"""One leading index after another, answers of tiles joined two at a time; the table of pieces is a list of spans.

Good for seeing why tiles may come in any order: two answers and their totals make one, whichever they are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _hidden(i: range, j: range, shift: int, like: Tensor) -> Tensor:
    places = torch.tensor(list(i), device=like.device) + shift
    return torch.tensor(list(j), device=like.device) > places[:, None]


def _spans(length: int, size: int) -> list[range]:
    return [range(a, min(length, a + size)) for a in range(0, length, size)]


def _join(a: tuple[Tensor, Tensor] | None, b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Two answers with the logs of their totals make one."""
    if a is None:
        return b
    log = torch.logaddexp(a[1], b[1])
    shares = [torch.where(log == -math.inf, 0.0, (x - log.clamp(min=-1e300)).exp()) for x in (a[1], b[1])]
    return a[0] * shares[0][:, None] + b[0] * shares[1][:, None], log


class _One(torch.autograd.Function):
    """Attention of (T_q, d), (T_k, d), (T_k, d_v)."""

    @staticmethod
    def forward(ctx, q, k, v, causal, size):
        shift = len(k) - len(q) if causal else len(k)
        out, logs = v.new_zeros(len(q), v.size(1)), q.new_full((len(q),), -math.inf)
        for i in _spans(len(q), size):
            answer = None
            for j in _spans(len(k), size):
                if j[0] > i[-1] + shift:
                    break
                s = (q[i[0] : i[-1] + 1] @ k[j[0] : j[-1] + 1].T / math.sqrt(q.size(1))).double()
                s[_hidden(i, j, shift, q)] = -math.inf
                log = s.logsumexp(1)
                p = (s - torch.where(log == -math.inf, 0.0, log)[:, None]).exp()
                answer = _join(answer, (p @ v[j[0] : j[-1] + 1].double(), log))
            if answer is not None:
                out[i[0] : i[-1] + 1], logs[i[0] : i[-1] + 1] = answer[0].to(out.dtype), answer[1].to(logs.dtype)
        ctx.save_for_backward(q, k, v, out, logs)
        ctx.shift, ctx.size = shift, size
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, out, logs = ctx.saved_tensors
        dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))
        root = math.sqrt(q.size(1))
        for i in _spans(len(q), ctx.size):
            for j in _spans(len(k), ctx.size):
                if j[0] > i[-1] + ctx.shift:
                    break
                rows, cols = slice(i[0], i[-1] + 1), slice(j[0], j[-1] + 1)
                p = (q[rows] @ k[cols].T / root - logs[rows, None]).exp()
                p = p.masked_fill(_hidden(i, j, ctx.shift, q), 0)
                dv[cols] += p.T @ grad[rows]
                ds = p * (grad[rows] @ v[cols].T - (grad[rows] * out[rows]).sum(1, keepdim=True)) / root
                dq[rows] += ds @ k[cols]
                dk[cols] += ds.T @ q[rows]
        return dq, dk, dv, None, None


def flash_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, block_size: int = 64) -> Tensor:
    if block_size < 1:
        raise ValueError(f"block_size is {block_size}; the smallest is 1")
    if q.dim() > 2:
        return torch.stack([flash_attention(*one, causal, block_size) for one in zip(q, k, v, strict=True)])
    wide = torch.float32 if q.dtype.itemsize < 4 else q.dtype
    return _One.apply(q.to(wide), k.to(wide), v.to(wide), causal, block_size).to(q.dtype)
