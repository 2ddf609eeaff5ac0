"""The learner's commands end to end, in a copy of the project: progress, reset, solution, recall, quiz, doctor."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.content import outline as bare
from grader.content.stubs import generated
from grader.content.syllabus import Entry, find, load
from grader.files import ROOT
from grader.probing.assembly import Source

Run = Callable[..., subprocess.CompletedProcess[str]]


class Copy:
    """A copy of the project with untouched stubs, and its command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("grader", "solutions", "tests", "exercises"):
            ignore = shutil.ignore_patterns("__pycache__", "backups", "project")
            shutil.copytree(ROOT / name, root / name, ignore=ignore)
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, root / name)
        for entry in load():
            self.stub(entry).write_text(generated(entry), encoding="utf-8")

    def stub(self, entry: Entry) -> Path:
        return self.root / "exercises" / entry.stub.name

    def solve(self, ex: str) -> Path:
        (entry,) = find([ex])
        self.stub(entry).write_text(Source.read(entry.solution, "learner").text, encoding="utf-8")
        return self.stub(entry)

    def run(self, *arguments: object, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if name != "STUBFORMER_PROGRESS"}
        return subprocess.run(
            [sys.executable, "-m", "grader", *map(str, arguments)],
            input=typed,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            cwd=self.root,
            env=inherited | {"PYTHONPATH": str(self.root), "COLUMNS": "100", "OMP_NUM_THREADS": "1"} | environment,
            timeout=300,
            check=False,
        )

    def events(self) -> list[dict[str, object]]:
        path = self.root / "progress.json"
        return json.loads(path.read_text())["events"] if path.exists() else []

    def standing(self, ex: str) -> dict[str, object]:
        (entry,) = find([ex])
        return next(row for row in json.loads(self.run("progress", "--json").stdout) if row["stem"] == entry.stem)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")


# ---- progress -------------------------------------------------------------------------------------------------------


def test_grading_the_own_folder_is_kept_and_any_other_is_not(copy: Copy):
    copy.solve("01")
    copy.run("test", "01", "02", "--exercises", "solutions")
    assert copy.events() == []
    assert copy.run("test", "01", "02").returncode == 0
    assert [(event["what"], event["ex"], event["status"]) for event in copy.events()] == [
        ("graded", find(["01"])[0].stem, "pass")
    ]
    assert copy.standing("01")["state"] == "passing"
    shown = copy.run("progress")
    assert f"1 of {len([entry for entry in load() if not entry.bonus])} exercises" in shown.stdout


def test_a_progress_file_that_can_not_be_used_never_stops_grading(copy: Copy):
    copy.solve("01")
    (copy.root / "progress.json").write_text('{"schema": 99, "events": []}')
    graded = copy.run("test", "01")
    assert graded.returncode == 0
    assert "1 of 1 exercise" in graded.stdout
    assert "newer version" in graded.stderr
    asked = copy.run("progress")
    assert asked.returncode == 2
    assert "Traceback" not in asked.stderr
    (copy.root / "progress.json").write_text("oops")
    graded = copy.run("test", "01")
    assert graded.returncode == 0
    assert "damaged" in graded.stderr
    assert copy.standing("01")["state"] == "passing"
    assert [path.read_text() for path in (copy.root / "exercises" / "backups").glob("progress*")] == ["oops"]


def test_progress_of_two_machines_can_be_merged(copy: Copy, tmp_path: Path):
    copy.run("hint", "01", "softmax")
    shutil.move(copy.root / "progress.json", tmp_path / "other.json")
    copy.run("hint", "01", "softmax", "--tier", "2")
    merged = copy.run("progress", "--merge", tmp_path / "other.json")
    assert merged.returncode == 0
    assert "1 event is new" in merged.stdout
    assert copy.standing("01")["hints"] == 2
    assert copy.run("progress", "--merge", "nowhere.json").returncode == 2


# ---- reset, solution ------------------------------------------------------------------------------------------------


