"""How a model is run while it trains: in which precision, compiled or not, a batch at once or in pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from lab.errors import LabError

PLAIN: dict[str, Any] = {"dtype": "float32", "compile": False, "accumulate": 1}


def settle(given: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return how a model is run on a device, from the options of the command line by their names.

    By itself ("auto"), a GPU that multiplies in bfloat16 does so; everything else runs in float32.
    """
    running = {name: given.get(name, value) for name, value in PLAIN.items()}
    if given.get("dtype", "auto") == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        running["dtype"] = "bfloat16" if fast else "float32"
    return running


class Engine(nn.Module):
    """A model as a training loop sees it: the same parameters and the same `model(x, y)`, run in another way.

    The loop is the learner's, and knows nothing of this. The weights, their gradients and the optimizer stay in
    float32; in bfloat16 run the matrix products, as `torch.autocast` chooses them.

    Args:
        model: `model(x, y)` returns logits and loss.
        dtype: "float32" or "bfloat16".
        compile: whether to run it through `torch.compile`.
        accumulate: into how many pieces a training batch is cut. One piece at a time is in memory; their gradients
            add up to those of the whole batch.
    """

    def __init__(self, model: nn.Module, dtype: str = "float32", compile: bool = False, accumulate: int = 1) -> None:
        super().__init__()
        self.model = model
        self.dtype = getattr(torch, dtype)
        self.accumulate = accumulate
        self.run: Callable[..., Any] = torch.compile(model.forward) if compile else model.forward
        self.compiles = compile  # until it has been seen to work

    def __getattr__(self, name: str) -> Any:
        """Return what the loop asks of its model besides: `config`, and whatever the learner has given it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Logits (B, T, V) and the loss, as the model gives them."""
        if y is None or self.accumulate == 1 or not torch.is_grad_enabled():
            return self.once(x, y)
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        loss, logits = InPieces.apply(self, x, y, *parameters)  # type: ignore[no-untyped-call]
        return logits, loss

    def once(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Any]:
        """One call of the model."""
        try:
            with self.precision(x.device):
                logits, loss = self.run(x, y)
        except Exception as error:
            if self.compiles:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
                raise LabError(f"--compile: PyTorch can't compile your model here ({reason}): leave it out") from error
            raise
        self.compiles = False
        return logits, loss

    def precision(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return a context in which matrix products run in fewer digits."""
        return nullcontext() if self.dtype is torch.float32 else torch.autocast(device.type, self.dtype)


class InPieces(torch.autograd.Function):
    """The loss of a batch whose pieces go forwards and backwards one after the other.

    The gradients are there when the loss is; `backward` hands them out. So a loop that calls `zero_grad` in between,
    and `loss.backward()` once, gets the gradient of the whole batch, and nobody has to hold all of it at once.
    """

    @staticmethod
    def forward(ctx: Any, engine: Engine, x: Tensor, y: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        gradients: list[Tensor | None] = [None] * len(parameters)
        total, rows = torch.zeros((), device=x.device), []
        for x_piece, y_piece in zip(x.chunk(engine.accumulate), y.chunk(engine.accumulate), strict=True):
            with torch.enable_grad():
                logits, loss = engine.once(x_piece, y_piece)
                share: Tensor = loss * (len(x_piece) / len(x))  # a mean over the batch is the mean of its pieces' means
            found = torch.autograd.grad(share, parameters, allow_unused=True)
            gradients = [added(old, new) for old, new in zip(gradients, found, strict=True)]
            total = total + share.detach()
            rows.append(logits.detach())
        ctx.gradients = gradients
        logits = torch.cat(rows)  # (B, T, V)
        ctx.mark_non_differentiable(logits)
        return total, logits

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, None, *(None if g is None else g * outer[0] for g in ctx.gradients))


def added(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    """The sum of two gradients, where None is one that is not there."""
    return new if old is None else old if new is None else old + new
