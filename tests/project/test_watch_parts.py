"""The parts of a watch, each by itself: which files were saved, warm workers, the order of work, the editor."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from grader.content.syllabus import Entry, find
from grader.errors import GraderError
from grader.files import ROOT
from grader.grading import Grading
from grader.judging.verdict import Verdict
from grader.learning.watch import files
from grader.learning.watch.editor import command
from grader.learning.watch.events import Begin, Dropped, Event, Graded, Inbox, Key, Saved, Trouble
from grader.learning.watch.files import Saves
from grader.learning.watch.loop import Watch
from grader.learning.watch.work import Job, Work
from grader.misconceptions.catalogue import Misconception, catalogue
from grader.misconceptions.recordings import known_file
from grader.probing.assembly import read_folder
from grader.results import ExerciseResult
from grader.store import Store, read_document
from grader.workers import pool as warm
from grader.workers.pool import Fork, Pool, WarmWorker
from grader.workers.process import Interrupted, Worker, WorkerDied, WorkerProcess
from grader.workers.runner import QUICK
from tests.project.conftest import Folder, marked

(EX,) = find(["01"])

NOTHING = {"broken": "ValueError: no request 'nothing'"}  # the answer of a worker that is asked for nothing


# ---- which files were saved -----------------------------------------------------------------------------------------


@pytest.fixture
def saves(folder: Folder) -> Saves:
    return Saves(folder.path, lambda event: None)


def test_a_save_a_new_file_and_a_deleted_one_are_changes(folder: Folder, saves: Saves):
    assert saves.changed() == frozenset()
    folder.write("01", "x = 1\n")
    (folder.path / "helper.py").write_text("")
    (folder.path / "ex02_tokenizers.py").unlink()
    (folder.path / "notes.txt").write_text("not Python")
    assert saves.changed() == {"ex01_softmax", "helper", "ex02_tokenizers"}
    assert saves.changed() == frozenset()


def test_a_file_that_is_replaced_and_one_from_the_past_are_changes(folder: Folder, saves: Saves):
    path = folder.path / "ex01_softmax.py"
    stat = path.stat()
    other = folder.path / "new.tmp"
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)  # as many editors save: the same time and size, another file
    assert saves.changed() == {"ex01_softmax"}
    os.utime(path, (0, 0))  # the clock was set back
    assert saves.changed() == {"ex01_softmax"}


def test_a_folder_that_is_gone_is_empty(folder: Folder, saves: Saves):
    folder.path.rename(folder.path.with_name("away"))
    assert "ex01_softmax" in saves.changed()
    assert saves.look() == {}


def test_where_no_events_arrive_it_looks_by_itself(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    """Events that never come: saves are seen all the same, and after the second it looks more often and says so."""
    turn, looked = threading.Semaphore(0), threading.Semaphore(0)

    def silent(*_: object, **__: object) -> Iterator[set[object]]:
        while True:
            turn.acquire()
            yield set()
            looked.release()

    monkeypatch.setattr(files, "watch", silent)
    found: list[Event] = []
    told = threading.Event()

    def report(event: Event) -> None:
        found.append(event)
        if isinstance(event, Trouble):
            told.set()

    with Saves(folder.path, report):
        for round_ in range(files.MISSED):
            folder.write("01", f"x = {round_}\n")
            turn.release()
            if round_ + 1 < files.MISSED:  # after the last one nobody waits for events any more
                assert looked.acquire(timeout=60)
        assert told.wait(60)
    assert [event for event in found if isinstance(event, Saved)] == [Saved(frozenset({EX.stem}))] * files.MISSED
    assert found[-1] == Trouble(files.NO_EVENTS)


def test_where_watching_is_not_possible_at_all_it_looks_by_itself(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    def impossible(*_: object, **__: object) -> Iterator[set[object]]:
        raise OSError("No space left on device: the limit of watches is reached")

    monkeypatch.setattr(files, "watch", impossible)
    seen = threading.Event()
    with Saves(folder.path, lambda event: seen.set() if isinstance(event, Saved) else None):
        folder.write("01", "x = 1\n")
        assert seen.wait(60)


# ---- warm workers ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["fork", "spare"])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    with Pool(forks=request.param) as made:
        yield made


def grade(folder: Folder, pool: Pool) -> ExerciseResult:
    try:
        with Grading(folder.path, launch=pool.take) as grading:
            return grading.grade(EX)
    finally:
        pool.refill()


SPOILT = "import os, sys, builtins, json, math\nimport numpy as np\n" + "\n".join(
    [
        "np.exp = np.max = np.sum = None",
        "np.random.seed = None",
        "sys.modules['grader.judging.judge'].shown = None",
        "os.environ['PATH'] = ''",
        "builtins.len = lambda x: 7",
        "",
    ]
)


def test_nothing_that_a_run_leaves_behind_trips_the_next(
    folder: Folder, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grader.grading.Store", lambda: Store(tmp_path / "store"))
    right = folder.solve("01").read_text()
    assert grade(folder, pool).status == "pass"
    folder.write("01", right.replace("import numpy as np\n", SPOILT, 1))
    with suppress(GraderError):  # it may break the engine itself, in its own process
        assert grade(folder, pool).status != "pass"
    folder.write("01", right + "# again\n")
    assert grade(folder, pool).status == "pass"


def test_a_run_that_ends_its_process_is_told_of_and_the_next_runs(
    folder: Folder, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grader.grading.Store", lambda: Store(tmp_path / "store"))
    right = folder.solve("01").read_text()
    crash = "import ctypes; ctypes.string_at(0)"
    folder.write("01", right.replace("### BEGIN SOLUTION", crash, 1))
    result = grade(folder, pool)
    assert result.status == "error"
    assert any("process" in check.message for check in result.checks)
    folder.write("01", right)
    assert grade(folder, pool).status == "pass"


PROCESSES = {
    "a child that sleeps": "import os, time\n    if os.fork() == 0:\n        time.sleep(60)\n        os._exit(0)",
    "a child that goes on": "import os\n    os.fork()",
    "a child of multiprocessing": "import multiprocessing as mp, time\n"
    "    mp.get_context('fork').Process(target=time.sleep, args=(60,)).start()",
    "one that is waited for": "import multiprocessing as mp\n    child = mp.get_context('fork').Process(target=print)\n"
    "    child.start()\n    child.join()",
}


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks into /proc")
@pytest.mark.parametrize("code", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_code_that_starts_processes_has_its_verdict_and_leaves_none(
    folder: Folder, code: str, warm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grader.grading.Store", lambda: Store(tmp_path / "store"))
    monkeypatch.setenv("MARK", str(tmp_path))
    right = folder.solve("01").read_text()
    folder.write("01", right.replace("### BEGIN SOLUTION", code, 1))
    began = time.monotonic()
    with (
        Pool() if warm else nullcontext() as pool,
        Grading(folder.path, launch=pool.take if pool else WorkerProcess) as all_,
    ):
        assert all_.grade(EX).status == "pass"
    while marked(f"MARK={tmp_path}"):
        assert time.monotonic() - began < 50, "they ended by themselves"
        time.sleep(0.02)


def test_a_second_loop_is_the_last_that_has_all_its_time(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("grader.grading.Store", lambda: Store(tmp_path / "store"))
    asked: list[float] = []

    class Late(Worker):
        def ask(self, request: dict[str, Any], _: float) -> dict[str, Any]:
            if request["do"] == "check":
                asked.append(request["limit"])
                raise WorkerDied(1, "Timeout (0:00:20)!")
            return Verdict("pass").document()

        def close(self) -> None: ...

    folder.solve("01")
    with Grading(folder.path, launch=Late) as grading:
        assert grading.grade(EX).status == "timeout"
    assert len(asked) > 4
    assert min(asked[:2]) > QUICK
    assert set(asked[2:]) == {QUICK}


def test_a_loop_without_end_is_stopped_at_its_line(
    folder: Folder, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("grader.grading.Store", lambda: Store(tmp_path / "store"))
    monkeypatch.setattr("grader.workers.runner.IMPORT_LIMIT", 1.0)
    path = folder.write("01", "while True:\n    pass\n")
    result = grade(folder, pool)
    assert result.status == "timeout"
    assert f"{path}:" in result.checks[0].message
    folder.solve("01")
    assert grade(folder, pool).status == "pass"


Begun = Callable[[Callable[[Worker], Event]], tuple[Job, Callable[[], Event]]]


@pytest.fixture
def running(pool: Pool) -> Iterator[Begun]:
    """Begins a job in a thread; comes back with the job, and a function that waits for what it answers."""
    threads: list[threading.Thread] = []

    def begin(do: Callable[[Worker], Event]) -> tuple[Job, Callable[[], Event]]:
        answers: list[Event] = []

        def work(job: Job) -> Event:
            worker = job.launch()
            try:
                return do(worker)
            finally:
                worker.close()

        def wait() -> Event:
            threads[-1].join(120)
            return answers[0]

        job = Job(pool, work, Dropped("what was being done"))
        threads.append(threading.Thread(target=lambda: answers.append(job.run()), daemon=True))
        threads[-1].start()
        return job, wait

    yield begin
    for thread in threads:
        thread.join(120)


def opened(path: Path) -> dict[str, Any]:
    """A request to import a file as the first exercise."""
    source = (str(path), path.read_text(), "learner")
    sources = {EX.stem: source}
    about = {"stem": EX.stem, "suite": str(EX.suite), "seed": 0, "limit": 60, "forbids": (), "stretch": False}
    return {"do": "open", "sources": sources, **about}


def test_a_job_can_be_interrupted_in_the_middle_of_a_loop(folder: Folder, pool: Pool, running: Begun, tmp_path: Path):
    entered = tmp_path / "entered"
    path = folder.write("01", f"from pathlib import Path\nPath({str(entered)!r}).touch()\nwhile True:\n    pass\n")

    def ask(worker: Worker) -> Event:
        worker.ask(opened(path), 100)
        return Begin("it has an end")

    job, answer = running(ask)
    while not entered.exists():
        time.sleep(0.01)
    job.interrupt()
    assert answer() == Dropped("what was being done")
    assert answers_well(folder, pool)


def answers_well(folder: Folder, pool: Pool) -> bool:
    pool.refill()
    worker = pool.take()
    found = worker.ask(opened(folder.solve("01")), 100)
    worker.close()
    return bool(found["status"] == "pass")


def test_a_job_can_be_interrupted_at_any_time_and_the_next_one_hears_nothing_of_it(
    folder: Folder, pool: Pool, running: Begun
):
    """Before it has a worker, at the first question, between two, and when it is over."""
    path, draw = folder.solve("01"), random.Random(0)
    assert answers_well(folder, pool)  # it is warm

    def ask(worker: Worker) -> Event:
        for _ in range(5):
            assert worker.ask(opened(path), 100)["status"] == "pass"
            assert worker.ask({"do": "nothing"}, 100) == NOTHING
        return Begin("done")

    found: set[Event] = set()
    for _ in range(2 if pool._once else 40):  # once each: a process that has to warm up
        job, answer = running(ask)
        time.sleep(draw.uniform(0, 0.05))
        job.interrupt()
        found.add(answer())
        assert answers_well(folder, pool)
    assert found <= {Dropped("what was being done"), Begin("done")}
    assert Dropped("what was being done") in found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")
def test_a_copy_that_is_killed_in_the_middle_of_a_request_leaves_nothing_of_it(folder: Folder):
    import fcntl
    import termios

    with Pool() as pool:
        copy = pool.take()
        assert isinstance(copy, Fork)
        copy.ask({"do": "nothing"}, 120)
        text = json.dumps(opened(folder.solve("01")) | {"run": copy._run}) + "\n"
        pipe = copy._parent._process.stdin
        assert pipe is not None
        pipe.write(text[:1000])
        pipe.flush()
        while int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder):  # until the copy has it
            time.sleep(0.01)
        copy.kill()
        pipe.write(text[1000:])
        pipe.flush()
        copy.close()
        parent = copy._parent
        assert answers_well(folder, pool)
        assert parent.alive


def test_a_job_that_is_interrupted_before_it_begins_is_not_done(pool: Pool):
    job = Job(pool, lambda job: pytest.fail("done"), Dropped("x"))
    job.interrupt()
    assert job.run() == Dropped("x")


def test_a_second_run_at_the_same_time_gets_a_worker_of_its_own(pool: Pool):
    one, other = pool.take(), pool.take()
    assert one is not other
    for worker in (one, other):
        assert "broken" in worker.ask({"do": "nothing that it knows"}, 120)
    one.close()
    other.close()


def test_what_runs_beside_a_run_is_imported_once_whoever_is_interrupted():
    with Pool() as pool:
        run = pool.take()
        run.ask({"do": "nothing that it knows"}, 120)
        beside = pool.take()
        assert isinstance(beside, Fork)
        beside.ask({"do": "nothing that it knows"}, 120)
        aside = pool._aside
        assert aside is not None
        for each in (beside, run):
            each.kill()
            each.close()
        pool.refill()
        pool.take().ask({"do": "nothing that it knows"}, 120)
        again = pool.take()
        assert pool._aside is aside, "it was interrupted, and imports everything anew"
        again.ask({"do": "nothing that it knows"}, 120)
        again.close()
        pool.refill()
        assert pool._aside is None, "it is done, and takes memory all the same"


def test_recording_the_known_mistakes_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("grader.misconceptions.recordings.Store", lambda: Store(tmp_path / "store"))
    done: list[str] = []

    def traces(_entry: object, _reference: object, mistakes: list[Misconception], *_: object) -> dict[str, Any]:
        if len(done) == 3:
            done.append("")
            raise Interrupted
        done.append(mistakes[0].id)
        return {"test_x": {"id": mistakes[0].id}}

    monkeypatch.setattr("grader.misconceptions.recordings.traces_of", traces)
    reference = read_folder(ROOT / "solutions", "reference")
    with pytest.raises(Interrupted):
        known_file(EX, 0, reference)
    path = known_file(EX, 0, reference)
    assert path is not None
    assert [each for each in done if each] == [each.id for each in catalogue(EX)]
    assert list(read_document(path)["singles"]) == [each.id for each in catalogue(EX)]
    assert list((tmp_path / "store").glob("begun/*")) == []


def test_a_worker_that_cannot_start_is_no_fault_of_the_learners(monkeypatch: pytest.MonkeyPatch):
    def dead(_: WarmWorker) -> bool:
        raise WorkerDied(1, "Traceback ...\nImportError: no numpy here")

    monkeypatch.setattr(WarmWorker, "forks", dead)
    with Pool() as pool, pytest.raises(GraderError, match="can't start: ImportError: no numpy here"):
        pool.take()


def test_a_worker_forks_only_with_a_single_thread(monkeypatch: pytest.MonkeyPatch):
    from grader.workers import warm as warm_worker

    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert not warm_worker.can_fork()
    finally:
        stop.set()
        thread.join()
    monkeypatch.setattr("sys.platform", "darwin")
    assert not warm_worker.can_fork()


# ---- the order of work ----------------------------------------------------------------------------------------------


class Ordered:
    """Stands in for the thread that grades: keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.interrupts = 0

    def grade(self, entry: Entry, anew: bool) -> None:
        self.asked.append((entry.label, anew))

    def find_beginning(self, after: Entry | None) -> None:  # noqa: ARG002
        self.asked.append(("the next", True))

    def interrupt(self) -> None:
        self.interrupts += 1


