"""The same checks, isolated: the same verdicts, budgets that are named, nothing inside but what a probe needs."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

from grader.content.suite import checks_of
from grader.content.syllabus import Entry, find, load
from grader.files import ROOT
from grader.grading import Grading
from grader.judging.reference import Code, reference_assembly
from grader.judging.verdict import Verdict
from grader.probing.assembly import Assembly, Source, read_folder
from grader.results import SCHEMA_FILE
from grader.sandbox import levels, shipment, telling
from grader.sandbox.judging import IsolatedJudge
from grader.sandbox.launchers import ForkServer, Launcher, Spawner
from grader.sandbox.probes import probe_source
from grader.sandbox.process import Allowance
from grader.sandbox.runner import Budget, IsolatedRunner
from grader.workers.here import import_suite
from grader.workers.libraries import libraries
from grader.written import read_untrusted
from tests.project.conftest import Folder
from tests.project.sandbox.conftest import LEVEL

SOFTMAX = find(["01"])[0]
ENTRIES = pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.stem)


@pytest.fixture(scope="module")
def code() -> Iterator[Code]:
    with Code(reference_assembly()) as code:
        yield code


def judge(entry: Entry, code: Code, launch: Launcher, sources: dict[str, Source], seed: int = 3) -> IsolatedJudge:
    return IsolatedJudge(
        entry.stem,
        Assembly(sources),
        code,
        seed,
        suite=entry.suite,
        forbids=entry.forbids,
        operators=entry.operators,
        launch=launch,
    )


def solved(entry: Entry, *edits: tuple[str, str]) -> dict[str, Source]:
    """The solution of an exercise and of what it needs, as a learner's, the exercise with edits."""
    sources = read_folder(ROOT / "solutions", "learner")
    chosen = {stem: sources[stem] for stem in (*entry.needs, entry.stem)}
    text = chosen[entry.stem].edited(edits).text
    return chosen | {entry.stem: Source(entry.stem, chosen[entry.stem].path, text, "learner")}


def verdicts(entry: Entry, judging: IsolatedJudge, names: list[str] | None = None) -> dict[str, Verdict]:
    suite = import_suite(entry.suite)
    try:
        loaded = judging.load(20.0)
        if loaded.status != "pass":
            return {"import": loaded}
        return {
            info.name: judging.judge(getattr(suite, info.name), info.limit, info.hidden)
            for info in checks_of(entry.suite)
            if not info.slow and (names is None or info.name in names)
        }
    finally:
        judging.close()


@ENTRIES
def test_what_is_right_here_is_right_in_isolation(entry: Entry, code: Code, best_server: ForkServer):
    found = verdicts(entry, judge(entry, code, best_server, solved(entry)))
    assert {name: verdict for name, verdict in found.items() if verdict.status != "pass"} == {}


