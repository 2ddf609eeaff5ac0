"""The other end of a worker: a process that answers requests, one JSON document a line, until its stdin closes."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def streams() -> tuple[TextIO, TextIO]:
    """Take the pipes to the parent out of reach of code under test, and set the process up to be stopped."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    sys.stdin = os.fdopen(os.dup(null), encoding="utf-8")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable(file=2)
    claim()
    return requests, answers


_owner = 0  # the process that answers


def claim() -> None:
    """Be the process that answers: a copy that code under test makes of it (os.fork) is not."""
    global _owner
    _owner = os.getpid()


def send(answers: TextIO, answer: dict[str, Any]) -> None:
    """Write one answer."""
    if os.getpid() != _owner:
        os._exit(0)
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def answered(answer: Answer, line: str) -> dict[str, Any]:
    """Answer one request; what breaks in the engine itself is an answer, too."""
    try:
        return answer(json.loads(line))
    except Exception as error:
        return {"broken": f"{type(error).__name__}: {error}"}


def serve(answer: Answer) -> None:
    """Be such a process."""
    requests, answers = streams()
    for line in requests:
        send(answers, answered(answer, line))
