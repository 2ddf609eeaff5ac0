"""What somebody meets who opens the repository: the files are there, valid, and say what is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import pytest

from grader.files import ROOT
from grader.staff.release.build import AGENTS, READ_BY_ASSISTANTS, tell_assistants

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", FORMS),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_what_the_platform_reads_is_valid(schema: str, files: list) -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed: make check sets it up")
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_call_what_there_is() -> None:
    rules = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "Makefile", *ROOT.glob("*.mk")))
    targets = {name for names in re.findall(r"^([a-z][a-z -]*):", rules, re.MULTILINE) for name in names.split()}
    for path in WORKFLOWS:
        for target in re.findall(r"run: make ([a-z]+)", path.read_text(encoding="utf-8")):
            assert target in targets, f"{path.name}: make {target}"


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"version: {project['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {project['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_editors_find_the_exercises_and_leave_the_stubs_alone() -> None:
    settings = json.loads((ROOT / ".vscode" / "settings.json").read_text(encoding="utf-8"))
    assert settings["python.testing.pytestEnabled"] is True
    assert "exercises/**" in settings["ruff.exclude"]
    tasks = json.loads((ROOT / ".vscode" / "tasks.json").read_text(encoding="utf-8"))["tasks"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for task in tasks:
        target = task["command"].split()[1]
        assert re.search(rf"^{target}\b.*:", makefile, re.MULTILINE), target


def test_assistants_are_told_what_the_instructor_chose(tmp_path) -> None:
    tell_assistants(tmp_path / "tutor", "tutor")
    text = (tmp_path / "tutor" / AGENTS).read_text(encoding="utf-8")
    assert "a tutor here, not a solver" in text
    assert "BEGIN WHOLE" not in text
    assert "CONTRIBUTING" not in text  # a release has none
    tell_assistants(tmp_path / "none", "none")
    assert "not in this course" in (tmp_path / "none" / AGENTS).read_text(encoding="utf-8")
    for name in READ_BY_ASSISTANTS:
        for choice in ("tutor", "none"):
            assert AGENTS in (tmp_path / choice / name).read_text(encoding="utf-8")
        assert AGENTS in (ROOT / name).read_text(encoding="utf-8")
    tell_assistants(tmp_path / "free", "free")
    assert not (tmp_path / "free").exists()
