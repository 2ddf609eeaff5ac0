"""Exercise 9: the position-wise feed-forward network, where each token is processed on its own.

The picture
-----------
Each position goes through the same small network, alone. Widen, bend, narrow::

      x (B, T, D)                  hidden (B, T, F)                 out (B, T, D)

      [ token 0 ] -- up: D -> F -- [    activation    ] -- down: F -> D -- [ token 0 ]

      [ token 1 ] -- up: D -> F -- [    activation    ] -- down: F -> D -- [ token 1 ]

      [ token 2 ] -- up: D -> F -- [    activation    ] -- down: F -> D -- [ token 2 ]

      no line leads from one token to another: that was the work of attention

And the activation, GELU, beside the older ReLU. Both are near 0 on the left and near x on the
right; ReLU has a corner at 0, GELU dips below 0 before it rises::

         x     -3      -2      -1     -0.75    -0.5     0       0.5     1       2       3
      ReLU(x)   0       0       0       0       0       0       0.5     1       2       3
      GELU(x) -0.004  -0.046  -0.159  -0.170  -0.154    0       0.346   0.841   1.954   2.996

The intuition
-------------
Attention decides *which* tokens meet, and hands each of them an average of values. An average is
linear: for given attention weights, the output is linear in the values, and what a token receives
is a weighted sum, whatever the values hold. It can gather "a thing" and "filled", but "only if both
of them" is not a weighted sum. For that, something has to bend. A function that bends is called a
*nonlinearity*, or *activation*. (Attention has one as well, the softmax, but it works on the
scores: it decides where a token gets something from, not what the token makes of it.) So the two
take turns: with attention a token gathers, with the feed-forward network it digests.

A second angle: read `up` as F questions and `down` as F answers. Row j of `up.weight` is a pattern.
The activation says how strongly the token shows it. Column j of `down.weight` is what is then added
to the token. So the network is a memory with F keys and F values, in which every token looks things
up for itself (Geva et al. 2021). Much of what a language model knows of the world seems to be kept
here.

The mathematics
---------------
::

    FFN(x) = act(x W_up + b_up) W_down + b_down        (Vaswani et al. 2017, equation 2)

    x (..., D)    W_up (D, F)    W_down (F, D)         F = 4 D unless told otherwise

(`nn.Linear` stores each matrix transposed: `up.weight` is (F, D), `down.weight` is (D, F).)

*Why bend at all?* Without an activation, x W_up W_down is x times one (D, D) matrix. Two matrices
would do the work of one, and F would buy nothing.

*Why widen?* The activation throws information away: whatever is negative comes out of a ReLU as
zero. In a wide space, enough is left, and F sets how many patterns can be known. The paper took F =
4 D, and many models since have done the same. It makes this network the larger part of a block (one
attention and one feed-forward network): 2 D F = 8 D^2 parameters, against 4 D^2 in the four
projections of attention. Two thirds of a block are here.

*Why GELU and not ReLU?* ReLU has slope 0 for every negative input. A unit (one of the F numbers)
that is negative for all tokens gets no gradient and may never come back. GELU is smooth and lets a
little through just below zero. Let Z be a standard normal variable. Then x is multiplied by the
probability that Z stays below it::

    GELU(x) = x P(Z <= x) = x (1 + erf(x / sqrt(2))) / 2           (Hendrycks & Gimpel 2016)

erf is the *error function*; (1 + erf(x / sqrt(2))) / 2 is that probability. When erf was slow,
people used a close approximation, and GPT-2 was trained with it::

    GELU(x) ~ x (1 + tanh(u)) / 2      with u = sqrt(2/pi) (x + 0.044715 x^3)

Whoever loads GPT-2's parameters must use the same form. It can be shortened: (1 + tanh(u)) / 2 is
the logistic function sigmoid(z) = 1 / (1 + exp(-z)) at z = 2u. So this is x * sigmoid(2u), "x,
gated by itself".

By hand
-------
P(Z <= 1) is the well-known 84 percent, so GELU(1) = 0.841 and GELU(-1) = -(1 - 0.841). The
picture's table, and its lowest point, looked for in steps of 0.01:

>>> import torch
>>> x = torch.tensor([-1.0, 0.0, 1.0, 3.0], dtype=torch.float64)
>>> [round(value, 4) for value in gelu(x).tolist()]
[-0.1587, 0.0, 0.8413, 2.996]
>>> table = torch.tensor([-3, -2, -1, -0.75, -0.5, 0, 0.5, 1, 2, 3], dtype=torch.float64)
>>> [round(value, 3) for value in gelu(table).tolist()]
[-0.004, -0.046, -0.159, -0.17, -0.154, 0.0, 0.346, 0.841, 1.954, 2.996]
>>> fine = torch.arange(-300, 0, dtype=torch.float64) / 100
>>> fine[gelu(fine).argmin()].item(), round(gelu(fine).min().item(), 3)
(-0.75, -0.17)

The approximation is off in the fourth digit:

>>> [round(value, 4) for value in gelu(x, approximate="tanh").tolist()]
[-0.1588, 0.0, 0.8412, 2.9964]

A network of one feature that you can follow with a pencil. `up` turns 1 into 2 and -2, ReLU keeps
the 2 and turns the -2 into 0, `down` takes half of the first, seven times the second, and adds 3:

>>> network = FeedForward(1, d_ff=2, activation="relu")
>>> with torch.no_grad():
...     _ = network.up.weight.copy_(torch.tensor([[2.0], [-2.0]]))
...     _ = network.down.weight.copy_(torch.tensor([[0.5, 7.0]]))
...     _ = network.up.bias.zero_()
...     _ = network.down.bias.fill_(3.0)
>>> network(torch.tensor([[1.0]])).tolist()
[[4.0]]

"Only if both": an *and* of two features that are 0 or 1 takes one unit; no linear map can do it:

>>> both = FeedForward(2, d_ff=1, activation="relu")
>>> with torch.no_grad():
...     _ = both.up.weight.copy_(torch.tensor([[1.0, 1.0]]))
...     _ = both.up.bias.fill_(-1.0)
...     _ = both.down.weight.copy_(torch.tensor([[1.0], [0.0]]))
...     _ = both.down.bias.zero_()
>>> both(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))[:, 0].tolist()
[0.0, 0.0, 0.0, 1.0]

Two thirds of a block, counted for D = 768 (GPT-2 small), biases left out:

>>> d_model = 768
>>> feed_forward, attention = 2 * d_model * (4 * d_model), 4 * d_model * d_model
>>> feed_forward, attention, round(feed_forward / (feed_forward + attention), 3)
(4718592, 2359296, 0.667)

What to build
-------------
1. `gelu`: both forms.
2. `FeedForward`: two `nn.Linear`, called `up` and `down`, and an activation between them.

Off limits: `nn.GELU` and `F.gelu`. `torch.erf`, `torch.tanh`, `torch.sigmoid` and `torch.relu` are
yours. Where dropout acts, on the hidden layer or on the result, is up to you.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=09` checks them.

- *Key-value memories.* Row i of `up.weight` says what hidden unit i reacts to, column i of
  `down.weight` what it then adds (Geva et al. 2021). `memory_parts(layer, x)` gets a `FeedForward`
  in evaluation mode and x (B, T, D), and returns (B, T, F, D): what each unit adds. Summed over the
  units, plus the bias of `down` if it has one, this is what the layer returns. You need what goes
  into `down`; a hook (exercise 3) on it works with any layer, whichever bend is in there.
- *Fewer units.* `kept_units(layer, units)` returns a new `FeedForward` like `layer`, with the same
  bend, that has only these hidden units, in this order (a list of different numbers from 0 to F -
  1). Its `up` and `down` are `nn.Linear`, as ever, with biases if those of the old layer have some,
  and the old layer stays as it is. Which units of a trained layer can go at the least cost?

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Now We're Encoding!": the same network at each
  position
- What are Transformer Neural Networks? (Ari Seff), where the encoder block is put together
- Let's build GPT: from scratch, in code, spelled out (Andrej Karpathy), the part on the
  feed-forward layers; nanoGPT, class `MLP` in `model.py`
- Attention Is All You Need (Vaswani et al. 2017), section 3.3
- Gaussian Error Linear Units (Hendrycks & Gimpel 2016), section 2
- Transformer Feed-Forward Layers Are Key-Value Memories (Geva et al. 2021), section 2"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """Multiply x by the probability that a standard normal variable stays below it.

    Args:
        x: (...) any shape, floating point. Huge values are fine: far to the left the result is 0 and
            so is the slope, far to the right they are x and 1.
        approximate: "none" for the exact form, through erf; "tanh" for the form that GPT-2 uses.

    Returns:
        A tensor of the shape, dtype and device of x, which is left as it is; gradients flow through.

    Raises:
        ValueError: for any other `approximate`; the message names it.

    Source: Hendrycks & Gimpel 2016, section 2.
    """
    ### BEGIN SOLUTION
    if approximate == "none":
        return x * (1 + torch.erf(x / math.sqrt(2))) / 2
    if approximate == "tanh":
        return _GeluTanh.apply(x)
    raise ValueError(f'approximate must be "none" or "tanh", got {approximate!r}')
    ### END SOLUTION


class FeedForward(nn.Module):
    """Process every token on its own: widen, bend, narrow.

    Args:
        d_model: D, the width of a token.
        d_ff: F, the width in between; 4 D if None.
        activation: "gelu", "gelu_tanh" or "relu".
        dropout: the probability with which each value is set to zero in training, in the hidden layer
            or in the result, as you like; those that are kept are divided by 1 - dropout.
        bias: whether `up` and `down` have biases.

    Attributes:
        up, down: `nn.Linear` from D to F and back.

    Raises:
        ValueError: for another `activation`, or a `dropout` outside 0..1; the message names the
            value.

    Source: Vaswani et al. 2017, section 3.3.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int | None = None,
        activation: str = "gelu",
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if activation not in ("gelu", "gelu_tanh", "relu"):
            raise ValueError(f"activation must be gelu, gelu_tanh or relu, got {activation!r}")
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"dropout must lie between 0 and 1, got {dropout}")
        d_ff = 4 * d_model if d_ff is None else d_ff
        self.activation = activation
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Widen, bend, narrow.

        Args:
            x: (..., D), left as it is.

        Returns:
            (..., D), in the dtype and on the device of x. The result at one position depends on x at
            that position alone. Gradients reach x and all parameters.
        """
        ### BEGIN SOLUTION
        hidden = self.up(x)  # (..., F)
        if self.activation == "relu":
            hidden = torch.relu(hidden)
        else:
            hidden = gelu(hidden, "tanh" if self.activation == "gelu_tanh" else "none")
        return self.down(self.dropout(hidden))  # (..., D)
        ### END SOLUTION


### BEGIN SOLUTION
class _GeluTanh(torch.autograd.Function):
    """x * sigmoid(2u) with its slope written out by hand.

    The formula itself is one line; autograd would make a dozen passes over the hidden layer, the largest
    tensor of a block, to differentiate it. By hand, with g = sigmoid(2u) = sigmoid(c x + b x^3)::

        d/dx (x g) = g + x g (1 - g) (c + 3 b x^2)
    """

    C = 2 * math.sqrt(2 / math.pi)
    B = C * 0.044715

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        gate = (x * x).mul_(_GeluTanh.B).add_(_GeluTanh.C).mul_(x).sigmoid_()
        ctx.save_for_backward(x, gate)
        return x * gate

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        x, gate = ctx.saved_tensors
        near = x.clamp(-30, 30)  # beyond, the slope is 0 or 1, and x^3 could overflow
        slope = (near * near).mul_(3 * _GeluTanh.B).add_(_GeluTanh.C).mul_(near)  # x times 2u's slope
        return slope.mul_(1 - gate).add_(1).mul_(gate).mul_(grad)


### END SOLUTION
