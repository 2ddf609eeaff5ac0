"""What the README shows of the commands is what they print."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest

from grader.content.syllabus import load
from grader.files import ROOT, read_toml
from grader.staff.release.build import CONTENTS
from grader.staff.release.cutting import marked
from lab import baselines, corpora
from tests.project.conftest import Folder

README = (ROOT / "README.md").read_text(encoding="utf-8")


def shown(command: str) -> str:
    """The lines below a command where the README first has it."""
    return str(re.findall(rf"```console\n\$ {re.escape(command)}\n(.+?)```", README, re.DOTALL)[0])


def test_the_readme_shows_what_a_first_run_prints(folder: Folder):
    command = [sys.executable, "-m", "grader", "test", "--exercises", str(folder.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    printed = iter(done.stdout.replace(str(folder.path), "exercises").splitlines())
    for line in shown("make test").splitlines():
        assert line == "..." or line in printed  # in this order


def test_the_readme_is_read_in_a_few_minutes():
    assert len(README.splitlines()) <= 120


def test_the_readme_shows_the_baselines_of_the_demo():
    text = corpora.load().text
    cut = len(text) - len(text) // 10  # as exercise 16 splits a text of characters
    losses = baselines.measure(text[:cut], text[cut:]).as_dict()
    lines = shown("make demo").splitlines()
    for name, nats in losses.items():
        assert f"{name:<27}  {nats:.3f}  {nats / math.log(2):.3f}" in lines
    (gpt,) = (float(line.split()[2]) for line in lines if line.startswith("> GPT "))
    lead = losses["trigram"] - gpt
    assert f"The GPT beats the trigram baseline by {lead:.3f} nats per character." in lines


def test_every_link_to_a_file_leads_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def targets(*names: str) -> set[str]:
    """The targets of some makefiles."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in names)
    return {name for found in re.findall(r"^([a-z0-9 ]+):", text, re.MULTILINE) for name in found.split()}


def named(text: str) -> list[str]:
    """The make targets that a page names."""
    return re.findall(r"(?:`|\$ )make ([a-z0-9]+)", text)


def test_every_make_target_that_is_named_exists():
    known = targets("Makefile", "lab.mk", "capstone.mk", "chat.mk", "race.mk", "author.mk")
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for name in named(page.read_text(encoding="utf-8")):
            assert name in known, f"{page.name}: make {name}"


@pytest.mark.parametrize("page", ["README.md", "docs/learning.md"])
def test_a_release_names_no_make_target_that_it_lacks(page: str):
    makefiles = read_toml(CONTENTS)["with"]
    labels = [entry.label for entry in load()]
    for last in range(1, len(labels) + 1):
        released = labels[:last]
        known = targets("Makefile", *(name for label in released for name in makefiles.get(label, ())))
        for name in named(marked((ROOT / page).read_text(encoding="utf-8"), released)):
            assert name in known, f"until {released[-1]}: make {name}"
