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
MUON = {'lr': 0.1, 'weight_decay': 0.0, 'momentum': 0.9, 'nesterov': True, 'ns_coefficients': (3.4, -4.7, 2.0),
        'ns_steps': 5, 'eps': 1e-7, 'adjust_lr_fn': None, 'has_complex': False}
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

## 14 as half of a clip
weight.grad = torch.ones(5, 4)
sys.modules['torch.nn.utils.clip_grad']._clip_grads_with_norm_([weight], 1.0, torch.tensor(2.0))

## 14 as what a clip wraps
nn.utils.clip_grad_norm_.__wrapped__([weight], 1.0)

## 14 as a schedule
torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([weight], 0.1), 3)

## 03 as the transpose of its gradient
torch.ops.aten.embedding_dense_backward(torch.ones(2, 4), ids, 5, -1, False)

## 05 for a quantized model
importlib.import_module('torch.ao.nn.quantizable').MultiheadAttention(4, 2)(x[0], x[0], x[0])

## 05 from a graph that is traced
f = torch.fx.symbolic_trace(lambda q: F.scaled_dot_product_attention(q, q, q))
f(x)

## 08 instances
F.instance_norm(x[0])

## 08 instances as a module
nn.InstanceNorm1d(2)(x[0])

## 08 instances as an operator
torch.instance_norm(x[0], None, None, None, None, True, 0.1, 1e-5, False)

## 08 a batch on its side
F.batch_norm(x[0, 0].T, None, None, training=True)

## 08 a batch, as a decomposition
decompositions = sys.modules['torch._decomp.decompositions']
decompositions.native_batch_norm_decomposition(x[0], None, None, None, None, True, 0.1, 1e-5)

## 08 a batch, in training
torch.ops.aten._native_batch_norm_legit.no_stats(x[0], None, None, True, 0.1, 1e-5)

## 09 as the end of a convolution
ending = 'gelu', [], 'tanh'
torch.ops.mkldnn._convolution_pointwise(x, torch.ones(2, 2, 1, 1), None, [0, 0], [1, 1], [1, 1], 1, *ending)

## 09 as the end of a product
torch._addmm_activation(torch.zeros(4), torch.ones(3, 4), torch.eye(4), use_gelu=True)

## 12 with the last layer
F.linear_cross_entropy(x[0, 0], torch.ones(5, 4), torch.tensor([0, 1, 2]))

## 18 rotation in the exchange format
angles = torch.ones(5, 2), torch.ones(5, 2), torch.zeros(1, 3, dtype=torch.int64)
importlib.import_module('torch.onnx.ops').rotary_embedding(torch.ones(1, 2, 3, 4), *angles)

## 18 rotation in the exchange format, as an operator
angles = torch.ones(5, 2), torch.ones(5, 2), torch.zeros(1, 3, dtype=torch.int64)
importlib.import_module('torch.onnx.ops')
torch.ops.onnx.RotaryEmbedding.opset23(torch.ones(1, 2, 3, 4), *angles)

## 19 by its name
F.silu(x)

## 19 in place
F.silu(x.clone(), inplace=True)

## 19 as a module
nn.SiLU()(x)

## 19 as an operator, by a name that is built
getattr(torch, 'op' + 's').aten.silu(x)

## 19 as the gate of one
torch.ops.aten.glu(torch.cat([x, x], -1))

## 19 as its derivative
torch.ops.aten.silu_backward(torch.ones_like(x), x)

## 19 as a decomposition
sys.modules['torch._decomp.decompositions'].silu(x)

## 19 as inductor's decomposition
importlib.import_module('torch._ind' + 'uctor.decomposition').silu(x)

## 19 as a reference of gating
sys.modules['torch._refs.nn.functional'].glu(torch.cat([x, x], -1))

## 19 as the end of a convolution
torch.ops.mkldnn._convolution_pointwise(x, torch.ones(2, 2, 1, 1), None, [0, 0], [1, 1], [1, 1], 1, 'swish', [], '')

## 19 a root mean square, by its name
F.rms_norm(x, (4,))

## 19 a root mean square, fused
torch.ops.aten._fused_rms_norm(x, [4], None, 1e-5)

## 19 a root mean square, as a subclass of a module
class Mine(nn.RMSNorm):
    def __init__(self):
        nn.Module.__init__(self)
        self.normalized_shape, self.weight, self.eps = (4,), None, 1e-5
Mine()(x)

## 20 grouped, by its name
F.scaled_dot_product_attention(torch.ones(1, 4, 3, 4), x, x, enable_gqa=True)

## 20 grouped, as an operator
torch.ops.aten.scaled_dot_product_attention(x, x, x, None, 0.0, True, enable_gqa=True)

## 21 fused for a processor
torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(x, x, x)

## 21 flex, as it runs without a compiler
m = importlib.import_module('torch._higher_order_ops.flex_attention')
mask = (3, 3, *(None,) * 10, lambda b, h, i, j: torch.tensor(True))
m._math_attention_inner(x, x, x, lambda s, *_: s, mask, 0.5, {})

## 21 flex, for tests
m = importlib.import_module('torch._higher_order_ops.flex_attention')
mask = (3, 3, *(None,) * 8, 128, 128, lambda b, h, i, j: torch.tensor(True))
m.sdpa_dense(x, x, x, lambda s, *_: s, mask, 0.5, {})

## 21 a pattern that a compiler looks for
import tempfile; tempfile.tempdir = '/'
importlib.import_module('torch._inductor.fx_passes.fuse_attention')._sfdp_pattern_1(x, x, x, 2.0)

## 21 attention in the exchange format
importlib.import_module('torch.onnx.ops').attention(x, x, x)

## 21 attention in the exchange format, as a function
importlib.import_module('torch.onnx.ops._impl').attention_23(x, x, x)

## 23 by its name
torch.optim.Muon([weight]).step()

## 23 as a subclass
type('Mine', (torch.optim.Muon,), {})([weight])

## 23 as the iteration alone
sys.modules['torch.optim._' + 'muon']._zeropower_via_newtonschulz(x[0, 0], (3.4, -4.7, 2.0), 5, 1e-7)

## 23 as a function
sys.modules['torch.optim._muon'].muon([weight.data], [torch.ones(5, 4)], [torch.zeros(5, 4)], **MUON)

## 23 as a function for one tensor
sys.modules['torch.optim._muon']._single_tensor_muon([weight.data], [torch.ones(5, 4)], [torch.zeros(5, 4)], **MUON)

## 23 among the subclasses of an optimizer
next(k for k in torch.optim.Optimizer.__subclasses__() if k.__name__ == 'Mu' + 'on')([weight])

## 23 as its step alone
o = torch.optim.SGD([weight], 0.1)
torch.optim.Muon._init_group(o, {'params': [], 'momentum': 0}, [], [], [])
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
    nn.utils.clip_grad_value_(layer.parameters(), 1.0)
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
