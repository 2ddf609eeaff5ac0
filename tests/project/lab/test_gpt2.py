"""GPT-2 in the pieces of the exercises, on a tiny checkpoint of the published layout, beside the library's own."""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel

from lab import sampling
from lab.cli import main
from lab.errors import LabError
from lab.gpt2 import published, show
from lab.gpt2.tokens import PublishedTokenizer, byte_order, read_merges, split
from lab.pieces import Pieces, open_pieces
from tests.project.conftest import Folder
from tests.project.lab.conftest import Server

TEXT = "It's the cat that sat on the mat, isn't it? The café had 42 cats.\n\nThey'll see  the mat, and the hat!\n"
CONTEXT = 16


@dataclass(frozen=True)
class Checkpoint:
    """A tiny GPT-2: its folder, and the library's model and tokenizer to compare with."""

    folder: Path
    model: Any
    tokenizer: Tokenizer


@pytest.fixture(scope="module")
def pieces() -> Iterator[Pieces]:
    with open_pieces(None) as opened:
        yield opened


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Two layers of two heads, and forty merges, in files as they were published."""
    folder = tmp_path_factory.mktemp("gpt2")
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learned.train_from_iterator([TEXT * 9], trainers.BpeTrainer(vocab_size=296, initial_alphabet=alphabet))
    learned.model.save(str(folder))
    (folder / "vocab.json").unlink()
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    merges = [(left, right) for left, right in (line.split(" ") for line in lines)]
    signs = sorted(alphabet, key=ord)  # those of the visible bytes come first, as in the published vocabulary
    vocab = {token: at for at, token in enumerate([*signs, *(left + right for left, right in merges)])}
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(vocab) + 1,
        n_positions=CONTEXT,
        n_embd=128,
        n_layer=2,
        n_head=2,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        model.transformer.wte.weight.mul_(5)  # so that it is not undecided about everything
    state = {name.removeprefix("transformer."): tensor for name, tensor in model.state_dict().items()}
    del state["lm_head.weight"]
    state["h.0.attn.bias"] = torch.ones(1, 1, CONTEXT, CONTEXT).tril()  # a buffer that the published file holds
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    return Checkpoint(folder, model, tokenizer)


@pytest.fixture
def gpt2(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command with the reference; the tiny files count as the published ones."""
    for name in ("WEIGHTS", "MERGES"):
        pin = getattr(published, name)
        content = (checkpoint.folder / pin.name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setattr(published, name, replace(pin, size=len(content), sha256=digest))

    def call(*options: Any, folder: Path | None = checkpoint.folder) -> Result:
        where = ["--from", str(folder)] if folder else []
        arguments = ["gpt2", "--device", "cpu", *where, *map(str, options)]
        if "--exercises" not in options:
            arguments.append("--reference")
        return CliRunner().invoke(main, arguments, catch_exceptions=False)

    return call


def old_characters() -> list[str]:
    """Characters of which all versions of Unicode since 3.2 say the same."""
    old = unicodedata.ucd_3_2_0
    every = map(chr, range(0x110000))
    return [one for one in every if old.category(one) == unicodedata.category(one) not in ("Cn", "Cs")]


def test_a_text_is_cut_where_the_published_code_cuts_it() -> None:
    rng, characters = random.Random(0), old_characters()
    theirs = pre_tokenizers.ByteLevel(add_prefix_space=False)
    often = [*" \n\t\r'sre.l1_-dt\x85\xa0\u2003\x1c", "  ", "'s", "'ll", " don't", "'S"]
    for _ in range(500):
        text = "".join(rng.choice(characters if rng.random() < 0.3 else often) for _ in range(30))
        assert list(split(text)) == [text[start:end] for _, (start, end) in theirs.pre_tokenize_str(text)], ascii(text)


def test_the_bytes_have_the_published_order() -> None:
    """Of the signs that stand for them, in the order of their code points."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=ord)
    decoder = decoders.ByteLevel()
    order = byte_order()
    assert sorted(order) == list(range(256))
    for byte, sign in zip(order[:94], alphabet[:94], strict=True):
        assert decoder.decode([sign]) == chr(byte)
    assert order[188:222] == [*range(33), 127]


def test_the_learner_s_merges_give_the_published_ids(checkpoint: Checkpoint, pieces: Pieces) -> None:
    tokenizer = PublishedTokenizer(pieces, read_merges(checkpoint.folder / "merges.txt"))
    rng, characters = random.Random(1), old_characters()
    texts = [TEXT, "", " ", "the" * 40, *("".join(rng.choices(characters + [*TEXT] * 2000, k=30)) for _ in range(200))]
    for text in texts:
        ids = tokenizer.encode(text)
        assert ids == checkpoint.tokenizer.encode(text).ids, ascii(text)
        assert tokenizer.decode(ids) == text
    assert max(tokenizer.encode(TEXT)) >= 256
    assert tokenizer.decode([tokenizer.end, *tokenizer.encode("the")]) == "<|endoftext|>the"


def test_what_it_expects_and_its_loss_are_the_library_s(
    checkpoint: Checkpoint, gpt2: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text(TEXT, encoding="utf-8")
    result = gpt2("--prompt", "It's the cat", "--text", tmp_path / "mine.txt", "--tokens", 5, "--temperature", 0)
    assert result.exit_code == 0, result.output

    ids = checkpoint.tokenizer.encode("It's the cat").ids
    with torch.no_grad():
        probs = checkpoint.model(torch.tensor([ids])).logits[0].softmax(-1)  # (T, V)
    shown = [re.split(r" {2,}", line.strip()) for line in result.stderr.splitlines()]
    for at, likeliest in enumerate(probs):
        best = likeliest.topk(5)
        guesses = [
            f"{checkpoint.tokenizer.decode([token])!r} {100 * chance:.1f} %"
            for chance, token in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        after = ids[at + 1 : at + 2]  # none after the last
        came = [
            cell
            for token in after
            for cell in (repr(checkpoint.tokenizer.decode([token])), f"{100 * likeliest[token]:.1f} %")
        ]
        assert [*(came or ["?"]), *guesses] in shown

    whole = checkpoint.tokenizer.encode(TEXT).ids
    losses = []
    for start in range(0, len(whole) - 1, CONTEXT):
        x = torch.tensor([whole[start : start + CONTEXT]])
        with torch.no_grad():
            logits = checkpoint.model(x).logits[0].log_softmax(-1)  # (T, V)
        after = whole[start + 1 : start + CONTEXT + 1]
        losses += [-float(logits[at, token]) for at, token in enumerate(after)]
    assert len(losses) == len(whole) - 1
    nats = sum(losses) / len(losses)
    assert re.search(rf"per token  +{nats:.3f}", result.stderr)
    characters = len(checkpoint.tokenizer.decode(whole[1:]))
    assert re.search(rf"per character  +{sum(losses) / characters:.3f}", result.stderr)

    theirs = checkpoint.model.generate(
        torch.tensor([ids]), max_new_tokens=5, do_sample=False, pad_token_id=0, eos_token_id=None
    )
    assert result.stdout == checkpoint.tokenizer.decode(theirs[0].tolist(), skip_special_tokens=False) + "\n"


def test_of_a_long_text_the_beginning_is_measured_and_that_is_said(
    gpt2: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "WINDOWS", 2)
    (tmp_path / "mine.txt").write_text(TEXT * 9, encoding="utf-8")
    result = gpt2("--text", tmp_path / "mine.txt", "--tokens", 1)
    assert result.exit_code == 0, result.output
    assert re.search(rf"Its loss on the beginning of .*mine\.txt, {2 * CONTEXT} tokens", result.stderr), result.stderr


def test_the_files_are_downloaded_once_and_go_on_where_they_broke_off(
    checkpoint: Checkpoint,
    gpt2: Callable[..., Result],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("WEIGHTS", "MERGES"):
        pin = getattr(published, name)
        server.files[f"/{pin.name}"] = (checkpoint.folder / pin.name).read_bytes()
        monkeypatch.setattr(published, name, replace(pin, url=server.url(f"/{pin.name}")))
    monkeypatch.setattr(published, "WHERE", tmp_path / "data")
    server.breaks_after = 5000
    broken = gpt2("--prompt", "the", folder=None)
    assert broken.exit_code == 2
    assert "the same command goes on from there" in broken.stderr
    assert "--from DIR" in broken.stderr
    server.breaks_after = None
    result = gpt2("--prompt", "the", "--tokens", 3, folder=None)
    assert result.exit_code == 0, result.output
    assert "Downloading model.safetensors" in result.stderr
    assert server.asked == [None, None, "bytes=5000-"]
    again = gpt2("--prompt", "the", "--tokens", 3, folder=None)
    assert len(server.asked) == 3
    assert again.stdout == result.stdout == gpt2("--prompt", "the", "--tokens", 3).stdout


def test_a_learner_s_pieces_write_it_too(folder: Folder, gpt2: Callable[..., Result]) -> None:
    result = gpt2("--prompt", "the", "--tokens", 2, "--exercises", folder.path)
    assert result.exit_code == 0, result.output
    assert re.search(r"borrowed from the reference: .*ex02_tokenizers.*ex13_gpt", result.stderr)


def test_it_stops_at_the_end_of_a_text(gpt2: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "stream", lambda *_, **__: iter(["one", " two<|endoftext|>th", "ree"]))
    result = gpt2("--prompt", "the ")
    assert result.stdout == "the one two\n"


def test_a_larger_checkpoint_is_taken_and_that_is_said(
    gpt2: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merges are the same for all sizes of GPT-2."""
    monkeypatch.setattr(published, "WEIGHTS", replace(published.WEIGHTS, sha256="0" * 64))
    result = gpt2("--tokens", 1)
    assert result.exit_code == 0, result.output
    assert "not those of the published 124M checkpoint" in result.stderr


def damaged(checkpoint: Checkpoint, folder: Path, name: str, content: bytes | None) -> Path:
    """A copy of the folder with other bytes in a file, or without it."""
    folder.mkdir()
    for path in checkpoint.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("model.safetensors", None, "there is no model.safetensors in it; it comes from https"),
        ("merges.txt", None, "there is no merges.txt in it"),
        ("merges.txt", b"a b\n", "merges.txt is not the one that was published"),
        ("model.safetensors", b"", "is damaged"),
        ("model.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "is damaged"),
    ],
)
def test_files_that_are_not_gpt_2_s_are_refused(
    name: str, content: bytes | None, says: str, checkpoint: Checkpoint, gpt2: Callable[..., Result], tmp_path: Path
) -> None:
    result = gpt2(folder=damaged(checkpoint, tmp_path / "files", name, content))
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("wpe.weight"), "it has no wpe.weight"),
        (lambda state: state.pop("h.1.ln_2.bias"), "h.1.ln_2.bias"),
        (lambda state: state.update({"wte.weight": torch.zeros(300, 128)}), "do not belong together"),
        (lambda state: state.update({"h.0.mlp.c_fc.bias": torch.zeros(3)}), "h.0.mlp.c_fc.bias"),
    ],
)
def test_a_checkpoint_of_another_layout_is_refused(
    change: Callable[[dict[str, Any]], Any],
    says: str,
    checkpoint: Checkpoint,
    gpt2: Callable[..., Result],
    tmp_path: Path,
) -> None:
    state = published.read_weights(checkpoint.folder / "model.safetensors")
    change(state)
    save_file(state, tmp_path / "model.safetensors")
    result = gpt2(folder=damaged(checkpoint, tmp_path / "files", "model.safetensors", (tmp_path / "model.safetensors").read_bytes()))  # fmt: skip  # noqa: E501
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize("line", [b"a", b"a b c", b"\xc4\xa0 \xff", b" a"])
def test_a_line_that_is_no_merge_is_named(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "merges.txt").write_bytes(b"#version: 0.2\na b\n" + line + b"\n")
    with pytest.raises(LabError, match="line 3"):
        read_merges(tmp_path / "merges.txt")


def test_a_prompt_that_is_no_text_is_refused(gpt2: Callable[..., Result]) -> None:
    result = gpt2("--prompt", "a\udcff")
    assert result.exit_code == 2
    assert "which is not text" in result.stderr


def test_the_pins_are_whole() -> None:
    for pin in (published.WEIGHTS, published.MERGES):
        assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256)
        assert re.fullmatch(r"https://.+/resolve/[0-9a-f]{40}/.+", pin.url)
