"""Idioms: what is said of a line after a pass is true of it, and nothing is said of what was given."""

from __future__ import annotations

import pytest

from grader.content.stubs import generated
from grader.content.syllabus import load
from grader.learning.idioms import MOST, Idiom, Remark, idioms, idioms_of, remarks
from grader.learning.patterns import Code, Pattern
from grader.probing.assembly import Source

IMPORTS = "import math\nimport numpy as np\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn\n"


def told(text: str, given: str = "", forbids: tuple[str, ...] = ()) -> tuple[list[Remark], list[Remark]]:
    return remarks(Code(IMPORTS + text, given), forbids=forbids)


@pytest.mark.parametrize("idiom", idioms(), ids=lambda idiom: idiom.name)
def test_an_idiom_is_found_in_its_right_example_and_missed_in_its_wrong_one(idiom: Idiom):
    for text, found, missed in ((idiom.right, bool(idiom.found), False), (idiom.wrong, False, bool(idiom.missed))):
        code = Code(IMPORTS + text)
        assert (idiom.first(idiom.found, idiom.praise, code) is not None) == found, text
        advised = idiom.first(idiom.missed, idiom.advice, code)
        assert (advised is not None) == missed, text
        assert advised is None or ("{" not in advised.says and advised.code in IMPORTS + text)
    assert (bool(idiom.found), bool(idiom.missed)) == (bool(idiom.praise), bool(idiom.advice))


def test_nothing_would_be_more_idiomatic_in_the_reference():
    for entry in load():
        code = Code(Source.read(entry.solution, "reference").text, generated(entry))
        good, better = remarks(code, idioms_of(entry), entry.forbids)
        assert better == [], entry.label
        assert len(good) <= MOST
        assert len({remark.line for remark in good}) == len(good), "each line has one remark"


@pytest.mark.parametrize(
    "text",
    [
        "y = x.sum(0)[:, None]",  # another axis than the one that was reduced
        "y = torch.sqrt(torch.tensor(rows))",  # perhaps a list
        "def f(d):\n    return torch.sqrt(torch.tensor(d))",
        "def f(d: int):\n    d = g(d)\n    return torch.sqrt(torch.tensor(d))",
        "for i in range(len(x)):\n    x[i] = f(x[i])",  # changed on the way
        "for i in range(len(x)):\n    x.pop()\n    y += x[i]",
        "for i in range(len(x)):\n    y += z[i]",
        "made = []\nfor each in x:\n    made.append(len(made))",  # needs what it makes
        "made = []\nfor each in x:\n    made.append(each)\n    n += 1",
        "self.layers = [g(i) for i in range(3)]",  # perhaps no modules
        "class A:\n    def __init__(self):\n        self.m = torch.zeros(3)",  # no module
        "class M(nn.Module):\n    def forward(self, x):\n        return self.forward(x)",
        "class M(B):\n    def forward(self, x):\n        return B.forward(self, x)",
        "class Data:\n    def f(self):\n        return self.data",
        "def f(np):\n    return np.dot(1, 2)",  # not NumPy
        "y = x.masked_fill(counts == 0, 1)",  # no mask, as far as one can tell
        "y = x / np.exp(x).sum()",
        "y = x.view(2, 3)",
        "y = np.array([math.exp(v) for v in zip(x, x)])",
        'if __name__ == "__main__":\n    y = np.dot(x, x)',  # there to try it out
    ],
)
def test_where_it_can_not_be_sure_it_says_nothing(text: str):
    assert told(text)[1] == []


@pytest.mark.parametrize(
    "text",
    [
        "def f(d: int):\n    return torch.sqrt(torch.tensor(d))",
        "b, t, d = x.shape\ny = torch.sqrt(torch.tensor(d))",
        "class M:\n    def f(self, n: int):\n        self.d = n // 2\n        return torch.sqrt(torch.tensor(self.d))",
        "d = x.size(-1)\ny = torch.sqrt(torch.tensor(d, dtype=torch.float32))",
    ],
)
def test_a_plain_number_is_known_by_where_it_comes_from(text: str):
    """At the top level of a file each statement stands for itself."""
    inside = text if text.startswith(("def", "class")) else "def f(x):\n    " + text.replace("\n", "\n    ")
    (remark,) = told(inside)[1]
    assert remark.idiom == "the root of a number"


def test_a_name_is_what_was_imported_under_it():
    text = "from numpy import dot as times\nfrom torch.nn import functional\n"
    (remark,) = told(f"{text}y = times(a, b)\nz = functional.cross_entropy(x, y)\n")[1]
    assert remark.says.startswith("For vectors and matrices `a @ b` is the same product.")


def test_what_was_given_is_nobodys_idiom():
    given = "@torch.no_grad()\ndef f(x):\n    y = np.dot(x, x)\n    raise NotImplementedError\n"
    text = "@torch.no_grad()\ndef f(x):\n    y = np.dot(x, x)\n    return np.dot(y, x)\n"
    assert [remark.code for remark in told(text)[1]] == ["np.dot(x, x)"]
    assert [remark.code for remark in told(text)[0]] == ["torch.no_grad()"]
    assert [remark.code for remark in told(text, given)[1]] == ["np.dot(y, x)"]
    assert told(text, given)[0] == []


def test_nothing_is_advised_that_is_off_limits():
    text = "y = torch.softmax(x, dim=-1).log()"
    assert [remark.idiom for remark in told(text)[1]] == ["the log of a softmax"]
    assert told(text, forbids=("torch.*softmax",))[1] == []


def test_what_the_exercise_is_about_comes_first_and_no_more_than_a_few():
    text = "a = x.sum(-1, keepdim=True)\nb = x.mT\nc = x.flatten(1)\nd = torch.zeros_like(x)\n"
    code = Code(IMPORTS + text)
    assert [remark.idiom for remark in remarks(code)[0]] == ["keepdim", "the last two axes", "flatten and unflatten"]
    assert next(remark.idiom for remark in remarks(code, frozenset({"like another"}))[0]) == "like another"


def test_an_idiom_that_is_missed_elsewhere_is_not_praised():
    good, better = told("a = x.sum(-1, keepdim=True)\nb = x.mean(-1).unsqueeze(-1)\n")
    assert (good, [remark.idiom for remark in better]) == ([], ["keepdim"])


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("X + X", "a[0] + a[0]", True),
        ("X + X", "a[0] + a[1]", False),
        ("f(X, ...)", "f(1, 2, c=3)", True),
        ("f(X, ...)", "f()", False),
        ("f(..., b=X, a=Y)", "f(0, a=1, b=2)", True),
        ("f(a=X)", "f(a=1, b=2)", False),
        ("X.A", "y.b", True),
        ("math.sqrt(N)", "math.sqrt(len(x))", True),
        ("math.sqrt(N)", "math.sqrt(x)", False),
        ("for X in Y: ...", "[x for x in y]", True),
        ("for X in Y: f(X)", "[x for x in y]", False),
        ("X = 1\nY = 2", "a = 1\nb = 2\nc = 3", True),
        ("X = 1\nY = 2", "a = 1\nc = 3\nb = 2", False),
        ("X = []", "a: list[int] = []", True),
    ],
)
def test_a_pattern_fits_what_it_says(pattern: str, text: str, fits: bool):
    assert bool(list(Pattern(pattern, {}).find(Code(IMPORTS + text)))) == fits
