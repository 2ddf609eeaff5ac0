"""What moves on a terminal, and what does not elsewhere."""

from __future__ import annotations

import io

import pytest

from lab.console import Meter, Pace, Screen, clock, table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def shown(file: io.StringIO, plain: bool = False) -> str:
    screen = Screen(plain, file)
    screen.heading("A heading")
    with Meter(screen, total=40, done=0, tokens_per_step=10) as meter:
        for step in range(1, 41):
            meter.show(step, 2.0)
    return file.getvalue()


def test_a_terminal_gets_a_bar_that_moves() -> None:
    assert "\x1b[" in shown(Terminal())


def test_a_pipe_gets_plain_lines() -> None:
    output = shown(io.StringIO())
    assert "\x1b" not in output
    assert len([line for line in output.splitlines() if line.startswith("step")]) == 20


def test_plain_gets_plain_lines_on_a_terminal_too() -> None:
    assert "\x1b" not in shown(Terminal(), plain=True)


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    output = shown(Terminal())
    assert "\x1b" not in output
    assert output.count("\nstep ") == 20


def test_no_color_takes_the_colours_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in shown(Terminal())


def test_nothing_in_a_text_is_taken_for_markup() -> None:
    file = io.StringIO()
    Screen(file=file).say("[bold]x[/bold] :smile: " + "long " * 60)
    assert file.getvalue() == "[bold]x[/bold] :smile: " + "long " * 60 + "\n"


def test_the_pace_leaves_pauses_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("lab.console.time.monotonic", lambda: now[0])
    pace = Pace()
    for step in range(5):
        pace.note(step)
        now[0] += 0.5
    now[0] += 30.0
    pace.skip_pause()
    now[0] += 0.5
    pace.note(5)
    assert pace.steps_per_second == pytest.approx(5 / 2.5)


def test_times_and_tables_line_up() -> None:
    assert [clock(seconds) for seconds in (0.4, 59.6, 3600)] == ["0:00", "1:00", "1:00:00"]
    assert table([("a", "1.5"), ("bcd", "10")], ("x", "nats")) == "x    nats\n---  ----\na     1.5\nbcd    10"


def test_on_a_terminal_a_long_line_is_broken_between_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    told, words = io.StringIO(), "nine plays of Shakespeare, 1,188,810 characters " * 3
    Screen(file=told).say(f"Run 001: {words}\n\n  a  table")
    *lines, empty, table = told.getvalue().splitlines()
    assert " ".join(lines).split() == f"Run 001: {words}".split()
    assert max(map(len, lines)) <= 60
    assert (empty, table) == ("", "  a  table")
