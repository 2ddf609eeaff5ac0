"""Compare two observations and put the first difference into words: type and shape, dtype, NaN and infinity, values."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from grader.probing.observation import Array, Opaque, Raised

TOLERANCES = {"float64": 1e-9, "float32": 2e-5, "float16": 4e-3, "bfloat16": 2e-2}
ROOM = 1e-6  # of float64 tensors: a constant that is made a tensor is float32, and right; a check may ask for less
FLOORS = {"float64": 1e-12, "float32": 1e-6, "float16": 2e-3, "bfloat16": 1e-2}

PAIRS = 2000  # entries beside each other of which it is asked whether they are the same

Rung = Literal["structure", "outline", "values"]


@dataclass(frozen=True)
class Difference:
    """The first place at which two arrays of one shape differ."""

    path: str
    index: tuple[int, ...]
    got: np.ndarray
    want: np.ndarray


class Mismatch(str):
    """A fault of an observation, in words; `path` says where, if it is told; `difference`, what differs."""

    path: str | None
    difference: Difference | None

    def __new__(cls, words: str, path: str | None = None, difference: Difference | None = None) -> Mismatch:
        found = super().__new__(cls, words)
        found.path, found.difference = path, difference
        return found


class Comparison:
    """One check's way of comparing: its tolerance and the names of its axes.

    `secret` is for hidden checks: messages leave out the values that a probe puts in. Below the entries in `free`
    (patterns of paths such as `layers.*`), the structure is not compared. `spoken` says what an entry is, by its path,
    or by the beginning of its path and a `*`, which stands for the rest in the words, too.
    """

    def __init__(
        self,
        tolerance: float | None = None,
        axes: Mapping[str, str] | None = None,
        secret: bool = False,
        free: Sequence[str] = (),
        spoken: Mapping[str, str] | None = None,
    ) -> None:
        self.free = tuple(free)
        self.spoken = dict(spoken or {})
        self.tolerance = tolerance
        self.secret = secret
        self._path = ""  # where the search is
        self._difference: Difference | None = None  # what it has found inside of an array
        self.axes = {key: names.split() for key, names in (axes or {}).items()}

    def structure(self, got: Any, want: Any) -> Mismatch | None:
        """The first difference in kind, shape, dtype, device or finiteness, in words; None if there is none."""
        return self._first_of(self._walk(got, want, "", "structure"))

    def outline(self, got: Any, want: Any) -> Mismatch | None:
        """As `structure`, for observations whose values are not compared: lengths and errors have to agree as well."""
        return self._first_of(self._walk(got, want, "", "outline"))

    def alike(self, got: Any, want: Any) -> Mismatch | None:
        """The first place of two observations of one outline where all is the same and should not be, in words."""
        return self._first_of(self._alike(got, want, ""))

    def values(self, got: Any, want: Any) -> Mismatch | None:
        """The first difference in the values of two observations of one structure, in words."""
        return self._first_of(self._walk(got, want, "", "values"))

    def exact(self, got: Any, want: Any, where: Sequence[str]) -> Mismatch | None:
        """As `values`, at the entries alone that fit one of the patterns of paths."""
        return self._first_of(self._exact(got, want, "", where))

    def _first_of(self, found: Iterator[str]) -> Mismatch | None:
        self._path, self._difference = "", None
        words = next(found, None)
        return None if words is None else Mismatch(words, self._path, self._difference)

    def axes_of(self, path: str) -> list[str]:
        """The names of an observed array's axes, as far as they are known."""
        return self.axes.get(path.rpartition(".")[2].partition("[")[0], [])

    def _walk(self, got: Any, want: Any, path: str, rung: Rung) -> Iterator[str]:
        self._path = path
        if rung == "outline":
            if isinstance(want, list | str | bytes) and type(got) is type(want) and want and not got:
                yield f"{self._name(path)} is empty; expected {describe(want)}."
                return
            if self._is_free(path):
                return
        if isinstance(want, dict) and isinstance(got, dict):
            for key in want:
                inner = f"{path}.{key}" if path else key
                if key not in got:
                    yield f"{self._name(path)} has no entry {key!r}."
                else:
                    yield from self._walk(got[key], want[key], inner, rung)
            self._path = path
            extra = [key for key in got if key not in want]
            if extra and not (rung == "outline" and self._may_have_more(path)):
                yield f"{self._name(path)} has an entry {extra[0]!r} that should not be there."
        elif isinstance(want, list) and isinstance(got, list):
            if rung == "outline" or (rung == "structure" and not _plain(want)):
                if len(got) != len(want):
                    yield f"{self._name(path)} holds {_count(len(got), 'item')} where {len(want)} are expected."
                for index, (one, other) in enumerate(zip(got, want, strict=False)):
                    yield from self._walk(one, other, f"{path}[{index}]", rung)
            elif rung == "values" and _plain(want):
                yield from _sequences(got, want, path)
            elif rung == "values":
                for index, (one, other) in enumerate(zip(got, want, strict=True)):
                    yield from self._walk(one, other, f"{path}[{index}]", rung)
        elif isinstance(want, Array) and isinstance(got, Array):
            compare = self._array_values if rung == "values" else self._array_structure
            yield from compare(got, want, path)
        elif isinstance(want, Raised) and isinstance(got, Raised):
            if rung != "structure":
                yield from _errors(got, want, path, self.secret)
        elif isinstance(want, bool) or isinstance(got, bool) or want is None or got is None:
            if type(got) is not type(want):
                named = self._name(path)
                result = got is None and "grad" not in named and not re.search(r"[.\[]", path)  # of a call, by itself
                hint = " A function without `return` gives None." if result else ""
                yield f"{named} is {describe(got)}; expected {describe(want)}.{hint}"
            elif rung == "values" and got != want:
                yield f"{self._name(path)} is {got}; expected {want}."
        elif isinstance(want, int | float) and isinstance(got, int | float):
            if rung == "values":
                yield from self._numbers(got, want, path)
            elif rung == "outline" and _finite(got) != _finite(want):
                yield f"{self._name(path)} is {number(got)}; expected {number(want)}."
        elif type(got) is not type(want):
            yield f"{self._name(path)} is {describe(got)}; expected {describe(want)}.{_type_hint(got, want)}"
        elif rung == "values" and got != want:
            yield from _texts(got, want, path)

    def _name(self, path: str) -> str:
        for told, words in self.spoken.items():
            if told == path:
                return words
            if told.endswith("*") and path.startswith(told[:-1]) and path:
                return words.replace("*", path.removeprefix(told[:-1]))
        return name(path)

    def _is_free(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.free)

    def _alike(self, got: Any, want: Any, path: str) -> Iterator[str]:
        self._path = path
        if self._is_free(path):
            return
        if isinstance(want, Array) and isinstance(got, Array):
            if not _numerous(want, got):
                return
            if want.values is not None and want.values.dtype.kind == "i":  # rows of drawn ids may well be the same
                if _constant(got) and not _constant(want):
                    yield f"{self._name(path)} is the same number everywhere; it should not be."
                return
            for axis, size in enumerate(want.shape):
                if size > 1 and _repeats(got, axis) and not _repeats(want, axis):
                    yield f"{self._name(path)} is the same all along {self._axis(axis, path)}; it should not be."
        elif isinstance(want, dict | list) and type(got) is type(want):
            keys = list(want) if isinstance(want, dict) else list(range(min(len(got), len(want))))
            paths: dict[Any, str] = {key: f"{path}[{key}]" for key in keys}
            if isinstance(want, dict):
                paths = {key: f"{path}.{key}" if path else str(key) for key in keys}
            keys = [key for key in keys if not self._is_free(paths[key])]
            for key in keys:
                yield from self._alike(got[key], want[key], paths[key])
            arrays = [key for key in keys if _numerous(want[key], got[key]) and want[key].values.dtype.kind == "f"]
            for one, other in itertools.islice(itertools.combinations(arrays, 2), PAIRS):
                if _equal(got[one], got[other]) and not _equal(want[one], want[other]):
                    yield f"`{paths[one]}` and `{paths[other]}` are the same; they should not be."
            numbers = [key for key in keys if isinstance(want[key], float) and isinstance(got[key], float)]
            if len(numbers) > 2 and len({got[key] for key in numbers}) == 1 < len({want[key] for key in numbers}):
                yield f"all numbers of {self._name(path)} are the same; they should not be."

    def _exact(self, got: Any, want: Any, path: str, where: Sequence[str]) -> Iterator[str]:
        if any(fnmatchcase(path, pattern) for pattern in where):
            yield from self._walk(got, want, path, "values")
        elif self._is_free(path):
            return
        elif isinstance(want, dict):
            for key in want:
                yield from self._exact(got[key], want[key], f"{path}.{key}" if path else str(key), where)
        elif isinstance(want, list):
            for index, (one, other) in enumerate(zip(got, want, strict=True)):
                yield from self._exact(one, other, f"{path}[{index}]", where)

    def _may_have_more(self, path: str) -> bool:
        """Return whether a dict may hold further entries: it is free as to these."""
        return self._is_free(f"{path}.+" if path else "+")

    def _numbers(self, got: float, want: float, path: str) -> Iterator[str]:
        if isinstance(want, int) and not isinstance(got, int) and got != want:
            yield f"{self._name(path)} is {got!r}; expected the whole number {want}."
        elif isinstance(want, int) and isinstance(got, int):
            if got != want:
                yield f"{self._name(path)} is {got}; expected {want}."
        elif math.isnan(got) != math.isnan(want) or math.isinf(got) != math.isinf(want):
            yield f"{self._name(path)} is {number(got)}; expected {number(want)}."
        elif not math.isnan(want) and got != want:
            tolerance = TOLERANCES["float64"] if self.tolerance is None else self.tolerance
            allowed = tolerance * abs(want) + (FLOORS["float64"] if tolerance else 0.0)
            if math.isinf(want) or abs(got - want) > allowed:
                yield (
                    f"{self._name(path)} is {number(got)}; expected {number(want)} "
                    f"(off by {number(abs(got - want))}, allowed {number(allowed)})."
                )

    def _array_structure(self, got: Array, want: Array, path: str) -> Iterator[str]:
        if got.kind != want.kind:
            yield f"{self._name(path)} is {describe(got)}; expected {describe(want)}."
        elif got.shape != want.shape:
            yield self._shapes(got.shape, want.shape, path)
        elif got.dtype != want.dtype:
            yield f"{self._name(path)} has dtype {got.dtype}; expected {want.dtype}."
        elif got.device != want.device:
            yield (f"{self._name(path)} is on the device `{got.device}`; expected `{want.device}`.")
        elif got.values is not None and want.values is not None and want.values.dtype.kind == "f":
            yield from self._finite(got.values, want.values, path)

    def _finite(self, got: np.ndarray, want: np.ndarray, path: str) -> Iterator[str]:
        for kind, test in (("NaN", np.isnan), ("infinite", np.isinf)):
            bad = test(got) & ~test(want)
            missing = test(want) & ~test(got)
            both = np.isinf(got) & np.isinf(want) & (got != want) if kind == "infinite" else np.zeros_like(bad)
            if bad.any():
                index = self._first(bad, got, want, path)
                where = self._element(index, path)
                share = f"{int(bad.sum())} of {_count(bad.size, 'element')} {'is' if bad.sum() == 1 else 'are'} {kind}"
                yield f"{where} is {kind}; expected {number(want[bad][0])}. In all, {share}."
            if missing.any() or both.any():
                index = self._first(missing | both, got, want, path)
                yield f"{self._element(index, path)} is {number(got[index])}; expected {number(want[index])}."

    def _shapes(self, got: tuple[int, ...], want: tuple[int, ...], path: str) -> str:
        axes = self.axes_of(path)
        named = f" ({', '.join(axes)})" if axes and len(axes) == len(want) else ""
        message = f"{self._name(path)} has shape {got}; expected {want}{named}."
        if len(got) != len(want):
            return f"{message} It has {_count(len(got), 'axis', 'axes')} where {len(want)} are expected."
        if sorted(got) == sorted(want):
            moved = [axis for axis in range(len(want)) if got[axis] != want[axis]]
            return f"{message} The sizes are right but in another order: {self._list(moved, path)} changed places."
        wrong = [axis for axis in range(len(want)) if got[axis] != want[axis]]
        first = wrong[0]
        return f"{message} {self._axis(first, path).capitalize()} has size {got[first]} instead of {want[first]}."

    def _array_values(self, got: Array, want: Array, path: str) -> Iterator[str]:
        if got.values is None or want.values is None or got.shape != want.shape:
            return
        mine, theirs = got.values, want.values
        if theirs.dtype.kind != "f":
            wrong = mine != theirs
            if wrong.any():
                index = self._first(wrong, mine, theirs, path)
                yield (
                    f"{self._element(index, path)} is {mine[index]}; expected {theirs[index]}. "
                    f"{self._extent(wrong, path)}"
                )
            return
        finite = np.isfinite(theirs) & np.isfinite(mine)
        if not finite.any():
            return
        tolerance = TOLERANCES.get(want.dtype, 1e-9) if self.tolerance is None else self.tolerance
        if self.tolerance is None and want.kind == "tensor" and want.dtype == "float64":
            tolerance = ROOM
        size = float(np.sqrt(np.mean(np.square(theirs[finite]))))
        floor = FLOORS.get(want.dtype, 1e-12) if tolerance else 0.0
        allowed = tolerance * (np.abs(np.where(finite, theirs, 0.0)) + size) + floor
        gap = np.abs(np.where(finite, mine - np.where(finite, theirs, 0.0), 0.0))
        wrong = gap > allowed
        if wrong.any():
            index = self._first(wrong, mine, theirs, path)
            yield (
                f"{self._element(index, path)} is {number(mine[index])}; expected {number(theirs[index])} "
                f"(off by {number(gap[index])}, allowed {number(allowed[index])}). "
                f"{self._extent(wrong, path)}{self._pattern(mine, theirs, path)}"
            )

    def _first(self, wrong: np.ndarray, mine: np.ndarray, theirs: np.ndarray, path: str) -> tuple[Any, ...]:
        index = tuple(np.argwhere(wrong)[0])
        self._difference = Difference(path, tuple(map(int, index)), mine, theirs)
        return index

    def _extent(self, wrong: np.ndarray, path: str) -> str:
        count = int(wrong.sum())
        if wrong.size == 1:
            return ""
        if count == wrong.size:
            return f"All {count} elements differ."
        text = f"{count} of {wrong.size} elements {'differs' if count == 1 else 'differ'}"
        for axis in range(wrong.ndim):
            others = tuple(other for other in range(wrong.ndim) if other != axis)
            hit = np.flatnonzero(wrong.any(axis=others))
            if len(hit) == 1 and wrong.shape[axis] > 1:
                return f"{text}, all of them at {self._axis(axis, path)} index {hit[0]}."
        return f"{text}."

    def _pattern(self, mine: np.ndarray, theirs: np.ndarray, path: str) -> str:
        """A word on how the two are related as a whole, where the relation is plain.

        A factor or a distance is told where all of them agree to a hundredth of what is told: it is no rounding.
        """
        if not (np.isfinite(mine).all() and np.isfinite(theirs).all()) or theirs.size < 3:
            return ""
        scale = float(np.abs(theirs).max())
        if not mine.any():
            return " Yours is zero everywhere."
        big = np.abs(theirs) > 1e-3 * scale
        if big.sum() > 2:
            ratios = mine[big] / theirs[big]
            ratio = float(np.median(ratios))
            room = min(1e-4 * abs(ratio), 0.01 * abs(ratio - 1))
            plain = number(ratio) != "1" and np.all(np.abs(ratios - ratio) <= room)
            if plain and np.allclose(mine, ratio * theirs, atol=1e-5 * scale):
                return f" Yours is {number(ratio)} times what is expected, everywhere."
        gaps = mine - theirs
        gap = float(np.median(gaps))
        if np.all(np.abs(gaps - gap) <= min(1e-4 * abs(gap) + 1e-6 * scale, 0.01 * abs(gap))):
            return f" Yours is {number(abs(gap))} {'more' if gap > 0 else 'less'} than expected, everywhere."
        for first, second in itertools.combinations(range(theirs.ndim), 2):
            swapped = np.swapaxes(theirs, first, second)
            if swapped.shape == mine.shape and np.allclose(mine, swapped, rtol=1e-4, atol=1e-6 * scale):
                return f" Yours is what is expected with {self._list([first, second], path)} swapped."
        return ""

    def _element(self, index: tuple[Any, ...], path: str) -> str:
        if not index:
            return self._name(path)
        axes = self.axes_of(path)
        place = ", ".join(str(int(i)) for i in index)
        spoken = ""
        if len(axes) == len(index):
            spoken = " (" + ", ".join(f"{axis} {int(i)}" for axis, i in zip(axes, index, strict=True)) + ")"
        before, rest = _situation(path)
        return f"{before}`{rest or 'result'}[{place}]`{spoken}"

    def _axis(self, axis: int, path: str) -> str:
        axes = self.axes_of(path)
        return f"axis {axis} ({axes[axis]})" if axis < len(axes) else f"axis {axis}"

    def _list(self, axes: list[int], path: str) -> str:
        return " and ".join(self._axis(axis, path) for axis in axes)


