"""A ready-made piece that an exercise forbids is gone in the sandbox, whichever way leads to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.content.syllabus import find, load
from grader.grading import Grading
from grader.probing.assembly import Source
from grader.sandbox.runner import IsolatedRunner
from grader.written import Written
from tests.project.conftest import Folder
from tests.project.sandbox.conftest import Arena, table

HEAD = """
import gc, importlib, operator, pkgutil, sys
import numpy as np, torch
import torch.nn.functional as F
from torch import nn
x = torch.ones(1, 2, 3, 4)
ids = torch.tensor([1, 2])
weight = torch.nn.Parameter(torch.ones(5, 4))
def named(module, word):  # what is called so in a module, or anywhere
    return next(v for k, v in vars(module).items() if k == word)
"""
# Each statement makes use of a piece that the exercise of the number forbids.
WAYS = table(
    """
## 03 by its name
F.embedding(ids, weight)

## 03 as a module
nn.Embedding(5, 4)(ids)

## 03 as an operator
torch.ops.aten.embedding(weight, ids)

## 03 as a bag of one
F.embedding_bag(ids[:, None], weight)

## 05 by its name
F.scaled_dot_product_attention(x, x, x)

## 05 as an operator, by a name that is built
getattr(torch, 'op' + 's').aten.scaled_dot_product_attention(x, x, x)

## 05 as an overload of it
torch.ops.aten.scaled_dot_product_attention.default(x, x, x)

## 05 by what it is made of
torch.ops.aten._scaled_dot_product_attention_math(x, x, x)

## 05 through the C module
getattr(getattr(torch, '_' + 'C'), '_nn').scaled_dot_product_attention(x, x, x)

## 05 through the modules
sys.modules['torch.nn.functional'].__dict__['scaled_dot_' + 'product_attention'](x, x, x)

## 05 through pkgutil
pkgutil.resolve_name('torch.nn.functional:scaled_dot_' + 'product_attention')(x, x, x)

## 05 among all objects
gc.unfreeze()
next(o for o in gc.get_objects() if isinstance(o, dict) and 'scaled_dot_product_attention' in o
     and callable(o['scaled_dot_product_attention']))['scaled_dot_product_attention'](x, x, x)

## 05 with gradients
F.scaled_dot_product_attention(x, x.clone().requires_grad_(), x).sum().backward()

## 05 under vmap
torch.func.vmap(lambda q: F.scaled_dot_product_attention(q, q, q))(x)

## 05 in inference mode
with torch.inference_mode(): F.scaled_dot_product_attention(x, x, x)

## 05 with autocast
with torch.autocast('cpu'): F.scaled_dot_product_attention(x, x, x)

## 05 from a module that calls itself another
globals()['__name__'] = 'torch.nn.functional'
F.scaled_dot_product_attention(x, x, x)

## 05 in another thread
from concurrent.futures import ThreadPoolExecutor
ThreadPoolExecutor(1).submit(F.scaled_dot_product_attention, x, x, x).result()

## 05 after a reload
importlib.reload(sys.modules['torch.nn.modules.activation']).MultiheadAttention(4, 2)

## 05 as a module
nn.MultiheadAttention(4, 2)(x[0], x[0], x[0])

## 05 as a subclass that is built
type('Mine', (nn.MultiheadAttention,), {})(4, 2)(x[0], x[0], x[0])

## 05 as a part of a layer
nn.TransformerEncoderLayer(4, 2).self_attn(x[0], x[0], x[0])

## 05 as a decomposition
from torch._decomp import decompositions
decompositions.scaled_dot_product_flash_attention_for_cpu(x, x, x)

## 08 by its name
F.layer_norm(x, (4,))

## 08 as a function of torch
torch.layer_norm(x, (4,))

## 08 as a module
nn.LayerNorm(4)(x)

## 08 as a subclass without a beginning of its own
class Mine(nn.LayerNorm):
    def __init__(self):
        nn.Module.__init__(self)
        self.normalized_shape, self.weight, self.bias, self.eps = (4,), None, None, 1e-5
Mine()(x)

## 08 as a part of a layer
nn.TransformerEncoderLayer(4, 2).norm1(x)

