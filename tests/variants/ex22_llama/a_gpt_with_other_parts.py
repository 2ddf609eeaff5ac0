"""A base class with the loop, a block that is a `ModuleDict` inside, guards that look at values, weights in groups.

Good for several models: whatever makes logits shares the loss and the loop of the base class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        self.parts = nn.ModuleDict()  # a second path to the same parts
        self.attention = GroupedQueryAttention(config.d_model, config.n_heads, config.n_kv_heads, config.rope_base)
        self.feed_forward = SwiGLU(config.d_model, config.d_ff)
        for name in ("attention", "feed_forward"):
            norm = RMSNorm(config.d_model, config.norm_eps)
            self.add_module(f"{name}_norm", norm)
            self.parts[f"norm of {name}"] = norm

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        assert x.dim() == 3, x.shape
        mixed = x + self.attention(self.attention_norm(x), cache, layer)
        return mixed + self.feed_forward(self.feed_forward_norm(mixed))


class LanguageModel(nn.Module):
    def logits(self, ids: Tensor, cache: KVCache | None) -> Tensor:
        raise NotImplementedError

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, cache: KVCache | None = None
    ) -> tuple[Tensor, Tensor | None]:
        logits = self.logits(ids, cache)
        if targets is None:
            return logits, None
        assert targets.shape == ids.shape
        return logits, F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


class Llama(LanguageModel):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config, depth = config, config.n_layers
        self.token_embedding = TokenEmbedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(LlamaBlock(config) for _ in range(depth))
        self.final_norm = RMSNorm(config.d_model, config.norm_eps)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        nn.init.normal_(self.lm_head.weight, std=0.02)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        for block in self.blocks:
            attention, network = block.attention, block.feed_forward
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj, network.gate, network.up):
                nn.init.normal_(linear.weight, std=0.02)
            for linear in (attention.out_proj, network.down):
                nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * depth))
        if config.tied:
            self.lm_head.weight = self.token_embedding.weight

    def logits(self, ids: Tensor, cache: KVCache | None) -> Tensor:
        held = 0 if cache is None else cache.held(0)
        if held + ids.shape[1] > self.config.context_length:
            raise ValueError(f"{held + ids.shape[1]} tokens, {held} of them in the cache, are too many for the context")
        x = self.token_embedding(ids)
        for i, block in enumerate(self.blocks):
            x = block(x, cache, layer=i)
        return self.lm_head(self.final_norm(x))


def entries(model: Llama) -> Iterator[tuple[str, nn.Parameter]]:
    yield "model.embed_tokens.weight", model.token_embedding.weight
    for i, block in enumerate(model.blocks):
        here = f"model.layers.{i}"
        yield f"{here}.input_layernorm.weight", block.attention_norm.weight
        for theirs, mine in (("q_proj", "q_proj"), ("k_proj", "k_proj"), ("v_proj", "v_proj"), ("o_proj", "out_proj")):
            yield f"{here}.self_attn.{theirs}.weight", getattr(block.attention, mine).weight
        yield f"{here}.post_attention_layernorm.weight", block.feed_forward_norm.weight
        for part in ("gate", "up", "down"):
            yield f"{here}.mlp.{part}_proj.weight", getattr(block.feed_forward, part).weight
    yield "model.norm.weight", model.final_norm.weight
    if model.lm_head.weight is not model.token_embedding.weight:
        yield "lm_head.weight", model.lm_head.weight


@torch.no_grad()
def load_llama_weights(model: Llama, state: Mapping[str, Tensor]) -> None:
    missing = [name for name, _ in entries(model) if name not in state]
    misshapen = [name for name, mine in entries(model) if name in state and state[name].size() != mine.size()]
    if missing or misshapen:
        raise ValueError(f"missing: {missing}; of another shape: {misshapen}")
    for name, mine in entries(model):
        mine[...] = state[name].to(mine.dtype)
