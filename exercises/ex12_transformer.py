"""Exercise 12: the transformer of 2017, whole, and what it took to train it.

The picture
-----------
One half reads, the other half writes. In training, the source is "abc", and the target, which is to
be written, is "cba"::

    src (B, S)     a  b  c  EOS                tgt_in (B, T)    BOS c  b  a
      |                                          |
    src_embedding, times sqrt(D)               tgt_embedding, times sqrt(D)
      + positions                                + positions
      |  (B, S, D)                               |  (B, T, D)
    .-|-------- encoder -----------.           .-|-------- decoder -------------------.
    | self-attention: everything   |           | self-attention: itself and what is   |
    |   but padding is seen        |           |   on its left                        |
    | feed-forward                 |           | cross-attention: everything in the   |
    |   ... n_layers times         |           |   memory but padding is seen     <---+--.
    '-|----------------------------'           | feed-forward                         |  |
      |                                        |   ... n_layers times                 |  |
      v                                        '-|------------------------------------'  |
    memory (B, S, D)                             |  (B, T, D)                            |
      |                                        output: D numbers to one for each token   |
      '-- keys and values, for every layer --------------------------------------------->'
                                                 |
                                               logits (B, T, V)
                                                 |  loss: one number
                                               targets (B, T)   c  b  a  EOS

Look at the two rows on the right. They are the same sequence, and the lower one is a step ahead::

    position           0     1     2     3
    what it is given   BOS   c     b     a         tgt_in  =  shift_right(targets, bos_id)
    what it shall say  c     b     a     EOS       targets

At work there is no target. The model writes its own, one token at a time, and the memory is computed
once::

    BOS        ->  c
    BOS c      ->  b
    BOS c b    ->  a
    BOS c b a  ->  EOS, and it stops

The intuition
-------------
*Two readers.* Translate "Have you eaten yet?" into German, and the first word to write is "Hast",
because of the second to read, in a form that depends on the third. So read the whole question first,
forwards and backwards: that is the encoder, in which every position sees all others. Then write from
left to right: that is the decoder, in which none sees what has not been written. Between them is the
cross-attention of exercise 11: whoever writes may look up anything in the source at any time, in any
order. To reverse a string, say, the first position to be written looks at the last one to be read,
and so on; when yours has learned it, you can see it as a diagonal that runs the wrong way.

*Teacher forcing.* A pupil who translates aloud, and whose teacher, after each word, says what the
word should have been: then they go on from the right word, whatever the pupil said. So is the decoder
trained. Every position is given the true tokens before it, not the model's own guesses. That has two
merits: an error at the start does not spoil the rest of the lesson; and since all inputs are known in
advance, the T positions can be computed at the same time, with a causal mask between them.

*Why shift?* Position t is to say target t. If it were given target t as well, it could copy it, and
the loss would fall to nothing: the answer is printed on the exam paper. So it is given target t - 1,
and at the beginning, where nothing is before, a token of its own that says "begin": BOS. The shift
takes away the token at its own place, the causal mask takes away those to the right. Each is useless
without the other.

*The price of it.* In training every prefix is perfect. At work the prefix is what the model itself has
written, and after its first slip it stands where no lesson has ever led it: the next slip is
likelier. This mismatch is called *exposure bias*. Larger models slip less, and so suffer less.

*Greedy.* At work one takes the likeliest token, writes it down, goes on from it, and never comes
back. That is quick, and does not always find the likeliest sequence (see below). The paper keeps the
best four beginnings instead (*beam search*) and gains a little. For a task with one right answer,
greedy will do.

*Padding.* Sequences in a batch are of different lengths, and the short ones are filled up with
`pad_id` at the end. In the source, that has to be hidden from everyone who reads it: from the encoder
itself and from the cross-attention. In the target it needs no mask: it stands at the end, so what is
real can't see it anyway, and for what it says itself the loss does not ask (`ignore_index`).

The mathematics
---------------
*Size of the inputs.* What goes in is sqrt(D) * embedding + position. The entries of a fresh table are
about 0.02 (exercise 3), those of the positions about 0.7. Without the factor, the model would start
with a loud "where" and a whispered "what".

*Label smoothing* (Szegedy et al. 2016, section 7). The plain cross-entropy asks for all of the
probability on the right token, and it is never content: doubling all logits always helps. Smoothed by
s, it asks for a target distribution that keeps a share s for all V tokens alike, the right one
included::

    q(right) = 1 - s + s/V            q(any other) = s/V

    loss  =  - sum over v of q(v) log p(v)
          =  (1 - s) * (- log p(right))  +  s * (mean over v of - log p(v))

There is an end now: the loss is smallest when p = q, where the logit of the right token stands above
the others by ln(q(right) / q(other)), and no further. What is left at that point is the entropy of q,
so the loss never reaches 0. The paper says what that does: it makes perplexity worse, because the model
learns to be less sure, and the translations better (section 5.4, s = 0.1).

*Mean over what?* Over the targets that are kept, in both terms. Divide by all B*T instead, and a
sequence counts the less the more padding its batch happens to have.

*The learning rate of the paper* (section 5.3), with steps counted from 1::

    lr = D^-0.5 * min(step^-0.5,  step * warmup^-1.5)

         |        .
         |       / ' .                   two curves, and always the lower one: a line from zero,
         |      /      ' .               a root that falls. They meet at step = warmup, where
         |     /           '  .          both are (D * warmup)^-0.5.
         |    /                  '   .
         '---------------------------------
              warmup

- *Why the line?* Post-norm, as published, starts out with large gradients in the layers next to the
  loss (exercise 8). And the optimizer divides each gradient by an average of its past size; in the
  first steps there is no past worth the name, and its steps are large and ill-informed. Small steps
  do no harm until both have settled.
- *Why the root?* Later, what is left to learn is fine, and each batch points somewhere else. Smaller and
  smaller steps average that out. A root falls slowly enough never to stand still: the sum of
  1/sqrt(step) has no limit.
- *Why D^-0.5?* This optimizer (Adam, exercise 14) moves every weight by about lr, whatever the size of
  its gradient. A number in the next layer adds up D of them, so in a wide model it moves further.

By hand
-------
The targets of "cba" and of "d", the second filled up with 0, where a is 3 and BOS is 1, EOS 2:

>>> targets = torch.tensor([[5, 4, 3, 2], [6, 2, 0, 0]])
>>> shift_right(targets, bos_id=1).tolist()
[[1, 5, 4, 3], [1, 6, 2, 0]]

Ten tokens and s = 0.1: the right one should get 0.91, the others 0.01 each. The logit of the right
one then stands ln 91 = 4.51 above the others, and the loss is 0.50. Twice as sure is worse:

>>> import math
>>> round(math.log(91), 2)
4.51
>>> content, target = torch.zeros(1, 1, 10), torch.tensor([[7]])
>>> content[0, 0, 7] = math.log(91)
>>> round(label_smoothed_cross_entropy(content, target, smoothing=0.1).item(), 2)
0.5
>>> round(label_smoothed_cross_entropy(2 * content, target, smoothing=0.1).item(), 2)
0.81

Without smoothing, twice as sure is always better:

>>> [round(label_smoothed_cross_entropy(k * content, target, 0.0).item(), 4) for k in (1, 2)]
[0.0943, 0.0011]

The paper's base model has D = 512 and warms up for 4000 steps. Its largest rate is 0.0007; half-way up
it has half of that, and after four times as long half of it again:

>>> [f"{noam_lr(step, 512, 4000):.2e}" for step in (1, 2000, 4000, 16000)]
['1.75e-07', '3.49e-04', '6.99e-04', '3.49e-04']

Why greedy can miss. At first, "a" has 0.6 and "b" 0.4. After "a" the model hesitates between two words,
0.5 each; after "b" it is sure. Greedy takes "a" and ends with 0.3; the best sequence begins with "b":

>>> round(0.6 * 0.5, 2), round(0.4 * 1.0, 2)
(0.3, 0.4)

A small model of 7 tokens. Nothing in it has learned anything, and yet it keeps two promises: what
comes later in the target does not change what was said before, and padding in the source changes
nothing at all:

>>> model = Transformer(7, 7, d_model=16, n_heads=2, d_ff=32).eval()
>>> src, tgt_in = torch.tensor([[3, 4, 5, 2]]), torch.tensor([[1, 5, 4, 3]])
>>> logits = model(src, tgt_in)
>>> logits.shape
torch.Size([1, 4, 7])
>>> other = model(src, torch.tensor([[1, 5, 6, 6]]))
>>> [torch.allclose(other[:, t], logits[:, t], atol=1e-6) for t in range(4)]
[True, True, False, False]
>>> padded = torch.tensor([[3, 4, 5, 2, 0, 0, 0]])
>>> torch.allclose(model(padded, tgt_in), logits, atol=1e-6)
True

The parameters. An attention has 4 D^2 + 4 D, a feed-forward network 2 D F + F + D, a norm 2 D. An
encoder layer is one attention, one network, two norms; a decoder layer two, one, three:

>>> D, F, V = 16, 32, 7
>>> attention, network, norm = 4 * D**2 + 4 * D, 2 * D * F + F + D, 2 * D
>>> layers = 2 * (attention + network + 2 * norm) + 2 * (2 * attention + network + 3 * norm)
>>> layers + 2 * V * D + D * V + V, sum(p.numel() for p in model.parameters())
(11479, 11479)

What to build
-------------
1. `shift_right`: what the decoder is given.
2. `label_smoothed_cross_entropy`: how wrong its answers are. Start from the log-probabilities; you
   have seen how to get them without overflow in exercise 1.
3. `noam_lr`: how large the steps are.
4. `Transformer`: two embeddings, positions, the encoder, the decoder, an output layer, and the two
   masks. Both halves share nothing but the positions, which hold no parameters.
5. `greedy_decode`: at work.

Off limits: `F.cross_entropy` and `nn.CrossEntropyLoss` (this once: from exercise 13 on they are
yours, you have built them twice), and `nn.Transformer` with all its parts, as before.

Then let it learn: `make train TASK=reverse` teaches your model to reverse strings it has never seen,
in about a minute, and `make sample PROMPT=hello` shows what it makes of a word of yours and where it
looked.

See it again
------------
- The Illustrated Transformer (Jay Alammar): "The Decoder Side", "The Final Linear and Softmax Layer",
  "Recap Of Training" and "The Loss Function", which ends with greedy decoding and beam search
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 3: the decoder, and how training
  differs from use
- What are Transformer Neural Networks? (Ari Seff): once more from the beginning, it is all there now
- Attention Is All You Need (Vaswani et al. 2017), figure 1, sections 3.1, 3.4, 5.3 and 5.4
- Rethinking the Inception Architecture (Szegedy et al. 2016), section 7: label smoothing; When Does
  Label Smoothing Help? (Müller et al. 2019)
- On Layer Normalization in the Transformer Architecture (Xiong et al. 2020): why post-norm needs its
  warm-up; On the Variance of the Adaptive Learning Rate (Liu et al. 2020): the optimizer's share in it
- Scheduled Sampling (Bengio et al. 2015), section 1: the trouble with teacher forcing
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .ex03_embeddings import TokenEmbedding
from .ex04_positions import SinusoidalPositions
from .ex06_masks import causal_mask
from .ex10_encoder import Encoder
from .ex11_decoder import Decoder


def shift_right(targets: Tensor, bos_id: int) -> Tensor:
    """Make what the decoder is given from what it shall say: one step behind, BOS in front.

    Args:
        targets: (B, T) token ids, T at least 1; left as they are.
        bos_id: the token that begins every sequence.

    Returns:
        (B, T) in the dtype and on the device of `targets`: column 0 is `bos_id`, column t is column
        t - 1 of the targets. Their last column drops out.

    Source: Vaswani et al. 2017, section 3.1 ("offset by one position") and figure 1.
    """
    # Your code here. (The reference needs 2 lines.)
    raise NotImplementedError("not written yet")


def label_smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, smoothing: float = 0.1, ignore_index: int | None = None
) -> Tensor:
    """Measure how far the predictions are from targets that leave every token a little probability.

    Args:
        logits: (B, T, V) scores of any size.
        targets: (B, T) the right tokens, int64 from 0 to V-1; left as they are.
        smoothing: s, the share of the target distribution that all V tokens have alike; 0 gives the
            plain cross-entropy. A token that is ignored as a target still has its share of it.
        ignore_index: a token (or a number outside the vocabulary, such as -100) whose places do not
            count; None counts all. What comes out when nothing is kept is left open.

    Returns:
        A scalar in the dtype of the logits and on their device, in nats: the mean over the targets that
        are kept. Differentiable; the logits at places that are ignored get a gradient of zero.

    Raises:
        ValueError: `smoothing` lies outside 0..1, or a target that is kept outside 0..V-1; the message
            names the value.

    Source: Szegedy et al. 2016, section 7; Vaswani et al. 2017, section 5.4.
    """
    # Your code here. (The reference needs 12 lines.)
    raise NotImplementedError("not written yet")


def noam_lr(step: int, d_model: int, warmup: int) -> float:
    """The learning rate of the original transformer: a line up, then down with the root of the steps.

    (It is named after Noam Shazeer, the paper's second author.)

    Args:
        step: from 1 on.
        d_model: D, the width of the model.
        warmup: how many steps the line takes, at least 1.

    Returns:
        d_model^-0.5 * min(step^-0.5, step * warmup^-1.5).

    Raises:
        ValueError: `step` is below 1; the message names the value.

    Source: Vaswani et al. 2017, section 5.3, equation 3.
    """
    # Your code here. (The reference needs 3 lines.)
    raise NotImplementedError("not written yet")


class Transformer(nn.Module):
    """Encoder and decoder: read one sequence, write another.

    Args:
        src_vocab, tgt_vocab: how many different tokens there are on either side.
        d_model: D, the width of everything; even, and a multiple of `n_heads`.
        n_heads: H, the heads of each attention.
        n_layers: the layers of the encoder, and of the decoder.
        d_ff: F, the inner width of the feed-forward networks.
        max_len: the longest sequence, on either side.
        dropout: the probability that a number is dropped in training, in all layers of both stacks.
            Whether it also acts on the embeddings with their positions, as in the paper, is left open.
        pad_id: the token that short sequences are filled up with, at their end.

    Attributes:
        src_embedding, tgt_embedding: a `TokenEmbedding` each, scaled.
        positions: `SinusoidalPositions`, for both sides.
        encoder, decoder: an `Encoder` and a `Decoder`, post-norm as published.
        output: `nn.Linear` with bias, from D to `tgt_vocab`. Nothing is tied: the two tables and this
            layer have weights of their own. (The paper shares all three; its two languages have one
            vocabulary.)
        pad_id: as given.

    Raises:
        ValueError: `d_model` is odd or not divisible by `n_heads`, or `dropout` lies outside 0..1; the
            message names the value. (The parts see to it.)

    Source: Vaswani et al. 2017, section 3 and figure 1.
    """

    def __init__(
        self,
        src_vocab: int,
        tgt_vocab: int,
        d_model: int = 128,
        n_heads: int = 4,
        n_layers: int = 2,
        d_ff: int = 512,
        max_len: int = 128,
        dropout: float = 0.0,
        pad_id: int = 0,
    ) -> None:
        super().__init__()
        # Your code here. (The reference needs 8 lines.)
        raise NotImplementedError("not written yet")

    def encode(self, src: Tensor) -> Tensor:
        """Read the source.

        Args:
            src: (B, S) token ids, filled up with `pad_id` at the end, up to `max_len` long.

        Returns:
            The memory (B, S, D). No position has looked at padding; what stands at padded positions
            itself does not matter, since nobody looks at it.

        Raises:
            ValueError: S is beyond `max_len`, or an id outside 0..src_vocab-1; the message names the
                length or the id. (The parts see to it.)
        """
        # Your code here. (The reference needs 3 lines.)
        raise NotImplementedError("not written yet")

    def decode(self, tgt_in: Tensor, memory: Tensor, src: Tensor) -> Tensor:
        """Say at each position of the target what comes next.

        Args:
            tgt_in: (B, T) token ids, up to `max_len` long: BOS and what has been written so far.
            memory: (B, S, D) what `encode` made of the source.
            src: (B, S) the source itself, to see where it is padding.

        Returns:
            Logits (B, T, tgt_vocab), finite even for a source of nothing but padding. Those of position
            t depend on columns 0 to t of `tgt_in` and on the memory where the source is no padding, and
            on nothing else. They are on the device of the tokens.

        Raises:
            ValueError: T is beyond `max_len`, or an id outside 0..tgt_vocab-1; the message names the
                length or the id. (The parts see to it.)
        """
        # Your code here. (The reference needs 4 lines.)
        raise NotImplementedError("not written yet")

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        """Read the source, and say at each position of the target what comes next.

        Args:
            src: (B, S) as in `encode`.
            tgt_in: (B, T) as in `decode`; in training `shift_right(targets, bos_id)`.

        Returns:
            Logits (B, T, tgt_vocab).
        """
        # Your code here. (The reference needs 1 line.)
        raise NotImplementedError("not written yet")


def greedy_decode(model: nn.Module, src: Tensor, bos_id: int, eos_id: int, max_len: int) -> Tensor:
    """Write the target token by token, each time the likeliest, until EOS.

    Args:
        model: a `Transformer`; what is asked of it are `encode` and `decode` (or a call, which is
            slower) and its `pad_id`. It runs in evaluation mode and without building a graph, and is
            left in the mode it was found in.
        src: (B, S) the sources, filled up with `model.pad_id`; left as they are.
        bos_id: the token to begin with.
        eos_id: the token that ends a sequence.
        max_len: how many tokens to write at most.

    Returns:
        (B, L) int64, on the device of `src`, L at most `max_len`: what was written, without the BOS. An
        EOS that was written stays; after it each row is filled up with `model.pad_id`, whatever the
        model says there. Once every row has its EOS, stopping and going on to `max_len` are both
        right.
    """
    # Your code here. (The reference needs 15 lines.)
    raise NotImplementedError("not written yet")
