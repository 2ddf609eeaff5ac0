"""The loop of a watch: saves, verdicts and keys come in, one after the other, and each is answered."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grader.content.hints import choices, hints_of
from grader.content.outline import pieces
from grader.content.stubs import FOLDER
from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.files import real, shown
from grader.learning import idioms
from grader.learning.watch import editor
from grader.learning.watch.events import (
    Begin,
    Crash,
    Dropped,
    Event,
    Graded,
    Hangup,
    Inbox,
    Key,
    Noticed,
    Saved,
    Trouble,
)
from grader.learning.watch.files import Saves
from grader.learning.watch.keys import Keys, open_keys
from grader.learning.watch.work import Work
from grader.probing.assembly import Source
from grader.probing.random import derive
from grader.progress import History, note, standings
from grader.results import CheckResult, ExerciseResult
from grader.screens import solution as solutions
from grader.screens.failure import FailureScreen
from grader.screens.progress import show as show_progress
from grader.screens.watch import Course, Screen
from grader.store import Store
from grader.workers.pool import Pool

LONG = 0.7  # seconds after which it is said that something is being graded


class Watch:
    """A watch of one folder. `run` returns when the learner quits."""

    def __init__(
        self,
        exercises: Path,
        begin: Entry | None = None,
        *,
        seed: int = 0,
        plain: bool = False,
        poll: bool = False,
        auto_advance: bool = False,
    ) -> None:
        if not exercises.is_dir():
            raise GraderError(f"There is no folder {exercises}. Name the one with your exercises: --exercises DIR")
        self.exercises = exercises
        self.auto_advance = auto_advance
        self.plain = plain
        self.entries = {entry.stem: entry for entry in load()}
        self.inbox = Inbox()
        self.keys: Keys = open_keys()
        self.pool = Pool()
        self.work = Work(exercises, seed, self.pool, self.inbox.put)
        self.saves = Saves(exercises, self.inbox.put, poll)
        self.screen = Screen(exercises, plain, seed, self.keys.available)
        self.focus = begin
        self.results: dict[str, ExerciseResult] = {}
        self.waiting: dict[str, bool] = {}  # exercises to grade, in order; True if it was saved or asked for
        self.busy = ""  # the stem that is being graded
        self.anew = False  # whether that one was saved or asked for
        self.searching = False  # for the next exercise
        self.since = 0.0
        self.announced = False
        self.starting = False  # whether it was said that PyTorch is starting
        self.saved = False  # since the exercise in focus was chosen
        self.tiers: dict[tuple[str, str], int] = {}  # hints shown, by exercise and name
        self.given_up: set[str] = set()
        self.said: set[str] = set()
        self.answer: Callable[[bool], None] | None = None  # what a yes or a no is for
        self.done = False

    def run(self) -> None:
        """Watch until the learner quits.

        Raises:
            KeyboardInterrupt: they pressed Ctrl-C.
        """
        with self._alone(), self.pool, self.saves, self.keys, self.work:
            self._greet()
            if self.focus is None:
                self._go_on()
            else:
                self._queue([self.focus.stem])
            while not self.done:
                event = self.keys.next(self.inbox, 0.2)
                if event is not None:
                    self._handle(event)
                else:
                    self._announce()

    def _handle(self, event: Event) -> None:
        match event:
            case Key(char):
                self._press(char.lower())
            case Saved(stems):
                self._saved(stems)
            case Begin(stem):
                self._begin(stem)
            case Graded(stem, result, notes):
                self._graded(self.entries[stem], result, notes)
            case Dropped(stem):
                self._dropped(stem)
            case Trouble(message, stem):
                self.screen.say(message, style="yellow")
                self.searching = self.searching and bool(stem)
                if stem:
                    self._next_job()
            case Noticed(stem, message):
                self.screen.notice(self.entries[stem], message)
            case Crash(error):
                raise error
            case Hangup():
                self.done = True

    def _announce(self) -> None:
        """Say what is going on if it takes long."""
        beside = self.focus is not None and self.busy not in ("", self.focus.stem) and self.screen.quiet
        if (self.busy or self.searching) and not beside and not self.announced and time.monotonic() - self.since > LONG:
            self.announced = True
            what = f"Grading {self.entries[self.busy].label}" if self.busy else "Looking where you are"
            if self.pool.warming:
                what = "Starting PyTorch, once; this takes a few seconds"
                self.announced = False
                if self.starting:
                    return
                self.starting = True
            self.screen.say(f"{what} ...", style="dim")

    # ---- grading ----------------------------------------------------------------------------------------------------

    def _saved(self, stems: frozenset[str]) -> None:
        own = [stem for stem in self.entries if stem in stems]
        if own and (self.focus is None or self.focus.stem not in own):
            self.focus = self.entries[own[0]]
        if not own and self.focus is not None:  # a helper module of the learner's own
            own = [self.focus.stem]
        self.saved = True
        self.answer = None
        self._queue(own)

    def _queue(self, stems: list[str]) -> None:
        """Grade these now, the one in focus before the others, then what waits already and what uses them."""
        assert self.focus is not None
        first = dict.fromkeys(sorted(stems, key=lambda stem: stem != self.focus.stem), True)  # type: ignore[union-attr]
        users = [stem for stem, entry in self.entries.items() if any(need in stems for need in entry.needs)]
        rest = {stem: anew for stem, anew in self.waiting.items() if stem not in first}
        self.waiting = first | dict.fromkeys(users, False) | rest | first
        if self.busy or self.searching:  # the learner need not wait for what may be out of date
            self.work.interrupt()
        if not self.busy:
            self._next_job()

    def _next_job(self) -> None:
        self.busy = next(iter(self.waiting), "")
        if self.busy:
            self.since, self.announced = time.monotonic(), False
            self.anew = self.waiting.pop(self.busy)
            self.work.grade(self.entries[self.busy], self.anew)
        else:
            self.screen.settled()

    def _dropped(self, stem: str) -> None:
        """Something came in between: what was being graded waits again."""
        if stem:
            self.waiting.setdefault(stem, self.anew)
            self._next_job()
        else:
            self.searching = False

    def _graded(self, entry: Entry, result: ExerciseResult | None, notes: Iterable[str]) -> None:
        if result is not None:
            self.results[entry.stem] = result
            if entry == self.focus:
                self.screen.clear()
                self.screen.verdict(entry, result, time.monotonic() - self.since, self._course())
            else:
                self.screen.row(result)
        for line in notes:
            self._once(line)
        advance = self.auto_advance and self.saved and entry == self.focus and result and result.status == "pass"
        if advance:
            self._go_on()
        self._next_job()

    def _once(self, line: str) -> None:
        """Say something that would be tedious to hear twice."""
        if line not in self.said:
            self.said.add(line)
            self.screen.say(line, style="yellow")

    # ---- keys -------------------------------------------------------------------------------------------------------

    def _press(self, char: str) -> None:
        if self.answer is not None:
            answer, self.answer = self.answer, None
            answer(char == "y")
            return
        actions: dict[str, Callable[[], None]] = {
            "h": self._hint,
            "i": self._inside,
            "s": self._solution,
            "d": self._diff,
            "p": self._picture,
            "l": self._list,
            "o": self._open,
            "r": self._again,
            "n": self._go_on,
            "q": self._quit,
        }
        try:
            if char in actions and self.focus is None and char not in "qlr":
                self._still_looking()
            elif char in actions:
                actions[char]()
            elif char == "?":
                self.screen.bar()
        except GraderError as error:
            self.screen.say(str(error), style="yellow")

    def _quit(self) -> None:
        self.done = True

    def _again(self) -> None:
        if self.focus is not None:
            self._queue([self.focus.stem])

    def _go_on(self) -> None:
        """Look for the next exercise that does not pass."""
        if self.searching:
            self._still_looking()
        else:
            self.searching, self.since, self.announced = True, time.monotonic(), False
            self.work.find_beginning(self.focus)

    def _still_looking(self) -> None:
        """Answer a key that has to wait for the search."""
        self.announced = True
        self.screen.say("Still looking for the next exercise that does not pass ...", style="dim")

    def _begin(self, stem: str) -> None:
        self.searching = False
        if not stem:
            self.screen.say("Everything passes. Train what you built: make train", style="bold green")
            self.focus = self.focus or load()[0]
            self.screen.bar()
            return
        entry = self.entries[stem]
        if entry.bonus and (self.focus is None or not self.focus.bonus):
            self.screen.say("The course is complete. Train what you built: make train", style="bold green")
            self.screen.say("What follows is a bonus.")
        self.focus, self.saved = entry, False
        self._queue([stem])

    def _list(self) -> None:
        self.screen.say("")
        if self._is_own():
            found, notes = standings()
            show_progress(found, self.plain)
            for line in notes:
                self._once(line)
        elif self.focus is not None:
            self.screen.listing(self.results, self.focus)
        self.screen.bar()

    def _hint(self) -> None:
        entry = self._entry()
        hints = hints_of(entry)
        check = self._first()
        meant = choices(hints, check.evidence.name) if check is not None else []
        tiers = {each: self.tiers.get((entry.stem, each), 0) for each in meant or hints}
        name = next((each for each, shown in tiers.items() if shown < len(hints[each].tiers)), next(iter(tiers)))
        tier = min(tiers[name] + 1, len(hints[name].tiers))
        self.tiers[entry.stem, name] = tier
        self.screen.hint(name, hints[name], tier)
        if self._is_own():
            for line in note("hint", entry.stem, names=[name], tier=tier):
                self._once(line)
        self.screen.bar()

    def _inside(self) -> None:
        result = self.results.get(self._entry().stem)
        if result is None or result.status in ("pass", "todo"):
            self.screen.say("i shows everything about a check that fails.")
        else:
            self.screen.inside(self._entry(), result)
            self.screen.bar()

    def _solution(self) -> None:
        if self._earned():
            self._show_solution()
            return
        entry = self._entry()
        self.screen.say("")
        self.screen.say(
            f"{entry.label} does not pass yet. Give up on it and see the solution? Your progress will say so. "
            "[y]es; any other key is a no.",
            style="bold",
        )
        self.answer = self._give_up

    def _give_up(self, agreed: bool) -> None:
        if not agreed:
            self.screen.say("Not shown. Good: h has another hint.")
            self.screen.bar()
            return
        entry = self._entry()
        try:
            self._show_solution()
        except GraderError as error:  # a release holds none: nobody has given up then
            self.screen.say(str(error), style="yellow")
            return
        self.given_up.add(entry.stem)
        if self._is_own():
            for line in note("gave_up", entry.stem):
                self._once(line)

    def _show_solution(self) -> None:
        for code in solutions.reference(self._entry()).values():
            self.screen.say("")
            solutions.show(code, self.plain)
        self.screen.bar()

    def _diff(self) -> None:
        entry = self._entry()
        if not self._earned():
            beside = "shows yours beside the reference's, and " if entry.solution.exists() else ""
            self.screen.say(f"d {beside}says what is idiomatic in yours, once {entry.label} passes.")
            return
        path = self.exercises / entry.stub.name
        try:
            mine = pieces(Source.read(path, "learner").text)
        except (OSError, SyntaxError) as error:
            raise GraderError(f"{path} can't be compared: {error}") from None
        if entry.solution.exists():
            for name, code in solutions.reference(entry).items():
                solutions.show_difference(name, mine.get(name), code, self.plain)
            solutions.show_others(entry, self.plain)
        self.screen.say("")
        idioms.show(entry, path, self.plain)
        self.screen.bar()

    def _picture(self) -> None:
        """Draw what the code does, in a process of its own: `make look`."""
        entry = self._entry()
        self.screen.say(f"Drawing what your {entry.label} does ...", style="dim")
        command = [sys.executable, "-m", "grader", "look", entry.label, "--exercises", str(self.exercises)]
        with self.keys.paused():
            subprocess.run([*command, *(["--plain"] if self.plain else [])], check=False)
        self.screen.bar()

    def _open(self) -> None:
        path, line = self.exercises / self._entry().stub.name, 1
        check = self._first()
        spot, _, number = (check.evidence.spot if check is not None else "").rpartition(":")
        if spot and number.isdecimal() and real(Path(spot)).parent == real(path).parent:
            path, line = Path(spot), int(number)  # an exercise that this one uses may be at fault
        with self.keys.paused():
            editor.open_at(path, line)

    # ---- what is known ----------------------------------------------------------------------------------------------

    def _entry(self) -> Entry:
        assert self.focus is not None
        return self.focus

    def _first(self) -> CheckResult | None:
        """The check of the exercise in focus that the screen is about: the first that fails, or does not pass."""
        result = self.results.get(self._entry().stem)
        if result is None:
            return None
        reasons = FailureScreen.reasons(result)
        return reasons[0][0] if reasons else next((check for check in result.checks if check.status != "pass"), None)

    def _course(self) -> Course:
        """Return how far the learner is: by their progress, where some is kept, and by what this watch has graded."""
        own = {each.stem: each.state == "passing" for each in standings()[0]} if self._is_own() else {}
        own |= {stem: result.status == "pass" for stem, result in self.results.items()}
        entries = list(self.entries.values())
        place = entries.index(self._entry()) + 1
        after = (entry for entry in (*entries[place:], *entries[:place]) if not own.get(entry.stem))
        needed = [entry.stem for entry in entries if not entry.bonus]
        return Course(sum(own.get(stem, False) for stem in needed), len(needed), next(after, None))

    def _is_own(self) -> bool:
        """Return whether these are the learner's own exercises, whose progress is kept."""
        return real(self.exercises) == real(FOLDER)

    def _earned(self) -> bool:
        """Return whether the solution may be seen: after a pass, now or at some time, or after giving up."""
        stem = self._entry().stem
        if stem in self.given_up or (stem in self.results and self.results[stem].status == "pass"):
            return True
        return self._is_own() and any(
            event.ex == stem and (event.what == "gave_up" or event.data.get("status") == "pass")
            for event in History().events()
        )

    def _greet(self) -> None:
        files = len(self.saves.look())
        where = shown(str(self.exercises))
        self.screen.say(f"Watching {where} ({files} files). Save one, and it is graded.", style="bold")
        if not self.keys.available:
            self.screen.say("No terminal here, so there are no keys. Ctrl-C ends it.")
        for line in self.said:
            self.screen.say(line, style="yellow")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Notice another watch of the same folder. It does no harm, but whoever forgot it should know."""
        with Store().alone(f"watch-{derive(real(self.exercises)):x}.lock") as alone:
            if not alone:
                self.said.add("Another watch runs on these files. Both grade each save; nothing is lost.")
            yield
