"""GPT with its loss written out in float64, a mask from positions, and loading through `load_state_dict`.

Good for low precision: the loss is computed in float64. It needs room for the logits a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .ex03_embeddings import TokenEmbedding
from .ex04_positions import LearnedPositions
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
        width, bias = config.d_model, config.bias
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.attention = MultiHeadAttention(width, config.n_heads, bias=bias)
        self.feed_forward = FeedForward(width, config.d_ff, "gelu_tanh", 0.0, bias)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        place = torch.arange(x.size(-2), device=x.device)
        earlier = place <= place.unsqueeze(-1)  # (T, T)
        for norm, sublayer in (
            (self.norm1, lambda h: self.attention(h, mask=earlier)),
            (self.norm2, self.feed_forward),
        ):
            x = torch.add(x, self.drop(sublayer(norm(x))))
        return x


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean surprise at the targets, summed up in float64."""
    precise = logits.double()
    surprise = precise.logsumexp(-1) - precise.gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # (B, T)
    return surprise.mean().to(logits.dtype)


class GPT(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = TokenEmbedding(config.vocab_size, config.d_model, scale=False)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layers)])
        self.position_embedding = LearnedPositions(config.context_length, config.d_model)
        self.final_norm = LayerNorm(config.d_model)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.lm_head.weight = self.token_embedding.weight
        self.register_buffer("born", torch.zeros(1), persistent=False)
        self._draw_weights()

    @torch.no_grad()
    def _draw_weights(self) -> None:
        self.token_embedding.weight.normal_(std=0.02)
        self.position_embedding.weight.normal_(std=0.02)
        small = 0.02 * (2 * self.config.n_layers) ** -0.5
        for block in self.blocks:
            spreads = {"q_proj": 0.02, "k_proj": 0.02, "v_proj": 0.02, "out_proj": small}
            layers = {block.attention.get_submodule(name): spread for name, spread in spreads.items()}
            for layer, spread in (layers | {block.feed_forward.up: 0.02, block.feed_forward.down: small}).items():
                layer.weight.copy_(torch.randn_like(layer.weight) * spread)
                if layer.bias is not None:
                    layer.bias.fill_(0.0)

    def stream(self, ids: Tensor) -> Tensor:
        x = self.position_embedding(self.token_embedding(ids))
        if self.training and self.config.dropout:
            x = nn.functional.dropout(x, self.config.dropout)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        _, length = ids.shape
        if length > self.config.context_length:
            raise ValueError(f"a length of {length} is beyond context_length={self.config.context_length}")
        logits = self.final_norm(self.stream(ids)) @ self.lm_head.weight.T
        return logits, (cross_entropy(logits, targets) if targets is not None else None)

    def num_parameters(self, trainable_only: bool = True) -> int:
        total = 0
        for _, parameter in self.named_parameters():
            if parameter.requires_grad or not trainable_only:
                total += parameter.numel()
        return total


def _renamed(n_layers: int) -> Iterator[tuple[str, list[str]]]:
    """Each published name with the names of the parameters that it fills."""
    yield "wte", ["token_embedding"]
    yield "wpe", ["position_embedding"]
    yield "ln_f", ["final_norm"]
    for i in range(n_layers):
        inside = f"blocks.{i}"
        yield f"h.{i}.attn.c_attn", [f"{inside}.attention.{part}_proj" for part in "qkv"]
        yield f"h.{i}.attn.c_proj", [f"{inside}.attention.out_proj"]
        yield f"h.{i}.mlp.c_fc", [f"{inside}.feed_forward.up"]
        yield f"h.{i}.mlp.c_proj", [f"{inside}.feed_forward.down"]
        yield f"h.{i}.ln_1", [f"{inside}.norm1"]
        yield f"h.{i}.ln_2", [f"{inside}.norm2"]


def load_gpt2_weights(model: GPT, state: Mapping[str, Tensor]) -> None:
    prefix = "transformer." if any(name.startswith("transformer.") for name in state) else ""
    mine = model.state_dict()
    filled: dict[str, Tensor] = {}
    complaints: list[str] = []
    for theirs, names in _renamed(model.config.n_layers):
        for kind in ("weight", "bias"):
            if f"{names[0]}.{kind}" not in mine:
                continue
            published = f"{theirs}.{kind}"
            tensor = state.get(prefix + published)
            if tensor is None:
                complaints.append(f"no {published}")
                continue
            if ".c_" in published:
                tensor = tensor.T
            wanted = [mine[f"{name}.{kind}"].shape for name in names]
            rows = sum(shape[0] for shape in wanted)
            if tensor.shape != (rows, *wanted[0][1:]):
                complaints.append(f"{published} has the wrong shape")
                continue
            for name, part in zip(names, tensor.split(wanted[0][0]), strict=True):
                filled[f"{name}.{kind}"] = part
    if complaints:
        raise ValueError("\n".join(complaints))
    model.load_state_dict(filled, strict=False)
