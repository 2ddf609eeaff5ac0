"""Questions on exercise 14: batches, AdamW, the schedule, clipping."""

from __future__ import annotations

import torch
from torch import nn

from grader.learning.quiz import Ask, Exercise, Random, question


@question("where a window can start")
def starts(ex: Exercise, rng: Random) -> Ask:
    context, tokens = rng.integers(3, 9), rng.integers(15, 40)
    x, _ = ex.get_batch(torch.arange(tokens), 4000, context, torch.Generator().manual_seed(0))
    return Ask(
        f"A corpus has {tokens} tokens, and context_length is {context}. From how many different places can a window "
        "of x start?",
        len(set(x[:, 0].tolist())),
        f"x needs {context} tokens, and y ends one token later: {tokens} - {context} starts, from 0 to "
        f"{tokens - context - 1}.",
    )


@question("the targets of a window")
def targets(ex: Exercise, rng: Random) -> Ask:
    tokens = torch.from_numpy(rng.numpy.permutation(10))
    x, y = ex.get_batch(tokens, 1, 4, rng.generator())
    return Ask(
        f"The corpus is {tokens.tolist()}. A window of it is x = {x[0].tolist()}. What is y?",
        y[0].tolist(),
        "The same window one token later: at every position, what comes next. A window of T tokens is T exercises at "
        "once.",
    )


@question("the learning rate in the warm-up")
def warmup(ex: Exercise, rng: Random) -> Ask:
    steps = rng.pick([100, 200, 400])
    step = steps * rng.integers(1, 4) // 4
    return Ask(
        f"cosine_lr with max_lr = 1, min_lr = 0.1, warmup_steps = {steps}, total_steps = 2000: what is it at step "
        f"{step}?",
        ex.cosine_lr(step, 1.0, 0.1, steps, 2000),
        f"It rises in a straight line, {step} / {steps}. Early on Adam's averages rest on a few gradients only, and "
        "full steps would be too bold.",
    )


@question("the learning rate after the warm-up")
def cosine(ex: Exercise, rng: Random) -> Ask:
    steps, total = 100, rng.pick([1100, 2100, 4100])
    part, word = rng.pick(
        [(0.0, "at the end of the warm-up"), (0.5, "half-way from there to the end"), (1.0, "at the end")]
    )
    max_lr = rng.pick([1.0, 2.0, 4.0])
    step = round(steps + part * (total - steps))
    return Ask(
        f"cosine_lr with max_lr = {max_lr:g}, min_lr = {max_lr / 10:g}, warmup_steps = {steps}, total_steps = "
        f"{total}: what is it at step {step}, {word}?",
        ex.cosine_lr(step, max_lr, max_lr / 10, steps, total),
        "Half a cosine leads from max_lr down to min_lr; half-way it is at their mean, since cos(pi/2) is 0.",
    )


@question("clipping")
def clip(ex: Exercise, rng: Random) -> Ask:
    three, four, norm = rng.pick([(3, 4, 5), (6, 8, 10), (5, 12, 13), (9, 12, 15)])
    limit = rng.pick([1, 2, norm + 5])
    one, two = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    one.grad, two.grad = torch.tensor([float(three)]), torch.tensor([float(four)])
    ex.clip_grad_norm([one, two], float(limit))
    shrunk = limit < norm
    return Ask(
        f"Two parameters of one number each have the gradients {three} and {four}. What is the first one after "
        f"clip_grad_norm(parameters, {limit})?",
        one.grad.item(),
        f"The norm of all gradients together is sqrt({three}^2 + {four}^2) = {norm}. "
        + (f"It is above {limit}, so all shrink by {limit}/{norm}, and their direction stays." if shrunk
           else f"It is not above {limit}, so nothing changes."),
    )  # fmt: skip


@question("AdamW's first step")
def first_step(ex: Exercise, rng: Random) -> Ask:
    gradient, lr = rng.pick([0.001, 0.1, 5.0, 300.0]), rng.pick([0.01, 0.1, 0.2])
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = ex.AdamW([weight], lr=lr, weight_decay=0.0)
    weight.grad = torch.tensor([gradient], dtype=torch.float64)
    optimizer.step()
    return Ask(
        f"AdamW with lr = {lr} and no weight decay. At the first step a weight has the gradient {gradient:g}. How far "
        "does it move?",
        abs(weight.item() - 1.0),
        "By lr, whatever the gradient is: m / sqrt(v) is g / |g| when both have seen one gradient only (the bias "
        "corrections see to that). Adam takes the direction and chooses the size itself.",
    )


@question("weight decay alone")
def decay(ex: Exercise, rng: Random) -> Ask:
    lr, strength = rng.pick([0.1, 0.5]), rng.pick([0.1, 0.2, 0.5])
    weight = nn.Parameter(torch.tensor([10.0], dtype=torch.float64))
    weight.grad = torch.zeros(1, dtype=torch.float64)
    ex.AdamW([weight], lr=lr, weight_decay=strength).step()
    return Ask(
        f"A weight of 10 gets a gradient of 0. Where is it after one step of AdamW with lr = {lr}, weight_decay = "
        f"{strength}?",
        weight.item(),
        f"At 10 * (1 - {lr} * {strength}). The decay acts on the weight itself and not through the gradient: that is "
        "the W in AdamW.",
    )


@question("what decays")
def groups(ex: Exercise, rng: Random) -> Ask:
    width, inner = rng.sizes(2, 3, 12)
    model = nn.Sequential(nn.Linear(width, inner), nn.Linear(inner, width))
    decaying, _ = sorted(ex.parameter_groups(model, 0.1), key=lambda group: -group["weight_decay"])
    return Ask(
        f"A model is a Linear from {width} to {inner} and one back, both with biases. How many of its numbers does "
        "parameter_groups let decay?",
        sum(p.numel() for p in decaying["params"]),
        f"The two matrices, 2 * {width} * {inner}. Biases and the weights of norms have one dimension and are left "
        "alone: they are few, and pulling them to 0 helps nobody.",
    )


@question("what AdamW remembers")
def memory(ex: Exercise, rng: Random) -> Ask:
    width = rng.pick([8, 16, 32])
    model = nn.Linear(width, width)
    optimizer = ex.AdamW(model.parameters())
    model(torch.ones(1, width)).sum().backward()
    optimizer.step()
    held = sum(v.numel() for s in optimizer.state.values() for v in s.values() if torch.is_tensor(v) and v.numel() > 1)
    return Ask(
        f"A model has {width * width + width} parameters. How many numbers does AdamW keep beside them from step to "
        "step (step counters aside)?",
        held,
        "Two for each parameter, the averages of its gradients and of their squares. With the gradients themselves, "
        "training takes about four times the memory of the weights.",
    )
