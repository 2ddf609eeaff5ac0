"""ablations: what each change of exercise 23's recipe buys, the table of its lesson, measured again on one thread.

The reference's `speedrun` with one of its parts taken away, 240 steps on the first nine tenths of the first nine tenths
of the text; judged on the rest of these. The text is that of the benchmark `speedrun`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from bench.measure import Row
from bench.speedrun import CONTEXT, text
from grader.files import ROOT
from grader.probing.assembly import Assembly, read_folder
from lab.text import full_loss

STEM, STEPS, SEEDS = "ex23_muon", 240, (0, 1, 2)
ZEROS = {
    "nn.init.zeros_(layer.weight)": "nn.init.normal_(layer.weight, std=width**-0.5)",
    "nn.init.zeros_(self.head.weight)": "nn.init.normal_(self.head.weight, std=width**-0.5)",
}
TAKEN: dict[str, dict[str, str]] = {  # away from the recipe, as edits of the reference
    "the whole recipe": {},
    "without rotary positions (learned ones)": {
        "(rotate(_norm(part), positions, base=30.0) for part in (q, k))": "(_norm(part) for part in (q, k))",
        "        nn.init.zeros_(self.head.weight)\n": (
            "        nn.init.zeros_(self.head.weight)\n"
            "        self.position = nn.Parameter(torch.randn(64, width) * 0.02)\n"
        ),
        "(0, 0, 1, 0))  # (B, T, D)": "(0, 0, 1, 0)) + self.position[:length]",
    },
    "without Muon: AdamW at 0.005": {
        "(Muon(matrices, momentum=0.9), 0.05)": "(AdamW(matrices, betas=(0.9, 0.95), weight_decay=0.0), 0.005)"
    },
    "without a head of its own (tied)": {
        "self.head(_norm(x))": "F.linear(_norm(x), self.token.weight) / x.size(-1) ** 0.5"
    },
    "without the embedding of the previous token": {" + F.pad(self.previous(ids[:, :-1]), (0, 0, 1, 0))": ""},
    "without squared ReLU (GELU)": {"F.relu(self.up(_norm(x))).square()": "F.gelu(self.up(_norm(x)))"},
    "without zeros at the start": ZEROS,
    "without normalized queries and keys": {"rotate(_norm(part), positions": "rotate(part, positions"},
}


def rows(_runs: int) -> Iterator[Row]:
    """The loss of each, a mean over three seeds."""
    torch.set_num_threads(1)
    known = text()
    known = known[: 9 * len(known) // 10]
    for name, edits in TAKEN.items():
        sources = read_folder(ROOT / "solutions", "reference")
        code = sources[STEM].text
        for old, new in edits.items():
            if old not in code:
                raise ValueError(f"the reference of {STEM} has no {old!r} any more")
            code = code.replace(old, new)
        with Assembly(sources | {STEM: replace(sources[STEM], text=code)}) as assembly:
            losses = [loss(assembly.exercise(STEM).speedrun, known, seed) for seed in SEEDS]
        single = ", ".join(f"{loss:.3f}" for loss in losses)
        yield Row(f"ablations: {name}", statistics.mean(losses), None, "nats/char", len(losses), single)


def loss(speedrun: Callable[..., Any], known: str, seed: int) -> float:
    """That of a model on the last tenth of the text, which it was not trained on."""
    model, tokenizer, _ = speedrun(known, seed=seed, steps=STEPS)
    held_out = torch.tensor(tokenizer.encode(known))[9 * len(known) // 10 :]
    with torch.no_grad():
        return full_loss(model, held_out, length=CONTEXT)
