"""How this process was started: alone, or by torchrun as one of several, which say so in their environment."""

from __future__ import annotations

import os


def size() -> int:
    """Return how many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which one of them this is, from 0."""
    return int(os.environ.get("RANK", "0")) if size() > 1 else 0


def local_rank() -> int:
    """Which one of those on this machine it is, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if size() > 1 else 0
