"""lessons: the losses that the lessons of exercises 18 and 19 quote from trainings, measured again.

Small models of the reference's pieces on the first 300,000 characters of the plays, whose last tenth is held out; the
optimizer is exercise 14's, at a constant rate. Theirs is the number in the lesson. (Exercise 22's table is that of the
benchmark `llama`.)
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch

from bench.measure import Row
from grader.judging.reference import reference_assembly
from lab import baselines, corpora

CHARACTERS, SEEDS, T = 300_000, 3, 32
ROTARY = {"learned positions": False, "rotary positions": True}
PARTS = {  # of a block: whether it has RMSNorm, whether SwiGLU
    "GELU, LayerNorm": (False, False),
    "GELU, RMSNorm": (True, False),
    "SwiGLU, LayerNorm": (False, True),
    "SwiGLU, RMSNorm": (True, True),
}


def rows(_runs: int) -> Iterator[Row]:
    """Means over three seeds, of the loss on held-out windows."""
    torch.set_num_threads(1)
    with reference_assembly() as assembly:
        bench = Table(assembly.exercise)
        pairs = baselines.loss(bench.text[: len(bench.learned_from)], bench.text[len(bench.learned_from) :], 2)
        yield row("18: counting pairs of letters", [pairs])
        for name, rotary in ROTARY.items():
            runs = [bench.lengths(rotary, seed) for seed in range(SEEDS)]
            for times, each in zip((1, 2, 4), zip(*runs, strict=True), strict=True):
                yield row(f"18: {name}, length {times * T}", list(each))
        for name, parts in PARTS.items():
            yield row(f"19: {name}", [bench.parts(*parts, seed, width=48, steps=500) for seed in range(SEEDS)])
        for small in (False, True):
            start = "all matrices from N(0, 0.02)" if small else "feed-forwards as `nn.Linear` draws them"
            for name in ("GELU, LayerNorm", "SwiGLU, RMSNorm"):
                losses = [bench.parts(*PARTS[name], seed, width=64, steps=600, small=small) for seed in range(SEEDS)]
                yield row(f"19: {name}, width 64, {start}", losses)


def row(name: str, losses: list[float]) -> Row:
    """A mean, with the single runs beside it."""
    single = ", ".join(f"{loss:.3f}" for loss in losses)
    return Row(f"lesson {name}", statistics.mean(losses), None, "nats/char", len(losses), single)


class Table:
    """A text, and the pieces of the reference that models are built of."""

    def __init__(self, exercise: Callable[[str], Any]) -> None:
        self.exercise = exercise
        self.gpt, self.training = exercise("ex13_gpt"), exercise("ex14_training")
        self.text = corpora.load("plays").text[:CHARACTERS]
        letters = sorted(set(self.text))
        tokens = torch.tensor([letters.index(letter) for letter in self.text])
        self.vocab_size = len(letters)
        self.learned_from, self.held_out = tokens[: 9 * len(tokens) // 10], tokens[9 * len(tokens) // 10 :]

    def lengths(self, rotary: bool, seed: int) -> list[float]:
        """Train a GPT on windows of 32, with learned positions or exercise 18's; its losses at 32, 64 and 128."""
        torch.manual_seed(seed)
        config = self.gpt.GPTConfig(self.vocab_size, context_length=4 * T, d_model=64, n_heads=4, n_layers=2)
        model = self.gpt.GPT(config)
        if rotary:
            for block in model.blocks:
                block.attention = Causal(self.exercise("ex18_rope").RotaryAttention(64, 4))
                for matrix in block.attention.parameters():
                    torch.nn.init.normal_(matrix, std=0.02)
            torch.nn.init.zeros_(model.position_embedding.weight).requires_grad_(False)
        self.train(model, seed, steps=1200, batch_size=16, lr=3e-3)
        return [self.loss(model, times * T) for times in (1, 2, 4)]

    def parts(self, norm: bool, gate: bool, seed: int, *, width: int, steps: int, small: bool = False) -> float:
        """Train a GPT with some of exercise 19's parts on windows of 32; its loss.

        Args:
            norm: whether RMSNorm takes the place of the layer norm.
            gate: whether SwiGLU takes the place of the feed-forward.
            seed: what weights and batches are drawn from.
            width: D.
            steps: how long to train, with 8 windows for each step.
            small: whether the matrices of the feed-forwards are drawn from N(0, 0.02) too, as all others are.
        """
        modern = self.exercise("ex19_rmsnorm_swiglu")
        torch.manual_seed(seed)
        config = self.gpt.GPTConfig(self.vocab_size, context_length=T, d_model=width, n_heads=4, n_layers=2)
        model = self.gpt.GPT(config)
        for block in model.blocks:
            if gate:
                block.feed_forward = modern.SwiGLU(width, modern.swiglu_width(width))
            else:
                block.feed_forward = self.exercise("ex09_feed_forward").FeedForward(width, 4 * width, "gelu_tanh")
            for matrix in block.feed_forward.parameters() if small else ():
                torch.nn.init.normal_(matrix, std=0.02) if matrix.dim() > 1 else torch.nn.init.zeros_(matrix)
            if norm:
                block.norm1, block.norm2 = modern.RMSNorm(width), modern.RMSNorm(width)
        if norm:
            model.final_norm = modern.RMSNorm(width)
        self.train(model, seed, steps=steps, batch_size=8, lr=5e-3)
        return self.loss(model, T)

    def train(self, model: Any, seed: int, *, steps: int, batch_size: int, lr: float) -> None:
        """Take some steps at a constant rate."""
        generator = torch.Generator().manual_seed(seed)
        optimizer = self.training.AdamW(self.training.parameter_groups(model, 0.1), lr=lr)
        for _ in range(steps):
            x, y = self.training.get_batch(self.learned_from, batch_size, T, generator)
            optimizer.zero_grad()
            model(x, y)[1].backward()
            optimizer.step()

    def loss(self, model: Any, length: int) -> float:
        """The mean over all that is held out, cut into windows of a length."""
        count = (len(self.held_out) - 1) // length
        windows = self.held_out[: count * length + 1]
        with torch.no_grad():
            return float(model(windows[:-1].view(count, length), windows[1:].view(count, length))[1])


class Causal(torch.nn.Module):
    """Rotary attention in the place of a GPT's, whose blocks hand a mask to it; it needs none, being causal."""

    def __init__(self, attention: torch.nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T, D) to (B, T, D)."""
        del mask
        answer: torch.Tensor = self.attention(x)
        return answer
