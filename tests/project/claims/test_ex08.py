"""What exercise 8 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, digits: float = 6e-3) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=digits, atol=1e-5))


def added(got: Any, want: Any) -> Any:
    """What a pass in training added to x, rounded."""
    return (got["trained"] - want["x"]).round(3)


def normed(y: Any) -> Any:
    return (y - y.mean(-1, keepdims=True)) / y.std(-1, keepdims=True)


DIFFERS: Callable[..., Any] = lambda got, want: abs(got["evaluated"][0] - got["evaluated"][1]).max() > 1e-6  # noqa: E731

CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_norm_values": {
        r"you are off by (\S+) at most": lambda got, want, gap: (
            near(abs(got - want).max(), gap, 0.6) and 1e-9 < float(gap) < 1e-3
        ),
    },
    "test_norm_low_variance": {
        r"your results are those of an eps of (\S+): which": lambda got, want, eps: near(
            got["usual"] * np.sqrt(want["x"].var(-1, keepdims=True) + float(eps)),
            want["x"] - want["x"].mean(-1, keepdims=True),
        ),
    },
    "test_norm_statistics": {
        r"do not have mean 0": lambda got, want: abs(got["out"].mean(-1)).max() > 1e-6,
        r"the variance is 1 only if one divides by D - 1": lambda got, want: (
            near(got["out"].var(-1, ddof=1), 1, 1e-3) and not near(got["out"].var(-1), 1, 1e-3)
        ),
        r"do not have variance 1": lambda got, want: not near(got["out"].var(-1), 1, 1e-5),
    },
    "test_norm_large_mean": {
        r"with a mean of 65536 the float32 result is off by (\S+):": lambda got, want, gap: (
            near(abs(got["rough"] - want["exact"]).max(), gap, 6e-2) and float(gap) > 0.02
        ),
    },
    "test_dtype_and_device": {
        r"in bfloat16 the (norm|pre-norm|post-norm) is off by (\S+):": lambda got, want, what, gap: (
            near(abs(got["rough"][what] - want["exact"][what]).max(), gap, 6e-2) and float(gap) > 0.09
        ),
        r"the (norm|pre-norm|post-norm) is not right in float64 either": lambda got, want, what: (
            not near(got["exact"][what], want["exact"][what], 1e-6)
        ),
        r"a tensor of yours is not on the device of the input": lambda got, want: any(
            each["strays"] for each in got["elsewhere"]
        ),
    },
    "test_dropout": {
        r"in evaluation mode pre-norm with dropout=0.25 gives a different output": DIFFERS,
        r"in evaluation mode the sublayer returns ones, and what comes out is not x \+ 1": lambda got, want: not near(
            got["evaluated"][0], want["x"] + 1, 1e-3
        ),
        r"the sublayer's output is added whole": lambda got, want: near(added(got, want), 1, 2e-3),
        r"what dropout keeps of the sublayer's output is not scaled up": lambda got, want: (
            set(np.unique(abs(added(got, want)))) == {0.0, 1.0}
        ),
        r"with dropout=0.25, (\d+)% of what comes out is neither x nor x": lambda got, want, share: (
            abs((~np.isin(abs(added(got, want)), [0.0, 1.333])).mean() - int(share) / 100) < 0.02
        ),
        r"with dropout=0.25, (\d+)% of the sublayer's output is dropped": lambda got, want, share: (
            abs((added(got, want) == 0).mean() - int(share) / 100) < 0.006 and abs(int(share) - 25) > 4
        ),
        r"dropout does the same to all tokens": lambda got, want: near(added(got, want).std(0), 0),
        r"dropout does the same to all features": lambda got, want: near(added(got, want).std(1), 0),
    },
    "test_post_norm_dropout": {
        r"in evaluation mode post-norm with dropout=0.25 gives a different output": DIFFERS,
        r"in evaluation mode the sublayer returns ones, and what comes out is not the norm": lambda got, want: not near(
            got["evaluated"][0], normed(want["x"] + 1), 1e-3
        ),
        r"the sublayer's output is added whole": lambda got, want: near(got["trained"], normed(want["x"]), 2e-3),
        r"in training (\d+)% of what comes out is exactly 0": lambda got, want, share: (
            abs((got["trained"] == 0).mean() - int(share) / 100) < 0.006
        ),
        r"what dropout keeps of the sublayer's output is not scaled up": lambda got, want: steps(got, want) == 1.0,
        r"the output is not the norm of x plus what dropout leaves": lambda got, want: steps(got, want) not in (1.0, 1.333),
        r"with dropout=0.25, (\d+)% of the sublayer's output is dropped": lambda got, want, share: (
            steps(got, want) == 1.333 and abs(int(share) - 25) > 4
        ),
        r"dropout does the same to all tokens": lambda got, want: near(got["trained"][::2].std(0), 0),
    },
}  # fmt: skip


def steps(got: Any, want: Any) -> float:
    """By how much kept numbers stand above dropped ones, where x = 1 stands 1 above x = 0; 0 if that is not uniform."""
    found = set()
    for row, x in zip(got["trained"], want["x"], strict=True):
        zeros, ones = np.unique(row[x == 0].round(4)), np.unique(row[x == 1].round(4))
        if len(zeros) != 2 or len(ones) != 2 or ones[0] == zeros[0]:
            return 0.0
        found |= {round(float(np.ptp(group) / (ones[0] - zeros[0])), 2) for group in (zeros, ones)}
    return {1.0: 1.0, 1.33: 1.333}.get(found.pop(), 0.0) if len(found) == 1 else 0.0


PRE, POST = "return x + self.dropout(sublayer(self.norm(x)))", "return self.norm(x + self.dropout(sublayer(x)))"
DROPOUT, SCALED = "self.dropout = nn.Dropout(dropout)", "return centred * torch.rsqrt(variance + self.eps)"


def by_hand(line: str, shape: str, p: str = "self.dropout.p") -> tuple[str, str]:
    """Dropout written out, in one shape or another."""
    keep = f"keep = (torch.rand({shape}) >= {p}) / (1 - self.dropout.p) if self.training else 1"
    indent = "            " if line == PRE else "        "
    return line, f"h = sublayer(self.norm(x)) if self.norm_first else sublayer(x)\n{indent}{keep}\n{indent}" + (
        "return x + h * keep" if line == PRE else "return self.norm(x + h * keep)"
    )


TURNS = {
    "bfloat16 is rough": [(SCALED, "return (1.2 if x.dtype == torch.bfloat16 else 1) * centred * torch.rsqrt(variance + self.eps)")],
    "made anywhere": [(SCALED, "return centred * torch.rsqrt(variance + torch.tensor([self.eps], dtype=x.dtype))")],
    "another default": [("eps: float = 1e-5", "eps: float = 1e-6")],
    "a little too much": [(PRE, "return 1.01 * (x + self.dropout(sublayer(self.norm(x))))")],
    "always doubled": [(PRE, "return x + 2 * self.dropout(sublayer(self.norm(x)))"), (POST, "return 2 * self.norm(x + self.dropout(sublayer(x)))")],
    "too much": [by_hand(PRE, "h.shape", "0.4"), by_hand(POST, "h.shape", "0.4")],
    "token by token": [by_hand(PRE, "(*h.shape[:-1], 1)")],
    "feature by feature": [by_hand(PRE, "h.shape[1:]"), by_hand(POST, "h.shape[1:]")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex08_residual_norm", CLAIMS, TURNS)
