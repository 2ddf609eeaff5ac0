"""Exercise 0, a prelude: the recurrent network, and the bottleneck that made people look back.

Nothing later needs this exercise, so you may skip it. But the transformer is an answer, and here is
the question. (You need NumPy and the product of two matrices, nothing more. The section *Going
deeper* is for those who also know derivatives.)

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

B sequences are read side by side (a *batch*), each of T inputs. Every [ step ] holds the same three
arrays of numbers. They are what the network learns, its *parameters*: two matrices of *weights* and
a *bias*. The tanh (hyperbolic tangent) is an S-shaped curve that squeezes any number into -1..1::

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

- *The page has a fixed size.* Five words have D_h numbers to themselves; five hundred share the
  same D_h numbers. Now hand your last page to somebody who was not there, and ask for a
  translation of the story. This is what the first neural translators did: one network read, another
  wrote, and between them went one vector. That is the *bottleneck*.
- *Every step rewrites everything.* To remember the first name in the story for 100 words, you must
  copy it 100 times, and get it right each time. What is copied a little smaller each time is soon
  gone: 0.9 to the power 100 is less than 1/30000. Distant words fade.
- *It is strictly sequential.* Page 100 can't be started before page 99 is done, however many people
  help.

One thing comes for free: an RNN knows the order of the words, since it reads them in order. The
transformer gives that up, and has to buy it back (exercise 4).

The mathematics
---------------
::

    h_t = tanh(x_t W_xh + h_{t-1} W_hh + b)          t = 1 ... T

(Vectors are rows here, so a matrix stands on their right. The network is Elman's, 1990; his
S-shaped curve went from 0 to 1.)

*Why the same weights at every step?* So that the network can read any length, and a word means the
same wherever it stands. What differs from step to step is the state.

*Why a tanh?* It is a *nonlinearity*. Without one, T steps would collapse into one linear map:
nothing like "this, unless that" could be expressed, and the numbers could grow without limit. The
tanh keeps each of them within -1..1. Around 0 its slope is 1, so a small number is passed on almost
unchanged; far out its slope is almost 0.

*How much of the first word reaches the end?* Take a state of a single number, and change h_{t-1} by
a little. Then h_t changes by W_hh times as much, times the slope of the tanh, which is at most 1.
After n steps, at most |W_hh|^n of the change is left. For a state of many numbers W_hh is a matrix,
and |W_hh| is replaced by its *spectral norm* ||W_hh||: the largest factor by which the matrix can
lengthen a vector. (It is the largest singular value; `np.linalg` computes it.) So::

    what is left of a small change after n steps  <=  ||W_hh||^n     this is `bottleneck(W_hh, n)`

- *||W_hh|| < 1:* what is left *must* fade, exponentially. It vanishes.
- *||W_hh|| > 1:* it *may* grow, exponentially. It can explode, but need not: a state that is far
  out has slopes near 0, which bring the product down again.

Learning suffers in the same way. A network learns from *gradients*: how the error at the end would
change with each weight. They travel the same steps backwards and shrink by the same factors. So the
network is told clearly what the last few words should have done, and hears almost nothing about the
first ones.

By hand
-------
One sequence whose inputs are single numbers: a word (1), then three steps of silence (0). D_in =
D_h = 1, W_hh = 0.5:

>>> one, half, zero = np.array([[1.0]]), np.array([[0.5]]), np.zeros(1)
>>> word_then_silence = np.array([[[1.0], [0.0], [0.0], [0.0]]])
>>> rnn_forward(word_then_silence, np.zeros((1, 1)), one, half, zero)[0, :, 0].round(4)
array([0.7616, 0.3634, 0.1797, 0.0896])

The first is tanh(1), the second tanh(0.5 * 0.7616), and so on. Three steps after the word, at most
0.5^3 of it is left:

>>> bottleneck(half, 3)
0.125
>>> round(0.7616 * 0.125, 4)  # and 0.0896 is less than that
0.0952
>>> bottleneck(np.array([[0.9]]), 100) < 1 / 30000  # the page that is copied 100 times
True

A step with D_in = 2 and D_h = 3. The sums are 1*1 + 0.5, 2*1 and -1*1 + 1*1:

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

What to build
-------------
1. `rnn_step`: one line, for a whole batch at once.
2. `rnn_forward`: a loop over time that keeps every state. It works for T = 0, too.
3. `bottleneck`: how much can be left after a given number of steps?

NumPy only. Off limits: PyTorch (it has an `nn.RNN`) in this exercise, and `scipy.special` from here
on.

**What comes next: look back.** The network wrote a page for every word, and we kept them all:
`states` holds T of them. Only h_T was ever passed on. Why throw the others away? Let whoever needs
something look through *all* of them. Compare what is wanted, a *query*, with every page; turn the
scores into weights that sum to one; take the average of the pages with these weights::

    x_1  ->  h_1 --.                .--> .97 --.
    x_2  ->  h_2 --+  . query       +--> .02 --+
    x_3  ->  h_3 --+  = scores -----+--> .00 --+-- weighted sum of all h --> (D_h,)
    ...      ...   |  then weights  |    ...   |
    x_T  ->  h_T --'                '--> .00 --'

    through the state: T - 1 steps from h_1 to the end.    Here: one, wherever the word stands.

Two sequences that differ only in the first word, followed by 20 steps of silence. In the last
state, almost nothing tells them apart. Looking back with the query (8, 8), "who spoke loudest?",
finds the word:

>>> xs = np.zeros((2, 21, 2))
>>> xs[0, 0, 0] = xs[1, 0, 1] = 2.0
>>> states = rnn_forward(xs, np.zeros((2, 2)), np.eye(2), 0.5 * np.eye(2), np.zeros(2))
>>> bool(np.abs(states[0, -1] - states[1, -1]).max() < 1e-6)
True
>>> scores = states @ np.array([8.0, 8.0])  # (2, 21): one for each state of each sequence
>>> weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
>>> weights[0, :3].round(2)
array([0.97, 0.02, 0.  ])
>>> np.stack([weights[0] @ states[0], weights[1] @ states[1]]).round(2)
array([[0.95, 0.  ],
       [0.  , 0.95]])

This is *attention*, and Bahdanau et al. (2014) put it on top of a recurrent network. Three years
later came the question that the rest of this course answers: if every position can look at every
other directly, what do we still need the recurrence for? You build attention in exercise 5.

Going deeper
------------
Nothing here is needed for the exercise.

*Where the bound comes from.* Change h_{t-1} by a small row vector v. Then h_t changes by v times
the *Jacobian* of the step, the matrix of its derivatives, and over many steps by the product of the
Jacobians. The gradient goes back the same way: *backpropagation through time*::

    J_t = W_hh diag(1 - h_t^2)                       the slope of tanh(z) is 1 - tanh(z)^2
    d h_T / d h_1  =  J_2 J_3 ... J_T                T - 1 factors, and W_hh is in each of them

||A B|| is at most ||A|| ||B||, and slopes lie between 0 and 1, so ||J_t|| is at most ||W_hh||::

    || d h_T / d h_1 ||  <=  ||W_hh||^(T-1)          this is `bottleneck(W_hh, T - 1)`

(Bengio et al. 1994; Pascanu et al. 2013, section 2.) It is a bound and not a forecast. A matrix
that turns vectors and makes them 0.8 or 1.1 times as long has that factor as its spectral norm. In
silence, where the slopes are 1, the bound is reached:

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

*Why the power of the norm, and not the norm of the power?* ||W^n|| is at most ||W||^n, and
exact for n linear steps. But the slopes stand between the factors, different at each step, and two
factors W that would cancel each other may no longer do so. This W cancels itself: W W is zero. But
if the second number of the state is so far out that its slope is 0.1, what comes through is not
zero at all:

>>> W = np.array([[1.0, -1.0], [1.0, -1.0]])
>>> W @ W
array([[0., 0.],
       [0., 0.]])
>>> W @ np.diag([1.0, 0.1]) @ W
array([[ 0.9, -0.9],
       [ 0.9, -0.9]])
>>> round(bottleneck(W, 2), 9)
4.0

*Gates.* The LSTM (Hochreiter and Schmidhuber 1997) and the GRU (Cho et al. 2014) carry the old
state over and add to it, and learn when to do so; exercise 8 returns to the idea with its residual
connections. This stretches the memory a lot. The page stays one page, and the steps stay
sequential.

*Why can't T steps be done at once?* h_t needs h_{t-1}, through a tanh, and there is no shortcut
through that. (T linear steps would have one: a product of matrices may be grouped as you like.)
Only x_t W_xh can be computed for all t at once, and a graphics card, which could do thousands of
multiplications at a time, waits T - 1 times. How often one must wait, and how far apart two words
are, are two of the columns of table 1 of Vaswani et al. (2017). In orders of magnitude, with
sequence length T and width D::

                      work in one layer    one after the other    longest way between two words
    recurrent             T D^2                   T                         T
    self-attention        T^2 D                   1                         1

So attention is cheaper as long as T is smaller than D, and more expensive for long texts: the T^2
is its price. What it buys are the two 1s. The first holds for a pass over a text that is known, as
in training. When a model *generates* text, both kinds have to wait for each word.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=00` checks them.

- *A gate.* `gated_step(x, h, W_xh, W_hh, b, W_xz, W_hz, b_z)` returns a new state (B, D_h) that is
  partly the old one: (1 - z) h + z n, feature by feature, with n the new state of `rnn_step` and
  z = sigmoid(x W_xz + h W_hz + b_z), the gate, whose weights have the shapes of the others. The
  numbers that go into the sigmoid may be huge. At z = 0 the step keeps h exactly: what becomes of
  the bound of `bottleneck`? (The GRU has one gate more.)
- *Backpropagation through time.* `rnn_grad(xs, h0, W_xh, W_hh, b, grad)` returns the gradient
  (D_h, D_h) of sum(grad * h_T) with respect to W_hh, with grad (B, D_h), h_T the last state of
  `rnn_forward`, and T at least 1. Go back from the last step. In each, W_hh has a share of its own,
  and the gradient of the state before it goes on through the slope 1 - h^2 and through W_hh.

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
    """Bound the fraction of a small change of the state that can be left after that many steps.

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
