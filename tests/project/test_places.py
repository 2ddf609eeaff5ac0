"""The place that is shown is that of the function at fault, or none; a call that does not fit is told as that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grader.checks import check, gradients
from grader.content.stubs import generated
from grader.content.syllabus import find
from grader.files import ROOT
from grader.judging.calls import Calls
from grader.judging.comparison import Comparison, Mismatch
from grader.judging.definitions import around, defined_at, misfit, parameters, returns_nothing
from grader.judging.judge import Judge
from grader.judging.origins import concerned, origin, origins
from grader.judging.origins import gradients as gradients_of
from grader.judging.reference import Code
from grader.judging.side_by_side import beside, narrow
from grader.judging.verdict import Verdict
from grader.probing.assembly import Assembly, Source, read_folder
from grader.probing.observation import freeze
from grader.workers.here import import_suite

SOLUTIONS = read_folder(ROOT / "solutions", "learner")
ASKED = ("double", "triple", "Layer")


# ---- which function an entry comes from -----------------------------------------------------------------------------


def example(ex, rng):
    layer = ex.Layer(3)
    x = rng.normal(3)
    both = layer(x) + ex.double(x)
    given = ex.Given(x)
    found = []
    for _ in range(2):
        found.append(ex.triple(x))
    ex.double(layer)
    return {
        "double": ex.double(x),
        "sum": ex.double(x).sum(),
        "both": both,
        "found": found,
        "x": x,
        "helped": helped(ex, x),
        "given": ex.triple(given),
        "layer": layer.weight,
    }


def helped(ex, x):
    return ex.double(x)


EXAMPLES = [check("an example")(example)]  # in a list, since a check of this module would be one of an exercise

EXPECTED = {
    "double": "double",
    "sum": "double",
    "both": "",
    "found": "triple",
    "found[0]": "triple",
    "x": "",
    "helped": "",
    "given": "triple",
    "layer": "",  # it was given to another function
    "no such entry": "",
}


@pytest.mark.parametrize("path", EXPECTED)
def test_an_entry_comes_from_the_one_function_that_it_is_computed_with(path: str):
    assert origin(EXAMPLES[0], ASKED, path) == EXPECTED[path]


def test_an_explanation_is_about_the_entries_that_it_looks_at():
    def one(got: Any, want: Any) -> Any:
        yield got["double"] + want["sum"]

    def whole(got: Any, want: Any) -> Any:
        yield got.items() + want["sum"]

    assert concerned(one) == frozenset({"double", "sum"})
    assert concerned(whole) is None
    EXAMPLES[0].explanation = one
    assert origin(EXAMPLES[0], ASKED, None) == "double"
    EXAMPLES[0].explanation = whole
    assert origin(EXAMPLES[0], ASKED, None) == ""
    EXAMPLES[0].explanation = None


def test_a_gradient_is_called_one():
    def alone(ex: Any, rng: Any) -> Any:
        return gradients(ex.out, {"q": ex.q, "k": ex.k}, rng)

    def among(ex: Any, rng: Any) -> Any:
        return {
            "out": 1,
            "gradients": gradients(ex.out, {"x": ex.x}, rng),
            "learned": gradients(ex.out, {"weight": ex.w}, rng),
        }

    def elsewhere(ex: Any, rng: Any) -> Any:
        wanted = {"x": ex.x}
        return {"gradients": gradients(ex.out, wanted, rng)}

    assert gradients_of(elsewhere) == {"gradients.*": "the gradient of `*`"}
    assert gradients_of(alone) == {"q": "the gradient of `q`", "k": "the gradient of `k`"}
    assert gradients_of(among) == {
        "gradients.x": "the gradient of `x`",
        "learned.weight": "learned: the gradient of `weight`",
    }
    detached = ("scores = q @ k", "scores = q.detach() @ k")
    found = judged("ex05", "test_gradients", detached)
    assert found.message.startswith("the gradient of `q` is None; expected a tensor of shape")
    frozen = ("        self.out_proj = ", "        self.v_proj.requires_grad_(False)\n        self.out_proj = ")
    found = judged("ex18", "test_attention_gradients", frozen)
    assert found.message == "the gradient of `v_proj.weight` is None; expected a tensor of shape (16, 16)."


def test_an_entry_that_says_when_it_was_observed_reads_as_a_sentence():
    want = freeze({"float32": np.zeros(2, np.float32), "a batch of one": {"out": np.zeros(3)}, "a b": np.zeros(2)})
    double = freeze({"float32": np.zeros(2), "a batch of one": {"out": np.zeros(3)}, "a b": np.zeros(2)})
    assert Comparison().structure(double, want) == "in float32, the result has dtype float64; expected float32."
    short = want | freeze({"a batch of one": {"out": np.zeros(2)}})
    assert str(Comparison().structure(short, want)).startswith("a batch of one: `out` has shape (2,); expected (3,).")
    other = want | freeze({"a b": np.ones(2)})
    assert str(Comparison().values(other, want)).startswith("a b: `result[0]` is 1; expected 0")


def test_every_probe_of_every_suite_can_be_followed():
    suites = [import_suite(entry.suite) for entry in find([])]
    checks = [each for suite in suites for each in vars(suite).values() if type(each).__name__ == "Check"]
    known = [entry for each in checks for entry in origins(each.probe).values() if len(entry) == 1]
    assert len(known) > len(checks) / 2


def test_a_result_that_is_returned_as_it_is_is_known_to_the_method():
    sources = {"a": Source("a", Path("a.py"), "class Box:\n    def open(self):\n        return [1], [2]\n", "learner")}
    calls = Calls()
    with Assembly(sources) as assembly, calls.of(assembly, "a") as ex:
        one, two = ex.Box().open()
        calls.traced({"one": one, "more": {"two": two}, "other": [3]})
    assert calls.result_at("one") == calls.result_at("one[0]") == calls.result_at("more.two") == "Box.open"
    assert calls.result_at("other") == ""
    assert calls.only() == "Box.open"
    calls.names.append("Box.close")
    assert calls.only() == "Box", "which of its methods is at fault is not known"
    calls.names.append("shut")
    assert calls.only() == ""


def test_an_error_is_the_innermost_functions_that_is_asked_for():
    """The place, the name and the hint are of one function; a helper of the learner's own has no hint."""
    edit = ("pieces = x.transpose(1, 2)  # (B, T, H, d)\n    return pieces.flatten(-2)", "return x.transpose(1, 9)")
    found = judged("ex07", "test_self_attention", edit)
    assert found.evidence.name == "merge_heads"


