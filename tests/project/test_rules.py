"""What an exercise forbids is found under any name; what merely looks like it is not."""

from __future__ import annotations

import pytest

from grader.judging.rules import violations

FORBIDS = ["torch.nn.LayerNorm", "torch.nn.functional.gelu", "torch.optim.Adam*", "tiktoken", "tiktoken.*"]


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.nn.LayerNorm(4)",
        "import torch.nn as nn\nnn.LayerNorm(4)",
        "from torch import nn as n\nn.LayerNorm(4)",
        "from torch.nn import LayerNorm",
        "from torch.nn import LayerNorm as L",
        "import torch.nn.functional as F\ny = F.gelu(x)",
        "from torch.nn.functional import gelu",
        "from torch.nn.functional import *\ny = gelu(x)",
        "from torch import nn\nG = nn.functional\nG.gelu(x)",
        "import torch\ngetattr(torch.nn, 'LayerNorm')",
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
        "import tiktoken",
        "from tiktoken.load import load_tiktoken_bpe",
        "import torch\ndef f(norm=torch.nn.LayerNorm):\n    pass",
        "import torch\n@torch.nn.functional.gelu\ndef f(): pass",
    ],
)
def test_found(text: str):
    assert violations(text, FORBIDS)


@pytest.mark.parametrize(
    "text",
    [
        '"""Build torch.nn.LayerNorm yourself; import tiktoken is off limits."""\n# F.gelu(x)',
        "class LayerNorm:\n    pass\nLayerNorm()",
        "from torch.nn.functional import *\ndef gelu(x):\n    return x\ngelu(1)",
        "from .ex08_residual_norm import LayerNorm\nLayerNorm(4)",
        "from .ex09_feed_forward import gelu\ngelu(x)",
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
    assert violations(text, FORBIDS) == []


def test_the_line_and_the_full_name_are_told():
    (found,) = violations("import torch.nn.functional as F\n\n\ny = F.gelu(x)\n", FORBIDS)
    assert (found.line, found.name) == (4, "torch.nn.functional.gelu")
