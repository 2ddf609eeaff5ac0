"""Exercise 10: the encoder, a reader that sees the whole sentence at once.

The picture
-----------
A layer has two sublayers, each in a frame of exercise 8, and a stack has N layers. The same shape
goes in and comes out of every layer, so layers can be stacked::

        EncoderLayer (post-norm, as published)              Encoder

        x (B, T, D)                                  x (B, T, D)   embeddings + positions
        |-----------.                                |
        |     self_attention  <-- mask               v
        |           |                              layers[0]  <-- mask
        + <---------'                                |
       norm           attention_residual             v
        |  (B, T, D)                               layers[1]  <-- mask     the same mask for all,
        |-----------.                                |                     other weights for each
        |     feed_forward  (F inside)               :
        |           |                                v
        + <---------'                              layers[N-1]  <-- mask
       norm           feed_forward_residual          |
        |                                            v
        out (B, T, D)                              norm   (in pre-norm only)
                                                     |
                                                   memory (B, T, D)

Who sees whom: rows are the words that ask, columns the words they look at, `x` may be seen::

                  the   dog   barks  PAD
        the        x     x      x     .        every word sees all words, also to its
        dog        x     x      x     .        right; nobody sees the padding
        barks      x     x      x     .

The intuition
-------------
*What is it for?* The transformer of 2017 translates. Its *encoder* reads the source sentence; its
*decoder* (exercise 11) writes the translation. The encoder gets T vectors that each say "this word,
in this place", and turns them into T vectors that say "this word, as it is meant here": the
*memory*, at which the decoder looks.

*Why may every word look at every other?* Because the whole sentence is already there. In "The bank
was steep", only the last word tells you that "bank" is a slope and not a building. A reader that
may look only to the left would have to leave the question open. Nothing is predicted here, so there
is no answer to copy, and no need for a causal mask.

*Two sublayers, two jobs.* Attention moves information between positions: each word gathers what it
needs from the others. The feed-forward network, which holds most of the parameters, processes what
each position has gathered.

*Why several layers?* "Who is the subject of the verb that governs me?" takes two rounds: first find
the verb, then ask the verb. What a word has learned in layer 0 can be read by all others in layer
1.

The mathematics
---------------
::

    post-norm   h   = norm1(x + drop(Attention(x, x, x)))             (Vaswani et al. 2017, 3.1)
                out = norm2(h + drop(max(0, h W_1 + b_1) W_2 + b_2))  (3.1 and 3.3)

    pre-norm    h   = x + drop(Attention(n, n, n)), n = norm1(x)      (Xiong et al. 2020, figure 1)
                out = h + drop(FFN(norm2(h)))
                and after the last layer: memory = norm(out)

*Post-norm* puts the norm on the residual path. Whatever a layer does, its output is normalized, so
a norm after the last layer would have nothing left to do. Exercise 8 describes the price: it is why
the learning rate has to begin near zero and climb slowly (`noam_lr` of exercise 12).

*Pre-norm* puts the norm on the branch, before the sublayer, and training works with little warm-up
or none. But each of the 2 N sublayers adds to the stream, and nothing on the path normalizes it:
the deeper the stack, the larger the vectors that leave it. Whoever reads them should not have to
know how deep the stack was, so one norm at the end sets the scale. Hence `norm` exists if
`norm_first`, and is None otherwise.

*A norm for each frame.* Its weight and bias are learned to suit the sublayer that it serves, and
the two sublayers weight features differently.

*Layers of their own.* Each layer does a different job, so each has its own parameters. An
`nn.ModuleList` keeps them: a module does not look for parameters in a plain list. There is a trap
in Python: `[layer] * 6` is a list with six references to *one* layer. The shapes are right,
training runs, and you have a sixth of the parameters.

*Where is the order?* Nowhere in here. Permute the tokens, and the same vectors come out, permuted.
All that the encoder knows about order is in its input (exercise 4).

*Padding.* A hidden key gets the weight zero, so no real word reads it, in any layer, provided that
every layer gets the mask. The padded positions compute something too; nobody reads it.

*Dropout.* The paper drops from what each sublayer adds (section 5.4), which is the frame's job.
Many implementations also drop attention weights and hidden features. So pass `dropout` to all four
parts, and to nothing else: what travels on the path is never dropped.

By hand
-------
If the sublayers add nothing, you see what the frames alone do. The token (0, 0, 4, 4) has mean 2
and standard deviation 2:

>>> import torch
>>> def silent(module):
...     with torch.no_grad():
...         for name, parameter in module.named_parameters():
...             if "out_proj" in name or "down" in name:
...                 _ = parameter.zero_()
...     return module
>>> x = torch.tensor([[[0.0, 0.0, 4.0, 4.0]]])
>>> def shown(out):
...     return [round(value, 2) for value in out.flatten().tolist()]
>>> shown(silent(EncoderLayer(4, 2, 8))(x))  # the norms stand on the path
[-1.0, -1.0, 1.0, 1.0]
>>> shown(silent(EncoderLayer(4, 2, 8, norm_first=True))(x))  # the path is free
[0.0, 0.0, 4.0, 4.0]
>>> shown(silent(Encoder(6, 4, 2, 8, norm_first=True))(x))  # the norm at the end
[-1.0, -1.0, 1.0, 1.0]

Every word sees every word: replace the last one, and the first one's vector changes. With a mask
that declares the last one padding, it does not:

>>> encoder = Encoder(2, 12, 3, 24).eval()
>>> words = torch.randn(1, 4, 12)
>>> other = words.clone()
>>> other[:, 3] = torch.randn(12)
>>> torch.allclose(encoder(words)[:, 0], encoder(other)[:, 0], atol=1e-5)
False
>>> mask = torch.tensor([True, True, True, False])[None, None, None, :]  # (B, 1, 1, T)
>>> torch.allclose(encoder(words, mask)[:, 0], encoder(other, mask)[:, 0], atol=1e-5)
True

There is no order in here: the reversed sentence gives the same vectors, reversed.

>>> torch.allclose(encoder(words.flip(1)), encoder(words).flip(1), atol=1e-5)
True

How big is it? The base model of the paper has D = 512, F = 2048 and six layers: by the formulas
(attention, feed-forward network, two norms) and from your module, on the meta device, where tensors
have a shape and no memory. And the trap: six names, one layer.

>>> def count(module):
...     return sum(parameter.numel() for parameter in module.parameters())
>>> D, F = 512, 2048
>>> (4 * D * D + 4 * D) + (2 * D * F + F + D) + 4 * D
3152384
>>> with torch.device("meta"):
...     layer, encoder = EncoderLayer(D, 8, F), Encoder(6, D, 8, F)
>>> count(layer), count(encoder), count(nn.ModuleList([layer] * 6))
(3152384, 18914304, 3152384)

What to build
-------------
1. `EncoderLayer`: make the four parts, then let each frame call its sublayer. A frame calls it with
   one argument; the mask has to get there some other way.
2. `Encoder`: the layers one after the other, and the norm at the end if there is one.

Both are short. Look up the arguments of the parts in exercises 7, 8 and 9, and check the defaults:
`FeedForward` does not default to relu, and `Residual` does not default to post-norm.

Off limits, from here on: `nn.Transformer` and its layers.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=10` checks them.

- *The stream, layer by layer.* `stream_states(encoder, x, mask=None)` gets an `Encoder` in
  evaluation mode, x (B, T, D) and its mask, and returns (N + 1, B, T, D): x itself, and what each
  of the N layers leaves behind, before a norm at the end of the stack. How much of x is left in the
  last one?
- *Where it came from.* After several layers, a position is a mixture of mixtures. An estimate of
  its origins (Abnar & Zuidema 2020): in each layer take the mean of the heads' weights, and for the
  residual path half of it plus half of the identity matrix, A = (W + I) / 2; then multiply, the
  last layer on the left. `attention_rollout(weights)` gets (N, B, H, T, T), the weights of N layers
  from the first to the last, and returns (B, T, T). Does each row still sum to one?

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Bringing The Tensors Into The Picture", "Now We're
  Encoding!" and "The Residuals", with the picture of two stacked layers
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 2, on multi-head and self-attention
- What are Transformer Neural Networks? (Ari Seff), where the encoder's layers are put together
- Attention Is All You Need (Vaswani et al. 2017), section 3.1 and figure 1, the left half
- On Layer Normalization in the Transformer Architecture (Xiong et al. 2020), figure 1
"""

