"""The map's engine computes what PyTorch computes: compared in Node, without a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lab.attention import cross_attention
from lab.map.pack import Packed, logits_of
from lab.pieces import Pieces
from lab.reversal import BOS, EOS, FIRST, LONGEST, encode
from tests.project.lab.map.conftest import attention_weights

HERE = Path(__file__).parent
CHARACTERS = [
    "t",
    "\n",
    "the cat",
    "sat on the mat, Größe",
    "東京 ☂!",
    "the cat sat on the mat, the cat sat on the hat",
    " " * 20,
]
BYTES = [
    "a",
    "the cat sat",
    "naïve façade",
    "東京 ☂!\n",
    "🙂 emoji",
    "\x00\x7f",
    "Quite other text: 1, 2, 3.",
    "the " * 30,
]
SMALL = ["the cat", "o", "!\nthe", "mat, mat", "cat on cat"]
LLAMAS: dict[str, Any] = {"architecture": "llama"}
KNOBS = [(1.0, None, None), (0.0, None, None), (0.5, 3, None), (2.0, None, 0.7), (0.8, 5, 0.5), (1.0, 1, 0.01)]
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}
needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="no Node here: it runs the page's engine by itself"
)


@needs_node
def test_the_engine_in_node(
    pieces: Pieces, text_run: Callable[..., Any], word_run: tuple[Any, Packed], tmp_path: Path
) -> None:
    kinds: dict[str, tuple[Any, list[str]]] = {
        "characters": (text_run(), CHARACTERS),
        "bytes": (text_run(merges=12, seed=1), BYTES),
        "one block of one head": (text_run(seed=2, context_length=40, n_layers=1, n_heads=1, d_model=16), SMALL),
        "llama": (text_run(seed=3, architecture="llama"), CHARACTERS),
        "untied llama of bytes, one head of keys": (
            text_run(merges=12, seed=4, **LLAMAS, n_kv_heads=1, tied=False, rope_base=50.0, norm_eps=1e-2),
            BYTES,
        ),
        "long llama, keys for each head": (text_run(seed=5, **LLAMAS, n_kv_heads=4, context_length=80), SMALL),
    }
    texts = [case(name, made, pieces, some, tmp_path) for name, (made, some) in kinds.items()]
    assert sum(len(each["passes"]) for each in texts) >= 20
    cases = {
        "texts": texts,
        "sampling": sampling_cases(pieces),
        "reversal": reversal_case(pieces, word_run, tmp_path),
        "activations": [
            [name, x, function(torch.tensor(x)).item()]
            for name, function in ACTIVATIONS.items()
            for x in (-600.0, -6.0, -2.51, -0.75, 0.0, 0.3, 2.49, 5.0)
        ],
    }
    (tmp_path / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    done = subprocess.run(
        ["node", "--test", str(HERE / "engine.test.mjs")],
        env=os.environ | {"MAP_CASES": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "# fail 0" in done.stdout


def case(name: str, made: Any, pieces: Pieces, texts: list[str], folder: Path) -> dict[str, Any]:
    """One model, what it says to some texts, and what it writes."""
    task, model, _, packed = made
    file = f"{name.split()[0]}.safetensors"
    (folder / file).write_bytes(packed.weights)
    longest = model.config.context_length
    passes = []
    for text in texts:
        ids = list(task.tokenizer.encode(text))
        seen = torch.tensor([ids[-longest:]])
        passes.append(
            {
                "text": text,
                "ids": ids,
                "logits": logits_of(model, seen)[0].flatten().tolist(),
                "weights": attention_weights(model, seen),
            }
        )
    prompt = texts[0]
    start = torch.tensor([task.tokenizer.encode(prompt)])
    greedy = pieces.sampling.generate(model, start, 200, temperature=0)[0].tolist()
    return {
        "name": name,
        "weights": file,
        "config": packed.data["config"],
        "tokenizer": packed.data["tokenizer"],
        "passes": passes,
        "greedy": {"prompt": prompt, "ids": greedy},
    }


def sampling_cases(pieces: Pieces) -> list[dict[str, Any]]:
    """Distributions of exercise 15 for all knobs."""
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0)) * 2
    return [
        {
            "logits": row.tolist(),
            "temperature": temperature,
            "topK": top_k,
            "topP": top_p,
            "probs": pieces.sampling.next_token_probs(row[None], temperature, top_k, top_p)[0].tolist(),
        }
        for row in logits
        for temperature, top_k, top_p in KNOBS
    ]


def reversal_case(pieces: Pieces, word_run: tuple[Any, Packed], folder: Path) -> dict[str, Any]:
    """What an encoder and decoder make of some words."""
    model, packed = word_run
    (folder / "reversal.safetensors").write_bytes(packed.weights)
    words = []
    for word in ("bird", "a", "abcdefghijkl", "zzz"):
        src = encode([word])
        written = pieces.transformer.greedy_decode(model, src, BOS, EOS, LONGEST)[0].tolist()
        written = written[: written.index(EOS)] if EOS in written else written
        tgt = torch.tensor([[BOS, *written]])
        short = src[:, : len(word)]
        with torch.no_grad():
            logits = model(short, tgt)[0].flatten().tolist()
        cross = [layer.flatten().tolist() for layer in cross_attention(model, short, tgt)]
        words.append({"src": [int(id) for id in short[0]], "written": written, "logits": logits, "cross": cross})
    assert all(id >= FIRST for each in words for id in each["src"])
    return {"config": packed.data["config"], "words": words}
