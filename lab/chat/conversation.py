"""A conversation with a chat model: what was said as tokens, a cache that keeps up, and answers token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lab.chat.published import Card
from lab.errors import LabError
from lab.pieces import Pieces

Message = dict[str, str]  # "role" and "content"


def build(pieces: Pieces, card: Card, weights: dict[str, Tensor]) -> nn.Module:
    """The learner's Llama with published weights, whose queries and keys are brought to pairs of halves.

    Raises:
        LabError: the weights do not fit the model.
    """
    sizes = card.sizes
    model: nn.Module = pieces.llama.Llama(pieces.llama.LlamaConfig(**sizes))
    state = dict(weights)
    for name, weight in weights.items():
        for part, heads in (("q_proj", sizes["n_heads"]), ("k_proj", sizes["n_kv_heads"])):
            if name.endswith(f"self_attn.{part}.weight"):
                state[name] = pieces.rope.halves_from_interleaved(weight, heads)
    try:
        pieces.llama.load_llama_weights(model, state)
    except ValueError as error:
        raise LabError(f"the checkpoint does not fit your Llama: {error}") from error
    return model.eval()


class Words:
    """Text to ids and back: byte-level merges, digits one by one, special tokens as they are written."""

    def __init__(self, card: Card) -> None:
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

        vocab = {token: number for number, token in enumerate(card.tokens)}
        merges = [tuple(merge.split(" ", 1)) for merge in card.merges]
        self._tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))  # type: ignore[arg-type]
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        self._tokenizer.decoder = decoders.ByteLevel()
        special = [card.tokens[number] for number in card.special]
        self._tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])

    def encode(self, text: str) -> list[int]:
        """The ids of a text; special tokens in it become their ids."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def decode_all(self, ids: Sequence[int]) -> str:
        """The text of some ids, special tokens as they are written."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))


class Template:
    """How messages become one text: the model's own template, which can reach nothing but them."""

    def __init__(self, source: str) -> None:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self._template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(source)

    def render(self, messages: Sequence[Message], answering: bool = True) -> str:
        """The messages as one text; if `answering`, up to where the next answer begins."""
        return self._template.render(messages=list(messages), add_generation_prompt=answering)


@dataclass(frozen=True)
class Step:
    """A token of an answer."""

    token: int
    text: str  # what is to be printed now; empty while a character is not whole
    chance: float
    rivals: tuple[tuple[int, float], ...]  # the five likeliest tokens, with their probabilities


class Conversation:
    """Keeps what was said, and a cache of all of it that went through the model.

    Args:
        pieces: whose `KVCache` and `next_token_probs` are used.
        model: the Llama.
        card: its tokens and its template.
        system: what the model is told about its role; empty leaves it to the template.
        seed: where all chance comes from.
    """

    def __init__(self, pieces: Pieces, model: nn.Module, card: Card, system: str = "", seed: int = 0) -> None:
        self.pieces, self.model, self.end = pieces, model, card.end
        self.words, self.template = Words(card), Template(card.template)
        self.longest: int = card.sizes["context_length"]
        self.messages: list[Message] = [{"role": "system", "content": system}] if system else []
        self.generator = torch.Generator().manual_seed(seed)
        self.cache: Any = pieces.cache.KVCache()
        self.ids: list[int] = []  # all tokens of the conversation; the cache holds the first of them
        self.text = ""  # what they stand for, as the template writes it
        self.stopped = False

    def stop(self, *_: object) -> None:
        """End the answer after the token that is being computed; fit to be a signal's handler."""
        self.stopped = True

    @torch.no_grad()
    def answer(
        self, said: str, tokens: int, temperature: float, top_k: int | None, top_p: float | None
    ) -> Iterator[Step]:
        """Say something, and get the answer token by token; it ends by itself, after `tokens`, or when it is stopped.

        Raises:
            LabError: the conversation has become longer than the model can read.
        """
        self.messages.append({"role": "user", "content": said})
        whole = self.template.render(self.messages)
        if not whole.startswith(self.text):  # a template that writes earlier messages differently later
            self.cache, self.ids, self.text = self.pieces.cache.KVCache(), [], ""
        ids = self.ids + self.words.encode(whole[len(self.text) :])
        if len(ids) >= self.longest:
            self.messages.pop()
            raise LabError(
                f"the conversation has {len(ids):,} tokens, and the model reads {self.longest:,}: begin a new one"
            )
        self.stopped = False
        written: list[int] = []
        shown = ""
        for _ in range(min(tokens, self.longest - len(ids))):
            new = torch.tensor([(ids + written)[self.cache.held(0) :]])  # (1, T): what has not gone through yet
            logits, _ = self.model(new, cache=self.cache)  # (1, T, V)
            probs = self.pieces.sampling.next_token_probs(logits[:, -1], temperature, top_k, top_p)  # (1, V)
            token = int(torch.multinomial(probs, 1, generator=self.generator))
            plain = logits[0, -1].softmax(-1)
            best = plain.topk(min(5, len(plain)))
            if token == self.end:
                break
            written.append(token)
            text = self.words.decode(written)
            ready = "" if text.endswith("\N{REPLACEMENT CHARACTER}") else text[len(shown) :]
            shown += ready
            yield Step(
                token, ready, float(plain[token]), tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
            )
            if self.stopped:
                break
        content = self.words.decode(written)
        self.messages.append({"role": "assistant", "content": content})
        self.text = self.template.render(self.messages, answering=False)
        rest = self.text[len(whole + content) :] if self.text.startswith(whole + content) else ""
        self.ids = ids + written + self.words.encode(rest)
        self.text = self.text if rest else "\0"  # what no text begins with: all is read anew
