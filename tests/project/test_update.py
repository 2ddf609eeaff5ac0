"""make update: new lessons and checks arrive, what the learner wrote stays, and a conflict changes nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grader.content.syllabus import Entry, load
from grader.errors import GraderError
from grader.learning import update as updating
from grader.learning.merging import merge

ONE, TWO = load()[:2]
STUB = '''"""Lesson one."""


def f(x):
    """Do it."""
    # Your code here. (The reference needs 3 lines.)
    raise NotImplementedError("not written yet")


class A:
    def g(self):
        """Old.

        Returns:
            nothing.
        """
        # Your code here. (The reference needs 1 line.)
        raise NotImplementedError("not written yet")
'''
NEW = (
    STUB.replace("Lesson one", "Lesson two")
    .replace("Do it.", "Do it well.")
    .replace("3 lines", "5 lines")
    .replace("1 line.", "2 lines.")
    .replace("Old.", "New.")
)
PLACEHOLDER = '# Your code here. (The reference needs 3 lines.)\n    raise NotImplementedError("not written yet")'
WRITTEN = STUB.replace(PLACEHOLDER, "y = x + 1\n    return y")


# ---- the merge itself -----------------------------------------------------------------------------------------------


def test_lessons_and_docstrings_arrive_and_the_body_stays():
    merged = merge(WRITTEN, STUB, NEW)
    assert not merged.conflicts
    assert merged.text == NEW.replace(PLACEHOLDER.replace("3", "5"), "y = x + 1\n    return y")


def test_an_untouched_stub_becomes_the_new_one():
    assert merge(STUB, STUB, NEW).text == NEW


def test_nothing_new_leaves_every_byte():
    odd = WRITTEN.rstrip("\n") + "   \n\n# the end"
    assert merge(odd, STUB, STUB).text == odd


def test_both_changing_one_line_is_a_conflict_that_shows_both():
    merged = merge(WRITTEN.replace("Do it.", "My words."), STUB, NEW)
    assert merged.conflicts
    assert "My words." in merged.text
    assert "Do it well." in merged.text
    assert "<<<<<<< yours" in merged.text
    assert "merging:" not in merged.text


def test_windows_line_ends_are_kept():
    merged = merge(WRITTEN.replace("\n", "\r\n"), STUB, NEW)
    assert not merged.conflicts
    assert merged.text.count("\n") == merged.text.count("\r\n") > 10
    assert merged.text.replace("\r\n", "\n") == merge(WRITTEN, STUB, NEW).text


def test_a_file_that_is_not_python_is_merged_by_lines():
    broken = WRITTEN + "\n\ndef half(:\n"
    new = STUB.replace("Lesson one", "Lesson two")
    merged = merge(broken, STUB, new)
    assert not merged.conflicts
    assert merged.text == broken.replace("Lesson one", "Lesson two")


def test_a_signature_that_gets_a_further_argument_keeps_the_body():
    new = STUB.replace("def f(x):", "def f(x, axis=-1):")
    merged = merge(WRITTEN, STUB, new)
    assert not merged.conflicts
    assert "def f(x, axis=-1):" in merged.text
    assert "y = x + 1" in merged.text


# ---- with git -------------------------------------------------------------------------------------------------------


class Clone:
    """A bare upstream, an author's clone that pushes to it, and a learner's clone."""

    def __init__(self, path: Path) -> None:
        self.upstream, self.author, self.root = path / "upstream.git", path / "author", path / "learner"
        git(path, "init", "-q", "--bare", "-b", "main", str(self.upstream))
        git(path, "clone", "-q", str(self.upstream), str(self.author))
        self.publish("first", {ONE: STUB, TWO: STUB}, notes="old notes\n")
        git(path, "clone", "-q", str(self.upstream), str(self.root))

    def publish(self, message: str, stubs: dict[Entry, str], notes: str | None = None) -> None:
        for entry, text in stubs.items():
            path = self.author / "exercises" / entry.stub.name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        if notes is not None:
            (self.author / "NOTES.md").write_text(notes)
        (self.author / ".gitignore").write_text("exercises/backups/\n")
        git(self.author, "add", "-A")
        git(self.author, "commit", "-q", "-m", message)
        git(self.author, "push", "-q", "origin", "HEAD:main")

    def path(self, entry: Entry) -> Path:
        return self.root / "exercises" / entry.stub.name

    def update(self, **options: object) -> tuple[bool, str]:
        lines: list[str] = []
        keep = options.pop("keep", [])
        done = updating.update([ONE, TWO], keep, lines.append, root=self.root, **options)  # type: ignore[arg-type]
        return done, "\n".join(map(str, lines))

    def backups(self) -> list[Path]:
        return sorted((self.root / "exercises" / "backups").rglob("*.py"))


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "no-config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return Clone(tmp_path)


def test_new_stubs_arrive_around_what_is_written_and_not_committed(clone: Clone):
    clone.path(ONE).write_text(WRITTEN)
    clone.publish("Better lessons", {ONE: NEW, TWO: NEW}, notes="new notes\n")
    done, said = clone.update()
    assert done
    assert "Better lessons" in said
    assert clone.path(ONE).read_text() == merge(WRITTEN, STUB, NEW).text
    assert clone.path(TWO).read_text() == NEW
    assert (clone.root / "NOTES.md").read_text() == "new notes\n"
    assert [backup.read_text() for backup in clone.backups()] == [WRITTEN]
    assert git(clone.root, "rev-parse", "HEAD") == git(clone.author, "rev-parse", "HEAD")
    assert git(clone.root, "status", "--porcelain").split() == ["M", f"exercises/{ONE.stub.name}"]


def test_committed_work_is_merged_even_where_git_alone_would_see_a_conflict(clone: Clone):
    clone.path(ONE).write_text(WRITTEN)
    git(clone.root, "commit", "-qam", "my work")
    clone.path(ONE).write_text(WRITTEN + "\n\n# not committed\n")
    clone.publish("Better lessons", {ONE: NEW}, notes="new notes\n")
    done, _ = clone.update()
    assert done
    merged = merge(WRITTEN, STUB, NEW).text
    assert clone.path(ONE).read_text() == merged + "\n\n# not committed\n"
    assert git(clone.root, "show", f"HEAD:exercises/{ONE.stub.name}") == merged
    assert git(clone.root, "log", "-1", "--format=%P").split()[1] == git(clone.author, "rev-parse", "HEAD").strip()


def test_several_updates_in_a_row_and_one_with_nothing_new(clone: Clone):
    clone.path(ONE).write_text(WRITTEN)
    clone.publish("two", {ONE: NEW})
    clone.update()
    clone.publish("three", {ONE: NEW.replace("Lesson two", "Lesson three")})
    assert clone.update()[0]
    assert "Lesson three" in clone.path(ONE).read_text()
    assert "y = x + 1" in clone.path(ONE).read_text()
    assert "Nothing new" in clone.update()[1]


def state(root: Path) -> tuple[str, str, dict[str, bytes]]:
    files = {p.name: p.read_bytes() for p in root.rglob("*") if p.is_file() and not {".git", "backups"} & set(p.parts)}
    return git(root, "rev-parse", "HEAD"), git(root, "status", "--porcelain"), files


def test_a_conflict_changes_nothing_and_keeps_all_three_versions(clone: Clone):
    mine = WRITTEN.replace("Do it.", "My words.")
    clone.path(ONE).write_text(mine)
    clone.publish("Better lessons", {ONE: NEW, TWO: NEW}, notes="new notes\n")
    before = state(clone.root)
    done, said = clone.update()
    assert not done
    assert state(clone.root) == before
    assert ONE.stub.name in said
    kept = {path.name.partition(".")[2]: path.read_text() for path in clone.backups()}
    assert kept["yours.py"] == mine
    assert kept["new-stub.py"] == NEW
    assert "<<<<<<< yours" in kept["merged.py"]

    done, _ = clone.update(keep=[ONE])  # the learner has settled it by hand
    assert done
    assert clone.path(ONE).read_text() == mine
    assert clone.path(TWO).read_text() == NEW
    assert "Nothing new" in clone.update()[1]


def test_when_git_can_not_merge_the_rest_everything_is_as_it_was(clone: Clone):
    clone.path(ONE).write_text(WRITTEN)
    (clone.root / "NOTES.md").write_text("my notes\n")
    clone.publish("Better lessons", {ONE: NEW}, notes="new notes\n")
    for commit in (False, True):
        if commit:
            git(clone.root, "commit", "-qm", "mine", "NOTES.md")
        before = state(clone.root)
        with pytest.raises(GraderError, match=r"Nothing was changed[\s\S]*NOTES.md"):
            clone.update()
        assert state(clone.root) == before
    assert not (clone.root / ".git" / "MERGE_HEAD").exists()


def test_what_is_staged_stays_staged_when_an_update_fails(clone: Clone):
    clone.path(ONE).write_text(WRITTEN)
    (clone.root / "NOTES.md").write_text("my notes\n")
    git(clone.root, "add", "-A")
    clone.publish("Better lessons", {ONE: NEW}, notes="new notes\n")
    before = state(clone.root)
    with pytest.raises(GraderError, match="Nothing was changed"):
        clone.update()
    assert state(clone.root) == before


def test_a_dry_run_says_what_is_new_and_changes_nothing(clone: Clone):
    clone.path(ONE).write_text(WRITTEN)
    clone.publish("Better lessons", {ONE: NEW})
    before = state(clone.root)
    done, said = clone.update(dry_run=True)
    assert done
    assert "Better lessons" in said
    assert state(clone.root) == before


def test_an_exercise_that_upstream_drops_stays_with_the_learner(clone: Clone):
    clone.path(ONE).write_text(WRITTEN)
    git(clone.author, "rm", "-q", f"exercises/{ONE.stub.name}")
    clone.publish("Drop one", {TWO: NEW})
    assert clone.update()[0]
    assert clone.path(ONE).read_text() == WRITTEN


def test_upstream_is_preferred_to_origin(clone: Clone):
    git(clone.root, "remote", "add", "upstream", str(clone.upstream))
    assert updating.Update(clone.root).remote == "upstream"


@pytest.mark.parametrize(
    "spoil", ["no clone", "no remote", "unknown remote", "unreachable", "stranger", "half a merge"]
)
def test_what_can_not_be_updated_says_so(clone: Clone, tmp_path: Path, spoil: str):
    remote, says = None, ""
    if spoil == "no clone":
        (tmp_path / "plain").mkdir()
        clone.root, says = tmp_path / "plain", "not a git clone"
    elif spoil == "no remote":
        git(clone.root, "remote", "remove", "origin")
        says = "git remote add"
    elif spoil == "unknown remote":
        remote, says = "nowhere", "There is origin"
    elif spoil == "unreachable":
        git(clone.root, "remote", "set-url", "origin", str(tmp_path / "gone.git"))
        says = "git fetch failed"
    elif spoil == "stranger":
        other = tmp_path / "other"
        other.mkdir()
        git(other, "init", "-q", "-b", "main")
        git(other, "commit", "-q", "--allow-empty", "-m", "x")
        git(clone.root, "remote", "set-url", "origin", str(other))
        says = "no history in common"
    else:
        head = git(clone.root, "rev-parse", "HEAD")
        (clone.root / ".git" / "MERGE_HEAD").write_text(head)
        says = "half done"
    with pytest.raises(GraderError, match=says):
        clone.update(remote=remote)
