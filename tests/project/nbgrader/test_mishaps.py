"""What goes wrong in a course: a mistake in its configuration, answers that attack, notebooks under other names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbgrader", reason="nbgrader is not installed: pip install -e '.[nbgrader]'")

from grader.content.suite import checks_of
from grader.files import ROOT
from grader.sandbox.levels import probe
from grader.staff.intake.choice import NOTEBOOK_LIMIT
from grader.staff.nbgrader.course import write_course
from grader.staff.nbgrader.steps.harmless import harmless
from tests.project.nbgrader.conftest import ENTRY, Course, solution
from tests.project.nbgrader.submissions import answer

LEVEL = probe()
full = pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing))
TOTAL = sum(info.points for info in checks_of(ENTRY.suite))


# ---- answers --------------------------------------------------------------------------------------------------------

IMG = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "attack",
    [
        IMG,
        f"`{IMG}``",
        f"``{IMG}`",
        f"\\`{IMG}\\`",
        f"$`$ {IMG} `",
        f"| a | `b |\n|---|---|\n| {IMG} | ` |",
        f"# `{IMG}\n`",
        f"    `\n\n{IMG}`",
        f"<!-- `--> {IMG} `",
        "<<img src=x onerror=alert(1)>",
        "<a href=javascript:alert(1)>x</a>",
        "<javascript:alert(1)>",
        "[x](javascript:alert(1))",
        "[x][y]\n\n[y]: javascript:alert(1)",
        "[y]\n\n[y]: javascript:alert(1)",
        "![x](javascript:alert(1))",
        "<svg onload=alert(1)>",
        "</div><script>alert(1)</script>",
        "<?php ?><style>*{display:none}</style>",
    ],
)
def test_an_answer_makes_no_tag_and_no_link(attack: str) -> None:
    from nbconvert.filters import markdown2html

    assert re.search(r"<(img|a|svg|script|style)\b|javascript:[^<]*\"", markdown2html(attack), re.IGNORECASE)
    page = re.sub(r'<a class="anchor-link" href="#[^"]*">', "", markdown2html(harmless(attack)))  # of a heading
    tags = {name.lower() for name in re.findall(r"<([a-z]\w*)", page, re.IGNORECASE)}
    assert tags <= {"p", "pre", "code", "h1", "table", "thead", "tbody", "tr", "th", "td", "div", "span", "br"}, page
    assert 'href="' not in page


def test_what_people_write_looks_the_same() -> None:
    from nbconvert.filters import markdown2html

    for text in (
        "`a < b`",
        "$j < i$",
        "a list[i] of *things*, x <= 3 and $\\alpha_{ij}$",
        "```python\nif a < b: pass\n```",
    ):
        assert harmless(text) == text
    assert "$j&lt; i$" in markdown2html(harmless("$j<i$"))
    assert r"\ href{x}{y}" in harmless(r"$\href{x}{y}$")


ACTING = (
    *("href", "href1", "href_", "mmlToken", "bbox", "unicode", "texttip", "toggle", "let", "def", "newcommand"),
    *("renewcommand", "htmlData", "cssId", "require", "enclose", "style", "csname", "url", "data", "class"),
)


@pytest.mark.parametrize("command", ACTING)
@pytest.mark.parametrize("before", ["", "\\", " x", "\\ "])
def test_a_formula_that_acts_is_taken_apart(command: str, before: str) -> None:
    assert f"\\{command}" not in harmless(f"${before}\\{command}{{x}}{{y}}$")


SHOWING = (
    r"\alpha \cdot \frac{a}{b}",
    r"\left[ x \right]",
    r"\text{if } \lambda",
    r"\hat x \bar y",
    r"\default \letter",
)


@pytest.mark.parametrize("formula", SHOWING)
def test_a_formula_that_shows_something_stays(formula: str) -> None:
    assert harmless(f"${formula}$") == f"${formula}$"


# ---- the configuration ----------------------------------------------------------------------------------------------


def nbgrader(course: Course, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the folder of a course, as an instructor does."""
    return subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@full
