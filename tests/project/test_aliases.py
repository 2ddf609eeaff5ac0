"""A part that goes by two names is one part: what a check does by name reaches it under either."""

from __future__ import annotations

from torch import nn

from grader.checks import silenced


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
