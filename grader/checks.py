"""Everything that a test file needs to write checks: the one module through which content knows the engine.

A check is a *probe* (call the exercise on seeded inputs, return what came back, raw) and a *comparison*, which the
judge makes between the learner's observation and the reference's. docs/adding-an-exercise.md walks through one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from grader.probing.assembly import Exercise
from grader.probing.observation import Raised, raised
from grader.probing.random import Random, derive

if TYPE_CHECKING:
    import torch
    from torch import nn

    Module = TypeVar("Module", bound=nn.Module)

__all__ = [
    "Check",
    "Exercise",
    "Raised",
    "Random",
    "ShapesDiffer",
    "census",
    "check",
    "close",
    "filled",
    "gradients",
    "loaded",
    "named",
    "not_normal",
    "on_meta",
    "overheard",
    "parameters",
    "raised",
    "repeated",
    "silenced",
]

Probe = Callable[[Exercise, Random], Any]
Compare = Literal["values", "structure", "nothing"]

ATTRIBUTES: dict[str, Sequence[str]] = {}  # that the exercises ask for, by the name of the class; a judge fills them in


class Check:
    """A probe with what the judge needs to know about it. Built by `@check`; a pytest item in its own right."""

    def __init__(
        self,
        probe: Probe,
        says: str,
        points: int,
        limit: float,
        tolerance: float | None,
        compare: Compare,
        axes: Mapping[str, str] | None,
        after: Check | None,
        free: Sequence[str] = (),
        exact: Sequence[str] = (),
    ) -> None:
        self.probe = probe
        self.says = says
        self.points = points
        self.limit = limit
        self.tolerance = tolerance
        self.compare = compare
        self.axes = dict(axes or {})
        self.after = after
        self.free = tuple(free)
        self.exact = tuple(exact)
        self.explanation: Callable[..., Iterable[str]] | None = None
        self.__name__ = probe.__name__
        self.__doc__ = says

    def explain(self, function: Callable[..., Iterable[str]]) -> Callable[..., Iterable[str]]:
        """Decorator: add a property to be checked by the judge, which yields a sentence for each violation.

        The function gets `(got, want)` or `(got, want, reference)`: both observations with arrays as NumPy, and the
        reference's exercise, for a judge that has to measure something itself. It yields nothing when all is well.
        """
        self.explanation = function
        return function

    def __repr__(self) -> str:
        return f"<check {self.__name__}: {self.says}>"


def check(
    says: str,
    *,
    points: int = 1,
    limit: float = 20.0,
    tolerance: float | None = None,
    compare: Compare = "values",
    axes: Mapping[str, str] | None = None,
    after: Check | None = None,
    free: Sequence[str] = (),
    exact: Sequence[str] = (),
) -> Callable[[Probe], Check]:
    """Decorator: turn a probe `test_...(ex, rng)` into a check.

    Args:
        says: one plain sentence that says what must hold.
        points: what the check is worth.
        limit: seconds that the learner's probe may take before it is stopped.
        tolerance: how far values may be apart, relative to the expected ones (default: by dtype).
        compare: "values" compares all; "structure" only keys, lengths, types, shapes, dtypes and which numbers are
            finite (for results that may differ, with an `explain`, which sees nothing that has another structure);
            "nothing" is the same, but `explain` may word what is wrong with the structure.
        axes: names of the axes of an observed array, by its key: `{"weights": "batch query key"}`; a probe that
            returns one array uses the key "".
        after: a check that has to pass first; until it does, this one is reported as blocked.
        free: where the structure may be another one if the values are not compared, as patterns of paths: `rows*` for
            all of `rows`, `shapes.+` for entries of `shapes` that the reference has not.
        exact: where values are compared in any case, after `explain`: what the probe puts in and says again, say.
    """

    def decorate(probe: Probe) -> Check:
        return Check(probe, says, points, limit, tolerance, compare, axes, after, free, exact)

    return decorate


class ShapesDiffer(ValueError):
    """Raised by `close` for two values that can't be compared: the message is the verdict on them."""


def close(a: Any, b: Any, tolerance: float = 1e-5) -> bool:
    """Return whether all numbers of `a` and `b` agree within the tolerance, absolute or relative (for `explain`).

    Raises:
        ShapesDiffer: they have shapes that do not fit together.
    """
    try:
        np.broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        raise ShapesDiffer(f"What should be alike has {_shape(a)} here and {_shape(b)} there.") from None
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance))


def _shape(value: Any) -> str:
    try:
        return f"the shape {np.shape(value)}"
    except ValueError:
        return "rows of several lengths"


