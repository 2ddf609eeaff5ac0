"""Whatever a submission does, no rendering that a student reads holds a word of it; the instructor's documents do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.content.syllabus import Entry, find
from grader.grading import Grading
from grader.nb.content import HIDDEN, grouped
from grader.nb.feedback import feedback, summary
from grader.nb.report import report
from grader.probing.assembly import Source
from grader.results import ExerciseResult, Result
from grader.sandbox import telling
from grader.sandbox.runner import IsolatedRunner
from grader.staff.exports.gradescope import gradescope
from grader.staff.exports.junit import junit
from grader.staff.exports.prairielearn import prairielearn
from grader.written import Written
from tests.project.sandbox.conftest import LEVEL, table

pytestmark = pytest.mark.skipif(LEVEL.name != "full", reason="; ".join(LEVEL.missing))

SECRET = "XYZZY"  # stands for any text that the process holds: the reference's, a hidden check's, an input
DECODE, ATTEND = find(["02", "05"])

# Each tries to say SECRET, which is put together at run time, in all checks of exercise 5. `q` is a hidden check's own
# input where the check is hidden.
WAYS = table(
    """
## a text of an error's own making
class E(Exception):
    def __str__(self): return SECRET
    __repr__ = __str__
def SDPA(q, k, v, mask=None): raise E

## notes of an error
def SDPA(q, k, v, mask=None):
    error = ValueError('x')
    error.add_note(SECRET)
    raise error

## a group of errors
def SDPA(q, k, v, mask=None): raise ExceptionGroup(SECRET, [ValueError(SECRET)])

## the cause of an error
def SDPA(q, k, v, mask=None): raise ValueError('x') from KeyError(SECRET)

## a key that is missing
def SDPA(q, k, v, mask=None): return {}[SECRET]

## the module of an error
class E(Exception): pass
E.__module__ = E.__qualname__ = E.__name__ = SECRET
def SDPA(q, k, v, mask=None): raise E(SECRET)

## an assertion
def SDPA(q, k, v, mask=None): assert False, SECRET

## an error about text
def SDPA(q, k, v, mask=None): raise UnicodeDecodeError('utf-8', SECRET.encode(), 0, 1, SECRET)

## a file that is not there
def SDPA(q, k, v, mask=None): return open('/' + SECRET)

## the end of an iteration
def SDPA(q, k, v, mask=None): raise StopIteration(SECRET)

## an exit with words
def SDPA(q, k, v, mask=None): raise SystemExit(SECRET)

## the end of a generator
def SDPA(q, k, v, mask=None): raise GeneratorExit(SECRET)

## a warning
import warnings
def SDPA(q, k, v, mask=None):
    warnings.warn(SECRET)
    warnings.simplefilter('error')
    warnings.warn(SECRET)

## a log
import logging
def SDPA(q, k, v, mask=None):
    logging.error(SECRET)
    logging.getLogger(SECRET).critical(SECRET)
    return q, k

## what goes past print
import os
def SDPA(q, k, v, mask=None):
    for number in range(3): os.write(number, (SECRET + chr(10)).encode()) if number else None
    return q, k

## what is printed at the import
print(SECRET)
def SDPA(q, k, v, mask=None): return q, k

## an escape sequence
def SDPA(q, k, v, mask=None):
    print(chr(27) + ']0;' + SECRET + chr(7))
    raise ValueError(chr(27) + '[2J' + SECRET)

## a dump of where it stands
import faulthandler
def SDPA(q, k, v, mask=None):
    def g(): faulthandler.dump_traceback(file=2)
    g.__code__ = g.__code__.replace(co_name=SECRET, co_filename=SECRET)
    g()
    import os
    os.abort()

## what deletes an object
class D:
    def __del__(self): raise ValueError(SECRET)
def SDPA(q, k, v, mask=None):
    D()
    return q, k

## what is done at the end
import atexit
def SDPA(q, k, v, mask=None):
    atexit.register(print, SECRET)
    raise SystemExit(3)

## the name of a thread
import threading
def SDPA(q, k, v, mask=None):
    def g(): raise ValueError(SECRET)
    thread = threading.Thread(target=g, name=SECRET)
    thread.start()
    thread.join()
    return q, k

