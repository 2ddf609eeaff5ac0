"""Whatever people call their files and wherever they put them: each is taken, or what was found is said."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from grader.content.stubs import generated
from grader.content.syllabus import find, load
from grader.errors import GraderError
from grader.staff.intake.folder import find_submissions
from grader.staff.intake.names import meaning
from grader.staff.intake.reader import Unusable, take
from grader.written import Written

(ENTRY,) = find(["05"])
STEM = ENTRY.stem
CODE = "def scaled_dot_product_attention(query, key, value, mask=None):\n    return 1\n"


def hand_in(folder: Path, files: dict[str, str | bytes]) -> Path:
    """A folder with these files."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def taken(folder: Path, files: dict[str, str | bytes]) -> Written:
    """Such a folder as it is read."""
    return take(hand_in(folder, files), [ENTRY])


def zipped(files: dict[str, str | bytes]) -> bytes:
    """A zip with these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(*files: tuple[str, str]) -> bytes:
    """A tar with these files, in this order."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return file.getvalue()


TAKEN = [
    "Copy of ex05_attention.py",
    "ex5_attention.py",
    "ex05-attention.py",
    "ex05 attention.py",
    "ex05_attention - Kopie.py",
    "ex05_attention - Kopie (2).py",
    "ex05_attention (1).py",
    "ex05_attention(3).py",
    "ex05_attention copy 2.py",
    "Kopie von ex05_attention.py",
    "ex05_attention - Copie.py",
    "ex05_attention.py.txt",
    "ex05_attention.txt",
    "ex05_attention.py.py",
    "ex05.py",
    "ex5.py",
    "Exercise 5.py",
    "EX05_ATTENTION.PY",
    "ex05attention.py",
    "ex05_attention-final_v2.py",
    "ada_ex05_attention.py",
    "ex05_attention_ada.py",
    "name_123_456_ex05_attention-1.py",
    "ex05_atention.py",
    "Ada Byron_1002_assignsubmission_file_ex05_attention.py",
]


@pytest.mark.parametrize("name", TAKEN)
def test_a_name_as_people_write_it_is_taken_and_noted(name: str, tmp_path: Path):
    got = taken(tmp_path, {name: CODE})
    assert got.sources[STEM].text == CODE
    assert got.notes == [f"{name} was taken as {STEM}.py"]


@pytest.mark.parametrize(
    "name",
    ["test_ex05_attention.py", "ex05_attention_test.py", "ex05_helpers.py", "ex05_masks.py", "attention.py", "ex99.py"],
)
def test_another_file_is_no_exercise_and_what_was_found_is_said(name: str, tmp_path: Path):
    with pytest.raises(Unusable) as told:
        taken(tmp_path, {name: CODE, "notes.docx": b"x"})
    assert str(told.value) == f"none of the exercises is in it ({STEM}.py). It holds {name}, notes.docx."


def test_every_exercise_is_known_by_its_number_alone_and_by_its_own_name():
    for entry in load():
        number = int(entry.label.removeprefix("ex"))
        for name in (f"{entry.label}.py", f"ex{number}.py", f"ex{number}-{entry.stem.partition('_')[2]}.py"):
            meant = meaning(name)
            assert meant is not None
            assert meant.stem == entry.stem
        exact = meaning(f"{entry.stem}.py")
        assert exact is not None
        assert exact.exact


def test_a_file_of_another_kind_with_the_number_does_not_replace_a_stub(tmp_path: Path):
    got = taken(tmp_path, {f"{STEM}.py": generated(ENTRY), "ex05_drawings.py": "x = 1\n"})
    assert got.sources[STEM].text == generated(ENTRY)
    assert got.notes == []


@pytest.mark.parametrize("work", [f"{STEM} (1).py", f"old/{STEM}.py", f"z/y/x/{STEM}.py", "ex5.py", f"{STEM}_old.py"])
def test_an_untouched_stub_never_beats_work(work: str, tmp_path: Path):
    got = taken(tmp_path, {f"{STEM}.py": generated(ENTRY), work: CODE})
    assert got.sources[STEM].text == CODE
    assert any(f"{work} counts" in note for note in got.notes)


