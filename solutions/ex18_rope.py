"""Exercise 18: rotary positions (RoPE), which turn queries and keys instead of adding to tokens.

The picture
-----------
Nothing is added to x. Between the projections and the scores of each attention, every query and
every key is turned by an angle that grows with its position; the values are left alone::

    x (B, T, D) --.-- q_proj -- split --> q (B, H, T, d) -- rotate --.
                  |                                                  |-- scores (B, H, T, T)
                  |-- k_proj -- split --> k (B, H, T, d) -- rotate --'       |
                  |                                                       softmax, causal
                  '-- v_proj -- split --> v (B, H, T, d) --------------------|
                                                                             v
    out (B, T, D) <-- out_proj <-- merge ------------------------- mixed (B, H, T, d)

The d numbers of a head are d/2 pairs, and each pair is an arrow in a plane of its own. Coordinate i
is paired with coordinate i + d/2. Here with d = 6::

    index     0    1    2    3    4    5          pair 0 = (0, 3)    fast:  1 radian a position
            [ a0   a1   a2 | b0   b1   b2 ]       pair 1 = (1, 4)    slower
              '----|----|----'    |    |          pair 2 = (2, 5)    slowest
                   '----|---------'    |
                        '--------------'

    position     angle of pair 0     of pair 1     of pair 2          (a, b) turned by p is
       0              0                 0             0               (a cos p - b sin p,
       1              1                 w_1           w_2              a sin p + b cos p)
       2              2                 2 w_1         2 w_2
       t              t                 t w_1         t w_2           w_i = base ** (-2i / d)

The intuition
-------------
Exercise 4 wrote the position into the token: x + pe[t]. Everything after that has to cope with a
mixture of *what* and *where*, and the two share the D numbers of the stream. What attention asks
about positions is nearly always relative: the word before this one, the last opening bracket. With
positions added, a model has to learn from examples that 17 to 16 is the same step as 402 to
401. A learned table makes this worse: its row 402 and its row 17 have nothing to do with each
other, and a row that training never reached is noise.

Remember the clocks of exercise 4. Give each token a clock hand instead of a time stamp: turn the
query by its own position and the key by its own. Two hands that are turned by the same angle point
apart exactly as before. So in the dot product of a query at t and a key at s, what both have in
common drops out, and t - s is left. Nobody has to learn it; it holds whatever the weights are.

The values are not turned. They are what is handed over, and what a word means does not depend on
its page. Nor is anything added to the stream: from the first layer to the last it holds tokens
only, and each layer asks about positions anew, where it needs them.

The mathematics
---------------
Take one pair (a, b) and turn it counter-clockwise by the angle p::

    R(p) [ a ]  =  [ cos p   -sin p ] [ a ]          pair i at position t turns by
         [ b ]     [ sin p    cos p ] [ b ]          p = t * w_i,   w_i = base ** (-2i / d)

(In exercise 4 the sine came first, so there the signs change places.) Turning keeps lengths,
turning back is the transpose, and angles add up::

    R(t w) q . R(s w) k  =  q . R(t w)^T R(s w) k  =  q . R((s - t) w) k

So the score is the sum over the d/2 pairs of something that depends on q, k and s - t alone (Su et
al. 2021, section 3.2). Add 1000 to all positions, and no score changes.

*Why many speeds?* As in exercise 4: fast pairs tell neighbours apart but come round again, slow
ones tell far from near. A head that does not care about positions uses the slow pairs, which have
hardly turned within a text.

*Which pairs?* It does not matter to the model, as long as queries and keys agree: its projections
are learned, and can put their outputs in any order. Su et al. pair neighbours, (2i, 2i + 1). The
Llama checkpoints on model hubs pair (i, i + d/2), because halves are simpler to slice. The two are
the same up to the order of the rows in `q_proj` and `k_proj`. But whoever loads weights made for
one kind of pair into code written for the other gets no error and a model that babbles. Hence
`halves_from_interleaved`.

*Why at least float32?* bfloat16 has 8 bits for the digits of a number. From 256 on it can't hold
all whole numbers, and a position that is off by one puts the angle of pair 0 off by a radian:

>>> import torch
>>> torch.tensor([255.0, 256.0, 257.0, 1001.0]).bfloat16().tolist()
[255.0, 256.0, 256.0, 1000.0]

*Why base = 10000?* In a wide head the slowest pair takes nearly 2 pi * base positions for one turn,
which should be more than any text has. Models for long texts use larger ones: 500,000 in Llama 3
(Grattafiori et al. 2024, section 3.2), 100,000 in the small chat model that you will run after
exercise 22.

By hand
-------
d = 4 makes two pairs, (0, 2) and (1, 3). With base = 100 their speeds are 1 and 100 ** (-2/4) =
0.1. The vector (1, 1, 0, 0) has both hands on the first axis; at position 2 one has turned by 2,
the other by 0.2:

>>> import math
>>> x = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
>>> rotate(x, torch.tensor([2]), base=100.0).round(decimals=4)
tensor([[-0.4161,  0.9801,  0.9093,  0.1987]])
>>> [round(f, 4) for f in (math.cos(2), math.cos(0.2), math.sin(2), math.sin(0.2))]
[-0.4161, 0.9801, 0.9093, 0.1987]

Dot products know the distance and nothing else. From 3 to 5 is as far as from 90 to 92, and moving
one of the two alone changes the score:

>>> q, k = torch.tensor([[1.0, 2.0, 0.5, -1.0]]), torch.tensor([[0.5, -1.0, 1.0, 2.0]])
>>> def score(t, s):
...     return (rotate(q, torch.tensor([t])) @ rotate(k, torch.tensor([s])).T).item()
>>> round(score(3, 5), 3), round(score(90, 92), 3), round(score(3, 6), 3)
(-5.157, -5.157, -5.184)

Lengths stay, so turning makes no score larger than it could have been:

>>> round(q.norm().item(), 3), round(rotate(q, torch.tensor([77])).norm().item(), 3)
(2.5, 2.5)

A head of width 6 from a checkpoint that pairs neighbours. Its rows are named here after their
pairs, a0 b0 a1 b1 a2 b2, as 0, 0.5, 1, 1.5, 2, 2.5:

>>> halves_from_interleaved(torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]), n_heads=1).tolist()
[0.0, 1.0, 2.0, 0.5, 1.5, 2.5]

What it buys. All positions moved by 1000: an untrained layer gives the same answer to four digits:

>>> _ = torch.manual_seed(0)
>>> layer, x = RotaryAttention(32, 4), torch.randn(1, 6, 32)
>>> torch.allclose(layer(x), layer(x, torch.arange(6) + 1000), atol=1e-4)
True

And in numbers from a training: two GPTs of exercise 13 (two layers of width 64, four heads, on
characters of Shakespeare), alike but for their positions, trained for 1200 steps on windows of 32
characters and asked about held-out windows of 32, 64 and 128. The mean of three seeds::

    length of the text          32       64      128
    learned positions        2.060    2.684    3.028
    rotary positions         1.907    2.124    2.513

Rotary positions gain at the training length already, with 8192 parameters fewer (the table). But
look to the right. The rows 32 to 127 of the learned table have never been trained, and adding noise
makes the model worse than one that counts pairs of letters (2.49). The rotary model loses less,
although angles beyond 31 are new to it as well.

What to build
-------------
1. `rotate`: angles (T, d/2), their cosines and sines, two halves, two products each.
2. `halves_from_interleaved`: the rows of each head, even ones first. One reshape, one transpose,
   one reshape back.
3. `RotaryAttention`: the self-attention of exercise 7, causal and without dropout, with `rotate`
   between the split and the scores.

`split_heads` and `merge_heads` of exercise 7, `causal_mask` of exercise 6 and
`scaled_dot_product_attention` of exercise 5 are yours. Off limits: packages that have rotary
positions ready-made, and `torch.onnx.ops`, which has them, too.

Going deeper
------------
*Turning is multiplying.* Write a pair as the complex number a + b j. Turning it by p multiplies it
by e^(p j), and the dot product of two pairs is the real part of one times the conjugate of the
other. Su et al. derive the method in this way (section 3.4.1). Here is pair 0 of the example
above:

>>> turned = complex(1.0, 0.0) * complex(math.cos(2), math.sin(2))
>>> round(turned.real, 4), round(turned.imag, 4)
(-0.4161, 0.9093)

*Longer than in training.* Within the training length every distance has been seen at every place.
Beyond it come distances that nobody has seen, and the loss rises, as in the measurement above,
though less than with learned positions (Press et al. 2022, section 2, measured the same for rotary
ones). One remedy is to squeeze: give `positions` half as large as they are, and a text of twice the
length uses angles that are all known (position interpolation, Chen et al. 2023). The neighbours are
then nearer than they used to be, so a little more training is needed.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=18` checks them.

- *A larger base.* Squeezing makes the neighbours nearer, too. Another remedy leaves the fastest
  pair as it is and slows down the others, the slower the more.
  `stretched_base(base, width, factor)` returns the base, a float, with which the slowest pair of
  vectors of that width (even, at least 4) turns `factor` times as slowly as with `base`: the angles
  that it reaches in a text `factor` times as long are then the ones it knows. (Many models are made
  for longer texts with a larger base.)
- *Not all of it.* `partial_rotate(x, positions, share, base=10000.0)` turns the first `share` of
  the features of x (..., T, d) as `rotate` does vectors of that smaller width, and leaves the
  others as they are; share * d is a whole even number, 0 and d included. What can the others carry
  that the turned ones can't?
- *Squeeze, and train on.* Evaluate the trained model of the notebook's experiment with positions
  squeezed by 2 and by 4 (they are no longer whole numbers; `rotate` has to take them all the same).
  Then train it for 100 more steps with the squeezed ones, and evaluate again.

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Representing The Order of The Sequence Using
  Positional Encoding": what this replaces. None of the three introductions that this course
  follows treats rotary positions; they are older, or stay with 2017
- RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al. 2021), sections 3.2 and
  3.4
- Train Short, Test Long (Press et al. 2022), section 2 and figure 1: how several kinds of positions
  do beyond the training length
- Extending Context Window of Large Language Models via Position Interpolation (Chen et al. 2023)
- The Llama 3 Herd of Models (Grattafiori et al. 2024), section 3.2
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ex05_attention import scaled_dot_product_attention
from ex06_masks import causal_mask
from ex07_multi_head import merge_heads, split_heads


def rotate(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    """Turn each pair of coordinates by an angle that grows with the position.

    Coordinate i is paired with coordinate i + d/2. Pair i of the vector at position t is turned
    counter-clockwise by the angle t * base ** (-2i / d): (a, b) becomes (a cos - b sin, a sin + b cos).

    Args:
        x: (..., T, d) vectors, d even; left as it is.
        positions: (T,) the position of each of the T vectors (int64), in any order; left as it is.
        base: sets the speeds; the slowest pair takes less than `base` times as long for a turn as
            pair 0.

    Returns:
        (..., T, d) in the dtype and on the device of x; gradients reach x. The angles are computed in
        float32 at least, whatever the dtype of x, so that far positions are as exact as near ones.

    Raises:
        ValueError: d is odd. The message names d.

    Source: Su et al. 2021, section 3.2.2; half-split pairs as in published Llama checkpoints.
    """
    ### BEGIN SOLUTION
    width = x.size(-1)
    if width % 2:
        raise ValueError(f"x has vectors of width {width}, which is odd: they can't be cut into pairs")
    precise = torch.promote_types(x.dtype, torch.float32)
    speeds = base ** (-torch.arange(0, width, 2, device=x.device, dtype=precise) / width)  # (d/2,)
    angles = positions.to(precise)[:, None] * speeds  # (T, d/2)
    cos, sin = angles.cos(), angles.sin()  # (T, d/2)
    a, b = x.to(precise).chunk(2, dim=-1)  # (..., T, d/2) each
    turned = torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)  # (..., T, d)
    return turned.to(x.dtype)
    ### END SOLUTION


def halves_from_interleaved(weight: Tensor, n_heads: int) -> Tensor:
    """Reorder the rows of a query or key projection that pairs neighbours, so that it fits `rotate`.

    Within each head, row 2i becomes row i, and row 2i + 1 becomes row i + d/2.

    Args:
        weight: (n_heads * d, ...) a projection's weight (n_heads * d, D) or bias (n_heads * d,), with
            d rows for each head; left as it is.
        n_heads: how many heads the rows belong to, one head after another.

    Returns:
        a tensor of the same shape, dtype and device.

    Raises:
        ValueError: the rows can't be divided into `n_heads` heads of even width. The message names
            how many rows there are.

    Source: Su et al. 2021, equation 15 (neighbours); published Llama checkpoints (halves).
    """
    ### BEGIN SOLUTION
    rows = weight.size(0)
    if rows % (2 * n_heads):
        raise ValueError(f"weight has {rows} rows, which are not {n_heads} heads of an even width")
    pairs = weight.unflatten(0, (n_heads, -1, 2))  # (H, d/2, 2, ...)
    return pairs.transpose(1, 2).flatten(0, 2)  # (H, 2, d/2, ...), then (H*d, ...)
    ### END SOLUTION


class RotaryAttention(nn.Module):
    """Causal self-attention with several heads, whose queries and keys are turned by their positions.

    Args:
        d_model: D, the width of what comes in and goes out.
        n_heads: H, the number of heads; each is d = D / H wide, and attends as in exercise 7.
        base: as in `rotate`.
        bias: whether the four projections have a bias.

    Attributes:
        q_proj, k_proj, v_proj, out_proj: `nn.Linear` from D to D. How their weights start is up to you.

    Raises:
        ValueError: `d_model` is not divisible by `n_heads`; the message names `d_model`. Or the heads
            have an odd width d, which may show when the layer is built or when it is called; the
            message names d.

    Source: Su et al. 2021, section 3.2.2.
    """

    def __init__(self, d_model: int, n_heads: int, base: float = 10000.0, bias: bool = False) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if d_model % n_heads:
            raise ValueError(f"d_model = {d_model} is not divisible by n_heads = {n_heads}")
        self.n_heads, self.base = n_heads, base
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)
        ### END SOLUTION

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """Let every token gather what it looks for among itself and the tokens before it.

        Queries and keys are turned head by head, each by the position of its token. The values are
        not turned.

        Args:
            x: (B, T, D); left as it is.
            positions: (T,) the position of each token, the same in every sequence; 0 to T-1 if None.
                They decide how far queries and keys are turned, not who sees whom: token t attends to
                tokens 0 to t in the order of x.

        Returns:
            (B, T, D) in the dtype and on the device of x; gradients reach x and all parameters.
        """
        ### BEGIN SOLUTION
        length = x.size(1)
        if positions is None:
            positions = torch.arange(length, device=x.device)  # (T,)
        q = rotate(split_heads(self.q_proj(x), self.n_heads), positions, self.base)  # (B, H, T, d)
        k = rotate(split_heads(self.k_proj(x), self.n_heads), positions, self.base)  # (B, H, T, d)
        v = split_heads(self.v_proj(x), self.n_heads)  # (B, H, T, d)
        mixed, _ = scaled_dot_product_attention(q, k, v, causal_mask(length, x.device))  # (B, H, T, d)
        return self.out_proj(merge_heads(mixed))  # (B, T, D)
        ### END SOLUTION
