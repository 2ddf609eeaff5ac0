"""The progress file: nothing is ever lost, whatever happens to the file, the clock, the disk or a second process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from grader import progress
from grader.content import stubs
from grader.content.syllabus import Entry, find, load
from grader.errors import GraderError
from grader.files import BACKUPS, ROOT, back_up, write_atomically
from grader.progress import history as storage
from grader.progress.history import Event, History, Newer, read
from grader.progress.standing import Standing, State, prints, sources, survey, working_time
from grader.results import ExerciseResult
from grader.screens.progress import clock, show
from tests.project.conftest import Folder

ONE, TWO = find(["01", "02"])
FIVE = find(["05"])[0]


@pytest.fixture
def history(own_progress: Path) -> History:
    return History(own_progress)


@pytest.fixture
def backups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    monkeypatch.setattr(storage, "back_up", lambda path: back_up(path, folder))
    return folder


def hint(ex: str = ONE.stem, name: str = "softmax", tier: int = 1, at: datetime | None = None) -> Event:
    event = Event("hint", ex, {"names": [name], "tier": tier})
    return replace(event, at=at) if at else event


# ---- the file -------------------------------------------------------------------------------------------------------


def test_events_come_back_as_they_were_one_on_each_line(history: History):
    events = [hint(tier=tier) for tier in (1, 2, 3)]
    history.add(events[:1])
    history.add(events[1:])
    assert [event.data["tier"] for event in history.events()] == [1, 2, 3]
    lines = history.path.read_text().splitlines()
    assert len(lines) == 5
    assert json.loads(history.path.read_text())["schema"] == storage.SCHEMA
    assert [json.loads(line.rstrip(","))["id"] for line in lines[1:-1]] == [event.id for event in events]


def test_an_old_line_never_changes_when_events_are_added(history: History):
    history.add([hint()])
    before = history.path.read_text().splitlines()[1]
    history.add([hint(tier=2)])
    assert history.path.read_text().splitlines()[1] == before + ","


def test_no_file_is_no_history(history: History):
    assert history.events() == []
    assert not history.path.exists()


def test_what_a_later_version_may_add_to_an_event_is_kept(history: History):
    history.add([Event("danced", "ex99_future", {"steps": [1, 2]}), hint()])
    history.add([hint(tier=2)])
    assert history.events()[0].data == {"steps": [1, 2]}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"what": "hint"', '"what": hint', 1),
        lambda text: "<<<<<<< mine\n" + text.replace("]}", "=======\n]}\n>>>>>>> theirs"),
        lambda text: text.replace('"tier": 2', '"tier": "two"'),
        lambda text: text.replace('"n": ', '"n": "x', 1),
        lambda text: text.replace('"events"', '"event"'),
        lambda text: "",
        lambda text: "\x00" * 50,
        lambda text: "[" * 100_000,
        lambda text: "[1, 2]",
        lambda text: '{"schema": 1, "events": 7}',
    ],
)
def test_a_damaged_file_is_kept_and_what_can_be_read_goes_on(history: History, backups: Path, spoil):
    history.add([hint(tier=1), hint(tier=2), hint(tier=3)])
    spoilt = spoil(history.path.read_text())
    history.path.write_text(spoilt)
    readable = {event.id for event in history.events()}
    (backup,) = backups.iterdir()
    assert backup.read_text() == spoilt
    assert "damaged" in history.notes[0]
    assert str(backup) in history.notes[0]
    again = History(history.path)
    again.add([hint(TWO.stem)])
    assert {event.id for event in again.events()} > readable
    assert again.notes == []
    for line in spoilt.splitlines():  # every line that is whole was kept
        try:
            whole = json.loads(line.rstrip(","))["id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        assert whole in readable or '"two"' in line


@pytest.mark.usefixtures("backups")
def test_conflict_markers_of_a_merge_by_hand_heal_to_the_union(history: History):
    history.add([hint(tier=1)])
    text = history.path.read_text()
    mine, theirs = (Event("hint", ONE.stem, {"names": ["a"], "tier": t}, n=2**60).line() for t in (2, 3))
    both = f"\n<<<<<<< mine\n{mine},\n=======\n{theirs},\n>>>>>>> theirs\n]}}"
    history.path.write_text(text.replace("\n]}", both))
    assert sorted(event.data["tier"] for event in history.events()) == [1, 2, 3]


def test_a_newer_file_is_left_alone(history: History):
    text = '{"schema": 2, "events": {"a": 1}}'
    history.path.write_text(text)
    for touch in (history.events, lambda: history.add([hint()])):
        with pytest.raises(Newer, match="make update"):
            touch()
    assert history.path.read_text() == text
    (warning,) = progress.note("hint", ONE.stem, names=["softmax"], tier=1)
    assert "newer version" in warning


def test_two_files_merge_to_all_events_of_both_once(history: History, tmp_path: Path):
    other = History(tmp_path / "other.json")
    shared = [hint(tier=1)]
    history.add(shared)
    other.path.write_text(history.path.read_text())
    history.add([hint(tier=2)])
    other.add([hint(TWO.stem), hint(TWO.stem, tier=2)])
    theirs = other.path.read_text()
    assert history.merge(other.path) == 2
    assert history.merge(other.path) == 0
    assert len(history.events()) == 4
    assert other.path.read_text() == theirs
    other.merge(history.path)
    assert other.path.read_text() == history.path.read_text()


def test_merging_with_nothing_or_with_a_damaged_file(history: History, tmp_path: Path):
    with pytest.raises(GraderError, match="no file"):
        history.merge(tmp_path / "nowhere.json")
    other = History(tmp_path / "other.json")
    other.add([hint(tier=1), hint(tier=2)])
    other.path.write_text(other.path.read_text().replace("]}", ""))
    assert history.merge(other.path) == 2
    assert "damaged" in history.notes[0]
    other.path.write_bytes(bytes(range(256)) * 9)
    with pytest.raises(GraderError, match="no event that can be read"):
        history.merge(other.path)


def test_a_clock_that_is_set_back_does_not_turn_the_order_round(history: History, monkeypatch: pytest.MonkeyPatch):
    for seconds, tier in ((2e9, 1), (1e9, 2), (0.0, 3)):
        monkeypatch.setattr("time.time", lambda seconds=seconds: seconds)
        history.add([hint(tier=tier, at=datetime.fromtimestamp(seconds, UTC))])
    assert [event.data["tier"] for event in history.events()] == [1, 2, 3]


def test_writers_at_the_same_time_lose_nothing(own_progress: Path):
    script = "from grader.progress import note\nfor i in range(12): assert note('reset', 'ex%d' % {}) == []"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STUBFORMER_PROGRESS": str(own_progress)}
    writers = [subprocess.Popen([sys.executable, "-c", script.format(i)], env=environment) for i in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0, 0]
    events = read(own_progress)
    assert len(events) == 48
    assert [event.n for event in events] == sorted({event.n for event in events})


def test_a_writer_that_never_lets_go_is_named(history: History, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage, "PATIENCE", 0.2)
    history.add([hint()])
    with FileLock(history.path.with_name(f".{history.path.name}.lock")):
        (warning,) = progress.note("reset", ONE.stem)
    assert "another process" in warning
    assert len(history.events()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_leaves_the_old_file(history: History):
    history.add([hint(tier=1)])
    before = history.path.read_bytes()
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "from grader.progress import note; print(note('reset', 'ex01')[0])"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT), "STUBFORMER_PROGRESS": str(history.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "not saved: Can't write" in done.stdout
    assert history.path.read_bytes() == before
    assert {path.name for path in history.path.parent.iterdir()} <= {"progress.json", ".progress.json.lock"}


def test_a_folder_that_can_not_be_written_is_said_and_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STUBFORMER_PROGRESS", str(tmp_path / "file" / "progress.json"))
    (warning,) = progress.note("reset", ONE.stem)
    assert "not saved" in warning
    monkeypatch.setenv("STUBFORMER_PROGRESS", str(tmp_path))
    (warning,) = progress.note("reset", ONE.stem)
    assert "Can't read" in warning


def test_git_ignores_the_file_so_a_pull_never_meets_it():
    done = subprocess.run(
        ["git", "check-ignore", "progress.json", ".progress.json.lock", "recall"], cwd=ROOT, check=False
    )
    assert done.returncode == 0
    assert BACKUPS.parent.name == "exercises"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_a_file_that_is_replaced_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path):
    mask = os.umask(0o022)
    try:
        write_atomically(tmp_path / "new", "1")
    finally:
        os.umask(mask)
    (tmp_path / "old").write_text("1")
    (tmp_path / "old").chmod(0o640)
    (tmp_path / "link").symlink_to("old")
    write_atomically(tmp_path / "link", "2\r\n")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("new", "old")] == [0o644, 0o640]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "old").read_bytes() == b"2\r\n"
    assert len(list(tmp_path.iterdir())) == 3


# ---- recording ------------------------------------------------------------------------------------------------------


@pytest.fixture
def exercises(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A folder of stubs that counts as the learner's own."""
    monkeypatch.setattr(progress, "FOLDER", folder.path)
    return folder


