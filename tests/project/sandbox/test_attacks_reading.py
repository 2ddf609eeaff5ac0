"""What was handed in is parsed in processes with limits alone; what these can't do is its author's line."""

from __future__ import annotations

import builtins
import os
import signal
import symtable
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.content.suite import asked_of
from grader.content.syllabus import Entry, find, load
from grader.grading import Grading
from grader.judging.rules import NotLookedAt, Rules
from grader.probing.assembly import Source
from grader.results import Result
from grader.sandbox.levels import probe
from grader.sandbox.runner import IsolatedRunner, JudgeDied
from grader.staff.batch import unit
from grader.staff.intake.reader import Unusable, take
from grader.staff.nbgrader import judging
from grader.workers import confined
from grader.workers.confined import Ended, Unanswered
from grader.workers.inspection import Inspection
from grader.workers.runner import Runner
from grader.written import PIECES_LIMIT, Written, imported

(ENTRY,) = find(["01"])
MARK = "qqzzq"  # a name that stands in what was handed in and nowhere else
RIGHT = Source.read(ENTRY.solution, "reference").text.replace("from __future__ import annotations\n", "")

pytestmark = pytest.mark.skipif(probe().name == "none", reason="no sandbox here")


def handed_in(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, text in texts.items():
        (folder / f"{stem}.py").write_text(text, encoding="utf-8")
    return folder


class Spy:
    """Notes which texts this process parses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen = False
        for module, name in ((builtins, "compile"), (symtable, "symtable"), (tokenize, "generate_tokens")):
            monkeypatch.setattr(module, name, self._spied(getattr(module, name)))

    def _spied(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def spied(text: Any, *arguments: Any, **options: Any) -> Any:
            self.seen = self.seen or (isinstance(text, str) and MARK in text)
            return function(text, *arguments, **options)

        return spied


HANDED_IN = {
    "right": {ENTRY.stem: f"import helper\n{RIGHT}\n{MARK} = 1\n"},
    "wrong": {ENTRY.stem: f"def softmax(x, axis=-1):\n    {MARK} = 2 * x\n    return {MARK}\n"},
    "off limits": {
        ENTRY.stem: f"import torch\ndef softmax({MARK}, axis=-1):\n    return torch.softmax({MARK}, axis)\n"
    },
    "no python": {ENTRY.stem: f"def softmax(:\n    {MARK}\n"},
    "raises": {ENTRY.stem: f"def softmax(x, axis=-1):\n    {MARK} = 1 / 0\n"},
    "another signature": {ENTRY.stem: f"def softmax({MARK}):\n    return {MARK}\n"},
    "dies": {ENTRY.stem: f"import os\ndef softmax(x, axis=-1):\n    {MARK} = os.kill(os.getpid(), 9)\n"},
}


@pytest.mark.parametrize("what", HANDED_IN)
def test_grading_a_submission_parses_none_of_it_in_its_own_process(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = handed_in(tmp_path / "s", **HANDED_IN[what], helper=f"{MARK}_too = 1\n")
    with IsolatedRunner(3) as runner:
        spy = Spy(monkeypatch)
        with Grading(folder, runner=runner, written=take(folder, [ENTRY])) as grading:
            result = grading.run([ENTRY])
        assert result.exercises[0].status != "todo"
        assert not spy.seen
        runner.begin()
        with Grading(folder, runner=runner, written=runner.read(folder)) as grading:
            assert grading.run([ENTRY]).exercises[0].status == result.exercises[0].status
        assert not spy.seen
    with Grading(folder, 3) as grading:  # the learner's own grading does: the spy sees what there is to see
        grading.attempt(ENTRY).first_rungs()
    assert spy.seen


def test_nbgraders_judge_parses_no_notebook_in_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from nbformat import v4, write

    from grader.nb.module import module_of

    cell = v4.new_code_cell(f"def softmax({MARK}, axis=-1):\n    return {MARK}\n")
    cell.metadata["nbgrader"] = {"grade_id": "solution-softmax", "solution": True}
    folder = tmp_path / "submitted" / "ada" / ENTRY.stem
    folder.mkdir(parents=True)
    write(v4.new_notebook(cells=[cell]), folder / f"{ENTRY.stem}.ipynb")
    spy = Spy(monkeypatch)
    request = {"submitted": str(tmp_path / "submitted"), "student": "ada", "assignment": ENTRY.stem}
    budget = {"wall": 60.0, "cpu": 60.0, "memory": 1 << 30, "check": 10.0}
    try:
        answer = judging.answer({**request, "stem": ENTRY.stem, "seed": 3, "budget": budget})
    finally:
        unit.close()
    assert "softmax" in answer["places"]
    assert not spy.seen
    module_of(ENTRY, (folder / f"{ENTRY.stem}.ipynb").read_text())
    assert spy.seen


LINKS = {
    "a long name": ("a" * 250, "somewhere"),
    "bytes that are no text": ("x.py", "/caf\udce9"),
    "a name that is no text": ("caf\udce9.py", "somewhere"),
    "an escape sequence": ("\x1b[2J.ipynb", "\x1b]0;x\x07"),
    "a name with a dot in front": (".x", "/etc/passwd"),
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_of_any_name_is_replaced_by_a_note_before_nbgrader_copies(kind: str, tmp_path: Path):
    from grader.staff.nbgrader.steps.copying import before_copying

    name, target = LINKS[kind]
    (tmp_path / name).symlink_to(target)
    book = tmp_path / f"{ENTRY.stem}.ipynb"
    book.write_text("{}")
    before_copying(ENTRY.stem, "ada", [str(book)])
    assert not any(path.is_symlink() for path in tmp_path.iterdir())
    (note,) = tmp_path.glob("*.link.txt")
    assert note.read_text().rstrip("\n").isprintable()


# ---- what takes too much ---------------------------------------------------------------------------------------------


def nested_finally(depth: int) -> str:
    """A thousand characters that compile to gigabytes: each `finally` is there twice."""
    lines = [f"{'  ' * i}try:\n{'  ' * i}  a()\n{'  ' * i}finally:\n" for i in range(depth)]
    return "".join(lines) + "  " * depth + "b()\n"


BOMBS = {
    "finally in finally": nested_finally(20),
    "a chain of elif": "if x: pass\n" + "elif x: pass\n" * 50_000,
    "powers": f"x = {'**'.join(['9'] * 3000)}\n",
    "lambdas": f"x = {'lambda: ' * 3000}1\n",
    "more than anybody writes": "x = 1; " * (PIECES_LIMIT // 4),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_source_that_would_be_a_burden_to_the_judge_is_not_taken(kind: str, tmp_path: Path):
    folder = handed_in(tmp_path / "s", **{ENTRY.stem: f"{BOMBS[kind]}\n{RIGHT}", "ex02_tokenizers": "x = 1\n"})
    with IsolatedRunner(3) as runner:
        for read in (lambda: take(folder, [ENTRY]), lambda: runner.read(folder)):
            written = read()
            assert ENTRY.stem in written.unreadable, "it is no bomb: it can be read"
            assert "ex02_tokenizers" in written.sources
            with Grading(folder, runner=runner, written=written) as grading:
                (exercise,) = grading.run([ENTRY]).exercises
            assert {check.status for check in exercise.checks} <= {"error", "blocked"}
            assert "Error" not in exercise.checks[0].message


def test_longest_reference_is_far_from_too_long():
    import ast

    sizes = [sum(1 for _ in ast.walk(ast.parse(Source.read(e.solution, "reference").text))) for e in load()]
    assert max(sizes) * 10 < PIECES_LIMIT


def graded(written: Written, look: Callable[[dict[str, Any]], dict[str, Any]], entries: list[Entry]) -> Result:
    """Grade with something else in the place of the process that looks at sources."""
    with IsolatedRunner(3) as runner:
        runner._inspection._process.ask = look  # type: ignore[method-assign, assignment]
        with Grading(Path("ada"), runner=runner, written=written) as grading:
            return grading.run(entries)


def exceeds(kind: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What looks, except at the texts of exercise 1."""
    from grader.workers.inspection import answer

    def look(request: dict[str, Any]) -> dict[str, Any]:
        if kind in request and (MARK in str(request[kind])):
            raise Unanswered("it takes more than 20 seconds of processor time")
        return answer(request)

    return look


@pytest.mark.parametrize("kind", ["imports_of", "texts"])
def test_what_takes_too_much_to_look_at_is_its_authors_line(kind: str):
    two = find(["02"])[0]
    right = Source.read(two.solution, "reference").text
    texts = {ENTRY.stem: f"{RIGHT}\n{MARK} = 1\n", two.stem: right}
    written = Written({stem: Source(stem, Path(f"{stem}.py"), text, "learner") for stem, text in texts.items()})
    one, other = graded(written, exceeds(kind), [ENTRY, two]).exercises
    assert one.points == 0
    assert one.checks[0].message == (
        f"{ENTRY.stem}.py: it takes more than 20 seconds of processor time. "
        "Nothing of it can be graded: make it shorter and simpler."
    )
    assert other.status == "pass"


def test_a_helper_that_takes_too_much_to_look_at_is_named():
    texts = {ENTRY.stem: f"from .helper import x\n{RIGHT}", "helper": f"{MARK} = x = 1\n"}
    written = Written({stem: Source(stem, Path(f"{stem}.py"), text, "learner") for stem, text in texts.items()})
    (one,) = graded(written, exceeds("imports_of"), [ENTRY]).exercises
    assert one.checks[0].message.startswith("helper.py: it takes more than")


def test_who_ends_the_process_that_looks_costs_nobody_a_point():
    inspection = Inspection()
    ask = inspection._process._ask

    def killed(request: dict[str, Any]) -> dict[str, Any]:
        ask({"imports_of": "", "stems": []})
        assert inspection._process._worker is not None
        os.kill(inspection._process._worker.serving, signal.SIGKILL)
        return ask(request)

    inspection._process._ask = killed  # type: ignore[method-assign]
    with pytest.raises(Ended):
        inspection.imported(ENTRY.stem, RIGHT, [])
    inspection.close()

    def ended(_: dict[str, Any]) -> dict[str, Any]:
        raise Ended("the process that reads it was ended (9)")

    written = Written({ENTRY.stem: Source(ENTRY.stem, Path(f"{ENTRY.stem}.py"), RIGHT, "learner")})
    with pytest.raises(JudgeDied):
        graded(written, ended, [ENTRY])


def test_a_crash_in_reading_is_its_authors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from grader.staff.intake import reader

    folder = handed_in(tmp_path / "s", **{ENTRY.stem: RIGHT})
    ask = reader._reader._ask

    def crashed(request: dict[str, Any]) -> dict[str, Any]:
        ask({"notebook": "nowhere"})
        assert reader._reader._worker is not None
        os.kill(reader._reader._worker.serving, signal.SIGSEGV)
        return ask(request)

    monkeypatch.setattr(reader._reader, "_ask", crashed)
    with pytest.raises(Unusable, match="it is damaged, or made in a way that nothing here can read") as caught:
        take(folder)
    assert "signal 11" in caught.value.details[0]
    monkeypatch.undo()
    assert take(folder).sources[ENTRY.stem].text == RIGHT


def test_too_much_memory_is_an_answer_and_the_next_request_has_one():
    inspection = Inspection()
    deep = "x = " + "-" * 100_000 + "1\n"
    with pytest.raises(NotLookedAt):
        inspection.look("s", {"s": deep}, ["torch"], [])
    assert inspection.imported("s", "import torch, helper\n", ["helper"]) == {"helper"}
    inspection.close()


# ---- it sees what is seen without it ---------------------------------------------------------------------------------


def test_it_sees_in_its_process_what_is_seen_here():
    inspection = Inspection()
    forbidden = "import torch.nn.functional as F\ndef f(x): return F.softmax(x)\nq = isinstance(1, F.Tensor)\n"
    for entry in load():
        text = Source.read(entry.solution, "reference").text
        for texts in ({entry.stem: text}, {entry.stem: f"{text}\n{forbidden}", "other": "import torch\n"}):
            forbids = [*entry.forbids, "torch.nn.functional*"]
            look = Rules(entry.stem, texts, forbids, asked_of(entry.suite)).look()
            assert inspection.look(entry.stem, texts, forbids, asked_of(entry.suite)) == look
        stems = [other.stem for other in load()]
        assert inspection.imported(entry.stem, text, stems) == imported(text, stems)
    assert look.violations
    inspection.close()


def test_both_runners_have_it():
    with Runner(0) as here, IsolatedRunner(0) as isolated:
        for runner in (here, isolated):
            assert runner.look("s", {"s": "import torch\ntorch.x\n"}, ["torch"], []).violations
            with pytest.raises(NotLookedAt):
                runner.look("s", {"s": "x = " + "[" * 180 + "]" * 180}, ["torch"], [])


def test_limits_are_set_in_the_process():
    inspection = Inspection()
    inspection.imported("s", "", [])
    worker = inspection._process._worker
    assert worker is not None
    limits = Path(f"/proc/{worker.serving}/limits").read_text()
    soft = {line[:25].strip(): line.split()[-3] for line in limits.splitlines()[1:]}
    assert soft["Max address space"] != "unlimited"
    assert int(soft["Max address space"]) < confined.MEMORY + (2 << 30)
    assert int(soft["Max cpu time"]) <= confined.CPU + 60
    inspection.close()
