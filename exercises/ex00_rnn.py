"""Exercise 0, a prelude: the recurrent network, and the bottleneck that made people look back.

Nothing later needs this exercise, so you may skip it. But the transformer is an answer, and here is
the question.

The picture
-----------
A recurrent network (RNN) reads a sequence from left to right and carries one vector along, its
*hidden state*. Unrolled over time, it is one and the same step, again and again::

              x_1            x_2            x_3                   x_T       each (B, D_in)
               |              |              |                     |
               v              v              v                     v
    h_0 --> [ step ] ----> [ step ] ----> [ step ] --> ... --> [ step ]
               |              |              |                     |
               v              v              v                     v
              h_1            h_2            h_3                   h_T       each (B, D_h)

    xs (B, T, D_in)  -->  states (B, T, D_h): states[:, 0] is h_1, and h_0 is not among them

Each [ step ] holds the same three arrays of weights::

    x_t      (B, D_in) -- times W_xh (D_in, D_h) --.
    h_{t-1}  (B, D_h)  -- times W_hh (D_h, D_h)  --+-- sum -- tanh --> h_t (B, D_h), within -1..1
    b        (D_h,)                              --'

The intuition
-------------
You are read a story, word by word. You have a notepad with a single page. After every word you
tear the page off and write a new one, from the old page and the new word. That page is all you
know of the story: you may not ask to hear a sentence again, nor look at an earlier page.

It works surprisingly well, and costs little: however long the story, one page. But look at what is
built into it.

- *The page has a fixed size.* Five words have D_h numbers to themselves, five hundred share the
  same D_h numbers. Now hand your last page to somebody who was not there, and ask for a
  translation of the story. This is what the first neural translators did: one network read, another
  wrote, and between them went one vector. That is the *bottleneck*.
- *Every step rewrites everything.* To remember the first name in the story for 100 words, you must
  copy it 100 times, and get it right each time. What is copied a little smaller each time is soon
  gone: 0.9 to the power 100 is less than 1/30000. Far-away words fade.
- *It is strictly one after the other.* Page 100 can't be begun before page 99 is done, no matter
  how many people would help.

And one thing is for free: it knows the order of the words, since it reads them in order. The
transformer gives that up, and has to buy it back (exercise 4).

The mathematics
---------------
::

    h_t = tanh(x_t W_xh + h_{t-1} W_hh + b)          t = 1 ... T        (Elman 1990)

*Why the same weights at every step?* So that the network reads any length, and a word means the
same wherever it stands. What differs from step to step is the state.

*Why a tanh?* Without it, T steps would be one linear map: nothing like "this, unless that" could
be expressed, and the numbers could grow without limit. The tanh keeps each within -1..1. Around 0
its slope is 1, so a small number is handed on almost as it is; far out its slope is almost 0.

*What reaches the end?* Change h_{t-1} by a small row vector v. Then h_t changes by v times the
*Jacobian* of the step, and over many steps by the product of the Jacobians. The gradient takes the
same way back, which is called *backpropagation through time*::

    J_t = W_hh diag(1 - h_t^2)                       the slope of tanh(z) is 1 - tanh(z)^2
    d h_T / d h_1  =  J_2 J_3 ... J_T                T - 1 factors, and W_hh is in each of them

(The first input enters h_1 through W_xh diag(1 - h_1^2), and from there on shares its fate.)

How large can that product be? The *spectral norm* ||W|| of a matrix is the most by which it can
lengthen a vector (its largest singular value), so ||A B|| is at most ||A|| ||B||. Slopes lie
between 0 and 1, so ||J_t|| is at most ||W_hh||, and::

    || d h_T / d h_1 ||  <=  ||W_hh||^(T-1)          this is `bottleneck(W_hh, T - 1)`

- *||W_hh|| < 1:* it *must* fade, exponentially. Gradients vanish.
- *||W_hh|| > 1:* it *may* grow, exponentially. Gradients can explode. They need not: a state that
  is far out has slopes near 0, which bring the product down again.

(Bengio et al. 1994; Pascanu et al. 2013, section 2.) It is a bound and not a forecast: "the
linearised bound", since it takes the tanh for a straight line of slope 1. To keep what is handed on
at one size for a hundred steps, while the weights are being learned, is a narrow path between the
two cases.

*Why the power of the norm, and not the norm of the power?* ||W^n|| is at most ||W||^n, and right
for n linear steps. But between the factors stand the slopes, others at each step. Two factors W
that would cancel each other no longer do so with slopes between them; an example is below. The
product of the norms holds whatever the slopes are.

*What does fading do to learning?* The weights are shared, so their gradient is a sum over all
steps. The terms of nearby words are large and those of far-away words next to nothing. The network
is told, loudly, what the last few words should have done, and hears nothing of the first ones. It
is not that it can't hold a word for long; it is never told to.

*Gates.* The LSTM (Hochreiter and Schmidhuber 1997) and the GRU (Cho et al. 2014) carry the old
state over and add to it, and learn when to do so; exercise 8 returns to the idea with its residual
connections. It stretches the memory a lot. The page stays one page, and the steps stay one after
the other.

*Why can't T steps be done at once?* h_t needs h_{t-1}, through a tanh, and there is no shortcut
through that. (T linear steps would have one: a product of matrices may be grouped as you like.)
Only x_t W_xh can be had for all t at once. A graphics card has thousands of arms, and T - 1 times
it is told to wait. How often one must wait, and how far apart two words are, are two of the columns
of table 1 of Vaswani et al. (2017). In orders of magnitude, with sequence length T and width D::

                      work in one layer    one after the other    longest way between two words
    recurrent             T D^2                   T                         T
    self-attention        T^2 D                   1                         1

So attention is cheaper as long as T is smaller than D, and dearer for long texts: the T^2 is its
price. What it buys is the two ones. The first belongs to a pass over a text that is known, as in
training. When a model *writes*, both kinds have to wait for each word.

By hand
-------
One sequence of one number each: a word, then three times silence. D_in = D_h = 1, W_hh = 0.5:

>>> one, half, zero = np.array([[1.0]]), np.array([[0.5]]), np.zeros(1)
>>> word_then_silence = np.array([[[1.0], [0.0], [0.0], [0.0]]])
>>> rnn_forward(word_then_silence, np.zeros((1, 1)), one, half, zero)[0, :, 0].round(3)
array([0.762, 0.363, 0.18 , 0.09 ])

tanh(1) = 0.762, tanh(0.5 * 0.762) = 0.363, and so on: three steps after the word, at most 0.5^3 of
it is left.

>>> bottleneck(half, 3)
0.125
>>> 0.762 * 0.125  # and 0.09 is less than that
0.09525
>>> bottleneck(np.array([[0.9]]), 100) < 1 / 30000  # the page that is copied 100 times
True

A step by hand, with D_in = 2 and D_h = 3. The sums are 1*1 + 0.5, 2*1 and -1*1 + 1*1:

>>> W_xh = np.array([[1.0, 0.0, -1.0], [0.0, 2.0, 1.0]])
>>> h = rnn_step(np.array([[1.0, 1.0]]), np.zeros((1, 3)), W_xh, np.eye(3), np.array([0.5, 0, 0]))
>>> h.round(2)
array([[0.91, 0.96, 0.  ]])
>>> np.tanh([1.5, 2.0, 0.0]).round(2)
array([0.91, 0.96, 0.  ])

"dog bites man" and "man bites dog" end differently, though the words are the same:

>>> dog, bites, man = np.array([1.0, 0.0]), np.array([1.0, 1.0]), np.array([0.0, 1.0])
>>> two = np.array([[dog, bites, man], [man, bites, dog]])
>>> rnn_forward(two, np.zeros((2, 2)), np.eye(2), np.eye(2), np.zeros(2))[:, -1].round(2)
array([[0.74, 0.94],
       [0.94, 0.74]])

How much of a nudge of h_0 is left? A matrix that turns vectors and makes them 0.8 or 1.1 times as
long has that factor as its spectral norm. In silence, where the slopes are 1, the bound is met:

>>> def left(W_hh, xs):
...     h0, nudge = np.zeros((1, 2)), np.array([[1e-6, 0.0]])
...     nudged = rnn_forward(xs, h0 + nudge, np.eye(2), W_hh, np.zeros(2))
...     plain = rnn_forward(xs, h0, np.eye(2), W_hh, np.zeros(2))
...     return float(np.linalg.norm(nudged[0, -1] - plain[0, -1]) / 1e-6)
>>> turn = np.array([[np.cos(0.5), np.sin(0.5)], [-np.sin(0.5), np.cos(0.5)]])
>>> silence = np.zeros((1, 50, 2))
>>> for factor in (0.8, 1.1):
...     print(f"{left(factor * turn, silence):.3g} of {bottleneck(factor * turn, 50):.3g}")
1.43e-05 of 1.43e-05
117 of 117

With words in between, the state is far from 0 and its slopes are small. Less is left than the bound
allows, here after only 10 steps:

>>> words = np.random.default_rng(0).normal(size=(1, 10, 2))
>>> for factor in (0.8, 1.1):
...     print(f"{left(factor * turn, words):.2g} of {bottleneck(factor * turn, 10):.2g}")
0.00034 of 0.11
0.0043 of 2.6

And why the norm of the power won't do. This W cancels itself: W W is zero. But if the second
number of the state is so far out that its slope is 0.1, what comes through is not zero at all:

>>> W = np.array([[1.0, -1.0], [1.0, -1.0]])
>>> W @ W
array([[0., 0.],
       [0., 0.]])
>>> W @ np.diag([1.0, 0.1]) @ W
array([[ 0.9, -0.9],
       [ 0.9, -0.9]])
>>> round(bottleneck(W, 2), 9)
4.0

What to build
-------------
1. `rnn_step`: one line, for a whole batch at once.
2. `rnn_forward`: a loop over the time, that keeps every state. It works for T = 0, too.
3. `bottleneck`: how much can be left after so many steps?

NumPy only. Off limits: PyTorch (it has an `nn.RNN`), and `scipy.special`, from here on.

See it again
------------
- MIT 6.S191, Introduction to Deep Learning, lecture 2 on recurrent networks, transformers and
  attention: its first half is this exercise; then it asks for attention, as we do
- Visualizing A Neural Machine Translation Model (Mechanics of Seq2seq Models With Attention) (Jay
  Alammar): the bottleneck as an animation, and attention over the hidden states
- The Illustrated Transformer (Jay Alammar), "Self-Attention at a High Level", which compares it
  with the hidden state of an RNN
- What are Transformer Neural Networks? (Ari Seff), the opening: why something new was wanted
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 1: what is lost when words are no
  longer read one after the other, and how positions bring it back
- Finding Structure in Time (Elman 1990); Learning Long-Term Dependencies with Gradient Descent Is
  Difficult (Bengio et al. 1994); On the Difficulty of Training Recurrent Neural Networks (Pascanu
  et al. 2013), section 2
- Through the bottleneck: Sequence to Sequence Learning with Neural Networks (Sutskever et al. 2014;
  in section 3.3 the source is read *backwards*, so that its first words are near the first words of
  the translation, and it helps a lot); On the Properties of Neural Machine Translation (Cho et
  al. 2014: the longer the sentence, the worse). Around it: Neural Machine Translation by Jointly
  Learning to Align and Translate (Bahdanau et al. 2014), section 3
- Attention Is All You Need (Vaswani et al. 2017), sections 1 and 4, table 1

**What comes next: look back.** The network had written a page for every word, and we kept them all:
`states` holds T of them. Only h_T was ever handed on. Why throw the others away? Let whoever needs
something look through *all* of them. Compare what is wanted, a *query*, with every page; turn the
scores into shares that sum to one; take the mixture of the pages in these shares::

    x_1  ->  h_1 --.                .--> .97 --.
    x_2  ->  h_2 --+  . query       +--> .02 --+
    x_3  ->  h_3 --+  = scores -----+--> .00 --+-- weighted sum of all h --> (D_h,)
    ...      ...   |  then shares   |    ...   |
    x_T  ->  h_T --'                '--> .00 --'

    through the state: T - 1 steps from h_1 to the end.    Here: one, wherever the word stands.

Two sequences that differ in the first word alone, then 20 times silence. In the last state, almost
nothing tells them apart. To look back with the query (8, 8), "who spoke loudest?", finds the word:

>>> xs = np.zeros((2, 21, 2))
>>> xs[0, 0, 0] = xs[1, 0, 1] = 2.0
>>> states = rnn_forward(xs, np.zeros((2, 2)), np.eye(2), 0.5 * np.eye(2), np.zeros(2))
>>> bool(np.abs(states[0, -1] - states[1, -1]).max() < 1e-6)
True
>>> scores = states @ np.array([8.0, 8.0])  # (2, 21): one for each state of each sequence
>>> shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
>>> shares[0, :3].round(2)
array([0.97, 0.02, 0.  ])
>>> np.stack([shares[0] @ states[0], shares[1] @ states[1]]).round(2)
array([[0.95, 0.  ],
       [0.  , 0.95]])

This is *attention*, and Bahdanau et al. put it on top of a recurrent network. Three years later
came the question that the rest of this course answers: if every position can look at every other
directly, what do we still need the recurrence for? You build attention in exercise 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rnn_step(x: NDArray, h: NDArray, W_xh: NDArray, W_hh: NDArray, b: NDArray) -> NDArray:
    """Take one step: make the new state from the input and the old state.

    Args:
        x: (B, D_in) the input of this step, one row for each sequence of the batch.
        h: (B, D_h) the state before this step.
        W_xh: (D_in, D_h) the weights of the input.
        W_hh: (D_h, D_h) the weights of the state.
        b: (D_h,) the bias.

    Returns:
        (B, D_h) tanh(x W_xh + h W_hh + b), within -1..1 however large the arguments are. Its dtype
        is what NumPy's promotion makes of those of the arguments: float32 if all of them are,
        float64 if one of them is. No argument is changed.

    Source: Elman 1990; Goodfellow et al. 2016, section 10.2.
    """
    # Your code here. (The reference needs 1 line.)
    raise NotImplementedError("not written yet")


def rnn_forward(xs: NDArray, h0: NDArray, W_xh: NDArray, W_hh: NDArray, b: NDArray) -> NDArray:
    """Read sequences from left to right, and keep the state after every step.

    Args:
        xs: (B, T, D_in) a batch of sequences. T may be 0.
        h0: (B, D_h) the state before the first step.
        W_xh: (D_in, D_h) as for `rnn_step`, and the same at every step.
        W_hh: (D_h, D_h) as for `rnn_step`.
        b: (D_h,) as for `rnn_step`.

    Returns:
        (B, T, D_h): entry [:, t] is the state after the inputs [:, 0] to [:, t]; h0 is not among
        them. The dtype is that of a step. No argument is changed.

    Source: Elman 1990; Goodfellow et al. 2016, section 10.2.
    """
    # Your code here. (The reference needs 8 lines.)
    raise NotImplementedError("not written yet")


def bottleneck(W_hh: NDArray, steps: int) -> float:
    """Bound the share of a small change of the state that can be left after so many steps.

    Args:
        W_hh: (D_h, D_h) the weights of the state, finite floating-point numbers.
        steps: how often the state is handed on, 0 or more.

    Returns:
        The spectral norm of `W_hh` (its largest singular value) to the power of `steps`, as a
        Python float; 1.0 for no step at all. What becomes of a bound too large for a float is left
        open. `W_hh` is not changed.

    Source: Pascanu et al. 2013, section 2.
    """
    # Your code here. (The reference needs 1 line.)
    raise NotImplementedError("not written yet")
