"""What exercise 14 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

FIRST_HELD_OUT = 40


def near(a: Any, b: Any, room: float = 6e-3) -> bool:
    """Equal to the places that a message shows."""
    return bool(np.allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), rtol=room, atol=1e-9))


def same(a: Any, b: Any, room: float = 1e-6) -> bool:
    return np.shape(a) == np.shape(b) and bool(np.allclose(a, b, rtol=room, atol=room))


def first_steps(got: Any, want: Any) -> tuple[np.ndarray, np.ndarray]:
    """How far each weight moves in AdamW's first step, and should."""
    return got["after"][0]["w"] - want["start"], want["after"][0]["w"] - want["start"]


def stretches(windows: Any, tokens: Any) -> bool:
    text = "".join(f",{token}" for token in tokens) + ","
    return all("".join(f",{token}" for token in window) + "," in text for window in windows)


def held_out(calls: Any) -> list[Any]:
    return [call for call in calls if (call["ids"] >= FIRST_HELD_OUT).any()]


def in_steps(calls: Any) -> list[Any]:
    return [call for call in calls if call["graph"] and (call["ids"] < FIRST_HELD_OUT).all()]


def losses_on(text: Any, weights: Any) -> list[float]:
    """The mean loss of a bigram model on a text, for each of some weights."""
    result = []
    for each in weights:
        rows = (each["table"] + each["bias"])[text[:-1]]
        picked = rows[np.arange(len(rows)), text[1:]]
        result.append(float((np.log(np.exp(rows).sum(-1)) - picked).mean()))
    return result


def moved(got: Any, start: Any) -> float:
    return float(np.abs(got - start).max())


def rows_of(got: Any, run: str) -> list[int]:
    return [row["step"] for row in got[run]["rows"]]


HISTORY: dict[str, Callable[..., Any]] = {
    r"^(steps = .*): your rows are of the steps (\[.*\]); expected (\[.*\])\.": lambda got, want, run, mine, right: (
        str(rows_of(got, run)) == mine and str(rows_of(want, run)) == right and mine != right
    ),
    r"^(steps = .*): the row of step (\d+) has lr = (\S+); your cosine_lr says (\S+)\.$": (
        lambda got, want, run, step, lr, rate: any(
            row["step"] == int(step) and near(row["lr"], lr) and near(right, rate)
            for row, right in zip(got[run]["rows"], got[run]["rates"], strict=True)
        )
    ),
    r"^(steps = .*): a loss is infinite, or NaN\.": lambda got, want, run: "not finite" in str(got[run]),
    r"^(steps = .*): a loss is not a Python float": lambda got, want, run: "not a float" in str(got[run]["told"]),
}
MOVED = r"leave the weights where they are, or move one by more than 0.8"
RESUMED = r"^a training( of a model with dropout)? stopped in on_step at step (\d) "


