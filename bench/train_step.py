"""train-step: CPU time of a training step on one thread, the reference beside torch.nn with fused attention."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.measure import Row, in_turn
from grader.judging.reference import reference_assembly

VOCABULARY, CONTEXT, BATCH, WIDTH, HEADS, LAYERS = 65, 64, 12, 128, 4, 4
STEPS = 10  # per measurement


class TheirBlock(nn.Module):
    """A GPT-2 block of ready-made modules."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        y = self.norm1(x)
        heads = (part(y).view(batch, length, HEADS, width // HEADS) for part in (self.query, self.key, self.value))
        q, k, v = (part.transpose(1, 2) for part in heads)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        out: Tensor = x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))
        return out


class TheirGPT(nn.Module):
    """The same GPT, of ready-made modules; weights as GPT-2 draws them."""

    def __init__(self, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(TheirBlock() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * LAYERS) ** 0.5 if last else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        x = self.tokens(ids) + self.positions(torch.arange(ids.size(1)))
        logits = self.norm(self.blocks(x)) @ self.tokens.weight.T
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def stepper(model: nn.Module, optimizer: torch.optim.Optimizer, clip: Callable[..., Any]) -> Callable[[], float]:
    """A function that makes some training steps and returns the CPU seconds of one."""
    generator = torch.Generator().manual_seed(0)

    def steps() -> float:
        started = time.process_time()
        for _ in range(STEPS):
            ids = torch.randint(VOCABULARY, (BATCH, CONTEXT + 1), generator=generator)
            _, loss = model(ids[:, :-1], ids[:, 1:])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            clip(model.parameters(), 1.0)
            optimizer.step()
        return (time.process_time() - started) / STEPS

    return steps


def rows(runs: int) -> Iterator[Row]:
    """One row: milliseconds of CPU time a step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    theirs = TheirGPT()
    their_optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, weight_decay=0.1)
    with reference_assembly() as reference:
        gpt, training = reference.exercise("ex13_gpt"), reference.exercise("ex14_training")
        config = gpt.GPTConfig(VOCABULARY, CONTEXT, d_model=WIDTH, n_heads=HEADS, n_layers=LAYERS)
        ours = gpt.GPT(config)
        optimizer = training.AdamW(training.parameter_groups(ours, 0.1), lr=1e-3)
        mine, other = in_turn(
            stepper(ours, optimizer, training.clip_grad_norm),
            stepper(theirs, their_optimizer, nn.utils.clip_grad_norm_),
            5 * runs,
        )
    yield Row(
        "train-step", 1e3 * mine, 1e3 * other, "ms CPU", 5 * runs, "theirs: torch.nn, fused attention; at most 1.05x"
    )
