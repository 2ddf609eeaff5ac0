"""Exercise 4: positional encodings, which tell a transformer where each token stands.

The picture
-----------
Every position has a vector of its own. It is added to whatever token stands there, and it is the
same in each of the B sequences that are read side by side (a *batch*)::

      x (B, T, D)        "dog"     "bites"    "man"
                           +          +          +
      pe[:T] (T, D)      pe[0]      pe[1]      pe[2]     rows from a table of max_len rows
                           =          =          =
      out (B, T, D)     dog at 0  bites at 1  man at 2

The vector of position t shows the same time on D/2 clocks, each slower than the one before. A clock
has one hand, and its reading is two numbers, the sine and the cosine of its angle::

      pe[t]  =  [ sin cos | sin cos | sin cos | ... ]   (D,)
                 clock 0   clock 1   clock 2

      angle of clock i at time t  =  t * w_i            w_i = base ** (-2i / D)

      for D = 6 and base = 1000:

                  t = 0    t = 1    t = 2    t = 3    t = 4
      clock 0     0.00     1.00     2.00     3.00     4.00      fast: a turn in 6.3 steps
      clock 1     0.00     0.10     0.20     0.30     0.40      ten times slower
      clock 2     0.00     0.01     0.02     0.03     0.04      a hundred times slower

The intuition
-------------
A transformer reads all tokens at once. Its central layer, *attention*, is the next exercise; for
now one sentence is enough. It gives each token a weighted average of the vectors of all tokens, and
the weights depend on how well two vectors fit, not on where they stand. A weighted average has no
first and no last. Shuffle the tokens, and every token gets the same average as before. "Dog bites
man" and "man bites dog" are the same bag of words.

So the order has to be written into the vectors themselves. How do you write a time down in numbers
that stay small? With the hands of clocks. The second hand tells neighbouring moments apart but
comes round every minute; the hour hand tells morning from noon but not one second from the next;
all of them together tell every moment of the day from every other. And clocks have a gift that a
plain counter lacks: "ten minutes later" is the same turn of the hand whatever the time is. A model
that has learned that one turn can look ten tokens back from anywhere.

The mathematics
---------------
For position t and i = 0 ... D/2 - 1 (Vaswani et al. 2017, section 3.5)::

    pe[t, 2i]     =  sin(t * w_i)               w_i = base ** (-2i / D),   base = 10000
    pe[t, 2i + 1] =  cos(t * w_i)               pe (T, D)

*Why not the number t itself?* It grows without end and soon drowns the token. *Why not t / T?* Then
one step is short in a long text and long in a short one. Sines and cosines stay between -1 and 1,
and a step is always the same turn.

*Why so many speeds?* Clock i needs 2 pi / w_i steps for one turn: its wavelength. They grow by
equal factors from 2 pi (i = 0) towards 10000 * 2 pi. The fast ones tell neighbours apart, and the
slow ones do not come round within any text of a normal length, so no two positions look alike.

*Why the sine and the cosine?* A sine takes the same value twice a turn; only both together say
where the hand points. And only both together can be moved on. With s = sin(t w), c = cos(t w) and a
shift of k positions, the rules for the sum of two angles say::

    sin((t + k) w)  =  s cos(k w) + c sin(k w)        [ s' ]   [  cos kw   sin kw ] [ s ]
    cos((t + k) w)  =  c cos(k w) - s sin(k w)        [ c' ] = [ -sin kw   cos kw ] [ c ]

That is a rotation, and t does not occur in its matrix. Put the D/2 blocks along a diagonal, and
you have one matrix M (D, D) with `M @ pe[t] == pe[t + k]` for every t::

        [ R(k w_0)    0         0     ]
    M = [    0      R(k w_1)    0     ]        R(a) = [  cos a   sin a ]
        [    0        0      R(k w_2) ]               [ -sin a   cos a ]

So "k further on" is a linear map, the kind of thing that a layer can learn. It also follows that
the dot product of two encodings, which is how a transformer measures what fits, depends on their
distance alone: for positions t and t + k it is the sum of cos(k w_i) over the clocks.

*Why add, and not append?* Appending would be clean but takes width away from the tokens. Adding
loses less than it seems: the next layer computes W (x + p) = W x + W p, as if it had got both, and
in hundreds of dimensions there is room for the two to keep out of each other's way.

*Fixed or learned?* The other way is a table like that of exercise 3, with one row per position
instead of one per token, and training fills it in. It may find something better than sines, but it
has no row for position max_len, and rows that are seldom reached in training are learned badly.
Vaswani et al. tried both and found nearly identical results (table 3, row E); they kept the sines,
which can be computed for any position. GPT-2 learns its 1024 positions, and so will your GPT. We
draw them from N(0, 0.02), like the tokens; GPT-2's published code starts them from N(0, 0.01).

By hand
-------
D = 4 makes two clocks. With base = 100 they have w_0 = 1 and w_1 = 100 ** (-2/4) = 0.1. At time 0
all sines are 0 and all cosines 1; at time 1 the first clock has turned by 1, the second by 0.1:

>>> import math
>>> [round(f, 4) for f in (math.sin(1), math.cos(1), math.sin(0.1), math.cos(0.1))]
[0.8415, 0.5403, 0.0998, 0.995]
>>> pe = sinusoidal_encoding(100, 4, base=100.0)
>>> pe[:3]
tensor([[ 0.0000,  1.0000,  0.0000,  1.0000],
        [ 0.8415,  0.5403,  0.0998,  0.9950],
        [ 0.9093, -0.4161,  0.1987,  0.9801]])

One step further on is the same matrix everywhere, from 0 to 1 just as from 1 to 2:

>>> step = shift_matrix(1, 4, base=100.0)
>>> step
tensor([[ 0.5403,  0.8415,  0.0000,  0.0000],
        [-0.8415,  0.5403,  0.0000,  0.0000],
        [ 0.0000,  0.0000,  0.9950,  0.0998],
        [ 0.0000,  0.0000, -0.0998,  0.9950]])
>>> torch.allclose(step @ pe[0], pe[1]), torch.allclose(step @ pe[1], pe[2])
(True, True)

Dot products know the distance and nothing else. From 3 to 5 is as far as from 90 to 92, and both
give cos(2) + cos(0.2):

>>> round((pe[3] @ pe[5]).item(), 3), round((pe[90] @ pe[92]).item(), 3)
(0.564, 0.564)
>>> round(math.cos(2) + math.cos(0.2), 3)
0.564

For base = 10000 and D = 512 the wavelengths run from 2 pi, a little over 6 steps, to somewhat less
than 10000 * 2 pi:

>>> [round(2 * math.pi * 10000 ** (2 * i / 512), 1) for i in (0, 1, 255)]
[6.3, 6.5, 60611.5]
>>> round(2 * math.pi * 10000, 1)
62831.9

And here is the blindness to order. Each token scores every token by a dot product, a softmax makes
weights of the scores (exercise 1), and the answer is the average with these weights. Read "dog
bites man" backwards (`flip`), and the same answers come out backwards; the dog can't tell whether
it bites or is bitten:

>>> def averages(x):
...     return torch.softmax(x @ x.T, dim=-1) @ x  # (T, T) weights times (T, D) vectors
>>> dog, bites, man = [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]
>>> there, back = torch.tensor([dog, bites, man]), torch.tensor([man, bites, dog])
>>> torch.allclose(averages(there).flip(0), averages(back))
True

With positions it can:

>>> torch.allclose(averages(there + pe[:3]).flip(0), averages(back + pe[:3]))
False

What to build
-------------
1. `sinusoidal_encoding`: the table of all clocks at all times.
2. `shift_matrix`: the rotation that moves every position by the same number of steps.
3. `SinusoidalPositions`: the layer that adds the fixed table.
4. `LearnedPositions`: the layer that adds a learned one.

New here: a *buffer*. A tensor that belongs to a layer but is not learned is registered with
`self.register_buffer("name", tensor, persistent=False)` and is `self.name` from then on. It moves
along with `.to(...)` as parameters do, and no optimizer touches it. `persistent=False` leaves it
out of `state_dict()`: what can be computed again need not be saved, and a saved model can be
loaded into one with another max_len.

Nothing new is off limits; `nn.Embedding` and `F.embedding` still are.

Going deeper
------------
*The blindness, proved.* Let P be a permutation matrix, which shuffles the rows of X (T, D). The
softmax works row by row, so the order of the rows and columns does not matter to it::

    softmax(P X (P X)^T) P X  =  softmax(P X X^T P^T) P X  =  P softmax(X X^T) P^T P X
                              =  P softmax(X X^T) X                   (since P^T P = I)

Shuffled in, the same shuffled out: the layer is *equivariant* to permutations. The other layers of
a transformer look at one token at a time, so they are, too, and nothing further up can repair it.
(A GPT lets each token see only itself and what stands before it, exercise 6. That does break the
symmetry, and a model can pick up something about order from it alone. GPT-2 does not leave it to
chance.)

*What came after: turn, don't add.* If "k further on" is a rotation, why not turn the tokens
themselves? Most models today leave x alone. Where two tokens, at positions t and s, are compared
by a dot product, they first turn each vector's pairs of numbers by the clocks' angles at its
position. Turning both by the same angle changes no dot product, so only the difference t - s is
left. Here are two vectors at positions 3 and 5, and then at 90 and 92:

>>> u, v = torch.tensor([1.0, 2.0, 0.5, -1.0]), torch.tensor([0.5, -1.0, 1.0, 2.0])
>>> def turned(vector, position):
...     return shift_matrix(position, 4, base=100.0) @ vector
>>> for t, s in ((3, 5), (90, 92)):
...     print(round((turned(u, t) @ turned(v, s)).item(), 3))
-2.267
-2.267

That is RoPE, rotary position embedding (Su et al. 2021). You build it in exercise 18.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=04` checks them.

- *Pictures.* A transformer for images cuts them into patches and reads these row by row.
  `grid_encoding(height, width, d_model)` returns float32 (height * width, d_model), one row for
  each patch, in that order: the first half of the features encodes the row of the patch, the second
  half its column, each as `sinusoidal_encoding` encodes a position with half the features. d_model
  is a multiple of 4.
- *No encoding at all.* ALiBi (Press et al. 2022) adds nothing to the tokens, but something to the
  scores of exercise 5: the further back, the less. `alibi(n_heads, length)` returns float32
  (H, T, T), the number for query i and key j in head h = 0..H-1: -m_h (i - j), with the slope
  m_h = 2^(-8 (h + 1) / H), where j <= i; where j lies ahead it is -inf. Which head looks furthest
  back? And why does this go on beyond the length of training, where a learned table ends?

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Representing The Order of The Sequence Using
  Positional Encoding". Its heat map, the third figure of that section, has all sines on the left
  and all cosines on the right; the paper, and this exercise, let them alternate.
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 1, on position embeddings
- What are Transformer Neural Networks? (Ari Seff), the part on positional encodings
- The Annotated Transformer (Harvard NLP), "Positional Encoding": the same table in a few lines of
  code
- Attention Is All You Need (Vaswani et al. 2017), section 3.5
- RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al. 2021)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def sinusoidal_encoding(length: int, d_model: int, base: float = 10000.0) -> Tensor:
    """Compute the encodings of the first positions: D/2 clocks, read at each time.

    Args:
        length: T, how many positions, from 0 to T-1.
        d_model: D, the width of an encoding; even, since a clock takes two numbers.
        base: sets the speeds; the slowest clock takes less than `base` times as long for a turn as
            the first.

    Returns:
        (T, D) float32, with pe[t, 2i] = sin(t / base ** (2i / D)) and pe[t, 2i + 1] the cosine of
        the same angle. Computing in float32 throughout is accurate enough.

    Raises:
        ValueError: if `d_model` is odd. The message names its value.

    Source: Vaswani et al. 2017, section 3.5.
    """
    ### BEGIN SOLUTION
    if d_model % 2:
        raise ValueError(f"d_model must be even, and is {d_model}")
    times = torch.arange(length, dtype=torch.float64)  # (T,)
    speeds = base ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (D/2,)
    angles = times[:, None] * speeds  # (T, D/2)
    encoding = torch.stack([angles.sin(), angles.cos()], dim=-1)  # (T, D/2, 2)
    return encoding.flatten(1).float()  # (T, D)
    ### END SOLUTION


def shift_matrix(offset: int, d_model: int, base: float = 10000.0) -> Tensor:
    """Build the one matrix that moves the encoding of every position on by `offset` positions.

    Args:
        offset: how many positions to move on; a negative one moves back.
        d_model: D, the width of an encoding; even.
        base: as in `sinusoidal_encoding`.

    Returns:
        (D, D) float32, the matrix M with M @ pe[t] == pe[t + offset] for every t: D/2 rotations in
        blocks of two rows and two columns, and zeros elsewhere.

    Source: Vaswani et al. 2017, section 3.5, which states that it exists.
    """
    ### BEGIN SOLUTION
    speeds = base ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)  # (D/2,)
    sin, cos = (offset * speeds).sin(), (offset * speeds).cos()  # (D/2,)
    blocks = torch.stack([cos, sin, -sin, cos], dim=-1).view(-1, 2, 2)  # (D/2, 2, 2)
    return torch.block_diag(*blocks).float()  # (D, D)
    ### END SOLUTION


class SinusoidalPositions(nn.Module):
    """Adds the sinusoidal encoding of its position to each vector. Nothing in it is learned.

    The table is a non-persistent buffer: it moves with `.to(...)`, and `state_dict()` does not
    hold it. The layer has no parameters.

    Args:
        max_len: how many positions there are.
        d_model: D, the width of the vectors; even.

    Source: Vaswani et al. 2017, section 3.5.
    """

    def __init__(self, max_len: int, d_model: int) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.register_buffer("pe", sinusoidal_encoding(max_len, d_model), persistent=False)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Add the first T rows of the table to each sequence.

        Args:
            x: (B, T, D) vectors, with T up to max_len; it is not changed.

        Returns:
            (B, T, D) x + pe[:T], in the dtype and on the device of x.

        Raises:
            ValueError: if T is larger than max_len. The message names T.
        """
        ### BEGIN SOLUTION
        length, max_len = x.size(1), len(self.pe)
        if length > max_len:
            raise ValueError(f"x has length {length}, which is beyond max_len = {max_len}")
        return x + self.pe[:length].to(x.dtype)  # (B, T, D) + (T, D)
        ### END SOLUTION


