"""What `make gpt2` does: the published model in the learner's pieces, what it expects, writes and thinks of a text."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import torch
from torch import Tensor, nn

from lab import runs, sampling
from lab.baselines import bits
from lab.cached import with_cache
from lab.console import Gauge, Screen, table
from lab.corpora import Corpus
from lab.devices import choose_device, require_memory
from lab.errors import LabError
from lab.gpt2 import published
from lab.gpt2.tokens import END, PublishedTokenizer, read_merges
from lab.pieces import Pieces, open_pieces, with_needs
from lab.session import announce_grading
from lab.task import Request

EXERCISES = tuple(dict.fromkeys((*with_needs("ex13_gpt"), "ex02_tokenizers", *with_needs("ex15_sampling"))))
HEAD = 64  # how wide a head is, in all sizes of GPT-2
LIKELIEST = 5
ROWS = 8  # places of the prompt in the table
WINDOWS = 8  # of a text that is measured: some minutes on a laptop for the smallest GPT-2


def show(
    folder: Path | None, exercises: Path | None, text: Corpus | None, request: Request, device: str, plain: bool
) -> None:
    """Load GPT-2 and let it write: that goes to stdout, everything about it to stderr.

    Args:
        folder: where the published files are; None downloads them.
        exercises: the learner's folder; None takes the reference.
        text: what to measure the loss on, if anything.
        request: the prompt, and how to go on from it.
        device: as --device says.
        plain: whether nothing may move on the screen.

    Raises:
        LabError: the files can't be had or are not GPT-2's, or the exercises can't make one.
    """
    screen = Screen(plain, file=sys.stderr)
    where = choose_device(device)
    for what, said in (("--prompt", request.prompt), ("--text", text.text if text else "")):
        refuse_surrogates(what, said)
    if folder is None:
        weights, merges = published.download(screen, published.WHERE)
    else:
        weights, merges = published.from_folder(screen, folder)
    require_memory(2 * weights.stat().st_size, where)
    look = announce_grading(screen, exercises)
    with open_pieces(exercises, EXERCISES, look) as pieces:
        screen.say(pieces.describe())
        tokenizer = PublishedTokenizer(pieces, read_merges(merges))
        model = build(pieces, published.read_weights(weights), tokenizer).to(where).eval()
        screen.say(
            f"GPT-2 with {sum(parameter.numel() for parameter in model.parameters()):,} parameters, from "
            f"{runs.shown(weights)}, on {where}.\n"
        )
        ids = tokenizer.encode(request.prompt) or [tokenizer.end]
        screen.say(expectations(model, tokenizer, ids) + "\n")
        click.echo(request.prompt, nl=False)
        for part in sampling.stream(
            pieces,
            with_cache(pieces, model),
            tokenizer,
            ids,
            request.tokens,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            seed=request.seed,
        ):
            click.echo(part.partition(END)[0], nl=False)
            if END in part:  # what follows would be another text
                break
        click.echo()
        if text is not None:
            screen.say("\n" + measured(screen, model, tokenizer, text))


def refuse_surrogates(what: str, text: str) -> None:
    """Refuse what is no text: a byte of the command line that is not UTF-8 arrives as half a character.

    Raises:
        LabError: there is one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LabError(f"{what}: character {error.start:,} is {text[error.start]!a}, which is not text") from error


def build(pieces: Pieces, state: Mapping[str, Tensor], tokenizer: PublishedTokenizer) -> nn.Module:
    """The GPT of exercise 13 in the sizes of a checkpoint, filled by `load_gpt2_weights`.

    Raises:
        LabError: the checkpoint does not fit the merges, or not the model.
    """
    vocab_size, width = state["wte.weight"].shape
    if vocab_size != tokenizer.vocab_size:
        raise LabError(
            f"merges.txt makes {tokenizer.vocab_size:,} tokens, and the checkpoint has {vocab_size:,}: "
            "they do not belong together"
        )
    layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("h."))
    sizes = (vocab_size, len(state["wpe.weight"]), width, max(1, width // HEAD), layers)
    config = pieces.gpt.GPTConfig(*sizes)  # of the context; F is 4 D, dropout is off and biases are on
    model: nn.Module = pieces.gpt.GPT(config)
    try:
        pieces.gpt.load_gpt2_weights(model, state)
    except ValueError as error:
        raise LabError(f"the checkpoint does not fit the model: {error}") from error
    return model


@torch.no_grad()
def expectations(model: nn.Module, tokenizer: PublishedTokenizer, ids: Sequence[int]) -> str:
    """A table: at the last places of a prompt, the five tokens that the model thought likeliest, and what came."""
    length: int = model.config.context_length  # type: ignore[union-attr, assignment]
    window = ids[-length:]
    logits, _ = model(torch.tensor([window], device=next(model.parameters()).device))  # (1, T, V)
    probs = logits[0, -ROWS:].float().softmax(-1).cpu()  # (R, V)
    came = [*window[-len(probs) :][1:], None]
    rows = []
    for place, token in enumerate(came):
        best = probs[place].topk(min(LIKELIEST, tokenizer.vocab_size))
        guesses = [
            f"{quoted(tokenizer, guess)} {share(chance)}"
            for chance, guess in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        actual = ("?", "") if token is None else (quoted(tokenizer, token), share(float(probs[place, token])))
        rows.append((*actual, *guesses))
    header = ("what came", "its chance", "likeliest", "second", "third", "fourth", "fifth")
    return table(rows, header[: len(rows[0])])


def quoted(tokenizer: PublishedTokenizer, token: int) -> str:
    """A token as a table shows it: in quotes, since most begin with a space."""
    return repr(tokenizer.decode([token]))


def share(chance: float) -> str:
    """A probability in percent.

    >>> share(0.1234), share(0.00001)
    ('12.3 %', '0.0 %')
    """
    return f"{100 * chance:.1f} %"


@torch.no_grad()
def measured(screen: Screen, model: nn.Module, tokenizer: PublishedTokenizer, text: Corpus) -> str:
    """A table: the model's loss on a text, per token and per character.

    Each token but the first is guessed once, in windows that share their last and first token.

    Raises:
        LabError: the text has fewer than two tokens.
    """
    length: int = model.config.context_length  # type: ignore[union-attr, assignment]
    tokens = tokenizer.stream(text.text)
    found = list(itertools.islice(tokens, WINDOWS * length + 1))
    whole = next(tokens, None) is None
    if len(found) < 2:
        raise LabError(f"{text.source}: one token is too few to measure a loss; name a longer text")
    ids = torch.tensor(found, device=next(model.parameters()).device)  # (N,)
    guessed, total = len(ids) - 1, 0.0
    with Gauge(screen, f"Reading {text.source}", guessed, unit="tokens") as gauge:
        for start in range(0, guessed, length):
            x, y = ids[start : start + length], ids[start + 1 : start + length + 1]
            x = x[: len(y)]  # (T,) each; the last window may be shorter
            _, loss = model(x[None], y[None])
            total += loss.item() * len(y)
            gauge.show(start + len(y))
    characters = len(tokenizer.decode(found[1:]))
    losses = {"token": total / guessed, "character": total / max(characters, 1)}
    rows = [(f"per {unit}", f"{nats:.3f}", f"{bits(nats):.3f}") for unit, nats in losses.items()]
    of = text.source if whole else f"the beginning of {text.source}"
    return f"Its loss on {of}, {guessed:,} tokens and {characters:,} characters:\n\n{table(rows, ('', 'nats', 'bits'))}"
