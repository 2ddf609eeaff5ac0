"""Exercise 5: scaled dot-product attention, the one idea the rest is built around.

The picture
-----------
Attention lets every token collect what it needs from the others. First each token's vector (its
embedding of exercise 3, with its position of exercise 4) is multiplied by three matrices that are
learned. So each token gets three vectors::

                                               one row for each token
                    .-- times W_Q (D, D) ----> Q (T, D)      its QUERY: what am I looking for?
      X (T, D)  ----+-- times W_K (D, D) ----> K (T, D)      its KEY:   what can I be found by?
      the tokens    '-- times W_V (D, D_v) --> V (T, D_v)    its VALUE: what do I hand over?

Then each query is compared with all keys. The better a key fits, the more of its value flows into
the answer. For one query q and three keys::

        query   keys            scores           weights            answer
        (D,)    (T, D)          (T,)             (T,)               (D_v,)

               [ k0 ]  -- . -->  s0 --.        .--> w0 -- * v0 --.
          q -- [ k1 ]  -- . -->  s1 --+ softmax +--> w1 -- * v1 --+-- sum --> out
               [ k2 ]  -- . -->  s2 --'        '--> w2 -- * v2 --'

The answer replaces nothing: later exercises add it to the token that asked.

The intuition
-------------
*A sentence that needs it.* Read these two::

    I poured water from the jug into the cup until it was full.
    I poured water from the jug into the cup until it was empty.

In the first, *it* is the cup; in the second, the jug. The embedding of *it* is the same in both, so
the word alone can't tell. It has to look around: which things were mentioned, and which of them can
be full by now? A recurrent network would have to carry jug and cup along in one vector of fixed
size, through every word in between, just in case. With attention nothing is carried. When *it*
needs the cup, it fetches it, in one step, however far away it stands.

*A dictionary that compares by degree.* A Python dictionary compares a key exactly: it
finds one value or none. Attention compares by degree. The softmax turns "how well does each key
fit?" into shares that add up to one, and the answer is the mixture of the values in these shares.
The shares change smoothly with the query. That is what lets gradient descent learn what to look
for: with an exact match there would be no "a little better" to follow.

These shares are called *attention weights*. Do not mix them up with the weights of a network, its
parameters: parameters are learned and then stay as they are; attention weights are computed anew
for every sentence.

*Why three vectors and not one?* Suppose that a token used its own vector x as query, key and value.
Then three things go wrong:

- Among vectors of its own length, a vector fits itself best, so every token would mostly look at
  itself. But *it* should look at the cup.
- The score of i for j would equal that of j for i. But *it* needs the cup, and the cup does not
  need *it*. Looking for something and having it are two different things: a pronoun looks for a
  noun.
- What makes a token easy to find need not be what is worth handing over. In a library you bring a
  question (the query), search the catalogue (the keys), and take home a book (the value), not the
  catalogue card.

Three matrices make three views of the same token. All three are learned. Nobody tells them what to
ask for; they are adjusted, step by step, until the answers help to predict the next word.

*Why does a dot product measure fit?* It multiplies the two vectors feature by feature and adds up.
A feature that is large in both, with the same sign, raises the score; one with opposite signs
lowers it; one that is zero in either does not count. So a query states what matters to it (large
entries) and what does not (zeros), and a key states what is there. Seen as geometry, q . k is the
length of q times the length of k times the cosine of the angle between them: it is large where they
point the same way. There are other measures of fit. The first attention of this kind ran a small
network for every pair (Bahdanau et al. 2014). A dot product costs next to nothing, and all pairs
are one product of matrices, which is what hardware does best (Vaswani et al. 2017, section 3.2.1).
It is not too simple either, because W_Q and W_K come before it: the score of tokens i and j is
(x_i W_Q) . (x_j W_K), and training chooses which feature of i meets which feature of j.

The mathematics
---------------
For all queries at once, with one query, key and value per row::

    Attention(Q, K, V) = softmax(Q K^T / sqrt(D)) V          (Vaswani et al. 2017, equation 1)

    Q        (..., T_q, D)        K^T      (..., D, T_k)
    Q K^T    (..., T_q, T_k)      one score for every pair of a query and a key
    weights  (..., T_q, T_k)      each ROW sums to one: the softmax runs over the keys
    out      (..., T_q, D_v)      D_v may differ from D, T_k from T_q

Read a row of the weights as the report of one query: so much from key 0, so much from key 1. The
queries need not come from the same tokens as the keys and values. If they do, it is
*self-attention*, and T_q = T_k. If not (a translation asking its source), it is *cross-attention*.
The formula is the same.

The dots stand for any number of leading axes: a batch, and from exercise 7 on the heads. They are
carried along. Everything happens in the last two axes, and K^T swaps these two and no others.

*Why divide by sqrt(D)?* Let the entries of q and k be independent with mean 0 and variance 1. Each
product q_i k_i has variance 1, so their sum over D entries has variance D, and scores of a typical
size of sqrt(D). Here is a measurement, in units of sqrt(D):

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> for D in (4, 64, 1024):
...     q, k = rng.normal(size=(2000, D)), rng.normal(size=(2000, D))
...     print(D, ((q * k).sum(axis=1).std() / D**0.5).round(1))
4 1.0
64 1.0
1024 1.0

So for D = 64 a score has a typical size of 8, and the scores of two keys differ by even more. A
softmax makes almost one-hot weights of that, and there its gradient is almost zero. With two keys
whose scores are `gap` apart, the first weight w changes with its score at the rate w (1 - w), the
slope of a softmax over two:

>>> for gap in (1, 8):
...     w = 1 / (1 + np.exp(-gap))  # the same as exp(gap) / (exp(gap) + exp(0))
...     print(gap, w.round(4), (w * (1 - w)).round(5))
1 0.7311 0.19661
8 0.9997 0.00034

Nearly nothing would be learned. Dividing by sqrt(D) brings the scores back to variance 1, whatever
D is. (Dividing by D would overshoot: scores of a typical size of 1/sqrt(D) shrink to nothing as D
grows, and every query would see the plain average of all values.)

*Why a mask?* Sometimes a query must not see a key: padding, or, in a GPT, the future. Setting the
score to minus infinity *before* the softmax gives that key a weight of exactly zero, and the others
still sum to one. Multiplying the weights by zero *afterwards* would leave a row that sums to less
than one. In this course a mask is True where a query MAY look. Exercise 6 makes masks.

*What attention does not know.* Nothing in the formula depends on the order of the keys: shuffle the
keys together with their values, and every answer stays the same. Order comes in with the positions
of exercise 4. And it has a price: T tokens make T^2 scores. Twice as long a text, four times the
work.

By hand
-------
*One query.* Two keys, D = 4, so sqrt(D) = 2. The query fits the first key (dot product 2) and not
the second (0):

>>> query = np.array([1.0, 1.0, 0.0, 0.0])  # (4,)
>>> keys = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])  # (2, 4)
>>> values = np.array([[10.0], [20.0]])  # (2, 1)
>>> keys @ query / math.sqrt(4)  # (2, 4) @ (4,) -> (2,)
array([1., 0.])

The weights are e/(e+1) and 1/(e+1), and the answer is 10 * 0.731 + 20 * 0.269:

>>> weights = np.exp([1.0, 0.0]) / np.exp([1.0, 0.0]).sum()  # (2,)
>>> weights.round(3)
array([0.731, 0.269])
>>> attend(query, keys, values).round(2)  # (2,) @ (2, 1) -> (1,)
array([12.69])

*Three tokens, from their vectors to their answers.* Take *jug*, *cup* and *it* of the first
sentence. Their vectors have four features that we can read (in a trained model features have no
names). *it* has "filled" because of "it was full"; an earlier layer has brought that over::

             thing  filled  emptied  pronoun
    jug  [     1      0        1        0    ]
    cup  [     1      1        0        0    ]
    it   [     0      1        0        1    ]

>>> X = torch.tensor([[1.0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1]])  # (3, 4)

With these vectors as queries and as keys, the scores are the same both ways, and each token fits
itself best:

>>> X @ X.T  # (3, 4) @ (4, 3) -> (3, 3)
tensor([[2., 1., 0.],
        [1., 2., 1.],
        [0., 1., 2.]])

So project them. We write the matrices by hand; a model learns them. W_Q says what each feature
looks for: a pronoun looks for a thing, what is filled for something filled, what is emptied for
something emptied. W_K offers the first three features and leaves out the fourth. W_V hands over 10
in the first column for "emptied", 10 in the second for "filled", which a pronoun takes back:

>>> W_Q = torch.tensor([[0.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [2, 0, 0, 0]])  # (4, 4)
>>> W_K = torch.diag(torch.tensor([1.0, 1, 1, 0]))  # (4, 4)
>>> W_V = torch.tensor([[0.0, 0], [0, 10], [10, 0], [0, -10]])  # (4, 2)
>>> q, k, v = X @ W_Q, X @ W_K, X @ W_V  # (3, 4), (3, 4), (3, 2)
>>> q
tensor([[0., 0., 2., 0.],
        [0., 2., 0., 0.],
        [2., 2., 0., 0.]])
>>> k
tensor([[1., 0., 1., 0.],
        [1., 1., 0., 0.],
        [0., 1., 0., 0.]])
>>> v
tensor([[10.,  0.],
        [ 0., 10.],
        [ 0.,  0.]])

Step 1, a score for every pair. *it* (last row) fits the cup best: 2 for being a thing, 2 for being
filled. The table is no longer symmetric: *it* scores 4 on the cup, the cup 2 on *it*.

>>> scores = q @ k.T  # (3, 4) @ (4, 3) -> (3, 3)
>>> scores
tensor([[2., 0., 0.],
        [0., 2., 2.],
        [2., 4., 2.]])

Step 2, divide by sqrt(D) = 2. Step 3, the softmax of each row. The last one is e, e^2 and e over
their sum:

>>> scores = scores / math.sqrt(4)  # (3, 3)
>>> weights = scores.softmax(-1)  # (3, 3)
>>> weights
tensor([[0.5761, 0.2119, 0.2119],
        [0.1554, 0.4223, 0.4223],
        [0.2119, 0.5761, 0.2119]])

Step 4, mix the values. *it* gets 0.2119 of the jug's (10, 0) and 0.5761 of the cup's (0, 10):

>>> weights @ v  # (3, 3) @ (3, 2) -> (3, 2)
tensor([[5.7612, 2.1194],
        [1.5536, 4.2232],
        [2.1194, 5.7612]])

That is all of it; your function does these four steps:

>>> out, same = scaled_dot_product_attention(q, k, v)
>>> torch.equal(same, weights), torch.equal(out, weights @ v)
(True, True)

Now let it be empty. The two features of *it* change, the matrices don't, and *it* looks at the jug:

>>> X_empty = torch.tensor([[1.0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1]])  # (3, 4)
>>> _, other = scaled_dot_product_attention(X_empty @ W_Q, X_empty @ W_K, X_empty @ W_V)
>>> other[2]  # (3,), the weights of "it"
tensor([0.5761, 0.2119, 0.2119])

*The same with a causal mask.* A GPT reads from left to right: no token may look at what comes after
it. (There, *it* could not know of "full" yet; only a later word could put the two together. We keep
the numbers all the same.) Row i of the mask is True up to column i:

>>> mask = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])  # (3, 3)
>>> hidden = torch.where(mask, scores, -math.inf)  # (3, 3)
>>> hidden
tensor([[1., -inf, -inf],
        [0., 1., -inf],
        [1., 2., 1.]])

exp(-inf) is 0. So the jug, which sees only itself, gives itself all of its weight, and the weights
of the cup are 1/(1+e) and e/(1+e). The last row hides nothing and stays as it was:

>>> weights = hidden.softmax(-1)  # (3, 3)
>>> weights
tensor([[1.0000, 0.0000, 0.0000],
        [0.2689, 0.7311, 0.0000],
        [0.2119, 0.5761, 0.2119]])
>>> weights @ v  # (3, 3) @ (3, 2) -> (3, 2)
tensor([[10.0000,  0.0000],
        [ 2.6894,  7.3106],
        [ 2.1194,  5.7612]])
>>> out, same = scaled_dot_product_attention(q, k, v, mask)
>>> torch.equal(same, weights), torch.equal(out, weights @ v)
(True, True)

What to build
-------------
1. `attend`: one query, in NumPy, with your softmax of exercise 1. Do this one on paper first.
2. `scaled_dot_product_attention`: any number of queries, any leading dimensions, in PyTorch. The
   four steps above, and the mask between step 2 and step 3 if there is one.

Both get queries, keys and values ready-made. The three projections are built in exercise 7.

Off limits: `F.scaled_dot_product_attention`, `nn.MultiheadAttention` and what lies beneath them.
`torch.softmax` is yours to use from here on: you have built it.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=05` checks them.

- *Attention in parts.* The keys lie on P machines. Each answers the queries from its own keys, and
  says for each query what the log-sum-exp of its scores was. `merge_parts(outs, lses)` gets the
  answers (P, ..., T_q, D_v) and the log-sum-exps (P, ..., T_q), which may be huge, or -inf where a
  machine has nothing to say. It returns the answers from all keys together, (..., T_q, D_v),
  exactly. What share of the whole does a part have? (Long contexts are served in this way.)
- *Without the T^2 table.* Take another measure of fit than exp(q . k / sqrt(D)), namely
  phi(q) . phi(k) with phi(x) = elu(x) + 1, feature by feature, which is positive. Each query shares
  out its attention in proportion to it. Then the sum over the keys can be done before a query is
  known. `linear_attention(q, k, v)` returns the answers (..., T_q, D_v), in which every query sees
  every key, also where there are 250,000 of each (Katharopoulos et al. 2020, section 3.2).
- What can the softmax do that this phi can't? Try to look up one key among many.

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Self-Attention in Detail" and "Matrix Calculation of
  Self-Attention"
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 2, on multi-head and self-attention
- What are Transformer Neural Networks? (Ari Seff), the part on scaled dot-product attention
- Let's build GPT: from scratch, in code, spelled out (Andrej Karpathy), the part on self-attention
- The Annotated Transformer (Rush et al.), "Attention": the same function, beside the paper's text
- Attention Is All You Need (Vaswani et al. 2017), section 3.2.1 and its footnote 4 on the scale
- Neural Machine Translation by Jointly Learning to Align and Translate (Bahdanau et al. 2014),
  section 3.1: attention before the transformer
"""