@pytest.fixture
def watch(folder: Folder) -> Watch:
    made = Watch(folder.path, EX, plain=True)
    made.work = Ordered()  # type: ignore[assignment]
    return made


def passed(ex: str) -> Graded:
    (entry,) = find([ex])
    return Graded(entry.stem, ExerciseResult(entry.stem, "pass", 20, 20))


def test_the_saved_one_comes_first_then_those_that_use_it_in_order(watch: Watch):
    watch._handle(Saved(frozenset({EX.stem})))
    while watch.busy:
        watch._handle(Graded(watch.busy, None))
    users = [entry.label for entry in watch.entries.values() if EX.stem in entry.needs]
    assert watch.work.asked == [("ex01", True), *((label, False) for label in users)]  # type: ignore[attr-defined]


def test_a_save_during_a_run_interrupts_it_and_queues_another(watch: Watch):
    work: Ordered = watch.work  # type: ignore[assignment]
    watch._handle(Saved(frozenset({EX.stem})))
    assert work.interrupts == 0
    watch._handle(Saved(frozenset({EX.stem})))
    watch._handle(Saved(frozenset({EX.stem})))
    assert work.asked == [("ex01", True)]
    assert work.interrupts == 2
    watch._handle(Dropped(EX.stem))
    assert work.asked == [("ex01", True)] * 2
    watch._handle(passed("01"))
    assert work.asked[2:] == [("ex05", False)]


