"""The store: what is kept between runs is used while it is whole and fits, and never stands in anybody's way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.content.syllabus import find
from grader.diagnosis.diagnose import Known
from grader.diagnosis.traces import read_known
from grader.files import ROOT
from grader.judging.observation_store import Memory
from grader.misconceptions.recordings import known_file
from grader.probing.assembly import read_folder
from grader.results import Result
from grader.store import Store, engine, fingerprint, read_document
from grader.verdict_cache import VerdictCache

Damage = Callable[[Path], object]


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Damage] = {
    "empty": lambda path: path.write_text(""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "a byte changed": lambda path: path.write_bytes(path.read_bytes().replace(b"a", b"b", 1)),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\x00" * 50),
    "foreign": lambda path: path.write_text("{}"),
    "foreign and deep": lambda path: path.write_text("[" * 100_000),
    "another kind": lambda path: path.write_text('{"singles": 3, "pairs": null}'),
    "a folder": to_folder,
}
DAMAGED = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


def test_a_document_comes_back_and_the_younger_one_counts(tmp_path: Path):
    store = Store(tmp_path / "new" / "store")
    assert store.read("a/b.json") is None
    assert store.write("a/b.json", {"x": [1, 2.5, None]})
    assert store.write("a/b.json", ["y"])
    assert store.read("a/b.json") == ["y"]
    assert [path.name for path in store.folder.rglob("*") if path.is_file()] == ["b.json"]


@DAMAGED
def test_a_damaged_or_foreign_file_is_as_good_as_none(tmp_path: Path, damage: Damage):
    store = Store(tmp_path)
    store.write("known.json", {"a": 1})
    damage(store.path("known.json"))
    assert store.read("known.json") is None
    assert read_known(store.path("known.json")) == Known({}, {})
    assert VerdictCache(store, "known.json").get("a") is None
    store.write("observed/" + "0" * 32 + ".json", {"a": 1})
    damage(store.path("observed/" + "0" * 32 + ".json"))
    assert Memory(store).get("0" * 64, False) is None


def test_a_document_of_another_shape_is_as_good_as_none(tmp_path: Path):
    store = Store(tmp_path)
    documents: tuple[object, ...] = (None, 3, [], {}, {"calls": 1}, {"singles": {}, "pairs": [[]], "rivals": [1]})
    for document in documents:
        store.write("observed/" + "0" * 32 + ".json", document)
        assert Memory(store).get("0" * 64, False) is None
        assert read_known(store.path("observed/" + "0" * 32 + ".json")) == Known({}, {})


@pytest.fixture
def blocked(tmp_path: Path) -> Store:
    """A store where nothing can be written, whoever runs the test: a file stands in the place of its folder."""
    (tmp_path / "file").write_text("in the way")
    return Store(tmp_path / "file" / "store")


def test_where_nothing_can_be_written_nothing_is_kept_and_nobody_is_stopped(blocked: Store):
    assert not blocked.write("a.json", 1)
    assert blocked.read("a.json") is None
    blocked.keep_youngest("*.json", 1)
    cache = VerdictCache(blocked)
    cache.put("digest", True)
    assert cache.get("digest") is True
    with blocked.alone("lock") as alone:
        assert alone


def test_what_another_process_is_to_read_is_lent_all_the_same(blocked: Store):
    path = blocked.lend("known/a.json", {"a": 1})
    assert path is not None
    assert read_document(path) == {"a": 1}


def test_the_traces_of_mistakes_are_recorded_anew_where_their_file_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("STUBFORMER_STORE", str(tmp_path))
    (entry,) = find(["01"])
    reference = read_folder(ROOT / "solutions", "reference")
    monkeypatch.setattr(
        "grader.misconceptions.recordings.record", lambda *_: {"singles": {}, "pairs": [], "rivals": []}
    )
    path = known_file(entry, 0, reference)
    assert path is not None
    assert path.is_relative_to(tmp_path)
    path.write_text("{")
    assert known_file(entry, 0, reference) == path
    assert read_document(path)["singles"] == {}


@pytest.mark.parametrize("state", ["unwritable", "damaged"])
def test_a_grading_run_needs_no_store(tmp_path: Path, folder, state: str):
    """The whole command, with a wrong exercise: its checks fail, the mistake gets its name, nothing else happens."""
    import subprocess
    import sys

    folder.write("01", folder.solve("01").read_text().replace("keepdims=True", "keepdims=False"))
    store = tmp_path / "store"
    if state == "unwritable":
        store.write_text("in the way")
    environment = os.environ | {"STUBFORMER_STORE": str(store)}

    def run() -> tuple[int, str, Result]:
        document = tmp_path / "result.json"
        arguments = ["test", "01", "--exercises", str(folder.path), "--json", str(document), "--plain"]
        done = subprocess.run(
            [sys.executable, "-m", "grader", *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr, Result.of_document(json.loads(document.read_text()))

    code, stderr, result = run()
    assert (code, stderr) == (1, "")
    if state == "damaged":
        for path in store.rglob("*.json"):
            path.write_text("{")
        again = run()
        assert again[:2] == (1, "")
        named = [[check.misconception for check in each.exercises[0].checks] for each in (result, again[2])]
        assert named[0] == named[1]


def test_another_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert Store().folder == ROOT / ".stubformer"
    monkeypatch.setenv("STUBFORMER_STORE", str(tmp_path / "my store"))
    assert Store().folder == tmp_path / "my store"


@pytest.mark.parametrize("place", ["top.py", "sandbox/inside/deep.py"])
def test_a_change_anywhere_in_the_engine_is_another_key(tmp_path: Path, place: str):
    for name in ("top.py", "sandbox/inside/deep.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    before = engine.__wrapped__(tmp_path)
    (tmp_path / place).write_text("x = 2\n")
    assert engine.__wrapped__(tmp_path) != before
    (tmp_path / place).write_text("x = 1\n")
    assert engine.__wrapped__(tmp_path) == before
    (tmp_path / place).rename(tmp_path / place.replace(".py", "er.py"))
    assert engine.__wrapped__(tmp_path) != before


def test_the_key_is_another_one_for_another_seed_text_or_package(monkeypatch: pytest.MonkeyPatch):
    keys = {fingerprint(0, ["a", "b"]), fingerprint(1, ["a", "b"]), fingerprint(0, ["ab"]), fingerprint(0, ["b", "a"])}
    monkeypatch.setattr("grader.store._version", lambda _: "other")
    assert len(keys | {fingerprint(0, ["a", "b"])}) == 5


def test_the_oldest_documents_go(tmp_path: Path):
    store = Store(tmp_path)
    for age in range(5):
        store.write(f"known/a-{age}.json", age)
        os.utime(store.path(f"known/a-{age}.json"), (1000 - age, 1000 - age))
    store.write("known/b.json", "b")
    store.keep_youngest("known/a-*.json", 2)
    assert {path.name for path in (tmp_path / "known").iterdir()} == {"a-0.json", "a-1.json", "b.json"}


def test_one_holds_a_lock_at_a_time(tmp_path: Path):
    store = Store(tmp_path)
    with store.alone("x.lock") as first, Store(tmp_path).alone("x.lock") as second:
        assert (first, second) == (True, False)
    with store.alone("x.lock") as again:
        assert again
