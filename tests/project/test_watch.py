"""A watch as a learner has it: in a terminal with every key, and without one."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.content.syllabus import find
from grader.files import ROOT
from grader.workers.runner import IMPORT_LIMIT
from tests.project.conftest import Folder, marked

PATIENCE = 180  # seconds; nothing here is timed, this only ends a test that hangs
(EX,) = find(["01"])
BAR = "uit"


def environment(**extra: str) -> dict[str, str]:
    dropped = ("NO_COLOR", "FORCE_COLOR", "VISUAL", "SSH_CONNECTION", "TMUX", "COLUMNS", "LINES")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"} | extra


def wrong(folder: Folder) -> Path:
    return folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", "return x * 1.5", 1))


class Lines:
    """A watch without a terminal, and what it prints."""

    def __init__(self, folder: Folder, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "grader", "watch", "--exercises", str(folder.path), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=environment(PYTHONUNBUFFERED="1"),
            cwd=ROOT,
        )
        self.seen = ""
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def expect(self, words: str) -> str:
        """Wait for a line with these words; everything up to it comes back."""
        text = ""
        while words not in text:
            try:
                text += self._lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"{words!r} did not come:\n{self.seen}{text}") from None
        self.seen += text
        return text


@pytest.fixture
def watch(folder: Folder) -> Iterator[Callable[..., Lines]]:
    """Starts watches without a terminal, and ends them."""
    started: list[Lines] = []

    def start(*options: str) -> Lines:
        started.append(Lines(folder, *options))
        return started[-1]

    yield start
    for lines in started:
        lines.process.kill()
        lines.process.wait()


def test_without_a_terminal_line_follows_line(folder: Folder, watch: Callable[..., Lines]):
    wrong(folder)
    lines = watch("1")
    assert "Ctrl-C ends it" in lines.expect("All there is to see")
    folder.solve("01")
    lines.expect("ex01 Softmax and cross-entropy: passes")
    assert "\x1b" not in lines.seen
    assert BAR not in lines.seen
    lines.process.terminate()
    assert lines.process.wait() != 0


@pytest.mark.parametrize("options", [(), ("--poll",)])
def test_the_one_that_was_saved_is_graded_first_and_then_those_that_use_it(
    folder: Folder, watch: Callable[..., Lines], options: tuple[str, ...]
):
    folder.solve("05")
    lines = watch("5", *options)
    lines.expect("ex05 Scaled dot-product attention: passes")
    folder.solve("01")
    text = lines.expect("ex05  Scaled dot-product attention")
    assert text.index("ex01 Softmax and cross-entropy: passes") < text.index("ex05  Scaled")
    assert "pass " in text.splitlines()[-1]


FOREVER = "while True:\n    pass\n"


def test_a_save_during_a_run_is_graded_at_once(folder: Folder, watch: Callable[..., Lines]):
    """A loop without end, which is mended before the limit of the check has told of it."""
    folder.write("01", FOREVER)
    lines = watch("1")
    lines.expect("Grading ex01")
    folder.solve("01")
    lines.expect("ex01 Softmax and cross-entropy: passes")
    assert "Stopped after" not in lines.seen


def test_a_save_does_not_wait_for_an_exercise_that_uses_what_was_saved_before(
    folder: Folder, watch: Callable[..., Lines]
):
    folder.write("05", FOREVER)
    wrong(folder)
    lines = watch("1")
    lines.expect("Grading ex05")
    folder.solve("01")
    lines.expect("ex01 Softmax and cross-entropy: passes")
    assert "ex05  Scaled" not in lines.seen
    lines.expect("Grading ex05")
    folder.solve("05")
    lines.expect("ex05 Scaled dot-product attention: passes")
    assert "Stopped after" not in lines.seen


def test_it_begins_with_the_first_that_does_not_pass_and_advances_when_asked_to(
    folder: Folder, watch: Callable[..., Lines]
):
    folder.solve("00")
    lines = watch("--auto-advance")
    lines.expect("ex01 Softmax and cross-entropy: to do")
    folder.solve("01")
    lines.expect("ex01 Softmax and cross-entropy: passes")
    lines.expect("ex02 Tokenizers: characters and byte pairs: to do")


def test_a_second_watch_is_noticed_and_both_grade(folder: Folder, watch: Callable[..., Lines]):
    one = watch("1")
    one.expect("to do")
    other = watch("1")
    assert "Another watch runs on these files" in other.expect("to do")
    folder.solve("01")
    for lines in (one, other):
        lines.expect("ex01 Softmax and cross-entropy: passes")


def test_a_folder_that_goes_away_and_comes_back_is_waited_for(folder: Folder, watch: Callable[..., Lines]):
    lines = watch("1")
    lines.expect("to do")
    away = folder.path.rename(folder.path.with_name("away"))
    lines.expect("There is no folder")
    away.rename(folder.path)
    folder.solve("01")
    lines.expect("ex01 Softmax and cross-entropy: passes")


def test_wrong_usage_exits_2(folder: Folder):
    done = subprocess.run(
        [sys.executable, "-m", "grader", "watch", "--exercises", str(folder.path / "nowhere")],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert "There is no folder" in done.stderr
    assert "Traceback" not in done.stderr


# ---- in a terminal ---------------------------------------------------------------------------------------------------


class Terminal:
    """A watch in a terminal of its own."""

    def __init__(self, folder: Folder, *options: str, **extra: str) -> None:
        pexpect = pytest.importorskip("pexpect")
        self.folder = folder
        self.child: Any = pexpect.spawn(
            sys.executable,
            ["-m", "grader", "watch", "--exercises", str(folder.path), *options],
            dimensions=(60, 120),
            encoding="utf-8",
            timeout=PATIENCE,
            env=environment(**extra),
            cwd=str(ROOT),
        )
        self.child.str_last_chars = 6000  # of what it wrote, where a test fails
        self.end = pexpect.EOF

    def expect(self, *words: str) -> str:
        """Wait for the words, one after the other, whatever colour they have; the text before the last comes back."""
        for each in words:
            self.child.expect(r"(?:\x1b\[[\d;]*m)*".join(re.escape(char) for char in each))
        return str(self.child.before)

    def press(self, key: str, *words: str) -> str:
        self.child.send(key)
        return self.expect(*words)

    def is_as_it_was(self) -> bool:
        """Whether the terminal edits lines and echoes."""
        import termios

        flags = termios.tcgetattr(self.child.child_fd)[3]
        return bool(flags & termios.ICANON and flags & termios.ECHO)

    def leave(self) -> int:
        """Wait for the end; the exit code, or minus a signal's number."""
        self.child.expect(self.end)
        self.child.close()
        return int(-self.child.signalstatus if self.child.signalstatus else self.child.exitstatus)


