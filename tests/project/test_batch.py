"""Grading a whole class: every submission gets its verdict, whatever the others do and whatever happens."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import find
from grader.files import ROOT
from grader.grading import Grading
from grader.probing.assembly import Source
from grader.results import Result
from grader.sandbox.levels import probe
from grader.sandbox.runner import Budget, IsolatedRunner, JudgeDied
from grader.staff.batch.record import Record, digest
from grader.staff.batch.run import TRIES, Batch
from grader.staff.batch.unit import Task
from grader.workers.process import WorkerProcess
from grader.written import Written

pytestmark = pytest.mark.skipif(
    (level := probe()).name != "full", reason=f"code can't be isolated in full here: {'; '.join(level.missing)}"
)
(SOFTMAX,) = find(["01"])
RIGHT = Source.read(SOFTMAX.solution, "reference").text
FULL = sum(info.points for info in checks_of(SOFTMAX.suite))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "grader", "grade", *map(str, arguments), "--only", "01", "--plain"]


def grade(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command; ex01 alone."""
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def points(out: Path) -> dict[str, int]:
    with (out / "students.csv").open(newline="") as file:
        return {row["student"]: int(row["points"]) for row in csv.DictReader(file)}


def hand_in(folder: Path, student: str, text: str) -> None:
    (folder / student).mkdir(parents=True)
    (folder / student / SOFTMAX.stub.name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One batch with every kind of submission in it."""
    root = tmp_path_factory.mktemp("class")
    folder, out = root / "submissions", root / "results"
    hand_in(folder, "right", RIGHT)
    hand_in(folder, "copy", RIGHT)
    wrong = RIGHT.replace("np.exp(", "np.exp2(")
    assert wrong != RIGHT
    hand_in(folder, "wrong", wrong)
    hand_in(folder, "loop", RIGHT + "\nwhile True:\n    pass\n")
    hand_in(folder, "quits", RIGHT + "\nimport os\nos._exit(0)\n")
    hand_in(folder, "syntax", "def softmax(:\n")
    hand_in(folder, "=cmd()", RIGHT)
    (folder / "nothing").mkdir()
    with zipfile.ZipFile(folder / "zipped.zip", "w") as archive:
        archive.writestr(f"homework/{SOFTMAX.stub.name}", RIGHT)
    (folder / "broken.zip").write_bytes(b"PK")
    return out, grade(folder, "--out", out, "--seed", 7, "--jobs", 2)


def test_every_submission_gets_a_line_and_the_right_ones_all_points(graded):
    out, run = graded
    assert run.returncode == 1, run.stderr
    got = points(out)
    assert got.keys() == {"right", "copy", "wrong", "loop", "quits", "syntax", "'=cmd()", "nothing", "zipped", "broken"}
    assert {name: got[name] for name in ("right", "copy", "'=cmd()", "zipped")} == dict.fromkeys(
        ("right", "copy", "'=cmd()", "zipped"), FULL
    )
    assert {name: got[name] for name in ("loop", "quits", "syntax", "nothing", "broken")} == dict.fromkeys(
        ("loop", "quits", "syntax", "nothing", "broken"), 0
    )
    assert 0 < got["wrong"] < FULL
    assert "8 of 10 submissions graded" in run.stdout
    assert "broken: the archive can't be read" in run.stdout
    assert "nothing: none of the exercises is in it" in run.stdout


def test_each_student_has_a_document_of_their_own(graded):
    import jsonschema

    from grader.results import SCHEMA_FILE

    out, _ = graded
    schema = json.loads(SCHEMA_FILE.read_text())
    files = sorted((out / "students").glob("*.json"))
    assert len(files) == 10
    for path in files:
        record = json.loads(path.read_text())
        assert bool(record["problem"]) != (record["result"] is not None)
        if record["result"] is not None:
            jsonschema.validate(record["result"], schema)
            assert record["result"]["seed"] == 7
            assert record["result"]["isolation"] == "full"


def test_the_tables_and_the_page_tell_the_same(graded):
    out, _ = graded
    with (out / "checks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for student, total in points(out).items():
        assert sum(int(row["points"]) for row in rows if row["student"] == student) == total
    said = {row["check"]: row["words"] for row in rows if row["student"] == "wrong" and row["words"]}
    assert all(row["words"] for row in rows if row["student"] == "wrong" and row["status"] == "fail")
    assert len(said) >= 1
    page = (out / "report.html").read_text()
    assert "10 submissions, 8 graded, seed 7" in page
    assert "copy, loop, quits, right, the reference, wrong, zipped" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_folder_with_results_is_never_overwritten(graded, tmp_path: Path):
    out, _ = graded
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = grade(out.parent / "submissions", "--out", out)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    other = grade(out.parent / "submissions", "--out", tmp_path / "mine")
    assert other.returncode == 2
    assert "not an empty folder" in other.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert (tmp_path / "mine" / "notes.txt").read_text() == "precious"


def test_a_finished_batch_that_is_resumed_grades_nothing(graded):
    out, _ = graded
    stamps = {path: path.stat().st_mtime_ns for path in (out / "students").iterdir()}
    again = grade(out.parent / "submissions", "--out", out, "--resume")
    assert "10 of 10 are graded already" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in (out / "students").iterdir()} == stamps


def test_killed_at_any_moment_nothing_is_lost_or_graded_twice(tmp_path: Path):
    folder, out = tmp_path / "submissions", tmp_path / "results"
    names = [f"s{number:02}" for number in range(12)]
    for name in names:
        hand_in(folder, name, RIGHT)
    process = subprocess.Popen(
        command(folder, "--out", out, "--jobs", 1),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(out.glob("students/*.json"))) < 3:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "students").glob("*.json")}
    assert 3 <= len(kept) < len(names)
    run = grade(folder, "--out", out, "--resume")
    assert run.returncode == 0, run.stderr
    assert f"{len(kept)} of {len(names)} are graded already" in run.stderr
    assert points(out) == dict.fromkeys(names, FULL)
    now = {path.name: path.stat().st_mtime_ns for path in (out / "students").glob("*.json")}
    assert {name: now[name] for name in kept} == kept
    seeds = {json.loads(path.read_text())["result"]["seed"] for path in (out / "students").glob("*.json")}
    assert len(seeds) == 1


def test_what_is_handed_in_anew_is_graded_again_and_what_is_gone_is_said(tmp_path: Path):
    folder, out = tmp_path / "submissions", tmp_path / "results"
    for name in ("anna", "ben", "cleo"):
        hand_in(folder, name, "def softmax(x):\n    return x\n")
    (folder / "dora.rar").write_bytes(b"")
    assert grade(folder, "--out", out).returncode == 1
    first = {path.name: path.stat().st_mtime_ns for path in (out / "students").iterdir()}
    (folder / "ben" / SOFTMAX.stub.name).write_text(RIGHT, encoding="utf-8")
    (folder / "cleo" / SOFTMAX.stub.name).unlink()
    (folder / "cleo").rmdir()
    run = grade(folder, "--out", out, "--resume")
    assert "Handed in again, so graded again: ben." in run.stderr
    assert "Graded earlier, and not in the folder any more: cleo." in run.stderr
    assert "2 of 3 are graded already" in run.stderr
    assert points(out).keys() == {"anna", "ben", "dora"}
    assert points(out)["ben"] == FULL
    now = {path.name: path.stat().st_mtime_ns for path in (out / "students").iterdir()}
    assert {name for name in now if now[name] != first[name]} == {"ben.json"}
    assert "cleo" in (out / "report.html").read_text()


def test_everything_in_the_folder_is_in_every_table(tmp_path: Path):
    folder, out = tmp_path / "submissions", tmp_path / "results"
    hand_in(folder, "\x1b[31mred", RIGHT)
    hand_in(folder, "x" * 250, RIGHT)
    (folder / f"eve_{SOFTMAX.stub.name}").write_text(RIGHT, encoding="utf-8")
    (folder / "late.7z").write_bytes(b"7z")
    (folder / "notes.pdf").write_bytes(b"x")
    run = grade(folder, "--out", out)
    assert "\x1b" not in run.stdout + run.stderr
    assert "3 of 5 submissions graded" in run.stdout
    expected = {"\\x1b[31mred", "x" * 250, "eve", "late", "notes.pdf"}
    for table in ("students.csv", "exercises.csv", "checks.csv"):
        with (out / table).open(newline="") as file:
            assert {row["student"] for row in csv.DictReader(file)} == expected, table
    for path in (out, *out.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


class DyingPool:
    """Judges that end before they have a verdict, as many times as they are told to."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths
        self.asked = 0

    def submit(self, student: str, written: Written, task: Task, notes: Sequence[str]) -> Future[Record]:
        self.asked += 1
        future: Future[Record] = Future()
        if self.asked <= self.deaths:
            future.set_exception(JudgeDied("The judge ended."))
        else:
            future.set_result(Record(student, digest(written, notes), result=Result(task.seed)))
        return future

    def close(self) -> None:
        """Nothing."""


def test_a_death_of_the_judge_is_nobodys_fault_and_graded_again(tmp_path: Path):
    folder, out = tmp_path / "submissions", tmp_path / "results"
    hand_in(folder, "anna", RIGHT)

    def run(deaths: int, resume: bool) -> tuple[Record, DyingPool, Batch]:
        batch = Batch.begin(folder, out, [SOFTMAX], seed=1, budget=Budget(), resume=resume)
        pool = DyingPool(deaths)
        (record,) = batch.run(pool, lambda _: None, lambda _: None)
        return record, pool, batch

    record, pool, _ = run(TRIES, resume=False)
    assert pool.asked == TRIES
    assert record.result is None
    assert "says nothing about it" in record.problem
    record, pool, batch = run(TRIES - 1, resume=True)
    assert batch.standing.again == ["anna"]
    assert record.result is not None
    assert record.problem == ""
    record, pool, batch = run(0, resume=True)
    assert pool.asked == 0
    assert batch.standing.kept.keys() == {"anna"}


def test_a_judge_that_is_killed_gives_no_verdict_and_the_next_submission_has_its_own(tmp_path: Path):
    written = Written({SOFTMAX.stem: Source(SOFTMAX.stem, Path("x.py"), RIGHT, "learner")})
    with IsolatedRunner(1) as runner:
        assert isinstance(runner, IsolatedRunner)
        assert runner.level.name == "full"
        assert isinstance(runner._worker, WorkerProcess)
        runner._worker.kill()
        with pytest.raises(JudgeDied), Grading(tmp_path, runner=runner, written=written) as grading:
            grading.run([SOFTMAX])
        runner.begin()
        with Grading(tmp_path, runner=runner, written=written) as grading:
            assert grading.run([SOFTMAX]).points == FULL


def test_a_damaged_record_or_plan_is_noticed(tmp_path: Path):
    folder, out = tmp_path / "submissions", tmp_path / "results"
    hand_in(folder, "anna", RIGHT)
    assert grade(folder, "--out", out).returncode == 0
    (out / "students" / "anna.json").write_text('{"record": 1, "stud')
    assert grade(folder, "--out", out, "--resume").returncode == 0
    assert json.loads((out / "students" / "anna.json").read_text())["result"]["points"] == FULL
    (out / "batch.json").write_text("{")
    run = grade(folder, "--out", out, "--resume")
    assert run.returncode == 2
    assert "batch.json is damaged" in run.stderr


def test_below_full_isolation_a_class_is_not_graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from click.testing import CliRunner

    from grader.cli import main
    from grader.sandbox import levels

    hand_in(tmp_path / "submissions", "anna", RIGHT)
    monkeypatch.setattr(levels, "probe", lambda: levels.Level("reduced", (), ("the kernel has no Landlock",)))
    arguments = ["grade", str(tmp_path / "submissions"), "--out", str(tmp_path / "results"), "--only", "01"]
    run = CliRunner().invoke(main, arguments)
    assert run.exit_code == 2
    assert "the kernel has no Landlock" in run.output
    assert not (tmp_path / "results").exists()


def test_a_cluster_grades_on_when_a_worker_is_killed(tmp_path: Path):
    distributed = pytest.importorskip("distributed")
    folder, out = tmp_path / "submissions", tmp_path / "results"
    names = [f"s{number:02}" for number in range(10)]
    for name in names:
        hand_in(folder, name, RIGHT)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, local_directory=str(tmp_path)
    )
    with cluster:
        process = subprocess.Popen(
            command(folder, "--out", out, "--cluster", cluster.scheduler_address),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list(out.glob("students/*.json")):
            time.sleep(0.02)
        victim = next(iter(cluster.workers.values()))
        os.kill(victim.process.pid, signal.SIGKILL)
        told, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert points(out) == dict.fromkeys(names, FULL)


def test_no_cluster_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed")
    from grader.errors import GraderError
    from grader.staff.batch import cluster

    monkeypatch.setattr(cluster, "CONNECT_LIMIT", "0.2s")
    with pytest.raises(GraderError, match="no cluster at"):
        cluster.ClusterPool("tcp://127.0.0.1:9")