from __future__ import annotations

import math

import torch
from numpy.typing import NDArray
from torch import Tensor

from ex01_softmax import softmax


def attend(query: NDArray, keys: NDArray, values: NDArray) -> NDArray:
    """Answer one query: the average of the values, weighted by how well each key fits.

    Args:
        query: (D,) what is looked for.
        keys: (T, D) what each of the T positions offers.
        values: (T, D_v) what each position hands over.

    Returns:
        (D_v,) the mixture of the values, with weights softmax(keys . query / sqrt(D)). The scores
        may be of any finite size; no argument is changed.

    Source: Vaswani et al. 2017, section 3.2.1, for a single query.
    """
    # Your code here. (The reference needs 3 lines.)
    raise NotImplementedError("not written yet")


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Answer many queries at once, and say where each of them looked.

    Args:
        q: (..., T_q, D) queries.
        k: (..., T_k, D) keys.
        v: (..., T_k, D_v) values.
        mask: boolean, broadcasts to (..., T_q, T_k); True means "may attend". A hidden key gets a
            weight of exactly zero, even beside visible ones whose scores are very low (-1e14). What
            a query that may attend to nothing at all gets is left open until exercise 6.

    Returns:
        out (..., T_q, D_v) and the weights (..., T_q, T_k), each row of which sums to one, for finite
        scores of any size. Both keep the dtype and the device of the inputs, and gradients flow back
        to q, k and v; no argument is changed.

    Source: Vaswani et al. 2017, equation 1.
    """
    # Your code here. (The reference needs 5 lines.)
    raise NotImplementedError("not written yet")