def test_reset_asks_and_keeps_a_backup(copy: Copy):
    (entry,) = find(["01"])
    copy.stub(entry).write_text("# my work\n")
    for typed in ("", "n\n"):
        declined = copy.run("reset", "01", typed=typed)
        assert declined.returncode == 1
        assert copy.stub(entry).read_text() == "# my work\n"
    assert copy.run("reset", "01", typed="y\n").returncode == 0
    assert copy.stub(entry).read_text() == generated(entry)
    copy.stub(entry).write_text("# my second try\n")
    assert copy.run("reset", "01", "--yes").returncode == 0
    kept = sorted(path.read_text() for path in (copy.root / "exercises" / "backups").iterdir())
    assert kept == ["# my second try\n", "# my work\n"]
    assert "nothing to reset" in copy.run("reset", "01").stdout


def test_without_a_backup_nothing_is_reset(copy: Copy):
    (entry,) = find(["01"])
    copy.stub(entry).write_text("# my work\n")
    (copy.root / "exercises" / "backups").write_text("in the way")
    refused = copy.run("reset", "01", "--yes")
    assert refused.returncode == 2
    assert "backup" in refused.stderr
    assert copy.stub(entry).read_text() == "# my work\n"


def test_the_solution_comes_after_a_pass_or_when_given_up(copy: Copy):
    refused = copy.run("solution", "01", "softmax", typed="n\n")
    assert refused.returncode == 1
    assert "np.exp" not in refused.stdout
    assert copy.events() == []
    shown = copy.run("solution", "01", "softmax", typed="y\n")
    assert shown.returncode == 0
    assert "np.exp" in shown.stdout
    assert "SOLUTION" not in shown.stdout
    assert copy.standing("01")["gave_up"] is True
    assert "np.exp" in copy.run("solution", "01").stdout  # asked once

    copy.solve("02")
    assert copy.run("solution", "02", typed="").returncode == 0  # it passes, though nobody graded it yet
    assert copy.standing("02")["gave_up"] is False


def test_the_difference_to_ones_own_is_shown_piece_by_piece(copy: Copy):
    path = copy.solve("01")
    path.write_text(
        path.read_text().replace("exps = np.exp(shifted)", "mine = np.exp(shifted)").replace("exps", "mine")
    )
    shown = copy.run("solution", "01", "--diff", "--give-up", "--plain").stdout
    assert "-    mine = np.exp(shifted)" in shown
    assert "+    exps = np.exp(shifted)" in shown
    assert "perplexity: yours and the reference are the same code." in shown
    path.write_text("def softmax(:\n")
    broken = copy.run("solution", "01", "--diff", "--give-up")
    assert broken.returncode == 2
    assert "can't be compared" in broken.stderr
    assert copy.run("solution", "01", "sotfmax").returncode == 2


def test_after_a_pass_there_are_other_right_solutions_to_compare_with(copy: Copy):
    asked = copy.run("solution", "01", "--like", "one_hot", "--plain")
    assert asked.returncode == 1
    assert "def " not in asked.stdout, "nothing before a pass"
    copy.solve("01")
    shown = copy.run("solution", "01", "--diff", "--plain").stdout
    folder = copy.root / "tests" / "variants" / find(["01"])[0].stem
    for path in folder.glob("*.py"):
        says, good_for = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")
        assert f"  {path.stem}\n    {' '.join(says.split())}\n    {' '.join(good_for.split())}\n" in shown
    praised = shown.partition("Idiomatic in yours:\n")[2]
    stub = re.escape(str(Path("exercises", find(["01"])[0].stub.name)))
    assert re.match(rf"  {stub}:\d+\n    np.max\(.*keepdims=True\)\n    The axis", praised)
    assert "Idiomatic" not in copy.run("solution", "01", "softmax", "--diff", "--plain").stdout, (
        "one piece was asked for"
    )
    other = copy.run("solution", "01", "cross_entropy", "--like", "one_hot", "--plain").stdout
    assert "def cross_entropy(" in other
    assert other.strip() in (folder / "one_hot.py").read_text()
    beside = copy.run("solution", "01", "--diff", "--like", "one_hot", "--plain").stdout
    assert "lines with + are from the solution one_hot." in beside
    unknown = copy.run("solution", "01", "--like", "nothing")
    assert unknown.returncode == 2
    assert "It has guards_and_logaddexp, " in unknown.stderr