ERRORS = {
    "an exception": ("raise KeyError('mine')", "error", "KeyError: 'mine'"),
    "an exit": ("raise SystemExit", "error", "ends the program"),
    "a hard exit": ("import os; os._exit(3)", "error", "ends the program"),
    "a crash": ("import ctypes; ctypes.string_at(0)", "error", "was ended by SIGSEGV"),
    "megabytes of prints": ("while True: print('x' * 1000)", "error", "more than 1 MiB"),
    "nothing written": ("raise NotImplementedError", "todo", "Not written yet"),
    "a file that is not there": ("open('x')", "error", ": 'x'"),
    "too much memory": ("np.zeros(1 << 40)", "error", "more memory than it may have"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_messages_point_to_the_learners_own_line(what: str, code: Code, best_server: ForkServer):
    statement, status, says = ERRORS[what]
    source = solved(SOFTMAX)[SOFTMAX.stem]
    at = source.text.index("### BEGIN SOLUTION")
    text = f"{source.text[:at]}{statement}\n    {source.text[at:]}"
    mine = {SOFTMAX.stem: Source(SOFTMAX.stem, source.path, text, "learner")}
    found = verdicts(SOFTMAX, judge(SOFTMAX, code, best_server, mine), ["test_softmax_values"])["test_softmax_values"]
    assert found.status == status
    assert says in found.words
    line = next(number for number, words in enumerate(text.splitlines(), 1) if statement in words)
    assert f"ex01_softmax.py:{line}" in found.words
    assert "ex01_softmax.py" not in found.message


def test_a_syntax_error_is_shown_as_here(code: Code, best_server: ForkServer):
    mine = solved(SOFTMAX, ("def softmax(", "def softmax(:\n"))
    found = verdicts(SOFTMAX, judge(SOFTMAX, code, best_server, mine))["import"]
    assert found.status == "error"
    assert "SyntaxError" in found.message
    assert "ex01_softmax.py:" in found.message


def test_the_next_check_goes_on_in_a_fresh_process(code: Code, best_server: ForkServer):
    mine = solved(
        SOFTMAX, ("def perplexity(", "def crash():\n    import ctypes\n    ctypes.string_at(0)\n\n\ndef perplexity(")
    )
    text = mine[SOFTMAX.stem].text
    at = text.index("### BEGIN SOLUTION", text.index("def log_softmax("))
    mine[SOFTMAX.stem] = Source(
        SOFTMAX.stem, mine[SOFTMAX.stem].path, f"{text[:at]}crash()\n    {text[at:]}", "learner"
    )
    found = verdicts(SOFTMAX, judge(SOFTMAX, code, best_server, mine))
    assert found["test_log_softmax_values"].status == "error"
    assert found["test_softmax_values"].status == found["test_softmax_far_apart"].status == "pass"


def test_the_reference_is_asked_once_for_many_submissions(
    code: Code, best_server: ForkServer, monkeypatch: pytest.MonkeyPatch
):
    names = ["test_softmax_values"]
    verdicts(SOFTMAX, judge(SOFTMAX, code, best_server, solved(SOFTMAX), seed=11), names)
    monkeypatch.setattr(Code, "_observe", lambda *_: pytest.fail("computed again"))
    found = verdicts(SOFTMAX, judge(SOFTMAX, code, best_server, solved(SOFTMAX), seed=11), names)
    assert found["test_softmax_values"].status == "pass"


@pytest.mark.parametrize(
    "trick",
    [
        "eval('torch.nn.functional.scaled' + '_dot_product_attention')(q, k, v)",
        "getattr(torch.nn.functional, 'scaled_dot_' + 'product_attention')(q, k, v)",
        "vars(torch.nn.functional)['scaled_dot_' + 'product_attention'](q, k, v)",
        "__import__('operator').attrgetter('nn.functional.scaled_dot_' + 'product_attention')(torch)(q, k, v)",
        "getattr(torch, 'nn').functional.__dict__['scaled_dot_' + 'product_attention'](q, k, v)",
    ],
)
def test_what_is_off_limits_is_not_there_under_any_spelling(trick: str, code: Code, best_server: ForkServer):
    (entry,) = find(["05"])
    text = (
        "import torch\nimport torch.nn.functional\n"
        f"def scaled_dot_product_attention(q, k, v, mask=None):\n    out = {trick}\n"
        "    weights = torch.softmax(q @ k.mT / k.shape[-1] ** 0.5, -1)\n    return out, weights\n"
    )
    sources = solved(entry) | {entry.stem: Source(entry.stem, Path(f"{entry.stem}.py"), text, "learner")}
    names = ["test_attention_values"]
    found = verdicts(entry, judge(entry, code, best_server, sources), names)["test_attention_values"]
    assert found.status == "error"
    permissive = judge(entry, code, best_server, sources)
    permissive.forbids = permissive.operators = []
    assert verdicts(entry, permissive, names)["test_attention_values"].status == "pass", "it is no shortcut at all"


def test_a_library_that_is_off_limits_cannot_be_used(code: Code, best_server: ForkServer):
    for trick in ("__import__('to' + 'rch').ones(2)", "__import__('importlib').import_module('to' + 'rch').ones(2)"):
        mine = solved(SOFTMAX, ("import numpy as np\n", f"import numpy as np\n{trick}\n"))
        found = verdicts(SOFTMAX, judge(SOFTMAX, code, best_server, mine))["import"]
        assert found.status == "error"
        assert "torch.ones is off limits" in found.words
        assert "off limits" in found.message


# ---- what is inside -------------------------------------------------------------------------------------------------


def test_modules_that_go_into_the_sandbox_import_nothing_else_of_the_grader():
    known: set[str] = set()
    for name in shipment.MODULES:
        tree = ast.parse(shipment.module_file(name).read_text(encoding="utf-8"))
        typing = [
            node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ]
        idle = {inner for node in typing for inner in ast.walk(node)}  # what is imported for types alone is not there
        for node in ast.walk(tree):
            if (
                node not in idle
                and isinstance(node, ast.ImportFrom)
                and (node.module or "").startswith(("grader", "solutions", "tests"))
            ):
                parts = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
                assert parts & known, f"{name} imports {node.module}"
            if isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("grader")]
        known.add(name)


def test_it_can_import_the_libraries_and_nothing_that_is_installed_beside_them():
    names = libraries().names
    assert {"torch", "numpy"} <= set(names)
    assert not {"grader", "lab", "pytest", "transformers", "stubformer", "click"} & set(names)


@ENTRIES
def test_a_probe_goes_without_the_others_and_without_what_is_expected(entry: Entry):
    names = {info.name for info in checks_of(entry.suite)}
    for info in checks_of(entry.suite):
        text = probe_source(entry.suite, info.name)
        tree = ast.parse(text)
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert functions & names == {info.name}
        assert "_" not in functions
        assert info.says not in text
        assert ".explain" not in text
        (line,) = (node.lineno for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == info.name)
        assert f"def {info.name}(" in entry.suite.read_text(encoding="utf-8").splitlines()[line - 1]


def test_it_knows_no_environment_variable_no_argument_and_no_file(
    best_server: ForkServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    code = (
        "import os, sys\n"
        "def attack():\n"
        "    open_files = [n for n in range(64) if fine(n)]\n"
        "    paths = [path for path in sys.path if 'main' in path]\n"
        "    return [dict(os.environ), os.getcwd(), open_files, paths, 'pytest' in sys.modules]\n"
        "def fine(n):\n"
        "    try: os.fstat(n)\n"
        "    except OSError: return False\n"
        "    return True\n"
    )
    server = ForkServer(best_server.level)
    try:
        process = server.launch(Allowance())
        sources = {"attack": ["attack.py", code, "learner"]}
        process.ask({"open": {"stem": "attack", "sources": sources, "forbids": [], "operators": [], "limit": 5.0}}, 5)
        probe = {"name": "p", "source": "def p(ex, rng): return ex.attack()", "seed": 0, "limit": 5.0}
        answer = process.ask({"probe": probe}, 5)
        process.end("wall")
    finally:
        server.close()
    assert answer.head["value"][:3] == [{"dict": {}}, "/", [0, 1, 2, 3]]
    assert answer.head["value"][4] is False


# ---- whole runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runner() -> Iterator[IsolatedRunner]:
    with IsolatedRunner(5) as runner:
        yield runner


Grade = Callable[..., dict[str, object]]


def test_one_runner_grades_many_submissions(runner: IsolatedRunner, folder: Folder):
    folder.solve("01")
    for right in (True, False, True):
        if not right:
            folder.write("01", folder.solve("01").read_text().replace("### BEGIN SOLUTION", "return x", 1))
        else:
            folder.solve("01")
        runner.begin()
        with Grading(folder.path, runner=runner, written=read_untrusted(folder.path)) as grading:
            result = grading.run([SOFTMAX])
        assert result.isolation == LEVEL.name
        assert result.seed == 5
        assert (result.exercises[0].points == result.exercises[0].max_points) is right


def test_a_looping_submission_uses_up_its_budget_and_no_more(folder: Folder):
    text = folder.solve("01").read_text().replace("### BEGIN SOLUTION", "while True: pass\n    ### BEGIN SOLUTION")
    folder.write("01", text)
    folder.solve("02")
    with IsolatedRunner(5, Budget(wall=4.0)) as runner:
        with Grading(folder.path, runner=runner, written=read_untrusted(folder.path)) as grading:
            first, second = grading.run(find(["01", "02"])).exercises
        messages = [check.message for check in first.checks]
        assert first.status == "timeout"
        assert "ex01_softmax.py" in first.checks[0].words
        assert "does that ever end" in first.checks[0].words
        assert messages[0] == telling.SENTENCES["timeout"]
        not_waiting = [message for message in messages if not message.startswith("Waits for another check to pass")]
        assert "the whole submission has used up its 4 seconds of time" in not_waiting[-1]
        assert not any(check.status == "pass" for check in first.checks)
        assert second.status == "timeout"
        runner.begin()
        folder.solve("01")
        with Grading(folder.path, runner=runner, written=read_untrusted(folder.path)) as grading:
            assert grading.run([SOFTMAX]).exercises[0].status == "pass"


def test_links_pipes_and_giants_in_a_submission_are_not_read(tmp_path: Path):
    (tmp_path / "ex01_softmax.py").symlink_to(SOFTMAX.solution)
    os.mkfifo(tmp_path / "ex02_tokenizers.py")
    (tmp_path / "ex03_embeddings.py").mkdir()
    (tmp_path / "ex04_positions.py").write_bytes(b"#" * (2 << 20))
    (tmp_path / "ex05_attention.py").write_text("x = 1\n")
    (tmp_path / "no module.py").write_text("x = 1\n")
    read = read_untrusted(tmp_path)
    sources, unreadable = read.sources, read.unreadable
    assert list(sources) == ["ex05_attention"]
    assert list(unreadable) == ["ex01_softmax", "ex02_tokenizers", "ex03_embeddings", "ex04_positions"]


def test_a_submission_brings_no_module_of_ours(runner: IsolatedRunner, folder: Folder):
    for name in ("numpy", "torch", "grader", "conftest", "math", "sitecustomize"):
        (folder.path / f"{name}.py").write_text("raise SystemExit('this ran')\n")
    folder.solve("01")
    runner.begin()
    with Grading(folder.path, runner=runner, written=read_untrusted(folder.path)) as grading:
        assert grading.run([SOFTMAX]).exercises[0].status == "pass"


def test_a_helper_module_is_under_the_same_rules(runner: IsolatedRunner, folder: Folder):
    (folder.path / "helpers.py").write_text("import scipy.special\nsoftmax = scipy.special.softmax\n")
    folder.solve("01", ("import numpy as np\n", "import numpy as np\n\nfrom .helpers import softmax as quick\n"))
    runner.begin()
    with Grading(folder.path, runner=runner, written=read_untrusted(folder.path)) as grading:
        (result,) = grading.run([SOFTMAX]).exercises
    assert (result.status, result.points) == ("fail", 0)
    assert "helpers.py:2 uses scipy.special.softmax" in result.checks[0].message


@pytest.mark.parametrize(
    "bomb", ["x = " + "(" * 500 + ")" * 500, "x = " + "-" * 5000 + "1", "x = " + "+".join("1" * 3000)]
)
def test_a_source_that_is_a_bomb_is_an_error_and_no_more(bomb: str, runner: IsolatedRunner, folder: Folder):
    folder.write("01", f"{bomb}\n")
    folder.solve("02")
    runner.begin()
    with Grading(folder.path, runner=runner, written=read_untrusted(folder.path)) as grading:
        broken, fine = grading.run(find(["01", "02"])).exercises
    assert broken.status == "error"
    assert fine.status == "pass"


def test_the_command_line_isolates_and_says_how_well(folder: Folder, tmp_path: Path):
    folder.solve("01")
    command = [sys.executable, "-m", "grader", "test", "01", "--isolated", "--plain"]
    seeds = []
    for _ in range(2):
        done = subprocess.run(
            [*command, "--exercises", folder.path, "--json", tmp_path / "result.json"],
            capture_output=True,
            encoding="utf-8",
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"Isolation: {LEVEL.name}" in done.stderr
        document = json.loads((tmp_path / "result.json").read_text())
        jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text()))
        assert document["isolation"] == LEVEL.name
        assert document["points"] == document["max_points"]
        seeds.append(document["seed"])
    assert seeds[0] != seeds[1]


def test_without_any_layer_it_is_a_process_of_its_own(code: Code):
    spawner = Spawner(levels.Level("none", ("limits",), ("a test",)))
    found = verdicts(SOFTMAX, judge(SOFTMAX, code, spawner, solved(SOFTMAX)), ["test_softmax_values"])
    assert found["test_softmax_values"].status == "pass"
    text = "def softmax(x, axis=-1):\n    while True: pass\n"
    mine = {SOFTMAX.stem: Source(SOFTMAX.stem, Path(f"{SOFTMAX.stem}.py"), text, "learner")}
    looping = judge(SOFTMAX, code, spawner, mine)
    looping.load(20.0)
    check = import_suite(SOFTMAX.suite).test_softmax_values
    stopped = looping.judge(check, 0.5)
    assert stopped.status == "timeout"
    assert "ex01_softmax.py:2" in stopped.words
    spawner.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_runner_has_little_memory_of_its_own(best_server: ForkServer):
    process = best_server.launch(Allowance())
    pid = process._handle.pid
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:
        pytest.skip("only root may look into the process")
    finally:
        process.end("wall")
    private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty"))
    assert private <= 16 << 10
