"""What exercise 16 says of wrong code is true, in the checks that do not train for long."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def read(tokens: list[int]) -> str:
    """Tokens as a text in which a run of them can be searched for."""
    return "".join(f",{token}" for token in tokens) + ","


def held_out(got: Any) -> str:
    """The last tenth, with a token before it, since the cut may be rounded either way."""
    return read(got["text"][len(got["text"]) - len(got["text"]) // 10 - 1 :])


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_complete_generator": {
        r"a model that was (training|evaluating) is not, or not all of it": lambda got, want, was: (
            got["training"][was == "evaluating"] != [was == "training"] * 2
        ),
        r"two generators of one seed give different texts": lambda got, want: not got["same generator, same text"],
        r"without a temperature, 200 tokens are others than with 0.8": lambda got, want: (
            not got["by default as at 0.8"] and got["same generator, same text"]
        ),
    },
    "test_device": {
        r"with device='(\w+)', the (.*) should be on (\w+), not on (\w+)\. (?:Whatever|Who)": (
            lambda got, want, device, name, place, mine: (
                got[device][f"the {name}"] == [mine] and want[device][f"the {name}"] == [place] and mine != place
            )
        ),
    },
    "test_history": {
        r"complete gives no text that goes on from the prompt": lambda got, want: (
            not got["written"].startswith(want["prompt"]) or got["written"] == want["prompt"]
        ),
        r"the history has rows for the steps (\[.*\]); expected": lambda got, want, mine: (
            str([row["step"] for row in got["history"]]) == mine != "[2, 4, 5]"
        ),
    },
    "test_reproducible": {
        r"are three calls of on_step and one row": lambda got, want: any(
            len(run["losses"]) != 3 or len(run["val_losses"]) != 1 for run in got["runs"]
        ),
        r"a row or a column of a fresh table of tokens is one number": lambda got, want: any(
            (abs(table - table[:1]).max(0) == 0).any() or (abs(table - table[:, :1]).max(1) == 0).any()
            for table in got["fresh"]
        ),
        r"two runs with the same seed start from different tables": lambda got, want: (
            abs(got["fresh"][0] - got["fresh"][1]).max() > 1e-6
        ),
        r"runs with the seeds 5 and 6 start from the same table": lambda got, want: (
            abs(got["fresh"][0] - got["fresh"][2]).max() < 1e-6
        ),
        r"two runs with the same seed differ in their first loss": lambda got, want: (
            abs(got["runs"][0]["losses"][0] - got["runs"][1]["losses"][0]) > 1e-6
        ),
    },
    "test_sizes": {
        r"was asked for (\S+=(\S+)) and built (\S+): is it": lambda got, want, case, asked, built: (
            str(got["built"][case]) == built != asked == str(want["asked"][case])
        ),
    },
    "test_start": {
        r"the first loss is (\S+); a model that knows nothing has ln (\d+) = (\S+)\. Does": (
            lambda got, want, first, size, fresh: (
                abs(got["heard"][0][1] - float(first)) < 0.006
                and abs(math.log(int(size)) - float(fresh)) < 0.006
                and int(size) == got["vocab_size"]
                and abs(float(first) - float(fresh)) > 0.39
            )
        ),
        r"in a training of 4 steps, on_step is called for the steps (\[.*\])\.$": lambda got, want, mine: (
            str([step for step, _ in got["heard"]]) == mine != "[1, 2, 3, 4]"
        ),
    },
    "test_who_reads_what": {
        r"on the text that was trained on is (\S+); a model that knows nothing has (\S+)\.": (
            lambda got, want, loss, fresh: float(loss) > float(fresh) - 0.31
        ),
        r"none of (\d+) windows that are trained on reaches beyond": lambda got, want, count: (
            len(got["drawn"]) == int(count)
            and all(read(row) in read(got["text"][: len(got["text"]) * 88 // 100]) for row in got["drawn"])
        ),
        r"no evaluation reads the last tenth of the text": lambda got, want: (
            not any(read(row) in held_out(got) for row in got["evaluated on"])
        ),
        r"the model is trained on the last tenth of the text": lambda got, want: (
            all(read(row) in read(got["text"]) for rows in got["trained on"] for row in rows)
            and any(row[-1] in got["text"][-600:] for rows in got["trained on"] for row in rows)
        ),
        r"something other than pieces of the text": lambda got, want: any(
            read(row) not in read(got["text"]) for rows in got["trained on"] for row in rows
        ),
        r"the model goes through (\d+) windows with gradients on, batch after batch": lambda got, want, count: (
            48 < int(count) <= sum(map(len, got["trained on"]))
        ),
    },
}


SEEDED = "torch.manual_seed(config.seed)"
TURNS = {
    "another temperature": [("temperature: float = 0.8", "temperature: float = 1.0")],
    "a column that is not drawn": [
        ("return GPT(config)", "made = GPT(config)\n    made.token_embedding.weight.data[:, 0] = 0.02\n    return made")
    ],
    "seeded in longer runs alone": [(SEEDED, f"{SEEDED} if config.steps > 1 else torch.seed()")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex16_capstone", CLAIMS, TURNS)
