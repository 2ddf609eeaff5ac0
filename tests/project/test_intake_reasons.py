"""What can't be read has a sentence that says what to do, one for each kind; what Python says is for the instructor."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.content.syllabus import find
from grader.staff.batch.record import Record
from grader.staff.exports.autograder import grade
from grader.staff.intake import reasons
from grader.staff.intake.reader import Unusable, answer, take
from grader.staff.intake.reasons import Refused, details, reason
from grader.written import Written

STEM = "ex01_softmax"
CODE = "import numpy as np\n\n\ndef softmax(x, axis=-1):\n    return np.exp(x)\n"
WANTED = find(["01"])
OF_PYTHON = re.compile(r"Error\b|Exception|expected|unpack \(|invalid|literal|NoneType|codec|[Ee]rrno|CRC|decompress")
TELLS = re.compile(r"\. [A-Z][a-z]+ [\w' ]+")  # a second sentence, which says what to do


def zipped(method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(f"{STEM}.py", CODE * 9)
    return bytearray(file.getvalue())


def tarred(**pax: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(f"{STEM}.py")
        info.size, info.pax_headers = len(CODE), pax
        archive.addfile(info, io.BytesIO(CODE.encode()))
    return file.getvalue()


def locked() -> bytes:
    raw = zipped()
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    raw[6] |= 1
    return bytes(raw)


def by_method(method: int) -> bytes:
    raw = zipped()
    raw[raw.index(b"PK\x01\x02") + 10] = raw[8] = method
    return bytes(raw)


def damaged(method: int) -> bytes:
    raw = zipped(method)
    for at in range(48, 56):
        raw[at] ^= 0x55
    return bytes(raw)


def huge_member() -> bytes:
    header = bytearray(tarred()[-10240:])
    raw = bytearray(tarfile.TarInfo(f"{STEM}.py").tobuf(tarfile.USTAR_FORMAT))
    raw[124:136] = b"\x80" + b"\x7f" * 11
    raw[148:156] = b"        "
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw + header)


NOT_READ: dict[str, tuple[str, Callable[[], bytes], str]] = {  # its name, what it is, what is said
    "a zip with a password": ("s.zip", locked, reasons.LOCKED),
    "a zip by a method of another program": ("s.zip", lambda: by_method(97), reasons.METHOD),
    "a zip without its end": ("s.zip", lambda: bytes(zipped()[:-30]), reasons.DAMAGED),
    "a deflate stream that is none": ("s.zip", lambda: damaged(zipfile.ZIP_DEFLATED), reasons.DAMAGED),
    "a bzip2 stream that is none": ("s.zip", lambda: damaged(zipfile.ZIP_BZIP2), reasons.DAMAGED),
    "an lzma stream that is none": ("s.zip", lambda: damaged(zipfile.ZIP_LZMA), reasons.DAMAGED),
    "nothing at all": ("s.zip", bytes, reasons.DAMAGED),
    "a page to sign in": ("s.zip", lambda: b"<!DOCTYPE html><html>Sign in</html>", reasons.DAMAGED),
    "a tar.gz without its end": ("s.tar.gz", lambda: gzip.compress(tarred())[:-100], reasons.DAMAGED),
    "a tar.gz with another sum": ("s.tar.gz", lambda: gzip.compress(tarred())[:-8] + bytes(8), reasons.DAMAGED),
    "a tar.xz without its end": ("s.tar.xz", lambda: lzma.compress(tarred())[:-40], reasons.DAMAGED),
    "a tar.bz2 without its end": ("s.tar.bz2", lambda: bz2.compress(tarred())[:60], reasons.DAMAGED),
    "a tar with a map that is none": (
        "s.tar",
        lambda: tarred(
            **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x", "GNU.sparse.realsize": "9"}
        ),
        reasons.ODD,
    ),
    "a tar with a member of a zettabyte": ("s.tar", huge_member, "a source has 1 at most"),
    "a zip that says it is larger": (
        "s.zip",
        lambda: bytes(zipped()).replace(struct.pack("<I", 9 * len(CODE)), b"\xff\xff\xff\xff"),
        "a source has 1 at most",
    ),
    "a 7z": ("s.7z", lambda: b"7z\xbc\xaf\x27\x1c" + bytes(99), "Unpack it, or ask for a zip"),
    "a notebook that is none": (f"{STEM}.ipynb", lambda: b"null", "Save it in Jupyter"),
    "a notebook with a number of 5000 digits": (
        f"{STEM}.ipynb",
        lambda: b'{"cells": [], "nbformat": ' + b"9" * 5000 + b"}",
        "Save it in Jupyter",
    ),
    "a notebook in UTF-32": (f"{STEM}.ipynb", lambda: json.dumps({"cells": []}).encode("utf-32"), "Save it as UTF-8"),
    "a source in an encoding that fails": (
        f"{STEM}.py",
        lambda: b"# coding: punycode\n# \xff\n" + CODE.encode(),
        "Save it as UTF-8",
    ),
    "a source with NUL bytes": (f"{STEM}.py", lambda: b"x = 1\0\n", "Save it as UTF-8"),
    "a source that is too deep": (f"{STEM}.py", lambda: f"x = {'lambda: ' * 3000}1\n".encode(), "Keep it simple"),
}


def told(path: Path) -> tuple[list[str], list[str]]:
    """What its author reads of a submission, and what is for the instructor."""
    try:
        taken = take(path, WANTED)
    except Unusable as why:
        return [str(why)], list(why.details)
    return [*taken.unreadable.values(), *taken.notes], taken.details


@pytest.mark.parametrize("kind", NOT_READ)
def test_what_can_not_be_read_says_what_to_do(kind: str, tmp_path: Path):
    name, make, sentence = NOT_READ[kind]
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).write_bytes(make())
    path = tmp_path / "s" / name if name.startswith("s.") else tmp_path / "s"
    said, kept = told(path)
    assert any(sentence in each for each in said), said
    for each in said:
        assert not OF_PYTHON.search(each), each
        assert TELLS.search(each), each
    ours = sentence not in vars(reasons).values()  # a sentence of ours says all that there is to say
    assert ours or any(re.match(r".+: (\w+(Error|File|Exception)|error): ", each) for each in kept), kept


ERRORS = [
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    ValueError("not enough values to unpack (expected 4, got 2)"),
    TypeError("'NoneType' object is not subscriptable"),
    OverflowError("int too large"),
    KeyError("x"),
    AssertionError(),
    OSError(13, "Permission denied"),
    OSError("Invalid data stream"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "invalid start byte"),
    EOFError("Compressed file ended"),
    NotImplementedError("compression type 9 (deflate64)"),
    RuntimeError("File 'x' is encrypted, password required"),
    lzma.LZMAError("Corrupt input data"),
    tarfile.ReadError("bad checksum"),
    struct.error("unpack requires a buffer of 4 bytes"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__}: {error}")
def test_every_error_has_a_fixed_sentence(error: Exception):
    """Whatever words Python has for it."""
    said = reason(error)
    assert not OF_PYTHON.search(said), said
    assert TELLS.search(said), said
    error.args = tuple("other words" if isinstance(arg, str) else arg for arg in error.args)
    if not isinstance(error, OSError | RuntimeError | UnicodeError):
        assert reason(error) == said
    assert type(error).__name__ in details("a.py", error)


def test_what_we_refuse_says_all_itself():
    assert reason(Refused("it is no zip. Ask for one")) == "it is no zip. Ask for one"
    assert details("a.py", Refused("it is no zip")) == ""


def test_the_details_reach_the_instructors_files_and_no_students(tmp_path: Path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "work.zip").write_bytes(damaged(zipfile.ZIP_DEFLATED))
    lines: list[str] = []
    document = grade(tmp_path / "s", WANTED, "hidden", lines.append)
    assert document["score"] == 0
    assert reasons.DAMAGED in json.dumps(document)
    (said,) = [line for line in lines if "work.zip" in line or "error: Error" in line]
    assert said.partition(": ")[2] not in json.dumps(document)
    record = Record("ada", "x", problem="p", details=tuple(lines))
    assert Record.of_document(record.document()) == record
    old = {key: value for key, value in record.document().items() if key != "details"}
    assert Record.of_document(old).details == ()


HIDDEN_WORDS = "XYZZY"


def test_what_archives_and_notebooks_say_beside_their_files_is_nowhere(tmp_path: Path):
    """Comments, owners, extra fields, titles, kernels, outputs, attachments."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo(f"{STEM}.py")
        info.comment, info.extra = HIDDEN_WORDS.encode(), struct.pack("<HH", 0xCAFE, 5) + HIDDEN_WORDS.encode()
        archive.writestr(info, CODE)
        archive.comment = HIDDEN_WORDS.encode()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": HIDDEN_WORDS}) as out:
        member = tarfile.TarInfo(f"{STEM}.py")
        member.size, member.uname, member.gname = len(CODE), HIDDEN_WORDS, HIDDEN_WORDS
        member.pax_headers = {"comment": HIDDEN_WORDS}
        out.addfile(member, io.BytesIO(CODE.encode()))
        link = tarfile.TarInfo("link.py")
        link.type, link.linkname = tarfile.SYMTYPE, HIDDEN_WORDS
        out.addfile(link)
    cell = {
        "cell_type": "code",
        "source": CODE,
        "metadata": {"tags": [HIDDEN_WORDS], "name": HIDDEN_WORDS},
        "outputs": [{"output_type": "stream", "text": HIDDEN_WORDS}],
        "attachments": {HIDDEN_WORDS: {"text/plain": HIDDEN_WORDS}},
    }
    about = {"title": HIDDEN_WORDS, "authors": [HIDDEN_WORDS], "kernelspec": {"display_name": HIDDEN_WORDS}}
    book = {"cells": [cell], "metadata": about, "nbformat": 4, "nbformat_minor": 5, HIDDEN_WORDS: HIDDEN_WORDS}
    made = {"a.zip": file.getvalue(), "b.tar": tar.getvalue(), f"{STEM}.ipynb": json.dumps(book).encode()}
    made["c.tar.gz"] = gzip.compress(tar.getvalue())
    for name, raw in made.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(raw)
        request = {"parts": [(str(tmp_path / name), "")], "wanted": [STEM]}
        found = answer(request)
        assert STEM in found["sources"]
        assert HIDDEN_WORDS not in json.dumps(found), name


def test_a_written_without_details_is_as_before():
    assert Written({}, {}).details == []
