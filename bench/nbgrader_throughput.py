"""nbgrader-throughput: seconds per submission of `nbgrader autograde`, with this project's judge and as nbgrader comes.

Both grade the same files by the same checks. As it comes, nbgrader executes each notebook in a kernel of its own, and
the checks run in there, beside what the student wrote. What that means for the scores is the second half: submissions
that attack what grades them. Each has to change a score there (else it would be none), and none may change one here.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from bench.grade_throughput import EX, written
from bench.measure import Row, in_turn
from grader.files import ROOT
from grader.misconceptions.catalogue import catalogue
from grader.probing.assembly import read_folder
from grader.sandbox import levels
from grader.staff.nbgrader.course import write_course

CLASS = [("right", number) for number in range(12)] + [("wrong", number) for number in range(8)]
AS_IT_COMES = f"""\
from pathlib import Path
c = get_config()
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.Autograde.exclude_overwriting = {{"{EX.stem}": ["{EX.stub.name}"]}}
c.Execute.timeout = 120
"""
BLANK = (
    "get_ipython().input_transformers_cleanup.append(\n"
    "    lambda lines: ['pass\\n'] if any('check(' in line for line in lines) else lines\n"
    ")\n"
)


@dataclass(frozen=True)
class Attack:
    """A wrong submission's attempt to be graded better: cells that are added, code in the file, a file beside it."""

    name: str
    before: str = ""  # a cell in front of the first one of the notebook's code
    after: str = ""  # a cell behind it
    code: str = ""  # at the end of the student's file
    beside: dict[str, str] = field(default_factory=dict)
    flips: bool = False  # turns the test cells into answer cells


ATTACKS = (
    Attack(
        "replaces the comparison",
        after="from grader.judging.judge import Judge\nJudge.compare = lambda *_, **__: None",
    ),
    Attack("replaces check", after="check = lambda group: None"),
    Attack("blanks later cells by an input transformer", after=BLANK),
    Attack(
        "takes the reference from the disk",
        before="import grader, pathlib\n"
        f"solution = pathlib.Path(grader.__file__).parents[1] / 'solutions' / '{EX.solution.name}'\n"
        f"pathlib.Path('{EX.stub.name}').chmod(0o644)\n"
        f"pathlib.Path('{EX.stub.name}').write_text(solution.read_text())",
    ),
    Attack(
        "takes the reference from memory",
        code="\n\n_own = scaled_dot_product_attention\n\n\n"
        "def scaled_dot_product_attention(*args, **kwargs):\n"
        "    import gc, types\n"
        "    all_ = [each for each in gc.get_objects() if type(each) is types.FunctionType]\n"
        "    same = [each for each in all_ if each.__name__ == _own.__name__]\n"
        "    found = [each for each in same if 'solutions' in each.__code__.co_filename]\n"
        "    return (found or [_own])[0](*args, **kwargs)\n",
    ),
    Attack("ends the kernel", after="import os\nos._exit(0)"),
    Attack(
        "lays a numpy.py beside it",
        beside={"numpy.py": f"import sys\nfrom IPython import get_ipython\n{BLANK}del sys.modules['numpy']\n"
                "sys.path.remove('')\nimport numpy\n"},
    ),
    Attack("turns test cells into answer cells", flips=True),
    Attack(
        "writes into gradebook.db",
        after="import sqlite3\n"
        "with sqlite3.connect('../../../gradebook.db', timeout=30) as book:\n"
        "    book.execute('update grade set manual_score = '\n"
        "                 '(select max_score from grade_cells where grade_cells.id = grade.cell_id)')",
    ),
)  # fmt: skip


