"""Bringing in new lessons and checks from upstream, without losing a line that the learner wrote.

First all merges are worked out, and nothing is changed unless all of them succeed. Then each exercise that is merged is
backed up, git brings in the rest, and each gets its merged text. Whatever fails on the way is undone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grader import files as backups
from grader.content.syllabus import Entry
from grader.errors import GraderError
from grader.files import ROOT, write_atomically
from grader.learning.merging import merge

REMOTES = ("upstream", "origin")  # the first that there is


@dataclass
class Changes:
    """The changes that an update would make, worked out before anything is changed."""

    commit: str
    base: str
    news: list[str]  # the subjects of the new commits, newest first
    merged: dict[str, str] = field(default_factory=dict)  # exercise files (as git names them) -> their new text
    conflicts: dict[str, str] = field(default_factory=dict)  # the same, with conflict markers
    theirs: dict[str, str] = field(default_factory=dict)  # the new stub of each of these


class Update:
    """An update of one clone from one branch of a remote."""

    def __init__(self, root: Path = ROOT, remote: str | None = None, branch: str | None = None) -> None:
        """
        Raises:
            GraderError: the folder is no clone, or has no such remote.
        """
        self.root = root
        if not self._try("rev-parse", "--is-inside-work-tree"):
            raise GraderError(
                f"{root} is not a git clone (or git is not installed), so there is nothing to update from. "
                "Clone the project anew and copy your exercises/ over: make progress goes on where it was."
            )
        remotes = self._git("remote").split()
        chosen = remote or next((name for name in REMOTES if name in remotes), None)
        if chosen is None or chosen not in remotes:
            known = f"There is {', '.join(remotes)}." if remotes else "There is none."
            raise GraderError(f"No remote {chosen or 'to update from'}. {known} Add one: git remote add upstream URL")
        self.remote = chosen
        self.branch = branch

    def plan(self, entries: Sequence[Entry], keep: Sequence[Entry] = ()) -> Changes | None:
        """Fetch, and work out what is to be done; None if there is nothing new.

        Args:
            entries: the exercises.
            keep: those whose file stays exactly as it is, whatever is new.

        Raises:
            GraderError: the remote can't be reached, a merge is half done, or the histories have nothing in common.
        """
        if self._try("rev-parse", "-q", "--verify", "MERGE_HEAD"):
            raise GraderError(
                "A merge is half done in this folder. Finish it (git commit) or undo it: git merge --abort"
            )
        self._git("fetch", "--quiet", self.remote, self.branch or "HEAD")
        commit = self._git("rev-parse", "FETCH_HEAD").strip()
        base = self._try("merge-base", "HEAD", commit).strip()
        if not base:
            raise GraderError(f"{self.remote} and this folder have no history in common. Is it the right remote?")
        if base == commit:
            return None
        plan = Changes(commit, base, self._git("log", "--format=%s", f"{base}..{commit}").splitlines())
        kept = {self._name(entry.stub) for entry in keep}
        for entry in entries:
            self._plan_exercise(plan, entry.stub, kept)
        return plan

    def apply(self, plan: Changes) -> list[Path]:
        """Carry out a plan without conflicts; the backups that were made.

        Raises:
            GraderError: git could not merge the rest. Then everything is as it was.
        """
        if plan.conflicts:
            raise ValueError("a plan with conflicts can't be carried out")
        before = {name: (self.root / name).read_bytes() for name in plan.merged if (self.root / name).exists()}
        made = [backups.back_up(self.root / name, self.root / "exercises" / "backups") for name in before]
        index = self._git("write-tree").strip()
        try:
            self._set_aside(plan)
            self._merge(plan)
        except BaseException as error:
            self._try("merge", "--abort")
            self._try("read-tree", index)
            for name, content in before.items():
                (self.root / name).write_bytes(content)
            if isinstance(error, GraderError):
                raise GraderError(f"Nothing was changed. {error}") from None
            raise
        for name, text in plan.merged.items():
            write_atomically(self.root / name, text)
        return made

    def keep_conflicts(self, plan: Changes) -> Path:
        """Write down, in a folder of backups, both sides of each conflict and what could be merged.

        Raises:
            GraderError: the folder can't be written.
        """
        folder = backups.free(self.root / "exercises" / "backups" / f"update-{backups.stamp()}")
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise GraderError(f"Can't make {folder}: {error.strerror or error}.") from None
        for name, text in plan.conflicts.items():
            stem = Path(name).stem
            write_atomically(folder / f"{stem}.merged.py", text)
            write_atomically(folder / f"{stem}.new-stub.py", plan.theirs[name])
            write_atomically(folder / f"{stem}.yours.py", (self.root / name).read_bytes().decode("utf-8", "replace"))
        return folder

    def _plan_exercise(self, plan: Changes, path: Path, kept: set[str]) -> None:
        name = self._name(path)
        mine, base, theirs = self._read(self.root / name), self._show(plan.base, name), self._show(plan.commit, name)
        if mine is None or base == theirs or mine == base == self._show("HEAD", name):
            return  # not there, nothing new, or untouched: git does the whole of it
        if name in kept or theirs is None or base is None:
            plan.merged[name] = mine
            return
        result = merge(mine, base, theirs)
        if result.conflicts:
            plan.conflicts[name], plan.theirs[name] = result.text, theirs
        else:
            plan.merged[name] = result.text

    def _set_aside(self, plan: Changes) -> None:
        """Bring the exercises that are merged here to what upstream had last, so that git has nothing to object to."""
        for name in plan.merged:
            committed = self._show("HEAD", name)
            if committed is None:
                (self.root / name).unlink(missing_ok=True)
            else:
                self._git("checkout", "--quiet", "HEAD", "--", name)

    def _merge(self, plan: Changes) -> None:
        """Let git merge, and settle what it can't in exercises that are committed here: that has been worked out."""
        done = self._run(*self._identity(), "merge", "--no-edit", "-m", "Update from upstream", plan.commit)
        if done.returncode == 0:
            return
        open_ = self._git("diff", "--name-only", "--diff-filter=U").split("\n")
        unmerged = {name for name in open_ if name}
        if not unmerged or not unmerged <= plan.merged.keys():
            raise GraderError(f"git merge failed:\n{(done.stderr.strip() or done.stdout.strip())[:2000]}")
        for name in unmerged:
            committed, base, theirs = (self._show(commit, name) for commit in ("HEAD", plan.base, plan.commit))
            settled = merge(committed or "", base or "", theirs or "")
            write_atomically(self.root / name, plan.merged[name] if settled.conflicts else settled.text)
            self._git("add", "--", name)
        self._git(*self._identity(), "commit", "--quiet", "--no-edit")

    def _identity(self) -> list[str]:
        if self._try("config", "user.email"):
            return []
        return ["-c", "user.name=learner", "-c", "user.email=learner@localhost"]

    def _name(self, path: Path) -> str:
        return path.relative_to(ROOT).as_posix()

    def _read(self, path: Path) -> str | None:
        try:
            return path.read_bytes().decode("utf-8")
        except OSError:
            return None
        except UnicodeDecodeError as error:
            raise GraderError(
                f"{path}: byte {error.start} is not UTF-8. Save the file with the encoding UTF-8."
            ) from None

    def _show(self, commit: str, name: str) -> str | None:
        done = self._run("show", f"{commit}:{name}")
        return done.stdout if done.returncode == 0 else None

    def _try(self, *arguments: str) -> str:
        done = self._run(*arguments)
        return done.stdout if done.returncode == 0 else ""

    def _git(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode != 0:
            verb = next((word for word in arguments if word[:1] != "-" and "=" not in word), "")
            reason = (done.stderr.strip() or done.stdout.strip())[:2000]
            raise GraderError(f"git {verb} failed:\n{reason}")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", *arguments],
                cwd=self.root,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                stdin=subprocess.DEVNULL,
                env=os.environ | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
                check=False,
            )
        except OSError as error:
            return subprocess.CompletedProcess(["git", *arguments], 127, "", f"git can't be run: {error}")