def test_no_time_decides_between_versions(tmp_path: Path):
    hand_in(tmp_path / "s", {f"a/{STEM}.py": CODE, f"b/{STEM}.py": CODE + "x = 1\n"})
    for newer in ("a", "b"):
        for name in ("a", "b"):
            os.utime(tmp_path / "s" / name / f"{STEM}.py", (1, 9**9 if name == newer else 1))
        assert take(tmp_path / "s", [ENTRY]).sources[STEM].text == CODE


def test_of_members_with_one_path_the_last_counts(tmp_path: Path):
    (tmp_path / "s.tar").write_bytes(tarred((f"{STEM}.py", "old"), ("x.txt", ""), (f"./{STEM}.py", CODE)))
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(f"{STEM}.py", "old")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(f"{STEM}.py", CODE)
    for name in ("s.tar", "s.zip"):
        got = take(tmp_path / name, [ENTRY])
        assert got.sources[STEM].text == CODE
        assert got.notes == []


def test_archives_in_folders_and_archives_are_opened(tmp_path: Path):
    inner = zipped({f"work/{STEM}.py": CODE})
    for number, content in enumerate((inner, zipped({"in.zip": inner}), tarred(("a.txt", "")))):
        hand_in(tmp_path / str(number), {"handin.zip": content})
    assert take(tmp_path / "0", [ENTRY]).sources[STEM].text == CODE
    assert take(tmp_path / "1", [ENTRY]).sources[STEM].text == CODE
    with pytest.raises(Unusable, match=r"It holds handin.zip/a.txt"):
        take(tmp_path / "2", [ENTRY])
    deep = inner
    for _ in range(5):
        deep = zipped({"in.zip": deep})
    with pytest.raises(Unusable, match="too many other archives"):
        take(hand_in(tmp_path / "deep", {"handin.zip": deep}), [ENTRY])


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.7z", b"7z\xbc\xaf\x27\x1c"), ("a.rar", b"Rar!\x1a\x07\x00"), ("a.rar", b""), ("b.zst", b"?")],
)
def test_what_is_not_opened_is_named(name: str, content: bytes, tmp_path: Path):
    hand_in(tmp_path, {name: content, f"x/{name}": content, f"x/{STEM}.py": CODE})
    ending = name.rpartition(".")[2]
    with pytest.raises(Unusable, match=f"{ending} archives are not opened here"):
        take(tmp_path / name, [ENTRY])
    assert f"{name} can't be read: {ending} archives" in " ".join(take(tmp_path / "x", [ENTRY]).notes)


def test_an_archive_under_a_wrong_name_is_what_it_is(tmp_path: Path):
    hand_in(
        tmp_path,
        {
            "a.rar": zipped({f"{STEM}.py": CODE}),
            "b.zip": tarred((f"{STEM}.py", CODE)),
            "c": zipped({f"{STEM}.py": CODE}),
        },
    )
    for name in ("a.rar", "b.zip", "c"):
        assert take(tmp_path / name, [ENTRY]).sources[STEM].text == CODE


def test_the_whole_project_handed_in_is_read_by_its_exercises(tmp_path: Path):
    files: dict[str, str | bytes] = {
        f"p/{name}/{STEM}.py": "other" for name in ("solutions", "recall", "exercises/backups")
    }
    got = taken(tmp_path, {**files, f"p/exercises/{STEM}.py": CODE})
    assert got.sources[STEM].text == CODE
    assert got.notes == []


@pytest.mark.parametrize(
    "name", ["solutions", "backups", "recall", ".hidden", "tests", "node_modules", "a.b", "ex05_attention.py"]
)
def test_a_students_folder_may_have_any_name(name: str, tmp_path: Path):
    hand_in(tmp_path / name, {f"{STEM}.py": CODE})
    hand_in(tmp_path / "zed", {f"solutions/{STEM}.py": CODE})
    handed = {each.student: each for each in find_submissions(tmp_path).handed}
    assert handed.keys() == {name, "zed"}
    for each in handed.values():
        assert take(each.parts, [ENTRY]).sources[STEM].text == CODE


