"""float64 inside; every tile has a mask, hidden tiles too; keys first on the way back; a running log of the total.

Good for checking the others: in float64 it rounds far less.
"""

from __future__ import annotations

from torch import Tensor, arange, autograd, cat, einsum, full, inf, logaddexp, logsumexp, where


def _tile(q: Tensor, k: Tensor, i: int, j: int, ahead: int | None) -> Tensor:
    scores = einsum("...id,...jd->...ij", q, k) * q.size(-1) ** -0.5
    if ahead is None:
        return scores
    rows, columns = arange(i, i + q.size(-2), device=q.device), arange(j, j + k.size(-2), device=q.device)
    return where(rows[:, None] + ahead >= columns[None, :], scores, -inf)


class _Attention(autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, ahead, size):
        ctx.ahead, ctx.size = ahead, size
        outs, logs = [], []
        for i in range(0, q.size(-2), size):
            rows = q[..., i : i + size, :]
            log = full((*rows.shape[:-1], 1), -inf, dtype=q.dtype, device=q.device)
            mean = log.new_zeros((*rows.shape[:-1], v.size(-1)))
            for j in range(0, k.size(-2), size):
                scores = _tile(rows, k[..., j : j + size, :], i, j, ahead)
                both = logaddexp(log, logsumexp(scores, -1, keepdim=True))
                safe = both.masked_fill(both == -inf, 0.0)
                mean = mean * (log - safe).exp() + (scores - safe).exp() @ v[..., j : j + size, :]
                log = both
            outs.append(mean)
            logs.append(log.masked_fill(log == -inf, inf))
        out, log = cat(outs, -2), cat(logs, -2)
        ctx.save_for_backward(q, k, v, out, log)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, out, log = ctx.saved_tensors
        size, d = ctx.size, (grad * out).sum(-1, keepdim=True)
        grad_q, keys, values = q * 0, [], []
        for j in range(0, k.size(-2), size):
            key, value = k[..., j : j + size, :], v[..., j : j + size, :]
            grad_key, grad_value = key * 0, value * 0
            for i in range(0, q.size(-2), size):
                part = (..., slice(i, i + size), slice(None))
                p = (_tile(q[part], key, i, j, ctx.ahead) - log[part]).exp()
                slopes = p * (grad[part] @ value.mT - d[part]) * q.size(-1) ** -0.5
                grad_q[part] += slopes @ key
                grad_key += slopes.mT @ q[part]
                grad_value += p.mT @ grad[part]
            keys.append(grad_key)
            values.append(grad_value)
        return grad_q, cat(keys, -2), cat(values, -2), None, None


def flash_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, block_size: int = 64) -> Tensor:
    if not block_size > 0:
        raise ValueError(f"block_size must be positive, not {block_size}")
    ahead = k.size(-2) - q.size(-2) if causal else None
    return _Attention.apply(q.double(), k.double(), v.double(), ahead, block_size).to(v.dtype)
