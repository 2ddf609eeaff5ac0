"""What an exercise forbids is found under any name; what merely looks like it is not, what has no effect is told."""

from __future__ import annotations

import time

import pytest

from grader.judging.rules import NotLookedAt, Rules, Violation

FORBIDS = ["torch.nn.LayerNorm", "torch.nn.functional.gelu", "torch.optim.Adam*", "tiktoken", "tiktoken.*"]


def rules(text: str, asked: tuple[str, ...] = (), **others: str) -> Rules:
    return Rules("mine", {"mine": text, **others}, FORBIDS, asked)


def violations(text: str, *asked: str, **others: str) -> list[Violation]:
    return rules(text, asked, **others).violations()


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.nn.LayerNorm(4)",
        "import torch.nn as nn\nnn.LayerNorm(4)",
        "from torch import nn as n\nn.LayerNorm(4)",
        "from torch.nn import LayerNorm\nLayerNorm(4)",
        "from torch.nn import LayerNorm as L\nnn = [L]\nnn[0](4)",
        "import torch.nn.functional as F\ny = F.gelu(x)",
        "from torch.nn.functional import gelu\ny = gelu(x)",
        "from torch.nn.functional import *\ny = gelu(x)",
        "from torch import nn\nG = nn.functional\nG.gelu(x)",
        "import torch\ngetattr(torch.nn, 'LayerNorm')",
        "import torch\ngetattr(torch.nn, 'Layer' + 'Norm')(4)",
        "import torch\ngetattr(torch.nn, ''.join(['Layer', 'Norm']))(4)",
        "import torch\nvars(torch.nn)['LayerNorm'](4)",
        "import torch\ntorch.nn.__dict__['LayerNorm'](4)",
        "import sys, torch\nsys.modules['torch.nn'].LayerNorm(4)",
        "import operator, torch\noperator.attrgetter('nn.LayerNorm')(torch)(4)",
        "import torch\ntorch.nn.LayerNorm.forward(self, x)",
        "import torch\nN = torch.nn.LayerNorm\ndef f():\n    return N(4)",
        "import torch\nNORMS = (torch.nn.LayerNorm, torch.nn.Linear)\nNORMS[0](4)",
        "import torch\nN = torch.nn.LayerNorm",
        "import torch\nnorms = {'layer': torch.nn.LayerNorm}",
        "import torch\nisinstance(torch.nn.functional.gelu(x), int)",
        "import torch\nif torch.nn.functional.gelu(x) > 0:\n    pass",
        "from .ex08_residual_norm import LayerNorm\nfrom torch.nn import LayerNorm\nLayerNorm(4)",
        "def gelu(x):\n    return x\nfrom torch.nn.functional import *\ngelu(1)",
        "try:\n    from torch.nn import LayerNorm\nexcept ImportError:\n    LayerNorm = None\nLayerNorm(4)",
        "import torch\nif flag:\n    from torch.nn import LayerNorm as N\nelse:\n    N = own\nN(4)",
        "import torch\ndef f():\n    return torch.nn.LayerNorm(4)\n"
        "if __name__ == '__main__':\n    pass\nelse:\n    f()",
        "import torch\nif __name__ != '__main__':\n    torch.nn.LayerNorm(4)",
        "import torch\ndef norm():\n    return torch.nn.LayerNorm(4)\nx = norm()\n"
        "if __name__ == '__main__':\n    norm()",
        "from torch import *\nfrom torch.nn import *\nfunctional.gelu(x)",
        "import torch\n[torch.nn.LayerNorm(4) for _ in range(3)]",
        "import torch\nfor make in [torch.nn.LayerNorm]:\n    make(4)",
        "import torch\nclass A:\n    norm = torch.nn.LayerNorm",
        "import torch\ngetattr(getattr(torch, 'nn'), 'functional').gelu(x)",
        "import importlib\nimportlib.import_module('torch.nn.functional').gelu(x)",
        "from importlib import import_module as load\nload('torch.nn').LayerNorm",
        "__import__('torch').nn.LayerNorm(4)",
        "import torch\nclass Mine(torch.nn.LayerNorm):\n    pass",
        "import torch\nclass Mine(torch.nn.Module):\n    def f(self):\n        self.norm = torch.nn.LayerNorm(4)",
        "import torch\nf = lambda x: torch.nn.functional.gelu(x)",
        "def f(x):\n    import torch.nn.functional as F\n    return F.gelu(x)",
        "def f(x):\n    return F.gelu(x)\nimport torch.nn.functional as F",
        "import torch\nfor act in (torch.nn.functional.gelu,):\n    act(x)",
        "import torch\na, b = torch.nn, 1\na.LayerNorm",
        "import torch\nif (n := torch.nn):\n    n.LayerNorm(4)",
        "import torch\ntorch.optim.AdamW(p)",
        "import tiktoken\ntiktoken.get_encoding('gpt2')",
        "from tiktoken.load import load_tiktoken_bpe\nload_tiktoken_bpe()",
        "import torch\ndef f(norm=torch.nn.LayerNorm):\n    pass",
        "import torch\n@torch.nn.functional.gelu\ndef f(): pass",
    ],
)
def test_found(text: str):
    assert violations(text)