def resumed(got: Any, dropout: str | None, stop: str) -> tuple[Any, Any]:
    """A run that was stopped, and the one that was not."""
    kind = "dropout" if dropout else "plain"
    return got[f"{kind}, {stop}"], got[f"{kind}, None"]


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_batch": {
        r"all rows of x are the same window": lambda got, want: len({tuple(row) for row in got["x"]}) == 1,
        r"y is the same as x": lambda got, want: (got["y"] == got["x"]).all(),
        r"y\[(\d), (\d)\] is not the token that follows": lambda got, want, row, column: (
            not stretches([[got["x"][int(row), int(column)], got["y"][int(row), int(column)]]], want["tokens"])
        ),
    },
    "test_adam": {
        r"off by a little, most where the gradient is least": lambda got, want: (
            np.argmax(np.abs(np.subtract(*first_steps(got, want)))) == np.argmin(np.abs(want["gradient"]))
        ),
        r"the first step is right, the second is not": lambda got, want: (
            same(got["after"][0]["w"], want["after"][0]["w"], 1e-5)
            and not same(got["after"][1]["w"], want["after"][1]["w"], 1e-5)
        ),
        r"yours is about (\S+) times as long": lambda got, want, times: near(
            np.median(np.divide(*first_steps(got, want))), times, 0.05
        ),
    },
    "test_decay": {
        r"the decay moves all its weights by lr": lambda got, want: near(
            np.abs(got["decayed"] - want["start"])[0], 0.1
        ),
        r"yours lose (\S+)\.$": lambda got, want, share: near(1 - got["decayed"][0] / want["start"][0], share),
        r"weights with zero gradients decay as they should, others don't": lambda got, want: (
            same(got["decayed"][0], 0.95 * want["start"][0], 1e-8)
            and not same(got["plain"] - got["decayed"], 0.05 * want["start"], 1e-9)
        ),
    },
    "test_cosine": {
        r"the rate at step (\d+) should be (\S+); yours is (\S+)\. Step 0 is": lambda got, want, at, right, mine: (
            near(want["rates"][int(at)], right) and near(got["rates"][int(at)], mine) and int(at) < want["warmup"]
        ),
        r"ends at step (\d+) with max_lr = 0.3; your rate there is (\S+)\. From": lambda got, want, at, mine: (
            int(at) == want["warmup"] and near(got["rates"][int(at)], mine) and not near(mine, 0.3, 1e-3)
        ),
        r"after the end the rate stays at min_lr = 0.02; at step (\d+) yours is (\S+)\.$": lambda got, want, at, mine: (
            int(at) > want["total"] and near(got["rates"][int(at)], mine) and not near(mine, 0.02, 1e-3)
        ),
        r"both ends are right, .* at step (\d+) the rate should be (\S+); yours is (\S+)\.$": (
            lambda got, want, at, right, mine: (
                near(got["rates"][int(at)], mine)
                and near(want["rates"][int(at)], right)
                and same(got["rates"][: want["warmup"] + 1], want["rates"][: want["warmup"] + 1])
                and same(got["rates"][want["total"] :], want["rates"][want["total"] :])
            )
        ),
    },
    "test_clip": {
        r"each gradient is clipped by itself": lambda got, want: all(
            near(np.linalg.norm(one), min(0.5, np.linalg.norm(other)))
            for one, other in zip(got["gradients"], want["before"], strict=True)
        ),
        r"not all scaled by the same factor": lambda got, want: (
            np.ptp(np.concatenate([(a / b).ravel() for a, b in zip(got["gradients"], want["before"], strict=True)]))
            > 1e-4
        ),
        r"should have the norm 0.5; yours have (\S+)\.$": lambda got, want, norm: near(
            np.linalg.norm(np.concatenate([one.ravel() for one in got["gradients"]])), norm
        ),
        r"what is returned is the norm after clipping": lambda got, want: near(
            np.linalg.norm(np.concatenate([one.ravel() for one in got["gradients"]])), got["norm"]
        ),
    },
    "test_groups": {
        r"`(\w+)` has fewer than two dimensions, .* yours is (\S+)\.$": lambda got, want, name, mine: (
            want[name] == [0.0] and got[name] == [float(mine)] != [0.0]
        ),
    },
    "test_evaluate": {
        r"all batches are the same one": lambda got, want: (
            got["once"]["windows"].reshape(5, 3, 4) == got["once"]["windows"][:3]
        ).all(),
        r"the mean loss of the windows that the model was given is (\S+); yours is (\S+)\.$": (
            lambda got, want, right, mine: near(got["once"]["loss"], mine, 1e-4) and not near(right, mine, 1e-4)
        ),
        r"two calls with generators of one seed draw different batches": lambda got, want: (
            got["once"]["windows"] != got["again"]["windows"]
        ).any(),
        r"what is returned is the loss of the last batch alone": lambda got, want: near(
            got["once"]["loss"],
            np.mean(
                [
                    losses_on(want["tokens"][start : start + 5], [want])
                    for start in (list(want["tokens"]).index(window[0]) for window in got["once"]["windows"][-3:])
                ]
            ),
            1e-4,
        ),
    },
    "test_history": HISTORY,
    "test_state": {
        r"the state that was given still says step 0": lambda got, want: got["state.step at the end"] == 0,
        r"1 to 5; yours is (\[.*\])": lambda got, want, mine: str(got["state.step in on_step"]) == mine,
    },
    "test_batch_starts": {
        r"all windows start at multiples": lambda got, want: set(got["x"][:, 0] % want["length"]) == {0},
        r"some rows of y are not the rows of x one token later": lambda got, want: (got["y"] - got["x"] != 1).any(),
        r"the first window of the corpus is never drawn": lambda got, want: got["x"].min() > 0,
        r"300 batches that are drawn from one generator, .*, are all the same": lambda got, want: (
            len({tuple(pair) for pair in got["pairs"]}) == 1
        ),
        r"of 300 batches of two windows, .* (\d+) hold one window twice": lambda got, want, twice: (
            sum(one == other for one, other in got["pairs"]) == int(twice)
        ),
        r"the last window that fits is never drawn": lambda got, want: got["x"][:, 0].max() < want["n_starts"] - 1,
    },
    "test_batch_generator": {
        r"two batches drawn from one generator are the same": lambda got, want: same(
            got["first"][0], got["first"][1], 0.5
        ),
        r"two generators of one seed give different batches": lambda got, want: any(
            (one != other).any() for one, other in zip(got["first"], got["again"], strict=True)
        ),
    },
    "test_batch_device": {
        r"with a corpus of int32, some rows of y are not": lambda got, want: (
            not stretches(
                [[x, y] for x, y in zip(got["int32"][0].ravel(), got["int32"][1].ravel(), strict=True)], want["tokens"]
            )
        ),
    },
    "test_adam_options": {
        r"with the constructor's lr": lambda got, want: (
            not same(got["first steps"][0]["vector"], want["first steps"][0]["vector"], 1e-8)
        ),
        r"with its group's own lr": lambda got, want: (
            not same(got["first steps"][0]["cube"], want["first steps"][0]["cube"], 1e-8)
        ),
        r"with options all steps are right, with those by default they are not": lambda got, want: (
            same(got["after a new lr"][-1]["vector"], want["after a new lr"][-1]["vector"], 1e-7)
            and not same(got["by default"][-1]["w"], want["by default"][-1]["w"], 1e-7)
        ),
    },
    "test_adam_counts": {
        r"a parameter that never has a gradient is changed": lambda got, want: (
            got["together"]["never"] != want["start"]["never"]
        ).any(),
        r"whose first gradient comes in step 3 goes wrong": lambda got, want: (
            not same(got["together"]["late"], got["alone"]["late"], 1e-9)
        ),
    },
    "test_adam_state": {
        r"does not go on as that one does": lambda got, want: (
            not same(got["resumed"][-1]["a"], got["uninterrupted"][-1]["a"], 1e-9)
            or not same(got["resumed"][-1]["b"], got["uninterrupted"][-1]["b"], 1e-9)
        ),
        r"as if it had never stepped before": lambda got, want: all(
            same(got["resumed"][-1][name], got["fresh"][-1][name], 1e-8) for name in ("a", "b")
        ),
    },
    "test_adam_closure": {
        r"gradients are off while the closure runs": lambda got, want: got["calls"] == [False],
    },
    "test_clip_edges": {
        r"gradients that are shorter than max_norm are changed": lambda got, want: (
            not same(got["gradients"]["short"][0], want["before"]["short"][0], 1e-7)
        ),
        r"scaled in new tensors; the old ones": lambda got, want: not got["in place"],
        r"gradients that are too long are left as they were": lambda got, want: same(
            got["gradients"]["some without"][1], want["before"]["some without"][1]
        ),
    },
    "test_groups_tied": {
        r"`(\S+)` is in the groups (\d) times": lambda got, want, name, count: len(got[name]) == int(count) != 1,
        r"`(\S+)` is frozen": lambda got, want, name: got[name] and not want[name],
        r"`(\w+)` has fewer than two dimensions, .* yours is (\S+)\.$": lambda got, want, name, mine: (
            want[name] == [0.0] and got[name] == [float(mine)] != [0.0]
        ),
    },
    "test_evaluate_mode": {
        r"a model that was (in \w+) mode is not in it": lambda got, want, came: (
            got[came]["modes"] != [came == "in training"] * 2
        ),
        r"evaluated with gradients enabled": lambda got, want: any(graph for _, graph in got["in training"]["calls"]),
        r"in training mode while it is evaluated": lambda got, want: any(
            mode for mode, _ in got["in training"]["calls"]
        ),
    },
    "test_train_steps": {
        r"of the matrix, the weights without a gradient are not": lambda got, want: (
            same(got["after"][0]["bias"], want["after"][0]["bias"], 1e-3)
            and not any(
                same(row, 0.9 * start, 1e-5)
                for row, start in zip(got["after"][0]["table"], want["start"]["table"], strict=True)
            )
        ),
        r"the biases decay": lambda got, want: same(
            want["after"][0]["bias"] - got["after"][0]["bias"], 0.1 * want["start"]["bias"], 1e-3
        ),
        r"the first step changes no weight": lambda got, want: same(got["after"][0]["bias"], want["start"]["bias"]),
        r"the first step is (\S+) times as long": lambda got, want, times: near(
            np.linalg.norm(got["after"][0]["bias"] - want["start"]["bias"])
            / np.linalg.norm(want["after"][0]["bias"] - want["start"]["bias"]),
            times,
        ),
        r"the first step is right, the second is not": lambda got, want: (
            same(got["after"][0]["bias"], want["after"][0]["bias"], 1e-3)
            and not same(got["after"][1]["bias"], want["after"][1]["bias"], 1e-4)
        ),
    },
    "test_train_losses": {
        r"after step (\d) the held-out loss is (\S+); the row's val_loss is (\S+)\.$": (
            lambda got, want, step, right, mine: (
                near(losses_on(want["texts"][1], got["weights"])[int(step)], right, 1e-3)
                and near(got["rows"][int(step) // 3 - 1][1], mine, 1e-3)
            )
        ),
        r"at step (\d) on_step is told of a loss of (\S+); .* had (\S+) before the step": (
            lambda got, want, step, told, right: (
                near(got["told"][int(step) - 1], told, 1e-3)
                and near(losses_on(want["texts"][0], got["weights"])[int(step) - 1], right, 1e-3)
            )
        ),
        r"some weights are no longer finite": lambda got, want: any(
            not np.isfinite(each["table"]).all() for each in got["weights"]
        ),
        r"does not change in six steps": lambda got, want: near(
            *losses_on(want["texts"][0], [got["weights"][0], got["weights"][-1]]), 1e-3
        ),
    },
    "test_history_edges": HISTORY,
    "test_train_seed": {
        MOVED: lambda got, want: (
            not 1e-5 < moved(got["plain, once"]["table"], want["plain, once"]["start"]) < 0.8
            or not 1e-5 < moved(got["dropout, once"]["table"], want["dropout, once"]["start"]) < 0.8
        ),
        r"runs with different seeds end in the same weights": lambda got, want: any(
            same(got[f"{kind}, once"]["table"], got[f"{kind}, another seed"]["table"]) for kind in ("plain", "dropout")
        ),
        r"two runs with the same seed, weights and tokens differ with dropout": lambda got, want: (
            same(got["plain, once"]["table"], got["plain, again"]["table"])
            and not same(got["dropout, once"]["table"], got["dropout, again"]["table"], 1e-9)
        ),
    },
    "test_train_undisturbed": {
        MOVED: lambda got, want: any(
            not 1e-5 < moved(got[name]["table"], want[name]["start"]) < 0.8 for name in ("every 1", "every 5")
        ),
        r"yours reads the held-out text (\d) and (\d) times": lambda got, want, often, seldom: (
            bool(held_out(got["every 1"]["calls"])) == (often != "0")
            and bool(held_out(got["every 5"]["calls"])) == (seldom != "0")
        ),
        r"two evaluations read different windows": lambda got, want: (
            len({str(call["ids"].tolist()) for call in held_out(got["every 1"]["calls"])})
            > len({str(call["ids"].tolist()) for call in held_out(got["every 5"]["calls"])})
        ),
        r"with another config.seed an evaluation reads the same windows": lambda got, want: (
            str([call["ids"].tolist() for call in held_out(got["every 5"]["calls"])])
            == str([call["ids"].tolist() for call in held_out(got["another seed"]["calls"])])
        ),
        r"with more evaluations in between, the weights end up elsewhere": lambda got, want: (
            not same(got["every 1"]["table"], got["every 5"]["table"])
        ),
        r"with more evaluations, training draws other batches": lambda got, want: (
            str([call["ids"].tolist() for call in in_steps(got["every 1"]["calls"])])
            != str([call["ids"].tolist() for call in in_steps(got["every 5"]["calls"])])
        ),
    },
    "test_train_mode": {
        r"comes in evaluation mode is trained in it": lambda got, want: not in_steps(got["calls"])[0]["training"],
        r"an evaluation reads (\d+) windows; eval_batches = 2": lambda got, want, count: (
            sum(len(call["ids"]) for call in held_out(got["calls"])) == 3 * int(count) != 18
        ),
        r"in your six steps the model reads (\[.*\]) windows with gradients": lambda got, want, sizes: (
            sum(len(call["ids"]) for call in in_steps(got["calls"]))
            == sum(int(size) for size in sizes.strip("[]").split(","))
        ),
        r"the first steps run in training mode, later ones do not": lambda got, want: (
            in_steps(got["calls"])[0]["training"] and not in_steps(got["calls"])[-1]["training"]
        ),
        r"the held-out text is read in training mode": lambda got, want: any(
            call["training"] for call in held_out(got["calls"])
        ),
        r"the model is never evaluated on the held-out text": lambda got, want: not held_out(got["calls"]),
        r"the model meets held-out text with gradients enabled": lambda got, want: any(
            call["graph"] for call in held_out(got["calls"])
        ),
        r"the same batch is trained on in every step": lambda got, want: (
            len({str(call["ids"].tolist()) for call in in_steps(got["calls"])}) == 1
        ),
    },
    "test_resume": {
        RESUMED + "and resumed has another loss in its first step": lambda got, want, dropout, stop: (
            not near(*(run["told"][int(stop)][1] for run in resumed(got, dropout, stop)), 1e-6)
        ),
        RESUMED + "has other losses before the stop": lambda got, want, dropout, stop: (
            not same(*(run["told"][: int(stop)] for run in resumed(got, dropout, stop)))
        ),
        RESUMED + "and resumed has a history with other losses": lambda got, want, dropout, stop: (
            same(*(run["told"] for run in resumed(got, dropout, stop)))
            and not same(*(run["rows"] for run in resumed(got, dropout, stop)))
        ),
        RESUMED + "and resumed has the same loss in its first step": lambda got, want, dropout, stop: (
            same(*(run["told"][int(stop)] for run in resumed(got, dropout, stop)))
            and not same(*(run["table"] for run in resumed(got, dropout, stop)))
        ),
        RESUMED + r"and resumed makes the steps (\[.*\]) then; left are": lambda got, want, dropout, stop, mine: (
            str([step for step, _ in resumed(got, dropout, stop)[0]["told"]][int(stop) :]) == mine
        ),
        RESUMED + r"and resumed has rows of the steps (\[.*\]);": lambda got, want, dropout, stop, mine: (
            str([row[0] for row in resumed(got, dropout, stop)[0]["rows"]]) == mine
        ),
        r"seven steps with eval_every = 3 are seven calls": lambda got, want: (
            [row[0] for row in got["plain, None"]["rows"]] != [3, 6, 7] or len(got["plain, None"]["told"]) != 7
        ),
        MOVED: lambda got, want: any(
            not 1e-5 < moved(got[f"{kind}, None"]["table"], want[f"{kind}, None"]["start"]) < 0.8
            for kind in ("plain", "dropout")
        ),
    },
}


TURNS = {
    "one generator, one batch": [("generator=generator)", "generator=generator and generator.clone_state())")],
    "another default": [("eps: float = 1e-8", "eps: float = 1e-6")],
    "an eps of one's own": [("betas=config.betas)", "betas=config.betas, eps=1e-6)")],
    "clipped in new tensors": [
        ("    gradients = [", "    parameters = list(parameters)\n    gradients = ["),
        (
            "        for gradient in gradients:\n            gradient.mul_(max_norm / norm)",
            "        for one in parameters:\n            one.grad = one.grad if one.grad is None else one.grad / norm * max_norm",
        ),
    ],
    "every seed alike": [("state.generator = torch.Generator().manual_seed(config.seed)", "state.generator = torch.Generator().manual_seed(0)")],
    "no decay at all": [("parameter_groups(model, config.weight_decay)", "parameter_groups(model, 0.0)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex14_training", CLAIMS, TURNS)
