"""What a page carries: a run's weights, tokenizer and history as plain data, and numbers to check the page by."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
Shapes = dict[str, tuple[int, ...]]
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
    if isinstance(task, TextTask):
        content, names = text_page(task, model)
    else:
        content, names = reversal_page(model, run.config["model"]["n_heads"])
    tensors = parameters(model, names)
    dtype = torch.float32 if 1.34 * sum(t.numel() * 4 for t in tensors.values()) < LIMIT else torch.float16
    weights = save({name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()})
    own = run.config["pieces"]["exercises"] is not None
    llama = content["config"].get("architecture") == "llama"
    data = {
        "task": run.task,
        "parts": parts(task.pieces, llama),
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
        title=("Your " if own else "The reference's ")
        + ("Llama" if llama else "transformer")
        + (" from a bird's eye" if run.task == "text" else " writes backwards"),
        facts=f"Run {run.name}: {task.title}. {count:,} parameters{digits}, after step {state['step']:,} of "
        f"{run.config['recipe']['steps']:,}.{loss}",
        provenance=task.pieces.describe(),
    )


def parameters(model: nn.Module, names: Collection[str] = ()) -> dict[str, Tensor]:
    """The numbers of a model by name; of several names for the same numbers only one, of `names` if that has one.

    A part that an exercise asks for by name may be kept under another one, and be handed out by a property.
    """
    found: dict[nn.Parameter, str] = {}
    for name in names:
        parameter = under(model, name)
        if parameter is not None:
            found.setdefault(parameter, name)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found.setdefault(parameter, name)
    return {name: parameter.detach() for parameter, name in found.items()}


def under(model: nn.Module, name: str) -> nn.Parameter | None:
    """The parameter that one gets by a name like "blocks.0.attention.q_proj.weight", if there is one."""
    found: Any = model
    try:
        for part in name.split("."):
            found = found[int(part)] if part.isdecimal() else getattr(found, part)
    except (AttributeError, IndexError, KeyError, TypeError):
        return None
    return found if isinstance(found, nn.Parameter) else None


def with_biases(names: Iterable[str]) -> list[str]:
    """Names of weights, each with that of the bias that may stand beside it."""
    return [each for name in names for each in (name, f"{name.removesuffix('weight')}bias")]


def parts(pieces: Pieces, llama: bool) -> dict[str, dict[str, str]]:
    """The parts of the machine: which exercise builds each, and whose it is in this run.

    Args:
        pieces: of the run.
        llama: whether it is of a Llama, which has some parts of its own.
    """
    entries = {entry.stem: entry for entry in load()}
    found = {}
    known = tomllib.loads(PARTS.read_text(encoding="utf-8"))
    own = known.pop("llama")
    for name, about in (known | own if llama else known).items():
        entry = entries.get(about["exercise"])
        if entry is None:  # this copy of the project does not have it yet
            continue
        mine = pieces.exercises is not None and entry.stem not in pieces.borrowed
        whose = "yours" if mine else "the reference's" if pieces.exercises is None else "borrowed from the reference"
        found[name] = {"exercise": entry.label, "title": entry.title, "idea": about["idea"], "whose": whose}
    return found


def text_page(task: TextTask, model: nn.Module) -> tuple[dict[str, Any], Collection[str]]:
    """The sizes of a GPT or a Llama, its tokenizer, and a text with the logits that the model itself gives.

    Returns:
        That, and the names of the weights that the page reads.

    Raises:
        LabError: it is no GPT of exercise 13, or no Llama of exercise 22.
    """
    shown, more, shapes_of = SHOWN[task.architecture]
    config: Any = getattr(model, "config", None)

    def shape(name: str) -> tuple[int, ...] | None:
        parameter = under(model, name)
        return None if parameter is None else tuple(parameter.shape)

    try:
        sizes = {
            "context_length": int(config.context_length),
            "d_model": int(config.d_model),
            "n_heads": int(config.n_heads),
            "n_layers": int(config.n_layers),
            "d_ff": shape("blocks.0.feed_forward.up.weight")[0],  # type: ignore[index]
            "vocab_size": int(config.vocab_size),
            **more(config),
        }
        expected = shapes_of(sizes)
        wrong = [name for name in expected if shape(name) != expected[name]]
    except (AttributeError, KeyError, TypeError):
        raise LabError(f"the map shows {shown}, and this model has other ones") from None
    if wrong:
        raise LabError(
            f"the map shows {shown}; in this model {wrong[0]} is "
            f"{shape(wrong[0]) or 'missing'}, not {expected[wrong[0]]}"
        )
    start = sampling.encode_prompt(task.tokenizer, "", task.corpus.alphabet)
    begin = task.corpus.text[: sizes["context_length"] // 2].rsplit(" ", 1)[0] or task.corpus.alphabet[0]
    ids = list(task.tokenizer.encode(task.corpus.text))[-min(sizes["context_length"], 32) :]
    content = {
        "config": {"architecture": task.architecture, **sizes},
        "tokenizer": tokenizer_data(task.tokenizer),
        "alphabet": task.corpus.alphabet,
        "start": task.tokenizer.decode(start),
        "begin": begin,
        "check": {"ids": ids, "logits": told(logits_of(model, torch.tensor([ids]))[0])},
    }
    return content, with_biases([*expected, "lm_head.weight"])


def gpt_shapes(sizes: Mapping[str, Any]) -> Shapes:
    """The shapes of a GPT's weights that the page reads; biases of linear layers may be there or not."""
    wide, inside = sizes["d_model"], sizes["d_ff"]
    shapes: Shapes = {
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


def gpt_more(config: Any) -> dict[str, Any]:
    """Return what else the page has to know of a GPT: each head has keys and values of its own."""
    return {"n_kv_heads": int(config.n_heads), "activation": "gelu_tanh", "norm_eps": 1e-5}


def llama_more(config: Any) -> dict[str, Any]:
    """Return what else the page has to know of a Llama."""
    return {
        "n_kv_heads": int(config.n_kv_heads),
        "activation": "silu",
        "norm_eps": float(config.norm_eps),
        "rope_base": float(config.rope_base),
    }


def llama_shapes(sizes: Mapping[str, Any]) -> Shapes:
    """The shapes of a Llama's weights that the page reads; a head with a table of its own may be there or not."""
    wide, inside = sizes["d_model"], sizes["d_ff"]
    shared = wide // sizes["n_heads"] * sizes["n_kv_heads"]
    shapes: Shapes = {
        "token_embedding.weight": (sizes["vocab_size"], wide),
        "final_norm.weight": (wide,),
    }
    for block in (f"blocks.{i}" for i in range(sizes["n_layers"])):
        shapes |= {f"{block}.{norm}.weight": (wide,) for norm in ("attention_norm", "feed_forward_norm")}
        for projection, rows in (("q_proj", wide), ("k_proj", shared), ("v_proj", shared), ("out_proj", wide)):
            shapes[f"{block}.attention.{projection}.weight"] = (rows, wide)
        shapes |= {f"{block}.feed_forward.{part}.weight": (inside, wide) for part in ("gate", "up")}
        shapes[f"{block}.feed_forward.down.weight"] = (wide, inside)
    return shapes


# What the page shows of a model that learned a text: in words, what it has to know of its config, and the weights.
SHOWN: dict[str, tuple[str, Callable[[Any], dict[str, Any]], Callable[[Mapping[str, Any]], Shapes]]] = {
    "gpt": ("a GPT with the parts of exercise 13", gpt_more, gpt_shapes),
    "llama": ("a Llama with the parts of exercise 22", llama_more, llama_shapes),
}


def tokenizer_data(tokenizer: Any) -> dict[str, Any]:
    """A tokenizer as the page reads it: its characters in the order of their ids, or its merges."""
    if hasattr(tokenizer, "merges"):
        return {"kind": "bytes", "merges": [[list(left), list(right)] for left, right in tokenizer.merges]}
    return {"kind": "characters", "characters": [tokenizer.decode([id]) for id in range(tokenizer.vocab_size)]}


def reversal_page(model: nn.Module, heads: int) -> tuple[dict[str, Any], Collection[str]]:
    """The sizes of an encoder and decoder, and a word with the logits that the model itself gives.

    Returns:
        That, and the names of the weights that the page reads.

    Raises:
        LabError: it is not the transformer of exercise 12.
    """
    encoder: Any = getattr(model, "encoder", None)
    try:
        layers = len(encoder.layers)
        inside, wide = encoder.layers[0].feed_forward.up.weight.shape
        post_norm = encoder.norm is None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise LabError("the map shows the transformer of exercise 12, and this model has other parts") from None
    if not post_norm:
        raise LabError("the map shows the post-norm transformer of exercise 12, and this model is pre-norm")
    src = encode(WORDS[:1])[:, : len(WORDS[0])]  # (1, S)
    ids = torch.tensor([[BOS, *src[0].flip(0).tolist()]])  # (1, S + 1)
    with torch.no_grad():
        logits = model(src, ids)[0]  # (S + 1, V)
    content = {
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
    return content, with_biases(transformer_weights(layers))


def transformer_weights(n_layers: int) -> list[str]:
    """The names of the weights of an encoder and decoder."""
    names = ["src_embedding.weight", "tgt_embedding.weight", "output.weight"]
    for stack, attentions, residuals in (
        ("encoder", ("self_attention",), ("attention", "feed_forward")),
        ("decoder", ("self_attention", "cross_attention"), ("attention", "cross", "feed_forward")),
    ):
        for layer in (f"{stack}.layers.{i}" for i in range(n_layers)):
            projections = [f"{part}.{side}_proj" for part in attentions for side in ("q", "k", "v", "out")]
            norms = [f"{part}_residual.norm" for part in residuals]
            parts = [*projections, "feed_forward.up", "feed_forward.down", *norms]
            names += [f"{layer}.{part}.weight" for part in parts]
    return names


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
