"""A part that goes by two names is one part: what a check does by name reaches it under either."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from grader.checks import ATTRIBUTES, Random, filled, gradients, silenced


class Listed(nn.Module):
    """Holds its parts in a list first, and by their own names after that."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
        self.q_proj, self.out_proj = self.parts


def test_a_part_that_stands_in_a_list_as_well_is_silenced_by_its_own_name():
    module = silenced(Listed(), "out_proj")
    assert not module.out_proj.weight.any()
    assert not module.out_proj.bias.any()
    assert module.q_proj.weight.all()


class Gate(nn.Module):
    """Has one of its own parts under a name of its own, and finds it when it is asked for by another."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"g": nn.Linear(2, 2)})

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__("parts")["g"] if name == "gate" else super().__getattr__(name)


def test_a_part_that_is_found_when_it_is_asked_for_has_the_name_by_which_it_is_asked(monkeypatch):
    monkeypatch.setitem(ATTRIBUTES, "Gate", ("gate",))
    plain = nn.Module()
    plain.gate = nn.Linear(2, 2)
    same = filled(Gate(), Random(0)).gate.weight == filled(plain, Random(0)).gate.weight
    assert same.all()


def test_a_parameter_that_is_frozen_or_not_there_has_no_gradient():
    x, frozen = torch.ones(2, requires_grad=True), torch.ones(2)
    found = gradients(x * frozen, {"x": x, "frozen": frozen, "missing": None}, Random(0))
    assert found["x"] is not None
    assert (found["frozen"], found["missing"]) == (None, None)
