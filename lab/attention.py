"""Looking into a transformer while it works: where the decoder's cross-attention looked."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@torch.no_grad()
def cross_attention(model: nn.Module, src: Tensor, tgt_in: Tensor) -> list[np.ndarray]:
    """The weights of each layer's `cross_attention`, one call of the model long, in evaluation mode.

    Whoever wrote the layers, and however they call their attention: what a layer gives it is given to it once more,
    this time with the wish to see the weights.

    Args:
        model: a `Transformer` of exercise 12.
        src: (1, S) the source.
        tgt_in: (1, T) what the decoder is given.

    Returns:
        For each layer (H, T, S). Fewer if a layer doesn't call its `cross_attention`.
    """
    seen: dict[int, np.ndarray] = {}
    handles = []
    for number, layer in enumerate(model.decoder.layers):  # type: ignore[union-attr, arg-type]

        def look(
            attention: nn.Module, args: tuple[Any, ...], options: dict[str, Any], _: Any, number: int = number
        ) -> None:
            given = inspect.signature(attention.forward).bind(*args, **options)
            given.arguments["return_weights"] = True
            _, weights = attention.forward(*given.args, **given.kwargs)
            seen[number] = weights[0].float().cpu().numpy()

        handles.append(layer.cross_attention.register_forward_hook(look, with_kwargs=True))
    was_training = model.training
    model.eval()
    try:
        model(src, tgt_in)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return [seen[number] for number in sorted(seen)]
