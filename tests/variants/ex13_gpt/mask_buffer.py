"""GPT as small public ones write it: the mask is a buffer, `apply` draws the weights, the head lends its table.

Good for reading small public GPTs, which are often written like this. The mask is made once, as long as the
context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        self.register_buffer("causal", causal_mask(config.context_length))
        self.feed_forward = FeedForward(
            d_model=config.d_model,
            d_ff=config.d_ff,
            activation="gelu_tanh",
            dropout=config.dropout,
            bias=config.bias,
        )
        self.attention = MultiHeadAttention(
            d_model=config.d_model, n_heads=config.n_heads, bias=config.bias, dropout=config.dropout
        )
        self.norm2 = LayerNorm(config.d_model)
        self.norm1 = LayerNorm(config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        normed = self.norm1(x)
        attended = self.attention(normed, normed, normed, mask=self.causal[None, None, :length, :length])
        stream = x + attended
        return stream + self.feed_forward(self.norm2(stream))


class GPT(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.final_norm = LayerNorm(config.d_model)
        self.blocks = nn.ModuleList()
        for _ in range(config.n_layers):
            self.blocks.append(Block(config))
        self.token_embedding = TokenEmbedding(config.vocab_size, config.d_model)
        self.token_embedding.weight = self.lm_head.weight
        self.position_embedding = LearnedPositions(config.context_length, config.d_model)
        self.embedding_dropout = nn.Dropout(config.dropout)
        self.config = config
        self.apply(self._start)
        for block in self.blocks:
            for writes in (block.attention.out_proj, block.feed_forward.down):
                with torch.no_grad():
                    writes.weight /= (2 * config.n_layers) ** 0.5

    @staticmethod
    def _start(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if ids.shape[-1] > self.config.context_length:
            raise ValueError(f"got {ids.shape[-1]} tokens; context_length is {self.config.context_length}")
        stream = self.embedding_dropout(self.position_embedding(self.token_embedding(ids)))
        for layer in range(len(self.blocks)):
            stream = self.blocks[layer](stream)
        logits = self.lm_head(self.final_norm(stream))
        loss = None if targets is None else F.cross_entropy(logits.transpose(1, 2), targets)
        return logits, loss

    def num_parameters(self, trainable_only: bool = True) -> int:
        distinct = {id(parameter): parameter for parameter in self.parameters()}
        return sum(
            parameter.numel() for parameter in distinct.values() if not trainable_only or parameter.requires_grad
        )


def load_gpt2_weights(model: GPT, state: Mapping[str, Tensor]) -> None:
    def entry(name: str) -> Tensor | None:
        return state[name] if name in state else state.get(f"transformer.{name}")

    homes: list[tuple[str, Tensor, bool]] = [
        ("wte.weight", model.token_embedding.weight, False),
        ("wpe.weight", model.position_embedding.weight, False),
        ("ln_f.weight", model.final_norm.weight, False),
        ("ln_f.bias", model.final_norm.bias, False),
    ]
    fused: list[tuple[str, list[Tensor], bool]] = []
    for i, block in enumerate(model.blocks):
        for name, module in (("ln_1", block.norm1), ("ln_2", block.norm2)):
            homes += [(f"h.{i}.{name}.{kind}", getattr(module, kind), False) for kind in ("weight", "bias")]
        for name, module in (
            ("attn.c_proj", block.attention.out_proj),
            ("mlp.c_fc", block.feed_forward.up),
            ("mlp.c_proj", block.feed_forward.down),
        ):
            homes += [
                (f"h.{i}.{name}.weight", module.weight, True),
                (f"h.{i}.{name}.bias", module.bias, False),
            ]
        three = (block.attention.q_proj, block.attention.k_proj, block.attention.v_proj)
        fused += [
            (f"h.{i}.attn.c_attn.weight", [one.weight for one in three], True),
            (f"h.{i}.attn.c_attn.bias", [one.bias for one in three], False),
        ]
    wrong, plan = [], []
    for name, parts, turned in [(name, [home], turned) for name, home, turned in homes] + fused:
        found = entry(name)
        shape = list(parts[0].shape)
        shape[0] *= len(parts)
        if found is None:
            wrong.append(f"{name}: not there")
        elif list(found.shape) != (shape[::-1] if turned else shape):
            wrong.append(f"{name}: {list(found.shape)}")
        else:
            plan += list(zip(parts, torch.chunk(found.t() if turned else found, len(parts), dim=0), strict=True))
    if wrong:
        raise ValueError("these entries do not fit: " + ", ".join(wrong))
    for home, values in plan:
        home.data.copy_(values)
