"""The seeded random source that a probe draws its inputs from: the same numbers on every platform."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:  # exercises in plain NumPy are graded without loading torch
    import torch

Item = TypeVar("Item")


def derive(*parts: object) -> int:
    """Mix any parts (a seed, a name, ...) into a 63-bit seed, the same on every machine."""
    text = "\x00".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class Random:
    """Inputs for a probe. Everything comes from one NumPy generator; two sources of one seed are equal."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.numpy = np.random.default_rng(seed)

    def sizes(self, count: int, low: int = 2, high: int = 9) -> tuple[int, ...]:
        """Draw `count` sizes in [low, high], no two the same, so that swapped axes can't go unnoticed."""
        if high - low + 1 < count:
            raise ValueError(f"{count} different sizes do not fit between {low} and {high}")
        return tuple(int(size) for size in self.numpy.permutation(np.arange(low, high + 1))[:count])

    def array(self, *shape: int, dtype: Any = np.float64, scale: float = 1.0) -> np.ndarray:
        """Normal numbers with standard deviation `scale`, as a NumPy array."""
        return (self.numpy.standard_normal(shape) * scale).astype(dtype)

    def integers(self, low: int, high: int, *shape: int) -> Any:
        """Integers in [low, high): an int64 array, or a plain int when no shape is given."""
        drawn = self.numpy.integers(low, high, size=shape or None)
        return drawn if shape else int(drawn)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number between `low` and `high`."""
        return float(self.numpy.uniform(low, high))

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[int(self.numpy.integers(len(items)))]

    def text(self, length: int, alphabet: str = "abcdefgh ") -> str:
        """`length` characters of the alphabet."""
        return "".join(alphabet[i] for i in self.numpy.integers(len(alphabet), size=length))

    def tensor(
        self,
        *shape: int,
        dtype: torch.dtype | None = None,
        scale: float = 1.0,
        grad: bool = False,
    ) -> torch.Tensor:
        """Normal numbers with standard deviation `scale`, as a tensor (float32 unless told otherwise)."""
        import torch

        tensor = torch.from_numpy(self.numpy.standard_normal(shape) * scale).to(dtype or torch.float32)
        return tensor.requires_grad_(grad)

    def ids(self, vocab_size: int, *shape: int) -> torch.Tensor:
        """Token ids in [0, vocab_size), as an int64 tensor."""
        import torch

        return torch.from_numpy(self.numpy.integers(0, vocab_size, size=shape))

    def mask(self, *shape: int, share: float = 0.6) -> torch.Tensor:
        """A boolean mask in which about `share` is True; the first entry of every row always is."""
        import torch

        drawn = self.numpy.random(shape) < share
        drawn[..., 0] = True
        return torch.from_numpy(drawn)

    def generator(self) -> torch.Generator:
        """A torch generator of this source's own seed, for code that asks for one."""
        import torch

        return torch.Generator().manual_seed(int(self.numpy.integers(2**31)))
