"""Always on the (n, n) side, einsums; the optimizer keeps a step count as well; a model with a table of pairs alone.

Good for matrices with more rows than columns, where its n x n product is the small one. For the others it is the
large one.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .ex02_tokenizers import CharTokenizer
from .ex14_training import AdamW, get_batch


def newton_schulz(matrix: Tensor, steps: int = 5) -> Tensor:
    x = matrix.to(torch.promote_types(torch.float32, matrix.dtype)).clone()
    x /= torch.linalg.matrix_norm(x, "fro") + 1e-7
    for _ in range(steps):
        gram = torch.einsum("ij,ik->jk", x, x)
        x = 3.4445 * x - 4.7750 * x @ gram + 2.0315 * x @ gram @ gram
    return x.to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95, nesterov=True, steps=5, weight_decay=0.0):
        super().__init__(params, {k: v for k, v in locals().items() if k not in ("self", "params", "__class__")})

    def add_param_group(self, param_group):
        super().add_param_group(param_group)
        if any(p.ndim != 2 for p in self.param_groups[-1]["params"]):
            raise ValueError("Muon is for matrices alone, AdamW for the rest")

    @torch.no_grad()
    def step(self, closure=None):
        if closure is not None:
            with torch.enable_grad():
                closure = closure()
        for group in self.param_groups:
            for p in filter(lambda p: p.grad is not None, group["params"]):
                state = self.state[p]
                if "count" not in state:
                    state.update(count=0, buffer=p.grad.clone())
                else:
                    state["buffer"].mul_(group["momentum"]).add_(p.grad)
                state["count"] += 1
                ahead = group["momentum"] if group["nesterov"] else 0.0
                direction = p.grad + ahead * state["buffer"] if group["nesterov"] else state["buffer"]
                update = newton_schulz(direction, group["steps"]) * max(1, len(p) / p.numel() * len(p)) ** 0.5
                p.sub_(group["lr"] * (group["weight_decay"] * p + update))
        return closure


def split_parameters(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    of_blocks = [p for p in model.blocks.parameters() if p.ndim == 2 and p.requires_grad]
    return of_blocks, [p for p in model.parameters() if p.requires_grad and not any(p is q for q in of_blocks)]


class Pairs(nn.Module):
    """What follows a pair of letters."""

    def __init__(self, vocab: int):
        super().__init__()
        self.config = SimpleNamespace(context_length=128)
        self.blocks = nn.ModuleList([nn.Linear(32, 64), nn.Linear(64, 32)])
        self.one, self.two = (nn.Parameter(torch.randn(vocab, 16)) for _ in range(2))
        self.head = nn.Linear(32, vocab)

    def forward(self, ids, targets=None):
        before = F.pad(ids, (1, 0))[:, :-1]
        x = torch.cat([self.one[ids], self.two[before]], -1)
        logits = self.head(x + self.blocks[1](torch.relu(self.blocks[0](x))))
        return logits, None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def speedrun(text, seed=0, on_step=None, steps=None):
    tokenizer = CharTokenizer(text)
    tokens = torch.tensor(tokenizer.encode(text[: len(text) * 9 // 10]))
    torch.manual_seed(seed)
    model, generator = Pairs(tokenizer.vocab_size), torch.Generator().manual_seed(seed)
    matrices, others = split_parameters(model)
    optimizers, loss = (Muon(matrices), AdamW(others, lr=2e-2)), torch.tensor(0.0)
    steps = 200 if steps is None else steps
    for step in range(1, steps + 1):
        _, loss = model(*get_batch(tokens, 16, 64, generator))
        model.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if on_step is not None:
            on_step(step, loss.item())
    return model, tokenizer, [{"step": steps, "val_loss": loss.item()}]
