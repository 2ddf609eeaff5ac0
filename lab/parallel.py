"""One training in several processes: each runs its share of every batch, and the gradients are averaged by PyTorch.

`torchrun --nproc-per-node=N -m lab train ...` starts N processes that differ in nothing but their rank. All of them
draw the same batches; rank 0 alone shows something and writes.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import IO, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lab import launch
from lab.errors import LabError

PATIENCE = timedelta(hours=12)  # the others wait while rank 0 tokenizes a large text


class Lost(LabError):
    """Another process of this training is gone."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Said by rank 1 too, since rank 0 may be the one that is gone."""
        if launch.rank() < 2:
            self.speak(file)


class Team:
    """The processes of a training, as one of them sees it; one alone is a team as well.

    Attributes:
        rank: which one this is, from 0.
        size: how many there are.
        requests: the signals by which this process was asked to stop.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self.requests: list[int] = []
        self._some_asked = False

    @property
    def leads(self) -> bool:
        """Whether this process shows and writes."""
        return self.rank == 0

    @property
    def stopping(self) -> bool:
        """Whether to stop after this step: all processes come to the same answer."""
        return self._some_asked if self.size > 1 else bool(self.requests)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let rank 0 do something before the others do it: what it leaves on the disk, they find there."""
        if self.size > 1 and not self.leads:
            try:
                dist.barrier()
            except RuntimeError as error:  # it has stopped, and said why
                raise LabError("rank 0 has stopped") from error
        yield
        if self.size > 1 and self.leads:
            dist.barrier()

    def told(self, text: str) -> str:
        """Return what rank 0 says, in all processes."""
        said = [text]
        if self.size > 1:
            dist.broadcast_object_list(said)
        return said[0]

    def shared(self, model: nn.Module) -> nn.Module:
        """The model as the loop of each process is given it."""
        return Shared(self, model) if self.size > 1 else model

    def total(self, share: Tensor) -> Tensor:
        """The sum of all processes' shares; on the way, each learns whether one was asked to stop."""
        both = torch.stack([share.detach().float(), share.new_tensor(float(bool(self.requests)), dtype=torch.float32)])
        dist.all_reduce(both)
        self._some_asked = bool(both[1] > 0)
        return both[0].to(share.dtype)

    @contextmanager
    def watched(self, where: str) -> Iterator[None]:
        """Say clearly that another process is gone, where PyTorch says that a connection was closed.

        Args:
            where: the run, to go on with.

        Raises:
            Lost: it is.
        """
        try:
            yield
        except RuntimeError as error:
            signs = ("gloo", "nccl", "connection closed", "connection reset", "process group")
            if self.size == 1 or not any(sign in str(error).lower() for sign in signs):
                raise
            raise Lost(
                "another process of this training is gone (killed, or out of memory), and the training ends with it. "
                f"The last checkpoint is kept: python -m lab train --resume {where} goes on from there, alone or "
                "under torchrun in any number of processes."
            ) from error


class Shared(nn.Module):
    """A model as the loop of one process of several sees it: called with a whole batch, it runs its share of that.

    The loss is that of the whole batch, and so are its gradients, as `DistributedDataParallel` averages them. The
    logits are those of the share.
    """

    def __init__(self, team: Team, model: nn.Module) -> None:
        super().__init__()
        self.team = team
        self.parallel = DistributedDataParallel(model)
        self.alone: Callable[..., Any] = model  # the same, without waiting for the others

    def __getattr__(self, name: str) -> Any:
        """Return what the loop asks of its model besides, such as `config`."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("alone"), name)

    def forward(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Logits (b, T, V) of the share, and the loss of the whole batch."""
        if y is None:
            logits, _ = self.alone(x)
            return logits, None
        size, weight = self.team.size, 1 / self.team.size
        if len(x) >= size:  # of a smaller batch, each runs the whole
            x_share, y_share = (whole.tensor_split(size)[self.team.rank] for whole in (x, y))
            weight = len(x_share) / len(x)
        else:
            x_share, y_share = x, y
        if torch.is_grad_enabled():
            with self.own_chance(x.device):
                logits, loss = self.parallel(x_share, y_share)
        else:
            logits, loss = self.alone(x_share, y_share)
        total = self.team.total(loss * weight)
        scaled = loss * (weight * size)  # the average of these over all processes is the total
        return logits, scaled + (total - scaled).detach()

    def own_chance(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return a context in which dropout drops something else in each process, as in the rows of a batch."""
        if not getattr(getattr(self, "config", None), "dropout", 0.0):
            return nullcontext()
        return self._chance(device)

    @contextmanager
    def _chance(self, device: torch.device) -> Iterator[None]:
        seed = int(torch.randint(2**62, ())) + self.team.rank  # drawn alike in all of them
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """The team of this process, for as long as the context lasts: alone, or as torchrun has started it."""
    if launch.size() == 1:
        yield Team()
        return
    # When a process is gone, torchrun asks the others to terminate. They notice that it is, and have something to say.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(launch.rank(), launch.size())
    finally:
        dist.destroy_process_group()
        signal.signal(signal.SIGTERM, before)
