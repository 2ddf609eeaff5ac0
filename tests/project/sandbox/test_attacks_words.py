"""Nothing of the reference and of hidden checks comes out in a submission's own words."""

from __future__ import annotations

import json
import linecache
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import CodeType

import numpy as np
import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import find
from grader.judging.reference import Code, reference_assembly
from grader.judging.verdict import Verdict
from grader.misconceptions.catalogue import catalogue
from grader.nb.feedback import feedback
from grader.probing.assembly import Assembly, Source
from grader.results import CheckResult
from grader.sandbox import telling
from grader.sandbox.borrowed import compiled
from grader.sandbox.inside.child import source_of
from grader.sandbox.judging import IsolatedJudge
from grader.sandbox.launchers import ForkServer
from grader.workers.here import import_suite
from tests.project.sandbox.conftest import table

(ENTRY,) = find(["05"])
SECRET = "XYZZY"  # stands for any text that the process holds
PUBLIC = [info for info in checks_of(ENTRY.suite) if not info.hidden][:3]
HIDDEN = [info for info in checks_of(ENTRY.suite) if info.hidden][:3]

# Whole modules that try to say SECRET; `how` is what the function does.
WAYS = table(
    """
## in an error
def scaled_dot_product_attention(q, k, v, mask=None): raise RuntimeError(SECRET)

## in an error at import
raise RuntimeError(SECRET)

## in a syntax error of its own making
raise SyntaxError(SECRET, (__file__ if '__file__' in globals() else 'x', 1, 1, SECRET))

## in the name of a missing module
raise ModuleNotFoundError("No module named '" + SECRET + "'")

## in the name of an error
def scaled_dot_product_attention(q, k, v, mask=None): raise type(SECRET, (Exception,), {})()

## in the name of a function
def scaled_dot_product_attention(q, k, v, mask=None):
    def g(): raise ValueError
    g.__code__ = g.__code__.replace(co_name=SECRET)
    g()

## in the name of a type
def scaled_dot_product_attention(q, k, v, mask=None): return type(SECRET, (), {})(), None

## in a print
def scaled_dot_product_attention(q, k, v, mask=None):
    print(SECRET)
    return q, k

## in a missing name
import sys
def scaled_dot_product_attention(q, k, v, mask=None): raise sys.modules['grader.errors'].MissingName(SECRET)

## in a flood
import sys
def scaled_dot_product_attention(q, k, v, mask=None):
    error = sys.modules['grader.probing.prints'].OutputFlood(1)
    error.args = (SECRET,)
    raise error

## in an error about memory
def scaled_dot_product_attention(q, k, v, mask=None): raise MemoryError(SECRET)

## in what is not yet written
def scaled_dot_product_attention(q, k, v, mask=None): raise NotImplementedError(SECRET)

## in the keys of an observation
FORGED = {SECRET: 1}

## in a text where numbers are expected
FORGED = SECRET

## in a list of texts
FORGED = [SECRET, SECRET]

## in a dtype
import sys
FORGED = sys.modules['grader.probing.observation'].Array('tensor', 'int' + SECRET, (1,), 'meta', None)

## in a device
import sys
FORGED = sys.modules['grader.probing.observation'].Array('tensor', 'int64', (1,), SECRET, None)

## in something raised
import sys
FORGED = sys.modules['grader.probing.observation'].Raised(SECRET, (SECRET,), SECRET)

## in an opaque type
import sys
FORGED = sys.modules['grader.probing.observation'].Opaque(SECRET)

## in a trace
def scaled_dot_product_attention(q, k, v, mask=None):
    import os, sys
    os.write(2, ('  File "/ex05_attention.py", line 1 in ' + SECRET + chr(10)).encode())
    os.kill(os.getpid(), 9)
"""
)
FORGE = """
import sys
def _forge():
    child = sys.modules['grader.sandbox.inside.child']
    child.observe = lambda probe, exercise, seed: FORGED
if 'FORGED' in globals(): _forge()
"""


@pytest.fixture(scope="module")
def code() -> Iterator[Code]:
    with Code(reference_assembly()) as code:
        yield code


