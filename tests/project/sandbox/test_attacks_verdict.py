"""Wrong code gets no points, whatever it does to the process that it runs in; run *here*, these tricks work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import find
from grader.judging.reference import Code, reference_assembly
from grader.judging.verdict import Verdict
from grader.probing.assembly import Assembly, Source
from grader.sandbox.judging import IsolatedJudge
from grader.sandbox.launchers import ForkServer
from grader.workers.here import import_suite
from grader.workers.runner import Runner
from tests.project.sandbox.conftest import table

(ENTRY,) = find(["01"])
INFOS = checks_of(ENTRY.suite)[:2]
SUITE = import_suite(ENTRY.suite)
RIGHT = """
import numpy as np
def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)
"""
FIND = """
import sys
import numpy as np
asked = {}
def answer():  # walks up to the judge, where the expected answer is
    frame = sys._getframe()
    while 'want' not in frame.f_locals: frame = frame.f_back
    want = frame.f_locals['want']
    found = [tree.values for tree in (want.values() if isinstance(want, dict) else [want])]
    asked[id(want)] = asked.get(id(want), -1) + 1
    return found[asked[id(want)]].copy()
"""
# The whole of a module. None of them computes a softmax; EVEN is a distribution, but not the one that is asked for.
CHEATS = table(
    """
## patches the comparison
import sys, numpy as np
names = sys.modules.get('grader.judging.comparison')
if names: names.Comparison.structure = names.Comparison.values = lambda *_: None
def softmax(x, axis=-1): return EVEN

## patches the judge
import sys
names = sys.modules.get('grader.judging.judge')
if names: names.Judge.compare = lambda *_: None
def softmax(x, axis=-1): return x

## patches NumPy
import numpy as np
np.abs = lambda x: 0 * np.asarray(x, float)
def softmax(x, axis=-1): return EVEN

## looks for the answer in the callers' frames
FIND
def softmax(x, axis=-1): return answer()

## returns an array that becomes the answer when it is copied
FIND
class Fake(np.ndarray):
    def copy(self, *_): return answer()
def softmax(x, axis=-1): return x.view(Fake)

## replaces what takes its results apart
import importlib, sys
outcome = importlib.import_module('grader.probing.outcome')
freeze = outcome.freeze
def found(value):
    frame = sys._getframe()
    while frame and 'want' not in frame.f_locals: frame = frame.f_back
    return frame.f_locals['want'] if frame else freeze(value)
outcome.freeze = found
def softmax(x, axis=-1): return x

## finds the reference among all objects
import gc, types
def softmax(x, axis=-1):
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType) and thing.__name__ == 'softmax' and thing is not softmax:
            if 'solutions' in thing.__code__.co_filename: return thing(x, axis)
    return x

## finds the judge among all objects
import gc
def softmax(x, axis=-1):
    for thing in gc.get_objects():
        if type(thing).__name__ == 'Judge': return thing.reference.exercise('ex01_softmax').softmax(x, axis)
    return x

## finds the reference among the modules
import sys
def softmax(x, axis=-1):
    for name, module in list(sys.modules.items()):
        if name.endswith('.ex01_softmax') and name != __name__: return module.softmax(x, axis)
    return x

## finds the reference's text in the line cache
import linecache
def softmax(x, axis=-1):
    for name, entry in list(linecache.cache.items()):
        if name.endswith('solutions/ex01_softmax.py'):
            names = {}
            exec(''.join(entry[2]), names)
            return names['softmax'](x, axis)
    return x

## reads the reference from the disk
def softmax(x, axis=-1):
    names = {}
    exec(open('SOLUTIONS/ex01_softmax.py').read(), names)
    return names['softmax'](x, axis)

## imports the reference through the path
import importlib, sys
sys.path.insert(0, 'SOLUTIONS')
def softmax(x, axis=-1): return importlib.import_module('ex01_softmax').softmax(x, axis)

## asks the grader for the reference
import importlib
def softmax(x, axis=-1):
    found = importlib.import_module('grader.judging.reference')
    with found.reference_assembly() as reference: return reference.module('ex01_softmax').softmax(x, axis)
