"""Texts that are too large for memory: the same tokens, made once, in pieces, and nothing of them held."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from lab import corpora, large, runs, texts
from lab.cli import main
from lab.console import Screen
from lab.errors import LabError
from lab.large import LargeCorpus, blocks
from lab.pieces import Pieces, open_pieces

LINES = ["the cat sat on the mat", "and the dog sat on the cat", "Zo\u00eb ate \u732b!", "", "x" * 300]
TINY = ["--context", "8", "--layers", "1", "--heads", "2", "--width", "8", "--batch-size", "3", "--steps", "4"]


@pytest.fixture(scope="module")
def pieces() -> Iterator[Pieces]:
    with open_pieces(None) as opened:
        yield opened


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is large, in blocks of 4,000 bytes."""
    for name, value in {"LARGE": 10_000, "BLOCK": 4000, "BEGINNING": 3000, "SHORTEST": 100, "EACH_SAVED": 2}.items():
        monkeypatch.setattr(large, name, value)
    monkeypatch.setattr(large, "WHERE", tmp_path / "tokens")


def lines(count: int, ends: str = "\n", seed: int = 0) -> str:
    rng = random.Random(seed)
    return "".join(rng.choice(LINES) + ends for _ in range(count))


def read(*paths: Path) -> LargeCorpus:
    corpus = texts.read(paths, Screen(plain=True))
    assert isinstance(corpus, LargeCorpus)
    return corpus


def tokens(pieces: Pieces, corpus: LargeCorpus, tokenizer: Any = None) -> large.Tokens:
    tokenizer = tokenizer or pieces.capstone.build_tokenizer(corpus.text)
    return large.tokens(corpus, tokenizer, pieces.capstone.split_corpus, 0.1)


# ---- several files ---------------------------------------------------------------------------------------------------


def test_several_files_and_folders_are_one_text(tmp_path: Path) -> None:
    (tmp_path / "all" / "deep").mkdir(parents=True)
    (tmp_path / "all" / ".hidden").mkdir()
    for name, content in {
        "b.txt": "two",
        "deep/a.txt": "three\r\n",
        "a.txt": "one\n",
        "c.md": "no",
        ".hidden/x.txt": "no",
    }.items():
        (tmp_path / "all" / name).write_bytes(content.encode())
    (tmp_path / "last.txt").write_text("four")
    corpus = texts.read([tmp_path / "all", tmp_path / "last.txt"], Screen())
    assert corpus.text == "one\ntwo\nthree\nfour"
    assert corpus.name == "a-and-3-more"
    assert texts.read([tmp_path / "all"], Screen()).name == "all"


def test_one_file_is_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("one\n")
    assert texts.read([tmp_path / "mine.txt"], Screen()) == corpora.from_file(tmp_path / "mine.txt")


def test_a_folder_without_texts_and_a_file_that_is_missing_are_refused(tmp_path: Path) -> None:
    for path, says in ((tmp_path, r"no \.txt file"), (tmp_path / "none.txt", "there is no such file")):
        with pytest.raises(LabError, match=says):
            texts.read([path], Screen())


# ---- reading in pieces -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", ""])
def test_the_pieces_of_a_text_are_the_text(ends: str, tmp_path: Path) -> None:
    """Whatever ends its lines, and if nothing does: no character and no line's end is cut in two."""
    (tmp_path / "a.txt").write_bytes("\ufeff".encode() + (lines(500, ends) + "end").encode())
    (tmp_path / "b.txt").write_bytes(("\U0001f600" * 5000).encode())
    corpus = read(tmp_path / "a.txt", tmp_path / "b.txt")
    found = list(blocks(corpus.files))
    whole = "".join(block.text for block in found)
    assert whole == lines(500, "\n" if ends else "") + "end\n" + "\U0001f600" * 5000
    assert len(found) > 5
    assert corpus.characters == len(whole)
    assert corpus.alphabet == "".join(sorted(set(whole)))
    assert whole.startswith(corpus.text[:3000])
    assert corpus.content == large.content(corpus.files)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("bad", "says"), [(b"\xe9", "is 0xe9"), (b"\0", "is zero"), (b"\xe7\x8c", "is 0xe7")])
