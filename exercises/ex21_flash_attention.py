"""Exercise 21: flash attention, the same numbers without the T x T table.

The picture
-----------
Exercise 5 makes a table with a place for every pair of a query and a key, and keeps it until the
backward pass is done. Flash attention cuts the table into tiles. It makes one tile at a time, takes
from it what the answer needs, and throws it away::

                 keys, in blocks of b
                 k0    k1    k2    k3
               .-----.-----.-----.-----.
      q0       |  *  |     |     |     |     *  half of the tile is hidden by the causal mask
               |-----+-----+-----+-----|     #  all of it is seen
      q1       |  #  |  *  |     |     |        nothing of it is seen: it is never made
               |-----+-----+-----+-----|
      q2       |  #  | [#] |  *  |     |     [#] one tile (b, b), the only one there is right now
               |-----+-----+-----+-----|
      q3       |  #  |  #  |  #  |  *  |
      blocks   '-----'-----'-----'-----'
      of b

    Of each query three things stay between two tiles, none of which knows how many keys there are:

      top    (T_q, 1)     the largest score so far
      total  (T_q, 1)     the sum of exp(score - top) so far
      mix    (T_q, d_v)   the sum of exp(score - top) times the value so far

    After the last tile the answer is mix / total.

The intuition
-------------
*What is in the way?* Twice as long a text makes four times as many scores. The multiplications take
time, but it is the table that stops you first. A model with 12 heads that reads 32,768 tokens has
this many bytes of scores in one layer, at two bytes each, for one single text:

>>> 12 * 32768**2 * 2
25769803776

That is 26 GB, of which the answer needs no number twice. Nor is it only the space. A processor
computes on what lies close to it, in a small and fast memory; everything else has to be fetched
from a large and slow one. The table is too large for the fast one, so it is written out and read
back for the mask, for the softmax, for the product with the values, and again in the backward pass.
On a GPU, ordinary attention spends most of its time waiting for those trips, not multiplying (Dao
et al. 2022, section 2.2). A tile fits into the fast memory. It is made there, used there, and
forgotten there.

*Is that possible?* For the scores, yes: a tile of scores needs a block of queries and a block of
keys, nothing else. The softmax is the obstacle. A weight is exp(score) over the sum of *all* exps
of its row, and with the first tile in hand nobody knows the others. Two observations get around it:

- The sum is the same for the whole row, so it can wait. Add up exp(score) times the value on one
  side and exp(score) on the other, and divide once, at the end.
- exp(score) alone overflows, which is why a softmax subtracts the largest score of the row. That
  one is not known either. So subtract the largest score *so far*, and when a larger one turns up,
  correct the sums: everything in them was made with the old top, so multiply it by exp(old top -
  new top).

This is called an *online softmax* (Milakov & Gimelshein 2018). It is exact. Flash attention is not
an approximation of attention; it is the same sum, in another order.

*And backward?* Autograd would keep every tile for the backward pass, and all tiles together are the
table. So we write the backward pass ourselves, and there we make each tile a second time from q and
k. That costs one more product of matrices per tile and saves the table. To do more work and be
faster because of it: that is the surprising part, and it is the slow memory that explains it. The
same trade for whole layers is known as *checkpointing*.

The mathematics
---------------
*Forward.* For one query, with scores s_j = q . k_j / sqrt(d) and the keys in blocks. For each
block, m is the largest score up to and including it::

    fade   =  exp(top - m)                         1 if the top stays, less if it rises
    total  =  fade * total  +  sum_j exp(s_j - m)
    mix    =  fade * mix    +  sum_j exp(s_j - m) v_j
    top    =  m

Whenever you stop, total is the sum of exp(s_j - top) over all keys so far, and mix / total is
exactly the attention over these keys alone. Where to start? total and mix at 0, and top at a number
that every score beats. -inf looks natural, but a block of which a query sees nothing has the
largest score -inf as well, and exp(-inf - (-inf)) is NaN. The lowest *finite* number
(`torch.finfo(dtype).min`) has no such trouble.

*What to keep.* q, k, v, the output, and one number for each query, which stands for top and total::

    L  =  top + ln(total)  =  ln sum_j exp(s_j)          so that  P_j = exp(s_j - L)

is the finished probability, for any tile, without a second look at the others. (Dao 2023, section
3.1)

*Backward.* dO is the gradient of the output. Through `O = P V` it passes as through any product of
matrices. In the softmax each probability P_il of a row depends on all its scores S_ij: the slope is
P_il (1 - P_ij) if l = j, and -P_il P_ij if not. The sum over l of dP_il times this slope is dS_ij::

    dV    =  P^T dO
    dP    =  dO V^T
    dS_ij =  P_ij (dP_ij - D_i)         D_i = sum_j P_ij dP_ij
    dQ    =  dS K / sqrt(d)             dK = dS^T Q / sqrt(d)

D_i sums over a whole row again. But look at what it is: `sum_j P_ij (dO_i . v_j)`, and the sum can
be taken inside the dot product. So it is `dO_i . O_i`, known before the first tile (Dao et al.
2022, section 3.1 and appendix B.2)::

    D_i  =  dO_i . sum_j P_ij v_j  =  dO_i . O_i

After that each tile stands alone: make P from q, k and L; add to the rows of dV and dK that belong
to its keys, and to those of dQ that belong to its queries; forget it.

*The mask.* With `causal`, query i sees the keys j <= i + T_k - T_q: the last query sees all keys,
even when there are more keys than queries (as with a cache, where the earlier tokens have keys and
no queries). A tile is then of one of three kinds: seen in full (no mask needed), not at all (skip
it: half of the work), or cut by the diagonal. Only these last ones need a mask, and theirs has b x
b entries, too.

*A query that sees nothing.* With more queries than keys, the first T_q - T_k see no key. Their
total is 0, and 0 / 0 is NaN. We give them zeros, as exercise 6 does, and L = +inf: then exp(s - L)
is 0 in the backward pass, and so are all gradients through them.

By hand
-------
*One query, two blocks.* Three keys with the scores 0, ln 2 and ln 4, so that the exps are 1, 2 and
4, and the values 10, 20 and 30. The answer is (1*10 + 2*20 + 4*30) / 7:

>>> round((1 * 10 + 2 * 20 + 4 * 30) / 7, 4)
24.2857

The first block holds the first two keys. Its top is ln 2, so the exps are 1/2 and 1:

>>> top = math.log(2)
>>> total = 1 / 2 + 1
>>> mix = 1 / 2 * 10 + 1 * 20
>>> total, mix
(1.5, 25.0)

The second block raises the top to ln 4. What there is was made with ln 2, twice too large by now:

>>> fade = math.exp(math.log(2) - math.log(4))
>>> total = fade * total + 1
>>> mix = fade * mix + 1 * 30
>>> round(fade, 4), round(total, 4), round(mix, 4), round(mix / total, 4)
(0.5, 1.75, 42.5, 24.2857)

And L = ln 4 + ln 1.75 is the logarithm of 1 + 2 + 4:

>>> round(math.exp(math.log(4) + math.log(total)), 4)
7.0

Now your function, with a head width d of 1, the query 1, and blocks of two:

>>> q = torch.ones(1, 1, dtype=torch.float64)  # (T_q, d)
>>> k = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64).log()  # (T_k, d)
>>> v = torch.tensor([[10.0], [20.0], [30.0]], dtype=torch.float64)  # (T_k, d_v)
>>> flash_attention(q, k, v, block_size=2)
tensor([[24.2857]], dtype=torch.float64)

*Backward, the same numbers.* P is (1, 2, 4) / 7. With dO = 1, dP is just the values, and D is the
output:

>>> P, dP = torch.tensor([1.0, 2.0, 4.0]) / 7, torch.tensor([10.0, 20.0, 30.0])
>>> dS = P * (dP - 170 / 7)
>>> dS
tensor([-2.0408, -1.2245,  3.2653])

They add up to 0, as the gradient of a softmax does. Here q = 1 and sqrt(d) = 1, so dK is dS, and dV
is P:

>>> _ = k.requires_grad_(), v.requires_grad_()
>>> flash_attention(q, k, v, block_size=2).backward()
>>> k.grad.T
tensor([[-2.0408, -1.2245,  3.2653]], dtype=torch.float64)
>>> v.grad.T
tensor([[0.1429, 0.2857, 0.5714]], dtype=torch.float64)

*A backward pass of your own.* `torch.autograd.Function` takes both directions from you. `forward`
gets the tensors without a graph, and a `ctx` that lives until `backward`, which gets the gradient
of the output and returns one for each argument of `forward` (None for those that have none).
`@once_differentiable` above it, imported below, forbids second derivatives; you may do without. As
an example, x^3 times a number:

>>> class Cube(torch.autograd.Function):
...     @staticmethod
...     def forward(ctx, x, times):
...         ctx.save_for_backward(x)  # tensors go here
...         ctx.times = times  # anything else is an attribute
...         return times * x**3
...     @staticmethod
...     def backward(ctx, grad):
...         (x,) = ctx.saved_tensors
...         return grad * ctx.times * 3 * x**2, None
>>> x = torch.tensor(2.0, requires_grad=True)
>>> y = Cube.apply(x, 10)
>>> y.backward()
>>> y.item(), x.grad.item()
(80.0, 120.0)

What it buys
------------
*Memory.* PyTorch can tell you what it keeps for the backward pass. Here is the number of
bytes for one head of width 64, with exercise 5's function and a causal mask, and with yours:

>>> from ex05_attention import scaled_dot_product_attention
>>> from ex06_masks import causal_mask
>>> def plain(q, k, v):
...     return scaled_dot_product_attention(q, k, v, causal_mask(q.size(-2)))[0]
>>> def flash(q, k, v):
...     return flash_attention(q, k, v, causal=True)
>>> def kept(attention, T):
...     sizes = {}
...     def note(tensor):
...         memory = tensor.untyped_storage()
...         sizes[memory.data_ptr()] = memory.nbytes()  # a tensor that is kept twice counts once
...         return tensor
...     q, k, v = (torch.randn(1, T, 64, requires_grad=True) for _ in range(3))
...     with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
...         attention(q, k, v)
...     return sum(sizes.values())
>>> for T in (256, 512, 1024):
...     print(f"{T:5} {kept(plain, T):8} {kept(flash, T):8}")
  256   524288   263168
  512  1703936   526336
 1024  6029312  1052672

The mask costs one byte a pair, the probabilities four. The last doubling of the length makes 3.5
times as much, and the longer the text, the closer to four times. In tiles it doubles.

*Time.* On one core of a CPU, forward and backward with a causal mask, the straightforward formula
of exercise 5 falls behind PyTorch's own function, a fused kernel (all steps in one compiled
program), more and more as T grows, since its table no longer fits into the fast memory. Yours stays
close to the kernel, although it is written in Python. `make look EX=21` measures it on your
machine. On ours it took this many times the kernel's CPU time, with as many texts as make 1024
tokens (at T = 2048, one text), 4 heads of width 32, and blocks of 64 at T = 64 and of 128 beyond::

       T     exercise 5    in tiles
      64        1.3           1.7
     512        2.3           1.0
    2048        5.9           1.2

For short texts a table is small and fits anyway; then plain attention is as good, and simpler.

Going deeper
------------
*Why queries outside?* The first paper ran over the keys in the outer loop and over the queries in
the inner one, the second turned it around: a block of queries then finishes its sums without ever
writing them out, and different blocks can run on different parts of the chip (Dao 2023, section
3.2).

*How large a block?* Large enough that a product of matrices is worth its call, small enough that
the tile stays in the fast memory. On a GPU that is some 64 to 128 rows, and the limit is in bytes
of shared memory. Here it is the cache of the CPU, and you can try it: `block_size` is yours to
choose.

*Other masks.* Since tiles that are hidden in full are skipped, a mask with a structure makes
attention cheaper. With a sliding window, where a token sees the last w tokens, the tiles that
remain are a band along the diagonal, and the work grows as T.

*Without the trick of L.* Rabe & Staats (2021) found the same forward pass a little earlier and let
autograd do the backward pass, with a checkpoint around each block: a few lines of Python.

What to build
-------------
`flash_attention`, in this order:

1. No mask, `block_size` at least as large as both lengths: one tile, ordinary attention.
2. More than one block of keys: the online softmax. Then more than one block of queries.
3. The causal mask: which tiles are skipped, which are cut.
4. The backward pass, in a `torch.autograd.Function`. Before that, autograd gives the right
   gradients and keeps too much.

A loop over tiles in Python is what we expect. Helpers and classes are yours to name.

Off limits: still `F.scaled_dot_product_attention`, `nn.MultiheadAttention` and
`torch.nn.attention`.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=21` checks them.

- *A band along the diagonal.* `sliding_attention(q, k, v, window, block_size=64)` returns what
  causal attention (..., T, d_v) returns when a query sees no more than the last `window` keys,
  itself included: q (..., T, d), k (..., T, d) and v (..., T, d_v) are of the same length, `window`
  is at least 1, and no weights need to be kept for a backward pass. Tiles that lie outside of the
  band are never computed: 100,000 tokens with a window of 100 must not take the memory, or the
  time, of all pairs. Measure how its time grows with T.
- Put `flash_attention` into the `Block` of exercise 13 instead of exercise 5's formula, and train
  with a context of 1024.

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Matrix Calculation of Self-Attention": the table that
  is never made here
- FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness (Dao et al. 2022),
  sections 2.2 and 3.1, algorithm 1; appendix B for the backward pass
- FlashAttention-2 (Dao 2023), section 3.1: what we build here, L included
- Online normalizer calculation for softmax (Milakov & Gimelshein 2018), section 3
- Self-attention Does Not Need O(n^2) Memory (Rabe & Staats 2021)
- Training Deep Nets with Sublinear Memory Cost (Chen et al. 2016): checkpointing"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable




def flash_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, block_size: int = 64) -> Tensor:
    """Attention as in exercise 5, made tile by tile: softmax(q k^T / sqrt(d)) v, for every block size.

    Whatever has a place for every pair of a query and a key (scores, probabilities, their gradients,
    masks) comes in tensors of at most block_size**2 entries for each leading index, forward and
    backward. Tensors as large as q, k, v or the output are not limited. What is kept for the
    backward pass grows as T, not as T^2.

    Args:
        q: (..., T_q, d) queries. The arguments need not be contiguous (`split_heads` returns such
            views); none of them is changed.
        k: (..., T_k, d) keys, with the same leading axes, of which there may be none.
        v: (..., T_k, d_v) values.
        causal: whether query i sees only the keys j <= i + T_k - T_q. A query that sees none gets
            zeros, and all gradients stay finite. What stands at a key or a value that a query does
            not see has no influence on its answer.
        block_size: the number of queries, and of keys, in a tile; it need not divide the lengths and
            may be larger than both.

    Returns:
        (..., T_q, d_v) the answers, for finite scores of any size, in the inputs' dtype and on their
        device. The gradients of q, k and v are those of exercise 5; second derivatives are left open.

    Raises:
        ValueError: block_size is less than 1; the message names it.

    Source: Dao et al. 2022, algorithm 1; Dao 2023, section 3.1; Milakov & Gimelshein 2018, algorithm 3.
    """
    # Your code here. (The reference needs 6 lines.)
    raise NotImplementedError("not written yet")
