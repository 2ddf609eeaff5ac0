"""Look-alikes: who has copied is found under any disguise, and nobody for what everybody writes."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from grader.content.stubs import generated
from grader.content.syllabus import Entry, find, load
from grader.staff.intake.folder import find_submissions
from grader.staff.lookalikes.groups import ALIKE, REFERENCE, groups
from grader.staff.lookalikes.prints import prints
from grader.staff.lookalikes.search import lookalikes

STEM = "ex01_softmax"
(ENTRY,) = find(["01"])
REFERENCE_TEXT = ENTRY.solution.read_text(encoding="utf-8")
GIVEN = 'def softmax(x, axis=-1):\n    """Turn scores into shares."""\n    raise NotImplementedError\n'
ODD = """
def softmax(x, axis=-1):
    shifted = x - x.max(axis, keepdims=True)
    while shifted.ndim > 7:
        shifted = shifted.swapaxes(0, 3)[::2] + 17 % 5
    powers = 2.718281828 ** shifted
    total = powers[powers > -3].sum() * 0 + powers.sum(axis, keepdims=True)
    return powers / total
"""
PLAIN = (
    "def softmax(x, axis=-1):\n    e = np.exp(x - x.max(axis, keepdims=True))\n    return e / e.sum(axis, keepdims=1)\n"
)


def found(texts: dict[str, str], former: dict[str, str] | None = None) -> list[tuple[str, ...]]:
    """The groups among some answers."""
    students = {name: prints(text) for name, text in texts.items()}
    earlier = {name: prints(text) for name, text in (former or {}).items()}
    return [group.members for group in groups(STEM, prints(GIVEN), prints(REFERENCE_TEXT), students, earlier)]


def test_odd_code_that_two_share_is_found_under_other_names_and_comments():
    disguised = ODD.replace("shifted", "z").replace("powers", "P") + "\n# all my own work\n"
    assert found({"anna": ODD, "ben": disguised, "cleo": PLAIN}) == [("anna", "ben")]


def test_what_many_write_is_no_sign():
    assert found({f"s{i}": PLAIN for i in range(30)}) == []
    assert found({"anna": GIVEN, "ben": GIVEN}) == []
    assert found({"anna": ODD, "ben": PLAIN}) == []
    assert found({"anna": "def softmax(:", "ben": "'''"}) == []


def test_those_who_share_one_text_are_found_however_many_they_are():
    five = {f"c{i}": ODD for i in range(5)}
    assert found(five | {f"p{i}": PLAIN for i in range(4)}) == [tuple(sorted(five))]
    edited = {
        f"e{i:02}": ODD.replace("17 % 5", f"17 % {i} - {i}") for i in range(20)
    }  # and however each has changed it
    assert found(edited | {"p": PLAIN}) == [tuple(sorted(edited))]


def test_a_copy_of_the_reference_is_found_and_not_those_who_share_its_idioms():
    text = REFERENCE_TEXT
    students = {"anna": prints(text + "\n# mine\n"), "ben": prints(PLAIN), "cleo": prints(ODD)}
    (group,) = groups(STEM, prints(generated(ENTRY)), prints(text), students, {})
    assert group.members == ("anna", REFERENCE)


def test_former_years_are_compared_with_and_not_among_each_other():
    assert found({"anna": ODD}, {"2025/dora": ODD, "2025/emil": ODD}) == [("2025/dora", "2025/emil", "anna")]
    assert found({"anna": PLAIN}, {"2025/dora": ODD, "2025/emil": ODD}) == []


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.label)
def test_independent_right_solutions_are_never_accused(entry: Entry):
    variants = sorted((entry.suite.parent / "variants" / entry.stem).glob("*.py"))
    variants = [path for path in variants if path.stem != "nicknames"]  # the reference with further names: a copy of it
    own = {path.stem: prints(path.read_text(encoding="utf-8")) for path in variants}
    stub, reference = prints(generated(entry)), prints(entry.solution.read_text(encoding="utf-8"))
    assert groups(entry.stem, stub, reference, own, {}) == []
    for one, other in combinations(own, 2):  # by far, not by luck
        first, second = own[one].keys() - stub.keys(), own[other].keys() - stub.keys()
        assert len(first & second) < (ALIKE - 0.1) * min(len(first), len(second)), (one, other)


def test_the_pages_show_both_texts_and_harm_nobody(tmp_path: Path):
    for name, extra in (("anna", "# <script>alert(1)</script>\n"), ("ben", "")):
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / f"{STEM}.py").write_text(ODD + extra, encoding="utf-8")
    (tmp_path / "2025" / "dora").mkdir(parents=True)
    (tmp_path / "2025" / "dora" / f"{STEM}.py").write_text(ODD.replace("total", "sum_of"), encoding="utf-8")
    out = tmp_path / "out"
    ((group, address),) = lookalikes(find_submissions(tmp_path / "class"), [tmp_path / "2025"], [ENTRY], out)
    assert group.members == ("2025/dora", "anna", "ben")
    page = (out / address).read_text(encoding="utf-8")
    assert page.count("shifted.swapaxes(0, 3)") == 2 * len(group.pairs)
    assert "<script>" not in page
    assert "<mark>" in page
    assert (out / address).stat().st_mode & 0o077 == 0
