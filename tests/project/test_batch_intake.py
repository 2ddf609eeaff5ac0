"""What students hand in, in every state that instructors have seen: read where it can be, named where it can't."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from grader.errors import GraderError
from grader.staff.intake.folder import find_submissions, student_of
from grader.staff.intake.reader import Unusable, take
from grader.written import FILE_LIMIT, Written

STEM = "ex01_softmax"
CODE = "def softmax(x, axis=-1):\n    return 'ä'\n"


def hand_in(folder: Path, files: dict[str, bytes | str]) -> Written:
    """A folder with these files, as it is taken."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return take(folder)


def zipped(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_plain_folder(tmp_path: Path):
    taken = hand_in(tmp_path / "anna", {f"{STEM}.py": CODE, "helpers.py": "x = 1\n", "README.md": "hello"})
    assert {stem: source.text for stem, source in taken.sources.items()} == {STEM: CODE, "helpers": "x = 1\n"}
    assert taken.notes == []


@pytest.mark.parametrize("place", ["exercises", "a/b/c", "my work/final version"])
def test_files_are_found_wherever_they_lie(tmp_path: Path, place: str):
    assert hand_in(tmp_path / "s", {f"{place}/{STEM}.py": CODE}).sources[STEM].text == CODE


@pytest.mark.parametrize(
    ("raw", "note"),
    [
        (CODE.encode("utf-8-sig"), ""),
        (CODE.replace("\n", "\r\n").encode(), ""),
        (CODE.replace("\n", "\r").encode(), ""),
        (CODE.encode("latin-1"), "not UTF-8; it was read as latin-1"),
        (b"# -*- coding: cp1252 -*-\n" + CODE.encode("cp1252"), "read as cp1252"),
        (CODE.encode("utf-16"), "UTF-16"),
    ],
)
def test_odd_encodings_and_line_ends_are_read(tmp_path: Path, raw: bytes, note: str):
    taken = hand_in(tmp_path / "s", {f"{STEM}.py": raw})
    assert taken.sources[STEM].text.endswith(CODE)
    assert [note in line for line in taken.notes] == ([True] if note else [])


@pytest.mark.parametrize(
    "name", [f"{STEM} (1).py", f"{STEM}-final.py", f"{STEM} - Copy.py", f"{STEM}_2.py", "EX01_Softmax.py"]
)
def test_a_copy_counts_where_there_is_no_original(tmp_path: Path, name: str):
    taken = hand_in(tmp_path / "s", {name: CODE})
    assert taken.sources[STEM].text == CODE
    assert "was taken as" in taken.notes[0]


def test_of_two_versions_the_original_counts_and_it_is_said(tmp_path: Path):
    taken = hand_in(tmp_path / "s", {f"{STEM} (1).py": "new", f"{STEM}.py": CODE, f"old/{STEM}.py": "old"})
    assert taken.sources[STEM].text == CODE
    assert taken.notes == [f"there are 3 versions of {STEM}: {STEM}.py counts, not old/{STEM}.py, {STEM} (1).py"]


def test_a_notebook_counts_where_there_is_no_source(tmp_path: Path):
    cells = [
        {"cell_type": "markdown", "source": ["# Softmax"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import numpy as np\n"]},
        {"cell_type": "code", "source": "!pip install numpy\ndef softmax(x):\n    return x"},
    ]
    taken = hand_in(tmp_path / "s", {f"{STEM}.ipynb": json.dumps({"cells": cells, "nbformat": 4})})
    names: dict = {}
    exec(compile(taken.sources[STEM].text, "s", "exec"), names)
    assert names["softmax"](3) == 3
    assert any("is a notebook" in note for note in taken.notes)
    assert any("notebook commands" in note for note in taken.notes)


def test_a_broken_notebook_is_named(tmp_path: Path):
    taken = hand_in(tmp_path / "s", {f"{STEM}.ipynb": "{"})
    assert "not a notebook that can be read" in taken.unreadable[STEM]


def test_an_export_of_a_notebook_runs(tmp_path: Path):
    text = "# coding: utf-8\n# In[1]:\nget_ipython().run_line_magic('time', '')\nE = 1\ndef softmax(x): return E\n"
    taken = hand_in(tmp_path / "s", {f"{STEM}.py": text})
    names: dict = {}
    exec(compile(taken.sources[STEM].text, "s", "exec"), names)
    assert names["softmax"](0) == 1


def test_huge_files_are_named_and_never_read(tmp_path: Path):
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "ex02_tokenizers.py").write_text("x = 1\n")
    with (folder / f"{STEM}.py").open("wb") as file:
        file.truncate(1 << 30)  # a gigabyte, of holes
    taken = take(folder)
    assert "1,024 MiB" in taken.unreadable[STEM]
    assert "ex02_tokenizers" in taken.sources


def test_a_decompression_bomb_is_not_unpacked(tmp_path: Path):
    bomb = b"#" * (64 << 20)
    path = zipped(tmp_path / "s.zip", {f"{STEM}.py": bomb, "ex02_tokenizers.py": "x = 1\n"})
    assert path.stat().st_size < 1 << 20
    taken = take(path)
    assert STEM in taken.unreadable
    assert taken.sources.keys() == {"ex02_tokenizers"}


def test_an_archive_that_lies_about_a_size_is_caught(tmp_path: Path):
    path = zipped(tmp_path / "s.zip", {f"{STEM}.py": b"#" * (FILE_LIMIT + 10)})
    raw = bytearray(path.read_bytes())
    central = raw.rindex(b"PK\x01\x02")
    raw[central + 24 : central + 28] = (10).to_bytes(4, "little")
    path.write_bytes(raw)
    taken = take(path)
    assert taken.sources == {}
    assert "it is damaged" in taken.unreadable[STEM]
    assert "CRC" in " ".join(taken.details)  # the declared ten bytes do not fit their checksum


def test_binary_files_are_named(tmp_path: Path):
    assert "NUL" in hand_in(tmp_path / "s", {f"{STEM}.py": b"\x00\x01\x02"}).unreadable[STEM]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links here")
def test_links_are_not_followed(tmp_path: Path):
    secret = tmp_path / "secret.py"
    secret.write_text("the reference")
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "ex02_tokenizers.py").write_text("x = 1\n")
    (folder / f"{STEM}.py").symlink_to(secret)
    (folder / "more").symlink_to(tmp_path)
    taken = take(folder)
    assert STEM not in taken.sources
    assert taken.notes == [f"{STEM}.py is a link; it was not followed"]


def test_an_empty_folder_with_the_name_of_an_exercise_is_told(tmp_path: Path):
    (tmp_path / "s" / f"{STEM}.py").mkdir(parents=True)
    (tmp_path / "s" / "ex02_tokenizers.py").write_text("x = 1\n")
    assert take(tmp_path / "s").notes == [f"{STEM}.py is a folder, and nothing is in it"]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tgz"])
def test_tar_archives_are_read_and_their_links_and_paths_do_no_harm(tmp_path: Path, kind: str):
    path = tmp_path / f"anna.{kind}"
    with tarfile.open(path, "w:gz" if kind != "tar" else "w") as archive:
        for name in (f"../../{STEM}.py", "/etc/ex02_tokenizers.py"):
            info = tarfile.TarInfo(name)
            info.size = len(CODE.encode())
            archive.addfile(info, io.BytesIO(CODE.encode()))
        link = tarfile.TarInfo("ex03_embeddings.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    taken = take(path)
    assert taken.sources.keys() == {STEM, "ex02_tokenizers"}
    assert taken.notes == ["ex03_embeddings.py is a link; it was not followed"]
    assert sorted(tmp_path.iterdir()) == [path]


def test_what_systems_leave_behind_does_not_count(tmp_path: Path):
    files: dict[str, bytes | str] = {
        f"__MACOSX/._{STEM}.py": b"\x00\x05",
        f".ipynb_checkpoints/{STEM}.py": "old",
        f"__pycache__/{STEM}.cpython-311.pyc": b"\x00",
        f"._{STEM}.py": b"\x00",
        f"work/{STEM}.py": CODE,
        "work/.venv/lib/ex02_tokenizers.py": "x",
    }
    taken = take(zipped(tmp_path / "s.zip", files))
    assert {stem: source.text for stem, source in taken.sources.items()} == {STEM: CODE}
    assert taken.notes == []


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all", b"PK\x03\x04" + b"\x00" * 100])
def test_a_damaged_archive_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "s.zip"
    path.write_bytes(content)
    with pytest.raises(Unusable, match="archive can't be read"):
        take(path)


def test_a_submission_without_an_exercise_is_named(tmp_path: Path):
    with pytest.raises(Unusable, match="none of the exercises"):
        hand_in(tmp_path / "s", {"homework.docx": b"..."})
    with pytest.raises(Unusable, match="none of the exercises"):
        take(zipped(tmp_path / "t.zip", {}))


def test_the_folder_of_submissions(tmp_path: Path):
    for name in ("ben", "anna", ".git"):
        (tmp_path / name).mkdir()
    zipped(tmp_path / "cleo.v2.zip", {})
    (tmp_path / "roster.csv").write_text("x")
    folder = find_submissions(tmp_path)
    assert [each.student for each in folder.handed] == ["anna", "ben", "cleo.v2", "roster.csv"]
    assert [bool(each.problem) for each in folder.handed] == [False, False, False, True]
    assert folder.left_out == [".git"]
    zipped(tmp_path / "ben.zip", {})
    both = {each.student: each.notes for each in find_submissions(tmp_path).handed if each.student.startswith("ben")}
    assert both["ben"] == ("beside it lies ben.zip, which is graded for itself",)
    assert both["ben.zip"] == ("beside it lies ben, which is graded for itself",)
    with pytest.raises(GraderError, match="no folder"):
        find_submissions(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GraderError, match="holds no submission"):
        find_submissions(tmp_path / "empty")
    assert student_of(tmp_path / "x.tar.gz") == "x"
