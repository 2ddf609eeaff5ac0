"""A subclassed embedding with its positions, a stacked shift, torch's log-softmax, and decoding by whole calls.

Good for short code: each step of decoding is a call of the whole model. It reads the source again for every token
that it writes.
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
    columns = [torch.full_like(targets[:, 0], bos_id), *targets.unbind(1)]
    return torch.stack(columns[: targets.size(1)], 1)


def label_smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.1, ignore_index: int | None = None
) -> Tensor:
    if not (smoothing >= 0 and smoothing <= 1):
        raise ValueError(f"smoothing={smoothing}")
    flat, wanted = logits.reshape(-1, logits.size(-1)), targets.reshape(-1)  # (N, V), (N,)
    if ignore_index is not None:
        rows = (wanted != ignore_index).nonzero().flatten()
        flat, wanted = flat.index_select(0, rows), wanted.index_select(0, rows)
    if wanted.numel() and not 0 <= int(wanted.min()) <= int(wanted.max()) < flat.size(-1):
        bad = int(wanted.min()) if int(wanted.min()) < 0 else int(wanted.max())
        raise ValueError(f"targets: {bad} lies outside 0..{flat.size(-1) - 1}")
    log_probs = torch.log_softmax(flat, dim=-1)
    chosen = log_probs[torch.arange(len(wanted), device=flat.device), wanted]
    return -(chosen.mean() * (1 - smoothing) + log_probs.mean() * smoothing)


def noam_lr(step: int, d_model: int, warmup: int) -> float:
    if not step >= 1:
        raise ValueError(f"step={step} comes before the first")
    return float(min(step, warmup * (step / warmup) ** -0.5) * warmup**-1.5 * d_model**-0.5)


class Embedding(TokenEmbedding):
    """Tokens with their positions; the table of positions is lent by the model."""

    def placed(self, ids: Tensor, positions: nn.Module) -> Tensor:
        return positions(self(ids))


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
        shared = {"d_model": d_model, "n_heads": n_heads, "d_ff": d_ff, "dropout": dropout}
        self.positions = SinusoidalPositions(max_len, d_model)
        self.src_embedding, self.tgt_embedding = (Embedding(size, d_model, True) for size in (src_vocab, tgt_vocab))
        self.encoder, self.decoder = Encoder(n_layers, **shared), Decoder(n_layers, **shared)
        self.output = nn.Linear(d_model, tgt_vocab)
        self.pad_id = pad_id

    def encode(self, src: Tensor) -> Tensor:
        padding = torch.eq(src, self.pad_id)
        return self.encoder(self.src_embedding.placed(src, self.positions), ~padding[:, None, None])

    def decode(self, tgt_in: Tensor, memory: Tensor, src: Tensor) -> Tensor:
        return self.forward(src, tgt_in, memory)

    def forward(self, src: Tensor, tgt_in: Tensor, memory: Tensor | None = None) -> Tensor:
        if memory is None:
            memory = self.encode(src)
        heads = (1, 1)
        past = causal_mask(tgt_in.size(1), device=tgt_in.device).expand(*heads, -1, -1)
        seen = torch.ne(src, self.pad_id)[:, None, None]
        return self.output(self.decoder(self.tgt_embedding.placed(tgt_in, self.positions), memory, past, seen))


def greedy_decode(model: nn.Module, src: Tensor, bos_id: int, eos_id: int, max_len: int) -> Tensor:
    """By calls of the whole model, which reads the source anew for each token."""
    was_training = model.training
    model.eval()
    given = torch.full((src.size(0), 1), bos_id, device=src.device)
    ended = torch.zeros_like(given, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(max_len):
            best = model(src, given)[:, -1:].argmax(-1)
            best[ended] = model.pad_id
            given, ended = torch.cat((given, best), 1), ended | best.eq(eos_id)
            if bool(ended.all()):
                break
    if was_training:
        model.train()
    return given[:, 1:]