@pytest.fixture
def terminal(folder: Folder) -> Iterator[Callable[..., Terminal]]:
    """Starts watches in terminals, and ends them."""
    if sys.platform == "win32":
        pytest.skip("pexpect needs a POSIX terminal")
    started: list[Terminal] = []

    def start(*options: str, **extra: str) -> Terminal:
        started.append(Terminal(folder, *options, **extra))
        return started[-1]

    yield start
    for each in started:
        each.child.close(force=True)


def test_every_key(folder: Folder, terminal: Callable[..., Terminal], tmp_path: Path):
    path = wrong(folder)
    said = tmp_path / "opened"
    editor = tmp_path / "vim"
    editor.write_text(f'#!/bin/sh\necho "$@" > {said}\nstty -a > {said}.stty\n')
    editor.chmod(0o755)
    screen = terminal("1", EDITOR=str(editor))
    screen.expect("exercises", "ex01 graded in", "softmax", "yours", "expected", "q", BAR)
    assert not screen.is_as_it_was()
    screen.press("i", "The check calls (seed 0)", "This check alone", "Also", BAR)

    screen.press("h", "Hint 1 of 3", "softmax", BAR)
    screen.press("h", "Hint 2 of 3", BAR)
    screen.press("h", "Hint 3 of 3", "That was the last one", BAR)
    screen.press("d", "says what is idiomatic in yours, once ex01 passes")
    screen.press("l", "ex01", "you are here", "ex02", "not graded in this watch", BAR)

    screen.press("o")
    screen.press("r", "ex01 graded in", "softmax", BAR)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("def softmax("))
    assert said.read_text().split() == [f"+{line}", str(path)]
    assert " icanon" in Path(f"{said}.stty").read_text()  # an editor gets the terminal as it was
    assert not screen.is_as_it_was()

    screen.press("s", "Give up on it")
    assert "def softmax" not in screen.press("n", "Not shown", BAR)
    screen.press("s", "Give up on it")
    screen.press("y", "softmax", "return", BAR)

    folder.solve("01")
    screen.expect("ex01 Softmax and cross-entropy: passes", "Softmax turns any scores", "ex02 Tokenizers", BAR)
    screen.press("i", "a check that fails")
    screen.press("d", "softmax: yours and the reference are the same code", "Idiomatic in yours", "keepdims", BAR)
    screen.press("s", "def softmax", BAR)
    screen.press("p", "Drawing what your ex01 does", "one row of scores at five temperatures", "ex01_softmax.png", BAR)
    screen.press("n", "ex02 Tokenizers: characters and byte pairs: to do", BAR)
    screen.press("\x1b[A")  # an arrow does nothing
    screen.press("h", "Hint 1 of 3", BAR)
    screen.press("q")
    assert screen.leave() == 0


