"""Exercise 19: RMSNorm and SwiGLU, a norm that does less and a feed-forward network that does more.

The picture
-----------
The frame of a block stays as it is: norm, sublayer, add. Two of its parts are replaced::

         GPT-2 (exercises 8 and 9)               Llama, and most models since

         LayerNorm                               RMSNorm
         (x - mean) / sqrt(var + eps)            x / sqrt(mean of x^2 + eps)
           * weight + bias                         * weight

         FeedForward                             SwiGLU

         x (B, T, D)                             x (B, T, D)
              |                                       |
             up          D -> F = 4 D            .----'----.
              |                                gate        up         D -> F = 8 D / 3
            gelu                                 |         |
              |                                silu        |
            down         F -> D                  '--- * ---'
              |                                       |
         out (B, T, D)                              down              F -> D
                                                      |
                                                 out (B, T, D)

         2 matrices of D * 4 D                   3 matrices of D * 8 D / 3: the same 8 D^2 numbers

The intuition
-------------
*The norm.* Layer norm does two things to a token's vector: it moves its mean to 0 and brings its
size to 1. What keeps the sublayers working is the size: a stream that has grown a hundredfold
should look to them as it did before. The mean is one number out of D, one direction out of D. Zhang
and Sennrich (2019) left it alone, and found that models train as well. What is left is shorter: one
statistic instead of two, no bias, fewer passes over the memory.

*The gate.* A unit of the plain feed-forward network asks one question, "does the token show my
pattern?", and answers with a fixed vector, more or less strongly. In a gated network each hidden
number is the product of two: one, the *gate*, says how much may pass; the other, computed from the
same token, is what passes. "If this is a question, pass on *how long it is*": that takes a product
of two things that are both seen in the token. Sums and a nonlinearity can only approximate it.

The name is a recipe: SiLU (also called Swish) as the activation, in a GLU, a gated linear unit.
SiLU is near 0 on the left, near x on the right, and smooth between, much like GELU::

         x     -5      -3      -2      -1      0       1       2       3       5
      SiLU(x) -0.033  -0.142  -0.238  -0.269   0      0.731   1.762   2.858   4.967
      GELU(x)  0      -0.004  -0.046  -0.159   0      0.841   1.954   2.996   5

The mathematics
---------------
::

    RMSNorm(x) = x / sqrt(1/D sum of x_i^2 + eps) * weight     (Zhang and Sennrich 2019, equation 4)

    SiLU(x)    = x * sigmoid(x) = x / (1 + exp(-x))
    SwiGLU(x)  = (SiLU(x W_gate) * (x W_up)) W_down            (Shazeer 2020, equation 6)

*RMS* is the root mean square. If a vector's mean is 0, it is its standard deviation, and both norms
are the same. In general mean(x^2) = var + mean^2.

*Why eps inside the root, and why float32?* Inside, as in exercise 8: a vector of zeros gives zeros,
with finite gradients. Float32, because squares are large. float16 ends at 65504, so the square of
256 is infinite in it, and everything divided by infinity is 0. bfloat16 has the range but only 8
bits: a mean of many squares is rounded to two or three digits. So the squares and their mean are
computed in float32 whatever comes in, and the result goes back to the dtype of x. That holds if
the weight has another dtype as well: the norm must not change the precision of the stream.

*Why 8 D / 3?* Three matrices instead of two: with F = 4 D a SwiGLU would have 12 D^2 parameters,
and a comparison with 8 D^2 would prove nothing. Taking two thirds, 8 D / 3, makes both equal
(Shazeer 2020, section 2; Touvron et al. 2023, section 2.2). Hardware likes widths that are
multiples of 64 or 256, so models round up: hence `multiple_of`.

*Why no biases?* They are few, and leaving them out does not hurt (in PaLM it made the training of
large models steadier: Chowdhery et al. 2023, section 2). A norm without a shift before a linear
layer without a bias is simply less to store, to load and to get wrong.

*Why does the gate help?* Nobody has a proof. Shazeer closes his paper by saying that he has no
explanation to offer and that he credits divine benevolence. What can be done is to measure.

By hand
-------
Four features whose squares are 1, 9, 9, 81; their mean is 25, and its root 5:

>>> import torch
>>> x = torch.tensor([1.0, -3.0, 3.0, 9.0])
>>> [round(value, 2) for value in RMSNorm(4)(x).tolist()]
[0.2, -0.6, 0.6, 1.8]

Ten times as large, and the norm sees no difference; 10 higher, and it does, unlike layer norm:

>>> torch.allclose(RMSNorm(4)(10 * x), RMSNorm(4)(x), atol=1e-4)
True
>>> [round(value, 2) for value in RMSNorm(4)(x + 10).tolist()]
[0.83, 0.53, 0.98, 1.44]

The square that float16 can't hold:

>>> large = torch.tensor([256.0, 256.0]).half()
>>> (large[0] ** 2).item(), RMSNorm(2)(large).tolist()
(inf, [1.0, 1.0])

SiLU at 1 is the logistic function at 1, 0.731. The picture's row; and far to the left it is 0, not
NaN:

>>> [round(value, 3) for value in silu(torch.tensor([-5.0, -3, -2, -1, 0, 1, 2, 3, 5])).tolist()]
[-0.033, -0.142, -0.238, -0.269, 0.0, 0.731, 1.762, 2.858, 4.967]
>>> silu(torch.tensor([-1000.0, 1000.0])).tolist()
[-0.0, 1000.0]

A gate at work. With D = 2 and one hidden unit, let feature 0 open the gate and feature 1 be what
passes. Where feature 0 is -10, nothing gets through; where it is 10, ten times feature 1 does:

>>> network = SwiGLU(2, 1)
>>> with torch.no_grad():
...     _ = network.gate.weight.copy_(torch.tensor([[1.0, 0.0]]))
...     _ = network.up.weight.copy_(torch.tensor([[0.0, 1.0]]))
...     _ = network.down.weight.fill_(1.0)
>>> out = network(torch.tensor([[-10.0, 3.0], [10.0, 3.0], [10.0, -2.0]]))
>>> [round(value, 2) for value in out[:, 0].tolist()]
[-0.0, 30.0, -20.0]

The widths of published models. Llama of 7 billion has D = 4096 and rounds up to multiples of 256;
the default of exercise 22 has D = 128 and multiples of 8:

>>> swiglu_width(4096, 256), swiglu_width(128, 8), swiglu_width(128)
(11008, 344, 342)
>>> sum(p.numel() for p in SwiGLU(4096, 11008).parameters()) / (8 * 4096**2)
1.0078125

What it buys. Four small language models, alike but for these parts: exercise 13 with two layers of
width 48 and four heads, on characters of Shakespeare in windows of 32, 500 steps of 8 windows.
Held-out loss, the mean of three seeds::

                         LayerNorm    RMSNorm
    GELU, 4 D              2.383        2.388
    SwiGLU, 8 D / 3        2.370        2.376

The norm makes no difference, which is the point: it does the same with less. The gate gains 0.01
with a percent fewer parameters. That is little: single runs of one kind were up to 0.08 apart. In
Shazeer's table 1 a far larger model gains about 0.04; at that size it pays.

Mind how it starts. The feed-forward matrices above are as `nn.Linear` draws them. Drawn from N(0,
0.02), as exercise 13 draws its own, they are too small for so narrow a model: at width 64, after
600 steps, that cost both feed-forwards more than 0.2 (2.60 with GELU and 2.59 with SwiGLU and
RMSNorm, against 2.35 and 2.38). Wide models do not have this problem: a sum of D = 4096 terms is
large enough.

What to build
-------------
1. `RMSNorm`: exercise 8 without the mean and the bias, and with float32 inside.
2. `silu` and `SwiGLU`: an activation, and three `nn.Linear` called `gate`, `up` and `down`.
3. `swiglu_width`: whole numbers only, rounded up.

Off limits from here on: `F.silu`, `nn.SiLU`, `F.glu`, `nn.GLU`, and still `nn.RMSNorm` and
`F.rms_norm`. `torch.sigmoid` is yours.

Going deeper
------------
*What the missing mean was.* Subtracting the mean removes the part of x along the vector (1, 1, ...,
1). A layer norm is therefore an RMS norm after a projection onto the D - 1 dimensions at right
angles to it, and the projection is linear: it could be folded into the matrix that wrote to the
stream. A network that wants its mean removed can learn to write none.

>>> x = torch.randn(5, 8)
>>> centred = x - x.mean(dim=-1, keepdim=True)
>>> layer_norm = centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + 1e-5)
>>> torch.allclose(RMSNorm(8)(centred), layer_norm, atol=1e-5)
True

*The slope of SiLU.* With s = sigmoid(x) it is s + x s (1 - s) = s (1 + x (1 - s)). For large x, 1 -
s reaches 0 before x gets near the end of float32, so the product is never infinity times zero.
Written as x / (1 + exp(-x)), the value survives exp(1000) = inf, since x / inf is 0. Its gradient
does not: there, inf meets 0, and the result is NaN.

>>> x = torch.tensor([-1000.0], requires_grad=True)
>>> torch.autograd.grad((x / (1 + torch.exp(-x))).sum(), x)[0].isnan().item()
True
>>> torch.autograd.grad(silu(x).sum(), x)[0].item()
0.0

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=19` checks them.

- *Other bends.* `gated_unit(layer, x, bend)` gets a `SwiGLU`, x (..., D) and a function from
  tensors to tensors of the same shape, and returns (..., D): what the layer would with that bend in
  the place of SiLU. With `torch.relu` it is a ReGLU, with your `gelu` of exercise 9 a GEGLU, with
  `lambda z: z` a "bilinear" unit with no bend at all. Shazeer compares them in his table 1. Put
  them into the notebook's experiment: how much of the gain is the product, and how much the bend?
- *What the norm takes away.* `rms_grad(x, grad, eps=1e-5)` returns the gradient (..., D) of
  sum(grad * y) with respect to x, where y = x / sqrt(mean(x**2) + eps), the normalized x before its
  scale. Only one direction of the gradient gets lost (as eps goes to 0), while a layer norm takes
  away two (exercise 8). Which is it, and why is that so? Compare with autograd.

See it again
------------
- The Illustrated Transformer (Jay Alammar), "The Residuals": where the norm stands that is replaced
  here. None of the three introductions that this course follows treats either part; they are older
- Root Mean Square Layer Normalization (Zhang and Sennrich 2019), section 4
- GLU Variants Improve Transformer (Shazeer 2020): only a few pages
- Gaussian Error Linear Units (Hendrycks and Gimpel 2016), where SiLU is named; Searching for
  Activation Functions (Ramachandran et al. 2017), where it is found again as Swish
- LLaMA: Open and Efficient Foundation Language Models (Touvron et al. 2023), section 2.2
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Bring each token to a mean square of 1 over its own features, then scale them.

    Args:
        d_model: D, the number of features.
        eps: is added to the mean square before the root is taken.

    Attributes:
        weight: (D,) the learned scale of each feature; ones at the start. It is the only parameter.

    Source: Zhang and Sennrich 2019, section 4.
    """

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Normalize over the last axis: x / sqrt(mean(x**2) + eps) * weight.

        Args:
            x: (..., D) any number of tokens; left as it is.

        Returns:
            (..., D) in the dtype of x, whatever that of the weight, and on its device; gradients reach
            x and weight. Squares and mean are computed in float32 at least: in float16, whose largest
            number is 65504, x may hold thousands.
        """
        ### BEGIN SOLUTION
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        mean_square = precise.square().mean(dim=-1, keepdim=True)  # (..., 1)
        return (precise * torch.rsqrt(mean_square + self.eps) * self.weight).to(x.dtype)
        ### END SOLUTION


def silu(x: Tensor) -> Tensor:
    """Gate x by its own logistic function: x * sigmoid(x).

    Args:
        x: (...) any shape, floating point; left as it is.

    Returns:
        A tensor of the shape, dtype and device of x. Value and gradient are finite for every finite x.

    Source: Hendrycks and Gimpel 2016, section 2; Ramachandran et al. 2017.
    """
    ### BEGIN SOLUTION
    return x * torch.sigmoid(x)
    ### END SOLUTION


class SwiGLU(nn.Module):
    """A feed-forward network in which one projection gates another: down(silu(gate(x)) * up(x)).

    Args:
        d_model: D, the width of what comes in and goes out.
        d_ff: F, the width in between.
        bias: whether the three projections have a bias.

    Attributes:
        gate, up: `nn.Linear` from D to F.
        down: `nn.Linear` from F to D. How the weights start is up to you.

    Source: Shazeer 2020, equation 6.
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool = False) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.gate = nn.Linear(d_model, d_ff, bias=bias)
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Process every token on its own.

        Args:
            x: (..., D); left as it is.

        Returns:
            (..., D) in the dtype and on the device of x (which are those of the parameters); gradients
            reach x and all parameters.
        """
        ### BEGIN SOLUTION
        return self.down(silu(self.gate(x)) * self.up(x))  # (..., F), then (..., D)
        ### END SOLUTION


def swiglu_width(d_model: int, multiple_of: int = 1) -> int:
    """Find the width that gives a SwiGLU about as many parameters as 4 D gives exercise 9's network.

    Args:
        d_model: D, from 1 on.
        multiple_of: what the width has to be a multiple of, from 1 on.

    Returns:
        the least multiple of `multiple_of` that is at least 8 D / 3.

    Source: Shazeer 2020, section 2; Touvron et al. 2023, section 2.2.
    """
    ### BEGIN SOLUTION
    blocks = -(-8 * d_model // (3 * multiple_of))  # the division of whole numbers, rounded up
    return blocks * multiple_of
    ### END SOLUTION
