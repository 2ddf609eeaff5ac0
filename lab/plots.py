"""Pictures: the loss curve, and where a model looked."""

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
            xytext=(4, 0),  # beside the curves, not across them
            textcoords="offset points",
            va="center",
            fontsize=9,
            color="0.35",
        )
    axes.set(title=title, xlabel="step", ylabel=f"loss (nats per {unit})")
    axes.set_xlim(0, max(len(losses), 1))
    axes.grid(alpha=0.2)
    if losses or history:
        axes.legend(loc="upper center")
    _write(figure, target)


def distances(target: Path, losses: Mapping[str, float], whole: str, levels: Mapping[str, float], title: str) -> None:
    """Draw losses as points, one below the other, each joined to the one that it is compared with; write a PNG.

    Args:
        target: the file to write.
        losses: by name, the first on top; one that is infinite is an arrow at the edge.
        whole: the name of the one that all others are compared with; its line is drawn if it is there and finite.
        levels: losses by name; those that lie beyond the picture are left out.
        title: what was measured.
    """
    from matplotlib.figure import Figure

    known = [loss for loss in losses.values() if np.isfinite(loss)] or [1.0]
    margin = 0.15 * max(max(known) - min(known), 0.1)
    left, edge = min(known) - margin, max(known) + margin
    figure = Figure(figsize=(8, 1.2 + 0.36 * len(losses)), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    base = losses.get(whole, np.inf)
    if np.isfinite(base):
        axes.axvline(base, color="tab:blue", linewidth=1.2, zorder=1)
    for row, (name, loss) in enumerate(losses.items()):
        finite = bool(np.isfinite(loss))
        color = "tab:blue" if name == whole else "tab:orange" if finite else "tab:red"
        if np.isfinite(base):
            axes.plot([base, loss if finite else edge], [row, row], color=color, linewidth=2.5, zorder=2)
        axes.plot(loss if finite else edge, row, "o" if finite else ">", color=color, clip_on=False, zorder=3)
        leftward = not finite or loss < base
        axes.annotate(
            f"{loss:.3f}" if finite else "diverges",
            xy=(loss if finite else edge, row),
            xytext=(-7 if leftward else 7, 0 if finite else 8),
            textcoords="offset points",
            ha="right" if leftward else "left",
            va="center",
            fontsize=9,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},  # the levels go behind it
        )
    for name, level in levels.items():
        if left < level < edge:
            right = level > (left + edge) / 2
            axes.axvline(level, color="0.45", linestyle="--", linewidth=0.9, zorder=1)
            axes.annotate(
                name, xy=(level, 1.0), xycoords=("data", "axes fraction"), xytext=(-3 if right else 3, -10),
                textcoords="offset points", ha="right" if right else "left", fontsize=8, color="0.35",
            )  # fmt: skip
    axes.set_yticks(range(len(losses)), list(losses))
    axes.set_ylim(len(losses) - 0.5, -0.8)
    axes.grid(axis="x", alpha=0.2)
    axes.set(title=title, xlabel="loss on the held-out text (nats per character); the scale does not begin at 0")
    axes.set_xlim(left, edge)
    _write(figure, target)


def attention_map(
    target: Path, maps: Sequence[np.ndarray], columns: Sequence[str], rows: Sequence[str], title: str
) -> None:
    """Draw how much each letter that was written looked at each letter that was read; write a PNG.

    The large square is the mean over all heads of all layers, the small ones are the heads.

    Args:
        target: the file to write.
        maps: for each layer (H, T, S), weights whose rows sum to one.
        columns: the S letters that were read.
        rows: the T letters that were written.
        title: whose attention this is.
    """
    from matplotlib.figure import Figure

    layers, heads = len(maps), max(len(layer) for layer in maps)
    figure = Figure(figsize=(4.6 + 1.7 * heads, max(4.8, 1.9 * layers + 1)), dpi=120, layout="constrained")
    figure.suptitle(title)
    halves: Any = figure.subfigures(1, 2, width_ratios=[4.6, 1.7 * heads])
    large, small = halves
    axes = large.subplots()
    _square(axes, np.mean([head for layer in maps for head in layer], axis=0), columns, rows, fontsize=11)
    axes.set(title="all heads, mean", xlabel="read", ylabel="written, from top to bottom")
    for number, (layer, line) in enumerate(zip(maps, small.subplots(layers, heads, squeeze=False), strict=True), 1):
        for head, axes in enumerate(line):
            if head < len(layer):
                _square(axes, layer[head], columns, rows, fontsize=6)
                axes.set_title(f"layer {number}, head {head + 1}", fontsize=8)
            else:
                axes.set_axis_off()
    _write(figure, target)


def _square(axes: Any, weights: np.ndarray, columns: Sequence[str], rows: Sequence[str], fontsize: int) -> None:
    axes.imshow(weights, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(columns)), columns, fontsize=fontsize)
    axes.set_yticks(range(len(rows)), rows, fontsize=fontsize)
    axes.tick_params(length=0)


def _write(figure: Any, target: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no display is needed, no global state touched

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
