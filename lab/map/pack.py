"""What a page carries: a run's weights, tokenizer and history as plain data, and numbers to check the page by."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from grader.content.syllabus import load
from lab import sampling
from lab.errors import LabError
from lab.pieces import Pieces
from lab.reversal import BOS, EOS, FIRST, LONGEST, encode
from lab.runs import Run, rows_of
from lab.task import Task
from lab.text import TextTask

PARTS = Path(__file__).with_name("parts.toml")
LIMIT = 6_000_000  # bytes of a page whose weights keep all of their digits
WORDS = ("bird", "attention", "a")  # of the reversal, to begin with and to check by
TOLERANCE = {torch.float32: 1e-3, torch.float16: 3e-2}
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Packed:
    """The content of a page: what JavaScript reads, the weights as safetensors, and sentences for the top."""

    data: Mapping[str, Any]
    weights: bytes
    title: str
    facts: str
    provenance: str


def pack(task: Task[Any], model: nn.Module, run: Run, state: Mapping[str, Any]) -> Packed:
    """Pack a run.

    Args:
        task: what it is about, opened again.
        model: its model with the weights of its last checkpoint.
        run: the run.
        state: the checkpoint.

    Raises:
        LabError: the page can't show a model of this kind; the message says what it lacks.
    """
    model = model.to("cpu").eval()
    tensors = parameters(model)
    dtype = torch.float32 if 1.34 * sum(t.numel() * 4 for t in tensors.values()) < LIMIT else torch.float16
    weights = save({name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()})
    own = run.config["pieces"]["exercises"] is not None
    content = (
        text_page(task, model) if isinstance(task, TextTask) else reversal_page(model, run.config["model"]["n_heads"])
    )
    data = {
        "task": run.task,
        "parts": parts(task.pieces),
        "whose": "your own model" if own else "the reference's model",
        "learned": learned(task, run, rows_of(state)),
        **content,
    }
    data["check"]["tolerance"] = TOLERANCE[dtype]
    count = sum(tensor.numel() for tensor in tensors.values())
    digits = "" if dtype is torch.float32 else ", kept in this page with 16 bits each"
    last = state["history"][-1] if state["history"] else None
    loss = f" Held-out loss {last['val_loss']:.3f} nats per {task.unit}." if last else ""
    return Packed(
        data,
        weights,
        title=("Your transformer" if own else "The reference's transformer")
        + (" from a bird's eye" if run.task == "text" else " writes backwards"),
        facts=f"Run {run.name}: {task.title}. {count:,} parameters{digits}, after step {state['step']:,} of "
        f"{run.config['recipe']['steps']:,}.{loss}",
        provenance=task.pieces.describe(),
    )


def parameters(model: nn.Module) -> dict[str, Tensor]:
    """The numbers of a model by name; a table that two names share is there once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def parts(pieces: Pieces) -> dict[str, dict[str, str]]:
    """The parts of the machine: which exercise builds each, and whose it is in this run."""
    entries = {entry.stem: entry for entry in load()}
    found = {}
    for name, about in tomllib.loads(PARTS.read_text(encoding="utf-8")).items():
        entry = entries.get(about["exercise"])
        if entry is None:  # this copy of the project does not have it yet
            continue
        mine = pieces.exercises is not None and entry.stem not in pieces.borrowed
        whose = "yours" if mine else "the reference's" if pieces.exercises is None else "borrowed from the reference"
        found[name] = {"exercise": entry.label, "title": entry.title, "idea": about["idea"], "whose": whose}
    return found


