"""Exercise 7: multi-head attention, several questions asked at once.

The picture
-----------
Three projections make queries, keys and values. Each of them is cut into H heads, every head runs
the attention of exercise 5 by itself, and the answers are put side by side again::

    query (B, T_q, D) -- q_proj --> (B, T_q, D) -- split --> (B, H, T_q, d) --.
                                                                              |  attention
    key   (B, T_k, D) -- k_proj --> (B, T_k, D) -- split --> (B, H, T_k, d) --+  in each head
                                                                              |      |
    value (B, T_k, D) -- v_proj --> (B, T_k, D) -- split --> (B, H, T_k, d) --'      |
                                                                                     v
    out   (B, T_q, D) <-- out_proj -- (B, T_q, D) <-- merge -- (B, H, T_q, d) <------'

    with d = D / H, and weights of shape (B, H, T_q, T_k): every head looks where it likes

To split is to cut each row into H pieces. Here with D = 6 and H = 3, so d = 2::

                        head 0    head 1    head 2
    row of token 0   [  a0 a1  |  a2 a3  |  a4 a5  ]        head 0  [ a0 a1 ]   (T, d)
    row of token 1   [  b0 b1  |  b2 b3  |  b4 b5  ]                [ b0 b1 ]

The intuition
-------------
A softmax makes one average. Take the word "was" in "The dog that chased the cats was tired". It has
two questions at once. *Who was it?* The dog; the cats stand nearer, but "was" is singular. *What
came just before?* "Cats", the end of a clause that can be left out. A single head has one whole to
share out: half a look at the dog, half a look at the cats. What comes back is one vector, the
mixture of both, and a mixture can't be taken apart again: 15 may be the average of 10 and 20, or of
15 and 15. With two heads, one looks at the dog and the other at the cats. Both answers arrive, each
in columns of its own.

So every head gets its own queries, keys and values: its own question, asked in its own space. What
the heads of trained models look at has been studied. In some, each token attends to the one just
before; in some, an object attends to its verb (Clark et al. 2019); in some, a word attends to what
followed the same word the last time (Olsson et al. 2022). Nobody told them to. They start out
different, because their parameters are drawn at random, and training can give each of them work of
its own.

The mathematics
---------------
::

    MultiHead(Q, K, V) = Concat(head_1, ..., head_H) W_O        (Vaswani et al. 2017, section 3.2.2)
    head_h             = Attention(Q W_Q[h], K W_K[h], V W_V[h])

    W_Q[h], W_K[h], W_V[h]   (D, d)         W_O   (D, D)         and a bias for each of the four

*Why one matrix instead of H small ones?* Put the H matrices W_Q[h] of shape (D, d) side by side,
and you have one of shape (D, D). One large product does the work of H small ones, and is faster.
The columns h*d to (h+1)*d - 1 of its result are what head h would have computed alone. The heads
are slices of one matrix. Hence `q_proj` is a plain `nn.Linear(D, D)`, which computes x W + b (and
stores W transposed), and `split_heads` finds the slices.

*Why d = D/H?* Then H heads of width d cost what one head of width D costs. There are four
projections, each with D^2 weights and D biases: 4 D^2 + 4 D parameters in all, whatever H is. The
multiplications for the scores do not depend on H either: H times T^2 d is T^2 D. Only the number of
attention weights grows, H T^2. The price is width: in one head a query and a key meet in d numbers,
so it can tell apart only what fits into d dimensions. H heads ask H simpler questions.

*Why divide by sqrt(d)?* The argument of exercise 5 was about the number of products in one score.
Within a head a score sums d of them, not D.

*Why another projection at the end?* After merging, head h has written to its own d columns and
nowhere else. `out_proj` lets each head contribute to all D columns: with W_O[h] the d rows of W_O
that belong to head h, the result is the sum over h of head_h W_O[h], plus the bias.

*Why split, then transpose?* Attention works on the last two axes, and everything in front of them
is just "many at once". To make the heads such a front axis, cut the last axis in two, (B, T, D) to
(B, T, H, d), and swap T and H. There is a shortcut that reshapes to (B, H, T, d) at once. It has
the right shape and the wrong content: it cuts the *tokens* into groups, and each head sees only
some of them. It is worth knowing about. Nothing crashes, and merging by the same shortcut puts
everything back where it was.

*Self and cross.* When queries, keys and values are made from the same sequence, it is
self-attention. In a translation the decoder asks and the encoder's result answers: `key` and
`value` come from another sequence, T_k is not T_q, and it is cross-attention. The code is the same.

*Dropout* helps to keep a network from overfitting, that is, from learning its training data by
heart: in training, numbers are set to zero at random. Here it acts on the attention weights, after
the softmax. Each weight is set to zero with probability p, and the others are divided by 1 - p, so
that the average stays the same. So a head can't rely on one single key being there. A row no longer
sums to one; what is returned for people to look at are the weights as they were before. An
`nn.Dropout` does all this in *training mode*, in which every module begins. `module.eval()` puts a
module with all its parts into *evaluation mode*, in which nothing is dropped, and `module.train()`
back. (The paper's section 5.4 drops in other places: the outputs of the sublayers, exercise 8, and
the embeddings.)

By hand
-------
Two tokens, D = 6, three heads. Token 0 holds 0 to 5, token 1 holds 6 to 11:

>>> x = torch.arange(12).reshape(1, 2, 6)
>>> split_heads(x, n_heads=3)[0].tolist()
[[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]

Head 0 has columns 0 and 1 of both tokens. The shortcut gives it four numbers too, but both rows of
head 0 are from token 0, and head 2 sees nothing of token 0:

>>> x.reshape(1, 3, 2, 2)[0].tolist()
[[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]

Merging puts the columns back:

>>> merge_heads(split_heads(x, 3)).tolist()
[[[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]]

Why one average is not enough. A head that looks at two tokens with equal weights can't tell the
values 10 and 20 from 15 and 15. Two heads that look at one token each can:

>>> one = torch.tensor([[0.5, 0.5]])
>>> two = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
>>> a, b = torch.tensor([10.0, 20.0]), torch.tensor([15.0, 15.0])
>>> (one @ a).tolist(), (one @ b).tolist()
([15.0], [15.0])
>>> (two @ a).tolist(), (two @ b).tolist()
([10.0, 20.0], [15.0, 15.0])

The number of parameters is 4 D^2 + 4 D, here 4 * 144 + 4 * 12 = 624, for any number of heads:

>>> [sum(p.numel() for p in MultiHeadAttention(12, heads).parameters()) for heads in (1, 2, 3, 12)]
[624, 624, 624, 624]

And head 1 of 3 is the attention of exercise 5 on columns 4 to 7 of the projections:

>>> from ex05_attention import scaled_dot_product_attention
>>> attention, x = MultiHeadAttention(12, 3), torch.randn(1, 5, 12)
>>> _, weights = attention(x, return_weights=True)
>>> q, k, v = attention.q_proj(x), attention.k_proj(x), attention.v_proj(x)
>>> _, alone = scaled_dot_product_attention(q[..., 4:8], k[..., 4:8], v[..., 4:8])
>>> torch.allclose(weights[:, 1], alone, atol=1e-6)
True

What to build
-------------
1. `split_heads` and `merge_heads`: there and back. Check them on paper, as above.
2. `MultiHeadAttention`: project, split, attend, merge, project.

In step 2 you need the weights before the values are mixed, because the dropout comes in between.
`scaled_dot_product_attention` of exercise 5 returns a finished mixture, so write its formula out
once more, and let `masked_softmax` of exercise 6 take care of the mask: with it, a query that may
look at nothing gets zeros, and no mask can put a NaN into a model that is built on this layer.

Off limits: `nn.MultiheadAttention`, `F.scaled_dot_product_attention` and what lies beneath them.
`nn.Linear` and `nn.Dropout` are given.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=07` checks them.

- *The heads add up.* The last projection mixes the heads, but it is linear, so its output is a sum
  in which each head has a part of its own. `head_parts(layer, x)` gets a `MultiHeadAttention` and x
  (B, T, D), which attends to itself without a mask, and returns (B, H, T, D): the parts, without
  the bias of `out_proj`. Added up over the heads, plus that bias, they are what the layer returns.
  (`return_weights` tells you what each head looks at.)
- *Heads have no order.* `reorder_heads(layer, order)` returns a new `MultiHeadAttention` that
  computes the same as `layer`, whose head i is head order[i] of the old one; `order` is a list of
  the numbers 0..H-1. The old layer stays as it is. The layers may be without biases. Which rows go
  together, and which columns?
- Which other changes of the four matrices leave the output as it is?

See it again
------------
- The Illustrated Transformer (Jay Alammar), "The Beast With Many Heads"
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 2, on multi-head and self-attention
- What are Transformer Neural Networks? (Ari Seff), the part on multi-head attention
- Let's build GPT: from scratch, in code, spelled out (Andrej Karpathy), the part on multi-headed
  self-attention; The Annotated Transformer (Rush et al.), `MultiHeadedAttention`
- Attention Is All You Need (Vaswani et al. 2017), section 3.2.2, and the attention visualizations
  on its last pages
- What Does BERT Look At? (Clark et al. 2019), sections 3.1 and 4: what single heads attend to;
  In-context Learning and Induction Heads (Olsson et al. 2022)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ex06_masks import masked_softmax


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """Cut every row into one piece for each head, and put the heads in front of the positions.

    Args:
        x: (B, T, D), where D is a multiple of `n_heads`.
        n_heads: H, the number of heads.

    Returns:
        (B, H, T, d) with d = D / H: head h holds columns h*d to (h+1)*d - 1 of x.

    Source: Vaswani et al. 2017, section 3.2.2.
    """
    ### BEGIN SOLUTION
    pieces = x.unflatten(-1, (n_heads, -1))  # (B, T, H, d)
    return pieces.transpose(1, 2).contiguous()  # (B, H, T, d), copied into order once: faster
    ### END SOLUTION


def merge_heads(x: Tensor) -> Tensor:
    """Put the heads side by side again: undo `split_heads`.

    Args:
        x: (B, H, T, d).

    Returns:
        (B, T, D) with D = H * d: columns h*d to (h+1)*d - 1 are those of head h.

    Source: Vaswani et al. 2017, section 3.2.2 ("Concat").
    """
    ### BEGIN SOLUTION
    pieces = x.transpose(1, 2)  # (B, T, H, d)
    return pieces.flatten(-2)  # (B, T, D)
    ### END SOLUTION


class MultiHeadAttention(nn.Module):
    """Attend with several heads at once, each in its own slice of the projections.

    Attributes:
        q_proj, k_proj, v_proj, out_proj: `nn.Linear` from D to D. How their weights start is up to you;
            those that `nn.Linear` draws will do.

    Args:
        d_model: D, the width of what comes in and goes out.
        n_heads: H, the number of heads; each is D / H wide.
        bias: whether the four projections have a bias.
        dropout: the probability with which each attention weight, independently of the others, is
            set to zero in training; those that are kept are divided by 1 - dropout.

    Raises:
        ValueError: `d_model` is not divisible by `n_heads`, or `dropout` is not between 0 and 1;
            the message names the value.

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, d_model: int, n_heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if d_model % n_heads != 0:
            raise ValueError(f"d_model = {d_model} is not divisible by n_heads = {n_heads}")
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"dropout = {dropout} is not a probability between 0 and 1")
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)
        ### END SOLUTION

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        return_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Let every position of `query` gather what it looks for.

        Args:
            query: (B, T_q, D), what the queries are made from.
            key: (B, T_k, D), what the keys are made from; the query if None (self-attention).
            value: (B, T_k, D), what the values are made from; the key if None.
            mask: boolean, broadcasts to (B, H, T_q, T_k); True means "may attend". A query that may
                attend to nothing gets zero weights, and finite gradients.
            return_weights: whether to return the weights too.

        Returns:
            out (B, T_q, D); with `return_weights` the pair of it and the weights (B, H, T_q, T_k)
            as they were before dropout. All of it is finite for inputs of any finite size. Both keep
            the dtype and the device of the inputs, and gradients reach the inputs and all parameters;
            no argument is changed.
        """
        ### BEGIN SOLUTION
        key = query if key is None else key
        value = key if value is None else value
        q = split_heads(self.q_proj(query), self.n_heads)  # (B, H, T_q, d)
        k = split_heads(self.k_proj(key), self.n_heads)  # (B, H, T_k, d)
        v = split_heads(self.v_proj(value), self.n_heads)  # (B, H, T_k, d)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (B, H, T_q, T_k)
        weights = torch.softmax(scores, dim=-1) if mask is None else masked_softmax(scores, mask)
        mixed = self.dropout(weights) @ v  # (B, H, T_q, d)
        out = self.out_proj(merge_heads(mixed))  # (B, T_q, D)
        return (out, weights) if return_weights else out
        ### END SOLUTION