def test_a_byte_that_is_no_text_is_named(bad: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc\n" * 5000 + bad)
    with pytest.raises(LabError, match=rf"a\.txt: byte 20,000 {says}"):
        read(tmp_path / "a.txt")


# ---- tokens ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def corpus(small: None, tmp_path: Path) -> LargeCorpus:  # noqa: ARG001
    (tmp_path / "a.txt").write_text(lines(1200), encoding="utf-8")
    return read(tmp_path / "a.txt")


def test_the_tokens_are_those_of_split_corpus(corpus: LargeCorpus, pieces: Pieces) -> None:
    text = lines(1200)
    tokenizer = pieces.capstone.build_tokenizer(text)
    train, val = pieces.capstone.split_corpus(text, tokenizer, 0.1)
    made = tokens(pieces, corpus)
    whole = made.open()
    assert whole.dtype == torch.int64
    assert torch.equal(whole, torch.cat([train, val]))
    assert abs(made.border - len(train)) <= large.SHORTEST


@pytest.mark.parametrize("fraction", [0.0999, 0.1, 0.11, 0.5, 0.9])
def test_the_border_is_where_it_should_be(fraction: float, corpus: LargeCorpus, pieces: Pieces) -> None:
    """Near the border of two blocks it is that."""
    tokenizer = pieces.capstone.build_tokenizer(corpus.text)
    made = large.tokens(corpus, tokenizer, pieces.capstone.split_corpus, fraction)
    assert abs(made.border - (1 - fraction) * made.total) <= large.SHORTEST + 1


def test_merges_stay_inside_the_pieces_and_spell_the_text(corpus: LargeCorpus, pieces: Pieces) -> None:
    tokenizer = pieces.tokenizers.BPETokenizer.train(corpus.text[:2000], 300)
    made = tokens(pieces, corpus, tokenizer)
    assert made.total < corpus.characters / 2
    assert tokenizer.decode(made.open().tolist()) == lines(1200)


def test_they_are_made_once(corpus: LargeCorpus, pieces: Pieces, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tokens(pieces, corpus)
    monkeypatch.setattr(large, "_make", lambda *_: pytest.fail("made again"))
    assert tokens(pieces, corpus) == first


def test_what_was_interrupted_goes_on(corpus: LargeCorpus, pieces: Pieces, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tokens(pieces, corpus).open().clone()
    for path in large.WHERE.iterdir():
        path.unlink()
    tokenizer = pieces.capstone.build_tokenizer(corpus.text)
    encode, seen = type(tokenizer).encode, 0

    def breaks(self: Any, text: str) -> list[int]:
        nonlocal seen
        seen += 1
        if seen == 5:  # the first call is for the fingerprint; two blocks are noted then, a third is not
            raise KeyboardInterrupt
        ids: list[int] = encode(self, text)
        return ids

    monkeypatch.setattr(type(tokenizer), "encode", breaks)
    with pytest.raises(KeyboardInterrupt):
        tokens(pieces, corpus, tokenizer)
    noted = json.loads(next(large.WHERE.glob("*.json")).read_text())
    assert 0 < noted["through"] < corpus.size
    calls: list[int] = []

    def counts(self: Any, text: str) -> list[int]:
        calls.append(len(text))
        ids: list[int] = encode(self, text)
        return ids

    monkeypatch.setattr(type(tokenizer), "encode", counts)
    assert torch.equal(tokens(pieces, corpus, tokenizer).open(), whole)
    assert sum(calls[1:]) <= corpus.characters - noted["characters"]


def test_tokens_of_another_tokenizer_are_others(corpus: LargeCorpus, pieces: Pieces) -> None:
    chars = pieces.capstone.build_tokenizer(corpus.text)
    more = pieces.capstone.build_tokenizer(corpus.text + "%")
    assert tokens(pieces, corpus, chars).file != tokens(pieces, corpus, more).file


def test_a_text_that_has_changed_or_is_gone_is_refused(corpus: LargeCorpus, pieces: Pieces) -> None:
    path = corpus.files[0]
    path.write_text(lines(1200, seed=1), encoding="utf-8")
    with pytest.raises(LabError, match="has changed"):
        tokens(pieces, corpus)
    path.unlink()
    with pytest.raises(LabError, match="is gone"):
        tokens(pieces, corpus)


def test_a_disk_without_room_is_refused(corpus: LargeCorpus, pieces: Pieces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(LabError, match="room"):
        tokens(pieces, corpus)


# ---- training --------------------------------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Result]:
    def call(*arguments: Any) -> Result:
        where = ["--runs", str(tmp_path / "runs"), *(["--device", "cpu"] if arguments[0] == "train" else [])]
        return CliRunner().invoke(main, [str(argument) for argument in (*arguments, *where)], catch_exceptions=False)

    return call


@pytest.mark.usefixtures("small")
def test_a_large_text_trains_and_its_run_holds_no_copy(lab: Callable[..., Result], tmp_path: Path) -> None:
    """It is finished, and it writes, from the tokens alone, when the text is gone."""
    (tmp_path / "a.txt").write_text(lines(700), encoding="utf-8")
    (tmp_path / "b.txt").write_text(lines(500, seed=1), encoding="utf-8")
    options = ["train", "--reference", "--text", tmp_path / "a.txt", "--text", tmp_path / "b.txt", *TINY]
    result = lab(*options, "--name", "big")
    assert result.exit_code == 0, result.output
    assert "too large to be held in memory" in result.output
    assert (tmp_path / "runs" / "big" / "corpus.txt").stat().st_size < 5000
    (tmp_path / "a.txt").unlink()
    again = lab("train", "--resume", "big")
    assert again.exit_code == 0, again.output
    assert lab("sample", "--run", "big", "--prompt", "the \u732b", "--tokens", 3).exit_code == 0


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))
from lab.cli import main
main(sys.argv[2:], prog_name="lab")
"""


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="limits what Linux calls data: all memory that is no file's")
def test_200_megabytes_train_in_less_memory_than_their_tokens_take(tmp_path: Path, pieces: Pieces) -> None:
    """The text has 200 MB, its tokens 1.6 GB; the process may hold 1.2 GB, most of which is PyTorch's."""
    rng, text = random.Random(0), lines(20_000)
    path = tmp_path / "big.txt"
    with path.open("w", encoding="utf-8") as file:
        for _ in range(200_000_000 // len(text.encode())):
            file.write("".join(rng.choices(text.splitlines(keepends=True), k=20_000)))
    code = LIMITED.replace(
        "from lab.cli",
        f"from lab import large; large.WHERE = __import__('pathlib').Path({str(tmp_path)!r})\nfrom lab.cli",
    )
    arguments = [
        "train",
        "--reference",
        "--device",
        "cpu",
        "--plain",
        "--text",
        path,
        "--runs",
        tmp_path / "runs",
        *TINY,
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", code, str(1_200_000_000), *map(str, arguments)],
        cwd=runs.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tokenizing" in done.stdout
    sample = text * (20_000_000 // len(text))
    tokenizer = pieces.capstone.build_tokenizer(text)
    start = time.process_time()
    tokenizer.encode(sample)
    encode = (time.process_time() - start) * path.stat().st_size / len(sample.encode())
    print(f"{took:.1f} s of CPU time in all, {encode:.1f} s of encode alone")
    assert took < 2 * encode + 30  # PyTorch's start, the n-grams and the page
    assert np.memmap(next(tmp_path.glob("*.tokens")), dtype=np.int64, mode="r").max() < tokenizer.vocab_size
