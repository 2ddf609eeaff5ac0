"""A notebook that runs in Jupyter gives a module: what the exercise needs of it, whatever else stands in it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from grader.content.stubs import generated
from grader.content.syllabus import find, load
from grader.nb.cells import pieces
from grader.nb.commands import is_command, plain
from grader.nb.module import Module, module_of, module_of_script
from grader.nb.reading import cells, named

(ENTRY,) = find(["01"])
SOFTMAX = "import numpy as np\n\ndef softmax(x, axis=-1):\n    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)\n"


def notebook(*sources: str, **more: Any) -> str:
    """A notebook with these cells."""
    made = [{"cell_type": "code", "metadata": {}, "source": source, "outputs": []} for source in sources]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more})


def run(module: Module) -> dict[str, Any]:
    """The names of a module that is run by itself, where nothing of a notebook is."""
    names: dict[str, Any] = {"__name__": "ex01_softmax"}
    exec(compile(module.text, "ex01_softmax.py", "exec", dont_inherit=True), names)
    return names


def works(*sources: str) -> Module:
    """A notebook whose softmax must be there and right."""
    module = module_of(ENTRY, notebook(*sources))
    assert np.allclose(run(module)["softmax"](np.zeros(4)), 0.25)
    return module


BESIDE = {
    "the shell": "!pip install numpy\n!ls | \\\n  grep x",
    "a shell's answer": "files = !ls\nprint(files)",
    "magics": "%matplotlib inline\n%load_ext autoreload\n%autoreload 2",
    "a timed call": "%timeit softmax(np.zeros(3))\n%time softmax(np.zeros(3))",
    "help": "np.exp?\n?np.exp\nsoftmax??\nnp.random.*?",
    "bash": "%%bash\nfor i in 1 2 3; do echo $i; done",
    "javascript": "%%javascript\nalert('x')",
    "a file": "%%writefile notes.txt\nthis is (no python",
    "html after an empty line": "\n\n%%html\n<b>x</b>",
    "display": "display(softmax(np.zeros(3)))\ndisplay(_)",
    "a failing try": "softmax(undefined, 7, 8)\nassert False, 'todo'\n1 / 0",
    "a failing value": "x = 1 / 0\naxis = undefined",
    "no python": "def broken(:\n    pass",
    "a missing library": "import not_installed_anywhere as plt\nplt.plot(softmax(np.arange(3)))",
    "an endless loop": "while True:\n    pass",
    "await": "result = await something()",
    "ipython itself": "get_ipython().run_line_magic('time', '')\nshell = get_ipython()",
    "a future": "from __future__ import annotations\nfrom __future__ import division",
    "the course's own first cell": "from grader.nb import begin\n\ncheck = begin('ex01_softmax', cells=True)",
    "a check": "check('softmax')",
    "an exit": "exit()\nquit()\nraise SystemExit",
    "an empty cell": "  \n",
    "input": "name = input()",
}


@pytest.mark.parametrize("kind", BESIDE)
@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_what_stands_beside_the_code_costs_nothing(kind: str, first: bool):
    works(*((BESIDE[kind], SOFTMAX) if first else (SOFTMAX, BESIDE[kind])))


@pytest.mark.parametrize("line", ["%matplotlib inline", "!ls", "np.exp?", "files = !ls"])
def test_a_command_in_the_cell_of_the_code_costs_nothing(line: str):
    works(f"{line}\n{SOFTMAX}{line}\n")
    works(f"{SOFTMAX}\nif True:\n    {line}\n")


def test_what_the_code_needs_comes_along():
    module = works(
        "from __future__ import annotations",
        "%%time\nfrom numpy import exp\nSCALE = 2.0\nUNUSED = undefined",
        "TABLE = []\nfor i in range(3):\n    TABLE.append(i)\nSETTINGS = {}\nSETTINGS['a'] = 1",
        "%%capture out\ndef helper(x):\n    return exp(x) * SCALE / (SCALE * len(TABLE) / 3 * SETTINGS['a'])",
        "  def softmax(x, axis=-1):\n      return helper(x)",
        "class Later:\n    pass\n\nsoftmax = None",
        "def softmax(x, axis=-1):\n    y = helper(x)\n    return y / y.sum(axis, keepdims=True)",
        "softmax.note = 'mine'\nif True:\n    SCALE = 3.0",
    )
    names = run(module)
    assert names["softmax"].note == "mine"
    assert names["SCALE"] == 3.0
    assert "UNUSED" not in names
    assert "Later" not in names


def test_a_broken_cell_that_holds_the_exercise_is_told_as_what_it_is():
    module = module_of(ENTRY, notebook("import numpy as np", "def softmax(x:\n    return x"))
    with pytest.raises(SyntaxError):
        compile(module.text, "x", "exec")
    assert module_of(ENTRY, notebook(SOFTMAX, "def softmax(x:\n    return x")).notes == (
        "code cell 2 is not Python that runs: it was left out",
    )


def test_a_function_under_another_name_is_kept_so_that_it_can_be_named():
    assert "def soft_max(" in module_of(ENTRY, notebook("def soft_max(x):\n    return x")).text


def test_cells_without_metadata_or_type_and_old_formats_are_read():
    bare = [{"cell_type": "code", "source": SOFTMAX}, {"outputs": [], "source": ["EPS = 1\n"]}, {"cell_type": "raw"}]
    assert run(module_of(ENTRY, json.dumps({"cells": bare})))["softmax"]
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": SOFTMAX}]}], "nbformat": 3}
    assert run(module_of(ENTRY, json.dumps(old)))["softmax"]
    other = {"cell_type": "code", "source": "def softmax():", "metadata": {"vscode": {"languageId": "julia"}}}
    assert run(module_of(ENTRY, json.dumps({"cells": [*bare, other]})))["softmax"]


@pytest.mark.parametrize("text", ["", "{", "3", "[]", "null", '{"a": 1}', "[" * 100_000])
def test_what_is_no_notebook_is_named(text: str):
    with pytest.raises(ValueError, match="not a notebook that can be read"):
        module_of(ENTRY, text)


def test_a_notebook_without_code_says_where_the_code_belongs():
    about = {"nbgrader": {"grade_id": "check-a"}}
    thin = json.dumps({"cells": [{"cell_type": "code", "source": "x = 1", "metadata": about}]})
    with pytest.raises(ValueError, match=r"that is asked for in ex01_softmax\.py"):
        module_of(ENTRY, thin)
    with pytest.raises(ValueError, match="holds no code"):
        module_of(ENTRY, notebook(" \n"))


def answered(answers: dict[str, str], marked: bool = True) -> str:
    """A course's notebook in cells, with answers, and with nbgrader's metadata or without it."""
    made = []
    for piece in pieces(ENTRY):
        text = answers.get(piece.name, piece.text)
        about = {"nbgrader": {"grade_id": piece.grade_id}} if marked and piece.kind == "asked" else {}
        if piece.kind != "lesson":
            made.append({"cell_type": "code", "metadata": about, "source": text})
    return json.dumps({"cells": made, "nbformat": 4})


def test_a_courses_notebook_keeps_its_lines_and_forgives_commands():
    assert module_of(ENTRY, answered({})).text == generated(ENTRY)
    own = "from __future__ import annotations\nnp.exp?\n%%time\n" + SOFTMAX + "display(softmax(undefined))\n"
    module = module_of(ENTRY, answered({"softmax": own.replace("%%time\n", "")}))
    assert np.allclose(run(module)["softmax"](np.zeros(4)), 0.25)
    line = next(number for number, text in enumerate(module.text.splitlines()) if text.startswith("def softmax"))
    whole = "".join(piece.text for piece in pieces(ENTRY))
    before = whole.partition("def softmax")[0].count("\n")
    assert line == before + 4  # the same place as in the cell: nothing was moved


def test_a_courses_notebook_that_lost_its_metadata_is_graded():
    text = answered({"softmax": SOFTMAX}, marked=False)
    assert np.allclose(run(module_of(ENTRY, text))["softmax"](np.zeros(4)), 0.25)


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.label)
def test_a_solution_cut_into_cells_is_the_same_code(entry: Any):
    """Of a right module everything is kept that any of its names needs."""
    source = entry.solution.read_text(encoding="utf-8")
    module = module_of(entry, notebook(source, "softmax(undefined)"))
    given, kept = (compile(text, "x", "exec").co_names for text in (source, module.text))
    assert set(kept) <= {*given, "annotations"}
    for name in (piece.name for piece in pieces(entry) if piece.kind == "asked"):
        assert name in kept


def test_a_script_is_left_as_it_is_unless_a_notebook_was_exported():
    text = "x = '''\n%d\n!important\n'''\nprint(x)\n"
    assert module_of_script(ENTRY, text) == Module(text)
    exported = f"# In[1]:\nget_ipython().run_line_magic('time', '')\n{SOFTMAX}\nprint(undefined)\n"
    assert np.allclose(run(module_of_script(ENTRY, exported))["softmax"](np.zeros(4)), 0.25)


def test_commands_are_found_at_the_beginning_of_statements_alone():
    assert plain("x = [\n  a\n  % b,\n  !c\n]\n%time y = 1\nz = 'a\\\n%no'") == (
        "x = [\n  a\n  % b,\n  !c\n]\ny = 1\nz = 'a\\\n%no'",
        True,
    )
    assert plain('"""\n%time\n"""\n?x') == ('"""\n%time\n"""\npass', True)
    for line in ("x?", "?x", "x.y??", "%a", "!a", "a = !b", "a, b = %c d", "x?  # why"):
        assert is_command(line), line
    for line in ("x = y % z", "assert x != y", "print('why?')", "x = a if b else c", "# what?", "x ? y"):
        assert not is_command(line), line


def test_of_two_cells_with_one_name_the_first_counts():
    made = [{"cell_type": "code", "source": text, "metadata": {"nbgrader": {"grade_id": "a"}}} for text in "xy"]
    assert named(cells(json.dumps({"cells": made}))) == {"a": "x"}
