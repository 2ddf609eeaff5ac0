"""What exercise 0 says of wrong code is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, share: float = 1e-5) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=share, atol=1e-9))


def step(x, h, W_xh, W_hh, b):
    return np.tanh(x @ W_xh + h @ W_hh + b)


def walked(xs, h, *shared):
    states = [h := step(xs[:, t], h, *shared) for t in range(xs.shape[1])]
    return np.stack(states, axis=1)


def of_step(holds: Callable[..., Any]) -> Callable[..., Any]:
    """A predicate of the state and the parts of its sum: the input's, the old state's, the bias."""

    def predicate(got: Any, want: Any) -> bool:
        x, h, W_xh, W_hh, b = want["given"]
        return bool(holds(got["state"], x @ W_xh, h @ W_hh, b, h, W_hh))

    return predicate


def of_states(holds: Callable[..., Any]) -> Callable[..., Any]:
    return lambda got, want: holds(got["states"], want["given"][0], want["given"][1], want["given"][2:])


def bounds(got: Any, want: Any) -> list[tuple[float, np.ndarray, int]]:
    """The bounds that a message may speak of, with their matrices and steps."""
    if "four steps" in got:
        return [(got["four steps"], want["W_hh"], 4)]
    return [(value, want["W_hh"], steps) for value, steps in zip(got["lopsided"], (3, 9), strict=True)]


def of_bound(holds: Callable[[float, np.ndarray, int], Any]) -> Callable[..., Any]:
    return lambda got, want: any(holds(*each) for each in bounds(got, want))


def largest(W: np.ndarray) -> float:
    return float(np.linalg.svd(W, compute_uv=False)[0])


BOUNDS: dict[str, Callable[..., Any]] = {
    r"that is the spectral norm itself": of_bound(lambda value, W, steps: near(value, largest(W))),
    r"that is the norm times the number of steps": of_bound(lambda value, W, steps: near(value, steps * largest(W))),
    r"there is one factor too many or too few": of_bound(
        lambda value, W, steps: near(value, largest(W) ** (steps - 1)) or near(value, largest(W) ** (steps + 1))
    ),
    r"that is the square of what is expected": of_bound(lambda value, W, steps: near(value, largest(W) ** (2 * steps))),
    r"that is the norm of the power of W_hh": of_bound(
        lambda value, W, steps: near(value, largest(np.linalg.matrix_power(W, steps)))
    ),
    r"the root of the sum of all squares": of_bound(
        lambda value, W, steps: (
            near(value, (W**2).sum() ** (steps / 2))
            or near(value, (np.linalg.matrix_power(W, steps) ** 2).sum() ** 0.5)
        )
    ),
    r"that is made from the largest eigenvalue": of_bound(
        lambda value, W, steps: near(value, max(abs(np.linalg.eigvals(W))) ** steps)
    ),
    r"that is made from the smallest singular value": of_bound(
        lambda value, W, steps: near(value, np.linalg.svd(W, compute_uv=False)[-1] ** steps)
    ),
    r"from single entries, from sums of rows or columns, or from all singular values": of_bound(
        lambda value, W, steps: any(
            near(value, base**steps)
            for base in (abs(W).max(), abs(W).sum(0).max(), abs(W).sum(1).max(), np.linalg.svd(W)[1].sum())
        )
    ),
}

CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_step_values": {
        r"you return the sum itself": of_step(lambda state, x, h, b, *_: near(state, x + h + b)),
        r"your states lie within 0..1": of_step(lambda state, *_: state.min() > 0 and state.max() < 1),
        r"your states are never negative: that is a ReLU": of_step(
            lambda state, x, h, b, *_: near(state, (x + h + b) * (x + h + b > 0))
        ),
        r"the step without its bias": of_step(lambda state, x, h, b, *_: near(np.arctanh(state), x + h)),
        r"the step without the old state": of_step(lambda state, x, h, b, *_: near(np.arctanh(state), x + b)),
        r"the step without its input": of_step(lambda state, x, h, b, *_: near(np.arctanh(state), h + b)),
        r"the step with W_hh transposed": of_step(
            lambda state, x, h, b, old, W: near(np.arctanh(state), x + np.einsum("bi,ji->bj", old, W) + b)
        ),
        r"the parts are added after the tanh": of_step(
            lambda state, x, h, b, *_: near(state - np.tanh(x + b), h) or near(state - np.tanh(x + b), np.tanh(h))
        ),
        r"you add the new state to the old one": of_step(
            lambda state, x, h, b, old, _: near(np.arctanh(state - old), x + h + b)
        ),
    },
    "test_forward_values": {
        r"all your states are the last one": of_states(
            lambda states, xs, h0, shared: all(
                near(states[:, t], walked(xs, h0, *shared)[:, -1]) for t in range(xs.shape[1])
            )
        ),
        r"your states come one place late: at \[:, 0\] stands h0": of_states(
            lambda states, xs, h0, shared: (
                near(states[:, 0], h0) and near(states[:, 1:], walked(xs, h0, *shared)[:, :-1])
            )
        ),
        r"your states are right but in reverse": of_states(
            lambda states, xs, h0, shared: near(states[:, ::-1], walked(xs, h0, *shared))
        ),
        r"you read the sequences from right to left": of_states(
            lambda states, xs, h0, shared: any(
                near(states[:, ::way], walked(xs[:, ::-1], h0, *shared)) for way in (1, -1)
            )
        ),
        r"every one of your states is one step away from h0": of_states(
            lambda states, xs, h0, shared: all(
                near(states[:, t], step(xs[:, t], h0, *shared)) for t in range(xs.shape[1])
            )
        ),
        r"you start from zeros": of_states(lambda states, xs, h0, shared: near(states, walked(xs, 0 * h0, *shared))),
    },
    "test_forward_is_repeated_steps": {
        r"at time (\d+) your rnn_forward and your rnn_step, .* of unit (\d+) in sequence (\d+): (\S+) and (\S+)\. ": (
            lambda got, want, t, unit, row, mine, other: (
                near(got["states"][int(row), int(t), int(unit)], mine, 1e-3)
                and near(got["steps"][int(t)][int(row), int(unit)], other, 1e-3)
                and not near(
                    got["states"][int(row), int(t), int(unit)], got["steps"][int(t)][int(row), int(unit)], 1e-9
                )
            )
        ),
    },
    "test_bottleneck_values": BOUNDS,
    "test_sequences_do_not_mix": {
        r"sequence (\d+) gets other states in a batch than alone": lambda got, want, i: (
            not near(got["together"][int(i)], got["alone"][int(i)][0], 1e-9)
        ),
    },
    "test_last_state_depends_on_all": {
        r"another input at time (\d+) of (\d+) leaves the last state as it was": lambda got, want, t, length: (
            near(got[f"input {t} changed"][:, -1], got["unchanged"][:, -1], 1e-9)
            and int(length) == got["unchanged"].shape[1]
        ),
    },
    "test_no_looking_ahead": {
        r"the state at time (\d) changes when only the inputs from time 2 on do": lambda got, want, t: (
            int(t) < 2 and not near(got["one future"][:, int(t)], got["another"][:, int(t)], 1e-9)
        ),
    },
    "test_arguments_unchanged": {
        r"`(\w+)` holds other numbers after the call": lambda got, want, name: (got[name] != want[name]).any(),
    },
    "test_power_of_the_norm": {
        pattern: BOUNDS[pattern]
        for pattern in (
            "that is the norm times the number of steps",
            "there is one factor too many or too few",
            "that is the square of what is expected",
            "that is the norm of the power of W_hh",
            "the root of the sum of all squares",
            "that is made from the largest eigenvalue",
            "that is made from the smallest singular value",
            "from single entries, from sums of rows or columns, or from all singular values",
            "that is the spectral norm itself",
        )
    },
    "test_bottleneck_is_a_float": {
        r"the bound comes back as a number of NumPy's": lambda got, want: got["is a Python float"] != [True, True],
    },
}

RNN_STEP = "h = rnn_step(xs[:, t], h, W_xh, W_hh, b)  # (B, D_h)"
NORM = "float(np.linalg.norm(W_hh, ord=2)) ** steps"
TURNS = {
    "forgets": [("np.tanh(x @ W_xh + h @ W_hh + b)", "np.tanh(x @ W_xh + b)")],
    "reversed states": [("return states  # (B, T, D_h)", "return states[:, ::-1].copy()")],
    "another step": [(RNN_STEP, "h = np.tanh(xs[:, t] @ W_xh + h @ W_hh)")],
    "mixed": [(RNN_STEP, RNN_STEP.partition("  #")[0] + "\n        h = 0.5 * (h + h[::-1])")],
    "one norm": [(NORM, "float(np.linalg.norm(W_hh, ord=2)) if steps else 1.0")],
    "the smallest": [(NORM, "float(np.linalg.norm(W_hh, ord=-2)) ** steps")],
    "a number of NumPy's": [(NORM, "W_hh.dtype.type(np.linalg.norm(W_hh, ord=2)) ** steps")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex00_rnn", CLAIMS, TURNS)
