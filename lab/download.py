"""One file from the network, checked before anybody uses it; what was broken off goes on where it stopped."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError

BLOCK = 1 << 20  # bytes


def fetch(
    url: str,
    target: Path,
    *,
    size: int,
    sha256: str,
    instead: str,
    timeout: float = 30.0,
    tell: Callable[[int], object] = lambda _: None,
) -> Path:
    """Download `url` to `target`, unless it is there already: the file appears there whole and checked, or not at all.

    What came before a connection broke off is kept beside it, in `target` + ".part", and the next call asks for the
    rest alone.

    Args:
        url: where it is.
        target: where it will be.
        size: how many bytes it has.
        sha256: their SHA-256, in hexadecimal digits.
        instead: what the user can do without a download, for the error's last line.
        timeout: seconds to wait for an answer.
        tell: called with the number of bytes that are there, as they come.

    Raises:
        LabError: it could not be downloaded, or what came is not the file that it should be.
    """
    if target.is_file() and digest(target) == sha256:
        return target  # anything else there is left from another time: it is replaced below
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")

    def failed(why: str, keep: bool = False) -> LabError:
        kept = part.stat().st_size if part.is_file() else 0
        if not keep or not kept:
            part.unlink(missing_ok=True)
            return LabError(f"could not download {url}: {why}.\nNothing was kept. {instead}")
        return LabError(
            f"could not download {url}: {why}.\n"
            f"{kept:,} of {size:,} bytes are there: the same command goes on from there. {instead}"
        )

    try:
        done = _receive(url, part, size, timeout, tell)
    except _Wrong as wrong:
        raise failed(str(wrong)) from wrong
    except urllib.error.HTTPError as error:
        raise failed(f"the server answered {error.code} {error.reason}", keep=error.code != 416) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise failed(f"{reason or type(error).__name__}", keep=True) from error
    if done < size:
        raise failed("the connection broke off", keep=True)
    found = digest(part)
    if found != sha256:
        raise failed(f"its SHA-256 is {found}, not {sha256}")
    part.replace(target)
    return target


class _Wrong(Exception):
    """What the server has is not the file."""


def _receive(url: str, part: Path, size: int, timeout: float, tell: Callable[[int], object]) -> int:
    """Append what is missing to the part; how many bytes it then has."""
    done = part.stat().st_size if part.is_file() else 0
    if done >= size:
        return done
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        if answer.status == 206:
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != done:
                raise _Wrong("the server sent another part than the one it was asked for")
            whole = match[2]
        else:  # it sends the file from its beginning, whatever it was asked for
            done, whole = 0, answer.headers.get("Content-Length", "*")
        if whole not in ("*", str(size)):
            raise _Wrong(f"the file there has {int(whole):,} bytes instead of {size:,}")
        with part.open("ab" if done else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                done += len(block)
                tell(done)
                if done > size:
                    raise _Wrong(f"the file there has more than {size:,} bytes")
    return done


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
