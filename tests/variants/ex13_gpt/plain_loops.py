"""GPT with exercise 12's loss, a causal attention by inheritance, weights drawn by modules, asserts on values.

Good for using what is there: the loss of exercise 12, and an attention that always has its mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .ex03_embeddings import TokenEmbedding
from .ex04_positions import LearnedPositions
from .ex07_multi_head import MultiHeadAttention
from .ex08_residual_norm import LayerNorm
from .ex09_feed_forward import FeedForward
from .ex12_transformer import label_smoothed_cross_entropy


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
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        at = torch.arange(x.size(1), device=x.device)
        out = super().forward(x, mask=at[:, None] >= at)
        assert isinstance(out, Tensor)
        return out


class Block(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        width = config.d_model
        self.feed_forward = FeedForward(width, config.d_ff, "gelu_tanh", config.dropout, config.bias)
        self.norm2 = LayerNorm(width)
        self.attention = CausalAttention(width, config.n_heads, config.bias, config.dropout)
        self.norm1 = LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.isnan(x).any(), "the stream holds NaN"
        stream = torch.add(x, self.attention(self.norm1(x)))
        return torch.add(stream, self.feed_forward(self.norm2(stream)))


class GPT(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.token_embedding = TokenEmbedding(config.vocab_size, config.d_model)
        self.token_embedding.weight = self.lm_head.weight
        self.position_embedding = LearnedPositions(config.context_length, config.d_model)
        self.final_norm = LayerNorm(config.d_model)
        self.blocks = nn.ModuleList()
        for _ in range(config.n_layers):
            self.blocks.append(Block(config))
        self.draw()

    @torch.no_grad()
    def draw(self) -> None:
        for table in (self.lm_head.weight, self.position_embedding.weight):
            table.copy_(torch.randn_like(table) * 0.02)
        for block in self.blocks:
            writers = (block.attention.out_proj, block.feed_forward.down)
            for module in block.modules():
                if isinstance(module, nn.Linear):
                    module.weight.normal_(0, 0.02 * ((2 * len(self.blocks)) ** -0.5 if module in writers else 1))
                    if module.bias is not None:
                        module.bias.fill_(0)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        if ids.shape[1] > self.config.context_length:
            raise ValueError(f"{ids.shape[1]} tokens do not fit")
        h = self.position_embedding(self.token_embedding(ids))
        for block in self.blocks:
            h = block(h)
        logits = self.final_norm(h) @ self.lm_head.weight.T
        if targets is None:
            return logits, None
        return logits, label_smoothed_cross_entropy(logits, targets, smoothing=0.0)

    def num_parameters(self, trainable_only: bool = True) -> int:
        each = {id(p): p for p in self.parameters()}
        return sum(p.nelement() for p in each.values() if p.requires_grad or not trainable_only)


def load_gpt2_weights(model: GPT, state: Mapping[str, Tensor]) -> None:
    plain = {name[len("transformer.") :] if name.startswith("transformer.") else name: t for name, t in state.items()}
    wanted: dict[str, tuple[tuple[int, ...], list[tuple[Tensor, bool]]]] = {}

    def want(name: str, *parameters: Tensor, turned: bool = False) -> None:
        shape = (sum(p.shape[0] for p in parameters), *parameters[0].shape[1:])
        wanted[name] = (shape[::-1] if turned else shape, [(p, turned) for p in parameters])

    want("wte.weight", model.token_embedding.weight)
    want("wpe.weight", model.position_embedding.weight)
    want("ln_f.weight", model.final_norm.weight)
    want("ln_f.bias", model.final_norm.bias)
    for i, block in enumerate(model.blocks):
        a, f = block.attention, block.feed_forward
        for name, norm in (("ln_1", block.norm1), ("ln_2", block.norm2)):
            want(f"h.{i}.{name}.weight", norm.weight)
            want(f"h.{i}.{name}.bias", norm.bias)
        qkv = (a.q_proj, a.k_proj, a.v_proj)
        for name, layers in {"attn.c_attn": qkv, "attn.c_proj": (a.out_proj,), "mlp.c_fc": (f.up,)}.items():
            want(f"h.{i}.{name}.weight", *(layer.weight for layer in layers), turned=True)
            want(f"h.{i}.{name}.bias", *(layer.bias for layer in layers))
        want(f"h.{i}.mlp.c_proj.weight", f.down.weight, turned=True)
        want(f"h.{i}.mlp.c_proj.bias", f.down.bias)

    wrong = [name for name, (shape, _) in wanted.items() if name not in plain or tuple(plain[name].shape) != shape]
    if wrong:
        raise ValueError("missing or misshapen: " + ", ".join(wrong))
    with torch.no_grad():
        for name, (_, homes) in wanted.items():
            at = 0
            for parameter, turned in homes:
                values = plain[name].T if turned else plain[name]
                parameter.copy_(values[at : at + len(parameter)])
                at += len(parameter)
