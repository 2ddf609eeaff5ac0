"""Exercise 14: training, the loop that turns random weights into a language model.

The picture
-----------
One step of training, from a corpus of N tokens to slightly better weights. B windows of T tokens
are drawn at random; y is x one token later::

    tokens (N,)   ...  t  h  e  _  c  a  t  _  s  a  t  ...
    x (T,)                h  e  _  c  a  t
    y (T,)                e  _  c  a  t  _       below each x, the token that follows it

    get_batch          model          backward         clip_grad_norm       AdamW.step
    x, y (B, T)  -->  loss ()  -->  a gradient   -->  the gradients   -->  new weights
         ^                          per weight        not too long              |
         '------------ next step, with a learning rate of cosine_lr(step) <-----'

    every eval_every steps: evaluate on text that is never trained on --> a row of the history

And the learning rate along the way::

    max_lr |     ,--..
           |    /     '.
           |   /        '.
           |  /           '.
    min_lr | /              ''--._________
           |/
         0 +-----+---------------+--------> step
           0     warmup_steps    total_steps

The intuition
-------------
*Gradient descent.* The gradient says, for every weight, in which direction the loss grows. Take a
small step the other way, and look again::

    w = w - lr g                 g: the gradient;  lr: the learning rate, how long the step is

Repeat that a few thousand times, and you have trained a model. Everything else in this exercise
makes those steps safe and fast. Numbers such as lr, which you choose and which no gradient
improves, are called *hyperparameters*; `TrainConfig` holds them all.

*Stochastic gradient descent.* The true gradient would take the whole corpus. A batch of a few
windows, drawn at random, gives a noisy estimate of it for a tiny part of the work, and many cheap
steps beat one exact one. (One pass over the whole corpus is called an *epoch*. With windows drawn
at random nobody counts passes exactly: an epoch is over when as many tokens have been seen as there
are.)

*A batch is more than B examples.* The causal mask lets position t see only what stands at or
before it, so each of the T positions is a prediction problem of its own: after "t" comes "h",
after "th" comes "e", and so on. One window of T + 1 tokens holds T examples, with contexts of
1, 2, ..., T tokens, and one forward pass answers them all. That is why y is as long as x, and
why a model trained on windows of T tokens can also continue a prompt of one.

*Windows start anywhere.* Windows that always began at a multiple of T would cut the corpus at the
same places every time. With random starts, every token turns up at every position.

*Each weight gets its own step size.* Gradients differ by orders of magnitude between an embedding
row that is hardly ever used and a bias that is used at every position. One learning rate for raw
gradients is too large for one weight and too small for another. Adam divides each weight's gradient
by that gradient's own typical size, so that lr means "how far a weight moves in a step".

*Watch text you did not train on.* The loss on the training text falls when the model learns the
language. It also falls when the model learns the text by heart, which is called *overfitting*. Only
the loss on held-out text tells the two apart: when it rises while the training loss still falls,
the model has begun to overfit.

*Overfit on purpose first.* Before a long run, train on one single batch, over and over. There is
nothing to learn but that batch, and any model with enough weights must learn it by heart: the
loss has to fall towards 0. If it does not, something is broken (weights that the optimizer never
got, a gradient that is never cleared, a step in the wrong direction), and you have found out in
seconds instead of hours. It is the best test of a training loop that there is. It does not test the
data: targets that are off by one can be learned by heart, too. *By hand* has such a test, and
exercise 16 is graded on one.

The mathematics
---------------
*Momentum.* A noisy gradient points a little wrong in each step. Averaged over the last few steps,
the noise cancels and the common direction stays, as a ball rolling downhill ignores small bumps::

    m = beta1 m + (1 - beta1) g            which way, lately

This is a running average: each step keeps a fraction beta1 of what it knew. With beta1 = 0.9 it
looks back over about 1 / (1 - 0.9) = 10 steps.

*Adam* keeps such an average m of the gradient, and a second one, v, of its square. Both start at
zero; t counts the steps of this weight::

    m = beta1 m + (1 - beta1) g            which way, lately
    v = beta2 v + (1 - beta2) g^2          how large, lately
    m_hat = m / (1 - beta1^t)              make up for the start at zero
    v_hat = v / (1 - beta2^t)
    w = w - lr m_hat / (sqrt(v_hat) + eps)                   (Kingma & Ba 2015, algorithm 1)

Why the bias correction? After one step m = (1 - beta1) g: with beta1 = 0.9 that is a tenth of g,
since nine tenths are still the zero from the start. v is a thousandth of g^2, with beta2 = 0.999.
The weights of all gradients in m add up to 1 - beta1^t, so dividing by that gives a true average.
Without it the first step would be 0.1 / sqrt(0.001) = 3.2 times too long.

Why is eps outside the root? It only keeps the quotient finite where v is zero. Inside the root,
eps = 1e-8 would act like 1e-4 and damp every weight whose gradients are smaller than that.

*Decoupled weight decay* (the W) shrinks the weights towards zero, separately from the gradient::

    w = w - lr weight_decay w              first, from the weight as it was; then the Adam step

Why not add weight_decay * w to the gradient, as with plain gradient descent? Because Adam would
then divide it by sqrt(v_hat) as well: a weight with large gradients would hardly decay at all, and
one with small gradients would decay at full speed. Decoupled, all shrink at the same rate
(Loshchilov & Hutter 2019, algorithm 2). One detail is a convention of PyTorch's, which we follow:
here the decay is multiplied by lr. The paper multiplies it by the schedule alone, so that its decay
does not change when somebody tries another max_lr.

What decays? The matrices. They can grow to make the model sharper than the data warrants, and decay
counteracts that. A bias or a norm's gain (its `weight`) has no such power, and a gain's natural
value is one, not zero: decay would only do harm. The number of dimensions tells them apart: tensors
of 2 and more decay, the rest do not.

*Warm-up.* At first v_hat is an average over a handful of noisy gradients, and the first step
moves every weight by the whole lr whatever its gradient. So lr climbs from zero for a while,
until the averages can be trusted.

*Cosine decay.* Late in training a large step jumps around the bottom of the valley; a small one
settles into it. Half a cosine leaves max_lr gently, falls fastest in the middle and arrives gently
at min_lr::

    lr = min_lr + (max_lr - min_lr) (1 + cos(pi p)) / 2      p: 0 after the warm-up, 1 at the end

*Clipping.* Now and then one batch gives a gradient ten times the usual one, and Adam would
carry it along in m and v for many steps. Take all gradients as one long vector; if it is longer
than max_norm, scale it to that length. One factor for all keeps the direction of that vector, which
clipping tensors one by one would distort.

*Evaluation* draws batches from the held-out text, in evaluation mode (dropout would make the model
look worse than it is) and without a graph (nobody will call `backward`, so time and memory are
saved). Afterwards the model goes back to the mode that it was in, or the rest of training would run
without dropout.

*Stop and resume.* Long runs get interrupted. Weights alone are not enough to go on as if nothing
had happened: AdamW needs its averages and step counts, the data needs its place in the stream of
random numbers (a `torch.Generator`, which `manual_seed` starts), the schedule needs the step.
`TrainState` holds them, and `train` takes it from there.

Going further
~~~~~~~~~~~~~
Three techniques that you will meet in every real training run. None is graded here; `make train`
puts each of them around your model, and your loop stays as it is.

*Gradient accumulation* (`make train ARGS="--accumulate 4"`). A batch may be too large for the
memory. Cut it into k equal pieces, call `(loss / k).backward()` on each, and only then take one
step. `backward` adds to `.grad`, and a mean over the batch is the mean of the means over its
pieces, so the step is the same. What is a bug when you forget to clear `.grad` is a feature here.

*Mixed precision* (`--dtype bfloat16`). GPUs multiply matrices several times faster in bfloat16, a
16-bit float with the range of float32 and only 8 significant bits, about two and a half decimal
digits. That will do for activations, but not for weights: 1 + 0.001 is 1 in bfloat16, so small
steps would be lost. So the weights and Adam's averages stay in float32, and `torch.autocast` casts
the inputs of each matrix product on the way. (float16 has more digits but a smaller range, so small
gradients vanish unless the loss is scaled up first. bfloat16 needs no such trick.)

*Compilation* (`--compile`). PyTorch runs a model operation by operation, and each reads its input
from memory and writes its result back. `torch.compile` sees the whole and fuses operations that
follow one another: a scale, a mask and a softmax become one pass over the scores. The numbers are
the same up to rounding. The first step can take a minute, the rest are faster, most of all on a
GPU.

By hand
-------
The smallest corpus with a window of four has five tokens, and one window:

>>> import math, torch
>>> x, y = get_batch(torch.tensor([7, 3, 5, 3, 9]), batch_size=1, context_length=4)
>>> x.tolist(), y.tolist()
([[7, 3, 5, 3]], [[3, 5, 3, 9]])

An optimizer of your own subclasses `torch.optim.Optimizer`. The base class keeps the parameters
in `self.param_groups`, a list of dicts, each with its "params" and its options; all that is left to
write is `step`. Here is plain gradient descent:

>>> class SGD(torch.optim.Optimizer):
...     def __init__(self, params, lr):
...         super().__init__(params, {"lr": lr})
...     @torch.no_grad()
...     def step(self):
...         for group in self.param_groups:
...             for p in group["params"]:
...                 p -= group["lr"] * p.grad  # in place: the model holds this very tensor

It minimizes (w - 3)^2, whose gradient is 2 (w - 3). From w = 0 with lr = 0.1, the first step goes
to 0.6, and each step covers a fifth of what is left:

>>> w = torch.nn.Parameter(torch.tensor(0.0))
>>> optimizer, path = SGD([w], lr=0.1), []
>>> for _ in range(4):
...     optimizer.zero_grad()  # clears every .grad
...     ((w - 3) ** 2).backward()
...     optimizer.step()
...     path.append(round(w.item(), 3))
>>> path
[0.6, 1.08, 1.464, 1.771]

What has to last from one step to the next goes into `self.state[p]`, a dict for each parameter that
is empty at first. Momentum needs one tensor there, Adam two and a count. That is the whole way from
these lines to `AdamW`.

Adam's first step has size lr, whatever the gradient: m_hat = g and sqrt(v_hat) = |g|, so the
step is lr times the sign of g. Here lr = 0.1, and one gradient is a million times the other:

>>> w = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
>>> w.grad = torch.tensor([1000.0, -0.001])
>>> AdamW([w], lr=0.1, weight_decay=0.0).step()
>>> [round(value, 3) for value in w.tolist()]
[0.9, 1.1]

Without the correction it would have been (1 - beta1) / sqrt(1 - beta2) times that:

>>> round((1 - 0.9) / math.sqrt(1 - 0.999), 2)
3.16

The second step, on paper, with gradients 1 and then -1: m = 0.9 * 0.1 - 0.1 = -0.01, and
1 - 0.9^2 = 0.19, so m_hat = -0.0526. Both squares are 1, so v_hat = 1. The first step went from 1
to 0.9; the second goes back by 0.1 * 0.0526:

>>> w = torch.nn.Parameter(torch.tensor([1.0]))
>>> optimizer = AdamW([w], lr=0.1, weight_decay=0.0)
>>> for gradient in (1.0, -1.0):
...     w.grad = torch.tensor([gradient])
...     optimizer.step()
>>> round(-0.01 / 0.19, 4), round(w.item(), 4)
(-0.0526, 0.9053)

Decay alone (the gradient is zero), 2 * (1 - 0.1 * 0.5) = 1.9:

>>> w = torch.nn.Parameter(torch.tensor([2.0]))
>>> w.grad = torch.tensor([0.0])
>>> AdamW([w], lr=0.1, weight_decay=0.5).step()
>>> round(w.item(), 4)
1.9

Had 0.5 * 2 been added to the gradient instead, the division by sqrt(v_hat) would have cancelled its
size: the first step has size lr = 0.1, however strong the decay.

A schedule with 4 steps of warm-up and 12 in all. At step 8, half-way down, it stands half-way
between max_lr = 1 and min_lr = 0.2:

>>> [round(cosine_lr(step, 1.0, 0.2, 4, 12), 3) for step in (0, 1, 2, 4, 6, 8, 10, 12, 99)]
[0.0, 0.25, 0.5, 1.0, 0.883, 0.6, 0.317, 0.2, 0.2]

Two parameters with gradients 3 and 4, together a vector of length 5, which is scaled to length 1:

>>> a, b = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
>>> a.grad, b.grad = torch.tensor([3.0]), torch.tensor([4.0])
>>> clip_grad_norm([a, b], max_norm=1.0)
5.0
>>> round(a.grad.item(), 3), round(b.grad.item(), 3)
(0.6, 0.8)

One batch, overfitted. A corpus of 17 tokens has one window of 16, so every batch is the same. The
loss starts near ln 8 = 2.08, where the model knows nothing, and must come down to nearly nothing:

>>> from ex13_gpt import GPTConfig
>>> _ = torch.manual_seed(0)
>>> model = GPT(GPTConfig(vocab_size=8, context_length=16, d_model=32, n_heads=2, n_layers=2))
>>> tokens, losses = torch.randint(8, (17,)), []
>>> recipe = TrainConfig(steps=60, batch_size=1, max_lr=1e-2, warmup_steps=5, weight_decay=0.0)
>>> _ = train(model, tokens, tokens, recipe, on_step=lambda step, loss: losses.append(loss))
>>> abs(losses[0] - math.log(8)) < 0.2, losses[-1] < 0.05
(True, True)

A batch of four in two pieces of two, and the same gradient (here of a mean of squares):

>>> w, data = torch.nn.Parameter(torch.tensor(1.0)), torch.tensor([1.0, 2.0, 3.0, 6.0])
>>> ((w * data) ** 2).mean().backward()
>>> whole, w.grad = w.grad.item(), None
>>> for piece in data.chunk(2):
...     (((w * piece) ** 2).mean() / 2).backward()
>>> whole, w.grad.item()
(25.0, 25.0)

And why weights stay in float32:

>>> torch.tensor(1.0, dtype=torch.bfloat16) + 0.001
tensor(1., dtype=torch.bfloat16)

What to build
-------------
In four parts; the checks grade each on its own, and `make hint` takes each name on its own.

*Data and measuring.*

1. `get_batch`: random windows, and the same windows one token later.
2. `evaluate`: the loss on text that is not trained on.

*The optimizer.*

3. `AdamW`: the two averages, the correction, the decay. `torch.optim.Optimizer` gives you the
   parameter groups, `zero_grad` and `state_dict`; you give it `step`. Begin with the SGD above, add
   momentum, then v, then the correction, then the decay, and run the checks after each. (In `step`
   gradients are off: a closure has to be called under `torch.enable_grad()`.)
4. `parameter_groups`: what decays and what does not.
5. `clip_grad_norm`: measure the whole gradient, shorten it if need be.

*The schedule.*

6. `cosine_lr`: warm-up, then half a cosine.

*The loop.*

7. `train`: all of the above. Begin without `state`, and overfit one batch. Then keep what the loop
   needs in a `TrainState` instead of local variables, and it can be stopped and resumed.

Off limits: `torch.optim.Adam*` and its relatives (`NAdam`, `RAdam`, `SparseAdam`),
`torch.optim.lr_scheduler`, and `nn.utils.clip_grad_norm_` with its parts. `torch.optim.Optimizer`,
the base class, is given.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=14` checks them.

- *The batch in pieces.* `accumulated_gradient(model, x, y, rows)` computes what `model(x, y)` and a
  backward pass would, for a batch (B, T) that does not fit into memory: it runs the model on pieces
  of at most `rows` texts, in their order, the last of which may be smaller. Afterwards every
  parameter has the gradient of the mean loss over the whole batch in its `.grad` (what was there
  before is gone), and the function returns that loss, a float. A mean of means is not the mean
  where the pieces differ in size.
- *A rate that need not know the end.*
  `wsd_lr(step, max_lr, warmup_steps, decay_steps, total_steps)` returns a learning rate that rises
  in a straight line from 0 at step 0 to `max_lr` at step `warmup_steps` (0 for none), stays, and
  falls in a straight line over the last `decay_steps`, to 0 at step `total_steps`, where it stays
  (warm-up, stable, decay; Hu et al. 2024). Why is it easier to train on than with a cosine?

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Recap Of Training" and "The Loss Function"
- Let's build GPT (Andrej Karpathy), the training loop and `estimate_loss`; nanoGPT, `train.py`: the
  same loop with accumulation and mixed precision
- Attention Is All You Need (Vaswani et al. 2017), section 5.3: Adam and warm-up
- Improving Language Understanding by Generative Pre-Training (Radford et al. 2018), section 4.1:
  warm-up, cosine, and a decay that leaves biases and gains alone
- Language Models are Few-Shot Learners (Brown et al. 2020), appendix B: the same recipe, large
- Adam (Kingma & Ba 2015), algorithm 1, and section 3 on the bias correction
- Decoupled Weight Decay Regularization (Loshchilov & Hutter 2019), algorithm 2
- SGDR (Loshchilov & Hutter 2017), section 3: the cosine
- On the difficulty of training recurrent neural networks (Pascanu et al. 2013), section 3.2:
  clipping
- Mixed Precision Training (Micikevicius et al. 2018): what stays in float32, and why
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ex13_gpt import GPT


def get_batch(
    tokens: Tensor, batch_size: int, context_length: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw random windows of the corpus, and for each the same window one token later.

    Each start is drawn on its own, all equally likely, whichever the batch has already: from 0 to
    the last for which both windows still fit. A corpus of context_length + 1 tokens has one start,
    enough for a batch of any size.

    Args:
        tokens: (N,) the ids of a corpus, on any device.
        batch_size: B, how many windows.
        context_length: T, tokens per window.
        generator: what to draw the starts from, a generator on the CPU (so that a run draws the
            same batches wherever the tokens are); torch's global one if None.

    Returns:
        x and y, (B, T) each, with the dtype and the device of the tokens: y[b, t] is the token that
        follows x[b, t] in the corpus.

    Raises:
        ValueError: the tokens are too few for one window and its y; the message says how many there
            are.
    """
    ### BEGIN SOLUTION
    n_starts = len(tokens) - context_length  # the last window's y needs one token more
    if n_starts < 1:
        raise ValueError(
            f"tokens holds {len(tokens)} tokens, too few for one batch: "
            f"context_length {context_length} needs {context_length + 1}"
        )
    starts = torch.randint(n_starts, (batch_size, 1), generator=generator)  # (B, 1)
    positions = (starts + torch.arange(context_length)).to(tokens.device)  # (B, T)
    return tokens[positions], tokens[positions + 1]  # (B, T) each
    ### END SOLUTION


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay.

    The options of a parameter group (`self.param_groups`) take precedence over the ones given here,
    and may change between steps. Keep what has to last from step to step in
    `self.state[parameter]`, a dict for each parameter: `state_dict` and `load_state_dict` save and
    restore just that, and the groups' options.

    Args:
        params: parameters, or groups of them: dicts with "params" and options of their own.
        lr: about how far a weight moves in a step.
        betas: how much of the averages of the gradient and of its square is kept in each step.
        eps: keeps the quotient finite where the gradients are zero.
        weight_decay: the fraction of a weight that is taken off per step is lr * weight_decay.

    Raises:
        ValueError: lr, eps or weight_decay is negative, or one of the betas is outside [0, 1); the
            message names the value.

    Source: Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        ### BEGIN SOLUTION
        for name, value in {"lr": lr, "eps": eps, "weight_decay": weight_decay}.items():
            if value < 0:
                raise ValueError(f"{name} must not be negative, got {value}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must lie in [0, 1), got {betas}")
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))
        ### END SOLUTION

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient, in place: the decay, then the Adam step.

        A parameter without a gradient (`grad` is None) is left alone: no decay, and its step count
        stands still. The gradients themselves are not changed.

        Args:
            closure: where given, it is called first, once and with gradients enabled; it
                computes the loss and the gradients anew.

        Returns:
            What the closure returned; None without one.
        """
        ### BEGIN SOLUTION
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        for group in self.param_groups:
            lr, eps, (beta1, beta2) = group["lr"], group["eps"], group["betas"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = 0
                    state["m"] = torch.zeros_like(parameter)
                    state["v"] = torch.zeros_like(parameter)
                state["step"] += 1
                t, m, v = state["step"], state["m"], state["v"]

                parameter.mul_(1 - lr * group["weight_decay"])
                m.lerp_(gradient, 1 - beta1)  # beta1 m + (1 - beta1) g
                v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
                root = (v / (1 - beta2**t)).sqrt_().add_(eps)  # sqrt(v_hat) + eps
                parameter.addcdiv_(m, root, value=-lr / (1 - beta1**t))
        return loss
        ### END SOLUTION


def cosine_lr(step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int) -> float:
    """The learning rate of a step: a straight line up, then half a cosine down.

    Args:
        step: the number of the step; 0 is before the first.
        max_lr: what the warm-up reaches, at step warmup_steps.
        min_lr: what the cosine reaches at step total_steps; it stays there from then on.
        warmup_steps: how long the straight line is; 0 for none.
        total_steps: the end of the cosine.

    Returns:
        max_lr * step / warmup_steps while step < warmup_steps, then the cosine.

    Source: Loshchilov & Hutter 2017, equation 5, without the restarts.
    """
    ### BEGIN SOLUTION
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    if step >= total_steps:
        return min_lr
    progress = (step - warmup_steps) / (total_steps - warmup_steps)  # from 0 to 1
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2
    ### END SOLUTION


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor, in place, if together they are longer than max_norm.

    Gradients that are short enough are left as they are, and so are parameters without one.

    Args:
        parameters: any iterable, such as the generator `model.parameters()`.
        max_norm: the largest length allowed, of all gradients as one vector.

    Returns:
        The length before clipping, the square root of the sum of all squares: a Python float,
        0.0 if there is no gradient at all.

    Source: Pascanu et al. 2013, algorithm 1.
    """
    ### BEGIN SOLUTION
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return 0.0
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
    norm = float(torch.linalg.vector_norm(norms))  # the norm of all is the norm of the norms
    if norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
    return norm
    ### END SOLUTION


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Sort a model's parameters into those that decay and those that do not, for `AdamW`.

    Args:
        model: any module; frozen parameters (`requires_grad` is False) are left out.
        weight_decay: for the parameters of two and more dimensions; the others get 0.

    Returns:
        Dicts with "params" (a list) and "weight_decay". Every trainable parameter is in one of
        them, once, even if it is tied (one tensor under two names).

    Source: Radford et al. 2018, section 4.1.
    """
    ### BEGIN SOLUTION
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    ### END SOLUTION


def evaluate(
    model: GPT,
    tokens: Tensor,
    batch_size: int,
    context_length: int,
    n_batches: int,
    generator: torch.Generator | None = None,
) -> float:
    """The model's mean loss over random batches: in evaluation mode, and without a graph.

    Args:
        model: `model(x, y)` returns the logits and the loss, as your `GPT` does.
        tokens: (N,) held-out text, on the model's device.
        batch_size: B.
        context_length: T.
        n_batches: how many batches to draw.
        generator: what to draw them from, as in `get_batch`.

    Returns:
        The mean of the batches' losses, in nats per token, as a Python float. The model is left in
        the mode that it was in.
    """
    ### BEGIN SOLUTION
    modes = {module: module.training for module in model.modules()}  # parts may have their own
    model.eval()
    total = 0.0
    with torch.no_grad():
        for _ in range(n_batches):
            x, y = get_batch(tokens, batch_size, context_length, generator)  # (B, T) each
            _, loss = model(x, y)
            total += loss.item()
    for module, mode in modes.items():
        module.training = mode
    return total / n_batches
    ### END SOLUTION


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults suit a GPT of about 200,000 parameters on a laptop's CPU."""

    steps: int = 2500
    batch_size: int = 8  # windows in a batch, in training and in evaluation
    max_lr: float = 6e-3  # small models tolerate more than large ones: GPT-3 used 6e-5
    min_lr: float = 6e-5  # a hundredth of max_lr
    warmup_steps: int = 100
    weight_decay: float = 0.3
    betas: tuple[float, float] = (0.9, 0.99)  # v looks back 100 steps; 1000 is 40 % of the run
    grad_clip: float = 1.0  # math.inf for no clipping
    eval_every: int = 250  # steps from one row of the history to the next
    eval_batches: int = 20  # batches in each evaluation
    seed: int = 0


