"""The reference of exercise 23 against singular value decompositions, PyTorch's own Muon and its own promises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (3, 9), (9, 3), (1, 5), (1, 1)])
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_the_iteration_is_a_polynomial_of_the_singular_values(reference, rows: int, columns: int, steps: int):
    torch.manual_seed(rows)
    matrix = torch.randn(rows, columns, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values = values / (values.square().sum().sqrt() + 1e-7)
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    torch.testing.assert_close(reference("ex23_muon").newton_schulz(matrix, steps), (left * values) @ right)


def test_singular_values_above_a_hundredth_of_the_norm_end_where_the_docstring_says(reference):
    values = torch.logspace(-2, 0, 200, dtype=torch.float64)
    for value in values:
        rest = math.sqrt(1 - min(1.0, value.item()) ** 2)
        out = reference("ex23_muon").newton_schulz(torch.diag(torch.stack([value, torch.tensor(rest)])))
        assert 0.6 < out[0, 0] < 1.2


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape", [(4, 6), (8, 2)])
def test_the_direction_is_that_of_pytorchs_muon(reference, nesterov: bool, shape: tuple[int, int]):
    """Theirs averages (a factor of 1 - momentum) and works in bfloat16: only the direction can be compared."""
    torch.manual_seed(0)
    start = torch.randn(*shape)
    mine, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    ours = reference("ex23_muon").Muon([mine], lr=0.1, momentum=0.9, nesterov=nesterov)
    other = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.0)
    for _ in range(3):
        mine.grad = torch.randn(*shape)
        theirs.grad = mine.grad.clone()
        before = mine.detach().clone(), theirs.detach().clone()
        ours.step()
        other.step()
        one, two = ((after.detach() - old).flatten() for after, old in zip((mine, theirs), before, strict=True))
        if nesterov:  # theirs weighs the gradient and the buffer otherwise
            assert torch.cosine_similarity(one, two, dim=0) > 0.9
        else:
            assert torch.cosine_similarity(one, two, dim=0) > 0.99


def test_the_speedrun_learns_and_keeps_to_the_rules(reference):
    text = " ".join(["ababa", "cecec", "didid", "fofof"] * 80)
    losses: list[float] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other on a busy machine, in products as small as these
    try:
        run = reference("ex23_muon").speedrun(text, on_step=lambda _, loss: losses.append(loss), steps=60)
    finally:
        torch.set_num_threads(threads)
    model, tokenizer, history = run
    assert sum(parameter.numel() for parameter in model.parameters()) < 150_000
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert history[-1]["step"] == len(losses) == 60
    assert losses[0] == pytest.approx(math.log(tokenizer.vocab_size), abs=0.1)
    assert history[-1]["val_loss"] < 0.2
