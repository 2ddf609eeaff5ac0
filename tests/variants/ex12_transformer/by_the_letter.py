"""The paper's formulas written out, in double precision: target distributions, a case distinction, rows one by one.

Good for checking against the paper, formula by formula. A whole target distribution takes V numbers for each token.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .ex03_embeddings import TokenEmbedding
from .ex04_positions import SinusoidalPositions
from .ex06_masks import causal_mask, combine_masks
from .ex10_encoder import Encoder
from .ex11_decoder import Decoder


def shift_right(targets: Tensor, bos_id: int) -> Tensor:
    shifted = targets.roll(1, dims=-1)
    shifted[:, 0] = bos_id
    return shifted


def label_smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.1, ignore_index: int | None = None
) -> Tensor:
    if smoothing < 0 or smoothing > 1:
        raise ValueError(f"a smoothing of {smoothing} is no share")
    vocab_size = logits.shape[-1]
    counts = torch.ones_like(targets, dtype=torch.bool) if ignore_index is None else targets.ne(ignore_index)
    for target in targets[counts].unique().tolist():
        if not 0 <= target < vocab_size:
            raise ValueError(f"{target} is none of the targets that there are, 0 to {vocab_size - 1}")
    wanted = torch.full(logits.shape, smoothing / vocab_size, dtype=torch.float64, device=logits.device)  # (B, T, V)
    wanted += (1 - smoothing) * nn.functional.one_hot(torch.where(counts, targets, 0), vocab_size).double()
    surprise = -logits.double().log_softmax(-1)  # (B, T, V)
    losses = (wanted * surprise).sum(-1)  # (B, T)
    return (losses[counts].sum() / counts.sum()).to(logits.dtype)


def noam_lr(step: int, d_model: int, warmup: int) -> float:
    if step <= 0:
        raise ValueError(f"there is no step {step}")
    if step < warmup:
        return step / (math.sqrt(d_model) * warmup * math.sqrt(warmup))
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
        self.output = nn.Linear(d_model, tgt_vocab)
        self.decoder = Decoder(n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_ff=d_ff, dropout=dropout)
        self.encoder = Encoder(n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_ff=d_ff, dropout=dropout)
        self.positions = SinusoidalPositions(max_len=max_len, d_model=d_model)
        self.src_embedding = TokenEmbedding(src_vocab, d_model, scale=True)
        self.tgt_embedding = TokenEmbedding(tgt_vocab, d_model, scale=True)
        self.register_buffer("pad", torch.tensor(pad_id), persistent=False)
        self.pad_id = pad_id

    def real(self, src: Tensor) -> Tensor:
        return src.ne(self.pad_id).unsqueeze(1).unsqueeze(2)

    def encode(self, src: Tensor) -> Tensor:
        return self.encoder(self.positions(self.src_embedding(src)), mask=self.real(src))

    def decode(self, tgt_in: Tensor, memory: Tensor, src: Tensor) -> Tensor:
        length = tgt_in.shape[1]
        own = combine_masks(causal_mask(length, device=src.device), tgt_in.new_ones(1, 1, dtype=torch.bool))
        seen = self.decoder(
            self.positions(self.tgt_embedding(tgt_in)), memory, self_mask=own, memory_mask=self.real(src)
        )
        return self.output(seen)

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        memory = self.encode(src)
        return self.decode(tgt_in, memory, src)


def greedy_decode(model: nn.Module, src: Tensor, bos_id: int, eos_id: int, max_len: int) -> Tensor:
    training = model.training
    model.eval()
    rows = []
    with torch.inference_mode():
        for source in src.split(1):
            memory, row = model.encode(source), [bos_id]
            while len(row) <= max_len and row[-1] != eos_id:
                given = torch.tensor([row], device=src.device)
                row.append(int(model.decode(given, memory, source)[0, -1].argmax()))
            rows.append(row[1:])
    model.train(training)
    longest = max(map(len, rows), default=0)
    padded = [row + [model.pad_id] * (longest - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.int64, device=src.device).reshape(len(src), longest)
