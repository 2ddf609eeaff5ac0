"""Training as the papers print it: slices that are stacked, hats and all, sums of squares, one list per thing.

Good for reading beside the papers, line by line. It makes new tensors where in-place operations would not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from math import inf, pi
from typing import Any

import torch
from torch import Tensor, nn

from .ex13_gpt import GPT


def get_batch(
    tokens: Tensor, batch_size: int, context_length: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    last = len(tokens) - context_length - 1
    if last < 0:
        raise ValueError(f"tokens: {len(tokens)} of them do not make one window of {context_length} and its target")
    starts = [int(torch.randint(0, last + 1, (), generator=generator)) for _ in range(batch_size)]
    x = torch.stack([tokens[start : start + context_length] for start in starts])
    y = torch.stack([tokens[start + 1 : start + 1 + context_length] for start in starts])
    return x, y


class AdamW(torch.optim.Optimizer):
    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        for name in ("lr", "eps", "weight_decay"):
            if not options[name] >= 0:
                raise ValueError(f"{name} = {options[name]}")
        if min(betas) < 0 or max(betas) >= 1:
            raise ValueError(f"betas = {betas}")
        super().__init__(params, options)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = closure() if closure is not None else None
        with torch.no_grad():
            for group in self.param_groups:
                for w in group["params"]:
                    if w.grad is not None:
                        w.copy_(self.updated(w, w.grad, **{k: v for k, v in group.items() if k in self.defaults}))
        return loss

    def updated(
        self, w: Tensor, g: Tensor, lr: float, betas: tuple[float, float], eps: float, weight_decay: float
    ) -> Tensor:
        """The weight after its step, as a new tensor."""
        beta1, beta2 = betas
        state = self.state[w]
        t = state.get("step", torch.tensor(0)) + 1
        m = beta1 * state.get("exp_avg", 0.0) + (1 - beta1) * g
        v = beta2 * state.get("exp_avg_sq", 0.0) + (1 - beta2) * g**2
        state["step"], state["exp_avg"], state["exp_avg_sq"] = t, m, v
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        return w - lr * weight_decay * w - lr * m_hat / (v_hat**0.5 + eps)


def cosine_lr(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int) -> float:
    if step < warmup_steps:
        rate = max_lr * (step / warmup_steps)
    elif step < total_steps:
        angle = torch.tensor(pi * (step - warmup_steps) / (total_steps - warmup_steps))
        share = 0.5 * (1.0 + angle.cos().item())
        rate = share * max_lr + (1 - share) * min_lr
    else:
        rate = min_lr
    return rate


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    have = [p for p in list(parameters) if p.grad is not None]
    squares = sum(float(p.grad.double().pow(2).sum()) for p in have)
    norm = float(squares) ** 0.5
    factor = 1.0 if norm <= max_norm or max_norm == inf else max_norm / norm
    if factor != 1.0:
        for p in have:
            p.grad.copy_(p.grad * factor)
    return norm


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    seen: set[int] = set()
    groups: list[dict[str, Any]] = []
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                groups.append({"params": [parameter], "weight_decay": weight_decay if parameter.ndim >= 2 else 0.0})
    return groups


def evaluate(
    model: GPT,
    tokens: Tensor,
    batch_size: int,
    context_length: int,
    n_batches: int,
    generator: torch.Generator | None = None,
) -> float:
    was_training = model.training
    model.train(False)
    losses = []
    with torch.inference_mode():
        while len(losses) < n_batches:
            losses.append(float(model(*get_batch(tokens, batch_size, context_length, generator))[1]))
    model.train(was_training)
    return sum(losses) / len(losses)


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
    if state.step > 0:
        optimizer, draws = state.optimizer, state.generator
    else:
        torch.manual_seed(config.seed)
        draws = torch.Generator()
        draws.manual_seed(config.seed)
        optimizer = AdamW(parameter_groups(model, config.weight_decay), lr=0.0, betas=config.betas)
    options = asdict(config)
    schedule = {"total_steps": config.steps} | {name: options[name] for name in ("max_lr", "min_lr", "warmup_steps")}
    length, history, step = model.config.context_length, list(state.history), state.step
    model.train()
    while step < config.steps:
        step += 1
        for group in optimizer.param_groups:
            group["lr"] = cosine_lr(step, **schedule)
        x, y = get_batch(train_tokens, config.batch_size, length, draws)
        for parameter in model.parameters():
            parameter.grad = None
        _, loss = model(x, y)
        loss.backward()
        clip_grad_norm(model.parameters(), config.grad_clip)
        optimizer.step()
        if step % config.eval_every == 0 or step == config.steps:
            held_out = evaluate(
                model,
                val_tokens,
                config.batch_size,
                length,
                config.eval_batches,
                torch.Generator().manual_seed(config.seed),
            )
            history += [dict(step=step, train_loss=loss.item(), val_loss=held_out, lr=optimizer.param_groups[0]["lr"])]
            history[-1]["tokens_seen"] = step * x.numel()
        state.step, state.optimizer, state.generator, state.history = step, optimizer, draws, list(history)
        if on_step is not None:
            on_step(step, loss.item())
    return history
