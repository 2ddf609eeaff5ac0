"""Training by a class that holds the run; the optimizer keeps float64 averages and is called with a closure.

Good for a run as an object that can be looked at. Averages in float64 round less and take twice the memory.
"""

from __future__ import annotations

import contextlib
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
    starts = tokens.numel() - context_length
    if starts <= 0:
        raise ValueError(f"tokens has {tokens.numel()} entries, and {context_length + 1} are the least")
    drawn = (torch.rand(batch_size, dtype=torch.float64, generator=generator) * starts).floor().long()
    places = torch.add(drawn.unsqueeze(1), torch.arange(context_length + 1)).to(tokens.device)  # (B, T + 1)
    both = torch.take(tokens, places)
    return both[:, :context_length].clone(), both[:, 1:].clone()


class AdamW(torch.optim.Optimizer):
    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        given = {"lr": lr, "eps": eps, "weight_decay": weight_decay}
        negative = [f"{name} {value}" for name, value in given.items() if value < 0]
        if negative:
            raise ValueError(f"negative: {', '.join(negative)}")
        for position, beta in enumerate(betas):
            if beta < 0 or beta >= 1:
                raise ValueError(f"betas[{position}] is {beta}")
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        with torch.enable_grad():
            answer = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in filter(lambda p: p.grad is not None, group["params"]):
                parameter -= self._way(parameter, group).to(parameter.dtype)
        return answer

    def _way(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """What is taken off a parameter in this step, in float64."""
        state, gradient = self.state[parameter], parameter.grad.to(torch.float64)
        if len(state) == 0:
            state["step"] = torch.zeros((), dtype=torch.int64)
            state["averages"] = [torch.zeros_like(gradient), torch.zeros_like(gradient)]
        state["step"] = state["step"] + 1
        hats = []
        for i, (beta, power) in enumerate(zip(group["betas"], (1, 2), strict=True)):
            average = state["averages"][i].to(torch.float64)
            state["averages"][i] = average + (1 - beta) * (gradient**power - average)
            hats.append(state["averages"][i] / (1 - beta ** state["step"].item()))
        decay = group["weight_decay"] * parameter.to(torch.float64)
        return group["lr"] * (decay + hats[0] / (hats[1].sqrt() + group["eps"]))


def cosine_lr(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int) -> float:
    if 0 <= step < warmup_steps:
        return max_lr / warmup_steps * step
    turn = 1.0 if step >= total_steps else (step - warmup_steps) / (total_steps - warmup_steps)
    middle, swing = (max_lr + min_lr) / 2, (max_lr - min_lr) / 2
    return middle + swing * math.cos(math.pi * turn)


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    gradients = []
    for parameter in parameters:
        if parameter.grad is not None:
            gradients.append(parameter.grad)
    if not gradients:
        return 0.0
    everything = torch.cat([gradient.reshape(-1) for gradient in gradients])
    norm = everything.norm(p=2).item()
    scale = max_norm / norm if norm > max_norm else 1.0
    for gradient in gradients:
        gradient *= scale
    return norm


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    unique = list(dict.fromkeys(parameter for parameter in model.parameters() if parameter.requires_grad))
    matrices = [parameter for parameter in unique if len(parameter.shape) not in (0, 1)]
    rest = [parameter for parameter in unique if len(parameter.shape) in (0, 1)]
    return [dict(params=rest, weight_decay=0.0), dict(params=matrices, weight_decay=weight_decay)]


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def evaluate(
    model: GPT,
    tokens: Tensor,
    batch_size: int,
    context_length: int,
    n_batches: int,
    generator: torch.Generator | None = None,
) -> float:
    mean = 0.0
    with evaluation_mode(model), torch.no_grad():
        for count in range(1, n_batches + 1):
            x, y = get_batch(tokens, batch_size, context_length, generator)
            mean += (model(x, targets=y)[1].item() - mean) / count
    return mean


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


class Trainer:
    """One run of a training: the model, the texts, and where it stands."""

    def __init__(self, model: GPT, texts: tuple[Tensor, Tensor], config: TrainConfig, state: TrainState) -> None:
        self.model, self.config, self.state = model.train(), config, state
        self.train_tokens, self.val_tokens = texts
        if not state.step:
            torch.manual_seed(config.seed)
            state.optimizer = AdamW(parameter_groups(model, config.weight_decay), betas=config.betas)
            state.generator = torch.Generator().manual_seed(config.seed)
        self.shape = (config.batch_size, model.config.context_length)
        self.lr = 0.0

    def backward(self) -> float:
        """The closure of a step: the loss of a batch, and its gradients, clipped."""
        self.state.optimizer.zero_grad()
        x, y = get_batch(self.train_tokens, *self.shape, generator=self.state.generator)
        loss = self.model(x, y)[-1]
        loss.backward()
        clip_grad_norm(self.model.parameters(), self.config.grad_clip)
        return loss.item()

    def step(self, number: int) -> float:
        c = self.config
        self.lr = cosine_lr(number, c.max_lr, c.min_lr, c.warmup_steps, c.steps)
        for group in self.state.optimizer.param_groups:
            group["lr"] = self.lr
        loss = self.state.optimizer.step(self.backward)
        self.state.step = number
        return loss

    def row(self, number: int, loss: float) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(self.config.seed)
        val_loss = evaluate(
            self.model, self.val_tokens, *self.shape, n_batches=self.config.eval_batches, generator=generator
        )
        seen = number * self.shape[0] * self.shape[1]
        return {"step": number, "train_loss": loss, "val_loss": val_loss, "lr": self.lr, "tokens_seen": seen}


def train(
    model: GPT,
    train_tokens: Tensor,
    val_tokens: Tensor,
    config: TrainConfig,
    on_step: Callable[[int, float], object] | None = None,
    state: TrainState | None = None,
) -> list[dict[str, Any]]:
    trainer = Trainer(model, (train_tokens, val_tokens), config, state or TrainState())
    rows = {*range(config.eval_every, config.steps + 1, config.eval_every), config.steps}
    for number in range(trainer.state.step + 1, config.steps + 1):
        loss = trainer.step(number)
        if number in rows:
            trainer.state.history.append(trainer.row(number, loss))
        (on_step or (lambda *_: None))(number, loss)
    return trainer.state.history