def not_normal(name: str, values: np.ndarray, deviation: float) -> Iterator[str]:
    """Say what is wrong with a matrix that should be drawn from N(0, deviation): as a whole, by rows, by columns.

    Each bound is seven standard errors wide, so that chance alone breaks none (for `explain`).
    """
    spread, room = values.std(), 7 / math.sqrt(values.size)
    if abs(spread / deviation - 1) > room / math.sqrt(2):
        yield f"`{name}` starts with a standard deviation of {spread:.4f}; expected {deviation:.4f}. Who draws it?"
    elif abs(values.mean()) > room * deviation:
        yield f"`{name}` starts with a mean of {values.mean():.4f}; expected 0."
    elif abs((beyond := np.mean(np.abs(values) > 2 * spread)) - 0.0455) > 0.21 * room:
        yield f"{beyond:.1%} of `{name}` lies beyond two standard deviations; if it were normal, 4.6 % would."
    for axis, part in ((1, "row"), (0, "column")):
        spreads, bound = np.sqrt(np.mean(values**2, axis=axis)), 7 / math.sqrt(2 * values.shape[axis])
        for at in np.flatnonzero(abs(spreads / deviation - 1) > bound):
            size = f"{spreads[at]:.4f}; expected {deviation:.4f}"
            yield f"{part} {at} of `{name}` starts with numbers of a size of {size}."


