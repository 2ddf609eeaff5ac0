"""What exercise 23 says of wrong code is true."""

# ruff: noqa: E501 - edits of code are as long as they are

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def times(got: Any, want: Any, factor: str) -> bool:
    """Whether one array is the other, times a factor that is not 1."""
    return bool(np.allclose(got, float(factor) * want, rtol=2e-2, atol=1e-9)) and abs(float(factor) - 1) > 1e-5


def cross_entropy(logits: Any, ids: Any) -> float:
    """The mean over all characters but the first of each row."""
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return float(-np.take_along_axis(logs, ids[:, 1:, None].astype(int), -1).mean())


CLAIMS: dict[str, dict[str, Callable[..., Any]]] = {
    "test_newton_schulz": {
        r"after one step your matrix is (\S+) times": lambda got, want, factor: times(
            got["one step"], want["one step"], factor
        ),
    },
    "test_muon": {
        r"the parameter is where it was": lambda got, want: np.allclose(got["after"][0]["w"], want["start"]),
        r"at another place in memory": lambda got, want: not got["in its place"],
        r"goes up the gradient instead of down": lambda got, want: np.allclose(
            got["after"][0]["w"] - want["start"], want["start"] - want["after"][0]["w"]
        ),
    },
    "test_shapes": {
        r"a matrix of shape \((\d+), (\d+)\) takes a step (\S+) times": lambda got, want, rows, columns, factor: any(
            start.shape == (int(rows), int(columns))
            and times(got["after"][0][name] - start, want["after"][0][name] - start, factor)
            for name, start in want["start"].items()
        ),
    },
    "test_speedrun": {
        r"the tokenizer does not give each character its place": lambda got, want: (got["ids"] != want["ids"]).any(),
        r"the tokenizer decodes what it made of '(.*)' as '(.*)'": lambda got, want, text, decoded: (
            (want["decoded"], got["decoded"]) == (text, decoded) and text != decoded
        ),
        r"a row of the history is no dict": lambda got, want: "no dict" in got["history"],
        r"a row of the history has (.+): it needs a number": lambda got, want, row: any(
            row == str(each) and not (isinstance(each["step"], int) and isinstance(each["val_loss"], float))
            for each in got["history"]
        ),
        r"the last row of the history is \{'step': (\d+), 'val_loss': (\S+)\}": lambda got, want, step, loss: (
            got["history"][-1] == {"step": int(step), "val_loss": float(loss)} and step != "2"
        ),
        r"context_length is (\d+)": lambda got, want, length: got["context"] == int(length) < 64,
        r"the model has (\d+) parameters": lambda got, want, count: got["parameters"] == int(count) > 1_000_000,
        r"the loss is (\S+); the mean cross-entropy of the logits is (\S+)\.$": lambda got, want, loss, due: (
            np.allclose([got["loss"], cross_entropy(got["logits"], got["ids"])], [float(loss), float(due)], rtol=1e-2)
            and loss != due
        ),
        r"without targets the model should return None": lambda got, want: got["no targets"] is False,
        r"the logits of the first 7 characters are others in a window of (\d+)": lambda got, want, length: (
            got["context"] == int(length)
            and not np.allclose(got["in a whole window"], got["logits"][:1, :7], rtol=1e-3, atol=1e-3)
        ),
        r"the logits of the first 7 characters are others when": lambda got, want: (
            not np.allclose(got["alone"]["first 7"], got["logits"][:1, :7], rtol=1e-3, atol=1e-3)
        ),
        r"the logits of the first character are others when": lambda got, want: (
            not np.allclose(got["alone"]["first"], got["logits"][:1, :1], rtol=1e-3, atol=1e-3)
        ),
    },
    "test_speedrun_steps": {
        r"with (\S+), on_step is called more than 6 times": lambda got, want, asked: len(got[asked]) == 7,
        r"with (\S+), on_step is called for the steps \[(.*)\]": lambda got, want, asked, numbers: (
            ", ".join(map(str, got[asked])) == numbers and got[asked] != want[asked]
        ),
    },
    "test_speedrun_seed": {
        r"not all Python floats between 0 and 100": lambda got, want: not got["losses"]["floats below 100"],
        r"the same loss in each of the first three steps": lambda got, want: not got["losses"]["not all the same"],
        r"two calls with the same text and seed give other losses": lambda got, want: not got["the same again"],
        r"two seeds give the same losses": lambda got, want: got["with another seed"],
    },
    "test_speedrun_held_out": {
        r"the losses change with the last tenth": lambda got, want: not got["the same losses"],
        r"but another model comes back": lambda got, want: got["the same losses"] and not got["the same model"],
        r"the losses stay when the (\w+) tenth of the text changes": lambda got, want, tenth: (
            got["the same without"][tenth] and not want["the same without"][tenth]
        ),
    },
    "test_device": {
        r"a tensor of yours is not on the device of the matrix": lambda got, want: got["strays"],
    },
}