def text_page(task: TextTask, model: nn.Module) -> dict[str, Any]:
    """The sizes of a GPT, its tokenizer, and a text with the logits that the model itself gives.

    Raises:
        LabError: it is no GPT of exercise 13.
    """
    config: Any = getattr(model, "config", None)
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters(model).items()}
    try:
        sizes = {
            "context_length": int(config.context_length),
            "d_model": int(config.d_model),
            "n_heads": int(config.n_heads),
            "n_layers": int(config.n_layers),
            "d_ff": shapes["blocks.0.feed_forward.up.weight"][0],
            "vocab_size": int(config.vocab_size),
        }
        expected = gpt_shapes(sizes)
        wrong = [name for name, shape in expected.items() if shapes.get(name) != shape]
    except (AttributeError, KeyError, TypeError):
        raise LabError("the map shows a GPT with the parts of exercise 13, and this model has other ones") from None
    if wrong:
        raise LabError(
            f"the map shows a GPT with the parts of exercise 13; in this model {wrong[0]} is "
            f"{shapes.get(wrong[0], 'missing')}, not {expected[wrong[0]]}"
        )
    start = sampling.encode_prompt(task.tokenizer, "", task.corpus.alphabet)
    begin = task.corpus.text[: sizes["context_length"] // 2].rsplit(" ", 1)[0] or task.corpus.alphabet[0]
    ids = list(task.tokenizer.encode(task.corpus.text))[-min(sizes["context_length"], 32) :]
    return {
        "config": {**sizes, "activation": "gelu_tanh", "norm_eps": 1e-5},
        "tokenizer": tokenizer_data(task.tokenizer),
        "alphabet": task.corpus.alphabet,
        "start": task.tokenizer.decode(start),
        "begin": begin,
        "check": {"ids": ids, "logits": told(logits_of(model, torch.tensor([ids]))[0])},
    }


def gpt_shapes(sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights that the page reads; biases of linear layers may be there or not."""
    wide, inside = sizes["d_model"], sizes["d_ff"]
    shapes: dict[str, tuple[int, ...]] = {
        "token_embedding.weight": (sizes["vocab_size"], wide),
        "position_embedding.weight": (sizes["context_length"], wide),
        "final_norm.weight": (wide,),
        "final_norm.bias": (wide,),
    }
    for block in (f"blocks.{i}" for i in range(sizes["n_layers"])):
        shapes |= {f"{block}.{norm}.{kind}": (wide,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{block}.attention.{projection}.weight"] = (wide, wide)
        shapes[f"{block}.feed_forward.up.weight"] = (inside, wide)
        shapes[f"{block}.feed_forward.down.weight"] = (wide, inside)
    return shapes


def tokenizer_data(tokenizer: Any) -> dict[str, Any]:
    """A tokenizer as the page reads it: its characters in the order of their ids, or its merges."""
    if hasattr(tokenizer, "merges"):
        return {"kind": "bytes", "merges": [[list(left), list(right)] for left, right in tokenizer.merges]}
    return {"kind": "characters", "characters": [tokenizer.decode([id]) for id in range(tokenizer.vocab_size)]}


def reversal_page(model: nn.Module, heads: int) -> dict[str, Any]:
    """The sizes of an encoder and decoder, and a word with the logits that the model itself gives.

    Raises:
        LabError: it is not the transformer of exercise 12.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters(model).items()}
    layers = sum(f"encoder.layers.{i}.self_attention.q_proj.weight" in shapes for i in range(len(shapes)))
    try:
        inside, wide = shapes["encoder.layers.0.feed_forward.up.weight"]
        post_norm = model.encoder.norm is None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise LabError("the map shows the transformer of exercise 12, and this model has other parts") from None
    if not post_norm:
        raise LabError("the map shows the post-norm transformer of exercise 12, and this model is pre-norm")
    src = encode(WORDS[:1])[:, : len(WORDS[0])]  # (1, S)
    ids = torch.tensor([[BOS, *src[0].flip(0).tolist()]])  # (1, S + 1)
    with torch.no_grad():
        logits = model(src, ids)[0]  # (S + 1, V)
    return {
        "config": {
            "d_model": wide,
            "n_heads": heads,
            "n_layers": layers,
            "d_ff": inside,
            "norm_eps": 1e-5,
            "bos": BOS,
            "eos": EOS,
            "first": FIRST,
            "longest": LONGEST,
            "alphabet": ALPHABET,
        },
        "begin": WORDS[0],
        "check": {"src": src[0].tolist(), "ids": ids[0].tolist(), "logits": told(logits)},
    }


def learned(task: Task[Any], run: Run, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The loss on the way, what counting reaches, and what the model wrote, where the run kept it."""
    rows = [{key: float(row[key]) for key in ("step", "train_loss", "val_loss")} for row in history]
    samples = [{"step": row["step"], "text": row["sample"]} for row in history if row.get("sample")]
    if not samples and (run.folder / "sample.txt").is_file() and history:
        samples = [{"step": history[-1]["step"], "text": run.read("sample.txt")}]
    return {
        "history": rows,
        "levels": {name: float(level) for name, level in task.levels().items()},
        "unit": task.unit,
        "samples": samples,
    }


@torch.no_grad()
def logits_of(model: nn.Module, ids: Tensor) -> Tensor:
    """The model's own logits: (B, T) to (B, T, V)."""
    logits: Tensor = model(ids)[0]
    return logits


def told(logits: Tensor) -> list[float]:
    """Logits row by row, with more digits than a comparison needs."""
    return [float(f"{value:.6g}") for value in logits.flatten().tolist()]


def dumped(data: Mapping[str, Any]) -> str:
    """JSON that can stand inside a page's script element."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
