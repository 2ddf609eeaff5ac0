"""Exercise 8: residual connections and layer normalization, what makes a deep stack trainable.

The picture
-----------
A transformer is a stack of *sublayers*: attention, a feed-forward network (exercise 9), attention,
and so on. The same frame stands around each of them: a path that carries the input on unchanged,
and a normalization. There are two ways to put it together::

        pre-norm (GPT-2 and later)                post-norm (the original of 2017)

        x (B, T, D)                               x (B, T, D)
        |-----------.                             |-----------.
        |         norm                            |        sublayer
        |        sublayer                         |        dropout
        |        dropout                          |           |
        + <---------'                             + <---------'
        |                                        norm
        |                                         |
        out (B, T, D)                             out (B, T, D)

    x + drop(sublayer(norm(x)))               norm(x + drop(sublayer(x)))

And the normalization works on one token at a time, along its D features::

          feature 0 .. D-1                        feature 0 .. D-1
    t=0  [ 3.0  9.0  6.0  6.0 ]  -- norm -->  [ -1.4   1.4   0    0  ]   mean 0, variance 1
    t=1  [  .1   .1   .3   .3 ]  -- norm -->  [ -1.0  -1.0  1.0  1.0 ]   mean 0, variance 1

    (B, T, D)      statistics (B, T, 1)        (B, T, D), then * weight (D,) + bias (D,)

The intuition
-------------
*Why residuals?* Take a network that works and stack more plain layers on top. At some depth it gets
worse, and on the *training* data too. So it is not overfitting (exercise 7); it can no longer be
trained. In He et al. 2015, figure 1, 56 plain layers have a higher training error than 20. This is
the *degradation problem*, and it is odd: the deeper network could copy the shallower one and let
its further layers do nothing. But a layer that computes everything from scratch finds it hard to do
nothing. It has to find the identity among all matrices. So let it compute only what is to be
*added* to x. Doing nothing now means outputting zero, the easiest thing there is, and a layer has
to learn only what to change.

In a transformer this path is called the *residual stream*. Picture a notepad that travels with
every token through all layers. Each sublayer reads it and adds a remark. Nothing is erased unless a
layer writes the opposite.

*Why normalize?* The remarks add up and the stream grows. One token's vector may be a hundred times
as long as another's, and a sublayer would have to cope with every size. The norm sets the same
level for all of them, as a sound engineer does before the recording starts. The parameters after it
then meet numbers of one typical size, at every depth and at every step of the training.

The mathematics
---------------
*A highway for the gradient.* Let layer l be f_l, with the Jacobian J_l (the matrix of its
derivatives). The backward pass through L plain layers multiplies L Jacobians; with residuals, each
factor has an identity in it::

    plain       J_L ... J_2 J_1                          vanishes or explodes, as a power does
    residual    (I + J_L) ... (I + J_2)(I + J_1)  =  I + sum of J_l + products of two, three, ...

However small the J_l are, the I remains: the loss reaches the first layer directly (a "gradient
super highway", in a lecture of Stanford's CS231n). Here is a gradient on its way back through 50
layers. Multiplied by the Jacobian of one of them, it keeps a fifth of its length:

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> plain = residual = np.ones(64) / 8  # a gradient of length 1, on its way back
>>> for _ in range(50):
...     jacobian = rng.normal(0, 0.2 / 8, (64, 64))  # makes a vector 0.2 times as long, typically
...     plain = jacobian.T @ plain
...     residual = residual + jacobian.T @ residual
>>> bool(np.linalg.norm(plain) < 1e-30)
True
>>> bool(1 < np.linalg.norm(residual) < 10)
True

*Layer norm*, for one token x with D features (Ba et al. 2016, section 3)::

    mean = 1/D sum of x_i
    var  = 1/D sum of (x_i - mean)^2
    out  = (x - mean) / sqrt(var + eps) * weight + bias

- Divide by D, not by D - 1 (the *biased* variance). D - 1 makes up for a mean estimated from a
  sample. There is no sample here: these D numbers are all there are. `Tensor.var` divides by D - 1
  unless told otherwise.
- eps stands *inside* the root. A token whose features are all equal has variance 0. The slope of
  the root is infinite there and the gradient would be NaN, even with an eps outside that keeps the
  division itself from failing. eps also decides what "almost constant" means: variances far below
  it stay small instead of being blown up to 1.
- Subtract the mean first, then square. The formula "mean of the squares minus the square of the
  mean" is the same on paper. On a machine it subtracts two large, nearly equal numbers. The
  variance of the three numbers below is 2/3, and this formula leaves nothing of it:

>>> features = np.array([1e8 + 1, 1e8 + 2, 1e8 + 3])
>>> float(((features - features.mean()) ** 2).mean().round(3))
0.667
>>> float((features**2).mean() - features.mean() ** 2)
0.0

- weight and bias (one number for each feature, learned) give back the freedom that was taken. The
  next layer may weight one feature more than the others, or want it off centre. They start at 1 and
  0.

*Why over one token's features, and not over the batch?* Batch norm, which CS231n treats first,
takes the mean of each feature over all examples. In a language model that goes wrong in several
ways. What a token becomes depends on which sentences it happens to share a batch with. Padding
counts. A batch of one has no statistics, so training and *inference* (using the trained model) must
differ. And a mean over positions lets a token feel the *future*, which exercise 6 took such care to
hide. A norm over the token's own features has none of these problems, and is the same in training
and in inference.

*Why pre-norm today?* In post-norm the norm stands *on* the path. If x and the sublayer's output are
independent, each with variance 1, their sum has variance 2, and the norm divides by sqrt(2): the
highway has a toll at every sublayer. After 12 of them (six layers of two sublayers each), this much
of the start is left:

>>> round(float(1 / np.sqrt(2)) ** 12, 3)
0.016

Meanwhile the layers next to the loss get large gradients from the start (Xiong et al. 2020, section
3.3). One learning rate does not suit both ends. At full size it wrecks the last layers before they
have settled. That is why post-norm comes with a *warm-up*: thousands of steps in which the learning
rate climbs from near 0 (`noam_lr` of exercise 12).

In pre-norm the path is free from end to end. The deeper the stack, the smaller the gradients next
to the loss (Xiong et al. 2020, theorem 1), so training works with little warm-up or none. The
price: nothing holds the stream down. Before any training, a sublayer turns its normalized input
into something of about the same size, which is added. So the variance grows by about 1 with every
sublayer. Measured over 12 of them, random matrices standing in for the sublayers:

>>> stream = torch.from_numpy(rng.normal(size=(1000, 512))).float()
>>> for _ in range(12):
...     matrix = torch.from_numpy(rng.normal(0, 512**-0.5, (512, 512))).float()
...     stream = Residual(512)(stream, lambda h: h @ matrix)
>>> round(stream.var().item())
13

So one more norm has to stand at the end (`Encoder.norm` of exercise 10, `GPT.final_norm` of
exercise 13).

By hand
-------
Eight features with mean 5. Their squared distances from it are 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32,
so the variance is 32 / 8 = 4 and its root 2:

>>> x = torch.tensor([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
>>> [round(value, 2) for value in LayerNorm(8)(x).tolist()]
[-1.5, -0.5, -0.5, -0.5, 0.0, 0.0, 1.0, 2.0]

(With D - 1 = 7 the first would be -3 / sqrt(32 / 7) = -1.40.) Ten times as large, or 100 higher:
the norm sees no difference.

>>> torch.allclose(LayerNorm(8)(10 * x + 100), LayerNorm(8)(x), atol=1e-4)
True

Both frames around a sublayer that doubles what it gets. For x = (0, 0, 4, 4), norm(x) is (-1, -1,
1, 1):

>>> def double(h):
...     return 2 * h
>>> x = torch.tensor([0.0, 0.0, 4.0, 4.0])
>>> [round(value, 2) for value in Residual(4)(x, double).tolist()]  # x + 2 (-1, -1, 1, 1)
[-2.0, -2.0, 6.0, 6.0]
>>> [round(value, 2) for value in Residual(4, norm_first=False)(x, double).tolist()]  # norm(3 x)
[-1.0, -1.0, 1.0, 1.0]

What to build
-------------
1. `LayerNorm`: the formula above, over the last axis, however many axes stand before it.
2. `Residual`: the frame, with either order. It gets the sublayer as an argument of `forward`: any
   function from (..., D) to (..., D), a module or a lambda. In exercise 10 you put attention into
   it.

Off limits: `nn.LayerNorm`, `nn.RMSNorm`, `nn.GroupNorm`, `nn.InstanceNorm*`, `nn.BatchNorm*` and
their functional twins. `nn.Parameter` and `nn.Dropout` are given.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=08` checks them.

- *A norm that is gone.* The scale and the shift of a norm can be taken over by the linear layer
  behind it. `fold_norm(norm, linear)` gets a `LayerNorm` and an `nn.Linear` with or without a bias,
  and returns a new `nn.Linear` with a bias. After a `LayerNorm` of the same eps whose weight is all
  ones and whose bias is all zeros, it gives what `linear` gives after `norm`. The two that come in
  stay as they are. (Whoever wants to read the weights of a trained model does this first.)
- *The gradient, by hand.* `norm_grad(x, grad, eps=1e-5)` returns the gradient (..., D) of sum(grad
  * y) with respect to x, where y is the normalized x, before scale and shift. The mean and the
  variance depend on x as well, and each takes something out of the gradient. Which two directions
  of the gradient get lost altogether (as eps goes to 0)? Compare with autograd.

See it again
------------
- The Illustrated Transformer (Jay Alammar), "The Residuals"
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 2: what surrounds the attention
- What are Transformer Neural Networks? (Ari Seff), the part on the encoder's layers
- Let's build GPT: from scratch, in code, spelled out (Andrej Karpathy), the parts on residual
  connections and on layer norm
- The Annotated Transformer (Rush et al.), "Encoder": `LayerNorm` and `SublayerConnection`. It
  differs from the formula above: its variance divides by D - 1, and its eps stands outside the root
- CS231n (Stanford), the lectures on CNN architectures and on training; in its notes, ResNet is the
  last case study of https://cs231n.github.io/convolutional-networks/#case, and batch norm is in
  https://cs231n.github.io/neural-networks-2/
- Deep Residual Learning (He et al. 2015), section 1 and figure 1; Layer Normalization (Ba et al.
  2016), section 3; On Layer Normalization in the Transformer Architecture (Xiong et al. 2020),
  figure 1
- Attention Is All You Need (Vaswani et al. 2017), sections 3.1 and 5.4 (residual dropout)"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LayerNorm(nn.Module):
    """Bring each token to mean 0 and variance 1 over its own features, then scale and shift them.

    Args:
        d_model: D, the number of features.
        eps: is added to the variance before the root is taken.

    Attributes:
        weight: (D,) the learned scale of each feature; ones at the start.
        bias: (D,) the learned shift of each feature; zeros at the start.

    Source: Ba et al. 2016, section 3.
    """

    def __init__(self, d_model: int, eps: float = 1e-5) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Normalize over the last axis.

        Args:
            x: (..., D) any number of tokens; left as it is.

        Returns:
            (..., D) in the dtype and on the device of x (which are those of the parameters); gradients
            reach x, weight and bias. The same in training and in evaluation mode.
        """
        ### BEGIN SOLUTION
        d_model = x.size(-1)
        mean = x.sum(dim=-1, keepdim=True) / d_model  # (..., 1); as .mean(), with a faster backward
        centred = x - mean  # (..., D)
        variance = (centred * centred).sum(dim=-1, keepdim=True) / d_model  # (..., 1)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias  # (..., D)
        ### END SOLUTION


