"""The capstone on bytes and merges, with keyword arguments throughout and its lists of tokens split before tensors.

Good for any text at all: bytes know no unknown character.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .ex02_tokenizers import BPETokenizer
from .ex13_gpt import GPT, GPTConfig
from .ex14_training import TrainConfig, train
from .ex15_sampling import generate

MERGES = 24


def build_tokenizer(text: str) -> BPETokenizer:
    return BPETokenizer.train(text, vocab_size=256 + MERGES)


def split_corpus(text: str, tokenizer: BPETokenizer, val_fraction: float = 0.1) -> tuple[Tensor, Tensor]:
    if val_fraction < 0 or val_fraction > 1:
        raise ValueError(f"val_fraction={val_fraction} is no fraction")
    ids = tokenizer.encode(text)
    cut = len(ids) - int(len(ids) * val_fraction)
    parts = ids[:cut], ids[cut:]
    if any(len(part) < 2 for part in parts):
        raise ValueError(f"the text has {len(ids)} tokens, too few for two parts")
    first, last = (torch.tensor(part, dtype=torch.long) for part in parts)
    return first, last


def build_model(vocab_size: int, **sizes: Any) -> GPT:
    return GPT(GPTConfig(vocab_size=vocab_size, **({"context_length": 64} | sizes)))


def train_language_model(
    text: str,
    config: TrainConfig,
    device: torch.device | str = "auto",
    on_step: Callable[[int, float], object] | None = None,
) -> tuple[GPT, BPETokenizer, list[dict[str, Any]]]:
    if str(device) == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = build_tokenizer(text=text)
    parts = [part.to(device=device) for part in split_corpus(text=text, tokenizer=tokenizer)]
    torch.manual_seed(config.seed)
    model = build_model(vocab_size=tokenizer.vocab_size).to(device=device)
    history = train(model=model, train_tokens=parts[0], val_tokens=parts[1], config=config, on_step=on_step)
    return model, tokenizer, history


def complete(
    model: GPT,
    tokenizer: BPETokenizer,
    prompt: str,
    max_new_tokens: int,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> str:
    if prompt == "":
        raise ValueError("an empty prompt gives the model nothing to go on from")
    where = model.final_norm.weight.device
    text = generate(
        model=model,
        ids=torch.tensor(tokenizer.encode(prompt), device=where).unsqueeze(0),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        generator=generator,
    )
    return tokenizer.decode(text.squeeze(0).tolist())
