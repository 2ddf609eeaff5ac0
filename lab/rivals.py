"""The run of another model that a run can be compared with: the same text, steps and windows, as many parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lab import runs
from lab.errors import LabError
from lab.runs import Run

CLOSE = 0.01  # how much the numbers of parameters may differ


@dataclass(frozen=True)
class Rival:
    """What there is to say of the other run."""

    run: Run
    loss: float

    @property
    def label(self) -> str:
        """Its model, whose that is, and where: for a table."""
        return f"{self.run.owned}, run {self.run.name}"

    def compared(self, run: Run, loss: float) -> str:
        """Return where a run stands beside it, in a sentence."""
        apart = loss - self.loss
        result = f"{abs(apart):.3f} nats {'lower' if apart < 0 else 'higher'}"
        if abs(apart) < 0.0005:
            result = "the same"
        mine, theirs = (f"the {each.owned}".replace("the your", "your") for each in (run, self.run))
        return (
            f"{run.config['parameters']:,} parameters beside the {self.run.config['parameters']:,} of {theirs} in "
            f"{self.run.name}.\nAfter as many steps on the same text, the loss of {mine} is {result}."
        )


def rival(run: Run) -> Rival | None:
    """The last finished run of another model that had the same task; None if none is kept."""
    found: list[tuple[int, Rival]] = []
    for folder in runs.all_runs(run.folder.parent).values():
        try:
            other = runs.opened(folder)
            another = other.task == run.task and other.architecture != run.architecture
            if another and _comparable(other.config, run.config):
                loss = float(json.loads(other.read("results.json"))[other.architecture])
                found.append((other.checkpoint.stat().st_mtime_ns, Rival(other, loss)))
        except (LabError, OSError, ValueError, KeyError, TypeError):
            continue  # not finished, or of another time
    return max(found, key=lambda item: item[0])[1] if found else None


def _comparable(one: Any, other: Any) -> bool:
    same = (("corpus", "sha256"), ("recipe", "steps"), ("recipe", "batch_size"), ("model", "context_length"))
    return all(one[part][name] == other[part][name] for part, name in same) and (
        abs(one["parameters"] - other["parameters"]) <= CLOSE * other["parameters"]
    )
