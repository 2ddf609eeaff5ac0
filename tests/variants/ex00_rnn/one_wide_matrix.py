"""Input and state side by side times both matrices on top of each other, as einsum; the norm from eigenvalues.

Good for seeing that the two products are one: blocks of a wider matrix.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray


def rnn_step(x: NDArray, h: NDArray, W_xh: NDArray, W_hh: NDArray, b: NDArray) -> NDArray:
    both = np.concatenate([x, h], axis=-1)  # (B, D_in + D_h)
    weights = np.vstack([W_xh, W_hh])  # (D_in + D_h, D_h)
    return np.tanh(np.einsum("bi,ij->bj", both, weights) + b[None, :])


def rnn_forward(xs: NDArray, h0: NDArray, W_xh: NDArray, W_hh: NDArray, b: NDArray) -> NDArray:
    def step(h: NDArray, x: NDArray) -> NDArray:
        return rnn_step(x, h, W_xh=W_xh, W_hh=W_hh, b=b)

    empty = partial(np.empty, (xs.shape[0], 0, W_hh.shape[0]))
    if xs.shape[1] == 0:
        return empty(dtype=np.result_type(xs, h0, W_xh, W_hh, b))
    _, *states = accumulate(xs.transpose(1, 0, 2), step, initial=h0)
    return np.array(states).transpose(1, 0, 2)  # (T, B, D_h) -> (B, T, D_h)


def bottleneck(W_hh: NDArray, steps: int) -> float:
    precise = W_hh.astype(np.float64)
    squared = np.linalg.eigvalsh(precise.T @ precise)[-1]
    return math.sqrt(max(0.0, float(squared))) ** steps
