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
from lab.text import TextTask

CORPUS = "the cat sat on the mat, Größe 東京 ☂!\n" * 60
HISTORY = [
    {"step": 5, "train_loss": 3.1, "val_loss": 3.0, "sample": "the ct"},
    {"step": 10, "train_loss": 2.0, "val_loss": 2.1, "sample": "the cat s"},
]
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

    def make(merges: int = 0, seed: int = 0, **sizes: int) -> tuple[TextTask, Any, Run, Packed]:
        chosen = {"context_length": 16, "d_model": 24, "n_heads": 3, "n_layers": 2} | sizes
        tokenizer = (
            pieces.tokenizers.BPETokenizer.train(CORPUS, 256 + merges)
            if merges
            else pieces.tokenizers.CharTokenizer(CORPUS)
        )
        model = strong(pieces.capstone.build_model(tokenizer.vocab_size, **chosen), seed)
        config = vars(pieces.training.TrainConfig(steps=10, seed=0))
        corpus = Corpus("cats", "cats", CORPUS)
        task = TextTask(pieces, corpus, tokenizer, chosen, config, torch.device("cpu"))
        about = {"task": "text", "recipe": config, "model": chosen, "pieces": {"exercises": None, "borrowed": []}}
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
    """What each block's attention returns as weights for (1, T) ids, flat, by hooks."""
    seen: list[list[float]] = []

    def look(module: Any, args: Any, kwargs: Any, _: Any) -> None:
        seen.append(type(module).forward(module, *args, **{**kwargs, "return_weights": True})[1].flatten().tolist())

    handles = [block.attention.register_forward_hook(look, with_kwargs=True) for block in model.blocks]
    with torch.no_grad():
        model(ids)
    for handle in handles:
        handle.remove()
    return seen
