"""Reading replies: tolerant of how an answer is written, strict about what it says."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from grader.learning.quiz.questions import Answer, Ask

YES, NO = ("y", "yes", "true", "t", "1"), ("n", "no", "false", "f", "0")
LETTERS = "abcdefghij"
NOTHING = ("-", "none", "nothing", "empty", "()", "[]", "{}", "set()", "scalar")
LARGEST = 1e18

OPERATORS: dict[type[ast.operator] | type[ast.unaryop], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "ln": math.log, "log2": math.log2,
    "sin": math.sin, "cos": math.cos,
}  # fmt: skip
CONSTANTS = {"e": math.e, "pi": math.pi, "inf": math.inf}


class Unreadable(Exception):
    """A reply can't be read as an answer to this question; the message says how to write one."""


def how(ask: Ask) -> str:
    """Return how an answer to this question is written."""
    answer = ask.answer
    if ask.choices:
        return f"a letter, {LETTERS[0]} to {LETTERS[len(ask.choices) - 1]}"
    if isinstance(answer, bool):
        return "yes or no"
    if isinstance(answer, tuple):
        return "a shape, such as (2, 3)"
    if isinstance(answer, list):
        return "numbers in order, such as 4 0 7"
    if isinstance(answer, frozenset):
        return "numbers in any order, such as 0 2 5, or: none"
    if isinstance(answer, int):
        return "a whole number; 4 * 12**2 will do"
    if isinstance(answer, float):
        return "a number, to about two digits; 1/3 and sqrt(8) will do"
    return "a piece of text"


def is_right(ask: Ask, reply: str) -> bool:
    """Return whether a reply is the answer.

    Raises:
        Unreadable: it can't be read.
    """
    answer = ask.answer
    if not reply.strip():
        raise Unreadable(f"This wants {how(ask)}.")
    if ask.choices:
        return _choice(ask.choices, reply) == answer
    if isinstance(answer, bool):
        word = reply.strip().lower().rstrip(".")
        if word not in YES + NO:
            raise Unreadable(f"This wants {how(ask)}.")
        return (word in YES) == answer
    if isinstance(answer, tuple):
        return tuple(_integers(reply, ask)) == answer
    if isinstance(answer, list):
        return _integers(reply, ask) == answer
    if isinstance(answer, frozenset):
        return frozenset(_integers(reply, ask)) == answer
    if isinstance(answer, int):
        return _number(reply, ask) == answer
    if isinstance(answer, float):
        number = _number(reply, ask)
        if math.isinf(answer) or math.isinf(number):
            return number == answer
        return abs(number - answer) <= ask.tolerance * abs(answer) + (5e-4 if abs(answer) < 0.1 else 0.0)
    return _text(reply) == _text(answer)


def written(answer: Answer) -> str:
    """An answer as it is shown."""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if isinstance(answer, tuple):
        return str(tuple(answer))
    if isinstance(answer, frozenset | list):
        numbers = sorted(answer) if isinstance(answer, frozenset) else answer
        return " ".join(map(str, numbers)) or "none"
    if isinstance(answer, int):
        return f"{answer:,}".replace(",", "_") if abs(answer) >= 100_000 else str(answer)
    if isinstance(answer, float):
        return (
            f"about {answer:,.0f}".replace(",", "_") if abs(answer) >= 10_000 and answer < LARGEST else f"{answer:.4g}"
        )
    return answer


def _choice(choices: Sequence[str], reply: str) -> str:
    word = reply.strip().strip("().").lower()
    if len(word) == 1 and word in LETTERS[: len(choices)]:
        return choices[LETTERS.index(word)]
    hits = [choice for choice in choices if choice.lower() == word]
    hits = hits or [choice for choice in choices if len(word) > 1 and choice.lower().startswith(word)]
    if len(hits) != 1:
        raise Unreadable(f"This wants a letter, {LETTERS[0]} to {LETTERS[len(choices) - 1]}.")
    return hits[0]


def _integers(reply: str, ask: Ask) -> list[int]:
    text = reply.strip().lower()
    if text in NOTHING:
        return []
    inner = re.sub(r"^(torch\.)?size|[()\[\]{}]", "", text)
    if isinstance(ask.answer, frozenset):  # 0-3, 0..3 and 0 to 3 stand for 0 1 2 3
        inner = re.sub(
            r"(\d{1,3})\s*(?:-|\.\.+|to)\s*(\d{1,3})",
            lambda m: " ".join(map(str, range(int(m[1]), int(m[2]) + 1))),
            inner,
        )
    parts = [part for part in re.split(r"[\s,;x×*]+", inner) if part]
    if not parts or not all(re.fullmatch(r"-?\d{1,18}", part) for part in parts):
        raise Unreadable(f"This wants {how(ask)}.")
    return [int(part) for part in parts]


def _number(reply: str, ask: Ask) -> float:
    reply = re.sub(r"^(about|roughly|approximately|ca\.?|~)\s*", "", reply.strip().lower())
    text = re.sub(r"(?<=\d)[_ ](?=\d{3})", "", reply.strip().lower().replace("^", "**").replace("×", "*"))
    text = re.sub(r"(?<=\d),(?=\d{3}(\D|$))", "", text).rstrip(".")
    percent = text.endswith("%")
    try:
        number = _evaluate(ast.parse(text.rstrip("% "), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, KeyError, ArithmeticError, MemoryError, RecursionError):
        raise Unreadable(f"This wants {how(ask)}.") from None
    return number / 100 if percent else number


def _evaluate(node: ast.expr) -> float:
    """The value of a sum as one would type it into a calculator; nothing else is evaluated."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _sane(node.value)
    if isinstance(node, ast.Name):
        return CONSTANTS[node.id]
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left), _evaluate(node.right)
        if isinstance(node.op, ast.Pow) and (abs(right) > 64 or abs(left) > 1e6):
            raise ValueError("too large")
        return _sane(OPERATORS[type(node.op)](left, right))
    if isinstance(node, ast.UnaryOp):
        return _sane(OPERATORS[type(node.op)](_evaluate(node.operand)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords:
        return _sane(FUNCTIONS[node.func.id](_evaluate(node.args[0])))
    raise ValueError("no number")


def _sane(value: Any) -> float:
    if isinstance(value, complex) or (abs(value) > LARGEST and not math.isinf(value)):
        raise ValueError("no number that anybody means")
    return value  # type: ignore[no-any-return]


def _text(text: str) -> str:
    stripped = text.strip()
    for prefix in ('b"', "b'", '"', "'", "`"):
        if stripped.startswith(prefix) and stripped.endswith(prefix[-1]) and len(stripped) > len(prefix):
            return stripped[len(prefix) : -1]
    return stripped
