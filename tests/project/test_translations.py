"""What Python and PyTorch say of the commonest mistakes: each is really made, and told with what stands in the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from grader.checks import Exercise, Random, check
from grader.content.syllabus import find
from grader.files import ROOT
from grader.judging.judge import Judge
from grader.judging.reference import Code
from grader.judging.translations import RULES, translated
from grader.judging.verdict import Verdict
from grader.probing.assembly import Assembly, Source, read_folder
from grader.probing.failing import look, meant
from grader.probing.outcome import Failure, attempt
from tests.project.test_places import judged

HEAD = "import numpy as np\nimport torch\nfrom torch import Tensor, nn\nimport torch.nn.functional\n\n"
MISTAKES = {  # what a learner writes -> what must be said, and what must be shown of the line
    "a list of layers that is called": (
        "layers = [nn.Linear(2, 2)]\nx = torch.ones(3, 2)\nlayers(x)",
        ["`layers(x)`: `layers` is a list of 1, and a list can't be called"],
        ["layers  a list of 1"],
    ),
    "a question to somebody at the keyboard": (
        "import io, sys\nold, sys.stdin = sys.stdin, io.StringIO()\ntry:\n    input()\nfinally:\n    sys.stdin = old",
        ["`input()` waits for somebody to type", "`make test ARGS=--debug`"],
        [],
    ),
    "a function of math on a tensor": (
        "import math\nx = torch.ones(3, 2)\nmath.sqrt(x)",
        ["`math.sqrt(x)`: here a single number is needed, and an array of several came"],
        ["x  (3, 2) float32"],
    ),
    "a function of math on an array": (
        "import math\nx = np.ones((3, 2))\nmath.sqrt(x)",
        ["`math.sqrt(x)`: here a single number is needed, and an array of several came"],
        ["x  (3, 2) float64"],
    ),
    "a sum without keepdims, NumPy": (
        "x = np.ones((4, 3))\nx / x.sum(axis=1)",
        ["(4, 3) and (4,) don't fit", "here 3 meets 4", "keepdims=True"],
        ["x             (4, 3) float64", "x.sum(axis=1)  (4,) float64"],
    ),
    "a mean without keepdim, PyTorch": (
        "x = torch.ones(2, 4, 3)\nx - x.mean(-1)",
        ["(2, 4, 3) and (2, 4) don't fit", "keepdim=True"],
        ["x.mean(-1)  (2, 4) float32"],
    ),
    "shapes that have nothing to do with each other": (
        "a, b = torch.ones(2, 3), torch.ones(4, 5)\na + b",
        ["(2, 3) and (4, 5) don't fit", "what each axis means"],
        ["a  (2, 3) float32", "b  (4, 5) float32"],
    ),
    "a missing transpose": (
        "q, k = torch.ones(2, 5, 8), torch.ones(2, 6, 8)\nq @ k",
        [
            "each row of the left has 8 numbers",
            "each column of the right 6",
            "`k` with its last two axes swapped would fit",
        ],
        ["q  (2, 5, 8) float32", "k  (2, 6, 8) float32"],
    ),
    "a missing transpose, NumPy": (
        "q, k = np.ones((5, 8)), np.ones((6, 8))\nq @ k",
        ["`k` with its last two axes swapped would fit"],
        ["q  (5, 8) float64"],
    ),
    "the product the wrong way round": (
        "W, x = np.ones((3, 7)), np.ones((5, 3))\nW @ x",
        ["The other way round, (5, 3) @ (3, 7), they would fit"],
        ["W  (3, 7) float64", "x  (5, 3) float64"],
    ),
    ".T on three axes": (
        "q, k = torch.ones(2, 5, 8), torch.ones(2, 6, 8)\nq @ k.T",
        ["`k.T` has shape (8, 6, 2), since `.T` reverses all axes", "`.transpose(-2, -1)` swaps the last two"],
        ["k.T  (8, 6, 2) float32"],
    ),
    "heads that do not fit": (
        "q, k = torch.ones(2, 3, 5, 8), torch.ones(2, 4, 8, 5)\nq @ k",
        ["the axes in front of the matrices (2, 3) and (2, 4) don't fit", "3 meets 4"],
        ["k  (2, 4, 8, 5) float32"],
    ),
    "a view with a wrong size": (
        "x, n = torch.ones(2, 3, 4), 5\nx.view(n, n)",
        ["24 numbers of shape (2, 3, 4) can't be laid out as [5, 5]"],
        ["x  (2, 3, 4) float32", "n  5"],
    ),
    "a reshape with a wrong size, NumPy": (
        "x = np.ones((2, 3))\nx.reshape(4, 2)",
        ["6 numbers of shape (2, 3) can't be laid out as [4,2]"],
        ["x  (2, 3) float64"],
    ),
    "a view after a transpose": (
        "x = torch.ones(2, 3, 4)\nx.transpose(1, 2).view(2, 12)",
        ["`reshape` copies where it must"],
        ["x.transpose(1, 2)  (2, 4, 3) float32"],
    ),
    "a score that is hidden by a number too low for its dtype": (
        "scores = torch.ones(2, 2).half()\nscores.masked_fill(scores > 0, -1e9)",
        ["float16 reaches from -65504 to 65504", "`float('-inf')` works"],
        ["scores  (2, 2) float16"],
    ),
    "the lowest number of one dtype in another": (
        "torch.full((2, 2), torch.finfo(torch.float64).min)",
        ["float32 reaches from -3.4e38 to 3.4e38"],
        [],
    ),
    "an infinity among whole numbers": (
        "ids = torch.zeros(2, dtype=torch.int64)\nids.fill_(float('-inf'))",
        ["`ids.fill_(float('-inf'))`: whole numbers can't hold this one"],
        ["ids  (2,) int64"],
    ),
    "another operation that needs the numbers in order": (
        "x = torch.ones(2, 5, 4, 6).transpose(1, 2)\ntorch.kron(x, torch.ones(1, 3, 1, 1))",
        ["`torch.kron(x, torch.ones(1, 3, 1, 1))`: this needs the numbers in order", "`.contiguous()`"],
        ["x  (2, 4, 5, 6) float32"],
    ),
    "an axis that is not there": (
        "x = torch.ones(2, 3)\nx.sum(dim=2)",
        ["asks for an axis that is not there: `x` has shape (2, 3)"],
        ["x  (2, 3) float32"],
    ),
    "too many names for a shape": (
        "x = torch.ones(2, 3)\nB, T, D = x.shape",
        ["`x.shape` is taken apart into a different number of names", "(2, 3) has 2 numbers"],
        ["x.shape  (2, 3)"],
    ),
    "a function that forgot its return": (
        "def scale(x):\n    x * 2\nh = scale(torch.ones(2))\nh.sum()",
        ["`h` is None", "forget its `return`"],
        ["h  None"],
    ),
    "None in a sum": (
        "h = None\ntorch.ones(2) + h",
        ["`h` is None", "forget its `return`"],
        ["h  None"],
    ),
    "two dtypes in a product": (
        "x, w = torch.ones(2, 3), torch.ones(3, 4, dtype=torch.float64)\nx @ w",
        ["two dtypes meet: `x` is float32, `w` is float64", "dtype=x.dtype"],
        ["w  (3, 4) float64"],
    ),
    "a name with a slip": ("query = 1\nqery + 1", ["Did you mean: 'query'?"], []),
    "an attribute with a slip": ("x = torch.ones(2)\nx.shpae", ["Did you mean: 'shape'?"], ["x  (2,) float32"]),
    "a module that is not imported": ("math.sqrt(2)", ["`math` is not imported here", "`import math`"], []),
    "an attribute without self": (
        "class A:\n    def __init__(self):\n        self.weight = 1\n    def f(self):\n        return weight\nA().f()",
        ["the object has it: `self.weight`"],
        [],
    ),
    "an index beyond the table": (
        "table = nn.Embedding(3, 2)\ntable(torch.tensor([3]))",
        ["an index is larger than the table has rows"],
        ["table  Embedding(3, 2)"],
    ),
    "a mask as a condition": (
        "mask = torch.ones(2, 2, dtype=torch.bool)\nif mask:\n    pass",
        ["neither true nor false", "`is not None`"],
        [],
    ),
    "masks joined by a word": (
        "a, b = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)\na and b",
        ["masks are joined by `&`"],
        ["a  (2,) bool", "b  (2,) bool"],
    ),
    "a state that is written into another axis, NumPy": (
        "states, h = np.zeros((2, 9, 7)), np.ones((3, 7))\nstates[1] = h",
        ["an array of shape (3, 7) has to fit where the shape is (9, 7)", "Which axis"],
        ["states[1]  (9, 7) float64", "h  (3, 7) float64"],
    ),
    "a state that is written into another axis, PyTorch": (
        "states, h = torch.zeros(2, 9, 7), torch.ones(3, 7)\nstates[1] = h",
        ["an array of shape (3, 7) has to fit where the shape is (9, 7)"],
        ["states[1]  (9, 7) float32", "h  (3, 7) float32"],
    ),
    "rows that are written by a mask": (
        "x, h = torch.zeros(4, 7), torch.ones(3, 7)\nx[torch.tensor([True, True, False, False])] = h",
        ["an array of shape (3, 7) has to fit where the shape is (2, 7)"],
        ["h  (3, 7) float32"],
    ),
    "an expansion to another size": (
        "mask = torch.ones(3, 4)\nmask.expand(2, 5, 4)",
        ["an array of shape (3, 4) has to fit where the shape is (2, 5, 4)"],
        ["mask  (3, 4) float32"],
    ),
    "tensors that are joined and differ": (
        "a, b = torch.ones(9, 8), torch.ones(8, 8)\ntorch.cat([a.sin(), b[:, :4]], dim=-1)",
        ["joined along axis 1 must have the same size along every other axis"],
        ["a.sin()   (9, 8) float32", "b[:, :4]  (8, 4) float32"],
    ),
    "arrays that are joined and differ, NumPy": (
        "a, b = np.ones((9, 8)), np.ones((8, 8))\nnp.concatenate([a, b], axis=1)",
        ["joined along one axis must have the same size along every other axis"],
        ["a  (9, 8) float64", "b  (8, 8) float64"],
    ),
    "gather for rows": (
        "table, ids = torch.ones(8, 5), torch.tensor([1, 2])\ntable.gather(0, ids)",
        [
            "as many axes as the tensor",
            "`table` has shape (8, 5), and `ids` has shape (2,)",
            "Whole rows: `table[ids]`",
        ],
        ["table  (8, 5) float32", "ids  (2,) int64"],
    ),
    "more indices than axes": (
        "mask = torch.ones(9, 5)\nmask[:, :, None, :]",
        ["`mask` has shape (9, 5), so 2 axes, and gets an index for more than that"],
        ["mask  (9, 5) float32"],
    ),
    "indices that are not whole": (
        "x, rows = np.ones((4, 5)), np.linspace(0, 3, 4)\nx[rows]",
        ["`rows` is float64", "whole numbers"],
        ["x  (4, 5) float64", "rows  (4,) float64"],
    ),
    "indices that are not whole, PyTorch": (
        "x, rows = torch.ones(4, 5), torch.arange(4) * 1.0\nx[rows]",
        ["`rows` is float32", "whole numbers"],
        ["rows  (4,) float32"],
    ),
    "PyTorch's word for an axis in NumPy": (
        "x = np.ones((4, 5))\nnp.sum(x, dim=1)",
        ["`axis` and `keepdims` where PyTorch's say `dim` and `keepdim`"],
        ["x  (4, 5) float64"],
    ),
    "PyTorch's root of a number": (
        "q = torch.ones(2, 8)\nq / torch.sqrt(q.size(-1))",
        ["`torch.sqrt(q.size(-1))`: it works on tensors, and gets a single number: `math.sqrt`"],
        ["q.size(-1)  8"],
    ),
    "an argument that may be None": (
        "def attend(scores, mask=None):\n    return scores.masked_fill(~mask, 0)\nattend(torch.ones(2))",
        ["`~mask`: `mask` is None. It is an argument"],
        ["mask  None"],
    ),
    "a gradient that is not there": (
        "w = nn.Parameter(torch.ones(2))\nw.grad * 2",
        ["`w.grad` is None: no backward pass has reached that parameter"],
        ["w.grad  None"],
    ),
    "a sublayer that is not called": (
        "def sublayer(x):\n    return x\nnn.Dropout(0.5)(sublayer)",
        ["`sublayer` is a function, and its result is wanted"],
        ["sublayer  a function"],
    ),
    "a function in a sum": (
        "def sublayer(x):\n    return x\ntorch.ones(2) + sublayer",
        ["`sublayer` is a function. Call it: `sublayer(...)`"],
        ["sublayer  a function"],
    ),
    "a module that is made of its input": (
        "x = torch.ones(2)\nh = nn.ReLU(x)\ntorch.tanh(h)",
        ["`h` is a module, and a tensor is wanted", "nn.ReLU()"],
        ["h  a ReLU"],
    ),
    "a module that is handed over instead of what it makes": (
        "norm, f = nn.LayerNorm(3), eval(compile('lambda x: x.sin()', 'elsewhere', 'eval'))\nf(norm)",
        ["`norm` is a module, and a tensor is wanted"],
        ["norm  a LayerNorm"],
    ),
    "a pair in the place of a tensor": (
        "pair = (torch.ones(2), torch.ones(2))\nnn.Dropout(0.5)(pair)",
        ["a tuple stands where a tensor is wanted. Which part of it is meant?"],
        ["pair  a tuple of 2"],
    ),
    "sizes of a layer that changed places": (
        "down, x = nn.Linear(5, 7), torch.ones(2, 3, 7)\ndown(x)",
        ["`down` takes vectors of width 5 and gives 7, and what comes in is 7 wide", "change places"],
        ["down  Linear(in_features=5, out_features=7, bias=True)", "x  (2, 3, 7) float32"],
    ),
    "a product whose left side is the result of a call": (
        "drop, w, v = nn.Dropout(0.0), torch.ones(7, 5, 3, 6), torch.ones(7, 5, 6, 3)\ndrop(w) @ v.transpose(-2, -1)",
        [
            "each row of the left has 6 numbers, each column of the right 3",
            "`v.transpose(-2, -1)` with its last two axes",
        ],
        ["v.transpose(-2, -1)  (7, 5, 3, 6) float32"],
    ),
    "a head whose weight is not transposed": (
        "norm, w = nn.LayerNorm(12), torch.ones(11, 12)\nnorm(torch.ones(3, 7, 12)) @ w",
        ["each row of the left has 12 numbers, each column of the right 11", "`w` with its last two axes swapped"],
        ["w  (11, 12) float32"],
    ),
    "tensors that are joined and have other axes": (
        "ids, drawn = torch.ones(2, 3), torch.ones(2)\ntorch.cat([ids, drawn], dim=1)",
        ["need the same number of axes. `drawn` has shape (2,): which one is missing?"],
        ["ids    (2, 3) float32", "drawn  (2,) float32"],
    ),
    "a pair that is indexed as an array": (
        "logits = (torch.ones(2, 3), None)\nlogits[:, -1]",
        ["`logits` is a tuple of 2, not an array", "Take it apart first"],
        ["logits  a tuple of 2"],
    ),
    "a loss of logits in batches": (
        "x, y = torch.ones(4, 6, 11), torch.zeros(4, 6, dtype=torch.int64)\ntorch.nn.functional.cross_entropy(x, y)",
        ["one row of logits for each target, (N, V) and (N,)"],
        ["x  (4, 6, 11) float32", "y  (4, 6) int64"],
    ),
    "a cast beside other shapes": (
        "positions, speeds = torch.arange(4), torch.ones(8)\npositions.to(torch.float32) * speeds",
        ["the shapes (4,) and (8,) don't fit"],
        ["positions.to(torch.float32)  (4,) float32", "speeds  (8,) float32"],
    ),
    "more pieces than names": (
        "x = torch.ones(2, 12)\na, b = x.chunk(3, dim=-1)",
        ["`x.chunk(3, dim=-1)` is taken apart into a different number of names than it has parts: it is a tuple of 3"],
        ["x.chunk(3, dim=-1)  a tuple of 3"],
    ),
    "a result that is no pair": (
        "layer = nn.Linear(2, 2)\nx, mask = layer(torch.ones(3, 2))",
        ["a different number of parts than there are names on the left (expected 2)"],
        [],
    ),
    "a list of modules that is called": (
        "layers = nn.ModuleList([nn.Linear(2, 2)])\nlayers(torch.ones(2))",
        ["a ModuleList keeps modules and does nothing with them"],
        [],
    ),
    "a module without forward": (
        "class Norm(nn.Module):\n    def foward(self, x):\n        return x\nNorm()(torch.ones(2))",
        ["Norm has no `forward`. Is it spelled differently"],
        [],
    ),
    "a module before it is ready": (
        "class A(nn.Module):\n    def __init__(self):\n        self.a = nn.Linear(2, 2)\nA()",
        ["`super().__init__()` has to be the first line"],
        [],
    ),
    "a parameter changed in place": (
        "w = nn.Parameter(torch.ones(2))\nw += 1",
        ["writes into a tensor whose gradient is asked for"],
        ["w  (2,) float32"],
    ),
    "a value that is still needed": (
        "x = torch.ones(2, requires_grad=True)\ny = x.exp()\ny += 1\ny.sum().backward()",
        ["was changed in place"],
        [],
    ),
    "a loss that was cut off": (
        "x = torch.ones(2, requires_grad=True)\nx.detach().sum().backward()",
        ["depends on no parameter"],
        [],
    ),
    "NumPy on a parameter": (
        "x = torch.ones(2, requires_grad=True)\nx.numpy()",
        ["NumPy knows no gradients"],
        ["x  (2,) float32"],
    ),
    "a recursion": ("def f(x):\n    return f(x)\nf(1)", ["calls itself endlessly"], []),
    "a variable before its value": (
        "def f(a):\n    if a:\n        b = 1\n    return b\nf(0)",
        ["`b` is used before it has a value"],
        [],
    ),
    "a dict that is empty": (
        "class Cache:\n    def __init__(self):\n        self.kept = {}\n    def held(self, layer):\n"
        "        return self.kept[layer][0].size(2)\nCache().held(0)",
        ["`self.kept[layer]`: `self.kept` is empty", "as long as nothing is in it"],
        ["self.kept  a dict of 0", "layer  0"],
    ),
    "a list that is empty": (
        "kept = []\nkept[0].size(2)",
        ["`kept[0]`: `kept` is empty", "as long as nothing is in it"],
        ["kept  []"],
    ),
    "a key that a dict does not have": (
        "names = {'a': 1}\nnames['b']",
        ["`names['b']`: `names` has no key 'b'. What should happen as long as it has none?"],
        ["names  a dict of 1"],
    ),
    "what get gives": (
        "kept = {}\nkept.get(3).size(2)",
        ["Is it what `get` gives for a key that is not there?"],
        [],
    ),
    "brackets of the wrong kind": ("x = torch.ones(2)\nx.shape(0)", ["Square ones pick a part"], []),
}


def failure_of(code: str) -> tuple[Failure, list[str]]:
    """How code of a learner's fails, and what is shown of the line."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    text = f"{HEAD}def run():\n{body}\n"
    with Assembly({"mine": Source("mine", Path("mine.py"), text, "learner")}) as assembly:
        failure = attempt(lambda: assembly.module("mine").run(), assembly, look=look).failure
        assert failure is not None
        return failure, Judge("mine", assembly, Code(assembly), 0)._code(failure)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_common_mistake_is_told_in_words_that_say_what_to_look_at(name: str):
    code, words, shown = MISTAKES[name]
    failure, lines = failure_of(code)
    said = translated(failure) or "\n".join(lines)
    said += f" Did you mean: '{failure.meant}'?" if failure.meant else ""
    for each in words:
        assert each in said, said
    squeezed = [" ".join(line.split()) for line in lines]
    assert len(set(squeezed)) == len(squeezed)  # what stands twice in a line is shown once
    for each in shown:
        assert any(line.startswith(" ".join(each.split())) for line in squeezed), lines


