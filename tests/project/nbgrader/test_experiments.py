"""The experiments of the notebooks: each runs on a right solution, and shows something."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from grader.content.syllabus import Entry, load
from grader.nb.content import content
from grader.nb.inplace import begin


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.label) for entry in load()])
def test_an_experiment_shows_something(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = content(entry).experiment
    assert experiment is not None
    (tmp_path / entry.stub.name).write_text(entry.solution.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.switch_backend("agg")
    try:
        exec(compile(experiment.code, f"the experiment of {entry.label}", "exec"), {"check": begin(entry.stem)})
        figures = [plt.figure(number) for number in plt.get_fignums()]
        for figure in figures:
            figure.savefig(tmp_path / f"{figure.number}.png")
            assert all(axes.has_data() for axes in figure.axes), "an empty picture"
    finally:
        plt.close("all")
    assert figures or capsys.readouterr().out.strip()
