"""What a page is given: a model's weights under the names that it reads, and whose each part is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load
from torch import nn

from grader.files import ROOT
from grader.probing.assembly import Assembly, Source
from lab.errors import LabError
from lab.llama import LlamaTask
from lab.map.pack import pack, parameters, parts, transformer_weights, with_biases
from lab.pieces import Pieces
from tests.project.lab.map.conftest import STATE, strong

VARIANTS = [
    path for stem in ("ex19", "ex20", "ex22") for path in sorted((ROOT / "tests" / "variants").glob(f"{stem}*/*.py"))
]
PARTED = [  # of a transformer
    path
    for number in ("07", "08", "09", "10", "11", "12")
    for path in sorted((ROOT / "tests" / "variants").glob(f"ex{number}*/*.py"))
]
LLAMA = {
    "tokenizer": "ex02",
    "embedding": "ex03",
    "rotary": "ex18",
    "attention": "ex20",
    "feed_forward": "ex19",
    "head": "ex22",
    "model": "ex22",
    "sampling": "ex15",
    "training": "ex14",
}


def test_each_part_of_a_llama_names_its_exercise_and_whose_it_is(pieces: Pieces) -> None:
    own = replace(pieces, exercises=Path("exercises"), borrowed=("ex18_rope",))
    found = parts(own, llama=True)
    assert {name: found[name]["exercise"] for name in LLAMA} == LLAMA
    assert found["rotary"]["whose"] == "borrowed from the reference"
    assert found["attention"]["whose"] == "yours"
    assert "rotary" not in parts(own, llama=False)
    assert parts(own, llama=False)["attention"]["exercise"] == "ex07"


@pytest.mark.parametrize("tied", [True, False])
def test_a_table_that_two_names_share_is_packed_once(text_run: Callable[..., Any], tied: bool) -> None:
    task, model, run, packed = text_run(architecture="llama", tied=tied)
    model._modules = dict(reversed(model._modules.items()))  # as one may have written it: the head first
    again = load(pack(task, model, run, STATE).weights)
    assert again.keys() == load(packed.weights).keys()
    assert "token_embedding.weight" in again
    assert ("lm_head.weight" in again) is not tied


@pytest.mark.parametrize("style", VARIANTS, ids=lambda path: f"{path.parent.name[:4]} {path.stem}")
def test_a_llama_written_in_another_style_is_packed_alike(
    pieces: Pieces, text_run: Callable[..., Any], style: Path
) -> None:
    task, _, run, packed = text_run(architecture="llama")
    with Assembly({**pieces.sources, style.parent.name: Source.read(style, "reference")}) as assembly:
        other = LlamaTask(
            replace(pieces, llama=assembly.exercise("ex22_llama")),
            task.corpus,
            task.tokenizer,
            task.sizes,
            task.recipe,
            task.device,
        )
        again = pack(other, strong(other.new_model(), 0), run, STATE)
    assert load(again.weights).keys() == load(packed.weights).keys()
    assert again.data["config"] == packed.data["config"]


def test_a_model_of_other_parts_is_refused(text_run: Callable[..., Any]) -> None:
    task, model, run, _ = text_run(architecture="llama")
    model.blocks[1].feed_forward.gate = nn.Identity()
    with pytest.raises(
        LabError, match=r"a Llama with the parts of exercise 22; in this model blocks\.1\.\S+gate.weight is missing"
    ):
        pack(task, model, run, STATE)
    del model.config
    with pytest.raises(LabError, match="a Llama with the parts of exercise 22, and this model has other ones"):
        pack(task, model, run, STATE)


@pytest.mark.parametrize("style", PARTED, ids=lambda path: f"{path.parent.name[:4]} {path.stem}")
def test_the_parts_of_a_transformer_have_the_names_that_the_page_reads(pieces: Pieces, style: Path) -> None:
    names = with_biases(transformer_weights(2))
    with Assembly({**pieces.sources, style.parent.name: Source.read(style, "reference")}) as assembly:
        model = assembly.exercise("ex12_transformer").Transformer(11, 11, 8, 2, 2, 16)
        found = parameters(model, names)
    assert [name for name in names if name not in found] == ["src_embedding.bias", "tgt_embedding.bias"]
    assert sum(each.numel() for each in found.values()) == sum(each.numel() for each in model.parameters())