def test_no_rule_is_without_a_mistake_that_it_is_for():
    used = {translated(failure_of(code)[0]).split(":")[-1] for code, _, _ in MISTAKES.values()}
    assert len(RULES) <= len(used) + 4  # one rule may serve NumPy and PyTorch, or shapes of several kinds


@pytest.mark.parametrize(
    "code",
    ["raise ValueError('d_model (6) must be divisible by n_heads (4)')", "{}['a']", "1 / 0", "[1][3]", "int('x')"],
)
def test_of_other_errors_pythons_own_words_stand(code: str):
    assert translated(failure_of(code)[0]) == ""


def test_looking_at_a_line_runs_nothing_that_could_change_something():
    code = "x = torch.ones(2)\nseen = []\ndef grow():\n    seen.append(1)\n    return x\ngrow() + torch.ones(3)\n"
    failure, _ = failure_of(code.replace("grow() + ", "grow().add_(1) + "))
    assert failure.failing is not None
    assert failure.failing.text == "grow().add_(1) + torch.ones(3)"
    assert failure.failing.operands == ()


def test_of_an_error_deep_inside_of_a_call_the_shapes_of_its_arguments_are_not_blamed():
    elsewhere = "eval(compile('lambda x, mask: torch.ones(2, 1, 3, 3) + mask', 'another file', 'eval'), globals())"
    said = translated(
        failure_of(f"attend = {elsewhere}\nx, mask = torch.ones(2, 3, 6), torch.ones(2, 1, 1, 4)\nattend(x, mask)")[0]
    )
    assert "6 meets 4" not in said
    said = translated(failure_of("x, mask = torch.ones(2, 3, 6), torch.ones(2, 1, 1, 4)\nx + mask")[0])
    assert "6 meets 4" in said


