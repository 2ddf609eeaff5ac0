"""Exercise 1: softmax and cross-entropy: from scores to probabilities, and from those to a loss.

The picture
-----------
A language model reads some tokens (pieces of text, each one of V in its *vocabulary*) and guesses
the next one; here N guesses are made at once. For each, it outputs a row of *logits*: one score
for each token of the vocabulary, any real number. The softmax turns a row of scores into
probabilities. The *loss* asks only one thing of them: what probability did the *target* get, the
token that really came next? ::

     logits            probabilities          probability of    surprise    loss       perplexity
     (N, V)            (N, V)                 the target (N,)   (N,)        float      float

   [ 2  1  0 ]       [ .67  .24  .09 ]        target 0: .67      0.41  --.
               -- softmax -->           -- pick -->      -- -log -->      mean 0.75 -- exp --> 2.12
   [ 0  0  0 ]       [ .33  .33  .33 ]        target 2: .33      1.10  --'

     any numbers       each ROW sums to 1

The intuition
-------------
*Why exp?* Probabilities must be positive and sum to one, and a higher score must mean a higher
probability. Dividing scores by their sum fails as soon as one is negative. The exponential makes
every number positive, keeps the order, and gives differences a meaning: a token that is ahead by 1
is e = 2.72 times as likely, whether the scores are 1 and 0 or 101 and 100. So a logit is the
logarithm of a probability, up to a constant that nobody needs to know. The same formula tells a
physicist how likely a molecule is to be in a state of a given energy (Boltzmann's distribution).

*Why "soft max"?* The argmax gives everything to the highest score. Change any score a little, and
as a rule the result does not change at all: its gradient is zero, so nothing can be learned through
it. The softmax gives most to the highest and something to all. How much "most" is depends on how
far apart the scores are. Dividing them by a *temperature* below 1 spreads them out and sharpens the
distribution; above 1 it flattens it. You will meet that twice: as the sqrt(D) of attention
(exercise 5) and as the knob for sampling text (exercise 15).

*Why -log?* It measures surprise. What was certain (probability 1) surprises by 0. The rarer an
event, the more it surprises, without bound. And the surprises of two independent events add up
while their probabilities multiply: only a logarithm does that. *Cross-entropy* is the mean surprise
at what really came. It forgives a model for not knowing, and punishes it hard for being sure and
wrong: if something happens that was given a probability of zero, the loss is infinite.

*Why perplexity?* A mean surprise, measured in *nats* (natural logarithms), says little to most
people. Undo the logarithm and it does: a perplexity of 10 means as unsure as somebody who picks one
of 10 equally likely tokens. A model that knows nothing, and gives all V tokens the same
probability, has a perplexity of V, so its loss is ln V. That is the first number to check when you
train one (exercise 14).

The mathematics
---------------
Along one axis::

    softmax(x)_i = exp(x_i) / sum_j exp(x_j)

**Why subtract the maximum?** In float64, exp(710) is infinite; in float32, exp(89) is. Then
infinity / infinity gives NaN. And if all scores are very negative, every exp is zero, and 0 / 0 is
NaN as well. But adding the same c to all scores changes nothing, since exp(c) cancels::

    exp(x_i + c) / sum_j exp(x_j + c) = exp(c) exp(x_i) / (exp(c) sum_j exp(x_j)) = softmax(x)_i

So choose c = -max(x), one for each row. Then the largest exponent is 0, nothing overflows, and the
sum lies between 1 and the number of terms: it is never zero. Small terms may vanish, as they
should. A score of -inf, a token that is ruled out, gets exactly 0; exercises 5 and 6 will need
that.

**Why a separate log_softmax?** A probability of exp(-800) is stored as 0, and log(0) is -inf,
although the answer is simply -800. Take the logarithm on paper instead, and the division becomes a
subtraction::

    log softmax(x)_i = x_i - lse(x),     lse(x) = log sum_j exp(x_j)         ("log-sum-exp")
                                                = m + log sum_j exp(x_j - m),    m = max(x)

Adding a small constant inside the logarithm would hide the -inf, but it gives wrong losses, and it
takes away the gradient exactly where the model is most wrong.

(Log-sum-exp is the real "soft maximum": m <= lse(x) <= m + log n for n scores.)

**Cross-entropy** for N rows of logits z and targets t. Rows with t = ignore_index are left out, of
the sum and of N alike. (*Padding*, say: filler tokens that make short sequences as long as the
others.) ::

    loss = -(1/N) sum_n log softmax(z_n)[t_n]
    perplexity = exp(loss)

**Its gradient** says how the loss changes with each logit, and it is as simple as a gradient can
be. For one row, loss = lse(z) - z_t, and the derivative of lse(z) with respect to z_j is exp(z_j) /
sum_i exp(z_i), which is the probability p_j itself. So::

    d loss / d z_j = p_j - y_j        y: 1 at the target, 0 elsewhere

What was predicted minus what happened. The target's score is pushed up by however far its p falls
short of 1, the others are pushed down, each by the probability that it took. No entry ever exceeds
1, and they fade only when the prediction is right: a model that is sure and wrong still learns at
full speed. (With the squared error (1 - p_t)^2 instead of -log p_t, the gradient gets an extra
factor p_t and all but vanishes there.)

By hand
-------
Scores of ln 1, ln 2 and ln 5: their exponentials are 1, 2 and 5, the sum is 8, so the probabilities
are 1/8, 2/8 and 5/8.

>>> scores = np.log(np.array([1.0, 2.0, 5.0]))
>>> softmax(scores).round(3)
array([0.125, 0.25 , 0.625])

Add 1000 to each: the same probabilities, although exp(1000) is infinite. Half the temperature
squares the ratios: 1 to 4 to 25, of 30.

>>> softmax(scores + 1000.0).round(3)
array([0.125, 0.25 , 0.625])
>>> softmax(scores / 0.5).round(3)
array([0.033, 0.133, 0.833])

If token 1 came, which had a probability of 1/4, the surprise is ln 4 = 1.386. The perplexity is 4:
as if one of four equally likely tokens had come.

>>> one_row = scores[np.newaxis]
>>> round(cross_entropy(one_row, np.array([1])), 3)
1.386
>>> round(perplexity(one_row, np.array([1])), 3)
4.0

The picture above, number by number; then with the second row left out, as if it were padding:

>>> logits = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
>>> softmax(logits).round(2)
array([[0.67, 0.24, 0.09],
       [0.33, 0.33, 0.33]])
>>> (-log_softmax(logits)[[0, 1], [0, 2]]).round(2)
array([0.41, 1.1 ])
>>> targets = np.array([0, 2])
>>> round(cross_entropy(logits, targets), 2), round(perplexity(logits, targets), 2)
(0.75, 2.12)
>>> round(cross_entropy(logits, targets, ignore_index=2), 2)
0.41

Where log(softmax(x)) would say -inf:

>>> log_softmax(np.array([0.0, -800.0]))
array([   0., -800.])

The limits of the exponential:

>>> with np.errstate(over="ignore"):
...     print(np.exp(710.0), np.exp(np.float32(89.0)), np.exp(-800.0))
inf inf 0.0

And the gradient p - y for target 1, first by the formula, then by nudging each score a little:

>>> softmax(scores) - np.array([0.0, 1.0, 0.0])
array([ 0.125, -0.75 ,  0.625])
>>> before = cross_entropy(one_row, np.array([1]))
>>> nudged = [cross_entropy(one_row + nudge, np.array([1])) for nudge in 1e-6 * np.eye(3)]
>>> ((np.array(nudged) - before) / 1e-6).round(3)
array([ 0.125, -0.75 ,  0.625])

What to build
-------------
1. `softmax`: along any axis, for any finite scores, with -inf for what is ruled out.
2. `log_softmax`: the same in log space, without taking the logarithm of a softmax.
3. `cross_entropy`: one number for N predictions, some of which may not count.
4. `perplexity`: one line.

NumPy only. Off limits: PyTorch, and `scipy.special` (softmax, log_softmax, logsumexp).

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=01` checks them.

- *How undecided?* exp(entropy) of a distribution, with the entropy -sum p log p in nats, says among
  how many equally likely tokens one might as well choose. `temperature_for(scores, choices)` gets
  scores (V,), no two of them equal, close together or far apart, and a number with 1 < choices < V.
  It returns the temperature T > 0, a float, at which exp(entropy) of softmax(scores / T) is
  `choices`. No formula gives it, but exp(entropy) rises with T, so you can close in on it.
- *A loss without the table.* With a large vocabulary, the logits (N, V) need more memory than all
  else. `chunked_cross_entropy(chunks, targets)` returns what `cross_entropy` does, a float, for
  targets (N,) that all count, but the logits come as an iterator over groups of columns, (N, V_0),
  (N, V_1) and so on. Each group stands in the memory of the one before, so keep none. Carry along
  for each row what you need of it; the scores may be huge.
- How close does the loss of a model with temperature 1 come to the best one over all temperatures?
  Which of the two would you report?

See it again
------------
- The Illustrated Transformer (Jay Alammar), "The Final Linear and Softmax Layer" and "The Loss
  Function"
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 2: the softmax inside attention
- What are Transformer Neural Networks? (Ari Seff), the part on scaled dot-product attention
- Attention Is All You Need (Vaswani et al. 2017), section 3.4 (softmax) and table 3 (perplexity)
- Let's build GPT: from scratch, in code, spelled out (Andrej Karpathy), the bigram model: logits,
  cross-entropy, and the first loss compared with ln V
- Deep Learning (Goodfellow, Bengio, Courville 2016), section 4.1 on overflow and underflow, 6.2.2.3
  on softmax units
- A Mathematical Theory of Communication (Shannon 1948), section 6: choice, uncertainty and entropy
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def softmax(x: NDArray, axis: int = -1) -> NDArray:
    """Turn scores into probabilities that are positive and sum to one along `axis`.

    Args:
        x: scores of any shape, finite or -inf (which gets a probability of exactly 0). The result
            for a row that is -inf throughout is left open.
        axis: the axis along which the probabilities sum to one.

    Returns:
        An array of the shape and dtype of x (float64 if x holds integers), however large, small
        or far apart the scores are. x is left as it was.

    Source: Bridle 1990, which gave the softmax its name.
    """
    # Your code here. (The reference needs 3 lines.)
    raise NotImplementedError("not written yet")


def log_softmax(x: NDArray, axis: int = -1) -> NDArray:
    """The logarithm of `softmax(x, axis)`, accurate even where the softmax itself is stored as 0.

    Args:
        x: scores of any shape, finite or -inf (which stays -inf).
        axis: the axis along which the probabilities sum to one.

    Returns:
        An array of the shape and dtype of x (float64 if x holds integers), at most 0 everywhere.
        x is left as it was.

    Source: Goodfellow et al. 2016, section 4.1.
    """
    # Your code here. (The reference needs 2 lines.)
    raise NotImplementedError("not written yet")


def cross_entropy(logits: NDArray, targets: NDArray, ignore_index: int | None = None) -> float:
    """The mean surprise, in nats, at the tokens that really came, given the model's logits.

    Args:
        logits: (N, V) one row of scores for each prediction.
        targets: (N,) integers in 0..V-1, the token that came; or `ignore_index`.
        ignore_index: rows with this target do not count, neither in the sum nor in the mean. It
            may be an id of the vocabulary (the padding token) or not (-100, say). With None all
            rows count.

    Returns:
        The mean of -log softmax(logits)[target] over the rows that count, as a Python float; 0.0 if
        none does. Both arguments are left as they were.

    Raises:
        ValueError: a target that counts is outside 0..V-1; the message names that target.

    Source: Goodfellow et al. 2016, section 6.2.2.3.
    """
    # Your code here. (The reference needs 11 lines.)
    raise NotImplementedError("not written yet")


def perplexity(logits: NDArray, targets: NDArray, ignore_index: int | None = None) -> float:
    """The number of equally likely tokens among which the model might as well have chosen.

    Args:
        logits: (N, V), as for `cross_entropy`.
        targets: (N,), as for `cross_entropy`.
        ignore_index: as for `cross_entropy`.

    Returns:
        exp(cross-entropy), a Python float of at least 1; 1.0 if no row counts.

    Raises:
        ValueError: as `cross_entropy`.

    Source: Jelinek et al. 1977, who introduced it as a measure of difficulty.
    """
    # Your code here. (The reference needs 1 line.)
    raise NotImplementedError("not written yet")
