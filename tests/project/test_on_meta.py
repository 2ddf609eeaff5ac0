"""The device of a result, seen on `meta`: values may be looked at, tensors of two devices may not meet."""

from __future__ import annotations

import pytest
import torch

from grader.checks import on_meta


def half(x: torch.Tensor) -> torch.Tensor:
    return x * torch.tensor(0.5)  # a lone number goes with any device


def guarded(x: torch.Tensor) -> torch.Tensor:
    assert torch.isfinite(x).all()
    return x * torch.tensor(0.5)


def listed(x: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[2 * item for item in row] for row in x.tolist()], device=x.device)


def by_numpy(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(x.numpy() * 2).to(x.device)  # on meta a TypeError


def refused_by_ones_own_words(x: torch.Tensor) -> torch.Tensor:
    try:
        return x * float(x.max())
    except RuntimeError:
        raise ValueError("x has no values") from None


def listed_and_made_anywhere(x: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[2 * item for item in row] for row in x.tolist()])


def row_by_row_and_made_anywhere(x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(3, 4)
    for index, row in enumerate(x):
        out[index] = row
    return out


def ones_made_anywhere(x: torch.Tensor) -> torch.Tensor:
    return x + torch.ones(4)


def written_into_one_made_anywhere(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(x.shape).scatter(-1, x.argmax(dim=-1, keepdim=True), 1.0)  # PyTorch lets it pass on meta


@pytest.mark.parametrize("function", [half, guarded, listed, by_numpy, refused_by_ones_own_words])
def test_code_that_follows_its_inputs_has_no_strays_also_if_it_looks_at_values(function):
    x = torch.ones(3, 4)
    seen = on_meta(lambda device: [function(x.to(device))])
    assert not seen["strays"]
    assert seen["result"][0].device.type == "meta"
    assert seen["result"][0].shape == (3, 4)


@pytest.mark.parametrize(
    "function",
    [listed_and_made_anywhere, row_by_row_and_made_anywhere, ones_made_anywhere, written_into_one_made_anywhere],
)
def test_a_tensor_that_nobody_gave_a_device_is_a_stray(function):
    x = torch.ones(3, 4)
    seen = on_meta(lambda device: {"out": function(x.to(device))})
    assert seen["strays"]
    assert seen["result"]["out"].device.type == "meta", "with the numbers of a memory that nobody has written to"


def test_what_fails_anywhere_is_raised():
    def unwritten(x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("write me")

    with pytest.raises(NotImplementedError, match="write me"):
        on_meta(lambda device: unwritten(torch.ones(2).to(device)))
