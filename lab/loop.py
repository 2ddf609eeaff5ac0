"""Running a training to its end, or to the user's Ctrl-C: progress, checkpoints, the loss curve, a sample."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from lab.console import Meter, Screen
from lab.plots import loss_curve
from lab.runs import Run
from lab.training import Training

CHECKPOINT_SECONDS = 30.0  # what a power cut costs at most; Ctrl-C costs nothing


class Interrupted(Exception):
    """The user asked to stop; the state after the last whole step is saved."""

    def __init__(self, signum: int, step: int) -> None:
        super().__init__(f"stopped by signal {signum} after step {step}")
        self.signum = signum
        self.step = step


def run_training(training: Training, run: Run, screen: Screen) -> None:
    """Train to the end, with a checkpoint at every evaluation, every half minute and whatever stops it.

    Args:
        training: new, or restored from the run's checkpoint.
        run: where to keep it.
        screen: where to show it.

    Raises:
        Interrupted: by Ctrl-C or a request to terminate; the state is saved.
        Diverged: the loss is no longer a number; the last good checkpoint is kept.
    """
    if not training.team.leads:
        return follow(training)
    levels = training.task.levels()  # not when the user has pressed Ctrl-C and waits: counting takes a while
    told = len(training.history)
    saved = time.monotonic()
    run.save(training.state())
    try:
        with (
            stop_requests() as requests,
            Meter(screen, training.config.steps, training.step, training.task.tokens_per_step) as meter,
        ):
            training.team.requests = requests

            def tell() -> None:
                """Show the rows that are new, and keep what led to them."""
                nonlocal told, saved
                for row in training.history[told:]:
                    figures = training.task.figures(row)
                    meter.say(f"step {row['step']:>6,}  {figures}  learning rate {row['lr']:.1e}")
                    meter.say(f"{'':13}{in_a_line(training.sample(row['step']))}", style="dim")
                if len(training.history) > told or time.monotonic() - saved > CHECKPOINT_SECONDS:
                    told, saved = len(training.history), time.monotonic()
                    run.save(training.state())

            def after_step(loss: float) -> None:
                meter.show(training.step, loss)
                tell()
                stop_if_asked(training)

            if not training.finished:
                training.run(after_step)
                tell()
                run.save(training.state())
    except Interrupted:
        run.save(training.state())
        raise
    finally:
        draw(training, run, levels)


def follow(training: Training) -> None:
    """Train beside the process that shows and keeps it.

    Raises:
        Interrupted, Diverged: when that one does.
    """
    with stop_requests() as requests:
        training.team.requests = requests
        training.run(lambda _: stop_if_asked(training))


def stop_if_asked(training: Training) -> None:
    """End the training after this step, in all processes, if one of them was asked to.

    Raises:
        Interrupted: it was.
    """
    if training.team.stopping and not training.finished:
        raise Interrupted((training.team.requests or [signal.SIGTERM])[0], training.step)


def in_a_line(text: str, width: int = 100) -> str:
    r"""The beginning of a text, on one line; a slash stands for a line break.

    >>> in_a_line("ROMEO:\nAy me.", 12)
    'ROMEO: / Ay ...'
    """
    line = " / ".join(part for part in text.split("\n") if part)
    return line if len(line) <= width else line[:width].rstrip() + " ..."


def draw(training: Training, run: Run, levels: Mapping[str, float]) -> None:
    """Write the run's loss curve."""
    task = training.task
    title = f"{run.name}: {task.title}"
    loss_curve(run.folder / "loss.png", training.losses, training.history, levels, title, task.unit)


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list instead of breaking off at once; a second one does break off."""
    requests: list[int] = []

    def note(signum: int, _: FrameType | None) -> None:
        if requests:
            raise KeyboardInterrupt
        requests.append(signum)

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's business
        yield requests
        return
    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