def test_a_save_comes_before_those_that_use_what_was_saved_before(watch: Watch):
    """Those are graded all the same, afterwards, and no less than they would have been."""
    work: Ordered = watch.work  # type: ignore[assignment]
    (needy,) = find(["05"])
    watch._handle(Saved(frozenset({EX.stem})))
    watch._handle(passed("01"))
    assert watch.busy == needy.stem
    watch._handle(Saved(frozenset({EX.stem})))
    watch._handle(Dropped(needy.stem))
    assert work.asked[1:] == [("ex05", False), ("ex01", True)]
    watch._handle(passed("01"))
    assert work.asked[3:] == [("ex05", False)]

    watch._handle(Saved(frozenset({needy.stem})))
    watch._handle(Dropped(needy.stem))  # it is what was saved now
    assert work.asked[4:] == [("ex05", True)]


def test_a_save_ends_the_search_for_the_next_exercise(watch: Watch):
    work: Ordered = watch.work  # type: ignore[assignment]
    watch._go_on()
    watch._handle(Saved(frozenset({EX.stem})))
    assert work.interrupts == 1
    watch._handle(Dropped())
    assert not watch.searching
    watch._handle(passed("01"))
    watch._go_on()
    assert [label for label, _ in work.asked].count("the next") == 2


def test_what_fails_to_be_graded_does_not_stop_the_rest(watch: Watch):
    watch._handle(Saved(frozenset({EX.stem})))
    watch._handle(Trouble("the disk is full", EX.stem))
    assert watch.work.asked[1:] == [("ex05", False)]  # type: ignore[attr-defined]