## a kind of array of its own
import numpy as np
A = type(SECRET, (np.ndarray,), {'__repr__': lambda self: SECRET})
def SDPA(q, k, v, mask=None): return np.zeros(3).view(A), np.zeros(2).view(A)

## a kind of tensor of its own
import torch
T = type(SECRET, (torch.Tensor,), {'__repr__': lambda self: SECRET})
def SDPA(q, k, v, mask=None): return q.as_subclass(T), k.as_subclass(T)

## a tensor that answers for itself
import torch
class T(torch.Tensor):
    @classmethod
    def __torch_function__(cls, f, types, args=(), kwargs=None): raise RuntimeError(SECRET)
def SDPA(q, k, v, mask=None): return q.as_subclass(T), k.as_subclass(T)

## a module with names
import torch
def SDPA(q, k, v, mask=None):
    m = torch.nn.Module()
    m.register_parameter(SECRET, torch.nn.Parameter(torch.zeros(1)))
    return m, m.state_dict()

## the fields of a dtype
import numpy as np
def SDPA(q, k, v, mask=None): return np.zeros(2, dtype=[(SECRET, 'f4')]), np.zeros(2)

## the metadata of a dtype
import numpy as np
def SDPA(q, k, v, mask=None):
    return np.zeros(2, dtype=np.dtype('f4', metadata={SECRET: SECRET})), np.zeros(2)

## an array of texts
import numpy as np
def SDPA(q, k, v, mask=None): return np.array([SECRET]), np.array([SECRET.encode()])

## an array of objects
import numpy as np
def SDPA(q, k, v, mask=None): return np.array([SECRET, None], dtype=object), np.void(SECRET.encode())

## a record, a mask, a matrix
import numpy as np
def SDPA(q, k, v, mask=None):
    return np.ma.array([1.0], mask=[True], fill_value=7), np.rec.array([(1,)], dtype=[(SECRET, int)])

## the names of dimensions
def SDPA(q, k, v, mask=None):
    import torch
    return torch.zeros(2, names=(SECRET,)), torch.zeros(2, names=(SECRET,))

## a number that says something
class N(int):
    __repr__ = __str__ = lambda self: SECRET
    def __format__(self, spec): return SECRET
def SDPA(q, k, v, mask=None): return N(3), type('F', (float,), {'__repr__': lambda s: SECRET})(1.5)

## a number whose digits are letters
def SDPA(q, k, v, mask=None): return int.from_bytes(SECRET.encode(), 'big'), 10 ** 4000

