"""A dataclass that holds the weights and walks; einsum; the tanh from exponentials that can't overflow.

Good for running one cell over many texts: the weights are named once, and states come one by one, as long as
somebody asks.
"""

from dataclasses import dataclass

import numpy as np


def _tanh(z):
    shrinking = np.exp(-2 * np.abs(z))
    return np.sign(z) * (1 - shrinking) / (1 + shrinking)


@dataclass
class Cell:
    W_xh: np.ndarray
    W_hh: np.ndarray
    b: np.ndarray

    def __call__(self, x, h):
        total = np.einsum("bi,ih->bh", x, self.W_xh) + np.einsum("bj,jh->bh", h, self.W_hh) + self.b
        return _tanh(total if total.dtype.kind == "f" else total.astype(float))

    def walk(self, xs, h):
        while xs.shape[1]:
            h = self(xs[:, 0], h)
            yield h
            xs = xs[:, 1:]


def rnn_step(x, h, W_xh, W_hh, b):
    return Cell(W_xh, W_hh, b)(x, h)


def rnn_forward(xs, h0, W_xh, W_hh, b):
    cell = Cell(W_xh, W_hh, b)
    dtype = cell(np.zeros_like(xs, shape=(1, xs.shape[2])), h0[:1] * 1).dtype if len(h0) else float
    result = np.full((xs.shape[0], xs.shape[1], h0.shape[1]), np.nan, dtype)
    for t, h in enumerate(cell.walk(xs, h0)):
        result[:, t] = h
    assert not np.isnan(result).any()
    return result


def bottleneck(W_hh, steps):
    singular_values = np.linalg.svd(W_hh.astype(np.longdouble).astype(float))[1]
    return (
        float(np.exp(steps * np.log(singular_values.max())))
        if steps and singular_values.max() > 0
        else float(not steps)
    )