def _finite(value: float) -> bool:
    """Return whether a number is neither NaN nor infinite; a whole number never is, however large."""
    return isinstance(value, int) or math.isfinite(value)


def _numerous(*arrays: Array) -> bool:
    """Return whether all of these hold several numbers; of whole ones so many that they are alike by no accident."""
    return all(
        isinstance(each, Array)
        and each.values is not None
        and each.values.dtype.kind in "fi"
        and each.values.size > (1 if each.values.dtype.kind == "f" else 7)
        for each in arrays
    )


def _constant(array: Array) -> bool:
    assert array.values is not None
    return bool((array.values == array.values.flat[0]).all())


def _repeats(array: Array, axis: int) -> bool:
    """Return whether an array is the same everywhere along an axis."""
    assert array.values is not None
    return bool(
        np.array_equal(array.values, np.broadcast_to(array.values.take([0], axis), array.shape), equal_nan=True)
    )


def _equal(one: Array, other: Array) -> bool:
    return bool(np.array_equal(one.values, other.values))  # type: ignore[arg-type]


def name(path: str) -> str:
    """Return how a message refers to a part of the observation."""
    before, rest = _situation(path)
    return before + (f"`{rest}`" if rest else "the result") if path else "The result"


def _situation(path: str) -> tuple[str, str]:
    """Split a path whose first name says when something was observed ("float32", "a batch of one"), not what.

    Returns:
        What a sentence about it begins with ("in float32, ", "a batch of one: "), and the rest of the path.
    """
    first, _, rest = _names(path)
    if first in TOLERANCES:
        return f"in {first}, ", rest
    if " " in first and "[" not in first:
        return f"{first}: ", rest
    return "", path


