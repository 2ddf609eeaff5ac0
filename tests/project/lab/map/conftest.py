"""Maps of small models that were drawn at random, beside what PyTorch says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from lab import runs
from lab.corpora import Corpus
from lab.map.pack import Packed, pack
from lab.pieces import Pieces, open_pieces
from lab.reversal import ReverseTask
from lab.runs import Run
from lab.tasks import TEXT
from lab.text import TextTask

CORPUS = "the cat sat on the mat, Größe 東京 ☂!\n" * 60
HISTORY = [
    {"step": 5, "train_loss": 3.1, "val_loss": 3.0, "sample": "the ct"},
    {"step": 10, "train_loss": 2.0, "val_loss": 2.1, "sample": "the cat s"},
]
SIZES = {"context_length": 16, "d_model": 24, "n_heads": 3, "n_layers": 2}
LLAMA = {"n_heads": 4, "n_kv_heads": 2, "d_ff": 40}
STATE = {"step": 10, "history": HISTORY}


@pytest.fixture(scope="session")
def pieces() -> Iterator[Pieces]:
    """The reference's pieces."""
    with open_pieces(None) as opened:
        yield opened


def strong(model: nn.Module, seed: int) -> nn.Module:
    """Draw weights that are large enough for a model to have opinions."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.3 if "embedding" in name else 1.2 / parameter.size(1) ** 0.5)
        else:
            nn.init.normal_(parameter, mean=float("norm" in name and name.endswith("weight")), std=0.1)
    return model.eval()


@pytest.fixture(scope="session")
def text_run(
    pieces: Pieces, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[TextTask, Any, Run, Packed]]:
    """Make a run of a text with a model of given sizes, and pack it: the task, the model, the run, what was packed."""

    def make(
        merges: int = 0, seed: int = 0, architecture: str = "gpt", **sizes: Any
    ) -> tuple[TextTask, Any, Run, Packed]:
        chosen = (SIZES | LLAMA if architecture == "llama" else SIZES) | sizes
        tokenizer = (
            pieces.tokenizers.BPETokenizer.train(CORPUS, 256 + merges)
            if merges
            else pieces.tokenizers.CharTokenizer(CORPUS)
        )
        config = vars(pieces.training.TrainConfig(steps=10, seed=0))
        corpus = Corpus("cats", "cats", CORPUS)
        task = TEXT[architecture](pieces, corpus, tokenizer, chosen, config, torch.device("cpu"))
        model = strong(task.new_model(), seed)
        about = {
            "task": "text",
            "architecture": architecture,
            "recipe": config,
            "model": chosen,
            "pieces": {"exercises": None, "borrowed": []},
        }
        run = runs.create(tmp_path_factory.mktemp("runs"), "cats", "cats", about)
        return task, model, run, pack(task, model, run, STATE)

    return make


@pytest.fixture(scope="session")
def word_run(pieces: Pieces, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Packed]:
    """A model of the reversal with weights at random, and what was packed of it."""
    sizes = {"d_model": 16, "n_heads": 2, "n_layers": 2, "d_ff": 32}
    config = vars(pieces.training.TrainConfig(steps=10, seed=0))
    task = ReverseTask(pieces, ["word"], sizes, config, torch.device("cpu"))
    model = strong(task.new_model(), 1)
    about = {"task": "reverse", "recipe": config, "model": sizes, "pieces": {"exercises": None, "borrowed": []}}
    run = runs.create(tmp_path_factory.mktemp("runs"), "words", "words", about)
    return model, pack(task, model, run, STATE)


def attention_weights(model: Any, ids: torch.Tensor) -> list[list[float]]:
    """The weights of each block's attention for (1, T) ids, flat, by hooks."""
    seen: list[list[float]] = []

    def look(module: Any, args: Any, kwargs: Any, came: Any) -> None:
        if hasattr(module, "n_kv_heads"):
            weights = grouped_weights(module, args[0], came)
        else:
            weights = type(module).forward(module, *args, **{**kwargs, "return_weights": True})[1]
        seen.append(weights.flatten().tolist())

    handles = [block.attention.register_forward_hook(look, with_kwargs=True) for block in model.blocks]
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    return seen


def grouped_weights(attention: Any, x: torch.Tensor, came: torch.Tensor) -> torch.Tensor:
    """What a grouped-query attention, which shows no weights, has attended with: computed anew, another way.

    Pairs are turned as complex numbers. That the weights are those that it used is seen in what came out of it.

    Args:
        attention: of exercise 20.
        x: (1, T, D) what it was given.
        came: (1, T, D) what it made of that.

    Returns:
        (H, T, T)
    """
    length, heads, shared = x.size(1), attention.n_heads, attention.n_kv_heads
    q, k, v = (
        projection(x[0]).unflatten(1, (count, -1)).transpose(0, 1).double()  # (heads, T, d)
        for projection, count in ((attention.q_proj, heads), (attention.k_proj, shared), (attention.v_proj, shared))
    )
    half = q.size(-1) // 2
    angles = torch.arange(length)[:, None] * attention.base ** (-torch.arange(half, dtype=torch.float64) / half)

    def turned(pairs: torch.Tensor) -> torch.Tensor:
        return torch.complex(pairs[..., :half], pairs[..., half:]) * torch.polar(torch.ones_like(angles), angles)

    group = torch.arange(heads) // (heads // shared)
    scores = (turned(q) @ turned(k)[group].transpose(1, 2).conj()).real / (2 * half) ** 0.5  # (H, T, T)
    weights = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -torch.inf).softmax(-1)
    mixed = (weights @ v[group]).transpose(0, 1).flatten(1)  # (T, D)
    torch.testing.assert_close(attention.out_proj(mixed.float()), came[0], atol=1e-4, rtol=1e-4)
    return weights