def update(
    entries: Sequence[Entry],
    keep: Sequence[Entry],
    say: Callable[[str], object],
    *,
    remote: str | None = None,
    branch: str | None = None,
    dry_run: bool = False,
    root: Path = ROOT,
) -> bool:
    """Update and say what happens; False if there are conflicts (then nothing was changed).

    Raises:
        GraderError: it can't be done; nothing was changed.
    """
    work = Update(root, remote, branch)
    plan = work.plan(entries, keep)
    if plan is None:
        say(f"Nothing new on {work.remote}. All is up to date.")
        return True
    say(f"New on {work.remote}:")
    for subject in plan.news[:10]:
        say(f"  - {subject}")
    if len(plan.news) > 10:
        say(f"  and {len(plan.news) - 10} more: git log {plan.base[:10]}..{plan.commit[:10]}")
    if plan.conflicts:
        folder = work.keep_conflicts(plan)
        say("")
        say("Your work and the new stub change the same lines of:")
        for name in plan.conflicts:
            say(f"  {name}")
        say(f"Nothing was changed. Each is kept three times in {folder.relative_to(root)}:")
        say("  .yours.py (your file), .new-stub.py (the new one), .merged.py (both, with the places marked)")
        say("Take over what you want into your file. Then: make update KEEP=05 (say) leaves it as it is.")
        return False
    if dry_run:
        say("Your work fits the new stubs. Nothing was changed (--dry-run).")
        return True
    made = work.apply(plan)
    for backup in made:
        say(f"kept a backup: {backup.relative_to(root)}")
    say("Updated. What you wrote is where it was; make progress shows what is to be graded again.")
    return True
