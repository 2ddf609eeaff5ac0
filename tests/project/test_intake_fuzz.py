"""Thousands of damaged archives and notebooks: each is a submission or a reason, soon, and the next one is read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grader.content.syllabus import find
from grader.staff.intake import unpacking
from grader.staff.intake.reader import Unusable, answer, take

STEM = "ex01_softmax"
CODE = "import numpy as np\n\n\ndef softmax(x, axis=-1):\n    return np.exp(x)\n"
CASES = 400  # of each kind
WANTED = find(["01"])


def zipped(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with an exercise, a notebook and an archive in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(f"work/{STEM}.py", CODE)
        archive.writestr("work/ex02_tokenizers.ipynb", notebook())
        archive.writestr("inner.tar", tarred())
    return file.getvalue()


def tarred(format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar with an exercise under a name that needs a header of its own."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for name in ("ü" * 60 + f"/{STEM}.py", f"{STEM} (1).py"):
            info = tarfile.TarInfo(name)
            info.size = len(CODE)
            archive.addfile(info, io.BytesIO(CODE.encode()))
    return file.getvalue()


def notebook() -> bytes:
    """A notebook with cells of every kind."""
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "metadata": {},
            "source": ["%matplotlib inline\n", "import numpy as np\n"],
            "outputs": [],
        },
        {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": "solution-softmax"}}, "source": CODE},
        {"cell_type": "markdown", "source": "# x"},
        {"cell_type": "code", "source": "%%bash\nls"},
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


SEEDS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zip": ("s.zip", zipped),
    "zip by bzip2": ("s.zip", lambda: zipped(zipfile.ZIP_BZIP2)),
    "zip by lzma": ("s.zip", lambda: zipped(zipfile.ZIP_LZMA)),
    "tar": ("s.tar", tarred),
    "old tar": ("s.tar", lambda: tarred(tarfile.GNU_FORMAT)),
    "tar.gz": ("s.tar.gz", lambda: gzip.compress(tarred())),
    "tar.bz2": ("s.tar.bz2", lambda: bz2.compress(tarred())),
    "tar.xz": ("s.tar.xz", lambda: lzma.compress(tarred())),
    "notebook": (f"{STEM}.ipynb", notebook),
    "source": (f"{STEM}.py", lambda: b"# -*- coding: cp1252 -*-\n" + CODE.encode()),
}


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, left out, repeated or put in."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.randint(1, 40)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 200)]
            case 3:
                data[at:at] = rng.choice(
                    [b"\xff\xfe", b"\x00" * 8, b'"', b"[" * 50, b"\xed\xa0\x80", b"PK\x01\x02", b"9"]
                )
            case _:
                data[at:] = data[at : at + rng.randint(0, 100)]
    return bytes(data)


@pytest.mark.parametrize("kind", SEEDS)
def test_whatever_is_damaged_is_read_or_has_its_reason(kind: str, tmp_path: Path):
    """In this process, where what the reader does not catch would be seen."""
    name, make = SEEDS[kind]
    raw, rng, read = make(), random.Random(kind), 0
    path = tmp_path / name
    for _ in range(CASES):
        path.write_bytes(mutated(raw, rng))
        told = answer({"parts": [(str(path), "")], "wanted": [STEM]})
        json.dumps(told)  # it can be sent
        assert told.get("unusable") or told["sources"] or told["unreadable"]
        read += bool(told.get("sources"))
    assert read > 0  # else nothing but the first byte was tried


CODINGS = [
    "hex",
    "zlib",
    "rot13",
    "base64",
    "uu",
    "bz2",
    "idna",
    "punycode",
    "utf-7",
    "undefined",
    "unicode_escape",
    "mbcs",
    "nonsense",
]


@pytest.mark.parametrize("coding", CODINGS)
def test_a_source_in_a_coding_that_is_none_costs_itself_alone(coding: str, tmp_path: Path):
    (tmp_path / f"{STEM}.py").write_bytes(f"# coding: {coding}\n".encode() + b"x = '\xff'\n" + CODE.encode())
    (tmp_path / "ex02_tokenizers.py").write_text("y = 1\n")
    assert "ex02_tokenizers" in take(tmp_path, WANTED).sources


@pytest.mark.parametrize(
    "source", [[1], 1, None, {"a": 1}, [[CODE]], ["def softmax(x):\n", 3, "    return x\n"], "\ud83d = 1", "x" * 100]
)
def test_a_cell_may_hold_anything(source: object, tmp_path: Path):
    cells = [{"cell_type": "code", "source": source}, {"cell_type": "code", "source": CODE}, 3, None, {"source": "x"}]
    (tmp_path / f"{STEM}.ipynb").write_text(json.dumps({"cells": cells, "worksheets": 3, "nbformat": 4}))
    assert "np.exp(x)" in take(tmp_path, WANTED).sources[STEM].text


def member_bomb(method: int) -> bytes:
    """A zip whose only exercise has a gigabyte and says that it has a hundred bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, archive.open(f"{STEM}.py", "w") as member:
        for _ in range(96):
            member.write(bytes(1 << 20))
    raw = bytearray(file.getvalue())
    central = raw.rindex(b"PK\x01\x02")
    raw[central + 24 : central + 28] = (100).to_bytes(4, "little")
    return bytes(raw)


