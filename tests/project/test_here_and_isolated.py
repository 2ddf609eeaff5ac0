"""One verdict in all modes: right code and odd code come out the same here and in the sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import load
from grader.files import ROOT
from grader.probing.assembly import Source, read_folder
from grader.sandbox.runner import IsolatedRunner
from grader.staff.mutants.trials import Candidate, variants
from grader.workers.runner import Runner

REFERENCE = read_folder(ROOT / "solutions", "reference")
EVERY = variants(load())
SEED = 0
pytestmark = pytest.mark.long
ALL = "STUBFORMER_EVERY_VARIANT" in os.environ  # make nightly: they take a quarter of an hour
CHOSEN = EVERY if ALL else [next(each for each in EVERY if each.entry == entry) for entry in load()]
FEW = 4  # quick checks of one exercise, unless all are run

HABITS = {  # what people put at the top of a file, or leave in a function: (at the top, in the first function)
    "plots": ("import matplotlib.pyplot as plt\nplt.figure()\nplt.show()", ""),
    "an editor's import": ("from exercises.ex01_softmax import softmax as earlier", ""),
    "an import by the name alone": ("from ex01_softmax import softmax as earlier", ""),
    "an earlier exercise": ("from .ex02_tokenizers import CharTokenizer", ""),
    "a later exercise": ("from .ex15_sampling import generate", ""),
    "another library": ("import pytest", ""),
    "another library, if it is there": ("try:\n    import pytest\nexcept ImportError:\n    pass", ""),
    "the engine": ("import grader.checks", ""),
    "threads": ("import threading\nthreading.Thread(target=print).start()", ""),
    "warnings": ("import warnings\nwarnings.warn('old')", ""),
    "a seed": ("import random\nrandom.seed(3)", ""),
    "prints": ("print('loaded')", "print('called')"),
    "a log": ("log = open('FOLDER/log.txt', 'a')\nprint('loaded', file=log)", "print('called', file=log, flush=True)"),
    "files in a folder": (
        "import os\nfrom pathlib import Path\nos.makedirs('FOLDER/runs', exist_ok=True)",
        "Path('FOLDER/runs/q.txt').write_text(repr(q))\n    torch.save(q, 'FOLDER/runs/q.pt')",
    ),
    "a file that is not there": ("open('FOLDER/data.txt').read()", ""),
    "a debugger": ("", "breakpoint()"),
    "a question": ("", "input()"),
    "an exit": ("", "raise SystemExit"),
    "nothing yet": ("", "raise NotImplementedError"),
    "an error": ("", "1 / 0"),
}


@pytest.fixture(scope="module")
def runners() -> Iterator[tuple[Runner, IsolatedRunner]]:
    with Runner(SEED) as here, IsolatedRunner(SEED) as isolated:
        yield here, isolated


def told(runner: Runner, candidate: Candidate, everything: bool) -> list[str]:
    """What is said of a candidate: of the import and of its quick checks."""
    entry = candidate.entry
    sources = {need: REFERENCE[need] for need in REFERENCE if need < entry.stem} | {entry.stem: candidate.source}
    if isinstance(runner, IsolatedRunner):
        runner.begin()
    verdicts = [runner.open(entry, sources)]
    if verdicts[0].status == "pass":
        quick = [info for info in checks_of(entry.suite) if not info.slow]
        verdicts += [runner.check(info) for info in (quick if everything else quick[:FEW])]
    return [verdict.status for verdict in verdicts]


@pytest.mark.parametrize("candidate", CHOSEN, ids=lambda each: f"{each.entry.label}-{each.name}")
def test_a_variant_has_one_verdict(runners: tuple[Runner, IsolatedRunner], candidate: Candidate):
    here, isolated = (told(runner, candidate, ALL) for runner in runners)
    assert here == isolated
    assert set(here) == {"pass"}


@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_has_one_verdict(runners: tuple[Runner, IsolatedRunner], habit: str, tmp_path: Path):
    entry = next(entry for entry in load() if entry.label == "ex05")
    top, inside = HABITS[habit]
    text = REFERENCE[entry.stem].text
    text = text.replace("from __future__ import annotations\n", f"from __future__ import annotations\n{top}\n")
    text = text.replace("    ### BEGIN SOLUTION\n", f"    {inside or 'pass'}\n", 1).replace("FOLDER", str(tmp_path))
    candidate = Candidate(entry, habit, Source(entry.stem, ROOT / "exercises" / entry.stub.name, text, "learner"))
    here, isolated = (told(runner, candidate, False) for runner in runners)
    assert here == isolated
