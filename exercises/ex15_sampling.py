"""Exercise 15: sampling, or how a table of probabilities becomes a text.

The picture
-----------
A language model does not write. It is given some tokens and says how likely each token of the
vocabulary is to come next. Writing is a loop around it: ask, choose, append, ask again. That is
what *autoregressive* means (exercise 6)::

      ids (B, T) <------------------------------------------------ append: (B, T+1) <--.
          |                                                                            |
          v  only the last context_length of them                                      |
        model                                                                          |
          |                                                                            |
          v  logits (B, T, V): of the T rows, only the last one is about the future    |
        last row (B, V)                                                                |
          |                                                                            |
      / temperature     sharper or flatter         2.0   1.0   0.0  -1.0    (1.0)      |
          |                                                                            |
        top-k           drop all but the k best    2.0   1.0   0.0  -inf    (k = 3)    |
          |                                                                            |
        softmax         probabilities              0.67  0.24  0.09  0                 |
          |                                                                            |
        top-p           drop the tail, and let     0.73  0.27  0     0      (p = 0.8)  |
          |             the rest sum to one                                            |
          v                                                                            |
        draw one token per row (B, 1) -------------------------------------------------'

The intuition
-------------
Why not simply take the most likely token every time? That is called *greedy* decoding. For a
question with one right answer it is what you want. For a text it is a trap. The choice depends on
nothing but the tokens in the window, so as soon as the same window comes up a second time, the same
continuation must follow, and the text repeats itself for ever. Long before that, the text is dull:
people do not write the most likely thing at every step, or nobody would need to read it.

Why not simply draw from the probabilities as they are? They have a long tail: each of the many
tokens that make no sense here has a tiny probability, but there are thousands of them. Say that the
tail holds 5 % in all: then a text of 100 tokens is almost sure (99.4 %) to pick from it at least
once, and the model has to go on from there, further and further from anything it has seen in
training.

Temperature, top-k and top-p are three compromises between the two. Temperature is one knob for all
tokens. Top-k cuts the tail off after a fixed *number* of tokens. Top-p, or nucleus sampling, cuts
it off after a fixed *probability*; what stays is called the nucleus. Where the model is sure, the
nucleus is one token; where many continuations are good, it is many. No single k does both: k = 2 is
one too many after "New Yor", and far too few after "I am".

The mathematics
---------------
Temperature t divides the logits z before the softmax::

    p_i  =  exp(z_i / t) / sum_j exp(z_j / t)        so        p_i / p_j  =  exp((z_i - z_j) / t)

The ratio between two tokens is raised to the power 1/t: t = 1/2 squares it, t = 2 takes its root.
As t goes to 0 the best token takes all; at t = 0 the formula would divide by zero, so 0 is
*defined* as that limit: greedy. As t grows, all tokens become equally likely. The order of the
tokens never changes.

Top-k keeps the k largest and gives the others a logit of minus infinity, so that the softmax
divides the whole 1 among the tokens that are left.

Top-p sorts the probabilities in descending order and keeps the smallest set of the first ones whose
sum *reaches* p::

    p_(1) + ... + p_(n-1)  <  p  <=  p_(1) + ... + p_(n)          keep (1) ... (n), n >= 1

The token that crosses the line stays, otherwise the set would not reach p. The first one always
stays, even for p = 0, otherwise there would be nothing left to draw. Look at the left side: token
(n) stays if what comes *before* it has not reached p yet. What is kept is divided by its sum.

The order is part of the definition. The temperature comes first, since it changes the probabilities
on which the nucleus depends; top-p comes last, and it works on the probabilities that top-k has
left, *after* they have been made to sum to one again. (Top-k would keep the same tokens at any
temperature.)

By hand
-------
The chance that 100 draws in a row avoid a tail of 5 % is 0.95 to the power 100:

>>> round(1 - 0.95**100, 3)
0.994

Three tokens with the logits 2, 1 and 0. Neighbours differ by 1, so each is exp(1/t) times as likely
as the next. For t = 1, 1/2 and 2 that is

>>> import math
>>> [round(math.exp(1 / t), 2) for t in (1, 0.5, 2)]
[2.72, 7.39, 1.65]

>>> import torch
>>> logits = torch.tensor([[2.0, 1.0, 0.0]])
>>> next_token_probs(logits).round(decimals=2)
tensor([[0.6700, 0.2400, 0.0900]])
>>> next_token_probs(logits, temperature=0.5).round(decimals=2)
tensor([[0.8700, 0.1200, 0.0200]])
>>> next_token_probs(logits, temperature=2.0).round(decimals=2)
tensor([[0.5100, 0.3100, 0.1900]])
>>> next_token_probs(logits, temperature=0.0)
tensor([[1., 0., 0.]])

Four tokens with the probabilities 0.5, 0.3, 0.15 and 0.05. For top_p = 0.7 the first is not enough,
and the second crosses the line. It stays, and 0.5 and 0.3 are divided by their sum, 0.8:

>>> logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
>>> next_token_probs(logits, top_p=0.7).round(decimals=3)
tensor([[0.6250, 0.3750, 0.0000, 0.0000]])

Now both cuts. Of the two tokens that top_k = 2 leaves, the first has 0.625, which reaches 0.6.
Without the top-k it has 0.5, which does not:

>>> next_token_probs(logits, top_k=2, top_p=0.6).round(decimals=3)
tensor([[1., 0., 0., 0.]])
>>> next_token_probs(logits, top_p=0.6).round(decimals=3)
tensor([[0.6250, 0.3750, 0.0000, 0.0000]])

The numbers of the picture:

>>> logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
>>> next_token_probs(logits, top_k=3).round(decimals=2)
tensor([[0.6700, 0.2400, 0.0900, 0.0000]])
>>> next_token_probs(logits, top_k=3, top_p=0.8).round(decimals=2)
tensor([[0.7300, 0.2700, 0.0000, 0.0000]])

And the circle. This "model" is a table: given a word, the probabilities of the next one. After
"the" comes "cat" with 0.6 and "mat" with 0.4, and every other word has one successor. The greedy
text never reaches the mat, although four draws in ten would take it there:

>>> from types import SimpleNamespace
>>> words = ["the", "cat", "sat", "on", "mat"]
>>> table = torch.zeros(5, 5)
>>> table[0, 1], table[0, 4] = 0.6, 0.4
>>> table[1, 2] = table[2, 3] = table[3, 0] = table[4, 0] = 1.0
>>> class Bigrams(torch.nn.Module):
...     config = SimpleNamespace(context_length=1)
...     def forward(self, ids):
...         return table[ids].log(), None  # logits (B, T, V), and no loss
>>> ids = generate(Bigrams(), torch.tensor([[0]]), 9, temperature=0.0)
>>> " ".join(words[i] for i in ids[0].tolist())
'the cat sat on the cat sat on the cat'

What to build
-------------
1. `next_token_probs`: from the logits of one step to the probabilities that are drawn from. Do it
   in four stages, in the order of the picture, and check each against the numbers above.
2. `generate`: the loop. Five things can go wrong in it, most of them without an error message: the
   text that has grown past the context length (keep its *end*), the row of the logits (the last),
   dropout that is still on, a graph that grows with every token, and a model that is not put back
   into the mode that it was in.

`torch.multinomial(probs, 1, generator=generator)` draws one index from each row of probabilities;
`sort` and `topk` return values and the places where they stood. What was off limits before still
is; nothing new is. Every step runs the model on the whole window again, although only one token is
new: a cache of keys and values (exercise 17) fixes that.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=15` checks them.

- *A cut that moves.* `min_p_probs(logits, min_p, temperature=1.0)` gets logits (B, V) and returns
  the probabilities (B, V) to draw from: of softmax(logits / temperature), those tokens are kept
  whose probability is at least `min_p` times that of the most likely one in their row, and what is
  kept is renormalised. Logits may be -inf or huge; 0 <= min_p <= 1, and the temperature is
  positive. Where does it keep more than top-p does, and where less?
- *A small model drafts, a large one decides.* Speculative sampling (Leviathan et al. 2023) draws a
  token from the probabilities q of a small, fast model, accepts it by chance, and if it does not,
  draws another from a third distribution, so that what comes out follows the probabilities p of the
  large model exactly. `accept_and_correct(p, q)` gets both, (..., V), and returns a pair: for each
  token the probability (..., V) with which it is accepted, min(1, p / q), and 1 where q is 0; and
  the distribution (..., V) that is drawn from otherwise, max(0, p - q), renormalised. Where p and q
  are equal, nothing is ever drawn from it: there it is p, and never NaN. Put the two steps together
  on paper, and show that token i comes out with probability p_i.

See it again
------------
- The Illustrated GPT-2 (Jay Alammar), "Looking Inside GPT-2" and "Model Output": the loop, and
  top-k
- The Illustrated Transformer (Jay Alammar), "The Final Linear and Softmax Layer", and the end of
  "The Loss Function": greedy decoding and beam search
- Let's build GPT (Andrej Karpathy), `generate`: the same loop without the three knobs
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 3: the decoder, one token at a time
- What are Transformer Neural Networks? (Ari Seff), the part on the decoder and its output
- The Curious Case of Neural Text Degeneration (Holtzman et al. 2020): loops, tails and the nucleus
- Hierarchical Neural Story Generation (Fan et al. 2018): the paper that made top-k popular
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def next_token_probs(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Turn the logits of one step into the probabilities that the next token is drawn from.

    Args:
        logits: (B, V) one row of scores for each text; -inf marks a token that must never be drawn.
        temperature: what the logits are divided by; 0 puts everything on the most likely token. If
            several tokens tie for it, one of them gets everything; which one is left open.
        top_k: keep the k most likely tokens only; None, and a k beyond V, keep them all. If several
            tokens tie for place k, it is left open which of them stay.
        top_p: of what top-k has left, renormalized, keep the smallest set of most likely tokens
            that reaches this probability. The token that crosses it stays, and the most likely one
            always; whether those stay that tie with the last one kept is left open. None keeps all.

    Returns:
        (B, V) probabilities: each row sums to one, a token that was cut has exactly zero. They keep
        the dtype and the device of the logits, which are not changed.

    Raises:
        ValueError: `temperature` is negative, `top_k` below 1 or `top_p` outside 0..1; the message
            names the value.

    Source: Holtzman et al. 2020, section 3 (nucleus, top-k and temperature).
    """
    # Your code here. (The reference needs 23 lines.)
    raise NotImplementedError("not written yet")


def generate(
    model: nn.Module,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Continue each text by tokens drawn one at a time from `next_token_probs`.

    Args:
        model: `model(ids)` gives (logits (B, T, V), loss), as the GPT of exercise 13 does, for T up
            to `model.config.context_length`.
        ids: (B, T) the prompts, int64, one a row, at least one token long; T may exceed the context
            length.
        max_new_tokens: how many tokens to append to each row; 0 or more.
        temperature, top_k, top_p: as in `next_token_probs`.
        generator: the source of randomness, on the device of the model; PyTorch's global one if
            None. The same state of the generator gives the same text.

    Returns:
        (B, T + max_new_tokens) the prompts, whole, and what follows, int64. `ids` is not changed.
        The model runs in evaluation mode and without building a graph, and is left in the mode it
        was found in.

    Raises:
        ValueError: as `next_token_probs`.
    """
    # Your code here. (The reference needs 13 lines.)
    raise NotImplementedError("not written yet")
