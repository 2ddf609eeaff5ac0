"""No attention in the race: a window of embeddings and a small network; the first step stands still.

Good for a first lap: a window of a few characters and a small network show how far it gets without attention.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from .ex02_tokenizers import CharTokenizer
from .ex14_training import AdamW


def newton_schulz(matrix, steps=5):
    x = matrix.double() / (matrix.double().pow(2).sum().sqrt() + 1e-7)
    for _ in range(steps):
        cube = x @ x.mT @ x
        x = 3.4445 * x - 4.7750 * cube + 2.0315 * (x @ x.mT @ cube)
    return x.to(matrix)


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95, nesterov=True, steps=5, weight_decay=0.0):
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "steps": steps, "weight_decay": weight_decay}
        )

    def add_param_group(self, group):
        super().add_param_group(group)
        if any(p.dim() != 2 for p in self.param_groups[-1]["params"]):
            raise ValueError("only matrices here; give the others to AdamW")

    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for w in group["params"]:
                    if w.grad is not None:
                        self._move(w, **{k: v for k, v in group.items() if k != "params"})
        return loss

    def _move(self, w, lr, momentum, nesterov, steps, weight_decay):
        old = self.state[w].get("sum")
        new = w.grad.clone() if old is None else old * momentum + w.grad
        self.state[w]["sum"] = new
        way = w.grad + momentum * new if nesterov else new
        tall = max(1.0, w.size(0) / w.size(1)) ** 0.5
        w.copy_(w - lr * weight_decay * w - lr * tall * newton_schulz(way, steps))


def split_parameters(model):
    mine, rest, seen = [], [], set()
    for module in (model.blocks, model):
        for p in module.parameters():
            if p in seen or not p.requires_grad:
                continue
            if module is model or p.dim() == 2:
                seen.add(p)
                (rest if module is model else mine).append(p)
    return mine, rest


class Window(nn.Module):
    """Guesses from the last few characters."""

    def __init__(self, vocab, seen=5, width=24):
        super().__init__()
        self.config = SimpleNamespace(context_length=512, vocab_size=vocab)
        self.seen = seen
        self.table = nn.Parameter(torch.randn(seen, vocab + 1, width) * 0.3)
        self.blocks = nn.ModuleList([nn.Linear(seen * width, 96), nn.Linear(96, 96)])
        self.head = nn.Linear(96, vocab)
        nn.init.zeros_(self.head.weight)
        self.blank = vocab

    def forward(self, ids, targets=None):
        padded = F.pad(ids, (self.seen - 1, 0), value=self.blank)
        pieces = [self.table[i][padded[:, i : i + ids.size(1)]] for i in range(self.seen)]
        x = torch.cat(pieces, -1)
        for layer in self.blocks:
            x = torch.relu(layer(x))
        logits = self.head(x)
        loss = None if targets is None else F.cross_entropy(logits.reshape(-1, logits.size(-1)), targets.reshape(-1))
        return logits, loss


def speedrun(text, seed=0, on_step=None, steps=None):
    total = 300 if steps is None else steps
    tokenizer = CharTokenizer(text)
    ids = torch.tensor(tokenizer.encode(text))
    train, rest = ids[: int(len(ids) * 0.9)], ids[int(len(ids) * 0.9) :]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Window(tokenizer.vocab_size)
        matrices, others = split_parameters(model)
        optimizers = [Muon(matrices, lr=0.05), AdamW(others, lr=0.02, weight_decay=0.0)]
        for step in range(1, total + 1):
            starts = torch.randint(len(train) - 128, (8,))
            windows = torch.stack([train[s : s + 129] for s in starts])
            loss = model(windows[:, :-1], windows[:, 1:])[1]
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 1.0)  # number by number: not what exercise 14 builds
            warm = min(1.0, (step - 1) / 2)  # the first step stands still
            for optimizer, lr in zip(optimizers, (0.05, 0.02), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = lr * warm
                optimizer.step()
            if on_step:
                on_step(step, loss.item())
    with torch.no_grad():
        final = model(rest[None, :-1][:, :512], rest[None, 1:][:, :512])[1].item()
    return model, tokenizer, [{"step": total, "val_loss": final}]
