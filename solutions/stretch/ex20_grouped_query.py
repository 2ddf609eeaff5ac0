"""What solves the stretch goals of exercise 20."""

import math

from torch import Tensor


def grouped_scores(q: Tensor, k: Tensor) -> Tensor:
    """The scores of queries whose heads share heads of keys, which nobody writes out."""
    grouped = q.unflatten(1, (k.size(1), -1))  # (B, H_kv, H / H_kv, T, d)
    scores = grouped @ k.unsqueeze(2).transpose(-2, -1)  # (B, H_kv, H / H_kv, T, S)
    return scores.flatten(1, 2) / math.sqrt(q.size(-1))  # (B, H, T, S)


def pooled_heads(weight: Tensor, n_heads: int, n_kv_heads: int) -> Tensor:
    """The weight of a projection with fewer heads, each the mean of several.

    Source: Ainslie et al. 2023, section 2.1.
    """
    heads = weight.unflatten(0, (n_kv_heads, n_heads // n_kv_heads, -1))  # (H_kv, H / H_kv, d, D)
    return heads.mean(dim=1).flatten(0, 1)  # (H_kv * d, D)
