"""Exercise 12: the transformer of 2017, whole, and what it took to train it.

The picture
-----------
One half reads, the other half writes. Here the source is "abc", and the target, which is to be
written, is "cba". Two special tokens mark the ends of a sequence: BOS its beginning, EOS its end::

    src (B, S)     a  b  c  EOS                tgt_in (B, T)    BOS c  b  a
      |                                          |
    src_embedding, times sqrt(D)               tgt_embedding, times sqrt(D)
      + positions                                + positions
      |  (B, S, D)                               |  (B, T, D)
    .-|-------- encoder -----------.           .-|-------- decoder ------------------.
    | self-attention: everything   |           | self-attention: itself and what is  |
    |   but padding is seen        |           |   on its left                       |
    | feed-forward                 |           | cross-attention: everything in the  |
    |   ... n_layers times         |           |   memory but padding is seen    <---+--.
    '-|----------------------------'           | feed-forward                        |  |
      |                                        |   ... n_layers times                |  |
      v                                        '-|-----------------------------------'  |
    memory (B, S, D)                             |  (B, T, D)                           |
      |                                        output: one score for each token         |
      '-- keys and values, for every layer ------|------------------------------------->'
                                                 |
                                               logits (B, T, V)
                                                 |  loss: one number
                                               targets (B, T)   c  b  a  EOS

Look at the two rows on the right. They are the same sequence, one step apart::

    position             0     1     2     3
    what it is given     BOS   c     b     a         tgt_in  =  shift_right(targets, bos_id)
    what it should say   c     b     a     EOS       targets

When the trained model is used (this is called *inference*), there is no target. The model writes
its own, one token at a time, and each token becomes input for the next (it is autoregressive). The
memory is computed once::

    BOS        ->  c
    BOS c      ->  b
    BOS c b    ->  a
    BOS c b a  ->  EOS, and it stops

The intuition
-------------
*Two halves.* Translate "Have you eaten?" into German, and the answer is "Hast du gegessen?". The
first word to write depends on the whole question: "eaten" decides which verb it is ("haben", not
"sein"), and "you" decides its form ("hast", not "hat"). So read the whole question first, in both
directions: that is the encoder, in which every position sees all others. Then write from left to
right: that is the decoder, in which no position sees what has not been written. The cross-attention
of exercise 11 connects them: at every step of the writing, any place in the source can be looked
up. To reverse a string, the first position to be written looks at the last one to be read, and so
on. When your model has learned it, the weights of its cross-attention show that as a diagonal that
runs the wrong way.

*Teacher forcing.* Imagine a pupil who translates aloud, and a teacher who says after each word what
it should have been. The pupil goes on from the right word, whatever they said. This is how the
decoder is trained: every position is given the true tokens before it, not the model's own
predictions. That has two merits. An error at the start does not spoil the rest of the example; and
since all inputs are known in advance, the T positions can be computed in parallel, with a causal
mask between them.

*Why shift?* Position t has to predict target t. If target t were also its input, it could copy it,
as it could copy the future in exercise 6. So its input is target t - 1; and at position 0, where
nothing comes before, it is a special token that says "begin": BOS. The shift removes the token at
its own place, the causal mask hides those to the right. Each is useless without the other.

*The price.* In training every prefix is perfect. At inference the prefix is what the model itself
has written, and after its first slip it is in a situation that no training example has shown: the
next slip becomes more likely. This mismatch is called *exposure bias*.

*Greedy decoding.* At inference, take the most probable token, append it, and go on; never go back.
That is quick, and does not always find the most probable sequence (see below). The paper keeps the
best four beginnings instead (*beam search*, section 6.1), which usually gains a little. For a task
with one right answer, greedy will do.

*Padding.* The sequences in a batch have different lengths; the short ones are filled up with
`pad_id` at the end. In the source, padding has to be hidden wherever the source is read: by the
encoder itself and by the cross-attention. In the target it needs no mask: it comes last, so real
positions can't see it anyway, and the loss leaves out what its own positions predict
(`ignore_index`).

The mathematics
---------------
*The inputs.* What goes in is sqrt(D) * embedding + position. The entries of a new table have a size
of about 0.02 (exercise 3), those of the positions of about 0.71. Without the factor, the model
would start with a loud "where" and a whispered "what". With it, tokens have 0.45 against 0.71 in
the paper's base model (D = 512), and 0.23 at the default D = 128 of this exercise: still the
quieter part, but one that can be heard, and training does the rest.

*What is shared.* The paper has one vocabulary for both languages, and uses one matrix for three
jobs: source embedding, target embedding, and output layer (section 3.4). Here the two sides have
vocabularies of their own, and nothing is tied: three matrices. Tying returns in exercise 13.

*Label smoothing* (Szegedy et al. 2016, section 7). The plain cross-entropy asks for all of the
probability on the right token, and once that token is ahead, it is never content: doubling all
logits brings the loss closer to 0, however large they are. Label smoothing by s asks for a target
distribution that spreads a probability of s evenly over all V tokens, the right one included::

    q(right) = 1 - s + s/V            q(any other) = s/V

    loss  =  - sum over v of q(v) log p(v)
          =  (1 - s) * (- log p(right))  +  s * (mean over v of - log p(v))

Now there is a best answer: the loss is smallest when p = q, where the logit of the right token is
above the others by ln(q(right) / q(other)), and no more. What is left at that point is the
*entropy* of q, - sum over v of q(v) log q(v), so the loss never reaches 0. The paper says what this
does: it hurts perplexity, because the model learns to be less sure, and improves the translations
(section 5.4, s = 0.1).

*The mean of what?* Of the targets that are kept, in both terms. If you divide by all B*T instead, a
sequence counts less the more padding its batch happens to have.

*The learning rate schedule of the paper* (section 5.3), with steps counted from 1::

    lr = D^-0.5 * min(step^-0.5,  step * warmup^-1.5)

         |        .
         |       / ' .                   two curves, and always the lower one: a line from zero,
         |      /      ' .               and one over a root, which falls. They meet at
         |     /           '  .          step = warmup, where both are (D * warmup)^-0.5.
         |    /                  '   .
         '---------------------------------
              warmup

- *Why the line?* Post-norm starts with large gradients in the layers next to the loss (exercise
  8). And the optimizer divides each gradient by a running average of its size; in the first steps
  that average rests on almost no data, and the steps are large and ill-informed. Small steps do
  little harm while both settle.
- *Why the root?* Later, only details are left to learn, and each batch points in a slightly
  different direction. Smaller and smaller steps average that out. The rate falls slowly enough for
  the training not to get stuck: the sum of 1/sqrt(step) has no limit.
- *Why D^-0.5?* The paper does not say. A reason that fits: its optimizer (Adam, exercise 14) moves
  every weight by about lr, whatever the size of its gradient. An output of a linear layer sums D
  inputs, each times a weight that has moved; if the signs are mixed, such a sum changes by about
  lr * sqrt(D). The factor makes that change the same for every width.

By hand
-------
*Step 1: what the decoder is given, and how wrong its answers are.* The targets "cba" and "d", the
second filled up with 0, where a is 3 and BOS is 1, EOS 2:

>>> import math, torch
>>> targets = torch.tensor([[5, 4, 3, 2], [6, 2, 0, 0]])
>>> shift_right(targets, bos_id=1).tolist()
[[1, 5, 4, 3], [1, 6, 2, 0]]

Ten tokens and s = 0.1: the right one should get 0.91, each of the others 0.01. Its logit is then
ln 91 = 4.51 above the others, and the loss is 0.50. Being twice as sure is worse:

>>> round(math.log(91), 2)
4.51
>>> content, target = torch.zeros(1, 1, 10), torch.tensor([[7]])
>>> content[0, 0, 7] = math.log(91)
>>> def loss(logits, smoothing):
...     return round(label_smoothed_cross_entropy(logits, target, smoothing).item(), 4)
>>> loss(content, 0.1), loss(2 * content, 0.1)
(0.5003, 0.813)

Without smoothing, being twice as sure is always better, provided that the right token is ahead. If
a wrong one is ahead by 1, it is worse:

>>> loss(content, 0.0), loss(2 * content, 0.0)
(0.0943, 0.0011)
>>> wrong = torch.zeros(1, 1, 10)
>>> wrong[0, 0, 3] = 1.0
>>> loss(wrong, 0.0), loss(2 * wrong, 0.0)
(2.4612, 2.7966)

*Step 2: the schedule.* The paper's base model has D = 512 and warms up for 4000 steps. The largest
rate is 0.0007, at step 4000; it is half of that half-way up, and again after four times 4000 steps:

>>> [f"{noam_lr(step, 512, 4000):.2e}" for step in (1, 2000, 4000, 16000)]
['1.75e-07', '3.49e-04', '6.99e-04', '3.49e-04']

*Step 3: the model.* First the sizes of what goes in, as claimed above:

>>> [round(0.02 * math.sqrt(D), 2) for D in (128, 512)]
[0.23, 0.45]
>>> round(SinusoidalPositions(128, 512).pe.square().mean().sqrt().item(), 2)
0.71

A small model with a vocabulary of 7 tokens has learned nothing, and yet it keeps two promises: what
comes later in the target does not change what was predicted before, and padding in the source
changes nothing at all:

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

Its parameters: an attention has 4 D^2 + 4 D, a feed-forward network 2 D F + F + D, a norm 2 D. An
encoder layer is one attention, one network, two norms; a decoder layer two, one, three. Two tables
and an output layer come on top:

>>> D, F, V = 16, 32, 7
>>> attention, network, norm = 4 * D**2 + 4 * D, 2 * D * F + F + D, 2 * D
>>> layers = 2 * (attention + network + 2 * norm) + 2 * (2 * attention + network + 3 * norm)
>>> layers + 2 * V * D + D * V + V, sum(p.numel() for p in model.parameters())
(11479, 11479)

*Step 4: decoding.* Why greedy can miss: at first "a" has the probability 0.6 and "b" 0.4. After "a"
the model hesitates between two words, 0.5 each; after "b" it is sure. Greedy takes "a" and ends
with a sequence of probability 0.3; the most probable one begins with "b":

>>> round(0.6 * 0.5, 2), round(0.4 * 1.0, 2)
(0.3, 0.4)

What to build
-------------
Four steps. Each has checks and hints of its own, and needs nothing of the later ones:

1. `shift_right`, what the decoder is given, and `label_smoothed_cross_entropy`, how wrong its
   answers are. Start the loss from the log-probabilities; in exercise 1 you have seen how to get
   them without overflow.
2. `noam_lr`: how large the steps of the training are.
3. `Transformer`: two embeddings, positions, the encoder, the decoder, an output layer, and the two
   masks. Write `encode`, then `decode`, then `forward`, which is one line. The two halves share
   nothing but the positions, which hold no parameters.
4. `greedy_decode`: how the trained model writes.

The last check then trains your model on short strings, with PyTorch's optimizer and everything else
yours, and lets it reverse strings that it has never seen.

Off limits: `F.cross_entropy` and `nn.CrossEntropyLoss` (this once: from exercise 13 on they are
yours, since you have built them twice), and `nn.Transformer` with all its parts, as before.

When all of it passes, `make train TASK=reverse` trains a larger model in about a minute, and
`make sample TASK=reverse PROMPT=hello` shows what it makes of a word of yours and where it looked.
Until your exercise 14 passes, a loop that is not yours stands in for it; the run says whose.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=12` checks them.

- *Beam search.* The most probable text need not begin with the most probable token.
  `beam_search(model, src, bos_id, eos_id, max_len, beam)` writes the target of one source (1, S)
  and returns its tokens (L,), int64, without the BOS and with the EOS, if it has one. It begins
  with one text, the BOS alone. In each of at most `max_len` steps, every text that has not ended is
  continued by each token of the vocabulary; of these and of the texts that have ended before, the
  `beam` with the largest sum of log-probabilities are kept. When all that are kept have ended, no
  step follows. The best text of the last ones is returned. `model` is in evaluation mode; what is
  asked of it are `encode` and `decode`, or a call.
- With `beam` large, beam search finds texts that are more probable, and shorter. Why shorter? What
  do people divide the sum by?

See it again
------------
- The Illustrated Transformer (Jay Alammar): "The Decoder Side", "The Final Linear and Softmax
  Layer", "Recap Of Training" and "The Loss Function", which ends with greedy decoding and beam
  search
- The Annotated Transformer (Rush et al.), part 1 for the model and part 2 for the training: the
  whole paper beside its code
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 3: the decoder, and how training
  differs from use
- What are Transformer Neural Networks? (Ari Seff): once more from the beginning, it is all there
  now
- Attention Is All You Need (Vaswani et al. 2017), figure 1, sections 3.1, 3.4, 5.3 and 5.4
- Rethinking the Inception Architecture (Szegedy et al. 2016), section 7: label smoothing; When Does
  Label Smoothing Help? (Müller et al. 2019)
- On Layer Normalization in the Transformer Architecture (Xiong et al. 2020): why post-norm needs
  its warm-up; On the Variance of the Adaptive Learning Rate and Beyond (Liu et al. 2020): the
  optimizer's part in it
- Scheduled Sampling (Bengio et al. 2015), section 1: the trouble with teacher forcing
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ex03_embeddings import TokenEmbedding
from ex04_positions import SinusoidalPositions
from ex06_masks import causal_mask
from ex10_encoder import Encoder
from ex11_decoder import Decoder


def shift_right(targets: Tensor, bos_id: int) -> Tensor:
    """Make what the decoder is given from what it should say: one step behind, BOS in front.

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
        smoothing: s, the probability that is spread evenly over all V tokens; 0
            gives the plain cross-entropy. A token that is ignored as a target still gets its part.
        ignore_index: a token (or a number outside the vocabulary, such as -100) whose places do not
            count; None counts all. What comes out when nothing is kept is left open.

    Returns:
        A scalar in the dtype of the logits and on their device, in nats: the mean over the targets
        that are kept. Differentiable; the logits at places that are ignored get a gradient of zero.

    Raises:
        ValueError: `smoothing` lies outside 0..1, or a target that is kept outside 0..V-1; the
            message names the value.

    Source: Szegedy et al. 2016, section 7; Vaswani et al. 2017, section 5.4.
    """
    # Your code here. (The reference needs 12 lines.)
    raise NotImplementedError("not written yet")


def noam_lr(step: int, d_model: int, warmup: int) -> float:
    """The learning rate of the original transformer: a line up, then down as 1 / sqrt(step).

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
            Whether it also acts on the embeddings with their positions, as in the paper, is left
            open.
        pad_id: the token that short sequences are filled up with, at their end.

    Attributes:
        src_embedding, tgt_embedding: a `TokenEmbedding` each, scaled.
        positions: `SinusoidalPositions`, for both sides.
        encoder, decoder: an `Encoder` and a `Decoder`, post-norm as published.
        output: `nn.Linear` with bias, from D to `tgt_vocab`. Nothing is tied: the two tables and
            this layer have weights of their own. (The paper shares all three; its two languages
            have one vocabulary.)
        pad_id: as given.

    Raises:
        ValueError: `d_model` is odd or not divisible by `n_heads`, or `dropout` lies outside 0..1;
            the message names the value. (The parts see to it.)

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
            The memory (B, S, D). No position has looked at padding; what the memory holds at padded
            positions does not matter, since nobody looks at it.

        Raises:
            ValueError: S is beyond `max_len`, or an id outside 0..src_vocab-1; the message names
                the length or the id. (The parts see to it.)
        """
        # Your code here. (The reference needs 3 lines.)
        raise NotImplementedError("not written yet")

    def decode(self, tgt_in: Tensor, memory: Tensor, src: Tensor) -> Tensor:
        """Predict at each position of the target what comes next.

        Args:
            tgt_in: (B, T) token ids, up to `max_len` long: BOS and what has been written so far.
            memory: (B, S, D) what `encode` made of the source.
            src: (B, S) the source itself, to see where it is padding.

        Returns:
            Logits (B, T, tgt_vocab), finite even for a source of nothing but padding. Those of
            position t depend on columns 0 to t of `tgt_in` and on the memory where the source is
            not padding, and on nothing else. They are on the device of the tokens.

        Raises:
            ValueError: T is beyond `max_len`, or an id outside 0..tgt_vocab-1; the message names
                the length or the id. (The parts see to it.)
        """
        # Your code here. (The reference needs 4 lines.)
        raise NotImplementedError("not written yet")

    def forward(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        """Read the source, and predict at each position of the target what comes next.

        Args:
            src: (B, S) as in `encode`.
            tgt_in: (B, T) as in `decode`; in training `shift_right(targets, bos_id)`.

        Returns:
            Logits (B, T, tgt_vocab).
        """
        # Your code here. (The reference needs 1 line.)
        raise NotImplementedError("not written yet")


def greedy_decode(model: nn.Module, src: Tensor, bos_id: int, eos_id: int, max_len: int) -> Tensor:
    """Write the target token by token, each time the most probable one, until EOS.

    Args:
        model: a `Transformer`; only its `encode` and `decode` (or a call, which is slower) and its
            `pad_id` are used. It runs in evaluation mode and without building a graph, and is left
            in the mode it was found in.
        src: (B, S) the sources, filled up with `model.pad_id`; left as they are.
        bos_id: the token to begin with.
        eos_id: the token that ends a sequence.
        max_len: how many tokens to write at most.

    Returns:
        (B, L) int64, on the device of `src`, L at most `max_len`: what was written, without the
        BOS. An EOS that was written stays; after it each row is filled up with `model.pad_id`,
        whatever the model says there. Once every row has its EOS, stopping and going on to
        `max_len` are both right.
    """
    # Your code here. (The reference needs 15 lines.)
    raise NotImplementedError("not written yet")
