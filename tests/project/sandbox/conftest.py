"""A sandbox to attack, with layers that can be switched off one by one, and a look at what an attack leaves behind."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.probing.outcome import Outcome
from grader.sandbox import levels
from grader.sandbox.inside import wire
from grader.sandbox.launchers import ForkServer
from grader.sandbox.levels import Layer
from grader.sandbox.process import Allowance, Gone

PROBE = "def probe(ex, rng):\n    return ex.attack()\n"
HONEST = "def attack():\n    return 'honest work'\n"
LEVEL = levels.probe()

pytestmark = pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing))


@dataclass(frozen=True)
class Attack:
    """Code whose `attack()` returns "worked" when it has done harm, and the layers any of which stops it.

    In the code, SECRET is a file that must not be read, FOLDER one that must not be changed, PORT a TCP port that
    listens, JUDGE the judge's process id.
    """

    name: str
    code: str
    stopped_by: tuple[Layer, ...]
    memory: int = 1 << 30
    needs_root: bool = False

    def __str__(self) -> str:
        return self.name


def table(text: str) -> dict[str, str]:
    """Pieces of code by name, from a text in which `## name` stands before each of them."""
    pieces = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return {name: code.rstrip() + "\n" for name, code in zip(pieces[::2], pieces[1::2], strict=True)}


class Arena:
    """A fork server with some layers, and whatever an attack could be after."""

    def __init__(self, server: ForkServer, folder: Path, port: int) -> None:
        self.server = server
        self.level = server.level
        self.folder = folder
        self.secret = folder / "secret.txt"
        self.secret.write_text("the reference")
        self.port = port

    def run(
        self,
        code: str,
        without: tuple[Layer, ...] = (),
        memory: int = 1 << 30,
        limit: float = 10.0,
        cpu: float = 10.0,
        taken: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> Outcome:
        """Run code in a fresh process; what ends the process is a failure like any other.

        `taken` is what is off limits there: dotted names, and torch's operators.
        """
        for word, value in (("SECRET", str(self.secret)), ("FOLDER", str(self.folder))):
            code = code.replace(word, value)
        code = code.replace("PORT", str(self.port)).replace("JUDGE", str(os.getpid()))
        self.server.level = self.level.without(*without) if without else self.level
        process = self.server.launch(Allowance(memory=memory))
        request = {
            "stem": "attack",
            "sources": {"attack": ["attack.py", code, "learner"]},
            "forbids": list(taken[0]),
            "operators": list(taken[1]),
            "limit": limit,
        }
        try:
            for head in ({"open": request}, {"probe": {"name": "probe", "source": PROBE, "seed": 0, "limit": limit}}):
                frame = process.ask(head, min(limit, cpu))
                outcome = wire.unpack_outcome(frame, {"attack": 1000}, 0.0)
                if outcome.failure is not None:
                    break
            process.end("wall")
        except Gone as gone:
            raise Stopped(gone) from None
        except wire.WireError as error:
            process.end("protocol")
            raise Stopped(Gone("protocol", 0, str(error))) from None
        finally:
            self.server.level = self.level
        return outcome

    def escapes(self, attack: Attack, *without: Layer) -> bool:
        """Whether an attack does what it is after."""
        try:
            outcome = self.run(attack.code, without, attack.memory)
        except Stopped:
            return False
        return outcome.failure is None and outcome.value == "worked"

    def state(self) -> dict[str, object]:
        """What must be the same after an attack as before."""
        return {
            "files": {path.name: path.read_bytes() for path in sorted(self.folder.iterdir()) if path.is_file()},
            "names": sorted(path.name for path in self.folder.iterdir()),
            "mode": self.secret.stat().st_mode,
            "shared memory": sorted(path.name for path in Path("/dev/shm").iterdir()),
            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "processes": descendants(self.server._server.pid),
        }


class Stopped(Exception):
    """The process was ended, or ended by itself; `gone` says why."""

    def __init__(self, gone: Gone) -> None:
        super().__init__(f"{gone.cause} {gone.code}")
        self.gone = gone


def descendants(pid: int) -> set[int]:
    """The processes that a process has started, and those that these have started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    found: set[int] = set()
    while True:
        more = {child for child, parent in parents.items() if parent == pid or parent in found} - found
        if not more:
            return found
        found |= more


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="session")
def bare_server() -> Iterator[ForkServer]:
    """A fork server on the plain file system: every layer can be switched off."""
    missing = "; ".join(LEVEL.missing)
    if LEVEL.name != "full":
        pytest.skip(f"the sandbox is not whole here: {missing}")
    closed = levels._closed_folder() if os.geteuid() == 0 else None
    passing: tuple[Layer, ...] = ("passing",) if closed else ()
    layers = dict.fromkeys((*(layer for layer in LEVEL.layers if layer != "bubblewrap"), *passing))
    server = ForkServer(levels.Level("full", tuple(layers)))
    yield server
    server.close()


@pytest.fixture(scope="session")
def best_server(bare_server: ForkServer) -> Iterator[ForkServer]:
    """The best fork server that this machine has."""
    if "bubblewrap" not in LEVEL.layers:
        yield bare_server
        return
    server = ForkServer(LEVEL)
    yield server
    server.close()


@pytest.fixture
def bare(bare_server: ForkServer, tmp_path: Path, port: int) -> Arena:
    """An arena where every layer can be switched off."""
    (tmp_path / "arena").mkdir()
    return Arena(bare_server, tmp_path / "arena", port)


@pytest.fixture
def best(best_server: ForkServer, tmp_path: Path, port: int) -> Arena:
    """An arena with everything that this machine has."""
    (tmp_path / "best").mkdir()
    return Arena(best_server, tmp_path / "best", port)


def check_attack(attack: Attack, bare: Arena, best: Arena) -> None:
    """An attack fails, leaves nothing behind and harms nobody; without the layers that stop it, it works."""
    if attack.needs_root and os.geteuid() != 0:
        pytest.skip("only root could do this at all")
    for arena in (bare, best):
        arena.run(HONEST)
        before = arena.state()
        assert not arena.escapes(attack), f"{attack.name} works in the sandbox"
        assert arena.run(HONEST).value == "honest work", f"after {attack.name} the next one fares badly"
        assert arena.state() == before, f"{attack.name} leaves something behind"
    assert bare.escapes(attack, *attack.stopped_by, "user"), f"{attack.name} is no attack: it never works"