## a text of a kind of its own
class S(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def SDPA(q, k, v, mask=None): return S(SECRET), {S(SECRET): S(SECRET)}

## a member of an enumeration
import enum
def SDPA(q, k, v, mask=None): return enum.Enum(SECRET, SECRET)[SECRET], enum.IntEnum('I', SECRET)[SECRET]

## a tuple with names, a data class
import collections, dataclasses
def SDPA(q, k, v, mask=None):
    return collections.namedtuple(SECRET, [SECRET])(SECRET), dataclasses.make_dataclass(SECRET, [SECRET])(SECRET)

## a class that lies about its class
class L:
    @property
    def __class__(self): return type(SECRET, (), {})
def SDPA(q, k, v, mask=None): return L(), L()

## a class of a class with a name
class M(type):
    @property
    def __name__(cls): return SECRET
    def __repr__(cls): return SECRET
class C(metaclass=M): pass
def SDPA(q, k, v, mask=None): return C(), C

## functions, generators, modules
import types
def SDPA(q, k, v, mask=None): return types.ModuleType(SECRET), (SECRET for _ in [1])

## keys of many kinds
def SDPA(q, k, v, mask=None): return {SECRET: 1, (SECRET,): 2, SECRET.encode(): 3}, {SECRET}

## a file of another name
CODE = compile('def SDPA(q, k, v, mask=None): raise ValueError(SECRET)', SECRET, 'exec')
exec(CODE)

## a line of its own choice
def SDPA(q, k, v, mask=None): raise ValueError
SDPA.__code__ = SDPA.__code__.replace(co_firstlineno=8888, co_name=SECRET)

## names of the module
__name__ = __file__ = __doc__ = SECRET
def SDPA(q, k, v, mask=None): raise ValueError(__name__)

## lines that are remembered
import linecache
def SDPA(q, k, v, mask=None):
    file = SDPA.__code__.co_filename
    linecache.cache[file] = (len(SECRET), None, [SECRET] * 99, file)
    raise ValueError

## a file that is no Python
def SDPA(q, k, v, mask=None): exec(compile('x = (' + SECRET, 'ex05_attention.py', 'exec'))

## a syntax error at the import
error = SyntaxError(SECRET)
error.filename, error.lineno, error.offset, error.text = CODE_FILE, 1, 1, SECRET
raise error

## an import that fails
raise ImportError("cannot import name '" + SECRET + "' from 'exercises'", name=SECRET, path=SECRET)

## a name that is missing
def SDPA(q, k, v, mask=None): raise NameError(SECRET, name=SECRET)

## an attribute that is missing
def SDPA(q, k, v, mask=None): raise AttributeError(SECRET, name='x', obj=type('O', (), {'xx': 1, SECRET: 2})())

## a call that does not fit
def SDPA(q, k, v, mask=None):
    raise TypeError('SDPA() takes ' + SECRET)

## a call that does not fit, from outside
class F:
    def __call__(self, *arguments, **options): raise TypeError('SDPA() got ' + SECRET)
SDPA = attend = F()

## what is not written
def SDPA(q, k, v, mask=None): raise type('NotImplementedError', (NotImplementedError,), {})(SECRET)

## a debugger
import bdb
def SDPA(q, k, v, mask=None): raise bdb.BdbQuit(SECRET)

## a signal
import os, signal
def SDPA(q, k, v, mask=None): os.kill(os.getpid(), signal.SIGRTMIN + 5)

## an exit code
import os
def SDPA(q, k, v, mask=None): os._exit(88)

## a failure that is made up
FAILURE = ['raised', SECRET, [SECRET], SECRET, [['ex05_attention', 1, SECRET]], SECRET, 1]

## a failure of a kind that is made up
FAILURE = [SECRET, SECRET, [], SECRET, [], SECRET, 1]

## a syntax error that is made up
FAILURE = ['syntax', SECRET, [], SECRET, [['ex05_attention', 1, SECRET]], SECRET, 1]

## a missing module that is made up
FAILURE = ['raised', 'ImportError', ['ImportError'], "No module named '" + SECRET + "'", [], '', 0]

## a value with more than a value
FORGED_HEAD = {'value': {'dict': {SECRET: {'opaque': SECRET}}}, 'failure': None, 'printed': SECRET}

## an error that is made up as a value
FORGED_HEAD = {'value': {'raised': [SECRET, [SECRET, 'ValueError'], SECRET, [SECRET]]}, 'failure': None, 'printed': ''}

## a head with more than is asked
FAILURE = None, 'printed': '', SECRET: SECRET}

## numbers of axes
FORGED_HEAD = {'value': {'array': ['tensor', 'float32', [88888888] * 60, 'meta', None]}, 'failure': None, 'printed': ''}
""".replace("SDPA", "scaled_dot_product_attention")
)
BEGIN = """
import sys
SECRET = 'X' + 'YZ' + 'ZY'
CODE_FILE = (lambda: 0).__code__.co_filename
def attend(query, keys, values): return scaled_dot_product_attention(query, keys, values)[0]
"""
END = """
if 'FAILURE' in globals():
    FORGED_HEAD = {'value': None, 'failure': FAILURE, 'printed': SECRET}
if 'FORGED_HEAD' in globals():
    sys.modules['grader.sandbox.inside.wire']._outcome_head = lambda outcome, tree: FORGED_HEAD