## 08 as an operator
torch.ops.aten.native_layer_norm(x, [4], None, None, 1e-5)

## 08 as a reference
torch._refs.nn.functional.layer_norm(x, (4,))

## 08 as a decomposition
torch._decomp.decomposition_table[torch.ops.aten.native_layer_norm.default](x, [4], None, None, 1e-5)

## 08 as groups
F.group_norm(x[0], 1)

## 08 as a root mean square
F.rms_norm(x, (4,))

## 08 for another kind of tensor
F.layer_norm(torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)]), (4,), torch.ones(4), torch.ones(4))

## 09 by its name
F.gelu(x)

## 09 as a module
nn.GELU()(x)

## 09 as an activation of a layer
nn.TransformerEncoderLayer(4, 2, activation='gelu').activation(x)

## 09 as an operator
torch.ops.aten.gelu(x, approximate='tanh')

## 09 as a reference
torch._refs.nn.functional.gelu(x)

## 09 in TorchScript
torch.jit.CompilationUnit('def f(x):\\n  return torch._C._nn.gelu(x)\\n').f(x)

## 10 as a module
nn.TransformerEncoderLayer(4, 2)

## 12 by its name
F.cross_entropy(x[0, 0], torch.tensor([0, 1, 2]))

## 12 as a module
nn.CrossEntropyLoss()(x[0, 0], torch.tensor([0, 1, 2]))

## 12 as an operator
torch.ops.aten.cross_entropy_loss(x[0, 0], torch.tensor([0, 1, 2]))

## 14 by its name
torch.optim.AdamW([weight])

## 14 by where it is written
sys.modules['torch.optim.adam'].Adam([weight])

## 14 as a subclass
type('Mine', (torch.optim.Adam,), {})([weight])

## 14 among the subclasses of an optimizer
next(k for k in torch.optim.Optimizer.__subclasses__() if k.__name__ == 'Adam')([weight])

## 14 as a function
weight.grad = torch.ones(5, 4)
sys.modules['torch.optim.adam'].adam(
    [weight.data], [weight.grad], [torch.zeros(5, 4)], [torch.zeros(5, 4)], [], [torch.tensor(0.)], amsgrad=False,
    beta1=0.9, beta2=0.99, lr=0.1, weight_decay=0.0, eps=1e-8, maximize=False, foreach=False)

## 14 as a fused operator
weight.grad = torch.ones(5, 4)
torch._fused_adamw_([weight.data], [weight.grad], [torch.zeros(5, 4)], [torch.zeros(5, 4)], [], [torch.tensor(0.)],
    amsgrad=False, lr=0.1, beta1=0.9, beta2=0.99, weight_decay=0.0, eps=1e-8, maximize=False)

## 14 as a clip
nn.utils.clip_grad_norm_([weight], 1.0)

## 14 as what a clip wraps
nn.utils.clip_grad_norm_.__wrapped__([weight], 1.0)

## 14 as a schedule
torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([weight], 0.1), 3)
"""
)


def attempt(way: str) -> str:
    body = "\n".join(f"    {line}" for line in WAYS[way].rstrip().splitlines())
    return f"{HEAD}\ndef attack():\n{body}\n    return 'worked'\n"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_off_limits_is_gone(way: str, best: Arena):
    (entry,) = find([way[:2]])
    free = best.run(attempt(way))
    assert free.value == "worked", f"it is no shortcut at all: {free.failure}"
    taken = best.run(attempt(way), taken=(entry.forbids, entry.operators))
    assert taken.failure is not None, "it works"
    assert "off limits" in taken.failure.message or "what you build yourself" in taken.failure.message


RIGHTS = """
import torch, torch.nn.functional as F
from torch import nn
from torch.nn import LayerNorm, MultiheadAttention
from torch.optim import AdamW
def attack():
    x = torch.ones(2, 3, 4, requires_grad=True)
    layer = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1), nn.ReLU(), nn.Tanh())
    loss = F.cross_entropy(torch.softmax(layer(x), -1).reshape(6, 4), torch.zeros(6, dtype=torch.int64))
    loss.backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    torch.einsum('bij,bkj->bik', x, x); torch.logsumexp(x, -1); x.var(-1, correction=0); torch.erf(x); torch.tril(x[0])
    kinds = [isinstance(layer, kind) for kind in (LayerNorm, MultiheadAttention, nn.Embedding, nn.TransformerEncoder)]
    return 'worked' if not any(kinds) and isinstance(AdamW, type) else 'broken'
