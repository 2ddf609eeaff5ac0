"""What solves the stretch goals of exercise 13."""

import torch
from torch import Tensor

from ex13_gpt import GPT, GPTConfig


def parameter_count(config: GPTConfig) -> int:
    """How many numbers a model of these sizes learns."""
    width = config.d_model
    inner = 4 * width if config.d_ff is None else config.d_ff
    attention = 4 * width * width + 4 * width * config.bias
    feed_forward = 2 * width * inner + (inner + width) * config.bias
    block = attention + feed_forward + 2 * 2 * width  # two norms, each with a scale and a shift
    return (config.vocab_size + config.context_length) * width + config.n_layers * block + 2 * width


def logit_lens(model: GPT, ids: Tensor) -> Tensor:
    """The logits after no block, one block, two blocks and so on."""
    x = model.position_embedding(model.token_embedding(ids))  # (B, T, D)
    states = [x]
    for block in model.blocks:
        states.append(block(states[-1]))
    return model.lm_head(model.final_norm(torch.stack(states)))  # (L + 1, B, T, V)
