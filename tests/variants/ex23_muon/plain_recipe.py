"""Exercise 16's recipe through exercise 14's `train`, only smaller; float64 inside the iteration.

Good for a beginning: the recipe of exercise 16, only smaller, which shows what the race has to beat.
"""

from __future__ import annotations

import torch

from .ex13_gpt import GPT, GPTConfig
from .ex14_training import TrainConfig, train
from .ex16_capstone import build_tokenizer, split_corpus

NAMES = ("lr", "momentum", "nesterov", "steps", "weight_decay")


def newton_schulz(matrix, steps=5):
    if matrix.shape[0] > matrix.shape[1]:
        return newton_schulz(matrix.mT, steps).mT
    x = matrix.double()
    x = x / ((x * x).sum().sqrt() + 1e-7)
    for _ in range(steps):
        gram = x.matmul(x.mT)
        polynomial = -4.7750 * gram + 2.0315 * gram.matmul(gram)
        x = 3.4445 * x + polynomial.matmul(x)
    return x.type_as(matrix)


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr=0.02, momentum=0.95, nesterov=True, steps=5, weight_decay=0.0):
        params = list(params)
        for one in params:
            for tensor in one["params"] if isinstance(one, dict) else [one]:
                if tensor.dim() != 2:
                    raise ValueError(f"{tensor.dim()} dimensions: give this tensor to AdamW")
        super().__init__(params, dict(zip(NAMES, (lr, momentum, nesterov, steps, weight_decay), strict=True)))

    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._move(p, *(group[name] for name in NAMES))
        return loss

    def _move(self, p, lr, momentum, nesterov, steps, weight_decay):
        kept = self.state[p].get("velocity", torch.zeros_like(p))
        self.state[p]["velocity"] = kept = momentum * kept + p.grad
        direction = momentum * kept + p.grad if nesterov else kept
        factor = max(1, p.shape[0] / p.shape[1]) ** 0.5
        p.copy_(p - lr * weight_decay * p - lr * factor * newton_schulz(direction, steps))


def split_parameters(model):
    matrices, others, seen = [], [], set()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in seen:
            seen.add(id(parameter))
            (matrices if name.startswith("blocks.") and parameter.dim() == 2 else others).append(parameter)
    return matrices, others


def speedrun(text, seed=0, on_step=None, steps=None):
    steps = 300 if steps is None else steps
    tokenizer = build_tokenizer(text)
    train_tokens, val_tokens = split_corpus(text, tokenizer)
    torch.manual_seed(seed)
    model = GPT(GPTConfig(tokenizer.vocab_size, context_length=64, d_model=64, n_heads=4, n_layers=2))
    config = TrainConfig(
        steps=steps, batch_size=8, max_lr=1e-2, warmup_steps=2, eval_every=1000, eval_batches=1, seed=seed
    )
    history = train(model, train_tokens, torch.cat([train_tokens[-65:], val_tokens]), config, on_step)
    return model.eval(), tokenizer, history
