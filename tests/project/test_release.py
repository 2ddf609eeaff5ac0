"""A release: students get all they need and nothing they should not, and it judges as the whole project does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.content.edition import FILE, manifest
from grader.content.regions import HIDDEN, inside
from grader.content.stubs import generated
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.files import ROOT
from grader.misconceptions.catalogue import catalogue
from grader.probing.assembly import Source
from grader.staff.release import build as building
from grader.staff.release.build import Selection, build, check_free, write_files
from grader.staff.release.leaks import leaks

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"  # found here in another way than by the engine
UNTIL, SOLVED = "ex05", "ex02-ex03"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the first exercises, with the solutions of two. Tests leave it as it is."""
    out = tmp_path_factory.mktemp("release") / "students"
    build(out, Selection.of(UNTIL, SOLVED))
    return out


@pytest.fixture
def clone(released: Path, tmp_path: Path) -> Path:
    """A student's clone of it."""
    path = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", released, path], check=True)
    return path


@pytest.fixture
def run(clone: Path) -> Run:
    """Run a command of the clone."""

    def call(*arguments: str, module: str = "grader") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=clone,
            env=os.environ | {"PYTHONPATH": str(clone), "COLUMNS": "100"},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )

    return call


def solve(clone: Path, *labels: str) -> None:
    """Put solutions in the place of a student's files."""
    for entry in find(labels):
        shutil.copy(entry.solution, clone / "exercises" / entry.stub.name)


def entries() -> tuple[Entry, ...]:
    return Selection.of(UNTIL).entries


# ---- what is in it --------------------------------------------------------------------------------------------------


def test_no_line_of_a_solution_or_of_a_hidden_check_is_in_the_files_of_its_exercise(released: Path):
    """Looked for here in another way than by the release itself."""
    solved = {entry.stem for entry in find(["ex02", "ex03"])}
    for entry in entries():
        secret: set[str] = set()
        tests, solution = entry.suite.read_text("utf-8"), entry.solution.read_text("utf-8")
        hidden = inside(tests, HIDDEN)
        public = {line.strip() for number, line in enumerate(tests.splitlines(), 1) if number not in hidden}
        secret |= {line.strip() for number, line in enumerate(tests.splitlines(), 1) if number in hidden}
        if entry.goals is not None:  # whose checks anybody may see
            public |= {line.strip() for line in entry.goals.suite.read_text("utf-8").splitlines()}
        if entry.stem not in solved:
            for region in re.findall(rf"^ *{BEGIN}\n(.*?)^ *{END}$", solution, re.MULTILINE | re.DOTALL):
                secret |= {line.strip() for line in region.splitlines()}
        secret = {line for line in secret - public if len(line) > 15} - {
            line.strip() for line in generated(entry).splitlines()
        }
        assert len(secret) > 20
        for path in released.rglob(f"*{entry.stem}*"):
            found = secret & {line.strip() for line in path.read_text("utf-8").splitlines()}
            assert not found, path


def test_solutions_cannot_be_imported_and_nothing_is_compiled(released: Path):
    assert sorted(path.name for path in (released / "solutions").iterdir()) == [
        "ex02_tokenizers.py",
        "ex03_embeddings.py",
    ]
    for entry in entries():
        if not (released / "solutions" / f"{entry.stem}.py").exists():
            code = f"import solutions.{entry.stem}"
            done = subprocess.run([sys.executable, "-c", code], cwd=released, capture_output=True, check=False)
            assert b"ModuleNotFoundError" in done.stderr
    assert [path for path in released.rglob("*") if path.suffix in (".pyc", ".pyo") or path.name == "__pycache__"] == []


def test_git_holds_one_commit_and_nothing_but_the_files_of_today(released: Path):
    def git(*arguments: str) -> list[str]:
        return subprocess.check_output(["git", *arguments], cwd=released, encoding="utf-8").splitlines()

    assert len(git("rev-list", "--all")) == 1
    assert git("status", "--porcelain", "--ignored") == []
    blobs = {line.split()[0] for line in git("cat-file", "--batch-check", "--batch-all-objects") if " blob " in line}
    assert blobs == {line.split()[2] for line in git("ls-tree", "-r", "HEAD")}
    assert git("remote") == []


def test_nothing_for_authors_is_in_it(released: Path):
    for name in (
        "tests/project",
        "tests/variants",
        "tests/clauses",
        "tests/quiz",
        "docs/grading.md",
        "bench",
        ".ci",
        "grader/staff",
        "grader/cli/staff",
        "tests/marking",
    ):
        assert not (released / name).exists(), name
    for path in (released / "tests" / "misconceptions").glob("*"):
        tables = tomllib.loads(path.read_text("utf-8"))["misconception"]
        assert all(set(table) == {"id", "says", "nudge", "links"} for table in tables)
        (entry,) = find([path.stem])
        assert [table["nudge"] for table in tables] == [each.nudge for each in catalogue(entry)]
    for name in ("README.md", "Makefile", "docs/learning.md", "pyproject.toml"):
        text = (released / name).read_text("utf-8")
        assert not re.search(r"(BEGIN|END) (WHOLE|RELEASE|WITH)", text)
        assert "for authors" not in text


