"""Training that can be interrupted after any step and goes on later as if it never had been.

The loop is that of exercise 14's `train`, made of the same pieces in the same order, so that it gives the same history.
What is particular to a task, the task does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lab.errors import LabError
from lab.task import Task


class Diverged(LabError):
    """The loss is no longer a number."""

    exit_code = 1

    def __init__(self, step: int, lr: float) -> None:
        super().__init__(
            f"the loss is no longer a number at step {step:,} (learning rate {lr:.2g}). "
            f"The last checkpoint before it is kept. Train again with a smaller learning rate: --lr {lr / 3:.1g}"
        )


class Training:
    """A model with everything that its training needs to go on.

    Args:
        task: what is trained, and with which `TrainConfig` of exercise 14.
        model: its model, trained in place, on the device that it is on.
    """

    def __init__(self, task: Task[Any], model: nn.Module) -> None:
        self.task = task
        self.pieces = task.pieces.training
        self.model = model
        self.config = config = task.config
        self.device = next(model.parameters()).device
        groups = self.pieces.parameter_groups(model, config.weight_decay)
        self.optimizer = self.pieces.AdamW(groups, betas=config.betas)
        self.generator = torch.Generator().manual_seed(config.seed)
        torch.manual_seed(config.seed)  # dropout draws from the global generator
        self.step = 0
        self.losses: list[float] = []
        self.history: list[dict[str, Any]] = []
        model.train()

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return bool(self.step >= self.config.steps)

    def advance(self) -> float:
        """Make one step, evaluate the model if it is time to, and return the loss of the step's batch.

        Raises:
            Diverged: the loss or the gradient is not finite; the weights are then as they were before the step.
        """
        config, step = self.config, self.step + 1
        lr = self.task.learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        loss = self.task.loss(self.model, self.generator)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = self.pieces.clip_grad_norm(self.model.parameters(), config.grad_clip)
        train_loss = float(loss.item())
        if not (math.isfinite(train_loss) and math.isfinite(norm)):
            raise Diverged(step, lr)
        self.optimizer.step()

        self.step = step
        self.losses.append(train_loss)
        if step % config.eval_every == 0 or step == config.steps:
            self.history.append(self._row(train_loss, lr))
        return train_loss

    def _row(self, train_loss: float, lr: float) -> dict[str, Any]:
        return {
            "step": self.step,
            "train_loss": train_loss,
            **self.task.evaluate(self.model),
            "lr": lr,
            "tokens_seen": self.step * self.task.tokens_per_step,
        }

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, as tensors and plain values.

        Raises:
            Diverged: a weight is not finite; such a state is not worth keeping.
        """
        weights = self.model.state_dict()
        if not all(torch.isfinite(weight).all() for weight in weights.values() if weight.is_floating_point()):
            raise Diverged(self.step, self.optimizer.param_groups[0]["lr"])
        return {
            "step": self.step,
            "model": weights,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "history": self.history,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state.

        Raises:
            LabError: it does not fit the model, as when the exercises have changed since.
        """
        load_weights(self.model, state)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
            self.generator.set_state(state["generator"])
            torch.set_rng_state(state["random"])
            if self.device.type == "cuda" and len(state["random_cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all(state["random_cuda"])
            self.step = state["step"]
            self.losses = state["losses"].tolist()
            self.history = list(state["history"])
        except (KeyError, ValueError, RuntimeError, AttributeError, TypeError) as error:
            raise LabError(f"the checkpoint does not fit your optimizer any more ({error}): train a new run") from error


def load_weights(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Put the weights of a checkpoint into a model of the same sizes.

    Raises:
        LabError: they don't fit.
    """
    try:
        model.load_state_dict(state["model"])
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise LabError(f"the checkpoint does not fit your model any more ({reason}): train a new run") from error
