"""python -m bench [--only NAME]: run the benchmarks, print a table and write bench.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.measure import Row

BENCHMARKS = {  # by name: the module that measures it, which is imported when its turn comes
    "train-step": "train_step",
    "recipe": "recipe",
    "trials": "trials",
    "flash": "flash",
    "cache": "cache",
    "lessons": "lessons",
    "llama": "llama",
    "chat": "chat",
    "speedrun": "speedrun",
    "ablations": "ablations",
    "cold-test": "cold_test",
    "watch-latency": "watch_latency",
    "grade-throughput": "grade_throughput",
    "large-text": "large_text",
    "map": "map_page",
    "nbgrader-throughput": "nbgrader_throughput",
}


def rows(name: str, runs: int) -> Iterator[Row]:
    """Run one benchmark."""
    yield from import_module(f"bench.{BENCHMARKS[name]}").rows(runs)


@click.command()
@click.option("--only", type=click.Choice(list(BENCHMARKS)), help="Run one benchmark.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Measurements of each side.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("bench.json"), show_default=True)
def main(only: str | None, runs: int, out: Path) -> None:
    """Measure ours and theirs in turn."""
    console = Console(highlight=False)
    found: list[Row] = []
    for name in BENCHMARKS:
        if only in (None, name):
            for row in rows(name, runs):
                found.append(row)
                console.print(f"{row.name}: {row.ours:.3f} {row.unit}", style="dim")
                out.write_text(json.dumps([row.document() for row in found], indent=1) + "\n", encoding="utf-8")
    table = Table("benchmark", "ours", "theirs", "ratio", "unit", "runs", "note")
    for row in found:
        theirs = "" if row.theirs is None else f"{row.theirs:.3f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.name, f"{row.ours:.3f}", theirs, ratio, row.unit, str(row.runs), row.note)
    console.print(table)


if __name__ == "__main__":
    main(prog_name="python -m bench")
