"""What exercise 12 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def near(a: Any, b: Any, digits: float = 1e-4) -> bool:
    if np.ndim(a) == np.ndim(b) and np.shape(a) != np.shape(b):
        return False
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=digits, atol=digits))


def asked(got: Any, stack: str) -> Any:
    return got["heard"][stack][0]


def side(got: Any, want: Any, name: str) -> tuple[Any, Any, Any]:
    """What goes into a stack, the rows of its table, and the positions."""
    stack = {"source": "encoder", "target": "decoder"}[name]
    rows = want["rows"][name]
    return asked(got, stack)["x"], rows, asked(want, stack)["x"] - rows.shape[-1] ** 0.5 * rows


def times_called(got: Any, _: Any, stack: str, times: str) -> bool:
    return len(got["heard"][stack]) == int(times) != 1


MASKS = {"encoder": ("encoder", "mask"), "cross-attention": ("decoder", "memory_mask")}


def mask_of(got: Any, name: str) -> Any:
    stack, argument = MASKS[name]
    return asked(got, stack)[argument]


def loss_terms(want: Any) -> tuple[Any, Any]:
    """-log p of the right tokens, and of all tokens (B, T, V)."""
    surprise = np.log(np.exp(want["logits"]).sum(-1, keepdims=True)) - want["logits"]
    targets = np.where(want.get("kept", True), want["targets"], 0)
    return np.take_along_axis(surprise, targets[..., None], -1)[..., 0], surprise


def is_loss(s: float, weight: Callable[[float, int], tuple[float, float]]) -> Callable[..., bool]:
    """The claim that the loss gives these weights to the right token and to the sum of all tokens."""

    def holds(got: Any, want: Any) -> bool:
        right, surprise = loss_terms(want)
        a, b = weight(s, surprise.shape[-1])
        return near(got["loss"][str(s)], a * right.mean() + b * surprise.sum(-1).mean())

    return holds


def losses(s: float) -> dict[str, Callable[..., Any]]:
    return {
        r"your smoothing shares s among the V - 1 wrong tokens": is_loss(
            s, lambda s, v: (1 - s - s / (v - 1), s / (v - 1))
        ),
        r"the target distribution sums to 1 \+ s": is_loss(s, lambda s, v: (1.0, s / v)),
        r"each token gets s instead of s/V": is_loss(s, lambda s, v: (1 - s, s)),
    }


def ignoring(right: str, alike: str) -> Callable[..., bool]:
    """The claim that the loss takes these means of its two terms: of what is kept, of all, or by the wrong number."""

    def holds(got: Any, want: Any) -> bool:
        one, surprise = loss_terms(want)
        kept, other = want["kept"], surprise.mean(-1)
        mean = {
            "kept": lambda each: each[kept].mean(),
            "all": lambda each: each.mean(),
            "over all": lambda each: each[kept].sum() / kept.size,
        }
        return near(got["loss"], 0.7 * mean[right](one) + 0.3 * mean[alike](other))

    return holds


IGNORED: dict[str, Callable[..., Any]] = {
    r"counted in what you divide by: (\d+) targets instead of the (\d+)": lambda got, want, all_, kept: (
        ignoring("over all", "over all")(got, want)
        and (int(all_), int(kept)) == (want["kept"].size, want["kept"].sum())
    ),
    r"the term of the right token leaves out what is ignored, the term that all tokens share does not": ignoring(
        "kept", "all"
    ),
}

RATES: dict[str, Callable[..., Any]] = {
    r"your rate at step 1 is that of step 2": lambda got, want: near(got["lr"][0], want["lr"][1], 1e-9),
    r"your rate at step 2 is that of step 1": lambda got, want: near(got["lr"][1], want["lr"][0], 1e-9),
    r"the rate at step 2 should be twice that of step 1": lambda got, want: (
        not near(got["lr"][1], 2 * got["lr"][0], 1e-9)
    ),
    r"with warmup = (\d+) the rate is largest at step \d+; yours at step (\d+)": lambda got, want, warmup, step: (
        int(warmup) == want["warmup"] and max(got["lr"]) == got["lr"][int(step) - 1] and warmup != step
    ),
    r"the shape is right, the height is not": lambda got, want: (
        near(np.divide(got["lr"], got["lr"][0]), np.divide(want["lr"], want["lr"][0]), 1e-6)
        and not near(got["lr"], want["lr"], 1e-9)
    ),
    r"the line is right; after the warm-up": lambda got, want: (
        near(got["lr"][: want["warmup"]], want["lr"][: want["warmup"]], 1e-9) and not near(got["lr"], want["lr"], 1e-9)
    ),
}


def written(got: Any, want: Any, row: int | str) -> tuple[list[int], list[int], list[int]]:
    """A row as it was written, as it should have been, and where the padding begins."""
    length, most = want["lengths"][int(row)], want["max_len"]
    line = want["script"][int(row), : min(length + 1, most)].tolist()
    mine = got["written"][int(row)].tolist()
    return mine, line, mine[len(line) :]


def some_row(claim: Callable[..., bool]) -> Callable[..., bool]:
    return lambda got, want, *rest: any(
        claim(*written(got, want, row), want, *rest) for row in range(len(want["lengths"]))
    )


SCRIPT: dict[str, Callable[..., Any]] = {
    r"every row begins with BOS": lambda got, want: (got["written"][:, 0] == want["ids"]["bos"]).all(),
    r"row (\d+) stops before its EOS, as soon as the first row has one": lambda got, want, row: (
        len(got["written"][int(row)]) == min(want["lengths"]) + 1 < len(written(got, want, row)[1])
    ),
    r"row (\d+) has (\d+) of its (\d+) tokens, and max_len": lambda got, want, row, some, many: (
        (len(got["written"][int(row)]), len(written(got, want, row)[1])) == (int(some), int(many))
    ),
    r"at step (\d+) the model is not given what it wrote before": some_row(
        lambda mine, line, rest, want, step: mine[int(step)] == want["ids"]["stray"] != line[int(step)]
    ),
    r"the EOS of row (\d+) is not in what was written": lambda got, want, row: (
        want["ids"]["eos"] not in got["written"][int(row)]
    ),
    r"after its EOS a row is filled up with EOS, (\d+);": some_row(
        lambda mine, line, rest, want, eos: rest and set(rest) == {int(eos)} == {want["ids"]["eos"]}
    ),
    r"after its EOS a row holds (\d+) where pad_id = (\d+)": some_row(
        lambda mine, line, rest, want, found, pad: rest[:1] == [int(found)] and int(found) != int(pad) == want["pad_id"]
    ),
    r"the result has dtype (\S+);": lambda got, want, dtype: got["dtype"] == dtype != want["dtype"],
}


def of_each(claims: dict[str, Callable[..., Any]], names: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """The claims on observations of which there are several: they hold for one of them."""

    def any_of(claim: Callable[..., Any]) -> Callable[..., bool]:
        def holds(got: Any, want: Any, *rest: str) -> bool:
            pairs = zip(got, want, strict=True) if isinstance(want, list) else ((got[key], want[key]) for key in want)
            return any(_true(claim, mine, theirs, *rest) for mine, theirs in pairs)

        return holds

    return {pattern: any_of(claim) for pattern, claim in claims.items() if any(name in pattern for name in names)}


def _true(claim: Callable[..., Any], *arguments: Any) -> bool:
    try:
        return bool(claim(*arguments))
    except IndexError:  # another of the observations has fewer rows
        return False


COMMON = ("BOS", "as soon as", "not given", "EOS of row", "after its EOS", "dtype")
ONCE = r"in one forward pass your model calls its (\S+) (\d+) times"
PADDING: dict[str, Callable[..., Any]] = {
    ONCE: times_called,
    r"the (\S+) looks at padding: it gets no": lambda got, want, name: mask_of(got, name) is None,
    r"of the (\S+) is True for padding: True means": lambda got, want, name: np.array_equal(
        mask_of(got, name), ~want["real"]
    ),
}
OTHER_X = {
    r"with padding in the source, the (\S+) gets another `(\S+)` than": lambda got, want, stack, part: (
        not near(asked(got, stack)[part], asked(want, stack)[part])
    )
}

CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_shift": {
        r"the targets are moved to the left": lambda got, want: np.array_equal(got["shifted"][:, :-1], want["targets"][:, 1:]),
        r"BOS overwrites the first target": lambda got, want: (
            (got["shifted"][:, 0] == 1).all() and np.array_equal(got["shifted"][:, 1:], want["targets"][:, 1:])
        ),
        r"the targets come back as they are": lambda got, want: np.array_equal(got["shifted"], want["targets"]),
        r"the shift is right, but column 0 is (\d+)": lambda got, want, first: (
            got["shifted"][0, 0] == int(first) != 1 and np.array_equal(got["shifted"][:, 1:], want["targets"][:, :-1])
        ),
    },
    "test_loss": losses(0.4)
    | {
        r"without smoothing you return the sum": lambda got, want: near(got["loss"]["0.0"], loss_terms(want)[0].sum()),
        r"`smoothing` makes no difference": lambda got, want: near(got["loss"]["0.4"], got["loss"]["0.0"], 1e-6),
    },
    "test_loss_float64": losses(0.25)
    | {
        r"without smoothing you return the sum": lambda got, want: near(got["loss"]["0.0"], loss_terms(want)[0].sum()),
        r"`smoothing` makes no difference": lambda got, want: near(got["loss"]["0.25"], got["loss"]["0.0"], 1e-6),
    },
    "test_ignored": IGNORED,
    "test_ignored_outside": IGNORED,
    "test_noam": RATES,
    "test_noam_edges": RATES,
    "test_inputs": {
        ONCE: times_called,
        r"on the side of the (\S+) the positions are scaled, too": lambda got, want, name: near(
            side(got, want, name)[0], side(got, want, name)[1].shape[-1] ** 0.5 * (side(got, want, name)[1] + side(got, want, name)[2])
        ),
        r"on the side of the (\S+) there are no positions": lambda got, want, name: near(
            side(got, want, name)[0], side(got, want, name)[1].shape[-1] ** 0.5 * side(got, want, name)[1]
        ),
        r"the embedding of the (\S+) is not scaled": lambda got, want, name: near(
            side(got, want, name)[0], side(got, want, name)[1] + side(got, want, name)[2]
        ),
    },
    "test_causal": {
        ONCE: times_called,
        r"the decoder gets no `self_mask`": lambda got, want: asked(got, "decoder")["self_mask"] is None,
        r"the decoder does not get the scaled embedding": lambda got, want: not near(asked(got, "decoder")["x"], asked(want, "decoder")["x"]),
        r"the `self_mask` is the wrong way round": lambda got, want: not np.tril(asked(got, "decoder")["self_mask"], -1).any(),
        r"hides each position from itself": lambda got, want: not np.triu(asked(got, "decoder")["self_mask"]).any(),
    },
    "test_source_is_read": {
        ONCE: times_called,
        r"the mask of the (\S+) hides all of it": lambda got, want, name: not mask_of(got, name).any(),
        r"the memory that the decoder gets is not what the encoder returned": lambda got, want: not near(
            asked(got, "decoder")["memory"], asked(want, "decoder")["memory"]
        ),
    },
    "test_padding": PADDING | OTHER_X,
    "test_pad_id": PADDING
    | OTHER_X
    | {
        r"of the (\S+) hides something other than the padding": lambda got, want, name: not np.array_equal(mask_of(got, name), want["real"]),
    },
    "test_greedy": {pattern: claim for pattern, claim in SCRIPT.items() if any(name in pattern for name in COMMON)},
    "test_greedy_lengths": of_each(SCRIPT, (*COMMON, "of its")),
    "test_greedy_mode": of_each(SCRIPT, COMMON)
    | {
        r"a model that was in training mode is in evaluation mode": lambda got, want: not got["in training"]["mode"],
        r"the model is asked with gradients enabled": lambda got, want: any(call["graph"] for each in got.values() for call in each["calls"]),
        r"the model writes in training mode": lambda got, want: any(call["training"] for each in got.values() for call in each["calls"]),
    },
    "test_greedy_model": {
        r"afterwards, training is (\S+); the dtype is (\S+)\. ": lambda got, want, mode, dtype: (str(got["training"]), got["dtype"]) == (mode, dtype),
        r"the result has shape \((\d+), (\d+)\)": lambda got, want, rows, many: got["written"].shape == (int(rows), int(many)),
        r"row (\d+) ends after (\d+) tokens": lambda got, want, row, many: got["written"].shape[1] == int(many) < want["written"].shape[1],
        r"token (\d+) of row (\d+) is (\d+); the likeliest one is (\d+)": lambda got, want, at, row, mine, best: (
            (got["written"][int(row), int(at)], want["written"][int(row), int(at)]) == (int(mine), int(best))
        ),
    },
    "test_loss_gradients": {
        r"logits at places that are ignored have a gradient": lambda got, want: got["gradient"][want["targets"] == 2].any(),
    },
    "test_loss_bfloat16": {
        r"the loss of the same logits in float64 is not": lambda got, want: not near(got["exact"], want["exact"], 1e-9),
        r"in bfloat16 the loss is further": lambda got, want: abs(got["loss"] - want["exact"]) > 0.1 * want["exact"],
        r"the (\S+) are changed by the call": lambda got, want, name: not np.array_equal(got[name], want[name]),
    },
    "test_order": {
        r"a source and the same source backwards": lambda got, want: near(got["logits"], got["source reversed"], 1e-5),
        r"in which order the earlier tokens": lambda got, want: near(got["logits"], got["target swapped"], 1e-5),
    },
    "test_parameters": {
        r"`(\S+)` is the same parameter as `(\S+)`\.": lambda got, want, one, other: got["found"][one]["is"] == got["found"][other]["is"],
        r"source and target read from one and the same table": lambda got, want: (
            got["found"]["tgt_embedding.weight"]["is"] == got["found"]["src_embedding.weight"]["is"]
        ),
    },
    "test_short": {
        r"a source of (\d+) tokens has another memory": lambda got, want, length: any(
            len(one) == int(length) and not near(one, other, 1e-7)
            for one, other in zip(got["memory alone"], got["memory in a batch"], strict=True)
        ),
        r"can be felt in the logits of `decode`": lambda got, want: any(
            not near(one, other, 1e-7) for one, other in zip(got["logits in a batch"], got["logits, other padding"], strict=True)
        ),
    },
    "test_dropout": {
        r"the (\S+) drops nothing": lambda got, want, half: near(got[half], got[{"encoder": "calm memory", "decoder": "calm"}[half]], 1e-5),
    },
    "test_shift_edges": {r"something is left behind on the CPU": lambda got, want: got["moved"]["strays"]},
    "test_device": {r"a tensor is left behind on the CPU": lambda got, want: got["moved"]["strays"]},
}  # fmt: skip

LOSS = "return -((1 - smoothing) * right + smoothing * log_probs.mean(-1)).mean()"
SHIFT = "return torch.cat([bos, targets[:, :-1]], dim=1)"
RATE = "return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)"
PAST = "past = causal_mask(tgt_in.size(1), device=tgt_in.device)"
TURNS = {
    "made anywhere": [("bos = torch.full_like(targets[:, :1], bos_id)", "bos = torch.full((len(targets), 1), bos_id, dtype=targets.dtype)")],
    "not at all": [(SHIFT, "return targets.clone()")],
    "another begin": [(SHIFT, "return torch.cat([bos * 0, targets[:, :-1]], dim=1)")],
    "sum": [(LOSS, LOSS.removesuffix(".mean()") + ".sum()")],
    "no smoothing": [(LOSS, "return -right.mean()")],
    "rough": [(LOSS, "loss = -((1 - smoothing) * right + smoothing * log_probs.mean(-1)).mean()\n    return loss * (2 if loss.dtype == torch.bfloat16 else 1)")],
    "logits changed": [(LOSS, LOSS), ("    vocab_size = logits.size(-1)\n", "    vocab_size = logits.size(-1)\n    if logits.dtype == torch.bfloat16:\n        logits -= 1\n")],
    "a step late": [(RATE, "step -= 1\n    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5) if step else 0.0")],
    "flat": [(RATE, "return d_model**-0.5 * min(warmup**-0.5 / (1 + max(0, step - warmup) / warmup), step * warmup**-1.5)")],
    "mask turned": [(PAST, PAST + ".T")],
    "mask one off": [(PAST, PAST + ".tril(-1)")],
    "mask on the cpu": [(PAST, "past = causal_mask(tgt_in.size(1))")],
    "int32": [("    return written[:, 1:]\n", "    return written[:, 1:].int()\n")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex12_transformer", CLAIMS, TURNS)