"""
)
WORDS = {"FIND": FIND, "EVEN": "np.full(x.shape, 1.0 / x.shape[axis])", "SOLUTIONS": str(ENTRY.solution.parent)}


def completed(code: str) -> str:
    """The code with the words in capitals replaced by what they stand for."""
    for word, text in WORDS.items():
        code = code.replace(word, text)
    return code


Grade = Callable[[str], list[Verdict]]


@pytest.fixture(scope="session")
def isolated(bare_server: ForkServer) -> Iterator[Grade]:
    """Grades a text as the first exercise, in the sandbox."""
    whole = Code(reference_assembly())

    def grade(text: str) -> list[Verdict]:
        sources = {ENTRY.stem: Source(ENTRY.stem, Path(f"{ENTRY.stem}.py"), text, "learner")}
        judge = IsolatedJudge(
            ENTRY.stem,
            Assembly(sources),
            whole,
            7,
            suite=ENTRY.suite,
            forbids=ENTRY.forbids,
            launch=bare_server,
        )
        try:
            loaded = judge.load(2.0)
            if loaded.status != "pass":
                return [loaded]
            return [judge.judge(getattr(SUITE, info.name), 2.0, info.hidden) for info in INFOS]
        finally:
            judge.close()

    with whole:
        yield grade


def here(text: str, folder: Path) -> list[Verdict]:
    """Grade a text as the first exercise in a process of its own, the reference beside it."""
    path = folder / f"{ENTRY.stem}.py"
    path.write_text(text)
    with Runner(7) as runner:
        loaded = runner.open(ENTRY, {ENTRY.stem: Source.read(path, "learner")})
        return [loaded] if loaded.status != "pass" else [runner.check(info) for info in INFOS]


def passes(verdicts: list[Verdict]) -> bool:
    return len(verdicts) == len(INFOS) and all(verdict.status == "pass" for verdict in verdicts)


def test_what_is_right_passes(isolated: Grade):
    assert passes(isolated(RIGHT))


@pytest.mark.parametrize("how", CHEATS)
def test_cheating(how: str, isolated: Grade, tmp_path: Path):
    code = completed(CHEATS[how])
    assert all(verdict.status != "pass" for verdict in isolated(code)[-2:]), how
    assert passes(isolated(RIGHT))
    outside = here(code, tmp_path)
    assert passes(outside), f"it works nowhere: {outside}"


NAIVE = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
from ex01_softmax import softmax
assert np.allclose(softmax(np.zeros(4)), 0.25)
"""
# A grader that believes an exit code takes each of these for a success.
EXITS = table(
    """
## at import
import os
os._exit(0)

## at import, politely
raise SystemExit

## in a call
import os
def softmax(x, axis=-1): os._exit(0)

## in a call, politely
import sys
def softmax(x, axis=-1): sys.exit(0)

## at the end
import atexit, os
atexit.register(os._exit, 0)
def softmax(x, axis=-1): return x

## through the C library
import ctypes
def softmax(x, axis=-1): ctypes.CDLL(None)._exit(0)

## by replacing the process
import os
def softmax(x, axis=-1): os.execv('/bin/true', ['true'])

## from another thread
import os, threading, time
def softmax(x, axis=-1):
    threading.Thread(target=os._exit, args=(0,)).start()
    time.sleep(60)

## from a finalizer
import os
class Bomb:
    def __del__(self): os._exit(0)
def softmax(x, axis=-1):
    Bomb()
    return x

## through a hook for errors
import os, sys
sys.excepthook = lambda *_: os._exit(0)
def softmax(x, axis=-1): return x
"""
)


@pytest.mark.parametrize("how", EXITS)
def test_ending_early(how: str, isolated: Grade, tmp_path: Path):
    assert not any(verdict.status == "pass" for verdict in isolated(EXITS[how])[-2:])
    assert passes(isolated(RIGHT))
    (tmp_path / "ex01_softmax.py").write_text(EXITS[how])
    naive = subprocess.run(
        [sys.executable, "-c", NAIVE.format(folder=str(tmp_path))], capture_output=True, timeout=60, check=False
    )
    assert naive.returncode == 0, "not even a grader that believes exit codes is taken in"


def test_an_exit_in_a_later_check_does_not_undo_the_checks_before(isolated: Grade):
    first, second = isolated(
        f"{RIGHT}right, calls = softmax, iter('ab')\ndef softmax(x, axis=-1):\n"
        "    return right(x, axis) if axis == -1 and x.ndim != 3 else __import__('os')._exit(0)\n"
    )
    assert first.status in ("pass", "error")
    assert second.status == "error"


RETURNS = {  # what softmax returns instead
    "not-a-number everywhere": "np.full(x.shape, np.nan)",
    "infinity everywhere": "np.full(x.shape, np.inf)",
    "one number for all": "np.float64(0.25)",
    "an array without axes": "np.array(0.25)",
    "an array that would broadcast": "np.full((1,) * x.ndim, 0.25)",
    "nothing of the right shape": "np.empty((0,) + x.shape)",
    "objects": "np.full(x.shape, None)",
    "text": "np.full(x.shape, 'a')",
    "records": "np.zeros(x.shape, [('a', float)])",
    "half precision": "(lambda e: (e / e.sum(axis, keepdims=True)).astype(np.float16))(np.exp(x))",
    "complex numbers": "(lambda e: (e / e.sum(axis, keepdims=True)).astype(complex))(np.exp(x))",
    "a masked array": "np.ma.masked_all(x.shape)",
    "a matrix of the wrong kind": "np.matrix([[1.0]])",
    "a list": "[[0.25]]",
    "a list that holds itself": "(lambda l: (l.append(l), l)[1])([])",
    "lists, very deep": "(lambda: [l := [] for _ in [0]] and [l := [l] for _ in range(5000)][-1])()",
    "a dictionary with odd keys": "{object(): 1, None: 2, 'a': 3}",
    "a generator": "(i for i in range(10**9))",
    "a huge whole number": "1 << 10**6",
    "a long text": "'x' * (64 << 20)",
    "thousands of tiny arrays": "[np.zeros(1) for _ in range(10**4)]",
    "an object that says that it equals everything": "type('Same', (), {'__eq__': lambda *_: True})()",
    "a number that says that it equals everything": "type('Same', (float,), {'__eq__': lambda *_: True})(1)",
    "an object that breaks when it is looked at": "type('Bomb', (), {'__getattribute__': lambda *_: 1 / 0})()",
    "the function": "softmax",
    "a class": "np.ndarray",
    "an error": "ValueError('x')",
    "bytes": "bytes(1 << 20)",
    "text that is no text": "'\\ud800\\x1b[2J'",
}