def result(entry=ONE, status="pass", points=20) -> ExerciseResult:
    return ExerciseResult(entry.stem, status, points, 20)


def test_a_run_is_kept_once_until_something_changes(exercises: Folder, history: History):
    exercises.solve("01")
    for _ in range(3):
        assert progress.record([result()], exercises.path) == []
    assert len(history.events()) == 1
    exercises.write("01", "# other\n")
    progress.record([result(status="fail", points=3)], exercises.path)
    assert [event.data["points"] for event in history.events()] == [20, 3]


def test_other_folders_and_what_was_never_begun_leave_no_trace(exercises: Folder, history: History, tmp_path: Path):
    progress.record([result(status="todo", points=0)], exercises.path)
    progress.record([result()], tmp_path)
    progress.record([result()], ROOT / "solutions")
    progress.record([], exercises.path)
    assert history.events() == []


def test_what_was_graded_counts_and_not_what_the_file_holds_by_now(exercises: Folder, history: History):
    exercises.solve("01")
    graded = sources(exercises.path)
    exercises.write("01", "# changed while the checks ran\n")
    progress.record([result()], exercises.path, graded)
    (standing, *_) = [s for s in survey(history.events(), exercises.path) if s.stem == ONE.stem]
    assert standing.state == "stale"


# ---- where one stands -----------------------------------------------------------------------------------------------


