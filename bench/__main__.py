"""python -m bench [--only NAME]: run the benchmarks, print a table and write bench.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench import cold_test, grade_throughput, map_page, nbgrader_throughput, recipe, train_step, watch_latency
from bench.measure import Row

BENCHMARKS: dict[str, Callable[[int], Iterator[Row]]] = {
    "train-step": train_step.rows,
    "recipe": recipe.rows,
    "cold-test": cold_test.rows,
    "watch-latency": watch_latency.rows,
    "grade-throughput": grade_throughput.rows,
    "map": map_page.rows,
    "nbgrader-throughput": nbgrader_throughput.rows,
}


@click.command()
@click.option("--only", type=click.Choice(list(BENCHMARKS)), help="Run one benchmark.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Measurements of each side.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("bench.json"), show_default=True)
def main(only: str | None, runs: int, out: Path) -> None:
    """Measure ours and theirs in turn."""
    console = Console(highlight=False)
    found: list[Row] = []
    for name, rows in BENCHMARKS.items():
        if only in (None, name):
            for row in rows(runs):
                found.append(row)
                console.print(f"{row.name}: {row.ours:.3f} {row.unit}", style="dim")
                out.write_text(json.dumps([row.document() for row in found], indent=1) + "\n", encoding="utf-8")
    table = Table("benchmark", "ours", "theirs", "ratio", "unit", "runs", "note")
    for row in found:
        theirs = "" if row.theirs is None else f"{row.theirs:.3f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.name, f"{row.ours:.3f}", theirs, ratio, row.unit, str(row.runs), row.note)
    console.print(table)


main(prog_name="python -m bench")
