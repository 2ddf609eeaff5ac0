"""chat: tokens that the published chat model writes in the Llama of exercise 22 in a second of one CPU.

What counts is the time after the first token, whose seconds go into reading the question. CPU seconds, so that other
work on the machine counts as little as it can.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import torch

from bench.measure import Row
from lab.chat.conversation import Conversation, build
from lab.chat.published import find_package, published
from lab.chat.show import EXERCISES
from lab.console import Screen
from lab.pieces import open_pieces

QUESTION, TOKENS = "Tell me the story of a lighthouse keeper and a whale.", 60


def rows(runs: int) -> Iterator[Row]:
    """One row, or none where the model is not installed."""
    if find_package() is None:
        print("chat: the chat model is not installed (make chat does that), so nothing was measured")
        return
    torch.set_num_threads(1)
    card, weights = published(Screen(plain=True))
    with open_pieces(None, EXERCISES) as pieces:
        model = build(pieces, card, weights)
        weights.clear()
        paces = []
        for _ in range(runs):
            talk = Conversation(pieces, model, card)
            marks = [time.process_time() for _ in talk.answer(QUESTION, TOKENS, 0.0, None, None)]
            paces.append((len(marks) - 1) / (marks[-1] - marks[0]))
        yield Row("chat: writing", statistics.median(paces), None, "tokens/CPU s", runs, "135M parameters, one thread")
