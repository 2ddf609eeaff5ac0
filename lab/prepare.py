"""From a text to its tokens, for a new run and for one that is there already."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lab import large
from lab.corpora import Corpus
from lab.errors import LabError
from lab.large import LargeCorpus
from lab.pieces import Pieces
from lab.runs import Run

VAL_FRACTION = 0.1
COUNTED, MEASURED = 4_000_000, 500_000  # tokens of a large text: n-grams are counted in some, losses measured on others
_BEGINNING = 2000  # characters whose tokens identify a tokenizer


@dataclass(frozen=True)
class Prepared:
    """A corpus in tokens: one part to learn from, one that is held out."""

    tokenizer: Any
    train_tokens: Tensor
    val_tokens: Tensor
    train_text: str
    val_text: str
    measured: Tensor  # the tokens of val_text: all that is held out, or the beginning of it

    @property
    def tokens_per_character(self) -> float:
        """1 for a tokenizer of characters, less for one that merges; turns a loss per token into one per character."""
        return len(self.measured) / max(len(self.val_text), 1)


def check_length(corpus: Corpus, context_length: int) -> None:
    """Refuse a text whose held-out part is too short for one window, before any time is spent on it.

    Raises:
        LabError: the text is too short.
    """
    needed = int((context_length + 2) / VAL_FRACTION)
    if corpus.characters < needed:
        raise LabError(
            f"{corpus.source}: {corpus.characters:,} characters are too few. {VAL_FRACTION:.0%} of a text is held out, "
            f"so a context of {context_length:,} needs at least {needed:,}; name a longer text or a smaller --context"
        )


def tokenize(pieces: Pieces, corpus: Corpus, context_length: int, tokenizer: Any = None) -> Prepared:
    """Tokenize a corpus and hold a part of it out, by exercise 16, with a given tokenizer or a new one.

    Raises:
        LabError: the text is too short for the context.
    """
    check_length(corpus, context_length)
    if tokenizer is None:
        tokenizer = pieces.capstone.build_tokenizer(corpus.text)
    split = pieces.capstone.split_corpus
    if isinstance(corpus, LargeCorpus):
        made = large.tokens(corpus, tokenizer, split, VAL_FRACTION)
        train_tokens, val_tokens = made.open().tensor_split([made.border])  # (N,), (M,)
    else:
        train_tokens, val_tokens = split(corpus.text, tokenizer, VAL_FRACTION)
    shortest = min(len(train_tokens), len(val_tokens))
    if shortest < context_length + 1:  # a tokenizer that merges makes fewer tokens than there are characters
        raise LabError(
            f"{corpus.source}: a part of the text has only {shortest:,} tokens, and a context of {context_length:,} "
            f"needs {context_length + 1:,}; name a longer text or a smaller --context"
        )
    counted, measured = train_tokens, val_tokens
    if isinstance(corpus, LargeCorpus):
        counted, measured = train_tokens[-COUNTED:], val_tokens[:MEASURED]
    train_text, val_text = (tokenizer.decode(part.tolist()) for part in (counted, measured))
    return Prepared(tokenizer, train_tokens, val_tokens, train_text, val_text, measured)


def corpus_of(run: Run) -> Corpus:
    """The corpus of a run, from its own copy of the text.

    Raises:
        LabError: the copy was changed.
    """
    about = run.config["corpus"]
    corpus = Corpus(about["name"], about["source"], run.read("corpus.txt"))
    if corpus.sha256 != about["sha256"]:
        raise LabError(f"{run.folder / 'corpus.txt'} was changed since the run began; train a new run")
    return LargeCorpus.reopened(corpus, about) if "files" in about else corpus


def remember(tokenizer: Any, corpus: Corpus) -> dict[str, Any]:
    """Return what config.json says of a tokenizer: enough to build it again, and to see whether it is the same."""
    known = {
        "vocab_size": tokenizer.vocab_size,
        "fingerprint": fingerprint(tokenizer, corpus.text),
        "alphabet": corpus.alphabet,
    }
    if hasattr(tokenizer, "merges"):
        known["merges"] = [[left.hex(), right.hex()] for left, right in tokenizer.merges]
    return known


def tokenizer_of(pieces: Pieces, run: Run) -> Any:
    """The tokenizer that a run was trained with, built again.

    Raises:
        LabError: the exercises no longer give it.
    """
    text, known = run.read("corpus.txt"), run.config["tokenizer"]
    if "merges" in known:  # learning them again would take long
        merges = [(bytes.fromhex(left), bytes.fromhex(right)) for left, right in known["merges"]]
        tokenizer = pieces.tokenizers.BPETokenizer(merges)
    else:
        tokenizer = pieces.capstone.build_tokenizer(text)
    try:
        if tokenizer.vocab_size == known["vocab_size"] and fingerprint(tokenizer, text) == known["fingerprint"]:
            return tokenizer
    except (ValueError, KeyError):  # it can't even encode the text
        pass
    raise LabError(f"your tokenizer no longer gives the tokens that {run.name} was trained on; train a new run")


def fingerprint(tokenizer: Any, text: str) -> str:
    """A digest of the tokens of the text's beginning: equal for tokenizers that agree on it."""
    ids = ",".join(str(int(token)) for token in tokenizer.encode(text[:_BEGINNING]))
    return hashlib.sha256(ids.encode()).hexdigest()