def test_every_other_solution_says_how_it_goes_about_it_and_what_that_is_good_for():
    from grader.screens.solution import other, others

    for entry in load():
        assert len(others(entry)) >= 3, entry.label
        for name, style in others(entry).items():
            assert re.fullmatch(r".{10,125}\.", style.says), (entry.label, name)
            assert re.fullmatch(r"Good for .{10,190}\.{1,3}", style.good_for), (entry.label, name)
            assert other(entry, name), (entry.label, name)


# ---- recall ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.stem)
def test_the_bare_file_has_every_signature_and_nothing_of_the_lesson_or_the_answer(entry: Entry):
    solution = Source.read(entry.solution, "reference").text
    start = bare.signatures(solution, "From memory.")
    compile(start, "start", "exec")
    assert re.findall(r"^class \w+|^def \w+", start, re.MULTILINE) == [
        found for found in re.findall(r"^class \w+|^def \w+", solution, re.MULTILINE) if f"{found} " not in "class _"
        and not re.match(r"(class|def) _", found)
    ]  # fmt: skip
    assert "By hand" not in start
    assert "Source:" not in start
    inside, region = [], False
    for line in solution.splitlines():
        if "### BEGIN SOLUTION" in line or "### END SOLUTION" in line:
            region = "BEGIN" in line
        elif region and len(line.strip()) > 25 and solution.count(line.strip()) == 1:
            inside.append(line.strip())
    assert inside
    assert [line for line in inside if line in start] == []
    assert "SOLUTION" not in start
    assert start.count("\n") < solution.count("\n") / 2


def test_recall_hands_out_grades_times_and_puts_away(copy: Copy):
    (entry,) = find(["06"])
    path = copy.root / "recall" / f"{entry.stem}.py"
    begun = copy.run("recall", "06")
    assert begun.returncode == 0
    assert "The clock is running" in begun.stdout
    assert "nothing is written" in copy.run("recall", "06").stdout
    stub = path.read_text()
    path.write_text(
        stub.replace(bare.PLACEHOLDER, "return torch.ones(length, length, dtype=torch.bool, device=device)", 1)
    )
    graded = copy.run("recall", "06")
    assert graded.returncode == 1
    assert "points" in graded.stdout
    assert path.exists()
    path.write_text(Source.read(entry.solution, "learner").text)
    assert "By heart: all 20 points, in" in copy.run("recall", "06").stdout
    assert not path.exists()
    assert len(list((copy.root / "recall" / "done").iterdir())) == 1
    assert copy.standing("06")["recalled"] is not None
    assert copy.standing("06")["state"] == "todo"  # the exercise itself is untouched
    assert copy.stub(entry).read_text() == generated(entry)


def test_starting_over_keeps_what_was_written(copy: Copy):
    (entry,) = find(["06"])
    path = copy.root / "recall" / f"{entry.stem}.py"
    copy.run("recall", "06")
    path.write_text("# half of it\n")
    copy.run("recall", "06", "--new")
    assert "# half of it\n" in [done.read_text() for done in (copy.root / "recall" / "done").iterdir()]
    assert "from memory" in path.read_text()


def test_a_clock_that_was_set_back_gives_no_time(copy: Copy):
    (entry,) = find(["06"])
    copy.run("recall", "06")
    progress = copy.root / "progress.json"
    progress.write_text(re.sub(r'"at": "\d{4}', '"at": "2999', progress.read_text()))
    (copy.root / "recall" / f"{entry.stem}.py").write_text(Source.read(entry.solution, "learner").text)
    done = copy.run("recall", "06")
    assert "By heart: all 20 points." in done.stdout
    assert copy.standing("06")["recalled"] is None


