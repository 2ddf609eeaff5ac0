"""`make certificate`: it says what was measured in a run of the learner's own pieces, and nothing else."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch

from grader.content.syllabus import load
from lab import certificate, runs
from lab.certificate import COLUMNS, LINES, draw, excerpt, facts, write
from lab.errors import LabError

USED = ("ex01_softmax", "ex13_gpt")
RESULTS = {"unit": "nats per character", "unigram": 3.25, "trigram": 2.125, "gpt": 1.875}
TODAY = date(2026, 5, 4)


def finished(root: Path, name: str = "mine", results: bool = True, **pieces: Any) -> runs.Run:
    config = {
        "created": "2026-05-03T10:00:00+00:00",
        "corpus": {"name": "plays", "source": "some plays", "characters": 1234567},
        "tokenizer": {"vocab_size": 62},
        "recipe": {"steps": 2000},
        "device": "cpu",
        "pieces": {"exercises": "exercises", "borrowed": [], **pieces},
        "versions": {"torch": "2.13.0"},
    }
    run = runs.create(root, name, "plays", config, {"sample.txt": "ROMEO:\nWhat light?\n"})
    table = torch.zeros(10, 4)
    weights = {"embedding.weight": table, "head.weight": table, "norm.weight": torch.ones(4)}
    run.save(
        {"step": 2000, "model": weights, "history": [{"step": 1000, "val_loss": 2.5}, {"step": 2000, "val_loss": 1.9}]}
    )
    if results:
        (run.folder / "results.json").write_text(json.dumps(RESULTS))
    return run


@pytest.mark.usefixtures("all_pass")
def test_a_llama_is_called_one(tmp_path: Path):
    run = finished(tmp_path)
    run = runs.Run(run.folder, {**run.config, "architecture": "llama"})
    (run.folder / "results.json").write_text(json.dumps({"unigram": 3.25, "trigram": 2.125, "llama": 1.75}))
    said = [text.get_text() for text in draw(facts(run, USED), "Ada", TODAY).texts]
    assert {"A Llama, built from scratch", "this Llama", "1.750"} <= set(said)
    assert not [line for line in said if "GPT" in line and line not in {entry.title for entry in load()}]


@pytest.fixture
def all_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "_passing", lambda _: load()[:14])


@pytest.mark.usefixtures("all_pass")
def test_it_says_what_was_measured(tmp_path: Path):
    about = facts(finished(tmp_path), USED)
    said = [text.get_text() for text in draw(about, "Ada", TODAY).texts]
    assert about.parameters == 44, "a table that is used twice counts once"
    assert "by Ada" in said
    assert {entry.title for entry in load()[:14]} <= set(said)
    assert not {entry.title for entry in load()[14:]} & set(said)
    assert {"this GPT", "1.875", "trigram", "2.125"} <= set(said)
    assert any(line.startswith("44 parameters, 2,000 steps, on a CPU\nsome plays\n1,234,567 char") for line in said)
    assert "ROMEO:\nWhat light?" in said
    assert any("Graded on 2026-05-04" in line and "run mine, 2026-05-03" in line for line in said)


@pytest.mark.usefixtures("all_pass")
def test_it_is_written_as_svg_and_pdf_the_same_each_time(tmp_path: Path):
    about = facts(finished(tmp_path), USED)
    first = [path.read_bytes() for path in write(about, 'A & <B> "$x^2$"', TODAY)]
    svg, pdf = write(about, 'A & <B> "$x^2$"', TODAY)
    assert [svg.read_bytes(), pdf.read_bytes()] == first
    assert svg.parent == about.run.folder
    assert first[0].startswith(b"<?xml")
    assert first[1].startswith(b"%PDF")


@pytest.mark.usefixtures("all_pass")
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"exercises": None}, "was trained with the reference"),
        ({"borrowed": ["ex05_attention"]}, "borrowed ex05_attention: when these pass"),
        ({"results": False}, "mine is not finished: make train RESUME=1"),
    ],
)
def test_a_run_that_is_not_all_their_own_gets_none(tmp_path: Path, wrong: dict[str, Any], says: str):
    with pytest.raises(LabError, match=says):
        facts(finished(tmp_path, **wrong), USED)


def test_what_does_not_pass_any_more_gets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(certificate, "_passing", lambda _: load()[:5])
    with pytest.raises(LabError, match="ex13_gpt does not pass now: make test says why"):
        facts(finished(tmp_path), USED)


def test_what_passes_is_graded_and_not_believed(tmp_path: Path):
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "ex01_softmax.py").write_text("def softmax(x, axis=-1):\n    return x\n")
    with pytest.raises(LabError, match="ex01_softmax, ex13_gpt do not pass now"):
        facts(finished(tmp_path, exercises=str(tmp_path / "exercises")), USED)


def test_what_a_model_writes_fits_the_page():
    lines = excerpt("word " * 500 + "\x1b[31m\x00" + "y" * 500).splitlines()
    assert len(lines) == LINES + 1
    assert lines[-1] == "..."
    assert max(map(len, lines)) <= COLUMNS
    assert excerpt("\n\nA:\n\n\x07b\n") == "A:\n\n b"