def test_it_does_not_move_on_by_itself(folder: Folder, terminal: Callable[..., Terminal]):
    folder.solve("01")
    screen = terminal("1")
    screen.expect("passes", BAR)
    wrong(folder)
    screen.expect("expected", BAR)
    folder.solve("01")
    screen.expect("passes", BAR)
    assert "to do" not in screen.press("r", "graded in", BAR)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_nothing_runs_on_when_it_is_left(folder: Folder, terminal: Callable[..., Terminal], tmp_path: Path):
    entered = tmp_path / "entered"
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    folder.write("01", f"{deaf}from pathlib import Path\nPath({str(entered)!r}).touch()\n{FOREVER}")
    screen = terminal("1", MARK=str(tmp_path))
    until(entered.exists)
    assert marked(f"MARK={tmp_path}") == 3  # the watch, what is warm, and its copy in the loop
    pressed = time.monotonic()
    screen.press("q")
    assert screen.leave() == 0
    until(lambda: marked(f"MARK={tmp_path}") == 0)
    assert time.monotonic() - pressed < IMPORT_LIMIT / 2, "it was the limit that ended the loop"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_the_terminal_is_as_it_was_after_a_signal(terminal: Callable[..., Terminal], number: str, code: int):
    import signal

    screen = terminal("1")
    screen.expect("to do", BAR)
    assert not screen.is_as_it_was()
    screen.child.kill(getattr(signal, number))
    assert screen.leave() == code
    assert "Traceback" not in screen.child.before


def test_the_terminal_is_as_it_was_after_an_error_of_ours(folder: Folder):
    pexpect = pytest.importorskip("pexpect")
    code = (
        "from pathlib import Path; import sys; from grader.learning.watch.loop import Watch\n"
        "from grader.content.syllabus import load\n"
        "Watch._hint = lambda self: 1 / 0\n"
        f"Watch(Path({str(folder.path)!r}), load()[1]).run()"
    )
    child = pexpect.spawn(
        "/bin/sh", ["-c", f"{sys.executable} -c '{code.replace(chr(39), chr(34))}'; stty -a; exit 7"], encoding="utf-8",
        timeout=PATIENCE, env=environment(), cwd=str(ROOT), dimensions=(60, 120),
    )  # fmt: skip
    child.expect(BAR)
    child.send("h")
    child.expect("ZeroDivisionError")
    child.expect(" icanon")
    child.expect(pexpect.EOF)


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(folder: Folder):
    pexpect = pytest.importorskip("pexpect")
    child = pexpect.spawn(
        "bash", ["--norc", "--noprofile", "-i"], encoding="utf-8", timeout=PATIENCE, dimensions=(60, 120),
        env=environment(PS1="> "), cwd=str(ROOT),
    )  # fmt: skip
    child.sendline(f"{sys.executable} -m grader watch 1 --exercises {folder.path}")
    child.expect("to do")
    child.expect(BAR)
    child.sendcontrol("z")
    child.expect("Stopped")
    child.sendline("stty -a")
    child.expect(r"\bicanon")
    assert "-icanon" not in child.before.split("stty -a")[-1]
    child.sendline("fg")
    child.send("h")
    child.expect("Hint 1 of 3")
    child.send("q")
    child.sendline("echo code $?")
    child.expect("code 0")
    child.close(force=True)


@pytest.mark.parametrize(("options", "extra"), [(("--plain",), {}), ((), {"TERM": "dumb"})])
def test_plain_and_dumb_terminals_get_words_and_keys_and_no_control_sequences(
    folder: Folder, terminal: Callable[..., Terminal], options: tuple[str, ...], extra: dict[str, str]
):
    wrong(folder)
    screen = terminal("1", *options, **extra)
    text = screen.expect("[q]uit")
    text += screen.press("h", "Hint 1 of 3")
    assert "\x1b" not in text
    screen.press("q")
    assert screen.leave() == 0
