"""Guards and asserts, a running mean as train_loss, a copy of the model that is evaluated, rows made up for later.

Good for evaluating without touching the model that is trained: a copy is evaluated.
"""

from __future__ import annotations

import copy
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
    if len(tokens) <= context_length:
        message = f"tokens of length {len(tokens)}: at least {context_length + 1} are needed"
        raise ValueError(message)
    assert batch_size >= 1
    assert int(tokens.min()) >= 0, "ids are not negative"
    offsets = torch.arange(context_length + 1)
    x, y = [], []
    for _ in range(batch_size):
        start = torch.randint(low=0, high=len(tokens) - context_length, size=(1,), generator=generator).item()
        window = tokens[(start + offsets).to(tokens.device)]
        x.append(window[:-1])
        y.append(window[1:])
    return torch.stack(x), torch.stack(y)


class AdamW(torch.optim.Optimizer):
    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        options = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if eps < 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if not (0.0 <= betas[0] < 1.0 and 0.0 <= betas[1] < 1.0):
            raise ValueError(f"Invalid beta parameters: {betas[0]}, {betas[1]}")
        super().__init__(params, options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, **group)
        return loss

    def _move(
        self, p: Tensor, lr: float, betas: tuple[float, float], eps: float, weight_decay: float, **_: Any
    ) -> None:
        state = self.state[p]
        if "moments" not in state:
            state["moments"] = torch.zeros(2, *p.shape, dtype=torch.float32, device=p.device).to(p.dtype)
            state["powers"] = [1.0, 1.0]
        beta1, beta2 = betas
        state["powers"] = [state["powers"][0] * beta1, state["powers"][1] * beta2]
        first, second = state["moments"]
        first += (1 - beta1) * (p.grad - first)
        second += (1 - beta2) * (p.grad * p.grad - second)
        unbiased = [moment / (1 - power) for moment, power in zip((first, second), state["powers"], strict=True)]
        p.copy_((1 - lr * weight_decay) * p - lr * unbiased[0].div(unbiased[1].sqrt() + eps))


def cosine_lr(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int) -> float:
    if warmup_steps and step < warmup_steps:
        return max_lr * step / warmup_steps
    if step >= total_steps:
        return min_lr
    angle = math.pi * (step - warmup_steps) / (total_steps - warmup_steps)
    return 0.5 * (max_lr + min_lr + (max_lr - min_lr) * math.cos(angle))


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    grads = tuple(p.grad for p in parameters if p.grad is not None)
    norm = math.hypot(*(float(g.norm()) for g in grads)) if grads else 0.0
    if norm > max_norm > 0:
        for g in grads:
            g.div_(norm / max_norm)
    return norm


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decay, rest = [], []
    for p in model.parameters():
        if not p.requires_grad:
            continue
        if p.ndim < 2:
            rest.append(p)
        else:
            decay.append(p)
    return [dict(params=decay, weight_decay=weight_decay), dict(params=rest, weight_decay=0.0)]


def evaluate(
    model: GPT,
    tokens: Tensor,
    batch_size: int,
    context_length: int,
    n_batches: int,
    generator: torch.Generator | None = None,
) -> float:
    still = copy.deepcopy(model).eval()  # the model itself is left in peace
    losses = []
    with torch.no_grad():
        for _ in range(n_batches):
            for x, y in zip(*get_batch(tokens, batch_size, context_length, generator), strict=True):
                losses.append(still(x.unsqueeze(0), y.unsqueeze(0))[1])
    return torch.stack(losses).mean().item()


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
    if state is None:
        state = TrainState()
    started = state.step > 0
    if not started:
        state.optimizer = AdamW(parameter_groups(model, config.weight_decay), betas=config.betas)
        state.generator = torch.Generator().manual_seed(config.seed)
        state.mean, state.row = 0.0, None  # a state may carry more than it is made with
        torch.manual_seed(config.seed)
    B, T = config.batch_size, model.config.context_length

    def catch_up() -> None:
        """Write the row that the last step has called for, if it is not written yet."""
        if state.row is not None:
            generator = torch.Generator().manual_seed(config.seed)
            val_loss = evaluate(model, val_tokens, B, T, config.eval_batches, generator)
            state.history.append(state.row | {"val_loss": val_loss})
            state.row = None

    catch_up()
    for step in range(state.step + 1, config.steps + 1):
        model.train()
        state.optimizer.zero_grad()
        x, y = get_batch(train_tokens, B, T, state.generator)
        _, loss = model(x, y)
        assert loss.isfinite(), f"the loss of step {step} is {loss}"
        loss.backward()
        clip_grad_norm(model.parameters(), config.grad_clip)
        lr = cosine_lr(step, config.max_lr, config.min_lr, config.warmup_steps, config.steps)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        state.optimizer.step()
        state.mean = loss.item() if step == 1 else 0.9 * state.mean + 0.1 * loss.item()
        state.step = step
        if step % config.eval_every == 0 or step == config.steps:
            state.row = {"step": step, "train_loss": state.mean, "lr": lr, "tokens_seen": B * T * step}
        if on_step:
            on_step(step, loss.item())
        catch_up()
    return state.history