@pytest.mark.parametrize(
    "text",
    [
        '"""Build torch.nn.LayerNorm yourself; import tiktoken is off limits."""\n# F.gelu(x)',
        "class LayerNorm:\n    pass\nLayerNorm()",
        "from torch.nn.functional import *\ndef gelu(x):\n    return x\ngelu(1)",
        "from .ex08_residual_norm import LayerNorm\nLayerNorm(4)",
        "from .ex09_feed_forward import gelu\ngelu(x)",
        "from torch.nn import *\nfrom .ex08_residual_norm import LayerNorm\nLayerNorm(4)",
        "from torch.nn.functional import *\nfrom .ex09_feed_forward import gelu\ngelu(x)",
        "from torch.nn.functional import *\ngelu = lambda x: x\ngelu(x)",
        "from torch.nn.functional import *\nprint(len(relu(x)))",
        "import torch\nhasattr(torch.nn, 'LayerNorm')",
        "import torch\ntorch.nn.Linear(3, 4)",
        "import torch.nn.functional as F\nF.relu(x)",
        "import torch.nn.functional as F\ndef f(F):\n    return F.gelu",
        "import torch\nclass AdamW(torch.optim.Optimizer):\n    pass\nAdamW([])",
        "model.nn.LayerNorm",
        "names = ['torch.nn.LayerNorm']",
        "import tiktoken_like",
        "def broken(:",
    ],
)
def test_left_alone(text: str):
    assert violations(text) == []
    assert rules(text).mentions() == []


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("import tiktoken", "nothing uses it"),
        ("from torch.nn import LayerNorm", "nothing uses it"),
        ("from tiktoken.load import load_tiktoken_bpe", "nothing uses it"),
        ("from torch.nn import LayerNorm\nfrom .ex08 import LayerNorm\nLayerNorm(4)", "nothing uses it"),
        ("import torch\nisinstance(x, torch.nn.LayerNorm)", "whether something is one"),
        ("from torch.nn import LayerNorm\nisinstance(x, (int, LayerNorm))", "whether something is one"),
        ("import torch\nisinstance(x, torch.nn.LayerNorm | torch.nn.Linear)", "whether something is one"),
        ("import torch\nNORMS = (torch.nn.LayerNorm,)\nisinstance(x, NORMS)", "whether something is one"),
        ("import torch\nassert type(x) is not torch.nn.LayerNorm", "whether something is one"),
        ("import torch\nmatch x:\n    case torch.nn.LayerNorm():\n        pass", "whether something is one"),
        ("import torch\ndef f(x: torch.nn.LayerNorm) -> list[torch.optim.AdamW]: pass", "annotation"),
        ("import torch\nif __name__ == '__main__':\n    torch.nn.LayerNorm(4)", "run by itself"),
        ("import torch\nif '__main__' == __name__ and True:\n    torch.optim.AdamW([])", "run by itself"),
        ("if __name__ == '__main__':\n    import tiktoken\n    tiktoken.get_encoding('gpt2')", "run by itself"),
        (
            "import torch\ndef inner():\n    torch.optim.Adam([])\ndef demo():\n    inner()\n"
            "if __name__ == '__main__':\n    demo()",
            "run by itself",
        ),
    ],
)
def test_told_at_no_cost(text: str, idle: str):
    found = rules(text)
    assert found.violations() == []
    assert found.mentions()
    assert all(idle in each.idle for each in found.mentions())