def test_a_helper_module_of_the_learners_own_grades_the_exercise_again(watch: Watch):
    watch._handle(Saved(frozenset({"my_helpers"})))
    assert watch.work.asked == [("ex01", True)]  # type: ignore[attr-defined]


def test_what_could_not_be_written_down_is_said_once(watch: Watch, capsys: pytest.CaptureFixture[str]):
    line = "Your progress was not saved: Can't write progress.json: No space left on device."
    for _ in range(2):
        watch._handle(Graded(EX.stem, None, (line,)))
    assert capsys.readouterr().out.count("No space left") == 1


def test_a_full_disk_is_told_with_the_verdict(folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("grader.grading.Store", lambda: Store(tmp_path / "store"))
    monkeypatch.setattr("grader.learning.watch.work.record", lambda *_: ["not written down: disk full"])
    folder.solve("01")
    found: list[Event] = []
    with Pool() as pool:
        work = Work(folder.path, 0, pool, found.append)
        work.grade(EX, anew=True)
        event = work._jobs.get().run()
    assert isinstance(event, Graded)
    assert event.notes == ("not written down: disk full",)
    assert event.result is not None
    assert event.result.status == "pass"


def test_in_a_folder_that_cannot_be_written_the_watch_runs_all_the_same(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / ".stubformer").write_text("in the way")  # as good as read-only, for root as well
    monkeypatch.setenv("STUBFORMER_STORE", str(tmp_path / ".stubformer"))
    with watch._alone():
        assert watch.said == set()


# ---- the editor -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("vim", ["vim", "+7", "a.py"]),
        ("/usr/bin/nano -w", ["/usr/bin/nano", "-w", "+7", "a.py"]),
        ("code --wait", ["code", "--wait", "--goto", "a.py:7"]),
        ("hx", ["hx", "a.py:7"]),
        ("pycharm", ["pycharm", "--line", "7", "a.py"]),
        ("my-editor", ["my-editor", "a.py"]),
    ],
)
def test_editors_are_told_the_line_as_each_wants_it(named: str, words: list[str]):
    assert command(Path("a.py"), 7, {"EDITOR": named}) == words
    assert command(Path("a.py"), 7, {"EDITOR": "other", "VISUAL": named}) == words


