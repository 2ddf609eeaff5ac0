"""What solves the stretch goals of exercise 15."""

import torch
from torch import Tensor


def min_p_probs(logits: Tensor, min_p: float, temperature: float = 1.0) -> Tensor:
    """Keep what is not too unlikely beside the most likely token.

    Source: Nguyen et al. 2025.
    """
    probs = torch.softmax(logits / temperature, dim=-1)  # (B, V)
    kept = probs * (probs >= min_p * probs.amax(dim=-1, keepdim=True))  # (B, V)
    return kept / kept.sum(dim=-1, keepdim=True)


def accept_and_correct(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """When a drafted token is accepted, and what is drawn from if it is not.

    Source: Leviathan et al. 2023, section 2.3.
    """
    accepted = torch.where(q > 0, p / q, 1.0).clamp(max=1)  # (..., V)
    missing = (p - q).clamp(min=0)  # (..., V)
    total = missing.sum(dim=-1, keepdim=True)  # (..., 1)
    return accepted, torch.where(total > 0, missing / total, p)