"""


def test_what_is_not_forbidden_works_and_what_is_can_be_asked_for(best: Arena):
    last = load()[-1]
    assert best.run(RIGHTS, taken=(last.forbids, last.operators)).value == "worked"


ABSENT = """
import torch
import torch.nn.functional as F
from torch import nn, Tensor
from torch.nn import *
def look(x: Tensor, y: torch.Tensor | None = None) -> list[torch.nn.Module]: return []
def attack(): return 'worked' if not isinstance(3, (torch.Tensor, nn.Module, F.relu)) else 'broken'
"""


@pytest.mark.parametrize("use", ["torch.ones(2)", "F.softmax(1, 0)", "class Mine(nn.Module): pass", "Tensor([1.0])"])
def test_a_library_that_is_off_limits_can_be_named_and_not_used(use: str, best: Arena):
    (entry,) = find(["01"])
    taken = (entry.forbids, entry.operators)
    code = ABSENT.replace("from torch.nn import *\n", "")
    assert best.run(code, taken=taken).value == "worked"
    failure = best.run(f"{code}    \ndef attack():\n    {use}\n", taken=taken).failure
    assert failure is not None
    assert failure.type == "OffLimits"


def test_torch_does_not_work_where_it_is_found_again(best: Arena):
    (entry,) = find(["01"])
    code = (
        "import gc\ndef attack():\n    gc.unfreeze()\n"
        "    torch = next(o for o in gc.get_objects() if isinstance(o, dict) and o.get('__name__') == 'torch')\n"
        "    torch['softmax'](torch['arange'](3.0), 0)\n    return 'worked'\n"
    )
    assert best.run("import torch\n" + code).value == "worked"
    assert best.run(code, taken=(entry.forbids, entry.operators)).failure is not None


# ---- whole gradings --------------------------------------------------------------------------------------------------

HEADER = "from __future__ import annotations\n"


def points(folder: Folder, ex: str) -> tuple[int, int, str]:
    sources = {path.stem: Source.read(path, "learner") for path in sorted(folder.path.glob("*.py"))}
    with IsolatedRunner(5) as runner, Grading(folder.path, runner=runner, written=Written(sources, {})) as grading:
        (result,) = grading.run(find([ex])).exercises
    return result.points, result.max_points, result.checks[0].message


def test_torchs_own_attention_under_a_built_name_earns_nothing(folder: Folder):
    folder.solve("01")
    text = Path(find(["05"])[0].solution).read_text()
    at = text.index("def scaled_dot_product_attention")
    ready = (
        "SDPA = getattr(torch, 'o' + chr(112) + 's').aten.scaled_dot_product_attention\n\n\n"
        "def scaled_dot_product_attention(q, k, v, mask=None):\n"
        "    eye = torch.eye(k.size(-2), dtype=q.dtype, device=q.device).expand(*k.shape[:-1], k.size(-2))\n"
        "    return SDPA(q, k, v, mask), SDPA(q, k, eye, mask)\n"
    )
    folder.write("05", text[:at] + ready)
    got, most, _ = points(folder, "05")
    assert got <= 4 < most, "only `attend` is written here"


def test_a_ready_made_optimizer_in_an_earlier_file_earns_nothing(folder: Folder):
    for entry in load():
        if entry.stem < "ex14":
            folder.solve(entry.label[2:])
    folder.solve("13", (HEADER, HEADER + "from torch.optim import AdamW as Ready\n"))
    folder.solve("14", ("class AdamW(", "from .ex13_gpt import Ready as AdamW\n\n\nclass Unused("))
    got, _, message = points(folder, "14")
    assert got == 0
    assert "torch.optim.AdamW, which is off limits in ex14" in message