def standing_of(history: History, folder: Folder, stem: str):
    return next(standing for standing in survey(history.events(), folder.path) if standing.stem == stem)


def test_the_states_from_to_do_to_stale_and_back(exercises: Folder, history: History):
    def state(ex=FIVE):
        return standing_of(history, exercises, ex.stem).state

    assert state() == "todo"
    exercises.write("05", "# begun\n")
    assert state() == "started"
    progress.record([result(FIVE, "fail", 4)], exercises.path)
    assert state() == "started"
    assert standing_of(history, exercises, FIVE.stem).points == 4
    exercises.solve("05")
    progress.record([result(FIVE)], exercises.path)
    assert state() == "passing"
    exercises.solve("01")  # which exercise 5 is built on
    assert state() == "stale"
    assert standing_of(history, exercises, FIVE.stem).because == "ex01 changed since it passed"
    exercises.write("01", stubs.generated(ONE))  # back again: what is known of these very files holds
    assert state() == "passing"
    exercises.write("05", exercises.solve("05").read_text() + "# more\n")
    assert standing_of(history, exercises, FIVE.stem).because == "you changed it since it passed"
    exercises.write("05", stubs.generated(FIVE))
    assert state() == "todo"
    (exercises.path / FIVE.stub.name).unlink()
    assert state() == "todo"


def test_new_checks_make_a_pass_stale(exercises: Folder, history: History):
    exercises.solve("01")
    now = prints(ONE, sources(exercises.path))
    data = {"status": "pass", "points": 20, "max_points": 20, "prints": now | {"checks": "older"}}
    history.add([Event("graded", ONE.stem, data)])
    assert standing_of(history, exercises, ONE.stem).because == "its checks changed since it passed"


def test_hints_count_once_each(exercises: Folder, history: History):
    history.add([hint(tier=1), hint(tier=1), hint(tier=2), hint(name="log_softmax"), hint(TWO.stem)])
    assert standing_of(history, exercises, ONE.stem).hints == 3


