"""The reference of exercise 14 against PyTorch's own optimizer, schedule and clipping."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn


@pytest.fixture
def ex(reference):
    return reference("ex14_training")


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7), nn.Linear(7, 3)).double()


def backward(model: nn.Module, seed: int) -> None:
    x = torch.randn(11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    model.zero_grad()
    model(x).square().mean().backward()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.1, "weight_decay": 0.0},
        {"lr": 0.05, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.4},
        {"lr": 0.01, "betas": (0.0, 0.0), "weight_decay": 1.0},
    ],
    ids=str,
)
def test_adamw_equals_torchs(ex, options):
    ours, theirs = network(), network()
    groups = [ex.parameter_groups(model, 0.3) for model in (ours, theirs)]
    for pair in groups:
        del pair[1]["weight_decay"]  # so one group has its own, the other the constructor's
    mine, torchs = ex.AdamW(groups[0], **options), torch.optim.AdamW(groups[1], **options)
    for step in range(30):
        for model, optimizer in ((ours, mine), (theirs, torchs)):
            backward(model, step)
            if step % 3 == 1:
                model[0].bias.grad = None
            optimizer.param_groups[0]["lr"] = 0.01 * (step + 1)
            optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_adamw_goes_on_from_a_saved_state(ex, tmp_path):
    model = network()
    optimizer = ex.AdamW(ex.parameter_groups(model, 0.1), lr=0.03)
    for step in range(4):
        backward(model, step)
        optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    other = copy.deepcopy(model)
    resumed = ex.AdamW(ex.parameter_groups(other, 0.7))
    resumed.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    for step in range(4, 8):
        for one, its in ((model, optimizer), (other, resumed)):
            backward(one, step)
            its.step()
    for before, after in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize(("warmup", "decay"), [(0, 20), (5, 40), (7, 1)])
def test_cosine_lr_equals_torchs_schedules(ex, warmup, decay):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, decay, eta_min=0.02)
    for step in range(warmup):
        assert ex.cosine_lr(step, 0.3, 0.02, warmup, warmup + decay) == pytest.approx(0.3 * step / warmup)
    for step in range(warmup, warmup + decay + 1):
        rate = ex.cosine_lr(step, 0.3, 0.02, warmup, warmup + decay)
        assert rate == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        schedule.step()


@given(st.integers(0, 300), st.integers(0, 100), st.integers(1, 200), st.floats(1e-5, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_cosine_lr_rises_and_then_falls(reference, step, warmup, decay, max_lr, share):
    cosine_lr = reference("ex14_training").cosine_lr
    now, following = (cosine_lr(s, max_lr, share * max_lr, warmup, warmup + decay) for s in (step, step + 1))
    assert 0.0 <= now <= max_lr * (1 + 1e-12)
    assert now <= following if step < warmup else now >= following >= share * max_lr * (1 - 1e-12)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5), st.floats(1e-2, 1e2))
@settings(max_examples=50, deadline=None)
def test_clip_grad_norm_equals_torchs(reference, scales, max_norm):
    generator = torch.Generator().manual_seed(len(scales))
    ours = [nn.Parameter(torch.zeros(4, 3)) for _ in scales] + [nn.Parameter(torch.zeros(2))]
    for parameter, scale in zip(ours, scales, strict=False):
        parameter.grad = scale * torch.randn(4, 3, generator=generator)
    theirs = copy.deepcopy(ours)
    for one, other in zip(ours, theirs, strict=True):
        other.grad = None if one.grad is None else one.grad.clone()
    norm = reference("ex14_training").clip_grad_norm(iter(ours), max_norm)
    assert type(norm) is float
    assert norm == pytest.approx(nn.utils.clip_grad_norm_(theirs, max_norm).item(), rel=1e-5)
    for one, other in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=2e-4, atol=1e-7)


def test_get_batch_draws_every_window_equally_often(ex):
    tokens = torch.arange(12)
    x, y = ex.get_batch(tokens, 9000, 4, torch.Generator().manual_seed(1))
    assert torch.equal(y, x + 1)
    counts = torch.bincount(x[:, 0], minlength=8)  # starts 0 to 7
    assert len(counts) == 8
    chi_squared = ((counts - 1125.0) ** 2 / 1125.0).sum().item()
    assert chi_squared < 30  # 7 degrees of freedom: less than one in ten thousand


class Table(nn.Module):
    """A bigram model with dropout."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = SimpleNamespace(context_length=6)
        self.logits = nn.Parameter(torch.zeros(9, 9))
        self.drop = nn.Dropout(dropout)
        self.still = nn.Dropout(0.5)  # unused; for a mode of its own

    def forward(self, ids, targets):
        logits = self.drop(self.logits[ids])
        return logits, nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def corpus(seed: int, length: int = 500) -> torch.Tensor:
    return torch.randint(9, (length,), generator=torch.Generator().manual_seed(seed))


def test_evaluate_leaves_every_part_in_its_own_mode(ex):
    model = Table(0.3).train()
    model.still.eval()
    loss = ex.evaluate(model, corpus(0), 4, 6, 3)
    assert loss == pytest.approx(math.log(9), rel=1e-5)
    assert (model.training, model.drop.training, model.still.training) == (True, True, False)
    assert model.logits.grad is None


def test_train_repeats_itself_and_evaluations_do_not_disturb_it(ex):
    config = ex.TrainConfig(steps=12, batch_size=4, max_lr=0.05, warmup_steps=3, eval_every=5, eval_batches=2, seed=3)
    histories, losses = [], []
    for run, evaluations in enumerate((5, 5, 1)):
        torch.manual_seed(run)
        told: list[float] = []
        model = Table(0.2)
        histories.append(
            ex.train(
                model,
                corpus(1),
                corpus(2),
                replace(config, eval_every=evaluations),
                lambda step, loss, told=told: told.append(loss),
            )
        )
        losses.append(told)
    assert histories[0] == histories[1]
    assert losses[0] == losses[1] == losses[2]
    assert [row["step"] for row in histories[0]] == [5, 10, 12]
    assert histories[2][4] == histories[0][0]


def test_train_equals_the_same_loop_with_torchs_own_pieces(ex):
    config = ex.TrainConfig(
        steps=15, batch_size=4, max_lr=0.1, min_lr=0.01, warmup_steps=4, weight_decay=0.3, grad_clip=0.1, eval_every=15
    )
    ours, theirs = Table().double(), Table().double()
    ex.train(ours, corpus(1), corpus(2), config)
    optimizer = torch.optim.AdamW(theirs.parameters(), betas=config.betas, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(config.seed)
    for step in range(1, config.steps + 1):
        if step < 4:
            optimizer.param_groups[0]["lr"] = 0.1 * step / 4
        else:
            optimizer.param_groups[0]["lr"] = 0.01 + 0.09 * (0.5 + 0.5 * math.cos(math.pi * (step - 4) / 11))
        starts = torch.randint(len(corpus(1)) - 6, (4,), generator=generator).tolist()
        x = torch.stack([corpus(1)[start : start + 6] for start in starts])
        y = torch.stack([corpus(1)[start + 1 : start + 7] for start in starts])
        optimizer.zero_grad()
        theirs(x, y)[1].backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), config.grad_clip)
        optimizer.step()
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-6)
