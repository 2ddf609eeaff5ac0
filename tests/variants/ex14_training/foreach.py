"""Training with operations on whole lists of tensors, windows by `unfold`, and a generator function for the steps.

Good for speed: one call updates all tensors, which saves time where there are many small ones. The operations with
`_foreach_` in their names are private to PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .ex13_gpt import GPT


def get_batch(
    tokens: Tensor, batch_size: int, context_length: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    if tokens.size(0) <= context_length:
        raise ValueError(f"{tokens.size(0)} tokens are too few for a context_length of {context_length}")
    windows = tokens.unfold(0, context_length + 1, 1)  # (N - T, T + 1), a view
    starts = torch.randint(0, windows.size(0), (batch_size,), generator=generator)
    drawn = windows[starts.to(tokens.device)]
    return drawn[:, :-1], drawn[:, 1:]


class AdamW(torch.optim.Optimizer):
    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        if lr < 0:
            raise ValueError(f"lr={lr} < 0")
        if eps < 0:
            raise ValueError(f"eps={eps} < 0")
        if weight_decay < 0:
            raise ValueError(f"weight_decay={weight_decay} < 0")
        for beta in betas:
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"a beta of {beta} is outside [0, 1)")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        result = None
        if closure:
            with torch.enable_grad():
                result = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._update(weights, group)
        return result

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        (first, second), lr = group["betas"], group["lr"]
        for weight in weights:
            if "step" not in self.state[weight]:
                empty = {"first": torch.zeros_like(weight), "second": torch.zeros_like(weight)}
                self.state[weight].update(empty, step=0)
            self.state[weight]["step"] += 1
        gradients = [weight.grad for weight in weights]
        means, squares = ([self.state[weight][name] for weight in weights] for name in ("first", "second"))
        counts = [self.state[weight]["step"] for weight in weights]
        torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, [math.sqrt(1 - second**count) for count in counts])
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(weights, means, roots, [-lr / (1 - first**count) for count in counts])


def cosine_lr(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int) -> float:
    if step < warmup_steps:
        return step * max_lr / warmup_steps
    left = max(total_steps - step, 0) / max(total_steps - warmup_steps, 1)  # from 1 to 0
    return min_lr + (max_lr - min_lr) * math.sin(math.pi * left / 2) ** 2


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    gradients = [one.grad for one in parameters if one.grad is not None]
    if len(gradients) == 0:
        return 0.0
    length = torch.stack(torch._foreach_norm(gradients)).norm().item()
    if length > max_norm:
        torch._foreach_mul_(gradients, max_norm / length)
    return length


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for _, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[parameter.dim() > 1].append(parameter)
    return [{"weight_decay": weight_decay * decays, "params": groups[decays]} for decays in groups]


@torch.no_grad()
def evaluate(
    model: GPT,
    tokens: Tensor,
    batch_size: int,
    context_length: int,
    n_batches: int,
    generator: torch.Generator | None = None,
) -> float:
    training = [module for module in model.modules() if module.training]
    model.eval()
    batches = [get_batch(tokens, batch_size, context_length, generator) for _ in range(n_batches)]
    losses = torch.stack([model(x, y)[1] for x, y in batches])
    for module in training:
        module.training = True
    return losses.mean().item()


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


def updates(model: GPT, tokens: Tensor, config: TrainConfig, state: TrainState) -> Iterator[tuple[int, float, float]]:
    """Make the steps of a training that are left one by one; yields each with its learning rate and its loss."""
    for step in range(state.step + 1, 1 + config.steps):
        rate = cosine_lr(step, config.max_lr, config.min_lr, config.warmup_steps, total_steps=config.steps)
        for group in state.optimizer.param_groups:
            group.update(lr=rate)
        x, y = get_batch(tokens, config.batch_size, model.config.context_length, generator=state.generator)
        loss = model.train()(x, targets=y)[1]
        loss.backward()
        clip_grad_norm(model.parameters(), max_norm=config.grad_clip)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step = step
        yield step, rate, float(loss.detach())


def train(
    model: GPT,
    train_tokens: Tensor,
    val_tokens: Tensor,
    config: TrainConfig,
    on_step: Callable[[int, float], object] | None = None,
    state: TrainState | None = None,
) -> list[dict[str, Any]]:
    state = state or TrainState()
    if state.step == 0:
        torch.manual_seed(config.seed)
        state.optimizer = AdamW(parameter_groups(model, weight_decay=config.weight_decay), betas=config.betas)
        state.generator = torch.Generator()
        state.generator.manual_seed(config.seed)
    context_length = model.config.context_length
    model.zero_grad()
    for step, rate, loss in updates(model, train_tokens, config, state):
        if step == config.steps or not step % config.eval_every:
            again = torch.Generator().manual_seed(config.seed)
            val_loss = evaluate(
                model, val_tokens, config.batch_size, context_length, config.eval_batches, generator=again
            )
            state.history.append(
                {
                    "step": step,
                    "lr": rate,
                    "train_loss": loss,
                    "val_loss": val_loss,
                    "tokens_seen": context_length * config.batch_size * step,
                }
            )
        if on_step:
            on_step(step, loss)
    return state.history
