"""Exercise 6: masks, or who may look at whom.

The picture
-----------
For each pair of a query and a key, a mask says whether the one may look at the other. Rows are
queries, columns are keys, `x` is True ("may attend") and `.` is False::

          causal (T, T)            padding (B, T)            combined (B, 1, T, T)

         k0  k1  k2  k3           k0  k1  k2  k3              k0  k1  k2  k3
      q0  x   .   .   .                                    q0  x   .   .   .
      q1  x   x   .   .    and     x   x   .   .     =     q1  x   x   .   .
      q2  x   x   x   .                                    q2  x   x   .   .
      q3  x   x   x   x        (a sequence of length 2)    q3  x   x   .   .

    the same for every          the same for every query   one for each sequence; the axis of
    sequence in the batch       of its sequence            size 1 is for the heads (exercise 7)

The causal mask takes away the future (everything right of the diagonal), the padding mask whole
columns. What is hidden is always a *key*. The mask then takes part in the softmax::

        scores (..., T_q, T_k)   --.
                                    +--> masked_softmax --> weights (..., T_q, T_k)
        mask, broadcast to it    --'                        each row sums to one, or is all zeros

The intuition
-------------
*Why hide the future?* A language model has to guess each token from those before it. When
generating, it writes one token, reads it back, writes the next: such a model is called
*autoregressive*. But a training text is known in full, so all of its T guesses can be made in a
single pass. Position i guesses token i + 1 while the true tokens 0 to i stand before it (the true
ones, not its own guesses: this is called *teacher forcing*). One pass, T exercises.

But in that pass token i + 1 is there as well, one place to the right. A position that may look at
it has nothing to learn. It copies the answer, the loss falls to almost nothing, and the model is of
no use once there is no next token to copy. It is an exam with the answers printed on the same
sheet; the causal mask covers them. With it, position i gets what it would have got had the text
ended at i, so a single pass does the work of T.

*Why hide padding?* A batch is a rectangle, sentences are not. The short ones are filled up, and
what they are filled with means nothing. If it took part, a sentence would read differently
depending on how long its neighbours in the batch happen to be.

*And queries that are padding?* They are left alone. Nobody reads their answers: no real query looks
at them, and the loss skips them. It is even better to let them see something, as the next section
shows.

The mathematics
---------------
With M the set of keys that a query may attend to::

    weight_j = exp(s_j) / sum of exp(s_i) over i in M      if j in M
             = 0                                           if not

The same, written with an addition, is softmax(s + m) with m = 0 for what may be seen and -inf for
the rest. exp(-inf) is exactly 0: the hidden key has no weight, no part in the sum below, and no
gradient. Three other ideas come to mind, and each of them fails:

- *Multiply the scores by 0.* exp(0) is 1, not nothing. A hidden key then counts like any other key
  whose score is 0.
- *Multiply the weights by 0, after the softmax.* Now the hidden key gets nothing, but it still had
  a part in the sum that the others were divided by. The row no longer sums to one, and a future
  token can still be felt: the larger its score, the smaller all the other weights. Dividing by the
  new sum fixes that on paper. In floating point a large hidden score has by then pressed all
  others down to 0, and there is nothing left to divide.
- *Add a large negative number, such as -1e9.* That works as long as no score comes near it, but it
  is a guess. float16, a 16-bit format, ends at 65504 and has no -1e9. And a key with the score -2e9
  that may be seen loses against a hidden one, whose score is now about -1e9. (The lowest number of
  the dtype is such a guess, too: a visible score can be that low.)

*The row that may see nothing.* With M empty there is no such thing as "weights that add up to one".
It does happen: a source sentence of length 0, sequences padded on the left (where the first queries
have nothing but padding before them), a batch filled up with empty rows. The formula with -inf then
computes -inf minus the maximum of the row, -inf - (-inf), which is NaN ("not a number"). With -1e9
it is worse, for nothing looks wrong: the hidden keys share the whole 1 among themselves, and the
query reads what it was not meant to see. We want zeros: a query that may look at nothing receives
nothing.

*A side note, for when your gradients are NaN.* A clean result is not enough. Suppose you let the
NaN arise and put a 0 in its place afterwards, with `torch.where` or `nan_to_num`. That repairs the
forward pass, but not the backward pass. The gradient of the softmax is::

    ds_j = w_j * (g_j - sum over i of g_i w_i)         g: the gradient that comes in

The replacement makes g zero, but w is the NaN that the softmax kept for its backward pass, and NaN
times 0 is NaN. Whether it gets any further depends on what comes before the softmax: an addition
passes it on to the scores; `masked_fill` happens to stop it, because it passes no gradient to the
places that it filled. One row that gets through is enough: the NaN runs into the projections, the
optimizer's next step writes it into their parameters, and from there on every loss is NaN. So do
not rely on a later line to catch a NaN; make sure that none arises, not even in a place whose
result is thrown away. Give such a row something harmless to compute with.

By hand
-------
Three tokens may see themselves and what came before:

>>> causal_mask(3).int()
tensor([[1, 0, 0],
        [1, 1, 0],
        [1, 1, 1]], dtype=torch.int32)

Two sequences of lengths 2 and 3, filled up to 3. In the first, nobody sees the last key:

>>> padding_mask(torch.tensor([2, 3]), max_len=3).int()
tensor([[1, 1, 0],
        [1, 1, 1]], dtype=torch.int32)
>>> both = combine_masks(causal_mask(3), padding_mask(torch.tensor([2, 3]), 3))
>>> both.shape
torch.Size([2, 1, 3, 3])
>>> both[0, 0].int()
tensor([[1, 0, 0],
        [1, 1, 0],
        [1, 1, 0]], dtype=torch.int32)

Where all scores are equal, every query gets the plain average of what it may see:

>>> masked_softmax(torch.zeros(3, 3), causal_mask(3))
tensor([[1.0000, 0.0000, 0.0000],
        [0.5000, 0.5000, 0.0000],
        [0.3333, 0.3333, 0.3333]])

Scores whose exponentials are 1, 2 and 5, the last one hidden. The right weights are 1/3, 2/3, 0.
Multiplying the scores by the mask gives 1/4, 2/4, 1/4. Multiplying the weights gives 1/8, 2/8, 0,
and a sum of 3/8:

>>> scores, mask = torch.tensor([1.0, 2.0, 5.0]).log(), torch.tensor([True, True, False])
>>> masked_softmax(scores, mask)
tensor([0.3333, 0.6667, 0.0000])
>>> torch.softmax(scores * mask, -1)
tensor([0.2500, 0.5000, 0.2500])
>>> torch.softmax(scores, -1) * mask
tensor([0.1250, 0.2500, 0.0000])

What -1e9 makes of two keys that are both hidden, and where float16 ends:

>>> torch.softmax(torch.tensor([3.0, 7.0]) - 1e9, -1)
tensor([0.5000, 0.5000])
>>> torch.finfo(torch.float16).max
65504.0

A query that may see nothing, done carelessly: a clean result and a spoilt gradient.

>>> s = torch.tensor([1.0, 2.0], requires_grad=True)
>>> careless = torch.softmax(s + torch.tensor([-math.inf, -math.inf]), -1).nan_to_num()
>>> careless.sum().backward()
>>> careless.tolist(), s.grad.tolist()
([0.0, 0.0], [nan, nan])

And with care:

>>> s = torch.tensor([1.0, 2.0], requires_grad=True)
>>> careful = masked_softmax(s, torch.tensor([False, False]))
>>> careful.sum().backward()
>>> careful.tolist(), s.grad.tolist()
([0.0, 0.0], [0.0, 0.0])

What to build
-------------
1. `causal_mask`: a query sees its own position and what stands before it.
2. `padding_mask`: from the lengths of the sequences in a batch.
3. `combine_masks`: both at once, in a shape that fits any number of heads.
4. `masked_softmax`: the softmax that obeys a mask, and survives one that hides everything. Write
   the ordinary case first, then try the last example above.

An `if` on what a tensor holds ("does this mask hide anything?") is fine here. In a training loop on
a GPU it has a price: the CPU has to wait for the answer. So prefer operations on whole tensors.

Masks are boolean, and True means "may attend". (PyTorch itself has both conventions:
`F.scaled_dot_product_attention` means what we mean, `nn.MultiheadAttention` the opposite. Read the
documentation of each library before you hand it a mask.)

Off limits, as before: ready-made attention. `torch.softmax`, `torch.tril`,
`masked_fill` and `torch.where` are tools that you may use.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=06` checks them.

- *Not so far back.* `window_mask(length, window, sinks=0)` returns a boolean (T, T) mask: a query
  sees itself and what stands before it, but no more than the last `window` positions, itself
  included, and besides these the first `sinks` positions of all (models that were trained without a
  window put much of their attention there, and break without them; Xiong et al. 2024).
- *Packed.* Short documents are put one after the other to fill a row; each must not see the others.
  `packed_mask(documents)` gets int64 (B, T), for each position the number of its document, and
  returns a boolean (B, 1, T, T) mask: causal, and within one document. The positions of a document
  stand together, and no two documents of a row have the same number; the numbers are in no order.

See it again
------------
- The Illustrated Transformer (Jay Alammar), "The Decoder Side": the self-attention that may only
  look at earlier positions; The Illustrated GPT-2 by the same author, on masked self-attention
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 3, on the decoder and its masked
  attention
- What are Transformer Neural Networks? (Ari Seff), the part on the decoder
- Let's build GPT: from scratch, in code, spelled out (Andrej Karpathy), the part on the
  mathematical trick in self-attention: averages of what came before, with a triangle of ones
- The Annotated Transformer (Rush et al.), "Batches and Masking"
- Attention Is All You Need (Vaswani et al. 2017), section 3.2.3, the third of its points: why the
  decoder may not look ahead, and how minus infinity before the softmax prevents it"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def causal_mask(length: int, device: torch.device | str | None = None) -> Tensor:
    """Let every position look at itself and at what came before it.

    Args:
        length: T, the number of positions.
        device: where the mask is made; torch's default device if None.

    Returns:
        Boolean (T, T): entry [i, j] is True where query i may attend to key j.

    Source: Vaswani et al. 2017, section 3.2.3.
    """
    # Your code here. (The reference needs 1 line.)
    raise NotImplementedError("not written yet")


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    """Tell the real tokens of each sequence from the padding at its end.

    Args:
        lengths: (B,) integers from 0 to max_len: how many real tokens each sequence has.
        max_len: T, the length that all of them were padded to.

    Returns:
        Boolean (B, T), on the device of `lengths`: entry [b, j] is True where position j of
        sequence b holds a real token. `lengths` is left as it is.
    """
    # Your code here. (The reference needs 2 lines.)
    raise NotImplementedError("not written yet")


def combine_masks(causal: Tensor, padding: Tensor) -> Tensor:
    """Hide the future and the padding at once: a key is seen where both masks allow it.

    Padded keys are hidden. Padded queries are left alone: what they attend to does not matter.

    Args:
        causal: boolean (T, T), as from `causal_mask`; any other pattern is treated the same way.
        padding: boolean (B, T), as from `padding_mask`; the real tokens may stand anywhere.

    Returns:
        Boolean (B, 1, T, T): entry [b, 0, i, j] is `causal[i, j] and padding[b, j]`. The axis of
        size 1 broadcasts over the heads of exercise 7. On the device of the masks, which are left
        as they are.
    """
    # Your code here. (The reference needs 1 line.)
    raise NotImplementedError("not written yet")


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Take the softmax over the entries that may be attended to, and give the others exactly zero.

    A row (all entries along `dim`) with nothing to attend to becomes zeros, and the gradient of its
    scores is zero too. Scores may be finite numbers of any size, including those that are hidden.

    Args:
        scores: (...) floating point, one score for each entry.
        mask: boolean, broadcasts to the shape of the scores, so it may have fewer axes; True means
            "may attend".
        dim: the axis of the scores over which the weights sum to one.

    Returns:
        The weights: shape, dtype and device of the scores. No argument is changed.

    Source: Vaswani et al. 2017, section 3.2.3.
    """
    # Your code here. (The reference needs 4 lines.)
    raise NotImplementedError("not written yet")
