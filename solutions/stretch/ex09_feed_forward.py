"""What solves the stretch goals of exercise 9."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ex09_feed_forward import FeedForward


def memory_parts(layer: FeedForward, x: Tensor) -> Tensor:
    """What each hidden unit adds to the output.

    Source: Geva et al. 2021, section 2.
    """
    seen: list[Tensor] = []
    hook = layer.down.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    layer(x)
    hook.remove()
    return seen[0].unsqueeze(-1) * layer.down.weight.T  # (B, T, F, 1) * (F, D) -> (B, T, F, D)


def kept_units(layer: FeedForward, units: Sequence[int]) -> FeedForward:
    """The same layer with some of its hidden units alone."""
    new, places = copy.deepcopy(layer), list(units)
    d_model, bias = layer.up.in_features, layer.up.bias is not None
    new.up = nn.Linear(d_model, len(places), bias=bias).to(layer.up.weight)
    new.down = nn.Linear(len(places), d_model, bias=layer.down.bias is not None).to(layer.down.weight)
    with torch.no_grad():
        new.up.weight.copy_(layer.up.weight[places])
        new.down.weight.copy_(layer.down.weight[:, places])
        if bias:
            new.up.bias.copy_(layer.up.bias[places])
        if layer.down.bias is not None:
            new.down.bias.copy_(layer.down.bias)
    return new