def verdicts(code: Code, server: ForkServer, text: str) -> list[tuple[bool, Verdict]]:
    text = f"SECRET = 'X' + 'YZ' + 'ZY'\n{text}\n{FORGE}"
    sources = {stem: source for stem, source in code.sources.items() if stem < ENTRY.stem}
    sources[ENTRY.stem] = Source(ENTRY.stem, Path(f"{ENTRY.stem}.py"), text, "learner")
    judge = IsolatedJudge(ENTRY.stem, Assembly(sources), code, 3, suite=ENTRY.suite, launch=server)
    suite = import_suite(ENTRY.suite)
    try:
        loaded = judge.load(5.0)
        if loaded.status != "pass":
            return [(False, loaded)]
        infos = [*PUBLIC, *HIDDEN]
        return [(info.hidden, judge.judge(getattr(suite, info.name), 5.0, info.hidden)) for info in infos]
    finally:
        judge.close()


def told(verdict: Verdict) -> str:
    """All that a student can read of a verdict."""
    return json.dumps([verdict.message, asdict(verdict.evidence)])


@pytest.mark.parametrize("way", WAYS)
def test_no_word_of_a_submission_reaches_a_student(way: str, code: Code, best_server: ForkServer):
    found = verdicts(code, best_server, WAYS[way])
    assert all(verdict.status != "pass" for _, verdict in found)
    for hidden, verdict in found:
        assert SECRET not in told(verdict)
        assert len(verdict.words) <= telling.WORDS_KEPT + 100
        if hidden:
            sentences = {
                *telling.SENTENCES.values(),
                telling.WRONG,
                telling.UNUSABLE,
                telling.MISFIT,
                "Not written yet.",
            }
            assert verdict.message in sentences
            assert verdict.evidence.beside == verdict.evidence.inputs == []
    if "name" in way or "error" in way or "print" in way:
        assert any(SECRET in verdict.words for _, verdict in found), "the instructor does not see it either"


def test_what_is_printed_before_a_pass_reaches_nobody(code: Code, best_server: ForkServer):
    right = code.sources[ENTRY.stem].text.replace("from __future__ import annotations\n", "")
    talkative = "print(SECRET)\n" + right.replace("### BEGIN SOLUTION", "print(SECRET)\n    ### BEGIN SOLUTION")
    found = verdicts(code, best_server, talkative)
    assert {verdict.status for _, verdict in found} == {"pass"}
    assert not any(SECRET in told(verdict) + verdict.words for _, verdict in found)


def test_a_public_check_still_teaches(code: Code, best_server: ForkServer):
    reference = code.sources[ENTRY.stem]
    mistakes = {mistake.id: mistake for mistake in catalogue(ENTRY)}
    wrong = next(mistake for name, mistake in mistakes.items() if "softmax" in name or "scale" in name)
    found = verdicts(
        code, best_server, wrong.applied(reference).text.replace("from __future__ import annotations\n", "")
    )
    public = next(verdict for hidden, verdict in found if not hidden and verdict.status == "fail")
    assert len(public.message) > 40
    assert public.message not in telling.SENTENCES.values()
    hidden = next(verdict for hidden, verdict in found if hidden and verdict.status == "fail")
    assert hidden.message == telling.WRONG
    assert not any(char.isdigit() for char in hidden.message)


def test_a_syntax_error_is_told_from_the_text(code: Code, best_server: ForkServer):
    ((_, verdict),) = verdicts(code, best_server, "def attend(:\n    pass")
    assert "SyntaxError" in verdict.message
    assert "def attend(:" in verdict.message
    assert verdict.evidence.spot.endswith("ex05_attention.py:2")


def test_a_missing_module_is_told_if_the_text_names_it(code: Code, best_server: ForkServer):
    ((_, verdict),) = verdicts(code, best_server, "import no_such_module")
    assert verdict.message == "ModuleNotFoundError: No module named 'no_such_module'"


def test_modules_that_may_be_absent_are_read_off_the_import_lines():
    lines = [
        "from . import one",
        "from .two.deep import x",
        "from exercises.three import y",
        "from exercises import four",
    ]
    lines += [
        "import numpy as np, five",
        "from exercises_helper import z",
        "from ex01_softmax import softmax",
        "import os.path",
    ]
    absent = telling.absent_modules({"ex01_softmax"}, ["\n".join(lines)])
    assert absent == {"one", "two", "three", "four", "five", "exercises_helper"}


