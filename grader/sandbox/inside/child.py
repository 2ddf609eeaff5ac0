"""The process in which code under test runs: it answers the judge's requests, knowing nothing but what they hold.

Each request brings its own text: the learner's sources first, then one probe after the other. What comes of it goes
back as plain data. Nothing here is trusted by the judge once the learner's code has begun to run.
"""

from __future__ import annotations

import base64
import faulthandler
import gc
import importlib
import marshal
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from grader.checks import ATTRIBUTES
from grader.probing.assembly import Assembly, Source
from grader.probing.outcome import Outcome, attempt, observe
from grader.probing.stopwatch import stopwatch
from grader.sandbox.inside import wire
from grader.sandbox.inside.nowhere import write_nowhere
from grader.sandbox.inside.shortcuts import prepare, take_away


def source_of(stem: str, path: str, text: str, origin: str) -> Source:
    """A source as it was sent: the learner's own as text, what is borrowed compiled."""
    if origin == "reference":
        return Source(stem, Path(path), "", "reference", marshal.loads(base64.b64decode(text)))
    return Source(stem, Path(path), text, "edited" if origin == "edited" else "learner")


class Child:
    """One exercise's code under test."""

    def __init__(self) -> None:
        self.code: Assembly | None = None
        self.stem = ""

    def answer(self, request: dict[str, Any]) -> Outcome:
        """Do what a request asks for."""
        return self.open(**request["open"]) if "open" in request else self.probe(**request["probe"])

    def open(
        self,
        stem: str,
        sources: dict[str, list[str]],
        forbids: list[str],
        operators: list[str],
        limit: float,
        libraries: list[str] | None = None,
        attributes: dict[str, list[str]] | None = None,
    ) -> Outcome:
        """Build the assembly, take away what is forbidden, and import the exercise."""
        self.stem = stem
        ATTRIBUTES.update(attributes or {})
        code = Assembly({name: source_of(name, *told) for name, told in sources.items()}, libraries)
        code.__enter__()
        self.code = code
        take_away(forbids, operators)
        write_nowhere()
        outcome = attempt(lambda: code.module(stem), code, stopwatch, limit)
        return Outcome(None, outcome.failure, outcome.printed, outcome.seconds)

    def probe(self, name: str, source: str, seed: int, limit: float) -> Outcome:
        """Run one probe; `source` holds it and what it needs."""
        assert self.code is not None
        exercise = self.code.exercise(self.stem)
        names: dict[str, Any] = {"__name__": "probe"}
        exec(compile(source, "<probe>", "exec", dont_inherit=True), names)
        return attempt(lambda: observe(names[name], exercise, seed), self.code, stopwatch, limit)


def serve(read_exactly: wire.ReadExactly, write: wire.Write) -> None:
    """Answer requests until there are no more."""
    faulthandler.enable(file=2)
    child = Child()
    while True:
        try:
            frame = wire.read(read_exactly, wire.REQUEST_LIMIT)
        except EOFError:
            return
        write(wire.pack_outcome(frame.id, child.answer(frame.head)))


def warm_up(names: Iterable[str] = ()) -> None:
    """Load what torch itself only loads when it is first used, with a single thread: forks of it come up at once.

    Args:
        names: further modules to import, such as one that needs files that it can't have later.
    """
    for name in names:
        with suppress(Exception):  # code under test gets the same error when it imports it
            importlib.import_module(name)
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)  # before any operation: a fork of a process with OpenMP threads hangs
    x = torch.ones(2, 3, requires_grad=True)
    torch.autograd.backward(x * x, torch.ones(2, 3))  # sympy
    for kind in (torch.optim.SGD, torch.optim.AdamW):
        kind([x], lr=0.1).step()  # torch._dynamo
    torch.einsum("ij,kj->ik", x, x)
    torch.func.vmap(lambda row: row * 2)(x)
    torch.linalg.inv(torch.eye(2))
    torch.manual_seed(0)
    torch.empty(2, device="meta").softmax(0)
    repr(x)
    gc.collect()
    gc.freeze()


def main(memory: int, cpu: int, warm: Iterable[str] = ()) -> None:
    """Serve by itself, without a fork server (where there is none): requests on stdin, answers on what was stdout."""
    from grader.sandbox.inside import limits

    requests, answers, null = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    sys.stdin = os.fdopen(os.dup(null), encoding="utf-8")
    warm_up(warm)
    prepare((), ())
    os.environ.clear()
    if sys.platform != "win32":
        limits.limit_resources(memory, cpu, 4096)
    wire.write_to(answers)(b"ready\n")
    serve(wire.read_from(requests), wire.write_to(answers))