class Course:
    """A course folder with its submissions, and what nbgrader does with it."""

    def __init__(self, folder: Path, judged: bool) -> None:
        self.folder = folder
        self.judged = judged
        write_course(folder, [EX])
        if not judged:
            (folder / "nbgrader_config.py").write_text(AS_IT_COMES, encoding="utf-8")
            source = folder / "source" / EX.stem / f"{EX.stem}.ipynb"
            text = source.read_text(encoding="utf-8")
            assert text.count("from grader.nb import") == 1
            source.write_text(text.replace("from grader.nb import", "from bench.in_kernel import"), encoding="utf-8")
        self.nbgrader("generate_assignment", EX.stem)

    def nbgrader(self, *arguments: str, check: bool = True) -> float:
        """Run a command of nbgrader in a fresh process; returns the seconds that it takes."""
        started = time.perf_counter()
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # for alembic
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }
        command = [sys.executable, "-m", "nbgrader", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stderr[-4000:]}")
        return time.perf_counter() - started

    def hand_in(self, student: str, code: str, attack: Attack | None = None) -> None:
        """Put what a student hands in where nbgrader's collect puts it."""
        folder = self.folder / "submitted" / student / EX.stem
        shutil.copytree(self.folder / "release" / EX.stem, folder)
        (folder / EX.stub.name).write_text(code + (attack.code if attack else ""), encoding="utf-8")
        if attack is None:
            return
        for name, text in attack.beside.items():
            (folder / name).write_text(text, encoding="utf-8")
        path = folder / f"{EX.stem}.ipynb"
        book = nbformat.read(path, as_version=4)
        place = next(place for place, cell in enumerate(book.cells) if cell.cell_type == "code")
        for source, where in ((attack.after, place + 1), (attack.before, place)):
            if source:
                book.cells.insert(where, new_code_cell(source))
        for cell in book.cells if attack.flips else ():
            if cell.metadata.get("nbgrader", {}).get("grade"):
                cell.metadata.nbgrader.update(solution=True, locked=False)
        nbformat.write(book, path)

    def seconds(self, student: str = "*", count: int = 1) -> float:
        """Seconds per submission to grade one student, or all."""
        return self.nbgrader("autograde", EX.stem, "--force", f"--student={student}") / count

    def points(self) -> dict[str, float | None]:
        """The points for the checks by student, as the gradebook has them; None for one that could not be graded."""
        query = """
            select submitted_assignment.student_id, sum(coalesce(grade.manual_score, grade.auto_score))
            from submitted_assignment
            join submitted_notebook on submitted_notebook.assignment_id = submitted_assignment.id
            join grade on grade.notebook_id = submitted_notebook.id
            join base_cell on base_cell.id = grade.cell_id
            where base_cell.name like 'check-%'
            group by submitted_assignment.student_id
        """
        with sqlite3.connect(self.folder / "gradebook.db") as book:
            return dict(book.execute(query))


def attacked(judged: Course, stock: Course, wrong: str) -> Iterator[Row]:
    """A row for each attack: by how much it changes the score of the same code without it."""
    for course in (judged, stock):
        course.hand_in("plain", wrong)
        course.seconds("plain")
    base, expected = judged.points()["plain"], stock.points()["plain"]
    assert base is not None, "the submission that is to be attacked could not be graded"
    assert base == expected, f"both must give the same points for the same code: {base}, {expected}"
    for run, attacks in enumerate((ATTACKS[:-1], ATTACKS[-1:])):  # the last one changes everybody's scores
        for course in (judged, stock):
            for number, attack in enumerate(attacks):
                course.hand_in(f"attack-{run}-{number}", wrong, attack)
            course.nbgrader("autograde", EX.stem, f"--student=attack-{run}-*", check=False)
        found = judged.points(), stock.points()
        for number, attack in enumerate(attacks):
            ours, theirs = (points.get(f"attack-{run}-{number}") for points in found)
            assert ours is not None, f"{attack.name}: no grade"
            assert ours == base, f"{attack.name}: {base} points without it, {ours} with it"
            assert theirs != base, f"{attack.name} does nothing in a kernel, so it proves nothing here"
            note = f"in a kernel: {'no grade' if theirs is None else f'{theirs:g}'} instead of {base:g}"
            yield Row(f"nbgrader, {attack.name}", ours - base, None, "points", 1, note)


def rows(runs: int) -> Iterator[Row]:
    """One submission, then the class in one run, then the attacks."""
    if levels.probe().name != "full":
        return
    reference = read_folder(ROOT / "solutions", "reference")[EX.stem]
    with tempfile.TemporaryDirectory() as scratch:
        judged, stock = Course(Path(scratch) / "judged", True), Course(Path(scratch) / "stock", False)
        for number, (kind, which) in enumerate(CLASS):
            for course in (judged, stock):
                course.hand_in(f"student-{number:02}", written(kind, which, reference))
        one, every = "student-00", len(CLASS)
        ours, theirs = in_turn(lambda: judged.seconds(one), lambda: stock.seconds(one), runs, warm_up=0)
        yield Row("nbgrader-throughput, 1 in a run", ours, theirs, "s", runs, "theirs: executed in a kernel")
        times = max(1, runs // 3)
        ours, theirs = in_turn(
            lambda: judged.seconds(count=every), lambda: stock.seconds(count=every), times, warm_up=0
        )
        assert judged.points() == stock.points(), "both must give the same points"
        yield Row(f"nbgrader-throughput, {every} in a run", ours, theirs, "s", times, "at least 5x")
        yield from attacked(judged, stock, catalogue(EX)[0].applied(reference).text)