def test_each_thing_in_the_folder_is_somebodys_or_has_its_reason(tmp_path: Path):
    hand_in(
        tmp_path,
        {
            f"anna/{STEM}.py": CODE,
            f"byronada_123_456_{STEM}-1.py": CODE,
            "byronada_123_457_ex01_softmax.py": "x = 1\n",
            f"hoppergrace_LATE_7_8_{STEM}.py": CODE,
            "lovelace_9_10_work.zip": zipped({f"{STEM}.py": CODE}),
            f"eve_{STEM}.py": CODE,
            f"{STEM}.py": CODE,
            "notes.pdf": b"x",
            "late.rar": b"",
            ".DS_Store": b"x",
        },
    )
    (tmp_path / "linked").symlink_to(tmp_path / "anna")
    (tmp_path / "linked.zip").symlink_to(tmp_path / "anna")
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / f"pipe_{STEM}.py")
    folder = find_submissions(tmp_path, tmp_path / "results")
    assert folder.left_out == [".DS_Store"]
    problems = {each.student for each in folder.handed if each.problem}
    assert problems == {"notes.pdf", "linked", "linked.zip", "circle", f"pipe_{STEM}.py"}
    read: dict[str, Written | str] = {}
    for each in folder.handed:
        if not each.problem:
            try:
                read[each.student] = take(each.parts, [ENTRY])
            except Unusable as why:
                read[each.student] = str(why)
    assert read.keys() == {"anna", "byronada_123", "hoppergrace_7", "lovelace_9", "eve", tmp_path.name, "late"}
    assert "rar archives are not opened" in str(read.pop("late"))
    for written in read.values():
        assert isinstance(written, Written)
        assert written.sources[STEM].text == CODE
    both = read["byronada_123"]
    assert isinstance(both, Written)
    assert "ex01_softmax" in both.sources


def test_a_folder_with_the_folders_of_several_students_is_told(tmp_path: Path):
    hand_in(
        tmp_path,
        {
            f"section/anna/{STEM}.py": CODE,
            f"section/ben/{STEM}.ipynb": CODE,
            f"weeks/one/{STEM}.py": CODE,
            "weeks/two/ex02_tokenizers.py": CODE,
            f"carol/old/{STEM}.py": CODE,
            f"carol/older/{STEM}.py": CODE,
            f"carol/{STEM}.py": CODE,
            f"dora/exercises/{STEM}.py": CODE,
            f"dora/solutions/{STEM}.py": CODE,
        },
    )
    folder = find_submissions(tmp_path)
    assert folder.several == {"section": ["anna", "ben"]}
    notes = {each.student: each.notes for each in folder.handed}
    assert notes.pop("section") == ("it was graded as one submission, though 2 folders in it hold exercises",)
    assert set(notes.values()) == {()}
    with pytest.raises(GraderError, match="is a file"):
        find_submissions(tmp_path / "section" / "anna" / f"{STEM}.py")


def test_a_name_in_another_encoding_is_shown_with_its_bytes(tmp_path: Path):
    os.mkdir(os.fsencode(tmp_path) + b"/jos\xe9")  # noqa: PTH102 - a name that is no text
    (handed,) = find_submissions(tmp_path).handed
    assert handed.student == r"jos\xe9"
    assert handed.student.isprintable()


def test_a_zip_that_lies_about_its_names_is_read(tmp_path: Path):
    class Liar(zipfile.ZipInfo):
        def _encodeFilenameFlags(self) -> tuple[bytes, int]:
            return f"r\xe9/{STEM}.py".encode("latin-1"), self.flag_bits | 0x800

    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(Liar("x"), CODE)
    assert take(tmp_path / "s.zip", [ENTRY]).sources[STEM].text == CODE