ATTENTION = "q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))"


def test_the_screen_has_the_sentence_the_line_and_pythons_words():
    found: Verdict = judged("ex05", "test_attention_values", (ATTENTION, "q @ k / math.sqrt(q.size(-1))"))
    assert found.status == "error"
    first, *_, last = found.message.splitlines()
    assert first.startswith("`q @ k`: (3, 4, 8) @ (3, 2, 8) can't be multiplied")
    assert last.startswith("RuntimeError: ")
    assert found.evidence.name == "scaled_dot_product_attention"
    assert found.evidence.code[0] == "scores = q @ k / math.sqrt(q.size(-1))  # (..., T_q, T_k)"
    assert found.evidence.code[-1] == last
    assert [line.split("(")[0].strip() for line in found.evidence.code[1:3]] == ["q", "k"]


def test_a_hidden_check_that_is_not_ones_own_tells_nothing_of_the_line():
    found = judged("ex05", "test_leading_dimensions", (ATTENTION, "q @ k / math.sqrt(q.size(-1))"), hidden=True)
    assert found.status == "error"
    assert found.evidence.code == ["scores = q @ k / math.sqrt(q.size(-1))  # (..., T_q, T_k)"]
    assert "can't be multiplied" not in found.message


def test_a_single_result_where_a_pair_is_asked_for_is_told_as_that():
    found = judged("ex05", "test_attention_values", ("return weights @ v, weights", "return weights @ v"))
    assert "`scaled_dot_product_attention` returns: it must return a pair." in found.message
    found = judged("ex23", "test_speedrun", ("            return logits, None\n", "            return logits\n"))
    assert "returns" not in found.message  # speedrun returns three things, as it should, and the model not two
    assert "not enough values to unpack (expected 2, got 1)" in found.message


