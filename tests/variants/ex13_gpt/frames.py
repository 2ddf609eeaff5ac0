"""GPT with the frames of exercise 8 around its sublayers, which share the block's norms; subclasses all round.

Good for using what is there: the frames of exercise 8 do the norm, the dropout and the sum.
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
from .ex08_residual_norm import LayerNorm, Residual
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


class CausalAttention(MultiHeadAttention):
    """Self-attention that brings its mask along."""

    def forward(self, query: Tensor, *others: Tensor, **options: object) -> Tensor:  # type: ignore[override]
        return super().forward(query, *others, **{"mask": causal_mask(query.size(1), query.device), **options})


class Block(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.attention_frame = Residual(config.d_model, config.dropout, norm_first=True)
        self.feed_forward_frame = Residual(config.d_model, config.dropout, norm_first=True)
        self.norm1, self.norm2 = self.attention_frame.norm, self.feed_forward_frame.norm
        self.attention = CausalAttention(config.d_model, config.n_heads, config.bias)
        self.feed_forward = FeedForward(config.d_model, config.d_ff, "gelu_tanh", bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.feed_forward_frame(self.attention_frame(x, self.attention), self.feed_forward)


class Embedding(nn.Module):
    """Tokens and positions; it holds no parameters that the model does not hold as well."""

    def __init__(self, tokens: TokenEmbedding, positions: LearnedPositions, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(tokens, positions, nn.Dropout(dropout))

    def forward(self, ids: Tensor) -> Tensor:
        return self.layers(ids)


class GPT(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = TokenEmbedding(vocab_size=config.vocab_size, d_model=config.d_model)
        self.position_embedding = LearnedPositions(max_len=config.context_length, d_model=config.d_model)
        self.embedding = Embedding(self.token_embedding, self.position_embedding, config.dropout)
        self.blocks = nn.ModuleList(map(Block, [config] * config.n_layers))
        self.final_norm = LayerNorm(config.d_model)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        del self.lm_head.weight
        self.lm_head.register_parameter("weight", self.token_embedding.weight)
        for module in self.modules():
            if isinstance(module, nn.Linear | TokenEmbedding | LearnedPositions):
                nn.init.normal_(module.weight, std=0.02)
                if getattr(module, "bias", None) is not None:
                    nn.init.constant_(module.bias, 0)
        for block in self.blocks:
            nn.init.normal_(block.attention.out_proj.weight, std=0.02 / math.sqrt(2 * len(self.blocks)))
            nn.init.normal_(block.feed_forward.down.weight, std=0.02 / math.sqrt(2 * len(self.blocks)))

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if (length := ids.size(1)) > (limit := self.config.context_length):
            raise ValueError(f"T = {length} is longer than context_length = {limit}")
        trunk = nn.Sequential(self.embedding, *self.blocks, self.final_norm, self.lm_head)
        logits = trunk(ids)
        if targets is not None:
            flat = F.log_softmax(logits, dim=-1).reshape(-1, logits.size(-1))
            return logits, F.nll_loss(flat, targets.reshape(-1))
        return logits, None

    def num_parameters(self, trainable_only: bool = True) -> int:
        counted = list(self.parameters())
        if trainable_only:
            counted = [parameter for parameter in counted if parameter.requires_grad]
        return int(sum(map(torch.numel, counted)))


def load_gpt2_weights(model: GPT, state: Mapping[str, Tensor]) -> None:
    given = {name.split("transformer.", 1)[-1]: tensor for name, tensor in state.items()}
    config = model.config
    width, inner = config.d_model, config.d_ff or 4 * config.d_model
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (config.vocab_size, width),
        "wpe.weight": (config.context_length, width),
        "ln_f.weight": (width,),
        "ln_f.bias": (width,),
    }
    for i in range(config.n_layers):
        for name, (rows, columns) in {
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (width, inner),
            "mlp.c_proj": (inner, width),
        }.items():
            shapes[f"h.{i}.{name}.weight"] = (rows, columns)
            shapes[f"h.{i}.{name}.bias"] = (columns,)
        for norm in ("ln_1", "ln_2"):
            shapes[f"h.{i}.{norm}.weight"] = shapes[f"h.{i}.{norm}.bias"] = (width,)
    bad = [name for name, shape in shapes.items() if name not in given or tuple(given[name].shape) != shape]
    if bad:
        raise ValueError(f"missing or of the wrong shape: {bad}")
    with torch.no_grad():
        model.token_embedding.weight.copy_(given["wte.weight"])
        model.position_embedding.weight.copy_(given["wpe.weight"])
        model.final_norm.weight.copy_(given["ln_f.weight"])
        model.final_norm.bias.copy_(given["ln_f.bias"])
        for i, block in enumerate(model.blocks):
            own = {name.removeprefix(f"h.{i}."): given[name] for name in shapes if name.startswith(f"h.{i}.")}
            attention, network = block.attention, block.feed_forward
            for part, layer in enumerate((attention.q_proj, attention.k_proj, attention.v_proj)):
                columns = slice(part * width, (part + 1) * width)
                layer.weight.copy_(own["attn.c_attn.weight"][:, columns].T)
                layer.bias.copy_(own["attn.c_attn.bias"][columns])
            for name, layer in (
                ("attn.c_proj", attention.out_proj),
                ("mlp.c_fc", network.up),
                ("mlp.c_proj", network.down),
            ):
                layer.weight.copy_(own[f"{name}.weight"].T)
                layer.bias.copy_(own[f"{name}.bias"])
            for name, norm in (("ln_1", block.norm1), ("ln_2", block.norm2)):
                norm.weight.copy_(own[f"{name}.weight"])
                norm.bias.copy_(own[f"{name}.bias"])