def test_breaks_and_clocks_that_jump_are_not_work():
    start = datetime(2030, 1, 1, tzinfo=UTC)
    minutes = [0, 5, 9, 60, 62]
    events = [hint(at=start + timedelta(minutes=m)) for m in minutes]
    assert working_time(events) == {ONE.stem: 60.0 * (5 + 4 + 2)}
    wild = [hint(at=start), hint(at=start + timedelta(days=4000)), hint(at=start - timedelta(days=4000))]
    assert working_time(wild) == {ONE.stem: 0.0}


def test_work_is_counted_in_the_order_in_which_it_was_done_whatever_the_clock_says():
    """The clock is set back by seven minutes, or ahead by a day, between two exercises."""
    start = datetime(2030, 1, 1, tzinfo=UTC)

    def at(ex: str, minutes: float) -> Event:
        return hint(ex, at=start + timedelta(minutes=minutes))

    for jump in (-7.0, 24 * 60.0):
        events = [at(ONE.stem, 0), at(ONE.stem, 10), at(TWO.stem, 12 + jump), at(TWO.stem, 19 + jump)]
        counted = working_time(events)
        assert counted == {ONE.stem: 600.0, TWO.stem: 420.0}  # the gap across the jump is not known


def test_the_next_one_is_what_was_begun_then_what_follows(exercises: Folder, history: History):
    def following():
        found = progress.following(survey(history.events(), exercises.path))
        return None if found is None else found.stem

    assert following() == load()[0].stem
    exercises.solve("02")
    progress.record([result(TWO)], exercises.path)
    assert following() == find(["03"])[0].stem  # skipping is fine: it goes on where the learner is
    exercises.write("01", "# begun\n")
    assert following() == ONE.stem


def standing(entry: Entry, state: State, points: int = 0) -> Standing:
    return Standing(entry.stem, entry.bonus, state, "", points, 10, 0, 0, False, None)


def test_the_course_is_complete_without_its_bonus_whose_points_stand_apart(capsys: pytest.CaptureFixture[str]):
    course = [standing(entry, "passing", 10) for entry in load() if not entry.bonus]
    bonus = [standing(entry, "todo") for entry in load() if entry.bonus]
    assert course
    assert bonus
    assert progress.complete([*course, *bonus])
    assert not progress.complete([replace(course[0], state="started"), *course[1:], *bonus])
    show([*course, *bonus], plain=True)
    out = capsys.readouterr().out
    assert f"{len(course)} of {len(course)} exercises, {10 * len(course)} of {10 * len(course)} points (100 %)" in out
    assert f"; bonus: 0 of {len(bonus)}, 0 of {10 * len(bonus)} points" in out
    assert "The course is complete." in out
    assert f"A bonus: begin with exercises/{bonus[0].stem}.py" in out


def test_a_bonus_comes_after_what_was_skipped_unless_it_was_begun():
    course = [standing(entry, "passing") for entry in load() if not entry.bonus]
    bonus = [standing(entry, "todo") for entry in load() if entry.bonus]
    skipped = [replace(course[0], state="todo"), *course[1:], *bonus]
    assert progress.following(skipped) == skipped[0]
    begun = [*skipped[:-1], replace(bonus[-1], state="started")]
    assert progress.following(begun) == begun[-1]


def test_the_screen_has_words_for_all_and_stays_ascii_when_plain(
    exercises: Folder, history: History, capsys: pytest.CaptureFixture[str]
):
    exercises.solve("01")
    progress.record([result()], exercises.path)
    exercises.write("02", "# begun\n")
    exercises.write("01", exercises.solve("01").read_text() + "#\n")
    history.add([Event("gave_up", TWO.stem), Event("recalled", ONE.stem, {"seconds": 75})])
    show(survey(history.events(), exercises.path), plain=True)
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    for words in ("stale", "started", "to do", "solution seen", "by heart in 1 min", 'make test EX="01"', "Next: "):
        assert words in out


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3900, "1 h 05 min")]
)
def test_lengths_of_time(seconds: int, words: str):
    assert clock(seconds) == words
