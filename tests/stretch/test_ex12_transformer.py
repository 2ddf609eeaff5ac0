"""What the stretch goals of exercise 12 must do."""

from __future__ import annotations

import torch
from torch import nn

from grader.checks import Exercise, Random, check

BOS, EOS = 1, 2


class Chain(nn.Module):
    """Predicts the next token from the one before it alone."""

    pad_id = 0

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def encode(self, src: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*src.shape, 4)

    def decode(self, tgt_in: torch.Tensor, memory: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        assert len(tgt_in) == len(memory) == len(src)
        return self.logits[tgt_in]

    def forward(self, src: torch.Tensor, tgt_in: torch.Tensor) -> torch.Tensor:
        return self.decode(tgt_in, self.encode(src), src)


def model_of(rows: dict[int, dict[int, float]]) -> Chain:
    """A chain with these probabilities of a token after another; all others are 1e-9."""
    table = torch.full((6, 6), 1e-9)
    for before, row in rows.items():
        for token, probability in row.items():
            table[before, token] = probability
    return Chain(table.log()).eval()


SRC = torch.tensor([[3, 4, 2]])


@check("the most probable text, where its first token is not the most probable one")
def test_beam(ex: Exercise, rng: Random):
    model = model_of({BOS: {3: 0.6, 4: 0.4}, 3: {EOS: 0.35, 4: 0.33, 5: 0.32}, 4: {EOS: 0.9, 3: 0.1}, 5: {EOS: 1.0}})
    return {"wide": ex.beam_search(model, SRC, BOS, EOS, 6, 2), "greedy": ex.beam_search(model, SRC, BOS, EOS, 6, 1)}


@check("a text that has ended is kept, and may be overtaken by one that goes on", after=test_beam)
def test_beam_of_ended_texts(ex: Exercise, rng: Random):
    model = model_of(
        {BOS: {3: 0.55, EOS: 0.45}, 3: {4: 0.95, EOS: 0.05}, 4: {5: 0.95, 3: 0.05}, 5: {EOS: 0.95, 3: 0.05}}
    )
    loop = model_of({BOS: {3: 0.7, EOS: 0.3}, 3: {3: 0.5, EOS: 0.5}})
    return {
        "overtaken": ex.beam_search(model, SRC, BOS, EOS, 8, 3),
        "kept": ex.beam_search(loop, SRC, BOS, EOS, 8, 4),
        "cut": ex.beam_search(model, SRC, BOS, EOS, 2, 3),
    }


@check("a vocabulary that is drawn, beams of several widths", after=test_beam)
def test_beam_of_any_width(ex: Exercise, rng: Random):
    model = Chain(rng.tensor(6, 6, dtype=torch.float64, scale=1.5)).eval()
    return {f"beam {width}": ex.beam_search(model, SRC, BOS, EOS, 7, width) for width in (1, 2, 3, 5, 40)}
