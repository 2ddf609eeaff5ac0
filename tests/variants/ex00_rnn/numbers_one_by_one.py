"""Loops over single numbers with math.tanh, lists in between, asserts on the shapes; the norm from W^T W.

Good for checking by hand: every number is a line of the formula. It is far too slow for more than an example.
"""

import math

import numpy as np


def rnn_step(x, h, W_xh, W_hh, b):
    batch, inputs = x.shape
    width = h.shape[1]
    assert W_xh.shape == (inputs, width) and W_hh.shape == (width, width) and b.shape == (width,)
    dtype = np.result_type(x, h, W_xh, W_hh, b, np.float16)
    out = np.zeros((batch, width), dtype)
    for row in range(batch):
        for unit in range(width):
            heard = math.fsum(float(x[row, i]) * float(W_xh[i, unit]) for i in range(inputs))
            kept = math.fsum(float(h[row, j]) * float(W_hh[j, unit]) for j in range(width))
            out[row, unit] = math.tanh(heard + kept + float(b[unit]))
    assert (abs(out) <= 1).all()
    return out


def rnn_forward(xs, h0, W_xh, W_hh, b):
    h, states = h0, []
    for t in range(xs.shape[1]):
        h = rnn_step(xs[:, t, :], h, W_xh, W_hh, b)
        states.append(h.tolist())
    dtype = np.result_type(xs, h0, W_xh, W_hh, b, np.float16)
    if not states:
        return np.zeros((len(xs), 0, h0.shape[1]), dtype)
    return np.array(states, dtype).swapaxes(0, 1)


def bottleneck(W_hh, steps):
    if steps == 0:
        return 1.0
    wide = W_hh.astype(np.float64)
    longest = math.sqrt(max(0.0, np.linalg.eigvalsh(wide.T @ wide)[-1]))
    return math.prod([longest] * steps)
