"""One file from the network, checked before anybody sees it."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from lab.errors import LabError
from lab.files import write_atomically


def fetch(url: str, target: Path, *, size: int, sha256: str, timeout: float = 30.0) -> bytes:
    """The bytes of `url`, from `target` if they are already there, else downloaded and kept there.

    The file appears at `target` whole and checked, or not at all.

    Raises:
        LabError: nothing could be downloaded, or what came is not the file it should be.
    """
    if target.is_file():
        content = target.read_bytes()
        if hashlib.sha256(content).hexdigest() == sha256:
            return content  # anything else there is left from another time: it is replaced below
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            content = bytes(answer.read(size + 1))  # one more than expected is enough to know that it is wrong
    except urllib.error.HTTPError as error:
        raise _no_download(url, f"the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise _no_download(url, f"{reason or type(error).__name__}") from error
    if len(content) != size:
        more = "more than " if len(content) > size else ""
        raise _no_download(url, f"{more}{min(len(content), size):,} bytes came instead of {size:,}")
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise _no_download(url, f"its SHA-256 is {found}, not {sha256}")
    write_atomically(target, content)
    return content


def _no_download(url: str, why: str) -> LabError:
    return LabError(
        f"could not download {url}: {why}.\n"
        "Nothing was kept. If you have the file, or any other text, name it with --text FILE; "
        "--corpus plays needs no network."
    )