def test_a_name_that_is_asked_for_is_used():
    for text in ("from torch.nn import LayerNorm", "import torch\nLayerNorm = torch.nn.LayerNorm"):
        (found,) = violations(text, "LayerNorm")
        assert found.line == text.count("\n") + 1
    demo = "import torch\ndef norm():\n    return torch.nn.LayerNorm(4)\nif __name__ == '__main__':\n    norm()"
    assert violations(demo, "norm")
    assert not violations(demo)


def test_the_line_and_the_full_name_are_told():
    (found,) = violations("import torch.nn.functional as F\n\n\ny = F.gelu(x)\n")
    assert (found.stem, found.line, found.name) == ("mine", 4, "torch.nn.functional.gelu")


# ---- several files ---------------------------------------------------------------------------------------------------

BAD = "import torch\nclass Norm(torch.nn.LayerNorm): pass\n"
OPTIMIZER = "from torch.optim import AdamW as Stepper\n"


@pytest.mark.parametrize(
    "text",
    [
        "from .helpers import Norm",
        "from . import helpers",
        "from .helpers import *",
        "import helpers",
        "from helpers import Norm",
        "from exercises.helpers import Norm",
        "import exercises.helpers",
        "from exercises import helpers",
        "def f():\n    from .helpers import Norm",
        "from .between import Norm",
        "try:\n    from .helpers import Norm\nexcept ImportError:\n    pass",
    ],
)
def test_what_is_imported_is_under_the_same_rules(text: str):
    others = {"helpers": BAD, "between": "from .after import x\n", "after": "from .helpers import Norm\nx = 1\n"}
    (found,) = violations(text, **others)
    assert (found.stem, found.line) == ("helpers", 2)


def test_a_file_that_is_not_imported_is_left_alone():
    assert not violations("import numpy\nimport torch.helpers\n", helpers=BAD, scratch=BAD, torch=BAD, numpy=BAD)


@pytest.mark.parametrize(
    "text",
    [
        "from .ex13 import Stepper\nStepper([])",
        "from . import ex13\nex13.Stepper([])",
        "from .ex13 import *\nStepper([])",
        "import ex13 as earlier\nearlier.Stepper([])",
        "import exercises.ex13\nexercises.ex13.Stepper([])",
        "from .between import Again\nAgain([])",
    ],
)
def test_what_an_earlier_file_hands_on_is_found_where_it_is_used(text: str):
    others = {"ex13": OPTIMIZER, "between": "from .ex13 import Stepper as Again\n"}
    (found,) = violations(text, **others)
    assert (found.stem, found.line, found.name) == ("mine", 2, "torch.optim.AdamW")


def test_two_files_that_import_each_other():
    assert not violations("from .other import y\nx = y\nx()", other="from .mine import x\ny = x\n")


def test_what_is_nested_too_deeply_is_named():
    with pytest.raises(NotLookedAt) as caught:
        rules("from .helpers import x", helpers="x = " + "-" * 500 + "1")
    assert caught.value.stem == "helpers"


BRANCHES = "from torch import nn as a\n" + "".join(f"if a:\n    a = a.b{i}\nelse:\n    a = a.c{i}\n" for i in range(60))
FUNCTIONS = "".join(f"def f{i}():\n    return f{i + 1}()\n" for i in range(20_000))
ALIASES = "from torch import nn as a0\n" + "".join(f"a{i} = a{i - 1}.x\n" for i in range(1, 3000))
GLUE = f"import torch\ngetattr(torch, '{'a' * 400_000}'.join([{'1, '.replace('1', repr('b')) * 90_000}]))\n"


def test_a_name_that_may_stand_for_too_much_is_an_answer():
    with pytest.raises(NotLookedAt, match="more than 200 different things"):
        rules(BRANCHES)


@pytest.mark.parametrize("text", [FUNCTIONS, ALIASES, GLUE], ids=["functions", "aliases", "glue"])
def test_sources_that_are_made_to_be_slow_are_looked_at_in_seconds(text: str):
    started = time.process_time()
    assert violations(text) == []
    assert time.process_time() - started < 20
