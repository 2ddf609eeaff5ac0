"""Loops over rows and tokens with `.tolist()`, asserts on values, errors in other words, dropout on the embeddings.

Good for stepping through with a debugger: rows and tokens are lists. It is slow for real batches.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .ex03_embeddings import TokenEmbedding
from .ex04_positions import SinusoidalPositions
from .ex10_encoder import Encoder
from .ex11_decoder import Decoder


def shift_right(targets: Tensor, bos_id: int) -> Tensor:
    rows = [[bos_id, *row[:-1]] for row in targets.tolist()]
    return torch.tensor(rows, dtype=targets.dtype, device=targets.device)


def label_smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.1, ignore_index: int | None = None
) -> Tensor:
    if smoothing < 0 or smoothing > 1:
        raise ValueError(f"{smoothing} is not a share")
    vocab_size, losses = logits.shape[-1], []
    for row, line in enumerate(targets.tolist()):
        kept = [at for at, target in enumerate(line) if target != ignore_index]
        for at in kept:
            if line[at] not in range(vocab_size):
                raise ValueError(f"there is no token {line[at]}")
        if not kept:
            continue
        scores = logits[row, kept]
        surprise = torch.logsumexp(scores, -1, keepdim=True) - scores  # (kept, V) -log p
        due = surprise[torch.arange(len(kept)), [line[at] for at in kept]]
        losses.append((1 - smoothing) * due + smoothing * surprise.sum(-1) / vocab_size)
    return torch.cat(losses).mean()


def noam_lr(step: int, d_model: int, warmup: int) -> float:
    if step <= 0:
        raise ValueError(f"there is no step {step}")
    if step < warmup:
        return step / (warmup * math.sqrt(d_model * warmup))
    return 1 / math.sqrt(d_model * step)


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
        if d_model % 2:
            raise ValueError(f"a width of {d_model} is odd")
        if not 0 <= dropout <= 1:
            raise ValueError(f"{dropout} is no probability")
        sizes = (n_layers, d_model, n_heads, d_ff, dropout)
        self.output = nn.Linear(d_model, tgt_vocab)
        self.decoder, self.encoder = Decoder(*sizes), Encoder(*sizes)
        self.positions = SinusoidalPositions(max_len, d_model)
        self.tgt_embedding = TokenEmbedding(tgt_vocab, d_model, True)
        self.src_embedding = TokenEmbedding(src_vocab, d_model, True)
        self.pad_id, self.p, self.longest = pad_id, dropout, max_len

    def embedded(self, ids: Tensor, table: TokenEmbedding) -> Tensor:
        if ids.size(1) > self.longest:
            raise ValueError(f"{ids.size(1)} tokens are too many")
        return nn.functional.dropout(self.positions(table(ids)), self.p, self.training)

    def shown(self, src: Tensor) -> Tensor | None:
        real = src.ne(self.pad_id)
        return None if bool(real.all()) else real[:, None, None]

    def encode(self, src: Tensor) -> Tensor:
        return self.encoder(self.embedded(src, self.src_embedding), self.shown(src))

    def decode(self, tgt_in: Tensor, memory: Tensor, src: Tensor) -> Tensor:
        length = tgt_in.size(1)
        past = [[there <= here for there in range(length)] for here in range(length)]
        causal = torch.tensor(past, device=tgt_in.device)
        hidden = self.decoder(self.embedded(tgt_in, self.tgt_embedding), memory, causal, self.shown(src))
        assert torch.isfinite(hidden).all()
        return self.output(hidden)

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        memory = self.encode(src)
        return self.decode(tgt_in, memory, src)


def greedy_decode(model: nn.Module, src: Tensor, bos_id: int, eos_id: int, max_len: int) -> Tensor:
    mode = model.training
    rows: list[list[int]] = [[] for _ in src]
    with torch.inference_mode():
        memory = model.eval().encode(src)
        for _ in range(max_len):
            begun = torch.tensor([[bos_id, *row] for row in rows], device=src.device)
            said = model.decode(begun, memory, src)[:, -1].max(-1).indices.tolist()
            for row, token in zip(rows, said, strict=True):
                row.append(int(model.pad_id) if eos_id in row else token)
    model.train(mode)
    return torch.tensor(rows, dtype=torch.int64, device=src.device).reshape(len(src), -1)