def test_later_exercises_are_left_out_altogether(released: Path):
    later = [entry for entry in load() if entry not in entries()]
    assert later
    for entry in later:
        assert list(released.rglob(f"*{entry.stem}*")) == []
    syllabus = tomllib.loads((released / "exercises" / "syllabus.toml").read_text("utf-8"))
    assert [item["stem"] for item in syllabus["exercise"]] == [entry.stem for entry in entries()]
    assert syllabus.get("recall", []) == []
    assert not (released / "lab.mk").exists()
    assert not (released / "author.mk").exists()


def test_every_file_that_a_page_points_to_is_there(released: Path):
    for page in (released / "README.md", released / "docs" / "learning.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), target


def test_the_manifest_counts_what_was_left_out(released: Path):
    found = manifest(released)
    assert found is not None
    assert not found.whole
    for entry in entries():
        infos, part = checks_of(entry.suite), found.exercises[entry.stem]
        kept = checks_of(released / "tests" / entry.suite.name)
        assert part.hidden == len(infos) - len(kept) > 0
        assert part.points == sum(info.points for info in infos)
        assert not any(info.hidden for info in kept)
    assert [stem for stem, part in found.exercises.items() if part.solution] == ["ex02_tokenizers", "ex03_embeddings"]


# ---- what it does ---------------------------------------------------------------------------------------------------


def test_untouched_stubs_are_to_do(run: Run):
    done = run("test", "--plain")
    assert done.returncode == 0
    assert f"0 of {len(entries())} exercises" in done.stdout


def test_right_code_passes_every_public_check_and_hears_of_the_hidden_ones(clone: Path, run: Run, tmp_path: Path):
    solve(clone, *(entry.label for entry in entries()))
    done = run("test", "--plain", "--json", str(tmp_path / "r.json"))
    assert done.returncode == 0, done.stdout
    document = json.loads((tmp_path / "r.json").read_text())
    assert all(check["status"] == "pass" for exercise in document["exercises"] for check in exercise["checks"])
    hidden = sum(info.hidden for info in checks_of(find(["ex05"])[0].suite))
    assert f"ex05: public checks passed; {hidden} hidden checks run when it is graded." in done.stdout
    assert "Everything released so far passes." in done.stdout


def test_a_mistake_is_named_shown_and_called_by_recorded_numbers(clone: Path, run: Run):
    solve(clone, "ex01", "ex04")
    (entry,) = find(["ex04"])
    known = json.loads((clone / "recorded" / "misconceptions" / f"{entry.stem}.json").read_text())["singles"]
    (mistake,) = (each for each in catalogue(entry) if each.id == "cosine-first")
    assert mistake.id in known
    text = mistake.applied(Source.read(entry.solution, "learner")).text
    (clone / "exercises" / entry.stub.name).write_text(text, encoding="utf-8")
    done = run("test", "ex04", "--plain")
    assert done.returncode == 1
    assert mistake.nudge in " ".join(done.stdout.split())
    whole = " ".join(run("test", "ex04", "--plain", "--all").stdout.split())
    assert mistake.nudge in whole
    assert "sinusoidal_encoding(length, d_model)" in whole
    assert re.search(r"expected +0 +1 +0", done.stdout)


def test_an_exercise_waits_for_the_earlier_ones_that_it_is_built_on(clone: Path, run: Run):
    solve(clone, "ex05")
    done = run("test", "ex05", "--plain")
    assert done.returncode == 1
    assert (
        "ex05 is built on your ex01, which does not pass yet. Go on with exercises/ex01_softmax.py first."
        in " ".join(done.stdout.split())
    )
    solve(clone, "ex01")
    assert run("test", "ex05", "--plain").returncode == 0


def test_checks_are_plain_pytest_tests_there_too(clone: Path, run: Run):
    solve(clone, "ex01")
    done = run("tests/test_ex01_softmax.py", "-q", module="pytest")
    assert "7 passed" in done.stdout


def test_stretch_goals_are_checked_there_too_and_what_solves_them_stays_at_home(clone: Path, run: Run):
    solve(clone, "01")
    done = run("stretch", "01")
    assert (done.returncode, done.stdout.count("Not begun")) == (0, 2), done.stdout + done.stderr
    (entry,) = find(["01"])
    answers = Source.read(ROOT / "solutions" / "stretch" / entry.solution.name, "reference").text
    path = clone / "exercises" / entry.stub.name
    path.write_text(f"{path.read_text('utf-8')}\n\n{answers}", encoding="utf-8")
    done = run("stretch", "01")
    assert (done.returncode, "4 pass" in done.stdout) == (0, True), done.stdout + done.stderr
    path.write_text(path.read_text("utf-8").replace("< choices", "> choices"), encoding="utf-8")
    assert run("stretch", "01").returncode == 1
    suite = clone / "tests" / "stretch" / entry.suite.name
    suite.write_text(suite.read_text("utf-8") + "\n", encoding="utf-8")
    done = run("stretch", "01")
    assert (done.returncode, f"tests/stretch/{entry.suite.name} is not as it was handed out" in done.stderr) == (
        2,
        True,
    )
    assert not list(clone.rglob("solutions/stretch"))
    assert not list(clone.glob("tests/stretch/*.toml"))


def test_another_seed_and_changed_checks_are_refused(clone: Path, run: Run):
    done = run("test", "ex01", "--seed", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "for seed 0 only" in done.stderr
    suite = clone / "tests" / "test_ex01_softmax.py"
    suite.write_text(suite.read_text() + "# mine\n")
    done = run("test", "ex01")
    assert done.returncode == 2
    assert "git checkout -- tests/test_ex01_softmax.py" in done.stderr
    suite.write_bytes(suite.read_bytes().removesuffix(b"# mine\n").replace(b"\n", b"\r\n"))  # as git does on Windows
    assert run("test", "ex01").returncode == 0


def test_an_exercise_can_be_reset_and_written_from_memory(clone: Path, run: Run):
    solve(clone, "ex01")
    assert run("reset", "ex01", "--yes").returncode == 0
    (entry,) = find(["ex01"])
    assert (clone / "exercises" / entry.stub.name).read_text() == generated(entry)
    assert "def softmax" in run("recall", "ex01", "--contract").stdout


def test_a_solution_is_shown_where_it_was_released(run: Run):
    assert "class CharTokenizer" in run("solution", "ex02", "--give-up", "--plain").stdout
    refused = run("solution", "ex01", "--give-up")
    assert refused.returncode == 2
    assert "holds no solutions" in refused.stderr


def test_after_a_pass_it_is_said_what_is_idiomatic_without_a_solution_too(clone: Path, run: Run):
    refused = run("solution", "ex01", "--diff")
    assert (refused.returncode, refused.stdout) == (2, "")
    solve(clone, "ex01")
    assert run("solution", "ex01", "--diff", "--plain").stdout.startswith("Idiomatic in yours:\n")


@pytest.mark.parametrize("command", [["train"], ["train", "--reference"], ["demo"]])
def test_what_needs_later_exercises_says_so(run: Run, command: list[str]):
    done = run(*command, module="lab")
    assert done.returncode == 2
    assert "the exercises here end with ex05_attention" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_counts_hidden_checks_and_all_points(run: Run):
    (entry,) = find(["ex01"])
    infos = checks_of(entry.suite)
    hidden, points = sum(info.hidden for info in infos), sum(info.points for info in infos)
    assert re.search(rf"ex01 .* {points} points  {len(infos)} checks, {hidden} hidden", run("list").stdout)


def test_make_knows_its_targets(clone: Path):
    if shutil.which("make") is None:
        pytest.skip("there is no make")

    def dry(target: str) -> int:
        return subprocess.run(["make", "-n", target], cwd=clone, capture_output=True, check=False).returncode

    assert [dry(target) for target in ("help", "test", "watch", "progress", "hint")] == [0] * 5
    assert [dry(target) for target in ("demo", "train", "check", "release")] == [2] * 4


# ---- the whole, without recording it --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All exercises, without recorded numbers."""
    root = tmp_path_factory.mktemp("files")
    write_files(root, Selection.of())
    return root


@pytest.fixture
def planted(files: Path) -> Iterator[Callable[[str, str], None]]:
    """Append something to a file of the release; it is as it was afterwards."""
    before: dict[Path, str | None] = {}

    def plant(name: str, text: str) -> None:
        path = files / name
        before[path] = path.read_text("utf-8") if path.exists() else None
        path.write_text((before[path] or "") + text, encoding="utf-8")

    yield plant
    for path, text in before.items():
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")


def test_nothing_leaks_from_any_exercise(files: Path):
    assert list(leaks(files, load())) == []
    assert {path.stem for path in (files / "exercises").glob("ex*.py")} == {entry.stem for entry in load()}


def test_what_makes_use_of_the_last_exercise_is_in_the_whole(files: Path):
    assert "train:" in (files / "lab.mk").read_text("utf-8")
    assert "## Your own GPT" in (files / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    "choice",
    [{"only_part": part} for part in dict.fromkeys(entry.part for entry in load())]
    + [{"solutions": f"ex00-{entry.label}"} for entry in load()[::6]]
    + [{"solutions": "ex00-ex23"}],
    ids=str,
)
def test_what_is_released_with_its_solution_is_no_leak(tmp_path: Path, choice: dict[str, Any]):
    """Lines of a solution that comes along may stand in another one, too, or in a hidden check."""
    selection = Selection.of(**choice)
    write_files(tmp_path, selection)
    assert list(leaks(tmp_path, load(), selection.solved)) == []


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.stem)
def test_a_leak_of_any_exercise_is_noticed(files: Path, planted: Callable[[str, str], None], entry: Entry):
    solution = entry.solution.read_text("utf-8")
    regions = re.findall(rf"^ *{BEGIN}\n(.*?)^ *{END}$", solution, re.MULTILINE | re.DOTALL)
    line = max((line for region in regions for line in region.splitlines()), key=len)
    planted(f"exercises/{entry.stem}.py", f"\n{line}\n")
    planted("lab/more.py", solution)
    found = "\n".join(leaks(files, load()))
    assert f"exercises/{entry.stem}.py: {line.strip()}" in found
    assert "lab/more.py: " in found


def test_a_hidden_check_and_an_edit_and_compiled_code_are_noticed(files: Path, planted: Callable[[str, str], None]):
    (entry,) = find(["ex07"])
    tests = entry.suite.read_text("utf-8").splitlines(keepends=True)
    hidden = sorted(inside("".join(tests), HIDDEN))
    planted("tests/test_ex07_multi_head.py", "".join(tests[number - 1] for number in hidden[:8]))
    edit = catalogue(entry)[0].edits[0][1]
    planted("tests/misconceptions/ex07_multi_head.toml", f"# {edit}\n")
    (files / "lab" / "more.pyc").write_bytes(b"\xcb\x0d\xff")
    found = list(leaks(files, load()))
    (files / "lab" / "more.pyc").unlink()
    for name in ("tests/test_ex07_multi_head.py", "tests/misconceptions/ex07_multi_head.toml", "lab/more.pyc"):
        assert any(line.startswith(f"{name}: ") for line in found), name


# ---- when it can't be done ------------------------------------------------------------------------------------------


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(GraderError, match="not empty, and nothing is ever written over"):
        build(tmp_path, Selection.of("ex01"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(GraderError, match="is a file"):
        check_free(tmp_path / "mine.txt")
    with pytest.raises(GraderError, match="inside this project"):
        check_free(ROOT / "release")


def test_nothing_is_left_behind_when_something_would_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(building, "record", lambda *_: None)
    monkeypatch.setattr("grader.staff.release.cutting.public_checks", lambda text: text)
    with pytest.raises(GraderError, match="something would leak"):
        build(tmp_path / "out", Selection.of("ex01"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("until", "solutions", "says"),
    [
        ("ex99", None, "is not an exercise"),
        (None, "ex04-ex01", "is not a range"),
        ("ex03", "ex02-ex04", "ends with ex03"),
        (None, "ex01-ex99", "is not an exercise"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(until: str | None, solutions: str | None, says: str):
    with pytest.raises(GraderError, match=says):
        Selection.of(until, solutions)


def test_the_course_is_whole_without_its_bonus():
    last = [entry for entry in load() if not entry.bonus][-1]
    assert Selection.of(last.stem).whole
    assert Selection.of().whole
    assert not Selection.of(load()[load().index(last) - 1].stem).whole


def test_one_part_comes_with_the_solutions_of_what_it_needs():
    part = next(entry.part for entry in load() if entry.bonus)
    chosen = Selection.of(only_part=part)
    inside_ = [entry for entry in load() if entry.part == part]
    needed = {stem for entry in inside_ for stem in entry.needs} - {entry.stem for entry in inside_}
    assert needed
    assert chosen.solved == needed
    assert [entry.stem for entry in chosen.entries] == [
        entry.stem for entry in load() if entry in inside_ or entry.stem in needed
    ]
    assert not chosen.whole
    assert Selection.of(inside_[0].stem, only_part=part).entries[-1] == inside_[0]
    with pytest.raises(GraderError, match="not a part"):
        Selection.of(only_part="Part of nothing")
    with pytest.raises(GraderError, match="up to"):
        Selection.of("ex00", only_part=part)
    with pytest.raises(GraderError, match="comes with"):
        Selection.of(solutions="ex01", only_part=part)


def test_one_solution_is_a_range_too():
    assert Selection.of("ex03", "ex02").solved == {"ex02_tokenizers"}


@pytest.mark.parametrize("text", ["", "[]", '{"format": 7}', '{"format": 1, "exercises": {"a": {}}}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(GraderError, match=FILE):
        manifest(tmp_path)
    assert manifest(tmp_path / "elsewhere") is None