@pytest.mark.parametrize(("named", "says"), [("", "No editor is named"), ("vim '", "is not a command")])
def test_an_editor_that_is_not_named_is_said_with_what_to_do(named: str, says: str):
    if os.name == "nt":
        pytest.skip("there is notepad")
    with pytest.raises(GraderError, match=says):
        command(Path("a.py"), 1, {"EDITOR": named})


def test_warming_up_takes_no_state_along():
    """What a warm worker knows is imported, never observed: two copies say the same of the same question."""
    with Pool() as pool:
        answers = []
        for _ in range(2):
            worker = pool.take()
            answers.append(worker.ask({"do": "nothing"}, warm.WARM_UP))
            worker.close()
    assert answers == [NOTHING] * 2


# ---- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="a terminal of POSIX")
def test_a_watch_that_comes_to_the_front_takes_keys_and_leaves_the_terminal_as_it_found_it(
    monkeypatch: pytest.MonkeyPatch,
):
    """`watch &`, then `fg`: nobody tells it that it is in front, and the terminal was another's at the start."""
    import pty
    import termios

    from grader.learning.watch.keys import PosixKeys

    def local() -> int:
        return termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO)

    def set_local(flags: int) -> None:
        attributes = termios.tcgetattr(slave)
        attributes[3] = attributes[3] & ~(termios.ICANON | termios.ECHO) | flags
        termios.tcsetattr(slave, termios.TCSANOW, attributes)

    master, slave = pty.openpty()
    front = False
    monkeypatch.setattr(PosixKeys, "_in_front", lambda self: front)
    inbox = Inbox()
    with os.fdopen(slave, closefd=False) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        set_local(0)  # the shell reads a line there, in a way of its own
        with PosixKeys() as keys:
            assert keys.next(inbox, 0.01) is None
            front = True
            set_local(termios.ICANON | termios.ECHO)  # as a shell sets it for a job in front
            os.write(master, b"h")
            assert keys.next(inbox, 0.01) is None or local() == 0
            assert local() == 0
            os.write(master, b"n")
            pressed = [keys.next(inbox, 1.0), keys.next(inbox, 0.1)]
            assert Key("n") in pressed
        assert local() == termios.ICANON | termios.ECHO
        front = False
        with PosixKeys() as keys:  # it ends in the background: nothing is touched
            set_local(0)
        assert local() == 0
    os.close(master)
    os.close(slave)


def test_a_key_during_a_search_is_answered(watch: Watch, capsys: pytest.CaptureFixture[str]):
    watch.focus = None
    watch.searching = True
    for char in "nho":
        watch._press(char)
        assert "Still looking for the next exercise" in capsys.readouterr().out, char
    watch.focus = EX
    watch._press("n")
    assert "Still looking" in capsys.readouterr().out
    assert watch.searching
