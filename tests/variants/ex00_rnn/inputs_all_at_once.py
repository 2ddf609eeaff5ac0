"""The inputs' part for all times in one product, then a step that adds only the state's; the bound as a loop.

Good for speed: what does not depend on the state is one large product, and only the small rest has to wait for the
step before.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def _settle(heard: NDArray, h: NDArray, W_hh: NDArray) -> NDArray:
    return np.tanh(heard + np.matmul(h, W_hh))


def rnn_step(x: NDArray, h: NDArray, W_xh: NDArray, W_hh: NDArray, b: NDArray) -> NDArray:
    return _settle(np.matmul(x, W_xh) + b, h, W_hh)


def _unrolled(heard: NDArray, h: NDArray, W_hh: NDArray) -> Iterator[NDArray]:
    for t in range(heard.shape[1]):
        h = _settle(heard[:, t], h, W_hh)
        yield h


def rnn_forward(xs: NDArray, h0: NDArray, W_xh: NDArray, W_hh: NDArray, b: NDArray) -> NDArray:
    heard = np.tensordot(xs, W_xh, axes=1) + b  # (B, T, D_h)
    dtype = np.tanh(np.zeros((), np.result_type(heard, h0, W_hh))).dtype
    states = np.zeros(heard.shape, dtype)
    for t, state in enumerate(_unrolled(heard, h0, W_hh)):
        states[:, t, :] = state
    return states


def bottleneck(W_hh: NDArray, steps: int) -> float:
    factor = np.linalg.norm(W_hh, 2).item()
    left = 1.0
    for _ in range(steps):
        left *= factor
    return left
