"""Each examination finds what is wrong and names the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.learning import doctor


@pytest.mark.parametrize(
    ("finding", "level", "words"),
    [
        (doctor.python((3, 10, 2)), "wrong", "3.11"),
        (doctor.python((3, 12, 1)), "ok", "3.12.1"),
        (doctor.disk(free=100 << 20), "wrong", "100 MiB"),
        (doctor.disk(free=9 << 30), "ok", "9.0 GiB"),
        (doctor.editor({}), "note", "EDITOR"),
        (doctor.editor({"EDITOR": "no-such-editor -w"}), "note", "no-such-editor"),
        (doctor.editor({"VISUAL": "python --x", "EDITOR": "no"}), "ok", "VISUAL"),
        (doctor.encoding("cp1252"), "note", "cp1252"),
        (doctor.encoding("utf-8"), "ok", "utf-8"),
        (doctor.terminal({"NO_COLOR": "1"}), "ok", "NO_COLOR"),
    ],
)
def test_single_findings(finding: doctor.Finding, level: str, words: str):
    assert finding.level == level
    assert words in finding.says + finding.mend
    assert level == "ok" or finding.mend


def test_packages_that_are_missing_or_other_than_pinned(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["click", "numpy>=1", "no-such-package; x"]\n')
    (tmp_path / "constraints.txt").write_text("numpy==0.1\n")
    missing, other = doctor.packages(tmp_path)
    assert (missing.level, missing.says) == ("wrong", "not installed: no-such-package")
    assert "numpy" in other.says
    assert "0.1" in other.says
    assert next(iter(doctor.packages(tmp_path / "nowhere"))).level == "wrong"


def test_a_file_that_changes_unheard_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "exercises").mkdir()
    assert doctor.watching(tmp_path, patience=5).level == "ok"
    monkeypatch.setattr(doctor, "_saw_a_change", lambda *_: False)
    assert "--poll" in doctor.watching(tmp_path).mend
    assert list((tmp_path / "exercises").iterdir()) == []


def test_an_examination_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch):
    def bad() -> doctor.Finding:
        raise RuntimeError("boom")

    monkeypatch.setattr(doctor, "EXAMINATIONS", (bad,))
    said: list[str] = []
    assert doctor.main(said.append) == 1
    assert "boom" in said[0]


def test_the_exit_code_is_about_what_is_wrong_and_not_about_notes():
    ok, note, wrong = (doctor.Finding("x", level, "says", "mend") for level in ("ok", "note", "wrong"))
    assert doctor.main(lambda _: None, [ok, note]) == 0
    assert doctor.main(lambda _: None, [ok, wrong, note]) == 1