# ---- what a comparison finds ----------------------------------------------------------------------------------------


def test_a_mismatch_says_where_it_is_and_carries_what_differs():
    want = freeze({"a": {"b": [np.zeros(2), np.zeros((2, 2))]}, "text": "x"})
    got = freeze({"a": {"b": [np.zeros(2), np.eye(2)]}, "text": "x"})
    found = Comparison().values(got, want)
    assert isinstance(found, Mismatch)
    assert found.path == "a.b[1]"
    assert found.difference is not None
    assert (found.difference.path, found.difference.index) == ("a.b[1]", (0, 0))
    more = Comparison().structure(got | {"extra": 1}, want)
    assert more is not None
    assert (more.path, more.difference) == ("", None)


def test_rows_that_are_too_long_lose_columns_and_keep_the_mark():
    got, want = np.arange(20.0) * 1.2345678, np.arange(20.0) * 1.2345678
    got[10] = -100.12345
    found = Comparison(axes={"": "feature"}).values(freeze(got), freeze(want))
    assert found is not None
    assert found.difference is not None
    rows = beside(found.difference)
    for width in (200, 60, 50, 40, 30):
        header, yours, expected, mark = narrow(rows, width)
        assert header == rows[0]
        assert max(len(yours), len(expected)) <= width
        place = mark.index("^")
        assert yours[place : len(mark)].strip() == "-100.1"
        assert expected[place : len(mark)].strip() == "12.35"
        whole = {*rows[1].split(), *rows[2].split(), "..."}
        assert {*yours.split(), *expected.split()} <= whole


# ---- what a source defines ------------------------------------------------------------------------------------------

TEXT = '''
class Layer(nn.Module):
    """A layer."""

    def __init__(self, width: int, *, bias: bool = True):
        self.width = width

    def forward(self, x):
        def inner():
            return 1
        x + 1

def attend(q, k):
    return q

def attend(q: Tensor, k: Tensor, mask=None, *rest, **more) -> Tensor:
    return q
'''


def test_definitions_are_read_from_the_text():
    assert parameters(TEXT, "Layer.__init__") == "width, *, bias=True"
    assert parameters(TEXT, "attend") == "q, k, mask=None, *rest, **more"
    assert parameters(TEXT, "Layer") is None
    assert parameters(TEXT, "nothing") is None
    assert returns_nothing(TEXT, "Layer.forward")
    assert not returns_nothing(TEXT, "attend")
    assert around(TEXT, 10) == "Layer.forward"
    assert around(TEXT, TEXT.count("\n")) == "attend"
    assert around(TEXT, 1) == ""
    assert [defined_at(TEXT, name) for name in ("Layer.forward", "Layer.other", "attend", "none")] == [8, 2, 16, 0]