@pytest.mark.parametrize("first", ["no_such_a", "no_such_b"])
def test_which_of_several_modules_is_missing_is_not_told(code: Code, best_server: ForkServer, first: str):
    """Else whoever has many such lines chooses a word with each submission, by what the code has read."""
    lines = f"if {first!r} == 'no_such_a':\n    import no_such_a\nimport numpy, no_such_b as b"
    ((_, verdict),) = verdicts(code, best_server, lines)
    assert verdict.message == "One of these can't be imported here: no_such_a, no_such_b."


def test_a_students_page_has_no_words_and_the_document_has():
    check = CheckResult("ex05_attention::test_x", "x holds", False, "fail", 0, 1, "It does not.", words=SECRET)
    assert SECRET not in feedback(check)
    assert SECRET in json.dumps(asdict(check))


@pytest.mark.parametrize("text", ["0.123456789", "123456789012345", "1.2345678901e-05", "-98765432.123456"])
def test_numbers_are_rounded(text: str):
    assert len(telling.sentence(f"it is {text} here")) < len(f"it is {text} here")


def test_a_sentence_is_cut():
    assert len(telling.sentence("word " * 1000)) < 700


# ---- what is borrowed ------------------------------------------------------------------------------------------------


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from codes(const)


@pytest.mark.parametrize("stem", [source.stem for source in reference_assembly().sources.values()])
def test_what_is_borrowed_has_no_text_no_docstring_and_no_lines(stem: str):
    source = reference_assembly().sources[stem]
    borrowed = source_of(stem, f"{stem}.py", compiled(source.text), "reference")
    assert borrowed.text == ""
    assert borrowed.code is not None
    lines = {line.strip() for line in source.text.splitlines() if len(line.strip()) > 60}
    for each in codes(borrowed.code):
        assert {line for *_, line in each.co_lines()} <= {1, 0, None}
        assert each.co_filename == "<borrowed>"
        texts = [const for const in each.co_consts if isinstance(const, str)]
        assert not any(text.count("\n") > 1 or lines & set(map(str.strip, text.splitlines())) for text in texts)


def test_what_is_borrowed_runs_and_stands_in_no_cache():
    source = reference_assembly().sources["ex01_softmax"]
    borrowed = source_of("ex01_softmax", "ex01_softmax.py", compiled(source.text), "reference")
    with Assembly({"ex01_softmax": borrowed}) as assembly:
        module = assembly.module("ex01_softmax")
        assert module.softmax(np.zeros(2)).tolist() == [0.5, 0.5]
        assert module.softmax.__doc__ is None
        assert assembly.filename("ex01_softmax") not in linecache.cache
        assert module.__loader__.get_source(module.__name__) == ""


LOOK = """
import gc, inspect, linecache, sys
def attack():
    gc.unfreeze()
    texts = [o for o in gc.get_objects() if isinstance(o, (dict, list, tuple))]
    held = [v for o in texts for v in (o.values() if isinstance(o, dict) else o) if isinstance(v, str)]
    frame, seen = sys._getframe().f_back, []
    while frame is not None:
        seen += [str(value) for value in frame.f_locals.values()]
        frame = frame.f_back
    cached = [line for entry in linecache.cache.values() if len(entry) > 2 for line in entry[2]]
    needle = ''.join(PARTS)
    return any(needle in text for text in (*held, *seen, *cached))
"""


def test_no_object_frame_or_cache_holds_the_text_of_what_is_borrowed(best_server: ForkServer):
    from grader.sandbox.process import Allowance

    source = reference_assembly().sources["ex01_softmax"]
    needle = next(line.strip() for line in source.text.splitlines() if "exp(" in line and "np." in line)
    look = f"PARTS = [{needle[:9]!r}, {needle[9:]!r}]\n{LOOK}\nfrom .ex01_softmax import softmax\n"
    for borrowed, holds in ((compiled(source.text), False), (None, True)):
        told = ["ex01_softmax.py", borrowed or source.text, "reference" if borrowed else "learner"]
        sources = {"attack": ["attack.py", look, "learner"], "ex01_softmax": told}
        process = best_server.launch(Allowance())
        try:
            opening = {"stem": "attack", "sources": sources, "forbids": [], "operators": [], "limit": 9.0}
            process.ask({"open": opening}, 9)
            probe = {"name": "p", "source": "def p(ex, rng): return ex.attack()", "seed": 0, "limit": 9.0}
            assert process.ask({"probe": probe}, 9).head["value"] is holds
        finally:
            process.end("wall")
