"""Verdicts that are known from an earlier run: whether an exercise passes, by a fingerprint of all that decides it."""

from __future__ import annotations

from grader.store import Store


class VerdictCache:
    """The verdicts that were given before, by fingerprint. Losing it costs time, nothing else."""

    def __init__(self, store: Store, name: str = "verdicts.json", size: int = 500) -> None:
        self._store = store
        self._name = name
        self._size = size
        known = store.read(name)
        self._known: dict[str, bool] = known if isinstance(known, dict) else {}

    def get(self, digest: str) -> bool | None:
        """Return what is known; None if nothing is."""
        return self._known.get(digest)

    def put(self, digest: str, passed: bool) -> None:
        """Keep a verdict; the oldest ones go."""
        self._known.pop(digest, None)
        self._known[digest] = passed
        self._known = dict(list(self._known.items())[-self._size :])
        self._store.write(self._name, self._known)