class Residual(nn.Module):
    """The frame around every sublayer: a path that carries x on, and a norm.

    Dropout acts on what the sublayer returns, never on x itself: the path stays free.

    Args:
        d_model: D, the number of features.
        dropout: the probability with which each number of the sublayer's output, independently of
            the others, is set to zero in training; those that are kept are divided by 1 - dropout.
        norm_first: True for pre-norm, False for post-norm.

    Attributes:
        norm: a `LayerNorm` of its own.

    Raises:
        ValueError: `dropout` lies outside 0..1; the message names the value. (`nn.Dropout` sees to
            it.)

    Source: He et al. 2015, section 3.1; Vaswani et al. 2017, sections 3.1 and 5.4 (post-norm);
        Radford et al. 2019, section 2.3 (pre-norm).
    """

    def __init__(self, d_model: int, dropout: float = 0.0, norm_first: bool = True) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.norm = LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first
        ### END SOLUTION

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Add to x what the sublayer makes of it.

        Args:
            x: (..., D) the residual stream; left as it is.
            sublayer: any function from (..., D) to (..., D). It is called exactly once; it may keep
                what it returns, so its output is not changed either.

        Returns:
            (..., D): x + drop(sublayer(norm(x))) in pre-norm, norm(x + drop(sublayer(x))) in post-norm,
            in the dtype and on the device of x; gradients reach x on the path and through the sublayer.
        """
        ### BEGIN SOLUTION
        if self.norm_first:
            return x + self.dropout(sublayer(self.norm(x)))
        return self.norm(x + self.dropout(sublayer(x)))
        ### END SOLUTION