@pytest.mark.parametrize("what", RETURNS)
def test_returning_something_odd(what: str, isolated: Grade):
    verdicts = isolated(f"import numpy as np\ndef softmax(x, axis=-1):\n    return {RETURNS[what]}\n")
    assert len(verdicts) == 2
    for verdict in verdicts:
        assert verdict.status in ("fail", "error", "timeout")
        assert verdict.message
        verdict.message.encode("utf-8")
        assert all(char.isprintable() or char == "\n" for char in verdict.message)
    assert passes(isolated(RIGHT))


def test_prints_are_marked_as_theirs_and_move_no_cursor(isolated: Grade):
    lies = '\'\\x1b[2J\\x1b[32m10 passed\\r\\x07{"status": "pass"}\\u202e\''
    verdict = isolated(f"def softmax(x, axis=-1):\n    print({lies})\n    return x\n")[0]
    assert verdict.status == "fail"
    assert '  | ?[2J?[32m10 passed??{"status": "pass"}?' in verdict.words
    assert "passed" not in verdict.message
    assert not [char for char in verdict.message + verdict.words if not char.isprintable() and char != "\n"]


def test_an_error_message_moves_no_cursor_either(isolated: Grade):
    code = "class Odd\\u0301Error(Exception): pass\ndef softmax(x, axis=-1):\n    raise ValueError('\\x1b[2J\\udcff')\n"
    verdict = isolated(code.replace("\\u0301", ""))[0]
    assert verdict.status == "error"
    assert all(char.isprintable() or char == "\n" for char in verdict.message)


PATCHES = {
    "a function": "np.exp = np.ndarray.__init__\n",
    "what the judge draws from": "np.random.default_rng = None\n",
    "a builtin": "import builtins\nbuiltins.len = None\n",
}


def opened_here(runner: Runner, text: str, folder: Path) -> Verdict:
    """Open a text as the first exercise, in the process that the runner has."""
    path = folder / f"{ENTRY.stem}.py"
    path.write_text(text)
    return runner.open(ENTRY, {ENTRY.stem: Source.read(path, "learner")})


@pytest.mark.parametrize("what", PATCHES)
def test_a_patched_library_reaches_no_other_submission(what: str, isolated: Grade):
    isolated(RIGHT + PATCHES[what])
    assert passes(isolated(RIGHT))
    both = RIGHT + PATCHES[what] + f"other = {{}}\nexec({RIGHT!r}, other)\n"  # where they share a process
    both += "try: other['softmax'](np.random.default_rng(0).normal(size=len('abc')))\n"
    both += "except (TypeError, AttributeError): raise SystemExit(3)\n"
    shared = subprocess.run([sys.executable, "-c", both], capture_output=True, timeout=60, check=False)
    assert shared.returncode == 3, "the patch breaks nothing where nothing protects"


@pytest.mark.parametrize("what", ["what the judge draws from", "a builtin"])
def test_who_breaks_the_judge_here_is_told_so_and_it_judges_on(what: str, tmp_path: Path):
    with Runner(7) as runner:
        verdict = opened_here(runner, RIGHT + PATCHES[what], tmp_path)
        if verdict.status == "pass":
            verdict = runner.check(INFOS[0])
        assert verdict.status == "error"
        assert "breaks in the process in which your code runs" in verdict.message
        assert "reference" not in verdict.message
        assert opened_here(runner, RIGHT, tmp_path).status == "pass"
        assert all(runner.check(info).status == "pass" for info in INFOS)


def test_what_was_left_behind_here_is_not_blamed_on_the_next(tmp_path: Path):
    with Runner(7) as runner:
        assert opened_here(runner, RIGHT + PATCHES["what the judge draws from"], tmp_path).status == "pass"
        assert opened_here(runner, RIGHT, tmp_path).status == "pass"
        assert all(runner.check(info).status == "pass" for info in INFOS)