from __future__ import annotations

from torch import Tensor, nn

from ex07_multi_head import MultiHeadAttention
from ex08_residual_norm import LayerNorm, Residual
from ex09_feed_forward import FeedForward


class EncoderLayer(nn.Module):
    """Let every position look at all positions, then process each position by itself.

    Args:
        d_model: D, the width of the residual stream.
        n_heads: H, the number of heads of the attention; D is a multiple of it.
        d_ff: F, the inner width of the feed-forward network.
        dropout: the probability that a number is dropped in training. All four parts get it, and
            nothing else drops.
        norm_first: True for pre-norm, False for post-norm. Note the default: as published in 2017.

    Attributes:
        self_attention: `MultiHeadAttention` with biases.
        feed_forward: `FeedForward` with the activation "relu".
        attention_residual, feed_forward_residual: the `Residual` around each of the two.

    Raises:
        ValueError: `d_model` is not divisible by `n_heads`, or `dropout` lies outside 0..1; the
            message names the value. (The parts see to it.)

    Source: Vaswani et al. 2017, section 3.1; Xiong et al. 2020, figure 1 (both orders).
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        # Your code here. (The reference needs 4 lines.)
        raise NotImplementedError("not written yet")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Gather from everywhere, then process what was gathered.

        Args:
            x: (B, T, D) the residual stream; left as it is.
            mask: boolean, broadcasts to (B, H, T, T); True means "may attend". It says which keys
                each query may look at; for padding, that is `padding_mask(...)[:, None, None, :]`.
                None hides nothing.

        Returns:
            (B, T, D) in the dtype and on the device of x.
        """
        # Your code here. (The reference needs 2 lines.)
        raise NotImplementedError("not written yet")


class Encoder(nn.Module):
    """A stack of encoder layers: the same shape goes in and comes out of every layer.

    Args:
        n_layers: N, how many layers there are.
        d_model, n_heads, d_ff, dropout, norm_first: as in `EncoderLayer`.

    Attributes:
        layers: an `nn.ModuleList` of N `EncoderLayer`s, each with parameters of its own.
        norm: in pre-norm the `LayerNorm` at the end of the stack; in post-norm None.

    Source: Vaswani et al. 2017, section 3.1; Xiong et al. 2020, section 3.3 (the final norm).
    """

    def __init__(
        self,
        n_layers: int,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.0,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        # Your code here. (The reference needs 3 lines.)
        raise NotImplementedError("not written yet")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Go through all layers, from the first to the last.

        Args:
            x: (B, T, D) the embedded input with its positions; left as it is.
            mask: as in `EncoderLayer.forward`; every layer gets the same.

        Returns:
            (B, T, D): the *memory*, one vector for each position of the input.
        """
        # Your code here. (The reference needs 3 lines.)
        raise NotImplementedError("not written yet")
