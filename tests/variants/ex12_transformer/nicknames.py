"""Parts go by short names as well, which come first in the alphabet; one is a part of a sequence.

Good for moving between code bases: each part can be reached by two names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex03_embeddings import TokenEmbedding
from .ex04_positions import SinusoidalPositions
from .ex06_masks import causal_mask
from .ex10_encoder import Encoder
from .ex11_decoder import Decoder


def shift_right(targets: Tensor, bos_id: int) -> Tensor:
    bos = torch.full_like(targets[:, :1], bos_id)  # (B, 1)
    return torch.cat([bos, targets[:, :-1]], dim=1)  # (B, T)


def label_smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.1, ignore_index: int | None = None
) -> Tensor:
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must lie in 0..1, got {smoothing}")
    vocab_size = logits.size(-1)
    if ignore_index is not None:
        kept = targets != ignore_index  # (B, T)
        logits, targets = logits[kept], targets[kept]  # (N, V), (N,)
    outside = targets[(targets < 0) | (targets >= vocab_size)]
    if len(outside):
        raise ValueError(f"targets must be from 0 to {vocab_size - 1}, and one is {outside[0].item()}")
    log_probs = logits - torch.logsumexp(logits, dim=-1, keepdim=True)  # (..., V)
    right = log_probs.gather(-1, targets[..., None])[..., 0]  # (...)
    return -((1 - smoothing) * right + smoothing * log_probs.mean(-1)).mean()


def noam_lr(step: int, d_model: int, warmup: int) -> float:
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


class Transformer(nn.Module):
    def __init__(
        self,
        src_vocab: int,
        tgt_vocab: int,
        d_model: int = 128,
        n_heads: int = 4,
        n_layers: int = 2,
        d_ff: int = 512,
        max_len: int = 128,
        dropout: float = 0.0,
        pad_id: int = 0,
    ) -> None:
        super().__init__()
        self.pad_id = pad_id
        self.src_embedding = TokenEmbedding(src_vocab, d_model, scale=True)
        self.tgt_embedding = TokenEmbedding(tgt_vocab, d_model, scale=True)
        self.positions = SinusoidalPositions(max_len, d_model)
        self.dropout = nn.Dropout(dropout)
        self.encoder = Encoder(n_layers, d_model, n_heads, d_ff, dropout)
        self.decoder = Decoder(n_layers, d_model, n_heads, d_ff, dropout)
        self.output = nn.Linear(d_model, tgt_vocab)
        self.E, self.D, self.head = self.encoder, self.decoder, self.output
        self.embed_src = nn.Sequential(self.src_embedding, self.positions, self.dropout)
        self.embed_tgt = nn.Sequential(self.tgt_embedding, self.positions, self.dropout)

    def encode(self, src: Tensor) -> Tensor:
        x = self.embed_src(src)  # (B, S, D)
        real = (src != self.pad_id)[:, None, None, :]  # (B, 1, 1, S): for all heads and queries
        return self.encoder(x, real)  # (B, S, D)

    def decode(self, tgt_in: Tensor, memory: Tensor, src: Tensor) -> Tensor:
        y = self.embed_tgt(tgt_in)  # (B, T, D)
        past = causal_mask(tgt_in.size(1), device=tgt_in.device)  # (T, T)
        real = (src != self.pad_id)[:, None, None, :]  # (B, 1, 1, S)
        return self.output(self.decoder(y, memory, past, real))  # (B, T, D), then (B, T, V)

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        return self.decode(tgt_in, self.encode(src), src)


def greedy_decode(model: nn.Module, src: Tensor, bos_id: int, eos_id: int, max_len: int) -> Tensor:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            memory = model.encode(src)  # (B, S, D), once
            written = src.new_full((len(src), 1), bos_id)  # (B, 1)
            done = torch.zeros(len(src), dtype=torch.bool, device=src.device)  # (B,)
            while written.size(1) <= max_len and not done.all():
                logits = model.decode(written, memory, src)  # (B, L, V)
                best = logits[:, -1].argmax(-1).masked_fill(done, model.pad_id)  # (B,)
                done = done | (best == eos_id)
                written = torch.cat([written, best[:, None]], dim=1)  # (B, L + 1)
    finally:
        model.train(was_training)
    return written[:, 1:]