def test_with_a_mistake_in_the_configuration_no_code_of_students_runs(course: Course, tmp_path: Path) -> None:
    """nbgrader then goes on without it, and executes notebooks: it must find no kernel to do so."""
    from nbgrader.api import Gradebook

    ran = tmp_path / "ran"
    notebook = course.notebook()
    source = f"open({str(ran)!r}, 'w')"
    cell: dict[str, Any] = {"cell_type": "code", "id": "x", "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"].insert(0, cell | {"source": source})
    course.hand_in("eve", solution(), notebook)
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text(encoding="utf-8") + "c.Deadlines.deadlines = {\n", encoding="utf-8")
    done = nbgrader(course, "autograde", course.name, "--student=eve")
    assert done.returncode != 0
    assert "no-kernel" in done.stderr
    assert not ran.exists()

    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as gradebook:  # without that name, it would have run
        gradebook.find_notebook(course.name, course.name).kernelspec = json.dumps(
            {"name": "python3", "display_name": "Python 3"}
        )
        gradebook.db.commit()
    done = nbgrader(course, "autograde", course.name, "--student=eve")
    assert ran.exists(), done.stderr


@full
@pytest.mark.parametrize(
    ("deadlines", "says"),
    [
        (
            {ENTRY.stem: "2026-13-45 25:10 UTC"},
            "'2026-13-45 25:10 UTC' is not a time for 'ex01_softmax'. Write it like",
        ),
        ({ENTRY.stem: 3}, "3 is not a time"),
        ({"ex01": "2027-01-31 23:59 UTC"}, "there is no assignment 'ex01'. They have names like 'ex00_rnn'"),
    ],
)
def test_a_mistaken_deadline_is_told_and_nothing_is_lost(course: Course, deadlines: Any, says: str) -> None:
    course.hand_in("ada", solution())
    course.autograde("ada")
    api = course.opened(Deadlines={"deadlines": deadlines})
    for result in (api.autograde(course.name, "ada"), api.generate_assignment(course.name)):
        assert not result["success"]
        assert says in result["log"], result
    assert course.points("ada") == TOTAL
    for folder in ("autograded/ada", "release"):
        assert (course.root / folder / course.name / f"{course.name}.ipynb").exists()


def test_force_keeps_the_configuration_and_copies_of_the_rest(tmp_path: Path) -> None:
    root = tmp_path / "course"
    write_course(root, [ENTRY])
    config, stub = root / "nbgrader_config.py", root / "source" / ENTRY.stem / ENTRY.stub.name
    for path in (config, stub):
        path.write_text("# mine\n", encoding="utf-8")
    assert set(write_course(root, [ENTRY]).edited) == {"nbgrader_config.py", f"source/{ENTRY.stem}/{ENTRY.stub.name}"}
    assert write_course(root, [ENTRY], force=True).edited == ("nbgrader_config.py",)
    assert config.read_text(encoding="utf-8") == "# mine\n" != stub.read_text(encoding="utf-8")
    (copy,) = (root / "backups").rglob("*.py")
    assert copy.read_text(encoding="utf-8") == "# mine\n"


# ---- notebooks ------------------------------------------------------------------------------------------------------


@full
def test_the_only_notebook_counts_under_any_name(course: Course) -> None:
    folder = course.hand_in("ada", solution())
    shutil.move(folder / f"{course.name}.ipynb", folder / "my work.ipynb")
    course.autograde("ada")
    assert course.points("ada") == TOTAL


@full
def test_outputs_of_many_megabytes_cost_nothing(course: Course) -> None:
    notebook = answer(course.notebook(), "Where the chance underflows.")
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * (12 << 20)}]
    course.hand_in("ada", solution(), notebook)
    course.autograde("ada")
    graded = course.root / "autograded" / "ada" / course.name / f"{course.name}.ipynb"
    assert "Where the chance underflows." in graded.read_text(encoding="utf-8")
    assert course.grades("ada")["in-your-own-words"] is None


@full
def test_a_notebook_that_cannot_be_read_waits_for_somebody(course: Course) -> None:
    course.hand_in("ada", solution(), "{" + " " * NOTEBOOK_LIMIT)
    course.autograde("ada")
    graded = course.root / "autograded" / "ada" / course.name / f"{course.name}.ipynb"
    assert "could not be read: it is larger than 32 MiB" in graded.read_text(encoding="utf-8")
    assert course.grades("ada")["in-your-own-words"] is None
    assert course.points("ada") == TOTAL


@full
def test_whoever_marks_reads_the_lesson_once(course: Course) -> None:
    course.hand_in("ada", solution())
    course.autograde("ada")
    graded = course.root / "autograded" / "ada" / course.name / f"{course.name}.ipynb"
    cells = json.loads(graded.read_text(encoding="utf-8"))["cells"]
    (shown,) = (cell["source"] for cell in cells if cell["id"] == "handed-in")
    assert "def softmax" in "".join(shown)
    assert "By hand" not in "".join(shown)
