"""The cross-entropy as a product with one-hot rows; extended precision and in-place work on copies of its own.

Good for seeing which entries count: the one-hot table marks them. Picking by index needs no table as large as the
logits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _shifted(x: NDArray, axis: int) -> NDArray:
    copy = np.array(x, dtype=np.result_type(x.dtype, np.float16) if x.dtype.kind == "f" else np.float64)
    copy -= copy.max(axis=axis, keepdims=True)
    return copy


def softmax(x: NDArray, axis: int = -1) -> NDArray:
    shares = _shifted(x, axis)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=axis, keepdims=True, dtype=np.float64).astype(shares.dtype)
    return shares


def log_softmax(x: NDArray, axis: int = -1) -> NDArray:
    logs = _shifted(x, axis)
    logs -= np.log(np.exp(logs).sum(axis=axis, keepdims=True))
    return logs


def cross_entropy(logits: NDArray, targets: NDArray, ignore_index: int | None = None) -> float:
    vocab_size = logits.shape[1]
    counts = np.full(targets.shape, True) if ignore_index is None else np.not_equal(targets, ignore_index)
    rows, wanted = np.compress(counts, logits, axis=0), np.compress(counts, targets)
    if wanted.size == 0:
        return 0.0
    outside = np.setdiff1d(wanted, np.arange(vocab_size))
    if outside.size:
        raise ValueError(f"targets must be token ids below {vocab_size}; found {outside.tolist()}")
    hits = np.equal.outer(wanted, np.arange(vocab_size))  # (N, V), one True in each row
    return -log_softmax(rows, axis=1)[hits].mean().item()


def perplexity(logits: NDArray, targets: NDArray, ignore_index: int | None = None) -> float:
    return np.exp(cross_entropy(logits, targets, ignore_index)).item()
