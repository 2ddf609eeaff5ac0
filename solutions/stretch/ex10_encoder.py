"""What solves the stretch goals of exercise 10."""

import torch
from torch import Tensor

from ex10_encoder import Encoder


def stream_states(encoder: Encoder, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """The residual stream before the first layer and after each of them."""
    states = [x]
    for layer in encoder.layers:
        states.append(layer(states[-1], mask))
    return torch.stack(states)  # (N + 1, B, T, D)


def attention_rollout(weights: Tensor) -> Tensor:
    """Estimate how much of each input has come to each position.

    Source: Abnar and Zuidema 2020, section 3.
    """
    mixed = weights.mean(dim=2)  # (N, B, T, T)
    identity = torch.eye(mixed.size(-1), dtype=mixed.dtype, device=mixed.device)
    total = identity.expand(mixed.shape[1:])  # (B, T, T)
    for each in (mixed + identity) / 2:
        total = each @ total
    return total
