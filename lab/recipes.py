"""How the lab trains: as the learner's own `TrainConfig` and `build_model` say, wherever the user says nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from lab.errors import LabError

# What the options of the command line are called in exercise 14's `TrainConfig` and in exercise 16's `build_model`.
TRAINING = {"steps": "steps", "batch_size": "batch_size", "lr": "max_lr", "eval_every": "eval_every"}
SIZES = {
    "context": "context_length",
    "width": "d_model",
    "heads": "n_heads",
    "layers": "n_layers",
    "dropout": "dropout",
}

# Options by one name. The laptop's are the defaults of exercises 14 and 16; the GPU's, sizes that are well known.
PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {},
    "tiny": {
        "steps": 200,
        "batch_size": 8,
        "lr": 1e-2,
        "eval_every": 50,
        "context": 32,
        "width": 32,
        "heads": 2,
        "layers": 1,
    },
    "gpu": {
        "steps": 5000,
        "batch_size": 64,
        "lr": 1e-3,
        "eval_every": 250,
        "context": 256,
        "width": 384,
        "heads": 6,
        "layers": 6,
        "dropout": 0.2,
    },
}
# The original transformer, learning to reverse words. Half of these steps are enough most of the time; the rest is for
# the last percent, and for unlucky seeds.
REVERSE: dict[str, Any] = {
    "steps": 600,
    "batch_size": 64,
    "lr": 1.5e-3,
    "eval_every": 100,
    "layers": 2,
    "heads": 4,
    "width": 64,
}


def train_options(own: Any, given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The fields of a `TrainConfig`: the learner's own, except for what is given.

    What hangs together stays so. A shorter training has no more warm-up than a tenth of it, and a row of the history
    for every quarter at least; another learning rate falls to the same share of itself.

    Args:
        own: a `TrainConfig` of exercise 14 with its defaults.
        given: options of the command line by their names, those of the model among them or not.
        seed: where all chance comes from.
    """
    fields: dict[str, Any] = {**asdict(own), "seed": seed}
    fields |= {field: given[name] for name, field in TRAINING.items() if name in given}
    fields["min_lr"] *= fields["max_lr"] / own.max_lr
    fields["warmup_steps"] = min(fields["warmup_steps"], fields["steps"] // 10)
    if "eval_every" not in given:
        fields["eval_every"] = max(1, min(fields["eval_every"], fields["steps"] // 4))
    return fields


def model_sizes(build_model: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes that exercise 16's `build_model` is called with: its own defaults, except for what is given.

    Raises:
        LabError: it has no argument for what is given.
    """
    known = inspect.signature(build_model).parameters
    wanted = {field: given[name] for name, field in SIZES.items() if name in given}
    for name, field in SIZES.items():
        if field in wanted and field not in known:
            raise LabError(f"--{name} is the argument {field} of build_model, and yours has none of that name")
    own = {field: known[field].default for field in SIZES.values() if field in known}
    return {field: size for field, size in (own | wanted).items() if size is not inspect.Parameter.empty}


def check_heads(width: int, heads: int) -> None:
    """Refuse a width that can't be shared out.

    Raises:
        LabError: it can't.
    """
    if width % heads:
        raise LabError(f"--width {width} can't be divided among --heads {heads}: choose a multiple")


def reverse_options(given: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The fields of exercise 14's `TrainConfig` to learn reversal.

    The paper's (0.9, 0.98) are too forgetful here: once the words are learned, gradients are next to nothing, and with
    an average of the last 50 of them a step would sometimes be so large that a third of the words was lost again.
    """
    steps = given["steps"]
    return {
        "steps": steps,
        "batch_size": given["batch_size"],
        "max_lr": given["lr"],
        "min_lr": 0.1 * given["lr"],
        "warmup_steps": max(1, min(200, steps // 4)),
        "weight_decay": 0.0,
        "betas": (0.9, 0.999),
        "grad_clip": 1.0,
        "eval_every": max(1, min(given["eval_every"], steps // 4)),
        "eval_batches": 8,
        "seed": seed,
    }


def memory_needed(given: Mapping[str, Any]) -> int:
    """A lower bound of the bytes that training takes: weights with their gradient and averages, and activations.

    Args:
        given: options of the command line by their names; whatever is missing counts as 1.
    """
    width, layers, context, batch, heads, pieces = (
        given.get(name, 1) for name in ("width", "layers", "context", "batch_size", "heads", "accumulate")
    )
    parameters = 12 * layers * width**2 + context * width
    activations = layers * batch // pieces * context * (8 * width + heads * context)
    return int(4 * (4 * parameters + activations))
