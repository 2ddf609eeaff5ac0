"""Where to train: CUDA, MPS or the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lab import launch
from lab.errors import LabError

CHOICES = ("auto", "cuda", "mps", "cpu")


def choose_device(wanted: str = "auto") -> torch.device:
    """The device to train on; "auto" takes CUDA, then MPS, then the CPU. Of several processes, each gets its own GPU.

    Raises:
        LabError: that device is not to be had on this machine.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        wanted = next(name for name, there in available.items() if there and (name != "mps" or launch.size() == 1))
    if launch.size() > 1 and wanted == "mps":
        raise LabError("--device mps: several processes can't share an Apple GPU; leave torchrun out, or --device cpu")
    if not available.get(wanted, False):
        names = ", ".join(name for name, there in available.items() if there)
        raise LabError(f"--device {wanted}: PyTorch sees no such device on this machine; there is {names} (or auto)")
    if launch.size() > 1 and wanted == "cuda":
        if (number := launch.local_rank()) >= torch.cuda.device_count():
            raise LabError(
                f"this is process {number + 1} on a machine with {torch.cuda.device_count()} GPUs: "
                "choose --nproc-per-node accordingly"
            )
        torch.cuda.set_device(number)
        return torch.device("cuda", number)
    return torch.device(wanted)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Let the same seed give the same numbers on the CPU, to the last digit, on several threads too.

    Otherwise threads add to the same rows of a gradient (that of `weight[ids]`) in the order in which they happen to
    come, and a sum of floats depends on its order. What has no such variant warns, and runs all the same.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def require_memory(needed: int, device: torch.device) -> None:
    """Refuse sizes that this computer can't hold, where that is known, before the system kills something for them.

    Args:
        needed: bytes, at the least.
        device: only the CPU's memory is looked at; CUDA says by itself when there is too little.

    Raises:
        LabError: there is less.
    """
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return
    if device.type == "cpu" and needed > there:
        raise LabError(
            f"training this model takes at least {needed / 2**30:,.0f} GiB of memory; "
            f"this machine has {there / 2**30:,.0f}: choose a smaller --width, --layers, --context or --batch-size"
        )
