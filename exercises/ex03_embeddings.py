"""Exercise 3: token embeddings, where a number becomes a meaning; and your first steps in PyTorch.

The picture
-----------
A tokenizer hands over ids. Each id picks its row from one table of V rows, one row for each
token::

      ids (T,)         weight (V, D)                    out (T, D)

                  row 0  [ 0.1  0.3 -0.2 ]
        3  --.    row 1  [-0.5  0.0  0.4 ]  <--.   .-->  [ 0.7  0.2 -0.1 ]   row 3
        1  --+->  row 2  [ 0.2 -0.3  0.6 ]     +---+-->  [-0.5  0.0  0.4 ]   row 1
        3  --'    row 3  [ 0.7  0.2 -0.1 ]  <--'   '-->  [ 0.7  0.2 -0.1 ]   row 3

In the *backward pass*, which works out how the loss changes with each number in the table, every
row of the gradient goes home to the row that it came from. Two of them go to row 3, so they are
added there::

      grad_out (T, D)                  grad of weight (V, D)

        [ g0 ]  --- id 3 ---.          row 0  [   0   ]
        [ g1 ]  --- id 1 ---+------->  row 1  [  g1   ]
        [ g2 ]  --- id 3 ---'          row 2  [   0   ]
                                       row 3  [ g0+g2 ]

The intuition
-------------
An id is a name, not a quantity. Token 7 is not a bit more than token 6, and the average of tokens
2 and 4 is not token 3; a network that calculated with the ids themselves would start from such
nonsense. So each token gets a vector of its own, its *embedding*: a point in a space of D
dimensions. Training moves the points. Tokens that are used alike are pushed the same way, and end
up as neighbours.

The table is nothing but memory: there is nothing to calculate in the forward pass. All of the
learning happens in the backward pass, and there only the rows that were read are written to.

The mathematics
---------------
Write the id v as a *one-hot* row of V numbers: zeros, and a one in place v. Then the lookup is a
product::

    out = E W          E (T, V), one one-hot row per position;   W (V, D), the table
                       out (T, D)

That is an ordinary *linear layer*, a product with a learned matrix. Its gradient, with L for the
loss::

    dL/dW = E^T (dL/dout)          (V, T) (T, D) -> (V, D)

    row v of it:  the sum of dL/dout[i] over all positions i with ids[i] == v

*Why look up, then, when a product says the same?* Because E holds V numbers for every position, all
but one of them zero. With V = 50,000 and D = 768 the product multiplies 38 million times for each
token, in order to copy 768 numbers. Indexing just copies them, and the gradient just adds T rows.

*Why a sum, and why does it need care?* A row that is used twice influences the loss in two ways,
and the chain rule adds the influences. In NumPy, `grad[ids] += grad_out` looks like that sum and is
not: it reads all the rows, adds, and writes all of them back, so that of several additions to one
row only the last survives. What it takes is one addition after the other: in a loop, or with the
method `.at` that functions such as `np.add` have. Nothing crashes when you get this wrong. The
model just learns less well, and the most frequent tokens suffer most.

*Why N(0, 0.02)?* The rows have to differ from the start: as long as they are all the same, the
layers above read the same sentence everywhere. And they had better be small. A GPT uses the same
table once more as its output layer (exercise 13): there a row is multiplied by a vector whose D
entries have variance 1, so a score has standard deviation sqrt(D) times that of the table (exercise
5 says why). For D = 768 and a table from N(0, 1) that is 28, which is a firm opinion on everything
before the first lesson; for N(0, 0.02) it is 0.55, and the first guess gives every token about the
same probability. 0.02 is the choice of the first GPT, and GPT-2 kept it. (N(0, 0.02) stands for a
standard deviation of 0.02 all through these exercises.)

*Why times sqrt(D), sometimes?* The paper on the original transformer does it and gives no reason;
this is a likely one. A positional encoding is added to the embedding, with entries between -1 and 1
(exercise 4). Next to those a small table would hardly count. Times sqrt(512), entries of size 0.02
become 0.45, and word and place have about the same weight. GPT-2 learns its positions, starting
from smaller numbers than its tokens (0.01 in its published code), and needs no such factor. Note
what is scaled: what comes out of the table, not the table.

*Why reject bad ids loudly?* In Python `weight[-1]` is the last row. An id of -1, say from padding
that somebody forgot, would silently be read as token V-1, and the model would train on nonsense
without any sign of it. An id that is too large does stop NumPy, but on a GPU it stops the program
later and somewhere else, with a message that names neither the id nor the line. On a CPU such a
check costs next to nothing and can save an afternoon. On a GPU it has a price: an `if` on the
contents of a tensor makes the program wait until the GPU has computed them. Code that must be fast
there checks the ids before they are sent to it; here, safety comes first.

By hand
-------
Four tokens, two dimensions. Ids 3, 1, 3 read rows 3, 1 and 3:

>>> import numpy as np
>>> weight = np.array([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5], [3.0, 3.5]])
>>> ids = np.array([3, 1, 3])
>>> embedding_lookup(weight, ids)
array([[3. , 3.5],
       [1. , 1.5],
       [3. , 3.5]])

The same as a product with one-hot rows:

>>> one_hot = np.eye(4)[ids]
>>> one_hot
array([[0., 0., 0., 1.],
       [0., 1., 0., 0.],
       [0., 0., 0., 1.]])
>>> bool((one_hot @ weight == embedding_lookup(weight, ids)).all())
True

Backwards: token 3 was read twice, so its row gets 1 + 100; tokens 0 and 2 were not read at all:

>>> grad_out = np.array([[1.0, 1.0], [10.0, 10.0], [100.0, 100.0]])
>>> embedding_grad(grad_out, ids, vocab_size=4)
array([[  0.,   0.],
       [ 10.,  10.],
       [  0.,   0.],
       [101., 101.]])

This is the trap: the 1 is lost, because the 100 was written over it.

>>> trap = np.zeros((4, 2))
>>> trap[ids] += grad_out
>>> trap[3]
array([100., 100.])

And the numbers from above: multiplications for one token, the spread of a score with N(0, 1) and
with N(0, 0.02), the size of a scaled entry:

>>> 50_000 * 768
38400000
>>> round(math.sqrt(768)), round(math.sqrt(768) * 0.02, 2), round(math.sqrt(512) * 0.02, 2)
(28, 0.55, 0.45)

From NumPy to PyTorch
---------------------
From here on we build in PyTorch. If you know it, skip to the next section. Three things are new
compared with NumPy: tensors know where they are, they can find their own gradients, and layers are
objects.

**A tensor is an array**, and most of what you know works as before: `@`, broadcasting, indexing,
`.sum(-1)` (an axis is called `dim`). Some names differ: `torch.cat` is `np.concatenate`,
`x.transpose(a, b)` swaps two axes, `torch.randn(2, 3)` draws from N(0, 1). A tensor has a *dtype*,
float32 unless you say otherwise, and a *device*, the memory in which it lies; a GPU computes only
with what is there.

>>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
>>> x.shape, x.dtype, x.device
(torch.Size([2, 2]), torch.float32, device(type='cpu'))
>>> x @ x, x.sum(dim=0)
(tensor([[ 7., 10.],
        [15., 22.]]), tensor([4., 6.]))
>>> x.to(torch.float64).dtype  # and x.to("cuda") would be a copy on the GPU
torch.float64
>>> torch.from_numpy(np.array([1.0, 2.0])).dtype, x.numpy().dtype  # there and back
(torch.float64, dtype('float32'))

Tensors on two devices can't be added. A sum gets the wider of two dtypes, while `@` refuses to mix
them. So new tensors are best made *like* one that is there, `torch.zeros_like(x)` or
`torch.zeros(3, device=x.device, dtype=x.dtype)`.

**Gradients for free.** PyTorch records what is computed from a tensor with `requires_grad`. (This
is its *autograd*; the record is called the *graph*.) When you call `.backward()` on a single
number, it walks that record backwards, by the chain rule, and adds to each such tensor's `.grad`
how much the number would change with each of its entries. Here y = 2 a^2 + b, so dy/da = 4 a = 12,
and dy/db = 1:

>>> a = torch.tensor(3.0, requires_grad=True)
>>> b = torch.tensor(5.0, requires_grad=True)
>>> y = 2 * a**2 + b
>>> y.backward()
>>> y.item(), a.grad.item(), b.grad.item()
(23.0, 12.0, 1.0)

It *adds*: a second `backward` makes it 24, unless you set `a.grad` to None in between, which every
training loop has to do. And a gradient is what training uses: a step against it makes y smaller. A
piece of code that should not be recorded stands under `torch.no_grad()`.

>>> (2 * a**2 + b).backward()
>>> a.grad.item()
24.0
>>> with torch.no_grad():
...     a -= 0.01 * 12
>>> (2 * a**2 + b).item() < y.item()
True

Recording forbids one thing: writing into a tensor whose gradient you asked for (hence `no_grad`
above), or one whose old values the backward pass still needs. `x = x + 1` is always safe; `x += 1`
changes a tensor that others may hold.

**A layer is an object** of a class with two methods::

    class Stretch(nn.Module):
        def __init__(self, size):
            super().__init__()                              # first: sets up the book-keeping
            self.factor = nn.Parameter(torch.ones(size))    # a tensor that is to be learned

        def forward(self, x):                               # what the layer computes
            return x * self.factor

    layer = Stretch(3)
    y = layer(x)                                            # calls forward

An `nn.Parameter` is a tensor with `requires_grad` and a label that says "learn me". A module finds
the parameters among its attributes, and those of the modules among its attributes. So
`layer.parameters()` lists all that an *optimizer* (the piece that takes the steps, exercise 14) has
to change, `layer.to("cuda")` moves them, and `layer.state_dict()` is what one saves. A plain tensor
as an attribute is overlooked by all three. Yours, once it is written:

>>> layer = TokenEmbedding(vocab_size=4, d_model=2)
>>> [(name, tuple(parameter.shape)) for name, parameter in layer.named_parameters()]
[('weight', (4, 2))]

With the table from above, PyTorch finds the gradient that you worked out by hand:

>>> layer.weight = nn.Parameter(torch.tensor(weight))
>>> out = layer(torch.tensor([[3, 1, 3]]))
>>> out.backward(torch.tensor(grad_out)[None])  # not one number: give its gradient
>>> layer.weight.grad.numpy()
array([[  0.,   0.],
       [ 10.,  10.],
       [  0.,   0.],
       [101., 101.]])

**To look inside**, hang a *hook* on a module: a function that is called after each forward. It
shows the shapes in a model that somebody else wrote, without touching its code. Here that model is
your table and an `nn.Linear`, PyTorch's linear layer x W + b, one after the other:

>>> def look(module, inputs, output):
...     print(type(module).__name__, tuple(inputs[0].shape), "->", tuple(output.shape))
>>> model = nn.Sequential(TokenEmbedding(10, 4), nn.Linear(4, 3))
>>> hooks = [part.register_forward_hook(look) for part in model]
>>> _ = model(torch.tensor([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]]))
TokenEmbedding (2, 5) -> (2, 5, 4)
Linear (2, 5, 4) -> (2, 5, 3)
>>> for hook in hooks:
...     hook.remove()

What to build
-------------
1. `embedding_lookup`: read the rows, in NumPy.
2. `embedding_grad`: the backward pass by hand, in NumPy, with repeated ids added up.
3. `TokenEmbedding`: the layer, in PyTorch. From here on autograd does the backward pass.

Off limits, from here on: `nn.Embedding`, `nn.EmbeddingBag`, `F.embedding`, `F.embedding_bag`.
Indexing with an array of ids is yours to use, in NumPy and in PyTorch.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=03` checks them.

- *Neighbours.* `neighbours(weight, token_id, k)` returns the ids of the k other tokens whose
  vectors point most nearly the same way as that of `token_id`, the nearest first: a NumPy array of
  k integers, for a table (V, D) in NumPy with no row of zeros. How long a vector is does not
  matter, only where it points (the cosine of the angle between the two).
- *One table, used twice.* Many models use the table once more at the end: the logits are the dot
  products with all rows. In the smallest such model, token i predicts the next one with the logits
  weight[i] @ weight.T. `tied_grad(weight, ids, targets)` returns the gradient (V, D) of the mean
  cross-entropy over N pairs of a token and the next one, ids (N,) and targets (N,), in NumPy. (The
  gradient of the logits is in the lesson of exercise 1.) Which rows does each of the two uses
  change? One of the two is `embedding_grad`.

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Bringing The Tensors Into The Picture"
- The Illustrated Word2vec (Jay Alammar): what the points of a trained table look like
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 1: embeddings, and then positions
- What are Transformer Neural Networks? (Ari Seff), the part on input embeddings
- The spelled-out intro to neural networks and backpropagation: building micrograd (Andrej
  Karpathy): what `.backward()` does, built from nothing
- PyTorch's tutorial Learn the Basics: tensors, autograd, modules, at more length than here
- Attention Is All You Need (Vaswani et al. 2017), section 3.4, on sqrt(d_model)
- Improving Language Understanding by Generative Pre-Training (Radford et al. 2018), section 4.1, on
  N(0, 0.02); Using the Output Embedding to Improve Language Models (Press and Wolf 2017), on the
  table that is used twice
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def embedding_lookup(weight: NDArray, ids: NDArray) -> NDArray:
    """Read one row of the table for each id.

    Args:
        weight: (V, D) the table, one row per token.
        ids: (...) integers from 0 to V-1, in any shape.

    Returns:
        (..., D) `out[i] = weight[ids[i]]` for every position i, in the dtype of `weight`. Neither
        argument is changed.

    Raises:
        ValueError: if an id lies outside 0..V-1, be it negative or too large. The message names
            that id.

    Source: Vaswani et al. 2017, section 3.4.
    """
    # Your code here. (The reference needs 4 lines.)
    raise NotImplementedError("not written yet")


def embedding_grad(grad_out: NDArray, ids: NDArray, vocab_size: int) -> NDArray:
    """Work out the gradient of the table from the gradient of what was read from it.

    Args:
        grad_out: (..., D) the gradient of the loss with respect to the rows that were read.
        ids: (...) which rows those were.
        vocab_size: V, how many rows the table has.

    Returns:
        (V, D) row v is the sum of the rows of `grad_out` whose id is v, and zero if there are none;
        in the dtype of `grad_out`. Neither array is changed.

    Raises:
        ValueError: if an id lies outside 0..V-1, be it negative or too large. The message names
            that id.
    """
    # Your code here. (The reference needs 6 lines.)
    raise NotImplementedError("not written yet")


class TokenEmbedding(nn.Module):
    """A learned table with one vector for each token.

    Args:
        vocab_size: V, how many tokens there are.
        d_model: D, the width of their vectors.
        scale: whether to multiply what is read by sqrt(D), as the original transformer does.

    Attributes:
        weight: (V, D) the table, an `nn.Parameter`. Each entry of a new one is drawn independently
            from a normal distribution with mean 0 and standard deviation 0.02, whether `scale` is
            on or off.

    Source: Vaswani et al. 2017, section 3.4; Radford et al. 2018, section 4.1, for N(0, 0.02).
    """

    def __init__(self, vocab_size: int, d_model: int, scale: bool = False) -> None:
        # Your code here. (The reference needs 3 lines.)
        raise NotImplementedError("not written yet")

    def forward(self, ids: Tensor) -> Tensor:
        """Read the vectors of the tokens.

        Args:
            ids: (B, T) integers (int64) from 0 to V-1.

        Returns:
            (B, T, D) the rows of `weight`, times sqrt(D) if `scale`; in the dtype and on the device
            of `weight`. Neither `weight` nor `ids` is changed.

        Raises:
            ValueError: if an id lies outside 0..V-1, be it negative or too large. The message names
                that id.
        """
        # Your code here. (The reference needs 6 lines.)
        raise NotImplementedError("not written yet")