def repeated(drawn: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Say which matrices hold a row that stands in another place, too: drawn anew, no two are alike (for `explain`)."""
    seen: dict[bytes, str] = {}
    for name, values in drawn.items():
        for at, row in enumerate(values):
            here = f"row {at} of `{name}`"
            other = seen.setdefault(row.tobytes(), here)
            if other != here:
                yield f"{other} and {here} start with the same numbers. Is each matrix drawn anew, or is one copied?"


def filled(module: Module, rng: Random, *, dtype: torch.dtype | None = None, scale: float | None = None) -> Module:
    """Give a module weights by name, so that any two modules with the same parameter names compute the same.

    Matrices get entries of standard deviation `scale`, by default 1/sqrt(their last axis), vectors 0.5. The order of
    registration does not matter, nor do further parameters; tied parameters stay tied. Returns the module.
    """
    import torch

    if dtype is not None:
        module.to(dtype)
    base = rng.seed
    with torch.no_grad():
        for name, parameter in parameters(module).items():
            spread = scale or (parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.5)
            drawn = Random(derive(base, name)).tensor(*parameter.shape, dtype=torch.float64, scale=spread)
            parameter.copy_(drawn)
    return module


def silenced(module: Module, *parts: str) -> Module:
    """Zero the parameters of all submodules one of whose names ends so ("out_proj"). Returns the module."""
    import torch

    with torch.no_grad():
        for name, parameter in named(module):
            if name.rpartition(".")[0].endswith(parts):
                parameter.zero_()
    return module


def overheard(modules: Mapping[str, nn.Module], answer: Callable[..., Any] | None = None) -> list[dict[str, Any]]:
    """Make modules write down from now on that they are called, and with what.

    Args:
        modules: those to listen to, by the name that is to be written down.
        answer: what they return instead of doing their work, made from their arguments; its parameters are those of
            the modules by the contract, and their names and defaults are what is written down. Without it, they do
            their work, and their names alone are written down.

    Returns:
        A list that gets a `{"name": name, argument: value, ...}` for each call.
    """
    calls: list[dict[str, Any]] = []

    def listening(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **options: Any) -> Any:
            given: dict[str, Any] = {}
            if answer is not None:
                bound = inspect.signature(answer).bind(*args, **options)
                bound.apply_defaults()
                given = bound.arguments
            calls.append({"name": name, **given})
            return work(*args, **options)

        return forward

    for name, module in modules.items():
        module.forward = listening(name, answer or module.forward)
    return calls


def census(module: nn.Module) -> dict[str, dict[str, Any]]:
    """Each parameter's shape, and the first of the names of the same parameter: its own, unless it is shared."""
    first: dict[int, str] = {}
    return {
        name: {"shape": list(parameter.shape), "is": first.setdefault(id(parameter), name)}
        for name, parameter in named(module)
    }


def parameters(module: nn.Module) -> dict[str, torch.Tensor]:
    """All parameters by name, each one once: under the name by which the exercises ask for it.

    So tied weights have one name, and a part that goes by another name as well, or is held by a helper module, does not
    get another. Of several names it is the one with the fewest parts that no docstring lists as an attribute; of these
    the one with the shortest path, and the first in the alphabet. An attribute that a docstring lists
    may be a property.
    """
    found: dict[int, tuple[int, int, str, torch.Tensor]] = {}
    for name, parameter in named(module):
        here = (_names_of_ones_own(module, name), name.count("."), name, parameter)
        found[id(parameter)] = min(here, found.get(id(parameter), here), key=lambda one: one[:3])
    return {name: parameter for *_, name, parameter in sorted(found.values(), key=lambda one: one[2])}


def named(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every name of every parameter: those that PyTorch knows, then those by way of attributes such as properties."""
    own = list(module.named_parameters(remove_duplicate=False))
    yield from own
    learned = {id(parameter) for _, parameter in own}
    for path, part in _reached(module, ()):
        inside = part.named_parameters(remove_duplicate=False) if hasattr(part, "named_parameters") else [("", part)]
        for name, parameter in inside:
            if id(parameter) in learned:
                yield ".".join(filter(None, (path, name))), parameter


def _reached(module: nn.Module, above: Sequence[int]) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and modules that listed attributes lead to where PyTorch lists none, with their paths."""
    for prefix, holder in module.named_modules(remove_duplicate=False):
        if id(holder) in above:
            continue
        for base in type(holder).__mro__:
            for attribute in ATTRIBUTES.get(base.__name__, ()):
                if attribute in holder._modules or attribute in holder._parameters:
                    continue
                path = f"{prefix}.{attribute}" if prefix else attribute
                part: Any = getattr(holder, attribute, None)
                if hasattr(part, "named_parameters"):
                    yield path, part
                    for further, inner in _reached(part, (*above, id(holder))):
                        yield f"{path}.{further}", inner
                elif hasattr(part, "requires_grad"):
                    yield path, part


def _names_of_ones_own(module: nn.Module, name: str) -> int:
    """Return how many parts of a parameter's name nobody asks for; the numbers of a list's items are no names."""
    count, holder = 0, module
    for part in name.split("."):
        asked = any(part in ATTRIBUTES.get(base.__name__, ()) for base in type(holder).__mro__)
        count += not asked and not part.isdigit()
        holder = getattr(holder, part)
    return count


def loaded(module: Module, values: Mapping[str, Any]) -> Module:
    """Put observed parameters (from `parameters`) into a module, for a judge that measures what was trained."""
    import torch

    with torch.no_grad():
        for name, parameter in parameters(module).items():
            if name not in values:
                raise KeyError(f"the trained model has no parameter `{name}`")
            parameter.copy_(torch.as_tensor(np.asarray(values[name])))
    return module


def on_meta(call: Callable[[str], Any]) -> dict[str, Any]:
    """Make a call on the device `meta`, which holds shapes alone, for a check of the device of a result.

    Args:
        call: gets the name of a device, brings inputs there that were made before, and returns what is to be observed.

    Returns:
        `result`, the result on `meta`, and `strays`: whether tensors of two devices met, which PyTorch refuses at
        times only, or a part of the result lies elsewhere. Code that looks at a value can't run on `meta` and is right
        all the same: the shape of its result on the CPU stands in, and it has strays if a part of its result on the
        CPU lies where tensors are made that nobody gave a device.
    """
    import torch

    here = call("cpu")
    with torch.device("meta"):
        try:
            undirected = call("cpu")
        except Exception:  # perhaps a number that was made a tensor, which any device would take
            undirected = None
    try:
        result = call("meta")
        strays = bool(_devices(result) - {"meta"})  # which hold what happened to be in memory
        return {"result": _each_tensor(result, lambda tensor: tensor.to("meta")), "strays": strays}
    except Exception as error:  # of the value that is missing, PyTorch and NumPy say so in their own ways
        mixed = any(words in str(error) for words in ("same device", "expected device"))
    moved = _each_tensor(here, lambda tensor: tensor.to("meta"))
    return {"result": moved, "strays": mixed or bool(_devices(undirected) - {"cpu"})}


def _devices(value: Any) -> set[str]:
    """The types of the devices that the tensors of a tree lie on."""
    found: set[str] = set()
    _each_tensor(value, lambda tensor: found.add(tensor.device.type))
    return found


def _each_tensor(value: Any, work: Callable[[torch.Tensor], Any]) -> Any:
    """A tree like `value`, with what `work` makes of each tensor."""
    if isinstance(value, Mapping):
        return {key: _each_tensor(item, work) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_each_tensor(item, work) for item in value]
    return work(value) if hasattr(value, "device") else value


def gradients(
    output: torch.Tensor, inputs: Mapping[str, torch.Tensor | None], rng: Random
) -> dict[str, torch.Tensor | None]:
    """The gradients of a random weighted sum of `output` with respect to each of the named inputs; None for none.

    An input that is not there, or frozen, has none either: that is for the comparison to say.
    """
    import torch

    there = {name: tensor for name, tensor in inputs.items() if tensor is not None and tensor.requires_grad}
    none: dict[str, torch.Tensor | None] = dict.fromkeys(inputs)
    if not output.requires_grad or not there:  # cut off from all of them
        return none
    weights = rng.tensor(*output.shape, dtype=output.dtype)
    grads = torch.autograd.grad((output * weights).sum(), list(there.values()), allow_unused=True)
    return none | dict(zip(there, grads, strict=True))
