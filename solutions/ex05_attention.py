"""Exercise 5: scaled dot-product attention, the one idea the rest is built around.

The picture
-----------
Every position holds a *query* (what am I looking for?). Every position it may look at holds a
*key* (what have I got?) and a *value* (what do I hand over?). A query is compared with all keys;
the better a key fits, the more of its value flows into the answer::

        query   keys            scores           weights            answer
        (D,)    (T, D)          (T,)             (T,)               (D_v,)

               [ k0 ]  -- . -->  s0 --.        .--> w0 -- * v0 --.
          q -- [ k1 ]  -- . -->  s1 --+ softmax +--> w1 -- * v1 --+-- sum --> out
               [ k2 ]  -- . -->  s2 --'        '--> w2 -- * v2 --'

The intuition
-------------
A Python dictionary looks a key up exactly: it finds one value or none. Attention is a dictionary
that always finds *a bit of everything*: the softmax turns "how well does each key fit?" into shares
that add up to one, and the answer is the mixture of the values in those shares. Because the shares
change smoothly with the query, gradient descent can learn what to look for.

A recurrent network hands the past on through one vector of fixed size. Here nothing is handed on:
any query reaches any key in one step, however far away it stands.

The mathematics
---------------
For all queries at once, with one query, key and value per row::

    Attention(Q, K, V) = softmax(Q K^T / sqrt(D)) V          (Vaswani et al. 2017, equation 1)

    Q        (..., T_q, D)        K^T      (..., D, T_k)
    Q K^T    (..., T_q, T_k)      one score for every pair of a query and a key
    weights  (..., T_q, T_k)      each ROW sums to one: the softmax runs over the keys
    out      (..., T_q, D_v)      D_v may differ from D, T_k from T_q

Why divide by sqrt(D)? Let the entries of q and k be independent with mean 0 and variance 1. Each
product q_i k_i has variance 1, so their sum over D entries has variance D, and scores of a typical
size of sqrt(D). The softmax of such large numbers is almost one-hot, and there its gradient is
almost zero: nothing would be learned. Dividing by sqrt(D) brings the scores back to variance 1,
whatever D is. (Dividing by D would overshoot: the scores would shrink to nothing as D grows, and
every query would see the plain average of all values.)

Why a mask? Sometimes a query must not see a key: padding, or, in a GPT, the future. Setting the score
to minus infinity *before* the softmax gives that key a weight of exactly zero, and the others still
sum to one. Multiplying the weights by zero *afterwards* would leave a row that sums to less than one.

By hand
-------
Two keys, D = 4, so sqrt(D) = 2. The query fits the first key (dot product 2) and not the second (0):

>>> import numpy as np
>>> query = np.array([1.0, 1.0, 0.0, 0.0])
>>> keys = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
>>> values = np.array([[10.0], [20.0]])
>>> keys @ query / np.sqrt(4)
array([1., 0.])

The weights are e/(e+1) and 1/(e+1), and the answer 10 * 0.731 + 20 * 0.269:

>>> shares = np.exp([1.0, 0.0]) / np.exp([1.0, 0.0]).sum()
>>> shares.round(3)
array([0.731, 0.269])
>>> attend(query, keys, values).round(2)
array([12.69])

What to build
-------------
1. `attend`: one query, in NumPy, with your softmax of exercise 1. Do this one on paper first.
2. `scaled_dot_product_attention`: any number of queries, any leading dimensions, in PyTorch.

Off limits: `F.scaled_dot_product_attention`, `nn.MultiheadAttention` and what lies beneath them.
`torch.softmax` is yours to use from here on: you have built it.

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Self-Attention in Detail" and "Matrix Calculation of
  Self-Attention"
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 2, on multi-head and self-attention
- What are Transformer Neural Networks? (Ari Seff), the part on scaled dot-product attention
- Attention Is All You Need (Vaswani et al. 2017), section 3.2.1 and its footnote 4 on the scale
"""

from __future__ import annotations

import math

import torch
from numpy.typing import NDArray
from torch import Tensor

from .ex01_softmax import softmax


def attend(query: NDArray, keys: NDArray, values: NDArray) -> NDArray:
    """Answer one query: the average of the values, weighted by how well each key fits.

    Args:
        query: (D,) what is looked for.
        keys: (T, D) what each of the T positions offers.
        values: (T, D_v) what each position hands over.

    Returns:
        (D_v,) the mixture of the values, in shares softmax(keys . query / sqrt(D)). The scores may be
        of any finite size; no argument is changed.

    Source: Vaswani et al. 2017, section 3.2.1, for a single query.
    """
    ### BEGIN SOLUTION
    scores = keys @ query / math.sqrt(len(query))  # (T,)
    weights = softmax(scores)  # (T,)
    return weights @ values  # (D_v,)
    ### END SOLUTION


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Answer many queries at once, and say where each of them looked.

    Args:
        q: (..., T_q, D) queries.
        k: (..., T_k, D) keys.
        v: (..., T_k, D_v) values.
        mask: boolean, broadcasts to (..., T_q, T_k); True means "may attend". A hidden key gets a
            weight of exactly zero, also beside visible ones whose scores are very low (-1e14). What
            a query gets that may attend to nothing at all is left open until exercise 6.

    Returns:
        out (..., T_q, D_v) and the weights (..., T_q, T_k), each row of which sums to one, for finite
        scores of any size. Both keep the dtype and the device of the inputs, and gradients flow back
        to q, k and v; no argument is changed.

    Source: Vaswani et al. 2017, equation 1.
    """
    ### BEGIN SOLUTION
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (..., T_q, T_k)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, dim=-1)  # (..., T_q, T_k)
    return weights @ v, weights  # (..., T_q, D_v)
    ### END SOLUTION
