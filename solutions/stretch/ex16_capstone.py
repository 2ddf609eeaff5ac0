"""What solves the stretch goals of exercise 16."""

import math

import torch

from ex02_tokenizers import BPETokenizer, CharTokenizer
from ex13_gpt import GPT


def bits_per_character(model: GPT, tokenizer: CharTokenizer | BPETokenizer, text: str) -> float:
    """The surprise of a model at a text, whatever its tokens are."""
    ids, context = torch.tensor(tokenizer.encode(text)), model.config.context_length
    nats = 0.0
    with torch.no_grad():
        for begin in range(0, len(ids) - 1, context):
            y = ids[begin + 1 : begin + 1 + context]
            _, loss = model(ids[begin : begin + len(y)].unsqueeze(0), y.unsqueeze(0))
            assert loss is not None
            nats += loss.item() * len(y)
    return nats / math.log(2) / len(text)


def longest_copy(text: str, corpus: str) -> str:
    """The longest piece of a text that stands in a corpus."""
    best, begin = "", 0
    for end in range(1, len(text) + 1):
        while text[begin:end] not in corpus:
            begin += 1  # what ends here can't begin earlier
        if end - begin > len(best):
            best = text[begin:end]
    return best
