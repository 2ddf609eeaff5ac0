"""What solves the stretch goals of exercise 14."""

from torch import Tensor

from ex13_gpt import GPT


def accumulated_gradient(model: GPT, x: Tensor, y: Tensor, rows: int) -> float:
    """The loss and the gradient of a batch, a few texts at a time."""
    model.zero_grad()
    total = 0.0
    for x_part, y_part in zip(x.split(rows), y.split(rows), strict=True):
        _, loss = model(x_part, y_part)
        assert loss is not None
        share = loss * len(x_part) / len(x)
        share.backward()
        total += share.item()
    return total


def wsd_lr(step: int, max_lr: float, warmup_steps: int, decay_steps: int, total_steps: int) -> float:
    """The learning rate of a step: a line up, a plateau, a line down.

    Source: Hu et al. 2024, section 4.
    """
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    left = max(0, total_steps - step)
    return max_lr * min(1.0, left / decay_steps)
