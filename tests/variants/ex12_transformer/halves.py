"""Helper functions and masks from lengths; decoding in one buffer that is filled to the end.

Good for decoding without growing tensors: one buffer is as long as the result may be.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex03_embeddings import TokenEmbedding
from .ex04_positions import SinusoidalPositions
from .ex06_masks import causal_mask, padding_mask
from .ex10_encoder import Encoder
from .ex11_decoder import Decoder


def shift_right(targets: Tensor, bos_id: int) -> Tensor:
    return nn.functional.pad(targets, (1, 0), value=bos_id)[:, :-1]


def check_targets(targets: Tensor, kept: Tensor, vocab_size: int) -> None:
    wrong = kept & ((targets < 0) | (targets > vocab_size - 1))
    if wrong.any():
        raise ValueError(f"targets hold {int(targets[wrong][0])}, and the vocabulary has {vocab_size} tokens")


def label_smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.1, ignore_index: int | None = None
) -> Tensor:
    if not 0.0 <= smoothing <= 1.0:
        raise ValueError(f"smoothing is {smoothing}; it must be from 0 to 1")
    kept = torch.ones_like(targets, dtype=torch.bool)
    if ignore_index is not None:
        kept = targets != ignore_index
    check_targets(targets, kept, logits.size(-1))
    highest = logits.max(dim=-1, keepdim=True).values.detach()
    shifted = logits - highest
    normaliser = shifted.exp().sum(dim=-1).log()  # (B, T)
    safe = targets.masked_fill(~kept, 0)
    score = shifted.gather(-1, safe.unsqueeze(-1)).squeeze(-1)
    plain, even = normaliser - score, normaliser - shifted.mean(dim=-1)
    losses = plain + smoothing * (even - plain)
    return torch.where(kept, losses, torch.zeros_like(losses)).sum() / kept.sum()


def noam_lr(step: int, d_model: int, warmup: int) -> float:
    if step < 1:
        raise ValueError(f"step is {step}; the first one is 1")
    rising, falling = step / warmup**1.5, 1 / step**0.5
    return (rising if rising < falling else falling) / d_model**0.5


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
        sizes = (n_layers, d_model, n_heads, d_ff)
        self.pad_id = pad_id
        for side, vocab_size in (("src", src_vocab), ("tgt", tgt_vocab)):
            self.add_module(f"{side}_embedding", TokenEmbedding(vocab_size, d_model, scale=True))
        self.positions = SinusoidalPositions(max_len, d_model)
        self.drop = nn.Dropout(p=dropout)
        self.encoder = Encoder(*sizes, dropout=dropout, norm_first=False)
        self.decoder = Decoder(*sizes, dropout=dropout, norm_first=False)
        self.output = nn.Linear(in_features=d_model, out_features=tgt_vocab, bias=True)

    def embedded(self, side: str, ids: Tensor) -> Tensor:
        return self.drop(self.positions(getattr(self, f"{side}_embedding")(ids)))

    def readable(self, src: Tensor) -> Tensor:
        lengths = src.ne(self.pad_id).sum(1)  # (B,)
        return padding_mask(lengths, src.size(1))[:, None]

    def encode(self, src: Tensor) -> Tensor:
        x = self.embedded("src", src)
        return self.encoder(x, self.readable(src).reshape(len(src), 1, 1, -1))

    def decode(self, tgt_in: Tensor, memory: Tensor, src: Tensor) -> Tensor:
        y = self.embedded("tgt", tgt_in)
        past = causal_mask(tgt_in.size(1), device=y.device)[None, None]
        return self.output(self.decoder(y, memory, past, self.readable(src).reshape(len(src), 1, 1, -1)))

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        return self.decode(tgt_in=tgt_in, memory=self.encode(src=src), src=src)


@torch.no_grad()
def greedy_decode(model: nn.Module, src: Tensor, bos_id: int, eos_id: int, max_len: int) -> Tensor:
    mode = model.training
    try:
        model.train(False)
        memory = model.encode(src)
        written = torch.full((src.size(0), max_len + 1), model.pad_id, device=src.device)
        written[:, 0] = bos_id
        running = torch.ones(src.size(0), dtype=torch.bool, device=src.device)
        for step in range(max_len):  # to the end, though all may have ended
            logits = model.decode(written[:, : step + 1], memory, src)[:, step]
            written[:, step + 1] = torch.where(running, logits.argmax(dim=-1), model.pad_id)
            running &= written[:, step + 1] != eos_id
        return written[:, 1:]
    finally:
        model.train(mode)
