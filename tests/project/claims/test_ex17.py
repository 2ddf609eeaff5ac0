"""What exercise 17 says of wrong code is true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def same(a: Any, b: Any) -> bool:
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=1e-7, atol=1e-7))


def right_at(got: Any, want: Any) -> list[bool]:
    """At which positions all logits are right."""
    return [same(got["logits"][:, i], want["logits"][:, i]) for i in range(want["logits"].shape[1])]


def work(what: str) -> dict[str, Callable[..., Any]]:
    return {
        r"^`(\S+)` is multiplied by (\d+) rows .*" + what: lambda got, want, name, rows: (
            got["rows"][name] == int(rows) > want["rows"][name]
        ),
        r"the matrix products take (\d+) multiplications where (\d+) do": lambda got, want, mine, right: (
            got["multiplications"] == int(mine) > int(right) == want["multiplications"]
        ),
    }


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_append": {
        r"the new (keys|values) come first": lambda got, want, name: any(
            same(mine[name][:, :, :new], right[name][:, :, -new:])
            for mine, right, new in zip(got["appended"], want["appended"], (3, 1, 2), strict=True)
        ),
    },
    "test_one_by_one": {
        r"the first three tokens, read at once, are right, and position (\d+), read": lambda got, want, at: (
            all(right_at(got, want)[: int(at)]) and int(at) >= 3 and not right_at(got, want)[int(at)]
        ),
    },
    "test_pieces": {
        r"of five tokens that come at once after two others, the last one is right": lambda got, want: (
            right_at(got, want)[6] and not all(right_at(got, want)[2:6])
        ),
    },
    "test_work": {
        r"the logits are not those that the model gives": lambda got, want: not same(got["logits"], want["logits"]),
        **work("tokens are new"),
    },
    "test_work_of_writing": {
        r"the text is not the one that generate": lambda got, want: (got["text"] != want["text"]).any(),
        **work("2 texts of 13 tokens"),
    },
    "test_dropout_and_mode": {
        r"a model that was (training|evaluating) is no longer so after (forward|writing)": lambda got, want, was, at: (
            got[was][f"after {at}"] != [was == "training"] * 2
        ),
        r"the logits are right for a model in evaluation mode, and others for one in training": lambda got, want: (
            all(map(same, got["evaluating"]["logits"], want["evaluating"]["logits"]))
            and not all(map(same, got["training"]["logits"], want["training"]["logits"]))
        ),
    },
    "test_frequencies": {
        r"with (.+?), 900 texts of one batch get the same tokens": lambda got, want, how: got[how]["alike"],
        r"with (.+?), a token of probability (\S+) is the first new one of (\d+) texts": lambda got, want, how, p, n: (
            any(
                abs(chance - float(p)) < 6e-4
                and (got[how]["drawn"] == token).sum() == int(n)
                and abs(int(n) - 900 * chance) > 5 * (900 * chance * (1 - chance)) ** 0.5
                for token, chance in enumerate(want[how]["probs"])
            )
        ),
    },
    "test_generator": {
        r"two generators with the same seed give different texts": lambda got, want: (
            got["first"] != got["again"]
        ).any(),
        r"one generator gives the same text twice in a row": lambda got, want: (got["again"] == got["more"]).all(),
        r"without a generator, two calls give the same text": lambda got, want: (
            got["without"][0] == got["without"][1]
        ).all(),
    },
    "test_no_graph": {
        r"carries a graph for gradients": lambda got, want: got["graph"],
    },
    "test_device": {
        r"not on the device of the keys and values": lambda got, want: got["cache"]["strays"],
        r"not on the device of the ids": lambda got, want: got["model"]["strays"],
    },
}

SEEDED = [
    ("cache, fresh = KVCache(), ids", "generator = torch.Generator().manual_seed(0)\n    cache, fresh = KVCache(), ids")
]
TURNS = {
    "seeded inside": SEEDED,
    "seeded where no generator is given": [
        (
            "cache, fresh = KVCache(), ids",
            "generator = generator or torch.Generator().manual_seed(0)\n    cache, fresh = KVCache(), ids",
        )
    ],
    "one draw for all": [
        (
            "fresh = torch.multinomial(probs, 1, generator=generator)",
            "fresh = torch.multinomial(probs[:1], 1, generator=generator).expand(len(ids), 1)",
        )
    ],
    "head for everything": [
        (
            "return model.lm_head(model.final_norm(x))",
            "return model.lm_head(model.final_norm(torch.cat([x, x], 1)))[:, : x.size(1)]",
        )
    ],
    "copied weights": [
        (
            "        return model.lm_head(model.final_norm(x))",
            "        _ = torch.cat([x] * 99, 1) @ model.lm_head.weight.t().clone()\n"
            "        return model.lm_head(model.final_norm(x))",
        )
    ],
    "values on the cpu": [
        (
            "        self._kept[layer] = keys, values\n",
            '        keys = keys + torch.zeros(1, device="cpu")\n        self._kept[layer] = keys, values\n',
        )
    ],
}


def test_what_is_said_is_true(hold):
    hold("ex17_kv_cache", CLAIMS, TURNS)
