"""Micro-batches, a train_loss that is measured on the training text, dropout seeded in each step, lists of numbers.

Good for little memory: a batch goes through in pieces. `train_loss` is measured as `val_loss` is, so that the two
can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .ex13_gpt import GPT


def get_batch(
    tokens: Tensor, batch_size: int, context_length: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    needed = context_length + 1
    if len(tokens) < needed:
        raise ValueError(f"a window and its target take {needed} tokens, the corpus has {len(tokens)}")
    text = tokens.tolist()
    starts = torch.randint(0, len(text) - context_length, (batch_size,), generator=generator).tolist()
    windows = torch.tensor([text[s : s + needed] for s in starts], dtype=tokens.dtype, device=tokens.device)
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()


class AdamW(torch.optim.Optimizer):
    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        if lr < 0 or eps < 0 or weight_decay < 0:
            raise ValueError(f"must be 0 or more: lr={lr}, eps={eps}, weight_decay={weight_decay}")
        for beta in betas:
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"beta of {beta} is not in [0, 1)")
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = closure() if closure else None
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, s = p.grad.detach(), self.state[p]
                s["t"] = s.get("t", 0) + 1
                s["first"] = s["first"] * b1 + g * (1 - b1) if "first" in s else g * (1 - b1)
                s["second"] = s["second"] * b2 + g.square() * (1 - b2) if "second" in s else g.square() * (1 - b2)
                # one factor for both corrections, as section 2 of the paper has it; eps is corrected along
                root = math.sqrt(1 - b2 ** s["t"])
                rate = group["lr"] * root / (1 - b1 ** s["t"])
                p.data = p.data - group["lr"] * group["weight_decay"] * p.data
                p.data = p.data - rate * s["first"] / (s["second"].sqrt() + group["eps"] * root)
        return loss


def cosine_lr(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int) -> float:
    if step < warmup_steps:
        return step / warmup_steps * max_lr
    down = max(1, total_steps - warmup_steps)
    done = min(down, step - warmup_steps) / down
    return min_lr + (max_lr - min_lr) * math.cos(math.pi / 2 * done) ** 2 if step < total_steps else min_lr


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    parameters = [p for p in parameters if p.grad is not None]
    total = math.sqrt(sum(p.grad.double().square().sum().item() for p in parameters))
    scale = max_norm / (total + 1e-6)
    if scale < 1:
        for p in parameters:
            p.grad *= scale
    return total


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    by_rank: dict[bool, list[Tensor]] = {True: [], False: []}
    for _, p in model.named_parameters():
        if p.requires_grad:
            by_rank[p.dim() > 1].append(p)
    decays = {True: weight_decay, False: 0.0}
    return [{"params": ps, "weight_decay": decays[matrix]} for matrix, ps in by_rank.items() if ps]


def evaluate(
    model: GPT,
    tokens: Tensor,
    batch_size: int,
    context_length: int,
    n_batches: int,
    generator: torch.Generator | None = None,
) -> float:
    before = model.training
    model.eval()
    try:
        with torch.no_grad():
            batches = [get_batch(tokens, batch_size, context_length, generator) for _ in range(n_batches)]
            _, loss = model(torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]))  # all at once
    finally:
        model.train(before)
    return loss.item()


@dataclass(frozen=True)
class TrainConfig:
    steps: int = 2000
    batch_size: int = 12
    max_lr: float = 1e-3
    min_lr: float = 1e-4
    warmup_steps: int = 100
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    grad_clip: float = 1.0
    eval_every: int = 250
    eval_batches: int = 20
    seed: int = 0


@dataclass
class TrainState:
    step: int = 0
    optimizer: torch.optim.Optimizer | None = None
    generator: torch.Generator | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def train(
    model: GPT,
    train_tokens: Tensor,
    val_tokens: Tensor,
    config: TrainConfig,
    on_step: Callable[[int, float], object] | None = None,
    state: TrainState | None = None,
) -> list[dict[str, Any]]:
    length = model.config.context_length
    if state is None:
        state = TrainState()
    if state.optimizer is None:
        state.optimizer = AdamW(parameter_groups(model, config.weight_decay), lr=config.max_lr, betas=config.betas)
        state.generator = torch.Generator().manual_seed(config.seed)

    def measured(tokens: Tensor) -> float:
        again = torch.Generator().manual_seed(config.seed)
        return evaluate(model, tokens, config.batch_size, length, config.eval_batches, again)

    for step in range(state.step + 1, config.steps + 1):
        torch.manual_seed(1_000_003 * config.seed + step)  # what dropout drops depends on the step alone
        model.train()
        x, y = get_batch(train_tokens, config.batch_size, length, state.generator)
        state.optimizer.zero_grad()
        loss = 0.0
        for one, two in zip(x, y, strict=True):  # one window at a time, for a machine with little memory
            _, part = model(one[None], two[None])
            (part / config.batch_size).backward()
            loss += part.item() / config.batch_size
        clip_grad_norm(model.parameters(), config.grad_clip)
        lr = cosine_lr(step, config.max_lr, config.min_lr, config.warmup_steps, config.steps)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        state.optimizer.step()
        state.step += 1
        if step % config.eval_every == 0 or step == config.steps:
            row = {"step": step, "lr": lr, "tokens_seen": step * config.batch_size * length}
            state.history.append(row | {"train_loss": measured(train_tokens), "val_loss": measured(val_tokens)})
        if on_step is not None:
            on_step(step, loss)
    return state.history
