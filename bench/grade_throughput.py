"""grade-throughput: seconds per submission of a whole class, beside one cold pytest process for each submission.

The class hands in exercise 5: right solutions in several styles, known mistakes, endless loops, code that attacks its
judge, files that can't be read. The attacks do no harm where nothing stops them, since that is where pytest runs them.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.measure import Row, in_turn
from grader.content.syllabus import find
from grader.files import ROOT
from grader.misconceptions.catalogue import catalogue
from grader.probing.assembly import Source, read_folder
from grader.sandbox import levels
from grader.sandbox.launchers import ForkServer
from grader.sandbox.process import Allowance

(EX,) = find(["05"])
CLASS = {"right": 90, "wrong": 70, "hostile": 24, "unreadable": 12, "looping": 4}  # 200
SAMPLE = 2  # of each kind, for a pytest process each
JOBS = os.cpu_count() or 1
HOSTILE = (
    "import os\nos._exit(0)\n",
    "import sys\nsys.exit(0)\n",
    "import torch\ntorch.equal = torch.allclose = lambda *_, **__: True\n",
    "import numpy as np\nnp.allclose = np.array_equal = lambda *_, **__: True\n",
    "import builtins\nbuiltins.abs = builtins.max = lambda *_, **__: 0\n",
    "print('\\n'.join(['1000 passed in 0.1s', '{\"points\": 1000}'] * 100))\n",
)


def written(kind: str, number: int, reference: Source) -> str:
    """Return what one student hands in."""
    if kind == "right":
        styles = [reference.text, *(path.read_text() for path in sorted((ROOT / "tests/variants" / EX.stem).iterdir()))]
        return f"{styles[number % len(styles)]}\n# student {number}\n"
    if kind == "wrong":
        every = catalogue(EX)
        return f"{every[number % len(every)].applied(reference).text}\n# student {number}\n"
    if kind == "hostile":
        wrong = catalogue(EX)[0].applied(reference).text
        head, rest = wrong.split("import torch\n", 1)
        return f"{head}import torch\n{HOSTILE[number % len(HOSTILE)]}{rest}"
    if kind == "unreadable":
        return reference.text.replace("def attend(", "def attend(" * (number + 2), 1)
    return reference.text.replace("    scores = keys @ query", "    while True:\n        query = query * 1\n", 1)


def hand_in(folder: Path) -> dict[str, list[Path]]:
    """The submissions, a folder each, by their kinds."""
    reference = read_folder(ROOT / "solutions", "reference")[EX.stem]
    found: dict[str, list[Path]] = {}
    for kind, count in CLASS.items():
        for number in range(count):
            student = folder / f"{kind}-{number:03}"
            student.mkdir(parents=True)
            (student / EX.solution.name).write_text(written(kind, number, reference), encoding="utf-8")
            found.setdefault(kind, []).append(student)
    return found


def grade_all(submissions: Path, scratch: Path, numbers: Iterator[int]) -> float:
    """Seconds per submission to grade all of them with one command, its start included; the results must be right."""
    out = scratch / f"results-{next(numbers)}"
    command = [sys.executable, "-m", "grader", "grade", str(submissions), "--out", str(out), "--only", EX.label]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    spent = time.perf_counter() - started
    records = [json.loads(path.read_text()) for path in sorted((out / "students").glob("*.json"))]
    assert len(records) == len(list(submissions.iterdir()))
    for record in records:
        (exercise,) = record["result"]["exercises"]
        right = record["student"].startswith("right")
        assert (exercise["points"] == exercise["max_points"]) is right, record["student"]
    return spent / len(records)


def pytest_each(kinds: dict[str, list[Path]], kept: dict[str, float]) -> float:
    """Seconds per submission with a cold pytest process for each of some, as many at a time as ours may have."""

    def one(student: Path) -> float:
        started = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", f"tests/{EX.suite.name}", "--exercises", str(student)]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return time.perf_counter() - started

    total = 0.0
    for kind, students in kinds.items():
        if kind not in kept or kind != "looping":  # a loop without end takes what its limit says, each time
            with ThreadPoolExecutor(JOBS) as pool:
                kept[kind] = statistics.mean(pool.map(one, students[:SAMPLE]))
        total += len(students) * kept[kind] / JOBS
    return total / sum(map(len, kinds.values()))


def sandbox_share(repeats: int) -> tuple[float, float, float]:
    """Milliseconds to begin and end a process with all layers around it, and with none; MiB of memory of its own."""
    level = levels.probe()
    layered, plain = ForkServer(level), ForkServer(level.without(*level.layers))
    private: list[float] = []

    def spent(server: ForkServer) -> float:
        started = time.perf_counter()
        process = server.launch(Allowance())
        opened = time.perf_counter() - started
        private.append(_private_memory(process._handle.pid))
        started = time.perf_counter()
        process.end("wall")
        return (opened + time.perf_counter() - started) * 1e3

    try:
        ours, theirs = in_turn(lambda: spent(layered), lambda: spent(plain), repeats)
    finally:
        layered.close()
        plain.close()
    return ours, theirs, max(private)


def _private_memory(pid: int) -> float:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("Private_")) / 1024


def rows(runs: int) -> Iterator[Row]:
    """The class; the same without the loops, which are a matter of limits; what the sandbox costs."""
    if levels.probe().name != "full":
        return
    with tempfile.TemporaryDirectory() as scratch:
        submissions, numbers, kept = Path(scratch) / "class", itertools.count(), dict[str, float]()
        kinds = hand_in(submissions)
        ours, theirs = in_turn(
            lambda: grade_all(submissions, Path(scratch), numbers), lambda: pytest_each(kinds, kept), runs, warm_up=0
        )
        note = f"{sum(CLASS.values())} submissions, {JOBS} at a time; theirs: a pytest process each; at least 20x"
        yield Row("grade-throughput", ours, theirs, "s", runs, note)
        looping = kinds.pop("looping")
        for student in looping:
            shutil.rmtree(student)
        ours, theirs = in_turn(
            lambda: grade_all(submissions, Path(scratch), numbers), lambda: pytest_each(kinds, kept), 1, warm_up=0
        )
        yield Row("grade-throughput, no loops", ours, theirs, "s", 1, f"without the {len(looping)} that never end")
    layered, plain, mebibytes = sandbox_share(100)
    note = f"a process with all layers takes {layered:.1f} ms, one with none {plain:.1f}; under 10 ms"
    yield Row("sandbox, its own share", layered - plain, None, "ms", 100, note)
    yield Row("sandbox, private memory", mebibytes, None, "MiB", 100, "the most of any process; at most 16")