def packed(size: int) -> bytes:
    """So many zeros by bzip2, which takes kilobytes."""
    compressor = bz2.BZ2Compressor()
    return b"".join(compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)) + compressor.flush()


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a tar.bz2 of a kilobyte": ("s.tar.bz2", lambda: packed(300 << 20)),
    "a member by bzip2": ("s.zip", lambda: member_bomb(zipfile.ZIP_BZIP2)),
    "a member by lzma": ("s.zip", lambda: member_bomb(zipfile.ZIP_LZMA)),
    "much code in a notebook": (
        f"{STEM}.ipynb",
        lambda: json.dumps({"cells": [{"cell_type": "code", "source": "x = 1\n" * (4 << 20)}], "nbformat": 4}).encode(),
    ),
    "deep brackets": (f"{STEM}.ipynb", lambda: b"[" * (8 << 20)),
    "deep code": (f"{STEM}.py", lambda: b"x = " + b"(" * 200_000 + b")" * 200_000),
    "many cells that do not compile": (
        f"{STEM}.ipynb",
        lambda: json.dumps({"cells": [{"cell_type": "code", "source": "x = (\n"}] * 3000, "nbformat": 4}).encode(),
    ),
    "a line of one statement": (f"{STEM}.py", lambda: b"get_ipython()\n" + b"x=1;" * 50_000),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_costs_its_author_alone(kind: str, tmp_path: Path):
    name, make = BOMBS[kind]
    folder = tmp_path / "bomb"
    folder.mkdir()
    (folder / name).write_bytes(make())
    assert (folder / name).stat().st_size < 33 << 20
    begun = time.process_time()
    try:
        taken = take(folder, WANTED)
    except Unusable:
        pass
    else:
        assert taken.unreadable or taken.notes or STEM in taken.sources
    assert time.process_time() - begun < 5  # of this process, which only waits
    honest = tmp_path / "honest"
    honest.mkdir()
    (honest / f"{STEM}.py").write_text(CODE)
    assert take(honest, WANTED).sources[STEM].text == CODE


def test_names_that_are_no_text_and_names_that_are_long(tmp_path: Path):
    folder = tmp_path / "s"
    folder.mkdir()
    for name in (b"jos\xe9", b"\x1b[31m", b"a" * 250, "\u202egpj".encode()):
        os.mkdir(os.fsencode(folder) + b"/" + name)  # noqa: PTH102 - a name that is no text
        path = os.fsencode(folder) + b"/" + name + b"/ex01_softmax (1).py"
        with open(path, "wb") as file:  # noqa: PTH123 - a name that is no text
            file.write(CODE.encode())
    taken = take(folder, WANTED)
    assert taken.sources[STEM].text == CODE
    assert all(note.isprintable() for note in taken.notes)


@pytest.mark.parametrize("unit", ["-copy 1", "-copy1", " (1)", "_v1", "ex1", "0", "ex", "_", "é", "(", "ex01_softmax"])
def test_no_name_takes_long(unit: str):
    from grader.staff.intake.names import meaning

    begun = time.process_time()
    for count in (10, 30, 100, 1000, 20_000):
        meaning(f"a{unit * count}x.py")
        meaning(f"{unit * count}.py")
    assert time.process_time() - begun < 1


def test_only_so_many_files_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unpacking, "MEMBERS", 50)
    for number in range(100):
        (tmp_path / f"{number:03}.txt").write_text("x")
    (tmp_path / f"{STEM}.py").write_text(CODE)
    told = answer({"parts": [(str(tmp_path), "")], "wanted": [STEM]})
    assert "50 files were looked at; those behind them were not" in told["unusable"]
