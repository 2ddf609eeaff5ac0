"""The same units of work on the workers of a Dask cluster that runs already (an extra)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import Any

from grader.errors import GraderError
from grader.staff.batch.record import Record
from grader.staff.batch.run import TRIES
from grader.staff.batch.unit import Task, grade_submission
from grader.written import Written

CONNECT_LIMIT = "30s"


class ClusterPool:
    """Runs units on a cluster. A unit whose worker dies runs again on another one."""

    def __init__(self, address: str) -> None:
        """
        Raises:
            GraderError: Dask is not installed, or there is no cluster at the address.
        """
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError:
            raise GraderError(
                "A cluster needs Dask, which is not installed: .venv/bin/pip install -c constraints.txt -e '.[cluster]'"
            ) from None
        try:
            self._client = distributed.Client(address, timeout=CONNECT_LIMIT)
        except (OSError, ValueError) as error:
            raise GraderError(f"There is no cluster at {address}: {str(error) or 'no answer'}") from None
        self._executor: Executor = self._client.get_executor(pure=False, retries=TRIES)

    @property
    def slots(self) -> int:
        """Return how many units run at the same time."""
        return int(sum(self._client.nthreads().values()))

    def submit(self, student: str, written: Written, task: Task, notes: Sequence[str]) -> Future[Record]:
        """Begin with a unit."""
        return self._executor.submit(grade_submission, student, written, task, notes)

    def close(self) -> None:
        """Leave the cluster; its workers go on."""
        self._executor.shutdown(wait=False)
        self._client.close()
