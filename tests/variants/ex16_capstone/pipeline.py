"""The capstone as a class that holds the machine, behind plain functions; a subclass of GPT, and a seed of its own.

Good for keeping a run together: text, settings and device are one object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .ex02_tokenizers import BPETokenizer, CharTokenizer
from .ex13_gpt import GPT, GPTConfig
from .ex14_training import TrainConfig, train
from .ex15_sampling import generate

RECIPE = {"context_length": 64, "d_model": 128, "n_heads": 4, "n_layers": 4, "dropout": 0.0}


def build_tokenizer(text: str) -> CharTokenizer:
    return CharTokenizer("".join(sorted(set(text))))


def split_corpus(
    text: str, tokenizer: CharTokenizer | BPETokenizer, val_fraction: float = 0.1
) -> tuple[Tensor, Tensor]:
    if not 0 <= val_fraction <= 1:
        raise ValueError("val_fraction: " + repr(val_fraction))
    ids: Sequence[int] = tokenizer.encode(text)
    last = int(len(ids) * val_fraction)
    first = len(ids) - last
    if first < 2 or last < 2:
        raise ValueError(f"text gives {first} and {last} tokens; each part needs two")
    as_tensor = partial(torch.tensor, dtype=torch.int64)
    return as_tensor(ids[:first]), as_tensor(ids[first:])


class Model(GPT):
    """A GPT that knows its device."""

    @property
    def device(self) -> torch.device:
        return self.token_embedding.weight.device


def build_model(
    vocab_size: int,
    context_length: int = RECIPE["context_length"],
    d_model: int = RECIPE["d_model"],
    n_heads: int = RECIPE["n_heads"],
    n_layers: int = RECIPE["n_layers"],
    dropout: float = RECIPE["dropout"],
) -> Model:
    sizes = dict(zip(RECIPE, (context_length, d_model, n_heads, n_layers, dropout), strict=True))
    return Model(GPTConfig(vocab_size, **sizes))


@dataclass
class Pipeline:
    """A corpus on its way to a trained model."""

    text: str
    config: TrainConfig
    device: torch.device

    def run(self, on_step: Callable[[int, float], object] | None) -> tuple[Model, CharTokenizer, list[dict[str, Any]]]:
        tokenizer = build_tokenizer(self.text)
        parts = split_corpus(self.text, tokenizer)
        torch.manual_seed(self.config.seed + 1)
        model = build_model(tokenizer.vocab_size).to(self.device)
        history = train(model, *(part.to(self.device) for part in parts), self.config, on_step)
        return model.eval(), tokenizer, history


def train_language_model(
    text: str,
    config: TrainConfig,
    device: torch.device | str = "auto",
    on_step: Callable[[int, float], object] | None = None,
) -> tuple[Model, CharTokenizer, list[dict[str, Any]]]:
    choices = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    return Pipeline(text, config, torch.device(choices[0] if device == "auto" else device)).run(on_step)


@torch.no_grad()
def complete(
    model: GPT,
    tokenizer: CharTokenizer | BPETokenizer,
    prompt: str,
    max_new_tokens: int,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> str:
    ids = tokenizer.encode(prompt)
    if not ids:
        raise ValueError("the prompt holds no token")
    start = torch.tensor(ids, device=next(iter(model.parameters())).device)
    (text,) = generate(model, start[None], max_new_tokens, temperature, top_k, top_p, generator).tolist()
    return tokenizer.decode(text)
