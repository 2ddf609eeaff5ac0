"""Exercise 11: the decoder, a writer that looks back at its own words and across at the source.

The picture
-----------
A layer has three sublayers, each in a frame of its own. T is the length of the target, S that of
the source; they need not be equal::

        target x (B, T, D)                                   memory (B, S, D), from the encoder
        |-----------.                                           |
        |     self_attention  <-- self_mask                     |
        |           |             (causal: look back)           |
        + <---------'                                           |
       norm           attention_residual                        |
        |  (B, T, D)                                            |
        |-----------. queries (B, T, D)                         |
        |     cross_attention  <---- keys, values (B, S, D) ----+
        |           |          <-- memory_mask                  |
        + <---------'             (padding: look across)        |
       norm           cross_residual                            |
        |  (B, T, D)                                            v
        |-----------.                                   to the next layer,
        |     feed_forward (think)                      the same memory again
        |           |
        + <---------'
       norm           feed_forward_residual
        |
        out (B, T, D)             in pre-norm each norm moves to the front of its sublayer

The two attentions have weights and masks of different shapes. Rows ask, columns are looked at, and
`<s>` marks the beginning::

        self_attention (T, T)                     cross_attention (T, S)

                <s>  the  dog                             le  chien  aboie  PAD
        <s>      x    .    .    predicts "the"     <s>      x    x      x     .
        the      x    x    .    predicts "dog"     the      x    x      x     .
        dog      x    x    x    predicts "barks"   dog      x    x      x     .

The intuition
-------------
Think of a translator at work. She rereads what she has written so far (self-attention), goes to the
original to find what comes next (cross-attention), and thinks before she writes (feed-forward
network). The decoder does this in every layer.

*Cross-attention.* Who asks, and who answers? The target has the question: "I have written 'the
dog'; which part of the source do I need now?" So the *queries* come from the target, one for each
of its positions. The source has the answers: each of its words offers a *key*, by which it is
found, and a *value*, which it hands over, so both come from the memory.

Without a key, `MultiHeadAttention` attends to its query: the decoder reads its own words twice and
the source never. It will still write fluent sentences, which have nothing to do with the original.

*Why a causal mask, if the future is not there anyway?* When the decoder is used, it isn't: the next
word does not exist yet. In training the translation is known, so instead of feeding one beginning
after another, T passes for T predictions, we feed all of it at once and let each position predict
the word that comes next. Now the answer to each prediction is in the input, one position further
on. The mask hides it, so that every position gets exactly what it would have got in a pass of its
own. The source may be read whole: it is not what is being predicted.

The mathematics
---------------
::

    h1  = norm1(x  + drop(Attention(q = x,  k = x, v = x;  self_mask)))          post-norm
    h2  = norm2(h1 + drop(Attention(q = h1, k = m, v = m;  memory_mask)))        m: the memory
    out = norm3(h2 + drop(FFN(h2)))

    h1  = x  + drop(Attention(n, n, n; self_mask)),    n = norm1(x)              pre-norm
    h2  = h1 + drop(Attention(n, m, m; memory_mask)),  n = norm2(h1)
    out = h2 + drop(FFN(norm3(h2))),  and one more norm after the last layer

    scores of the cross-attention: q (B, H, T, d), k (B, H, S, d), q k^T / sqrt(d) (B, H, T, S)

*Which memory?* What the encoder's *last* layer returned, the same one for every layer of the
decoder. Each has key and value projections of its own, and so reads what it needs in it.

*Is the memory normalized again, in pre-norm?* No. It has left the encoder through a norm and
already has one scale. The frame's norm is for the stream that is being written to.

*Two masks, two lengths.* `self_mask` is about pairs of target and target, `memory_mask` about pairs
of target and source. If T and S differ, mixing them up raises an error. If they happen to be equal,
nothing crashes: the decoder looks ahead, and the training loss falls beautifully.

*Who makes the causal mask?* The caller. A layer that makes masks of its own can't be used for
anything else, and what it hides is invisible where it is called. `None` hides nothing.

By hand
-------
The weights have one row for each position of the target and one column for each word of the source.
The result has the target's shape:

>>> import torch
>>> layer = DecoderLayer(12, 3, 24).eval()
>>> x, memory = torch.randn(1, 3, 12), torch.randn(1, 5, 12)  # T = 3, S = 5
>>> layer.cross_attention(x, memory, return_weights=True)[1].shape  # (B, H, T, S)
torch.Size([1, 3, 3, 5])
>>> layer(x, memory).shape
torch.Size([1, 3, 12])

One pass does the work of T: with the causal mask, each position of the whole target gets what it
gets when the target ends there. Without the mask, it doesn't:

>>> causal = torch.ones(3, 3, dtype=torch.bool).tril()
>>> whole = layer(x, memory, causal)
>>> for t in (1, 2, 3):
...     alone = layer(x[:, :t], memory, causal[:t, :t])
...     print(torch.allclose(whole[:, t - 1], alone[:, -1], atol=1e-5))
True
True
True
>>> torch.allclose(layer(x, memory)[:, 0], layer(x[:, :1], memory)[:, 0], atol=1e-5)
False

To the cross-attention the memory is a set: reversed, it says the same. The order of the source is
in its vectors, which the positions at the encoder's input have put there.

>>> torch.allclose(layer(x, memory.flip(1)), layer(x, memory), atol=1e-5)
True

How big is it? One attention and one norm more than the encoder's layer. With D = 512, F = 2048 and
six layers, as in the paper's base model, by the formulas and then from your modules:

>>> D, F = 512, 2048
>>> 2 * (4 * D * D + 4 * D) + (2 * D * F + F + D) + 3 * 2 * D
4204032
>>> def count(module):
...     return sum(parameter.numel() for parameter in module.parameters())
>>> with torch.device("meta"):
...     layer, decoder = DecoderLayer(D, 8, F), Decoder(6, D, 8, F)
>>> count(layer), count(decoder)
(4204032, 25224192)
>>> both = 18914304 + count(decoder)  # with the encoder of exercise 10
>>> round(both / 1e6, 1)
44.1

Add one table for "about 37000" tokens, which source, target and output layer share (sections 3.4
and 5.1 of the paper), and you have 63.1 million. Table 3 of the paper says 65, and does not list
the parts.

>>> round((both + 37000 * D) / 1e6, 1)
63.1

What to build
-------------
1. `DecoderLayer`: six parts; three frames call three sublayers. Before you write `forward`, say for
   each attention who asks, who answers, and which mask belongs to it.
2. `Decoder`: like `Encoder`, but every layer gets the memory and both masks.

Off limits: `nn.Transformer` and its layers.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=11` checks them.

- *The memory, read once.* While a translation is written, the decoder runs once for each token, but
  the memory stays as it is, and so do its keys and values. `memory_keys(layer, memory, n_heads)`
  gets a `DecoderLayer` and returns the pair k, v of its `cross_attention`, each (B, H, S, d).
  `cross_attend(layer, x, k, v, memory_mask=None)` takes them and returns (B, T, D): what
  `layer.cross_attention(x, memory, mask=memory_mask)` returns in evaluation mode, without a look at
  the memory. How many of the multiplications does that save? (Exercise 17 does the same for the
  layer that looks at itself, where each token adds a key.)

See it again
------------
- The Illustrated Transformer (Jay Alammar), "The Decoder Side", with the animations of both phases
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 3, on the decoder's masked
  attention
- What are Transformer Neural Networks? (Ari Seff), the part on the decoder
- Attention Is All You Need (Vaswani et al. 2017), sections 3.1 ("Decoder"), 3.2.3 (the three uses
  of attention) and figure 1, the right half
- Neural Machine Translation by Jointly Learning to Align and Translate (Bahdanau et al. 2014),
  section 3: the first decoder that looked across, and figure 3: where it looked
"""