def whole_model(names: dict[str, list[str]]) -> str:
    """All solutions that a group asks for, in one file."""
    lines = ["from __future__ import annotations"]
    for stem in names:
        code = bare.code(Source.read(find([stem])[0].solution, "reference").text)
        lines += [line for line in code.splitlines() if not line.startswith(("from .", "from ex", "from __future__"))]
    return "\n".join(lines) + "\n"


def test_a_whole_model_from_one_empty_file(copy: Copy):
    from grader.learning.recall import groups, names_used, within

    task = groups()["gpt"]
    for entry, names in task.parts.items():
        assert names
        chosen = within(entry, names)
        assert any(info.hidden for info in chosen)
        assert all(names_used(entry.suite)[info.name] <= set(names) for info in chosen)
        assert {name for info in chosen for name in names_used(entry.suite)[info.name]} <= set(names)
    copy.run("recall", "gpt")
    path = copy.root / "recall" / "gpt.py"
    assert path.read_text() == ""
    contract = copy.run("recall", "gpt", "--contract").stdout
    assert all(name in contract for names in task.parts.values() for name in names or ())
    ast.parse(contract)
    assert ' ..."""' not in contract, "no sentence is cut off"
    text = whole_model({entry.stem: [] for entry in task.parts})
    path.write_text(text.replace(".tril()", ".triu()"))
    wrong = copy.run("recall", "gpt")
    assert wrong.returncode == 1
    assert "recall/gpt.py" in wrong.stdout.replace("\\", "/")
    assert "with the reference's" not in wrong.stdout
    path.write_text(text)
    right = copy.run("recall", "gpt")
    assert right.returncode == 0, right.stdout
    assert "By heart" in right.stdout


def test_what_can_not_be_recalled_is_said(copy: Copy):
    done = copy.run("recall", "nothing")
    assert done.returncode == 2
    assert "gpt" in done.stderr


# ---- quiz, doctor ---------------------------------------------------------------------------------------------------


def test_a_sitting_from_a_pipe(copy: Copy):
    first = copy.run("quiz", "01", "--seed", "4", "--count", "3", "--plain", typed="what\nskip\n\n0.5\nquit\n")
    assert first.returncode == 0
    assert first.stdout.isascii()
    assert "This wants" in first.stdout
    assert "Skipped." in first.stdout
    assert re.search(r"[01] of 1 right, 1 skipped", first.stdout)
    again = copy.run("quiz", "01", "--seed", "4", "--count", "3", "--plain", typed="what\nskip\n\n0.5\nquit\n")
    assert again.stdout == first.stdout
    other = copy.run("quiz", "01", "--seed", "5", "--count", "3", "--plain", typed="skip\nskip\nskip\n")
    assert other.stdout != first.stdout
    assert [event["what"] for event in copy.events()] == ["answered", "answered"]
    assert "0 of 0 right" in copy.run("quiz", "01", typed="").stdout


def test_doctor_looks_at_everything_and_says_how_to_mend_it(copy: Copy):
    (entry,) = find(["05"])
    well = copy.run("doctor")
    assert well.returncode == 0, well.stdout
    for what in (
        "Python",
        "packages",
        "PyTorch",
        "disk",
        "editor",
        "terminal",
        "encoding",
        "git",
        "watching",
        "progress",
    ):
        assert what in well.stdout
    (copy.root / "tests" / f"test_{entry.stem}.py").unlink()
    ill = copy.run("doctor", PYTHONIOENCODING="cp1252")
    assert ill.returncode == 1
    assert f"git checkout -- tests/test_{entry.stem}.py" in ill.stdout
    found = json.loads(copy.run("doctor", "--json").stdout)
    assert {"what", "level", "says", "mend"} == set(found[0])
    assert any(finding["level"] == "wrong" for finding in found)


def test_doctor_runs_where_nothing_is_installed(copy: Copy):
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "grader.learning.doctor"],  # -S: without site-packages
        cwd=copy.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "not installed:" in done.stdout
    assert "make clean test" in done.stdout
    assert done.stderr == ""
