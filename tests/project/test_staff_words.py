"""Names and messages of other people: nothing in them acts on a terminal, in a spreadsheet or on the disk."""

from __future__ import annotations

import csv
import io
import os
import stat
from pathlib import Path

import pytest

from grader.files import private_folder, write_atomically
from grader.results import Isolation, Result
from grader.sandbox.runner import SEED_BITS, fresh_seed
from grader.staff.batch.tables import as_csv
from grader.staff.words import file_name, harmless_cell, printable


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\rb", "a\nb", "\u202eevil", "\x07", "\udce9", "\x9b1m", "\0"])
def test_nothing_acts_on_a_terminal(text: str):
    assert printable(text).isprintable()
    assert printable(text).encode("utf-8")


def test_what_can_be_read_stays_and_what_is_long_is_cut():
    assert printable("José Ångström 李") == "José Ångström 李"
    assert printable("jos\udce9") == r"jos\xe9"
    assert printable("x" * 1000, 100) == "x" * 96 + " ..."


FORMULAS = ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", " =1", '"=1', "＝1", "＋1", "＠x", "\0=1"]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("before", ["", "x;", "x|", "x\t", "x\n", "x\r\n", 'x;"'])
def test_no_cell_is_a_formula_whatever_the_separator(formula: str, separator: str, before: str):
    table = as_csv([["student", before + formula, 3, -4.5]])
    for row in csv.reader(io.StringIO(table, newline=""), delimiter=separator):
        for cell in row:
            bare = cell.strip().strip('"').strip()
            assert bare in ("-4.5", "3") or not bare.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")), row


def test_what_is_no_formula_stays_as_it_is():
    for cell in ("ada", "a - b", "row 0: 1.5, -2.5", "x = 3; y = -4 is fine?", "", 3, -4.5, None, True):
        assert harmless_cell(cell) == cell


def test_any_name_can_be_the_name_of_a_file(tmp_path: Path):
    names = ["ada", "x" * 250, "é" * 120, ".", "..", ".hidden", "y" * 250, "x" * 249 + "y"]
    made = [file_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert made[0] == "ada"
    for name in made:
        write_atomically(tmp_path / f"{name}.json", "x", private=True)
    assert len(list(tmp_path.iterdir())) == len(names)


def test_what_is_private_is_for_its_owner_alone(tmp_path: Path):
    private_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    path = tmp_path / "a" / "b" / "x"
    path.write_text("old")
    path.chmod(0o644)
    write_atomically(path, "half a character: \ud83d", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="utf-8") == "half a character: \\ud83d"


def test_seeds_can_not_be_found_by_trying():
    seeds = {fresh_seed() for _ in range(50)}
    assert len(seeds) == 50
    assert SEED_BITS == 128
    assert max(seeds).bit_length() > 100


def test_a_result_document_of_somebody_elses_work_is_private(tmp_path: Path):
    """It holds the seed, and what a submission says itself."""
    modes: dict[Isolation, int] = {"full": 0o600, "none": 0o600, "here": 0o666 & ~_umask()}
    for isolation, mode in modes.items():
        Result(3, isolation=isolation).write(tmp_path / isolation)
        assert stat.S_IMODE((tmp_path / isolation).stat().st_mode) == mode


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
