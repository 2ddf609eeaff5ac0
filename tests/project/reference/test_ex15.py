"""The reference of exercise 15 against definitions and other people's implementations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

LOGITS = st.lists(st.integers(-40, 40), min_size=2, max_size=7, unique=True).map(
    lambda tens: [ten / 10 for ten in tens]
)
TEMPERATURES = st.sampled_from([0.3, 0.7, 1.0, 1.6, 3.0])


def by_definition(
    logits: list[float], temperature: float, top_k: int | None, top_p: float | None
) -> list[float] | None:
    """The probabilities by search over all sets of tokens; None when a sum lies too near to top_p to call."""
    probs = torch.tensor(logits, dtype=torch.float64).div(temperature).softmax(0).tolist()
    tokens = range(len(probs))
    if top_k is not None:
        best = max(
            itertools.combinations(tokens, min(top_k, len(probs))), key=lambda chosen: sum(probs[i] for i in chosen)
        )
        probs = [probs[i] if i in best else 0.0 for i in tokens]
        probs = [p / sum(probs) for p in probs]
    if top_p is not None:
        chosen_sets = [c for size in range(1, len(probs) + 1) for c in itertools.combinations(tokens, size)]
        sums = {chosen: sum(probs[i] for i in chosen) for chosen in chosen_sets}
        if any(abs(total - top_p) < 1e-9 for total in sums.values()):
            return None
        enough = [chosen for chosen in chosen_sets if sums[chosen] >= top_p]
        fewest = [chosen for chosen in enough if len(chosen) == len(enough[0])]
        best = max(fewest, key=lambda chosen: sums[chosen])
        probs = [probs[i] if i in best else 0.0 for i in tokens]
        probs = [p / sum(probs) for p in probs]
    return probs


@settings(deadline=None, max_examples=150)
@given(
    logits=LOGITS,
    temperature=TEMPERATURES,
    top_k=st.none() | st.integers(1, 9),
    top_p=st.none() | st.floats(0.0, 0.999),
)
def test_probabilities_by_definition(reference: Callable, logits, temperature, top_k, top_p) -> None:
    want = by_definition(logits, temperature, top_k, top_p)
    if want is None:
        return
    row = torch.tensor([logits], dtype=torch.float64)
    got = reference("ex15_sampling").next_token_probs(row, temperature, top_k, top_p)
    torch.testing.assert_close(got, torch.tensor([want], dtype=torch.float64))


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, None, 0.8), (0.7, 20, None), (1.3, 40, 0.95), (0.9, 5, 0.3), (2.0, 100, 0.99)],
)
def test_probabilities_as_in_transformers(reference: Callable, temperature, top_k, top_p) -> None:
    transformers = pytest.importorskip("transformers")
    logits = torch.randn(16, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    scores = transformers.TemperatureLogitsWarper(temperature)(None, logits)
    if top_k is not None:
        scores = transformers.TopKLogitsWarper(top_k)(None, scores)
    if top_p is not None:
        scores = transformers.TopPLogitsWarper(top_p)(None, scores)
    got = reference("ex15_sampling").next_token_probs(logits, temperature, top_k, top_p)
    torch.testing.assert_close(got, scores.softmax(-1))


class Chain(nn.Module):
    """A Markov chain as a language model."""

    def __init__(self, transitions: Tensor) -> None:
        super().__init__()
        self.config = SimpleNamespace(context_length=3)
        self.transitions = transitions

    def forward(self, ids: Tensor) -> tuple[Tensor, None]:
        assert ids.size(1) <= self.config.context_length
        return self.transitions.log()[ids], None


def test_generate_follows_a_markov_chain_to_its_stationary_distribution(reference: Callable) -> None:
    transitions = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.6, 0.3], [0.8, 0.0, 0.2]], dtype=torch.float64)
    stationary = torch.linalg.matrix_power(transitions, 200)[0]
    start = torch.zeros(400, 1, dtype=torch.int64)
    text = reference("ex15_sampling").generate(
        Chain(transitions), start, 120, generator=torch.Generator().manual_seed(0)
    )
    late = text[:, 20:]
    torch.testing.assert_close(
        late.flatten().bincount(minlength=3) / late.numel(), stationary.float(), atol=0.01, rtol=0
    )
    pairs = torch.stack([late[:, :-1].flatten(), late[:, 1:].flatten()])
    counts = torch.zeros(3, 3).index_put_(tuple(pairs), torch.ones(pairs.size(1)), accumulate=True)
    torch.testing.assert_close(counts / counts.sum(1, keepdim=True), transitions.float(), atol=0.02, rtol=0)


def test_the_mode_is_put_back_even_when_the_model_fails(reference: Callable) -> None:
    model = Chain(torch.full((2, 2), 0.5)).train()
    with pytest.raises(ValueError, match="top_k"):
        reference("ex15_sampling").generate(model, torch.zeros(1, 1, dtype=torch.int64), 3, top_k=0)
    assert model.training
