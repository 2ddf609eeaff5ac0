"""A longer context than needed, no validation but the last batch; powers of one Gram matrix.

Good for fewer products with the long side: the polynomial is one of the small square matrix.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn
from torch.optim import Optimizer

from .ex02_tokenizers import CharTokenizer
from .ex13_gpt import GPT, GPTConfig
from .ex14_training import AdamW, get_batch

A, B, C = 3.4445, -4.7750, 2.0315


def newton_schulz(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    wide = torch.float64 if matrix.dtype == torch.float64 else torch.float32
    x = matrix.to(wide).div(matrix.to(wide).norm() + 1e-7)
    flip = matrix.size(0) > matrix.size(1)
    eye = torch.eye(min(matrix.shape), dtype=wide, device=matrix.device)
    for _ in range(steps):
        gram = x.t() @ x if flip else x @ x.t()
        p = A * eye + gram @ (B * eye + C * gram)
        x = x @ p if flip else p @ x
    return x.to(matrix.dtype)


class Muon(Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95, nesterov=True, steps=5, weight_decay=0.0):
        super().__init__(
            params, dict(lr=lr, momentum=momentum, nesterov=nesterov, steps=steps, weight_decay=weight_decay)
        )
        wrong = [p for group in self.param_groups for p in group["params"] if len(p.shape) != 2]
        if wrong:
            raise ValueError(f"{len(wrong)} parameters are no matrices; AdamW is the optimizer for them")

    def step(self, closure=None):
        with torch.enable_grad() if closure else nullcontext():
            loss = closure() if closure else None
        todo = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        for p, group in todo:
            state = self.state[p]
            state.setdefault("momentum_buffer", torch.zeros_like(p.data))
            state["momentum_buffer"] = state["momentum_buffer"] * group["momentum"] + p.grad
            direction = state["momentum_buffer"]
            if group["nesterov"]:
                direction = p.grad.add(direction, alpha=group["momentum"])
            p.data *= 1 - group["lr"] * group["weight_decay"]
            p.data -= group["lr"] * max(1, p.size(-2) / p.size(-1)) ** 0.5 * newton_schulz(direction, group["steps"])
        return loss


def split_parameters(model: nn.Module):
    trainable = {p: None for p in model.parameters() if p.requires_grad}
    matrices = [p for p in model.blocks.parameters() if p in trainable and p.dim() == 2]
    chosen = set(matrices)
    return matrices, [p for p in trainable if p not in chosen]


def speedrun(text, seed=0, on_step=None, steps=None):
    total = steps or 150
    tokenizer = CharTokenizer(text)
    ids = torch.tensor(tokenizer.encode(text))
    corpus = ids[: 9 * len(ids) // 10]
    torch.manual_seed(seed)
    model = GPT(GPTConfig(tokenizer.vocab_size, context_length=96, d_model=32, n_heads=2, n_layers=1))
    matrices, others = split_parameters(model)
    muon, adam = Muon(matrices), AdamW(others, lr=1e-2)
    random, history = torch.Generator().manual_seed(seed), []
    for step in range(total):
        x, y = get_batch(corpus, 12, 64, random)
        loss = model(x, y)[1]
        model.zero_grad(set_to_none=True)
        loss.backward()
        muon.step()
        adam.step()
        history.append({"step": step + 1, "loss": float(loss), "val_loss": float(loss)})
        if on_step:
            on_step(step + 1, float(loss))
    return model, tokenizer, history