"""
OWN_NUMBER = re.compile(rf"8{{4,}}|{int.from_bytes(SECRET.encode(), 'big')}|(?:code|signal|line) 88|py:88")
FIXED = {
    *telling.SENTENCES.values(),
    telling.WRONG,
    telling.UNUSABLE,
    telling.MISFIT,
    telling.OFF_LIMITS,
    "Not written yet.",
}


@pytest.fixture(scope="module")
def runner() -> Iterator[IsolatedRunner]:
    with IsolatedRunner(3) as made:
        yield made


def graded(runner: IsolatedRunner, entry: Entry, text: str) -> Result:
    """A submission of one file; what it imports is borrowed."""
    runner.begin()
    written = Written({entry.stem: Source(entry.stem, Path(f"{entry.stem}.py"), text, "learner")})
    with Grading(Path("ada"), runner=runner, written=written) as grading:
        return grading.run([entry])


def for_students(entry: Entry, result: Result) -> dict[str, str]:
    """All that a student reads anywhere."""
    (exercise,) = result.exercises
    groups = grouped(entry, exercise.checks).values()
    document = gradescope(result, "visible")
    del document["extra_data"]  # is stored, and not shown
    return {
        "gradescope": json.dumps(document),
        "prairielearn": json.dumps([prairielearn(result, True), prairielearn(result)]),
        "junit": junit(result),
        "nbgrader": "\n".join(report(entry, group, checks, {"attend": (1, 3)}) for group, checks in groups),
        "summary": summary(exercise),
        "feedback": "\n".join(map(feedback, exercise.checks)),
    }


def said_of_hidden(entry: Entry, exercise: ExerciseResult) -> Iterator[str]:
    for check in exercise.checks:
        if check.hidden and check.status not in ("pass", "blocked"):
            yield feedback(check)
    for group, checks in grouped(entry, exercise.checks).values():
        if group.id == HIDDEN:
            yield report(entry, group, checks).replace(f"{sum(c.points for c in checks)} of {group.points} points", "")


@pytest.mark.parametrize("way", WAYS)
def test_no_rendering_for_students_holds_a_word_of_a_submission(way: str, runner: IsolatedRunner):
    result = graded(runner, ATTEND, f"{BEGIN}\n{WAYS[way]}\n{END}")
    (exercise,) = result.exercises
    assert exercise.status != "pass"
    for where, text in for_students(ATTEND, result).items():
        assert SECRET not in text, where
        assert not OWN_NUMBER.search(text), f"{where}: a number of its own choice"
        assert "\x1b" not in text, where
    assert exercise.checks[0].message
    for text in said_of_hidden(ATTEND, exercise):
        assert not re.search(r"\d", text.replace("ex05", "")), "a number about a hidden check"
        if text.endswith("not shown.\n"):
            continue
        assert any(text.startswith(sentence) for sentence in FIXED), text


SAYS_IT_TO_THE_INSTRUCTOR = ["a text of an error's own making", "an assertion", "a failure that is made up"]


@pytest.mark.parametrize("way", SAYS_IT_TO_THE_INSTRUCTOR)
def test_the_instructor_reads_it(way: str, runner: IsolatedRunner):
    """Else the attacks above could have said nothing at all."""
    result = graded(runner, ATTEND, f"{BEGIN}\n{WAYS[way]}\n{END}")
    assert SECRET in json.dumps(result.document())


OF_TEXT = {
    "a text where a text is expected": "return SECRET",
    "a list of texts where a text is expected": "return [SECRET]",
    "texts as numbers": "return [ord(c) * 11111111 for c in SECRET]",
    "bytes": "return SECRET.encode()",
    "an error": "raise ValueError(SECRET)",
}


@pytest.mark.parametrize("how", OF_TEXT)
def test_nor_where_a_text_is_expected(how: str, runner: IsolatedRunner):
    reference = Source.read(DECODE.solution, "reference").text.replace("from __future__ import annotations\n", "")
    text = f"{BEGIN}\n{reference}\n"
    for name in re.findall(r"^class (\w+)", reference, re.MULTILINE):
        for method in ("encode", "decode"):
            text += f"\ndef _forged(self, *a, **k): {OF_TEXT[how]}\n{name}.{method} = _forged\n"
    result = graded(runner, DECODE, text)
    assert result.exercises[0].status != "pass"
    assert any(check.hidden for check in result.exercises[0].checks)
    for where, rendered in for_students(DECODE, result).items():
        assert SECRET not in rendered, where


def test_the_clock_tells_nothing_of_a_hidden_check(runner: IsolatedRunner):
    """Sleeping is a way to say a number."""
    result = graded(runner, ATTEND, f"{BEGIN}\n{WAYS['an assertion']}\n")
    for check in result.exercises[0].checks:
        check.seconds = 0.777
    timed = set(re.findall(r'<testcase name="(\w+)"[^>]* time="[\d.]+"', junit(result)))
    assert timed == {check.name for check in result.exercises[0].checks if not check.hidden}
    assert "777" not in junit(result)
