"""A worker that has imported everything before it is asked for anything.

On Linux it stays as it is and lets a copy of itself (a fork) serve each run, so that no run can leave anything behind
for the next. A run has a number, which comes with each request; it ends with the request `end`, or when its copy is
killed. Elsewhere, or when a library has started a thread (a fork takes none of them along, and may wait for one for
ever), it serves one run itself, and its parent starts the next worker.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
from typing import TextIO

from grader.content.syllabus import load
from grader.workers.here import Checker
from grader.workers.process import kill_group
from grader.workers.serving import answered, claim, send, streams

ONCE = "--once"  # serve one run and no more, as where forks are not safe


def warm_up(checker: Checker) -> None:
    """Import all suites and the reference, and what torch itself only loads when it is first used."""
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)  # before any operation: a fork of a process with OpenMP threads hangs
        with contextlib.suppress(ImportError):
            weight = torch.zeros(2, requires_grad=True)
            torch.autograd.backward(weight * weight, torch.ones(2))  # loads sympy
            torch.optim.SGD([weight], lr=0.1).step()  # loads torch._dynamo
    for entry in load():
        with contextlib.suppress(Exception):  # a suite that is broken says so when its exercise is graded
            checker.prepare(entry.suite, entry.stem)


def can_fork() -> bool:
    """Return whether a copy of this process is sure to work: on Linux, as long as it has a single thread."""
    return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208


def serve_forks(checker: Checker, requests: TextIO, answers: TextIO) -> None:
    """Give each run a copy of this process, one at a time, and tell the parent how the copy ended."""
    if sys.platform != "linux":
        raise NotImplementedError("only Linux forks safely after torch has been loaded")
    over = 0
    for line in requests:
        try:
            run = json.loads(line)["run"]
        except ValueError:  # the rest of a request that a copy was reading when it was killed
            continue
        if run == over:  # its copy was killed before it had read this
            continue
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)  # so that it can be killed with all that it starts
            claim()
            send(answers, {"copy": os.getpid()})
            serve_run(checker, line, requests, answers)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        kill_group(child)
        over = run
        send(answers, {"ended": os.waitstatus_to_exitcode(status)})


def serve_run(checker: Checker, line: str, requests: TextIO, answers: TextIO) -> None:
    """Answer a run's requests, of which `line` is the first, until it ends."""
    while line:
        if json.loads(line)["do"] == "end":
            return
        send(answers, answered(checker.answer, line))
        line = requests.readline()


def main() -> None:
    """Warm up, say so, and serve until stdin closes."""
    requests, answers = streams()
    checker = Checker()
    warm_up(checker)
    forks = can_fork() and ONCE not in sys.argv[1:]
    send(answers, {"ready": True, "forks": forks})
    if forks:
        serve_forks(checker, requests, answers)
    else:
        serve_run(checker, requests.readline(), requests, answers)


if __name__ == "__main__":
    main()