def test_a_slip_in_an_attribute_that_a_check_uses_is_told():
    @check("it has a weight")
    def probe(ex: Exercise, rng: Random) -> object:  # noqa: ARG001
        return ex.Box().weight

    probes = [probe]
    sources = {
        each: Source("mine", Path("mine.py"), f"class Box:\n    {each} = 1\n", "learner")
        for each in ("weight", "wieght")
    }
    (entry,) = find(["01"])
    solutions = read_folder(ROOT / "solutions", "reference")
    with (
        Assembly({entry.stem: sources["wieght"]}) as learner,
        Code(Assembly({**solutions, entry.stem: sources["weight"]})) as code,
    ):
        found = Judge(entry.stem, learner, code, 0).judge(probes[0], 20)
    assert "Did you mean: 'wieght'?" in found.message


def test_an_object_that_is_not_finished_or_fights_back_stops_nobody():
    class Unfinished(nn.Module):
        def __init__(self) -> None:  # the base class was never called
            pass

    class Hostile:
        def __dir__(self) -> Any:
            raise SystemExit

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name, name=name, obj=self)

    for value in (Unfinished(), Hostile()):
        with pytest.raises(AttributeError) as caught:
            value.weigth  # noqa: B018
        assert meant(caught.value, None) == ""
    with pytest.raises(AttributeError) as caught:
        nn.Linear(2, 3).weigth  # noqa: B018
    assert meant(caught.value, None) == "weight"