from __future__ import annotations

from torch import Tensor, nn

from ex07_multi_head import MultiHeadAttention
from ex08_residual_norm import LayerNorm, Residual
from ex09_feed_forward import FeedForward


class DecoderLayer(nn.Module):
    """Look at what is written so far, then at the source, then process each position by itself.

    Args:
        d_model: D, the width of both streams.
        n_heads: H, the number of heads of each attention; D is a multiple of it.
        d_ff: F, the inner width of the feed-forward network.
        dropout: the probability that a number is dropped in training. All six parts get it, and
            nothing else drops.
        norm_first: True for pre-norm, False for post-norm. Note the default: as published in 2017.

    Attributes:
        self_attention, cross_attention: `MultiHeadAttention` with biases.
        feed_forward: `FeedForward` with the activation "relu".
        attention_residual, cross_residual, feed_forward_residual: the `Residual` around each.

    Raises:
        ValueError: `d_model` is not divisible by `n_heads`, or `dropout` lies outside 0..1; the
            message names the value. (The parts see to it.)

    Source: Vaswani et al. 2017, section 3.1 ("Decoder") and figure 1.
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
        ### BEGIN SOLUTION
        self.self_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.cross_attention = MultiHeadAttention(d_model, n_heads, dropout=dropout)
        self.feed_forward = FeedForward(d_model, d_ff, activation="relu", dropout=dropout)
        self.attention_residual = Residual(d_model, dropout, norm_first)
        self.cross_residual = Residual(d_model, dropout, norm_first)
        self.feed_forward_residual = Residual(d_model, dropout, norm_first)
        ### END SOLUTION

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Look back, look across, then process what was found.

        No mask is made in here. A caller who does not want the layer to look ahead passes a causal
        one.

        Args:
            x: (B, T, D) the target's stream; left as it is.
            memory: (B, S, D) what the encoder returned, already normalized; it is used as it is,
                and left as it is.
            self_mask: boolean, broadcasts to (B, H, T, T), True means "may attend": which positions
                of the target each position of the target may look at. None hides nothing.
            memory_mask: boolean, broadcasts to (B, H, T, S): which positions of the memory they may
                look at. For a padded source, `padding_mask(...)[:, None, None, :]`.

        Returns:
            (B, T, D) in the dtype and on the device of x and the memory.
        """
        ### BEGIN SOLUTION
        x = self.attention_residual(x, lambda h: self.self_attention(h, mask=self_mask))
        x = self.cross_residual(x, lambda h: self.cross_attention(h, memory, mask=memory_mask))
        return self.feed_forward_residual(x, self.feed_forward)  # (B, T, D)
        ### END SOLUTION


class Decoder(nn.Module):
    """A stack of decoder layers. Each of them reads the same memory.

    Args:
        n_layers: N, how many layers there are.
        d_model, n_heads, d_ff, dropout, norm_first: as in `DecoderLayer`.

    Attributes:
        layers: an `nn.ModuleList` of N `DecoderLayer`s, each with parameters of its own.
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
        ### BEGIN SOLUTION
        options = (d_model, n_heads, d_ff, dropout, norm_first)
        self.layers = nn.ModuleList(DecoderLayer(*options) for _ in range(n_layers))
        self.norm = LayerNorm(d_model) if norm_first else None
        ### END SOLUTION

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        self_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> Tensor:
        """Go through all layers, from the first to the last.

        Args:
            x: (B, T, D) the embedded target with its positions; left as it is.
            memory: (B, S, D) what the encoder returned, after its last layer; left as it is.
            self_mask, memory_mask: as in `DecoderLayer.forward`; every layer gets the same.

        Returns:
            (B, T, D): what a linear layer turns into logits (exercise 12).
        """
        ### BEGIN SOLUTION
        for layer in self.layers:
            x = layer(x, memory, self_mask, memory_mask)  # (B, T, D)
        return x if self.norm is None else self.norm(x)
        ### END SOLUTION
