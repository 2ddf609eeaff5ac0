"""The loops of the first paper: keys outside, queries inside; slices of whole tensors; total and top kept, not L.

Good for reading the first FlashAttention paper, whose outer loop goes over the keys.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _pieces(length, size):
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


class Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, causal, size):
        n_q, n_k = q.shape[-2], k.shape[-2]
        out = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype, device=q.device)
        top = torch.full_like(out[..., :1], torch.finfo(q.dtype).min)
        total = torch.zeros_like(top)
        for cols in _pieces(n_k, size):
            for rows in _pieces(n_q, size):
                tile = Tiled.scores(q, k, rows, cols, causal)
                if tile is None:
                    continue
                highest = torch.maximum(top[..., rows, :], tile.max(-1, keepdim=True).values)
                p = torch.exp(tile - highest)
                fade = torch.exp(top[..., rows, :] - highest)
                total[..., rows, :] = total[..., rows, :] * fade + p.sum(-1, keepdim=True)
                out[..., rows, :] = out[..., rows, :] * fade + p @ v[..., cols, :]
                top[..., rows, :] = highest
        total[total == 0] = torch.inf
        out /= total
        ctx.save_for_backward(q, k, v, out, top, total)
        ctx.options = causal, size
        return out

    @staticmethod
    def scores(q, k, rows, cols, causal):
        ahead = k.shape[-2] - q.shape[-2]
        if causal and cols.start > rows.stop - 1 + ahead:
            return None
        tile = q[..., rows, :] @ k[..., cols, :].transpose(-1, -2) / q.shape[-1] ** 0.5
        if causal:
            i = torch.arange(rows.start, rows.stop, device=q.device)[:, None]
            j = torch.arange(cols.start, cols.stop, device=q.device)[None, :]
            tile = torch.where(j <= i + ahead, tile, -torch.inf)
        return tile

    @staticmethod
    def backward(ctx, grad):
        q, k, v, out, top, total = ctx.saved_tensors
        causal, size = ctx.options
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        mean = torch.einsum("...ij,...ij->...i", grad, out)[..., None]
        for cols in _pieces(k.shape[-2], size):
            for rows in _pieces(q.shape[-2], size):
                tile = Tiled.scores(q, k, rows, cols, causal)
                if tile is None:
                    continue
                p = torch.exp(tile - top[..., rows, :]) / total[..., rows, :]
                g = grad[..., rows, :]
                dv[..., cols, :] += p.transpose(-1, -2) @ g
                ds = p * (g @ v[..., cols, :].transpose(-1, -2) - mean[..., rows, :]) / q.shape[-1] ** 0.5
                dq[..., rows, :] += ds @ k[..., cols, :]
                dk[..., cols, :] += ds.transpose(-1, -2) @ q[..., rows, :]
        return dq, dk, dv, None, None


def flash_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, block_size: int = 64) -> Tensor:
    if block_size < 1:
        raise ValueError(f"expected a positive block_size, got {block_size}")
    return Tiled.apply(q, k, v, causal, block_size)
