"""Names as paths: the checkpoint is read by a list of replacements; the loss is written out.

Good for other checkpoints: names are a list of replacements, and another format is another list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
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
        c = config
        self.feed_forward = SwiGLU(c.d_model, c.d_ff, bias=False)
        self.attention = GroupedQueryAttention(
            d_model=c.d_model, n_heads=c.n_heads, n_kv_heads=c.n_kv_heads, base=c.rope_base, bias=False
        )
        self.attention_norm, self.feed_forward_norm = (RMSNorm(c.d_model, eps=c.norm_eps) for _ in range(2))

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        h = self.attention_norm(x)
        h = self.attention(h, cache=cache, layer=layer)
        x = torch.add(x, h)
        return torch.add(x, self.feed_forward(self.feed_forward_norm(x)))


class Llama(nn.Module):
    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList()
        for _ in range(config.n_layers):
            self.blocks.append(LlamaBlock(config))
        self.token_embedding = TokenEmbedding(config.vocab_size, config.d_model)
        self.final_norm = RMSNorm(config.d_model, config.norm_eps)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.register_buffer("calls", torch.zeros(()), persistent=False)
        self.apply(self._start)
        small = 0.02 / math.sqrt(2 * config.n_layers)
        for block in self.blocks:
            for linear in (block.attention.out_proj, block.feed_forward.down):
                linear.weight.data.normal_(0.0, small)
        self.token_embedding.weight.data.normal_(0.0, 0.02)
        if config.tied:
            del self.lm_head.weight
            self.lm_head.weight = self.token_embedding.weight

    @staticmethod
    def _start(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(mean=0.0, std=0.02)

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, cache: KVCache | None = None
    ) -> tuple[Tensor, Tensor | None]:
        already = cache.held(0) if cache is not None else 0
        total = already + ids.shape[-1]
        if total > self.config.context_length:
            raise ValueError(f"ids: {total} positions, but context_length is {self.config.context_length}")
        h = self.token_embedding(ids)
        for number in range(len(self.blocks)):
            h = self.blocks[number](h, cache=cache, layer=number)
        logits = self.lm_head(self.final_norm(h))
        if targets is None:
            return logits, None
        chosen = torch.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1))
        return logits, -chosen.mean()


PATHS = (
    ("token_embedding.", "model.embed_tokens."),
    ("final_norm.", "model.norm."),
    ("blocks.", "model.layers."),
    (".attention_norm.", ".input_layernorm."),
    (".feed_forward_norm.", ".post_attention_layernorm."),
    (".attention.out_proj.", ".self_attn.o_proj."),
    (".attention.", ".self_attn."),
    (".feed_forward.gate.", ".mlp.gate_proj."),
    (".feed_forward.up.", ".mlp.up_proj."),
    (".feed_forward.down.", ".mlp.down_proj."),
)


def load_llama_weights(model: Llama, state: Mapping[str, Tensor]) -> None:
    wanted = {}
    for name, parameter in model.named_parameters():  # a tied head is listed once, under its first name
        theirs = "token_embedding.weight" if parameter is model.token_embedding.weight else name
        for mine, published in PATHS:
            theirs = theirs.replace(mine, published)
        wanted[theirs] = parameter
    wrong = [name for name, parameter in wanted.items() if name not in state or state[name].shape != parameter.shape]
    if wrong:
        raise ValueError("these entries are missing or have another shape: " + ", ".join(sorted(wrong)))
    for name, parameter in wanted.items():
        parameter.data.copy_(state[name])
