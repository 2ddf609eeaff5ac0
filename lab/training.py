"""Training that can be interrupted after any step and goes on later as if it never had been.

The loop is the task's: for a text the learner's own `train` of exercise 14, which tells of each step by `on_step` and
keeps in a `TrainState` what it needs to go on.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from lab.errors import LabError
from lab.parallel import Team
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
        team: the processes that train it together.
    """

    def __init__(self, task: Task[Any], model: nn.Module, team: Team | None = None) -> None:
        self.team = team or Team()
        self.task = task
        self.model = model
        self.engine = task.engine(model)  # what the loop sees
        self.config = task.config
        self.device = next(model.parameters()).device
        self.progress = task.training.TrainState()
        self.losses: list[float] = []
        self.samples: dict[int, str] = {}
        torch.manual_seed(self.config.seed)
        self._prepare()

    def _prepare(self) -> None:
        """Have the optimizer and the generator made by the loop that will use them: by a training of no steps.

        A loop that makes them only once it begins is given those of exercise 14; it makes its own again at step 0.
        """
        with contextlib.suppress(Exception):
            self.task.train(self.engine, replace(self.config, steps=0), lambda *_: None, self.progress)
        if self.progress.optimizer is None:
            pieces, config = self.task.training, self.config
            groups = pieces.parameter_groups(self.engine, config.weight_decay)
            self.progress.optimizer = pieces.AdamW(groups, betas=config.betas)
        if self.progress.generator is None:
            self.progress.generator = torch.Generator().manual_seed(self.config.seed)

    @property
    def step(self) -> int:
        """Return how many steps are done."""
        return int(self.progress.step)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows so far."""
        return list(self.progress.history)

    def sample(self, step: int) -> str:
        """Return what the model makes now of what it always gets, kept beside the row of a step."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # a learner's own sampling may draw from the global generator
            self.samples[step] = self.task.sample(self.model)
        return self.samples[step]

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return bool(self.step >= self.config.steps)

    def run(self, after_step: Callable[[float], object] = lambda _: None) -> None:
        """Make the steps that are left; what `after_step(loss)` raises ends the training after that step.

        Raises:
            Diverged: the loss of a step is not finite. The weights are worthless then.
        """

        def on_step(step: int, loss: float) -> None:
            if not math.isfinite(loss):
                raise Diverged(step, self._lr())
            self.losses.append(float(loss))
            after_step(loss)

        self.task.train(self.team.shared(self.engine), self.config, on_step, self.progress)

    def _lr(self) -> float:
        return float(self.progress.optimizer.param_groups[0]["lr"])

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, as tensors and plain values.

        Raises:
            Diverged: a weight is not finite; such a state is not worth keeping.
        """
        weights = self.model.state_dict()
        if not all(torch.isfinite(weight).all() for weight in weights.values() if weight.is_floating_point()):
            raise Diverged(self.step, self._lr())
        return {
            "step": self.step,
            "model": weights,
            "optimizer": self.progress.optimizer.state_dict(),
            "generator": self.progress.generator.get_state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "history": self.history,
            "samples": dict(self.samples),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state.

        Raises:
            LabError: it does not fit the model, as when the exercises have changed since.
        """
        load_weights(self.model, state)
        try:
            self.progress.optimizer.load_state_dict(state["optimizer"])
            self.progress.generator.set_state(state["generator"])
            torch.set_rng_state(state["random"])
            if self.device.type == "cuda" and len(state["random_cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all(state["random_cuda"])
            self.progress.step = state["step"]
            self.losses = state["losses"].tolist()
            self.progress.history = list(state["history"])
            self.samples = dict(state.get("samples", {}))
        except (KeyError, ValueError, RuntimeError, AttributeError, TypeError) as error:
            raise LabError(f"the checkpoint does not fit your optimizer any more ({error}): train a new run") from error


def count(model: nn.Module) -> int:
    """Return how many parameters a model has."""
    return sum(parameter.numel() for parameter in model.parameters())


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
