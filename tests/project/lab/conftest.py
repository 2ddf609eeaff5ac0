"""What the lab's tests share: a server on this machine."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator

import pytest


class Server:
    """Serves files by their path, from any byte on, and can be made to break off, to lie and to refuse.

    Attributes:
        files: what it serves, by path.
        announced: the length that it tells, if not the real one.
        tells_length: whether it tells one.
        status: its answer, if not 200 or 206.
        breaks_after: how many bytes of an answer it sends before the connection is closed.
        knows_ranges: whether it looks at the Range that is asked for.
        asked: the Range header of each request, in order.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.announced: int | None = None
        self.tells_length = True
        self.status: int | None = None
        self.breaks_after: int | None = None
        self.knows_ranges = True
        self.asked: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.headers["Range"])
                content = outer.files[self.path]
                wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
                start = int(wanted[1]) if wanted and outer.knows_ranges else 0
                rest = content[start:]
                partial = bool(wanted and outer.knows_ranges)
                self.send_response(outer.status or (206 if partial else 200))
                if outer.tells_length:
                    self.send_header("Content-Length", str(len(rest) if outer.announced is None else outer.announced))
                if partial:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.end_headers()
                self.wfile.write(rest[: outer.breaks_after])

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.HTTPServer(("127.0.0.1", 0), Handler)

    def url(self, path: str) -> str:
        """Where a file is."""
        return f"http://127.0.0.1:{self.http.server_port}{path}"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own."""
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()
