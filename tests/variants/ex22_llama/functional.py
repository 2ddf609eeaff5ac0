"""The head as a function of a table, chosen once; `functools.reduce` over the blocks; `load_state_dict` at the end.

Good for short code: the stream is a fold over the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .ex03_embeddings import TokenEmbedding
from .ex17_kv_cache import KVCache
from .ex19_rmsnorm_swiglu import RMSNorm, SwiGLU
from .ex20_grouped_query import GroupedQueryAttention


@dataclass
class LlamaConfig:
    vocab_size: int
    context_length: int
    d_model: int = 128
    n_heads: int = 4
    n_kv_heads: int = 2
    n_layers: int = 4
    d_ff: int = 344
    rope_base: float = 10000.0
    norm_eps: float = 1e-5
    tied: bool = True


class LlamaBlock(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        assert config.n_heads % config.n_kv_heads == 0
        self.attention_norm = RMSNorm(config.d_model, config.norm_eps)
        self.feed_forward_norm = RMSNorm(config.d_model, config.norm_eps)
        self.attention = GroupedQueryAttention(config.d_model, config.n_heads, config.n_kv_heads, config.rope_base)
        self.feed_forward = SwiGLU(config.d_model, config.d_ff)

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        sublayers = (
            lambda h: self.attention(self.attention_norm(h), cache, layer),
            lambda h: self.feed_forward(self.feed_forward_norm(h)),
        )
        return reduce(lambda h, sublayer: h + sublayer(h), sublayers, x)


class Llama(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = TokenEmbedding(config.vocab_size, config.d_model)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied:
            self.token_embedding.weight = self.lm_head.weight
        self.final_norm = RMSNorm(config.d_model, config.norm_eps)
        self.blocks = nn.ModuleList([LlamaBlock(config) for _ in range(config.n_layers)])
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.dim() > 1:
                    writes = "out_proj" in name or "down" in name
                    weight.copy_(torch.randn_like(weight) * 0.02 * ((2 * config.n_layers) ** -0.5 if writes else 1.0))

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, cache: KVCache | None = None
    ) -> tuple[Tensor, Tensor | None]:
        count = ids.size(1)
        if cache is not None:
            count += cache.held(0)
        assert ids.numel() > 0 and ids.min() >= 0
        if count > self.config.context_length:
            raise ValueError(f"context_length = {self.config.context_length} has no room for {count} tokens")
        numbered = enumerate(self.blocks)
        x = reduce(lambda h, each: each[1](h, cache, each[0]), numbered, self.token_embedding(ids))
        logits = F.linear(self.final_norm(x), self.lm_head.weight)
        loss = None if targets is None else F.cross_entropy(logits.transpose(1, 2), targets)
        return logits, loss


def load_llama_weights(model: Llama, state: Mapping[str, Tensor]) -> None:
    tied = model.config.tied
    fresh: dict[str, Tensor] = {}
    problems: list[str] = []

    def take(mine: str, theirs: str) -> None:
        value, due = state.get(theirs), model.state_dict()[mine]
        if value is None:
            problems.append(f"no {theirs}")
        elif tuple(value.shape) != tuple(due.shape):
            problems.append(f"{theirs}: {list(value.shape)} instead of {list(due.shape)}")
        else:
            fresh[mine] = value

    take("token_embedding.weight", "model.embed_tokens.weight")
    take("final_norm.weight", "model.norm.weight")
    if not tied:
        take("lm_head.weight", "lm_head.weight")
    for i in range(len(model.blocks)):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        take(f"{ours}.attention_norm.weight", f"{theirs}.input_layernorm.weight")
        take(f"{ours}.feed_forward_norm.weight", f"{theirs}.post_attention_layernorm.weight")
        for letter in "qkv":
            take(f"{ours}.attention.{letter}_proj.weight", f"{theirs}.self_attn.{letter}_proj.weight")
        take(f"{ours}.attention.out_proj.weight", f"{theirs}.self_attn.o_proj.weight")
        for part in ("gate", "up", "down"):
            take(f"{ours}.feed_forward.{part}.weight", f"{theirs}.mlp.{part}_proj.weight")
    if problems:
        raise ValueError("\n".join(problems))
    model.load_state_dict(fresh, strict=False)
