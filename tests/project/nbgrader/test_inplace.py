"""`check(...)` in a kernel of Jupyter, as students run it: on a file beside the notebook, and on cells."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install -e '.[nbgrader]'")

from grader.content.syllabus import find
from grader.errors import GraderError
from grader.grading import Chosen, Grading
from grader.nb.content import content
from grader.nb.inplace import begin
from tests.project.nbgrader.conftest import ENTRY, solution, wrong

(NEXT,) = find(["05"])


class Kernel:
    """A kernel in a student's folder."""

    def __init__(self, folder: Path) -> None:
        from jupyter_client.manager import start_new_kernel

        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(folder))

    def run(self, code: str) -> str:
        """What a cell prints, shows and raises."""
        said: list[str] = []

        def hear(message: dict[str, dict[str, object]]) -> None:
            content = message["content"]
            kind = str(message["header"]["msg_type"])
            if kind == "stream":
                said.append(str(content["text"]))
            elif kind == "execute_result":
                said.append(f"Out: {content['data']['text/plain']}")
            elif kind == "error":
                said.append("\n".join(content["traceback"]))  # type: ignore[arg-type]

        self.client.execute_interactive(code, output_hook=hear, timeout=120)
        return "".join(said)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    for entry in (ENTRY, NEXT):
        (tmp_path / entry.stem).mkdir()
    kernel = Kernel(tmp_path / NEXT.stem)
    yield kernel
    kernel.close()


def cell(text: str, name: str) -> str:
    """One function of a module."""
    node = next(node for node in ast.parse(text).body if getattr(node, "name", "") == name)
    return ast.get_source_segment(text, node) or ""


def test_a_notebook_with_cells(kernel: Kernel, tmp_path: Path) -> None:
    """It imports the exercise before it from the folder beside; a cell counts as it was run last."""
    (tmp_path / ENTRY.stem / ENTRY.stub.name).write_text(solution(), encoding="utf-8")
    right = NEXT.solution.read_text(encoding="utf-8")
    assert kernel.run(f"from grader.nb import begin\ncheck = begin('{NEXT.stem}', cells=True)") == ""
    assert "[todo] 0/1" in kernel.run("check('attend')")
    given = "import math\nimport torch\nfrom numpy.typing import NDArray\nfrom torch import Tensor\n"
    assert kernel.run(f"{given}from .{ENTRY.stem} import softmax\nsoftmax.__name__") == "Out: 'softmax'"
    kernel.run(cell(right, "attend").replace("/ math.sqrt(", "/ ("))
    told = kernel.run("check('attend')")
    assert "of the cell of `attend`" in told or "1 of 2" in told
    kernel.run(cell(right, "attend"))
    assert "Out: 2.0" in kernel.run("check('attend')")
    assert kernel.run("check.mine().attend.__name__") == "Out: 'attend'"


def test_a_file_beside_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ENTRY.stub.name
    path.write_text(wrong(), encoding="utf-8")
    check = begin(ENTRY.stem)
    points = sum(check(group.id) for group in content(ENTRY).groups)
    told = capsys.readouterr().out
    assert "What the hidden checks test is not shown." in told
    path.write_text(solution(), encoding="utf-8")  # saved again: nothing has to be restarted
    most = content(ENTRY).points
    assert sum(check(group.id) for group in content(ENTRY).groups) == most > points
    assert check.mine().perplexity.__name__ == "perplexity"
    with pytest.raises(Exception, match=r'has no group of checks .nonsense.\. It has check\("softmax"\)'):
        check("nonsense")


def test_what_it_is_built_on_and_cannot_have_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a release, which can't lend what a student has not written yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / NEXT.stub.name).write_text(NEXT.solution.read_text(encoding="utf-8"), encoding="utf-8")
    chosen = {"missing": ["ex01_softmax"], "borrowed": []}
    monkeypatch.setattr(Grading, "chosen", lambda self, entry: Chosen(sources={**self.learner}, **chosen))
    with pytest.raises(GraderError, match=r"ex05 is built on your ex01, which does not pass yet\. Go on with"):
        begin(NEXT.stem).mine()
