"""What may be said of code in the sandbox to whoever handed it in: nothing that the code itself has worded.

The reference's pieces and hidden checks are in the same process, so any text that comes from there may be theirs:
an error's message, the name of a class, a function or a type, a print, a key, a line. Of a hidden check, the sentence
depends on the kind of failure alone. Of a public one, the engine's own sentences are told, made of what was expected
and a few rounded numbers. Everything else is for the instructor.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from grader.judging.comparison import TOLERANCES
from grader.probing.assembly import FOLDER, Source, unqualified
from grader.probing.observation import Array, Opaque, Raised
from grader.probing.outcome import Failure, Place
from grader.probing.prints import clean
from grader.workers.libraries import libraries

WORDS_KEPT = 4096  # characters that are kept of what a submission says, for the instructor
SENTENCE = 600
NAMED = 5  # modules that may be absent
TEXT = "(your text)"
ENTRY = "(an entry)"
OTHER = "(of another kind)"
DTYPES = (*TOLERANCES, "int8", "int16", "int32", "int64", "uint8", "bool", "complex64", "complex128")
DEVICES = ("cpu", "meta", "cuda", "mps")
AXES, SIZE, WHOLE = 8, 1_000_000, 10_000_000

WRONG = "What your code returns here is not right. What this check puts in is not shown."
DIFFERENT = "What your code returns here is not what is expected."
HERE = "To see more of it, run `make test` on your own machine."
SENTENCES = {
    "raised": "Your code raises an error here.",
    "missing": "A name that the stub has is not there.",
    "flood": "Your code prints more than it may, and was stopped. Take the print out, or out of the loop.",
    "exit": "Your code ends the program (exit, quit, sys.exit or os._exit).",
    "debugger": "Your code calls a debugger (breakpoint or pdb.set_trace). Take the call out.",
    "syntax": "A file is no valid Python.",
    "memory": "Your code asks for more memory than it may have.",
    "timeout": "Your code takes longer than it may, and was stopped. Does every loop end?",
    "died": "The Python process that runs your code ended here.",
}
OFF_LIMITS = "Your code uses something that is off limits in this exercise: you build it yourself."
MISFIT = "A function or a class can't be called as the stub says: compare its parameters with those of the stub."
UNUSABLE = "The check can't go on with what your code gives it."


def failed(failure: Failure) -> str:
    """A sentence on a call that failed: by its kind, and by nothing else."""
    if failure.type == "OffLimits":
        return OFF_LIMITS
    if failure.kind == "raised" and not failure.places:
        return UNUSABLE
    return SENTENCES[failure.kind]


def not_imported(failure: Failure, sources: Mapping[str, Source]) -> tuple[str, Place | None]:
    """A sentence on a module that can't be imported, and the place of it, from the submission's text alone."""
    written = {stem: source for stem, source in sources.items() if source.origin != "reference"}
    if failure.kind == "syntax" and failure.places and failure.places[-1].stem in written:
        source = written[failure.places[-1].stem]
        try:
            compile(source.text, f"{source.stem}.py", "exec", dont_inherit=True)
        except SyntaxError as error:
            place = Place(source.stem, error.lineno or 1)
            line = (error.text or "").strip()
            return f"{type(error).__name__}: {error.msg} ({source.path.name}:{place.line})\n      {line}", place
        except Exception:
            return SENTENCES["syntax"], None
    found = MISSING.match(unqualified(failure.message))
    if failure.type in ("ModuleNotFoundError", "ImportError") and found is not None:
        absent = absent_modules(sources, [source.text for source in written.values()])
        if absent == {found[2]}:
            return f"{failure.type}: {found[1]} {found[2]!r}{' from' if found[3] else ''}{found[3] or ''}", None
        if found[2] in absent:  # which one could depend on what the code has read
            more = ", ..." if len(absent) > NAMED else ""
            return f"One of these can't be imported here: {', '.join(sorted(absent)[:NAMED])}{more}.", None
    return f"{failed(failure)} It can't be imported.", None


def absent_modules(known: Collection[str], texts: Iterable[str]) -> set[str]:
    """Return the modules in the import lines of some texts that are neither known nor in a library that is allowed."""
    named: set[str] = set()
    for text in texts:
        for module, names in FROM.findall(text):
            inner = f"{module.lstrip('.')}.".removeprefix(f"{FOLDER}.").rstrip(".")
            named.update([inner] if inner else MODULE.findall(names))
        for names in IMPORT.findall(text):
            named.update(MODULE.findall(names))
    tops = {name.partition(".")[0] for name in named}
    return tops - {*known, *libraries().names, *sys.stdlib_module_names, FOLDER}


def words(text: str) -> str:
    """Return what a submission says, cut."""
    text = clean(text)
    return text if len(text) <= WORDS_KEPT else f"{text[:WORDS_KEPT]} ... ({len(text)} characters in all)"


def sentence(text: str) -> str:
    """A sentence whose numbers are rounded, and not too many."""
    text = LONG_NUMBER.sub(lambda found: f"{float(found[0]):.4g}", text)
    return text if len(text) <= SENTENCE else f"{text[:SENTENCE]} ..."


FROM = re.compile(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]+(.+)", re.MULTILINE)
IMPORT = re.compile(r"^[ \t]*import[ \t]+(.+)", re.MULTILINE)
MODULE = re.compile(r"(?:^|,)[ \t(]*([A-Za-z_][\w.]*)")  # in the rest of such a line
MISSING = re.compile(r"(No module named|cannot import name) '([A-Za-z_]\w*)'(?: from( 'exercises'))?")
LONG_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{8,300}(?:\.\d+)?|\d{1,7}\.\d{5,300})(?:e[+-]?\d{1,3})?")


def masked(got: Any, want: Any) -> Any:
    """An observation without any text of its own: what is not expected at its place is replaced by a word for it."""
    if isinstance(got, dict):
        expected = want if isinstance(want, dict) else {}
        kept = {key: masked(item, expected[key]) for key, item in got.items() if key in expected}
        return kept if len(kept) == len(got) else kept | {ENTRY: None}
    if isinstance(got, list):
        items = want if isinstance(want, list) else []
        return [masked(item, items[place] if place < len(items) else None) for place, item in enumerate(got)]
    if isinstance(got, str | bytes):
        same = type(got) is type(want) and got == want
        return got if same else TEXT if isinstance(got, str) else TEXT.encode()
    if isinstance(got, Array):
        return _plain_array(got)
    if isinstance(got, Raised):
        known = tuple(base for base in got.bases if isinstance(getattr(builtins, base, None), type))
        name = got.type if got.type is None or got.type in known else next(iter(known), "Exception")
        return Raised(name, known, "", tuple(want.mentions) if isinstance(want, Raised) else ())
    if isinstance(got, Opaque):
        return Opaque(OTHER)
    if isinstance(got, int) and not isinstance(got, bool):
        return max(-WHOLE, min(WHOLE, got)) if got != want else got
    return got


def _plain_array(array: Array) -> Array:
    dtype = array.dtype if array.dtype in DTYPES else OTHER
    device = array.device if array.device in DEVICES else OTHER
    shape = tuple(min(size, SIZE) for size in array.shape[:AXES])
    whole = dtype == array.dtype and device == array.device and shape == array.shape
    return array if whole else Array(array.kind, dtype, shape, device, None if not whole else array.values)