TURNS = {
    "twice": [("return (x.T if tall else x).to(matrix.dtype)", "return 2 * (x.T if tall else x).to(matrix.dtype)")],
    "on a copy": [("parameter.sub_(newton_schulz(", "(parameter + 0).sub_(newton_schulz(")],
    "another alphabet": [("    return model, tokenizer, [", "    encode = tokenizer.encode\n    tokenizer.encode = lambda text: [tokenizer.vocab_size - 1 - i for i in encode(text)]\n    return model, tokenizer, [")],
    "a short context": [("context_length=64, d_model=64", "context_length=48, d_model=64")],
    "too many parameters": [("self.head = nn.Linear", "self.spare = nn.Parameter(torch.zeros(10**6))\n        self.head = nn.Linear")],
    "forgets the text": [("    return model, tokenizer, [", "    tokenizer.decode = lambda ids: '?' * len(ids)\n    return model, tokenizer, [")],
    "a history that is one row": [('[{"step": steps, "train_loss": loss.item(), "val_loss": val_loss}]', '{"step": steps, "val_loss": val_loss}')],
    "a history without steps": [('[{"step": steps, "train_loss"', '[{"val_loss": val_loss}, {"step": steps, "train_loss"')],
    "a history of tensors": [('[{"step": steps, "train_loss"', '[{"step": 1, "val_loss": loss.detach()}, {"step": steps, "train_loss"')],
    "a history that ends too soon": [('[{"step": steps, "train_loss": loss.item(), ', '[{"step": steps - 1, ')],
    "another scale for long ones": [("self.head(_norm(x))", "self.head(_norm(x)) * (2 if length == 64 else 1)")],
    "another scale for one": [("self.head(_norm(x))", "self.head(_norm(x)) * (2 if length == 1 else 1)")],
    "another scale for few": [("self.head(_norm(x))", "self.head(_norm(x)) * (2 if length == 7 else 1)")],
    "twice the loss": [("F.cross_entropy(logits.flatten(0, 1), targets.flatten())", "2 * F.cross_entropy(logits.flatten(0, 1), targets.flatten())")],
    "always a loss": [("            return logits, None", "            return logits, logits.mean()")],
    "sees what comes": [("self.head(_norm(x))", "self.head(_norm(x + x.mean(1, keepdim=True)))")],
    "no number": [("on_step(step, loss.item())", "on_step(step, loss)")],
    "one loss": [("on_step(step, loss.item())", "on_step(step, 1.0)")],
    "elsewhere": [("parameter.sub_(newton_schulz(direction, group[\"steps\"]), alpha=length)", "parameter.data = parameter - length * newton_schulz(direction, group[\"steps\"])")],
    "uphill": [("alpha=length)", "alpha=-length)")],
    "made on the CPU": [("x = matrix.to(torch.promote_types(matrix.dtype, torch.float32))", "x = matrix.to(torch.promote_types(matrix.dtype, torch.float32)) + torch.zeros(matrix.shape)")],
}  # fmt: skip


def test_what_is_said_is_true(hold):
    hold("ex23_muon", CLAIMS, TURNS)