def _names(path: str) -> tuple[str, str, str]:
    """Cut a path after its first name. The point of a number in a name ("top_p = 0.5") cuts nothing."""
    cut = next((found.start() for found in re.finditer(r"(?<!\d)\.|\.(?!\d)", path)), len(path))
    return path[:cut], path[cut : cut + 1], path[cut + 1 :]


def number(value: float) -> str:
    """A number, short but telling."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"


def describe(value: Any) -> str:
    """Return what a value is, for a message about a wrong type."""
    if isinstance(value, Array):
        return f"{'a tensor' if value.kind == 'tensor' else 'a NumPy array'} of shape {value.shape}"
    if isinstance(value, Opaque):
        return f"{'an' if value.type[:1] in 'AEIOUaeiou' else 'a'} {value.type}"
    if isinstance(value, Raised):
        return f"a {value.type}" if value.type else "no error"
    if value is None or isinstance(value, bool):
        return str(value)
    numbers, texts = {int: "an int", float: "a float"}, {str: "a string", bytes: "bytes"}
    kind = (numbers | texts | {list: "a list or a tuple", dict: "a dict"}).get(type(value), type(value).__name__)
    return f"{kind} ({value!r})" if isinstance(value, int | float) else kind


def _count(count: int, singular: str, plural: str = "") -> str:
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def _plain(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(item, int | str | bytes) and not isinstance(item, bool) for item in values)


def _sequences(got: list[Any], want: list[Any], path: str) -> Iterator[str]:
    for index, (one, other) in enumerate(zip(got, want, strict=False)):
        if type(one) is not type(other) or one != other:
            yield f"`{path or 'result'}[{index}]` is {_short(one)}; expected {_short(other)}."
            return
    if len(got) != len(want):
        same = min(len(got), len(want))
        yield f"{name(path)} has {_count(len(got), 'item')}; expected {len(want)}. The first {same} agree."


def _texts(got: Any, want: Any, path: str) -> Iterator[str]:
    if not isinstance(want, str | bytes) or len(want) < 40:
        yield f"{name(path)} is {_short(got)}; expected {_short(want)}."
        return
    at = next(
        (i for i, (one, other) in enumerate(zip(got, want, strict=False)) if one != other), min(len(got), len(want))
    )
    part = slice(max(0, at - 10), at + 20)
    yield f"{name(path)} differs from place {at} on: {_short(got[part])}; expected {_short(want[part])}."


def _short(value: Any) -> str:
    text = value.type if isinstance(value, Opaque) else repr(value) if not isinstance(value, Array) else describe(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _errors(got: Raised, want: Raised, path: str, secret: bool) -> Iterator[str]:
    before, rest = _situation(path)
    call = f"{before}{f'`{rest}`: ' if rest else ''}the call" if path else "The call"
    text = "" if secret else f" ({_short(got.message)})"  # an error's text may repeat what was put in
    if want.type is None and got.type is not None:
        yield f"{call} raises {got.type}{text}; expected it to go through."
    elif want.type is not None and got.type is None:
        yield f"{call} goes through; expected a {want.type}."
    elif want.type is None:
        return
    elif want.type not in got.bases:
        yield f"{call} raises {got.type}{text}; expected a {want.type}."
    else:
        for mention in want.mentions:
            if mention.lower() not in got.message.lower():
                missing = "all that it should" if secret else f"`{mention}`"
                yield (
                    f"{call} raises {got.type} as it should, but its message{text} does not name {missing}: "
                    "say which argument is wrong, and what it was."
                )
                return


def _type_hint(got: Any, want: Any) -> str:
    if isinstance(want, float) and isinstance(got, Array) and math.prod(got.shape) == 1:
        return " Turn a result of one element into a number with `.item()` or `float(...)`."
    if isinstance(want, list) and isinstance(got, Array):
        return " Turn it into a list with `.tolist()`."
    return ""
