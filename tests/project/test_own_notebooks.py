"""`make jupyter`: lessons as notebooks of one's own, whose cells run as they are, and which are never written over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.content.stubs import FOLDER
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, find, load
from grader.files import ROOT
from grader.nb import own
from grader.nb.content import content

RUN = """
import json, sys
import matplotlib.pyplot as plt
plt.switch_backend("agg")
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        exec(cell["source"], globals())
print("figures", len(plt.get_fignums()))
"""


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.label) for entry in load()])
def test_a_notebook_is_a_valid_one_with_the_lesson_the_checks_and_the_experiment(entry: Entry):
    about = content(entry)
    text = own.notebook(about, "../exercises")
    cells = json.loads(text)["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    sources = [cell["source"] for cell in cells]
    assert sources[0].startswith("# ")
    assert f'check = begin("{entry.stem}", folder="../exercises")' in "\n".join(sources)
    assert about.experiment is not None
    assert about.experiment.code in sources
    assert all(f'check("{group.id}");' in sources for group in about.groups if group.checks)
    assert f"`make test EX={entry.label[2:]}` says which of them fails" in "\n".join(sources)
    assert "nbgrader" not in text
    assert "submit" not in text
    hidden = [check.says for check in checks_of(entry.suite) if check.hidden]
    assert not any(f"- {says}\n" in f"{source}\n" for says in hidden for source in sources)
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.reads(text, as_version=4))


def test_its_cells_run_on_the_files_in_the_other_folder(tmp_path: Path):
    (entry,) = find(["05"])
    path, new = own.write(entry, tmp_path / "notebooks")
    assert new
    shutil.copytree(ROOT / "solutions", tmp_path / "exercises", ignore=shutil.ignore_patterns("__pycache__"))
    source = path.read_text(encoding="utf-8")
    beside = Path(os.path.relpath(str(FOLDER), str(path.parent))).as_posix()
    path.write_text(source.replace(beside, "../exercises"))
    done = subprocess.run(
        [sys.executable, "-c", RUN, path.name],
        cwd=path.parent, capture_output=True, text=True, check=False,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for group in content(entry).groups:
        assert f"{group.points} of {group.points} points" in done.stdout
    assert "figures 1" in done.stdout


def test_what_is_there_is_left_alone(tmp_path: Path):
    (entry,) = find(["01"])
    (tmp_path / "ex01_softmax.ipynb").write_text("mine")
    assert own.write(entry, tmp_path) == (tmp_path / "ex01_softmax.ipynb", False)
    assert (tmp_path / "ex01_softmax.ipynb").read_text() == "mine"
    command = [sys.executable, "-m", "grader", "jupyter", "01", "02", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "ex01_softmax.ipynb is there already and was left alone" in done.stdout
    assert f"wrote {tmp_path / 'ex02_tokenizers.ipynb'}" in done.stdout
