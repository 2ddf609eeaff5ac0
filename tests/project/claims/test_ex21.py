"""What exercise 21 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def apart(got: Any, want: Any) -> float:
    """By how much two arrays differ at most, beside the size of what is expected."""
    return float(abs(np.asarray(got, dtype=float) - want).max() / (1e-9 + abs(np.asarray(want, dtype=float)).max()))


def sizes_of(case: str) -> tuple[int, int]:
    length, size = (int(words.split()[0]) for words in (case, case.split("block_size ")[1].replace(",", " ")))
    return length, size


def too_many(got: Any, case: str, entries: str) -> bool:
    """Whether a tensor of so many entries for each of two leading indices was made, and is larger than allowed."""
    length, size = sizes_of(case)
    return got[case]["largest"] // 2 == int(entries) > max(size * size, 8 * length)


def fewer_tiles(got: Any, tokens: str, causal: str, ones: str, twos: str) -> bool:
    """Whether so many tensors were made with either block size, and the smaller one took hardly more."""
    made = [got[f"{tokens} tokens, block_size {size}, causal={causal}"]["made"] for size in (1, 2)]
    return made == [int(ones), int(twos)] and made[0] < 2 * made[1]


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_causal": {
        r"with (block_size \d+) the first query's answer is not the first value": lambda got, want, case: (
            apart(got["answers"][case][:, 0], want["first value"]) > 1e-6
        ),
    },
    "test_largest_tensor": {
        r"^(.+): the answers are not those of exercise 5": lambda got, want, case: (
            apart(got[case]["out"], want[case]["out"]) > 1e-6
        ),
        r"^(.+): a tensor has (\d+) entries for each leading index": lambda got, want, case, entries: too_many(
            got, case, entries
        ),
        r"^(\d+) tokens, causal=(\w+): (\d+) tensors are made with block_size 1, and (\d+) with": lambda got, want, *said: (
            fewer_tiles(got, *said)
        ),
    },
    "test_largest_tensor_backward": {
        r"^(.+): the gradient of (\w) is not that of exercise 5": lambda got, want, case, name: (
            apart(got[case]["gradients"][name], want[case]["gradients"][name]) > 1e-6
        ),
        r"^(.+): on the way back a tensor has (\d+) entries": lambda got, want, case, entries: too_many(
            got, case, entries
        ),
        r"^(\d+) tokens, causal=(\w+): on the way back (\d+) tensors are made with block_size 1, and (\d+) with": lambda got, want, *said: (
            fewer_tiles(got, *said)
        ),
    },
    "test_kept": {
        r"^(.+): the gradient of (\w) is not that of exercise 5": lambda got, want, case, name: (
            apart(got[case]["gradients"][name], want[case]["gradients"][name]) > 1e-6
        ),
        r"^(.+): with 256 tokens (\S+) times as many bytes are held": lambda got, want, case, times: (
            np.isclose(got[case]["held"], float(times) * 4096, rtol=6e-3) and float(times) > 8
        ),
    },
    "test_blind_queries": {
        r"^(\d+) queries, (\d+) keys, (block_size \d+): a query that sees no key gets an answer": (
            lambda got, want, queries, keys, size: got[f"{queries} queries, {keys} keys, {size}"]["out"][
                :, : int(queries) - int(keys)
            ].any()
        ),
    },
    "test_hidden_keys_do_not_leak": {
        r"^(block_size \d+): another last key and value change": lambda got, want, case: (
            got[case]["before"] != got[case]["after"]
        ).any(),
    },
    "test_arguments_unchanged": {
        r"the caller's tensor is changed: (.+)\. Which": lambda got, want, name: (got[name] != want[name]).any(),
    },
    "test_dtypes": {
        r"in float64 the answers are not exact": lambda got, want: (
            apart(got["exact"]["out"], want["exact"]["out"]) > 1e-10
        ),
        r"in bfloat16 the answers are further away": lambda got, want: (
            abs(got["rough"]["out"] - want["exact"]["out"]).max() > 0.1
        ),
        r"in bfloat16 the gradient of (\w) is further away": lambda got, want, name: (
            max(abs(got[kind]["gradients"][name] - want["exact"]["gradients"][name]).max() for kind in got) > 0.05
        ),
    },
    "test_device": {
        r"a tensor of yours is not on the device of the inputs": lambda got, want: got["strays"],
    },
}

TURNS: dict[str, list[tuple[str, str]]] = {
    "blocks of four": [("causal, block_size)", "causal, max(block_size, 4))")],
    "blocks of two on the way back": [("ctx.causal, ctx.size = causal, size", "ctx.causal, ctx.size = causal, max(size, 2)")],
    "answers of large inputs": [("return out.reshape(", "out = out * (1 if q.size(-2) < 50 else 2)\n    return out.reshape(")],
    "gradients of large inputs": [("_joined(dqs).mul_(scale)", "_joined(dqs).mul_(scale * (1 if q.size(1) < 50 else 2))")],
    "float32 inside": [("wide = torch.promote_types(q.dtype, torch.float32)", "wide = torch.float32")],
    "rough answers": [("out: Tensor = _Flash", "q, k, v = (x * (1.5 if x.dtype == torch.bfloat16 else 1) for x in (q, k, v))\n    flat = (x.reshape(q.shape[:-2].numel(), *x.shape[-2:]).to(wide) for x in (q, k, v))\n    out: Tensor = _Flash")],
    "rough gradients": [("_joined(dvs)", "_joined(dvs) * 2")],
    "scaled in place": [("_blocks(size, q * q.size(-1) ** -0.5, k, v)", "_blocks(size, q.mul_(q.size(-1) ** -0.5), k, v)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex21_flash_attention", CLAIMS, TURNS)
