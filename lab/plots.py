"""The loss curve, as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.files import write_atomically


def loss_curve(
    target: Path,
    losses: Sequence[float],
    history: Sequence[Mapping[str, Any]],
    baselines: Mapping[str, float],
    title: str,
    unit: str = "character",
) -> None:
    """Draw the loss after each step and at each evaluation, with the baselines as levels to pass; write a PNG.

    Args:
        target: the file to write.
        losses: the training loss of each step, in nats.
        history: rows with `step` and `val_loss`.
        baselines: names and their levels, in the same unit.
        title: what was trained.
        unit: what the losses count by: "character" or "token".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no display is needed, no global state touched
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    steps = np.arange(1, len(losses) + 1)
    axes.plot(steps, losses, color="tab:blue", alpha=0.25, linewidth=0.8)
    axes.plot(steps, smoothed(losses), color="tab:blue", label="training, smoothed")
    if history:
        rows = [(row["step"], row["val_loss"]) for row in history]
        axes.plot(*zip(*rows, strict=True), color="tab:orange", marker="o", markersize=4, label="held out")
    for name, level in baselines.items():
        axes.axhline(level, color="0.45", linestyle="--", linewidth=0.9)
        axes.annotate(
            f"{name} {level:.2f}",
            xy=(1.0, level),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color="0.35",
        )
    axes.set(title=title, xlabel="step", ylabel=f"loss (nats per {unit})")
    axes.set_xlim(0, max(len(losses), 1))
    axes.grid(alpha=0.2)
    if losses or history:
        axes.legend(loc="upper center")
    picture = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(picture, format="png")
    write_atomically(target, picture.getvalue())


def smoothed(losses: Sequence[float], window: int = 50) -> np.ndarray:
    """The mean of each loss and up to `window` - 1 before it."""
    if not len(losses):
        return np.zeros(0)
    total = np.concatenate([[0.0], np.cumsum(losses)])
    end = np.arange(1, len(losses) + 1)
    start = np.maximum(end - window, 0)
    return np.asarray((total[end] - total[start]) / (end - start))
