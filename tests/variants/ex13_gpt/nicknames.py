"""The parts stand in a dictionary under GPT-2's own names, and go by those that are asked for as well.

Good for loading GPT-2: the parts have the names of its checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .ex03_embeddings import TokenEmbedding
from .ex04_positions import LearnedPositions
from .ex06_masks import causal_mask
from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm
from .ex09_feed_forward import FeedForward


@dataclass
class GPTConfig:
    vocab_size: int
    context_length: int
    d_model: int = 128
    n_heads: int = 4
    n_layers: int = 4
    d_ff: int | None = None
    dropout: float = 0.0
    bias: bool = True


class Block(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.norm1 = LayerNorm(config.d_model)
        self.attn = self.attention = MultiHeadAttention(config.d_model, config.n_heads, config.bias, config.dropout)
        self.norm2 = LayerNorm(config.d_model)
        self.feed_forward = FeedForward(config.d_model, config.d_ff, "gelu_tanh", bias=config.bias)
        self.c_proj, self.ln_1 = self.attn.out_proj, self.norm1
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        mask = causal_mask(x.size(1), x.device)  # (T, T)
        x = x + self.dropout(self.attention(self.norm1(x), mask=mask))  # (B, T, D)
        return x + self.dropout(self.feed_forward(self.norm2(x)))  # (B, T, D)


class GPT(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = TokenEmbedding(config.vocab_size, config.d_model)
        self.position_embedding = LearnedPositions(config.context_length, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.final_norm = LayerNorm(config.d_model)
        parts = {"wte": self.token_embedding, "wpe": self.position_embedding, "h": self.blocks, "ln_f": self.final_norm}
        self.body = nn.ModuleDict(parts)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.lm_head.weight = self.token_embedding.weight  # one parameter, two names

        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.endswith(("attention.out_proj.weight", "feed_forward.down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layers))
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        for block in self.blocks:
            nn.init.normal_(block.c_proj.weight, std=0.02 / math.sqrt(2 * config.n_layers))

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        length, longest = ids.size(1), self.config.context_length
        if length > longest:
            raise ValueError(f"ids has {length} positions, more than context_length = {longest}")
        x = self.dropout(self.position_embedding(self.token_embedding(ids)))  # (B, T, D)
        for block in self.blocks:
            x = block(x)  # (B, T, D)
        logits = self.lm_head(self.final_norm(x))  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B*T, V), (B*T,)

    def num_parameters(self, trainable_only: bool = True) -> int:
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not trainable_only)


def load_gpt2_weights(model: GPT, state: Mapping[str, Tensor]) -> None:
    if not model.config.bias:
        raise ValueError("model has config.bias = False, and so no place for the biases of GPT-2")
    state = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
    homes: dict[str, list[nn.Module]] = {
        "wte": [model.token_embedding],
        "wpe": [model.position_embedding],
        "ln_f": [model.final_norm],
    }
    for i, block in enumerate(model.blocks):
        attention, feed_forward = block.attention, block.feed_forward
        homes |= {
            f"h.{i}.ln_1": [block.norm1],
            f"h.{i}.attn.c_attn": [attention.q_proj, attention.k_proj, attention.v_proj],
            f"h.{i}.attn.c_proj": [attention.out_proj],
            f"h.{i}.ln_2": [block.norm2],
            f"h.{i}.mlp.c_fc": [feed_forward.up],
            f"h.{i}.mlp.c_proj": [feed_forward.down],
        }

    problems, copies = [], []
    for home, modules in homes.items():
        for kind, _ in modules[0].named_parameters():  # "weight", and "bias" where there is one
            name, parts = f"{home}.{kind}", [getattr(module, kind) for module in modules]
            flipped = kind == "weight" and isinstance(modules[0], nn.Linear)
            shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
            shape = shape[::-1] if flipped else shape
            if name not in state:
                problems.append(f"{name} is missing")
            elif state[name].shape != shape:
                problems.append(f"{name} has shape {tuple(state[name].shape)}, not {shape}")
            else:
                values = state[name].T if flipped else state[name]
                copies += zip(parts, values.chunk(len(parts)), strict=True)
    if problems:
        raise ValueError(f"state does not fit the model: {'; '.join(problems)}")
    with torch.no_grad():
        for parameter, values in copies:
            parameter.copy_(values)
