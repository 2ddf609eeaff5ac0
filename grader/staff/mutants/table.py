"""The tables of `mutants` and `mutate`: what the suite rejects, by which check first, and whether it is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.text import Text

from grader.content.syllabus import Entry
from grader.probing.assembly import Source
from grader.screens.run import console
from grader.staff.mutants.mutation import Mutation, equivalents, mutations
from grader.staff.mutants.trials import Candidate, Trial, superfluous

ENOUGH = 0.95


@dataclass(frozen=True)
class Counts:
    """How many mistakes there are in one situation, how many of them a check notices, and how many are named."""

    total: int = 0
    rejected: int = 0
    named: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.total + other.total, self.rejected + other.rejected, self.named + other.named)


class Tally:
    """The trials of mistakes in one situation, counted: with every function written, or with later ones to be written.

    Where later functions are missing, some mistakes can't be seen yet: no check that notices them can run.
    """

    def __init__(self, trials: Sequence[Trial], unfinished: bool, known: Iterable[Counts] = ()) -> None:
        self.unfinished = unfinished
        mine = [trial for trial in trials if trial.candidate.unfinished == unfinished]
        self.survivors = [trial for trial in mine if not trial.rejected_by]
        self.misnamed = [trial for trial in mine if trial.misnamed]
        named = sum(trial.names(trial.candidate.name) for trial in mine)
        self.counts = sum(known, Counts(len(mine), len(mine) - len(self.survivors), named))

    @property
    def enough(self) -> bool:
        """Whether enough of what could be named is."""
        return self.counts.named >= ENOUGH * (self.counts.rejected if self.unfinished else self.counts.total)

    def __str__(self) -> str:
        if not self.unfinished:
            return f"{self.counts.rejected} of {self.counts.total} mistakes rejected, {self.counts.named} named"
        unseen = self.counts.total - self.counts.rejected
        hidden = f", {unseen} can't be seen yet" if unseen else ""
        return (
            f"with later functions still to be written: {self.counts.rejected} of {self.counts.total} show{hidden}, "
            f"{self.counts.named} named"
        )


@dataclass(frozen=True)
class Counted:
    """What there is to say of an exercise where all is right: of mistakes in both situations, and of variants."""

    whole: Counts
    begun: Counts
    variants: int


def _right(variants: Sequence[Trial], known: int = 0) -> str:
    right = sum(not trial.rejected_by for trial in variants)
    return f"{right + known} of {len(variants) + known} variants right"


class MutantsReport:
    """Collects trials, tells of each as it is done, and sums up at the end."""

    def __init__(
        self,
        entries: Sequence[Entry],
        messages: bool = False,
        plain: bool = False,
        known: Sequence[Counted] = (),
    ) -> None:
        """
        Args:
            entries: the exercises that are tried.
            messages: show what the first check says of each mistake.
            plain: without colours.
            known: what was counted before of exercises that are not tried again; it goes into the sums.
        """
        self.entries = entries
        self.known = known
        self.messages = messages
        self.console = console(plain)
        self.mistakes: list[Trial] = []
        self.variants: list[Trial] = []

    def mistake(self, trial: Trial) -> None:
        """A line on one mistake."""
        self.mistakes.append(trial)
        if not trial.rejected_by:
            unfinished = trial.candidate.unfinished
            self._line(trial, "can't be seen yet" if unfinished else "[red]SURVIVES[/red]")
            return
        first = trial.rejected_by[0]
        status = trial.statuses[first]
        named = "named" if trial.names(trial.candidate.name) else "[yellow]not named[/yellow]"
        others = sorted({id for each in trial.named.values() for id in each.ids} - {trial.candidate.name})
        as_others = f" (or {', '.join(others)})" if others else ""
        count = len(trial.rejected_by)
        self._line(trial, f"rejected by {first} ({status}; {count} in all), {named}{as_others}")
        if self.messages:
            self.console.print(f"         {escape(trial.messages[first].splitlines()[0])}", soft_wrap=True)

    def variant(self, trial: Trial) -> None:
        """A line on one variant."""
        self.variants.append(trial)
        if trial.rejected_by:
            first = trial.rejected_by[0]
            self._line(trial, f"[red]LOSES POINTS[/red] in {', '.join(trial.rejected_by)}")
            self.console.print(f"         {escape(trial.messages[first])}", soft_wrap=True)
        else:
            self._line(trial, "variant, all points")

    def finish(self) -> bool:
        """The summary by exercise, in both situations; whether all is as it must be."""
        self.console.print()
        for entry in self.entries:
            mistakes, variants = self._trials(entry)
            self.console.print(f"  {entry.label}  {Tally(mistakes, False)}; {_right(variants)}")
            self.console.print(f"        {Tally(mistakes, True)}")
            spare = superfluous(mistakes, entry)
            if mistakes and spare:
                self.console.print(
                    f"        reject nothing that no other check rejects: {', '.join(spare)}", style="dim"
                )
        tallies = (
            Tally(self.mistakes, False, [each.whole for each in self.known]),
            Tally(self.mistakes, True, [each.begun for each in self.known]),
        )
        known = sum(each.variants for each in self.known)
        wronged = [trial for trial in self.variants if trial.rejected_by]
        self.console.print(f"\n[bold]{tallies[0]}[/bold]; {_right(self.variants, known)}")
        self.console.print(f"{tallies[1]}")
        for trial in tallies[0].survivors:
            self.console.print(f"  survives: {trial.candidate.entry.label} {trial.candidate.name}")
        for trial in wronged:
            self.console.print(f"  loses points: {trial.candidate.entry.label} {trial.candidate.name}")
        for tally in tallies:
            if not tally.enough:
                self.console.print(f"  Fewer than {ENOUGH:.0%} are named: {tally}")
            for trial in tally.misnamed:
                self.console.print(f"  called what it is not: {trial.candidate.entry.label} {trial.candidate.name}")
        return not wronged and not tallies[0].survivors and all(each.enough and not each.misnamed for each in tallies)

    def counted(self, entry: Entry) -> Counted | None:
        """Return what there is to say of an exercise; None if not all is right."""
        mistakes, variants = self._trials(entry)
        whole, begun = Tally(mistakes, False), Tally(mistakes, True)
        if whole.survivors or whole.misnamed or begun.misnamed or any(trial.rejected_by for trial in variants):
            return None
        return Counted(whole.counts, begun.counts, len(variants))

    def _trials(self, entry: Entry) -> tuple[list[Trial], list[Trial]]:
        """The trials of an exercise's mistakes, and those of its variants."""
        mistakes = [trial for trial in self.mistakes if trial.candidate.entry == entry]
        return mistakes, [trial for trial in self.variants if trial.candidate.entry == entry]

    def _line(self, trial: Trial, text: str) -> None:
        begun = ", begun" if trial.candidate.unfinished else ""
        name = f"{trial.candidate.entry.label}  {trial.candidate.name + begun:<34}"
        self.console.print(f"  {name} {text}  [dim]{trial.seconds:.1f} s[/dim]", soft_wrap=True)


