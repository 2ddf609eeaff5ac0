"""The sizes and learning rates that the lab trains with unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Tuned on the embedded corpus for the lowest held-out loss in a minute and a bit on two CPU cores: few layers, small
# batches and many steps at a high learning rate go further than a deeper model that gets fewer steps.
DEMO: dict[str, Any] = {
    "steps": 4000,
    "batch_size": 8,
    "context": 64,
    "layers": 2,
    "heads": 4,
    "width": 128,
    "lr": 5e-3,
}
# With some minutes, a deeper model goes further.
TRAIN: dict[str, Any] = DEMO | {"batch_size": 12, "layers": 3, "lr": 4e-3}
# The original transformer, learning to reverse words. Half of these steps are enough most of the time; the rest is for
# the last percent, and for unlucky seeds.
REVERSE: dict[str, Any] = {
    "steps": 800,
    "batch_size": 64,
    "layers": 2,
    "heads": 4,
    "width": 64,
    "lr": 1.5e-3,
}
RECIPES: dict[str, dict[str, Any]] = {"text": TRAIN, "reverse": REVERSE}  # by the name of the task


def train_options(recipe: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The fields of exercise 14's `TrainConfig` for a recipe."""
    steps, lr = recipe["steps"], recipe["lr"]
    return {
        "steps": steps,
        "batch_size": recipe["batch_size"],
        "max_lr": lr,
        "min_lr": lr / 100,
        "warmup_steps": min(100, steps // 10),
        "weight_decay": 0.3,
        "betas": (0.9, 0.99),
        "grad_clip": 1.0,
        "eval_every": max(1, min(250, steps // 4)),
        "eval_batches": 20,
        "seed": seed,
    }


def reverse_options(recipe: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The fields of exercise 14's `TrainConfig` to learn reversal by a recipe.

    The paper's (0.9, 0.98) are too forgetful here: once the words are learned, gradients are next to nothing, and with
    an average of the last 50 of them a step would sometimes be so large that a third of the words was lost again.
    """
    steps = recipe["steps"]
    return {
        "steps": steps,
        "batch_size": recipe["batch_size"],
        "max_lr": recipe["lr"],
        "warmup_steps": max(1, min(200, steps // 4)),
        "weight_decay": 0.0,
        "betas": (0.9, 0.999),
        "grad_clip": 1.0,
        "eval_every": max(1, min(100, steps // 4)),
        "seed": seed,
    }


def model_sizes(recipe: Mapping[str, Any]) -> dict[str, int]:
    """The arguments of exercise 16's `build_model` for a recipe."""
    return {
        "context_length": recipe["context"],
        "d_model": recipe["width"],
        "n_heads": recipe["heads"],
        "n_layers": recipe["layers"],
    }


def memory_needed(recipe: Mapping[str, Any]) -> int:
    """A lower bound of the bytes that training takes: weights with their gradient and averages, and activations."""
    width, layers, context, batch = (recipe[name] for name in ("width", "layers", "context", "batch_size"))
    parameters = 12 * layers * width**2 + context * width
    activations = layers * batch * context * (8 * width + recipe["heads"] * context)
    return int(4 * (4 * parameters + activations))