def test_a_misfit_is_one_only_where_the_parameters_differ():
    stub = "def attend(q, k, mask=None):\n    raise NotImplementedError\n"
    text = "def attend(q, k):\n    return q\n"
    error = "attend() takes 2 positional arguments but 3 were given"
    assert str(misfit(error, text, stub)) == (
        "`attend` can't be called as the stub says: it takes q, k; the stub has q, k, mask=None."
    )
    assert misfit(error, stub, stub) is None
    assert misfit("unsupported operand type(s)", text, stub) is None
    assert misfit(error.replace("attend", "other"), text, stub) is None


# ---- all of it together ---------------------------------------------------------------------------------------------


def judged(stem: str, name: str, *edits: tuple[str, str], hidden: bool = False) -> Verdict:
    """The verdict of one check on a solution with edits."""
    (entry,) = find([stem])
    sources = {each: SOLUTIONS[each] for each in entry.needs} | {entry.stem: SOLUTIONS[entry.stem].edited(edits)}
    with Code(Assembly(read_folder(ROOT / "solutions", "reference"))) as code, Assembly(sources) as learner:
        return Judge(entry.stem, learner, code, 0).judge(getattr(import_suite(entry.suite), name), 20, hidden)


MASKLESS = ("v: Tensor, mask: Tensor | None = None", "v: Tensor")


@pytest.mark.parametrize("hidden", [False, True])
def test_a_parameter_that_is_missing_is_told_as_that_in_hidden_checks_too(hidden: bool):
    text = SOLUTIONS["ex05_attention"].text
    line = next(line for line in text.splitlines() if line.startswith("def scaled_dot_product_attention("))
    start = text.index(line)
    signature = text[start : text.index(":\n", start) + 2]
    found = judged(
        "ex05",
        "test_mask",
        (signature, "def scaled_dot_product_attention(q, k, v):\n    mask = None\n"),
        hidden=hidden,
    )
    assert found.message == (
        "`scaled_dot_product_attention` can't be called as the stub says: it takes q, k, v; "
        "the stub has q, k, v, mask=None."
    )
    assert found.evidence.name == "scaled_dot_product_attention"


def test_a_function_without_a_return_is_named():
    text = SOLUTIONS["ex05_attention"].text
    end = text.rindex("    return ", 0, text.index("def scaled_dot_product_attention"))
    line = text[end : text.index("\n", end)]
    start = text.index("    return ", text.index("def scaled_dot_product_attention"))
    line = text[start : text.index("\n", start)]
    found = judged("ex05", "test_mask", (line, line.replace("return", "answer =")))
    assert "`scaled_dot_product_attention` has no `return`." in found.message


def test_what_is_asked_of_something_lacking_fits_what_it_is():
    loss = "F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
    found = judged("ex13", "test_gradients", (loss, f"{loss}.item()"))
    assert found.message.endswith("no attribute 'backward'. Of which type should it be, by the docstring?")
    found = judged("ex13", "test_initial_weights", ("for _ in range(config.n_layers))", "for _ in range(2))"))
    assert found.message.endswith("ModuleList has no attribute `2`. How many parts should there be?")
    found = judged(
        "ex13", "test_logits", ("self.config = config", "self.options = config"), ("self.config.", "self.options.")
    )
    assert found.message.endswith("no attribute 'config'. Compare the names with those in the docstring.")


def test_a_debugger_is_told_as_one():
    found = judged("ex01", "test_softmax_values", ("import numpy as np\n", "import bdb\n\nimport numpy as np\n"))
    assert found.status == "pass"
    text = SOLUTIONS["ex01_softmax"].text
    place = text.index("### BEGIN SOLUTION")
    edit = text[place - 40 : place + 18]
    found = judged("ex01", "test_softmax_values", (edit, edit.replace("### BEGIN SOLUTION", "breakpoint()")))
    assert found.status == "error"
    assert "calls a debugger" in found.message
    assert "BdbQuit" not in found.message


def test_the_stub_is_what_signatures_are_compared_with():
    assert parameters(generated(find(["05"])[0]), "scaled_dot_product_attention") == "q, k, v, mask=None"
