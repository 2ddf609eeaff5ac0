"""A page to show around: what a learner has built, and what came of training it (`make certificate`).

It says nothing that was not measured: the exercises that pass now, and the figures and the text of a run of them.
"""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from grader.content.edition import manifest
from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.grading import Grading
from lab import runs
from lab.errors import LabError
from lab.files import write_atomically
from lab.runs import Run

INK, QUIET, ACCENT = "#1b2a41", "#5b6b7d", "#3a6ea5"
LINES, COLUMNS = 10, 80  # of what the model wrote


@dataclass(frozen=True)
class Facts:
    """What the page says."""

    run: Run
    passing: tuple[Entry, ...]
    parameters: int
    history: tuple[Mapping[str, float], ...]
    results: Mapping[str, Any]
    sample: str


def facts(run: Run, used: Sequence[str]) -> Facts:
    """Collect what there is to say of a run.

    Args:
        run: a finished run.
        used: the exercises that it is made of.

    Raises:
        LabError: it is not finished, or was made of pieces that are not the learner's own or do not pass any more.
    """
    about = run.config["pieces"]
    if about["exercises"] is None:
        raise LabError(f"{run.name} was trained with the reference; a certificate is for your own: make train")
    if about["borrowed"]:
        raise LabError(f"{run.name} borrowed {', '.join(about['borrowed'])}: when these pass, make train once more")
    state = run.load()
    try:
        results = json.loads(run.read("results.json"))
    except (LabError, ValueError):
        raise LabError(f"{run.name} is not finished: make train RESUME=1") from None
    passing = _passing(runs.ROOT / about["exercises"])
    missing = [stem for stem in used if stem not in {entry.stem for entry in passing}]
    if missing:
        raise LabError(f"{', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not pass now: make test says why")
    weights = {tensor.untyped_storage().data_ptr(): tensor.numel() for tensor in state["model"].values()}  # tied: once
    return Facts(run, passing, sum(weights.values()), tuple(state["history"]), results, run.read("sample.txt"))


def _passing(exercises: Path) -> tuple[Entry, ...]:
    try:
        with Grading(exercises) as grading:
            return tuple(entry for entry in load() if grading.passes(entry))
    except GraderError as error:
        raise LabError(str(error)) from error


def write(about: Facts, name: str, today: date) -> list[Path]:
    """Write the page as SVG and as PDF into the run's folder.

    Args:
        about: what it says.
        name: whose it is; "" leaves that out.
        today: the day on which the exercises were graded.
    """
    import matplotlib as mpl

    written = []
    with mpl.rc_context({**mpl.rcParamsDefault, "svg.hashsalt": "certificate", "backend": "agg"}):
        figure = draw(about, name, today)
        for kind, undated in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
            page = io.BytesIO()
            figure.savefig(page, format=kind, metadata=undated)
            written.append(about.run.folder / f"certificate.{kind}")
            write_atomically(written[-1], page.getvalue())
    return written


def draw(about: Facts, name: str, today: date) -> Any:
    """The page as a figure of matplotlib."""
    from matplotlib.figure import Figure

    config = about.run.config
    figure = Figure(figsize=(11.69, 8.27), facecolor="white")

    def put(x: float, y: float, text: str, size: float = 10, color: str = INK, **more: Any) -> None:
        figure.text(x, y, text.replace("$", r"\$"), fontsize=size, color=color, va="top", **more)

    put(0.05, 0.945, f"A {about.run.model}, built from scratch", 26, weight="bold")
    put(0.05, 0.875, f"by {name}" if name else "every part of it written by hand", 14, ACCENT)
    figure.add_artist(_rule(0.835))

    put(0.05, 0.805, "What was built", 13, weight="bold")
    step = min(0.034, 0.66 / max(len(about.passing), 1))
    for row, entry in enumerate(about.passing):
        put(0.05, 0.762 - step * row, "\u2713", 10, ACCENT, weight="bold")
        put(0.07, 0.762 - step * row, entry.title)

    put(0.42, 0.805, "What it learned", 13, weight="bold")
    put(
        0.42, 0.767,
        f"{about.parameters:,} parameters, {config['recipe']['steps']:,} steps, on {_device(config['device'])}\n"
        f"{config['corpus']['source']}\n{config['corpus']['characters']:,} characters, a tenth of them held out",
        9.5, QUIET, linespacing=1.5,
    )  # fmt: skip
    _curve(figure.add_axes((0.46, 0.42, 0.24, 0.22)), about)
    _table(put, about)

    put(0.42, 0.335, "What it writes", 13, weight="bold")
    put(0.42, 0.298, excerpt(about.sample), 8.5, family="monospace", linespacing=1.35)

    figure.add_artist(_rule(0.065))
    checks = "the public checks" if manifest() is not None else "all checks"
    put(
        0.05, 0.05,
        f"Graded on {today.isoformat()}: each exercise above passes {checks} of Stubformer. "
        f"Figures and text: run {about.run.name}, {config['created'][:10]}, PyTorch {config['versions']['torch']}.",
        8, QUIET,
    )  # fmt: skip
    return figure


def _rule(height: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([0.05, 0.95], [height, height], color=ACCENT, linewidth=1)


def _device(name: str) -> str:
    return {"cpu": "a CPU", "mps": "an Apple GPU"}.get(name, "a GPU")


def _curve(axes: Any, about: Facts) -> None:
    """The loss on held-out text at each evaluation."""
    rows = about.history
    axes.plot([row["step"] for row in rows], [row["val_loss"] for row in rows], color=ACCENT, marker="o", markersize=3)
    axes.set_xlabel("step", fontsize=8, color=QUIET)
    unit = "token" if "merges" in about.run.config["tokenizer"] else "character"
    axes.set_ylabel(f"held-out loss, nats per {unit}", fontsize=8, color=QUIET)
    axes.tick_params(labelsize=8, colors=QUIET)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _table(put: Any, about: Facts) -> None:
    """The loss at the end beside what counting reaches, the best at the bottom."""
    this = f"this {about.run.model}"
    losses = {name: value for name, value in about.results.items() if isinstance(value, float)}
    losses[this] = losses.pop(about.run.architecture)
    rows = sorted(losses.items(), key=lambda row: -row[1])
    put(0.74, 0.645, "nats per held-out character", 8.5, QUIET)
    for place, (label, value) in enumerate(rows):
        mine = {"weight": "bold", "color": ACCENT} if label == this else {}
        put(0.74, 0.61 - 0.032 * place, label, **mine)
        put(0.93, 0.61 - 0.032 * place, f"{value:.3f}", ha="right", **mine)


def excerpt(sample: str) -> str:
    """The beginning of what a model wrote, in lines that fit the page, without what can't be shown."""
    text = "".join(char if char.isprintable() or char == "\n" else " " for char in sample.strip("\n"))
    lines = [piece for line in text.split("\n") for piece in textwrap.wrap(line, COLUMNS) or [""]]
    return "\n".join(lines[:LINES] + (["..."] if len(lines) > LINES else []))