class LearnedPositions(nn.Module):
    """Adds a learned vector of its position to each vector, as GPT-2 does.

    Args:
        max_len: how many positions there are.
        d_model: D, the width of the vectors.

    Attributes:
        weight: (max_len, D) an `nn.Parameter` with one row per position. Each entry of a new one is
            drawn independently from a normal distribution with mean 0 and standard deviation 0.02.

    Source: Vaswani et al. 2017, table 3, row E; Radford et al. 2018, section 4.1.
    """

    def __init__(self, max_len: int, d_model: int) -> None:
        ### BEGIN SOLUTION
        super().__init__()
        self.weight = nn.Parameter(torch.randn(max_len, d_model) * 0.02)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Add the first T rows of `weight` to each sequence.

        Args:
            x: (B, T, D) vectors, with T up to max_len; it is not changed.

        Returns:
            (B, T, D) x + weight[:T], in the dtype and on the device of x.

        Raises:
            ValueError: if T is larger than max_len. The message names T.
        """
        ### BEGIN SOLUTION
        length, max_len = x.size(1), len(self.weight)
        if length > max_len:
            raise ValueError(f"x has length {length}, which is beyond max_len = {max_len}")
        return x + self.weight[:length].to(x.dtype)  # (B, T, D) + (T, D)
        ### END SOLUTION
