"""What trains where exercise 14 is not there yet: PyTorch's own optimizer, and the records that a loop keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

AdamW = torch.optim.AdamW
clip_grad_norm = nn.utils.clip_grad_norm_


@dataclass(frozen=True)
class TrainConfig:
    """The fields of exercise 14's `TrainConfig`."""

    steps: int
    batch_size: int
    max_lr: float
    min_lr: float
    warmup_steps: int
    weight_decay: float
    betas: tuple[float, float]
    grad_clip: float
    eval_every: int
    eval_batches: int
    seed: int


@dataclass
class TrainState:
    """Where a training stands, as exercise 14's `TrainState` keeps it."""

    step: int = 0
    optimizer: Any = None
    generator: torch.Generator | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """All parameters in one group, for a recipe without decay."""
    return [{"params": list(model.parameters()), "weight_decay": weight_decay}]