class MutationReport:
    """Collects the trials of mechanical mutants; tells of those that no check notices, and sums up."""

    def __init__(self, entries: Sequence[Entry], reference: Mapping[str, Source], plain: bool = False) -> None:
        self.entries = entries
        self.console = console(plain)
        self.mutations: dict[str, Mutation] = {}
        self.candidates: list[Candidate] = []
        self.noticed: Counter[str] = Counter()
        self.timed_out: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        self.survivors: dict[str, list[Mutation]] = {entry.stem: [] for entry in entries}
        self.recorded = {entry.stem: {(e.before, e.after) for e in equivalents(entry)} for entry in entries}
        for entry in entries:
            for number, mutation in enumerate(mutations(reference[entry.stem])):
                name = f"{mutation.name} #{number}"
                self.mutations[name] = mutation
                self.candidates.append(Candidate(entry, name, mutation.source))

    def done(self, trial: Trial) -> None:
        """Count one trial; a survivor that is not recorded as equivalent is shown."""
        stem, mutation = trial.candidate.entry.stem, self.mutations[trial.candidate.name]
        self.total[stem] += 1
        if trial.rejected_by:
            self.noticed[stem] += 1
            self.timed_out[stem] += trial.statuses[trial.rejected_by[0]] == "timeout"
            return
        self.survivors[stem].append(mutation)
        if not self._explained(stem, mutation):
            self.console.print(
                Text(f"  {mutation.name}\n    - {mutation.before}\n    + {mutation.after}"), soft_wrap=True
            )

    def finish(self) -> bool:
        """The summary by exercise; whether enough of the changes are noticed or explained."""
        self.console.print()
        good = 0
        for entry in self.entries:
            stem = entry.stem
            explained = sum(self._explained(stem, mutation) for mutation in self.survivors[stem])
            good += self.noticed[stem] + explained
            open_ones = len(self.survivors[stem]) - explained
            late = f" ({self.timed_out[stem]} by the time limit alone)" if self.timed_out[stem] else ""
            self.console.print(
                f"  {entry.label}  {self.noticed[stem]:>3} of {self.total[stem]:>3} changes noticed{late}, "
                f"{explained} equivalent, {open_ones} open"
            )
            survived = {(mutation.before, mutation.after) for mutation in self.survivors[stem]}
            for _, after in sorted(self.recorded[stem] - survived):
                self.console.print(
                    Text(f"        recorded as equivalent, and yet noticed: {after}"), soft_wrap=True, style="dim"
                )
        total = self.total.total()
        self.console.print(
            f"\n[bold]{good} of {total} changes noticed or explained[/bold] ({good / max(1, total):.1%})"
        )
        return good >= ENOUGH * total

    def _explained(self, stem: str, mutation: Mutation) -> bool:
        return (mutation.before, mutation.after) in self.recorded[stem]
