"""Nobody is told a mistake that they did not make: breakages that no catalogue holds get no name."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

import numpy as np
import pytest

from grader.content.regions import SOLUTION, without_markers
from grader.content.stubs import make_stub
from grader.content.suite import checks_of
from grader.content.syllabus import Entry, load
from grader.files import ROOT
from grader.probing.assembly import Source, read_folder
from grader.staff.mutants.trials import Bench, Candidate

REFERENCE = read_folder(ROOT / "solutions", "reference")

BREAKAGES: list[tuple[str, str]] = [  # what happens to a result: no entry of any catalogue does one of these
    ("grows by 3.7 %", "r * 1.037"),
    ("is shifted by 0.0137", "r + 0.0137"),
    ("is bent", "r + 0.113 * r * r"),
    ("is rounded to 1/64", "(r * 64).round() / 64"),
    ("has a ripple on it", "r + 0.0173 * (r * 41.0).{sin}()"),
    ("loses its first element", "poke(r, 0.7321)"),
    ("is a mixture with its reverse", "r * 0.83 + 0.17 * flip(r)"),
    ("is damped by its own size", "r / (1.0 + 0.0917 * abs(r))"),
]

WRAPPER = """

def _break(function):
    import functools
    import numpy as np

    def touch(r):
        torch = __import__("sys").modules.get("torch")
        if isinstance(r, (tuple, list)) and r and not isinstance(r[0], (int, str, bytes)):
            return type(r)(touch(one) for one in r)
        if torch is not None and isinstance(r, torch.Tensor):
            if not r.is_floating_point() or r.numel() == 0 or r.device.type == "meta":
                return r
            flip = lambda t: t.flatten().flip(0).reshape(t.shape)
            sin = torch.sin

            def poke(t, value):
                mask = torch.zeros(t.numel(), dtype=torch.bool)
                mask[0] = True
                return torch.where(mask.reshape(t.shape), torch.full_like(t, value), t)

            return {torch_code}
        if isinstance(r, np.ndarray) and r.dtype.kind == "f" and r.size:
            flip = lambda t: t.reshape(-1)[::-1].reshape(t.shape)

            def poke(t, value):
                t = t.copy()
                t.reshape(-1)[0] = value
                return t

            return {numpy_code}
        if isinstance(r, float):
            return touch(np.array(r)).item()
        return r

    @functools.wraps(function)
    def wrapped(*args, **options):
        return touch(function(*args, **options))

    return wrapped

"""


def broken_sources(entry: Entry) -> Iterator[tuple[str, str]]:
    """An exercise with every breakage put on each of its functions and `forward` methods: label, text.

    Each of them twice where something comes after it: with all of it written, and with it still to be written.
    """
    text = REFERENCE[entry.stem].text
    suite = entry.suite.read_text()
    for name, last in targets(text).items():
        if name.split(".")[0] not in suite or name.endswith(("_mask", "_masks")):  # a mask holds no numbers
            continue
        whole, begun = without_markers(text, SOLUTION), make_stub(text, after=last)
        for label, code in BREAKAGES:
            torch_code = code.replace("(r * 41.0).{sin}()", "sin(r * 41.0)").replace("abs(r)", "r.abs()")
            numpy_code = code.replace("(r * 41.0).{sin}()", "np.sin(r * 41.0)")
            wrapper = WRAPPER.replace("{torch_code}", torch_code).replace("{numpy_code}", numpy_code)
            broken = f"{wrapper}\n{name} = _break({name})\n"
            yield f"{name} {label}", whole + broken
            if begun != whole:
                yield f"{name} {label}, begun", begun + broken


def targets(text: str) -> dict[str, int]:
    """What a breakage can be put on, with its last line: public functions, and the `forward` of public modules."""
    found: dict[str, int] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            found[node.name] = node.end_lineno or 0
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == "forward":
                    found[f"{node.name}.forward"] = inner.end_lineno or 0
    return found


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as opened:
        yield opened


QUICK = [entry for entry in load() if not any(info.slow for info in checks_of(entry.suite))]
ALL = "STUBFORMER_EVERY_VARIANT" in os.environ  # make nightly: 680
EACH = 13  # of an exercise


@pytest.mark.long
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.label) for entry in QUICK])
def test_no_name_is_given_to_unrelated_breakages(entry: Entry, bench: Bench):
    """Trials of the suite on breakages that no catalogue holds: most are noticed, none is called by a name."""
    every = [
        Candidate(entry, label, Source(entry.stem, entry.solution, text, "edited"))
        for label, text in broken_sources(entry)
    ]
    rng = np.random.default_rng(0)
    chosen = every if ALL else [every[i] for i in rng.permutation(len(every))[:EACH]]
    trials = list(bench.run(chosen, diagnose=True))
    noticed = [trial.candidate.name for trial in trials if trial.rejected_by]
    assert len(noticed) >= len(chosen) / 2
    unfinished = [each.name for each in chosen if each.name.endswith("begun")]
    assert sum(name.endswith("begun") for name in noticed) >= len(unfinished) / 2
    assert {t.candidate.name: t.named for t in trials if t.named} == {}


def test_more_than_200_unrelated_breakages_are_tried():
    counts = {entry.label: [label for label, _ in broken_sources(entry)] for entry in QUICK}
    assert sum(min(EACH, len(labels)) for labels in counts.values()) >= 200
    assert sum(label.endswith("begun") for labels in counts.values() for label in labels) >= 200
