"""The capstone with a model of its own sizes, a subclass of the tokenizer, and the split cut in the text.

Good for a slow machine: 96 wide and three layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import ex02_tokenizers, ex13_gpt, ex14_training, ex15_sampling


class Characters(ex02_tokenizers.CharTokenizer):
    """A character tokenizer that can make tensors."""

    def tensor(self, text: str) -> Tensor:
        return torch.as_tensor(self.encode(text), dtype=torch.int64)


def build_tokenizer(text: str) -> Characters:
    return Characters(text)


def split_corpus(
    text: str, tokenizer: ex02_tokenizers.CharTokenizer, val_fraction: float = 0.1
) -> tuple[Tensor, Tensor]:
    if not (0.0 <= val_fraction <= 1.0):
        raise ValueError(f"val_fraction has to lie between 0 and 1, not {val_fraction}")
    tokens = torch.as_tensor(tokenizer.encode(text)).to(torch.int64)
    last = round(val_fraction * tokens.numel())
    train_part, val_part = torch.split(tokens, [tokens.numel() - last, last])
    if train_part.numel() < 2 or val_part.numel() < 2:
        raise ValueError(f"text of {tokens.numel()} tokens can't be split")
    return train_part, val_part


def build_model(
    vocab_size: int,
    context_length: int = 48,
    d_model: int = 96,
    n_heads: int = 3,
    n_layers: int = 3,
    dropout: float = 0.0,
) -> ex13_gpt.GPT:
    return ex13_gpt.GPT(ex13_gpt.GPTConfig(vocab_size, context_length, d_model, n_heads, n_layers, dropout=dropout))


def pick_device(wanted: torch.device | str) -> torch.device:
    """The device that is meant."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.device_count() else "cpu")


def train_language_model(
    text: str,
    config: ex14_training.TrainConfig,
    device: torch.device | str = "auto",
    on_step: Callable[[int, float], object] | None = None,
) -> tuple[ex13_gpt.GPT, Characters, list[dict[str, Any]]]:
    where, tokenizer = pick_device(device), build_tokenizer(text)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_model(tokenizer.vocab_size)
    model.to(where)
    known, unseen = split_corpus(text, tokenizer)
    rows = ex14_training.train(model, known.to(where), unseen.to(where), config, on_step)
    model.train(False)
    return model, tokenizer, rows


def complete(
    model: ex13_gpt.GPT,
    tokenizer: ex02_tokenizers.CharTokenizer,
    prompt: str,
    max_new_tokens: int,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> str:
    if len(prompt) == 0:
        raise ValueError(f"prompt={prompt!r}: write at least one character")
    ids = torch.tensor(tokenizer.encode(prompt)).view(1, -1).to(model.lm_head.weight.device)
    options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "generator": generator}
    new = ex15_sampling.generate(model, ids, max_new_tokens, **options)[0, ids.size(1) :]
    return prompt + tokenizer.decode(new.tolist())