@dataclass
class TrainState:
    """Where a training stands: all that `train` has to know to resume, besides the model itself.

    A new one is empty. `train` fills it, and resumes from one that was filled before.
    """

    step: int = 0  # how many steps are done
    optimizer: torch.optim.Optimizer | None = None
    generator: torch.Generator | None = None  # what the training batches are drawn from
    history: list[dict[str, Any]] = field(default_factory=list)


def train(
    model: GPT,
    train_tokens: Tensor,
    val_tokens: Tensor,
    config: TrainConfig,
    on_step: Callable[[int, float], object] | None = None,
    state: TrainState | None = None,
) -> list[dict[str, Any]]:
    """Train a model, in place, with the pieces above, and record how it went.

    Steps count from 1 to config.steps; step s runs at the learning rate cosine_lr(s, ...), whose
    total_steps is config.steps. The context length is `model.config.context_length`. The
    model trains in training mode, whichever mode it came in.

    The same seed, weights and tokens give the same history, call after call. So the training
    batches come from one generator that starts at config.seed; torch's global generator, from which
    dropout draws, is seeded with it too, when a new training begins; and each evaluation draws from
    a new generator with that seed, so that all of them see the same batches and none disturbs the
    training. (On several threads the last digits may still differ: a sum of floats depends on its
    order, and whichever thread comes first adds its part of a gradient first.
    torch.use_deterministic_algorithms(True) settles that, too; `make train` uses it.)

    A training that was stopped after a step, in `on_step`, and resumed with the same model and
    state has the history and the weights of one that was not.

    Args:
        model: `model(x, y)` returns the logits and the loss.
        train_tokens: (N,) what to learn from, on the model's device.
        val_tokens: (M,) held-out text, likewise.
        config: see `TrainConfig`.
        on_step: called as on_step(step, loss) after every step, with the loss of that step's batch
            as a Python float.
        state: an empty `TrainState`, which is filled, or one that was filled before, from which
            training resumes; a new one is made if None. Whenever `on_step` is called it is up to
            date, with the number of that step in `step`.

    Returns:
        The history: one row after every eval_every steps, and one after the last step (one, not
        two, if these fall together). A row has the number of the `step`, `train_loss` (of the last
        batch, or an estimate) and `val_loss` (from `evaluate`, over eval_batches batches), both
        Python floats, the `lr` of that step, and `tokens_seen`, how many tokens of x the model was
        trained on so far. After a stop, the rows from before it come first.

    Raises:
        ValueError: a corpus is too short for one batch (from `get_batch`).
    """
    ### BEGIN SOLUTION
    window = (config.batch_size, model.config.context_length)  # (B, T)
    state = TrainState() if state is None else state
    if state.optimizer is None:
        state.optimizer = AdamW(parameter_groups(model, config.weight_decay), betas=config.betas)
        state.generator = torch.Generator().manual_seed(config.seed)
        torch.manual_seed(config.seed)  # dropout draws from the global generator

    model.train()
    for step in range(state.step + 1, config.steps + 1):
        lr = cosine_lr(step, config.max_lr, config.min_lr, config.warmup_steps, config.steps)
        for group in state.optimizer.param_groups:
            group["lr"] = lr

        _, loss = model(*get_batch(train_tokens, *window, state.generator))
        state.optimizer.zero_grad()
        loss.backward()
        clip_grad_norm(model.parameters(), config.grad_clip)
        state.optimizer.step()

        state.step, train_loss = step, loss.item()
        if step % config.eval_every == 0 or step == config.steps:
            fresh = torch.Generator().manual_seed(config.seed)
            row = {
                "step": step,
                "train_loss": train_loss,
                "val_loss": evaluate(model, val_tokens, *window, config.eval_batches, fresh),
                "lr": lr,
                "tokens_seen": step * math.prod(window),
            }
            state.history.append(row)
        if on_step is not None:
            on_step(step, train_loss)
    return state.history
    ### END SOLUTION
