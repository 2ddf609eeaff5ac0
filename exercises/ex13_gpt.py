"""Exercise 13: GPT, the whole decoder: from token ids to a prediction of every next token.

The picture
-----------
Every piece below is one that you have built. The line in the middle, one vector of width D for each
position, is the *residual stream*; everything else reads from it and adds to it::

    ids (B, T)                                    "h e l l"
     |
     v
    token_embedding     (V, D) <- - - - - - - - - - - - - - - - - - - - - .
     |  (B, T, D)                                                         :
     + <-- position_embedding, rows 0..T-1 of (C, D)                      :
     |                                                                    :
     |----> norm1 --> attention (causal) --.      the only place where    :
     |                                     |      positions see each      :
     + <-- (B, T, D) ----------------------'      other                   :
     |                                                     Block, L times :  one table,
     |----> norm2 --> feed_forward --------.      each position           :  used twice
     |                                     |      by itself               :
     + <-- (B, T, D) ----------------------'                              :
     |                                                                    :
    final_norm          (B, T, D)                                         :
     |                                                                    :
    lm_head             (D, V) <- - - - - the same table, transposed  - - '
     |
     v
    logits (B, T, V)                              predictions of "e l l o"

The intuition
-------------
*The stream.* Think of a notebook for each position, passed down the page. The embeddings write the
first entry: which token, at which place. Each sublayer reads the notebook (through a norm), works
something out and *adds* it; nothing is overwritten. So a later layer can use what any earlier layer
wrote, and the gradient of the loss reaches every layer by the same straight line. Attention carries
notes from earlier positions to later ones; the feed-forward network processes one position's notes
on their own.

*What each position predicts.* Position t has seen tokens 0 to t and nothing after them, and its
logits predict token t + 1. One pass over T tokens is therefore T exercises in prediction at once.
That is why the mask matters so much: if position t could look at t + 1, it would copy the answer,
the loss would fall to almost nothing, and the model would be useless at inference, where there is
no next token to look at. Shifting is the caller's job: `targets[b, t]` is what `logits[b, t]`
should have predicted, `ids` one token later.

*What became of the decoder of 2017.* It translated: an encoder read the source, and each decoder
layer looked at the result by cross-attention. A language model has no separate source. Prompt and
answer are one sequence, so the encoder and the cross-attention go, and what is left is a stack of
causal layers::

                        decoder of 2017                    GPT-2
    a layer             self-attention, cross-attention,   self-attention,
                        feed-forward                       feed-forward
    norm                after each addition                before each sublayer, and one at the end
    positions           sinusoidal, fixed                  learned
    embeddings          times sqrt(D)                      as they are
    activation          relu                               gelu, by its tanh formula

*The family.* The transformer of 2017 has two halves. Each half alone has become a model as well::

                          the transformer (Vaswani et al. 2017)
                          reads with an encoder, writes with a decoder
              .-----------------------+---------------------------.
              |                       |                           |
        encoder only            both halves                 decoder only
        BERT (2018)             T5 (2019)                   GPT (2018), GPT-2 (2019),
                                                            GPT-3 (2020), Llama (2023)

        sees    everything      the input whole,            what comes before
                                the output so far
        learns  to fill in      to write the output         to predict the next token,
        from    hidden words    that belongs to an input    at every position
        gives   a vector for    one text for another        the continuation of a text
                each token
        for     classifying,    translating,                writing, answering, and by
                searching,      summarizing                 way of prompts nearly all of
                tagging                                     the rest

A model that reads in both directions understands a given text well, but can't write one from left
to right: it has learned to use what comes after. BERT picks 15 % of the tokens, hides most of them,
and predicts these 15 % alone (Devlin et al. 2019, section 3.1). A decoder gets a training signal
from every token of any text, needs no pairs of input and output, and does each new task as the
continuation of a prompt. That is why the large models of today are of this kind.

The mathematics
---------------
With ids x_0 .. x_{T-1}, the token table E (V, D) and the position table P (C, D)::

    h      = E[x] + P[0..T-1]                            (B, T, D)
    h      = h + Attention(norm1(h))                     L times, each time
    h      = h + FeedForward(norm2(h))                   with weights of its own
    logits = final_norm(h) E^T                           (B, T, V)
    loss   = - mean over b, t of log softmax(logits[b, t])[targets[b, t]]

*Why norm before the sublayer?* Then the line from the embeddings to the head consists of additions
alone, and deep stacks train without a careful warm-up. But nothing on it limits the size of the
stream, which grows with each addition. Hence one more norm at the end, before the head reads it.

*Why is the head the same table as the embedding?* Both hold one vector for each token: one says
what a token means where it is read, the other which stream it should be predicted from. Tokens that
are used alike should be near each other in both. Sharing them (Press and Wolf 2017) saves V * D
numbers, in GPT-2 small nearly a third of the model, and each row learns at every step: as an input
when its token is read, as an output always. Tied means *one* parameter with two names, not two that
start out equal: those would drift apart from the first step on.

*Why start at N(0, 0.02)?* With small weights the first logits are all nearly equal, every token
gets a probability of about 1/V, and the loss begins near ln V: the model knows nothing, and is not
sure of anything. With large weights it would begin by being sure of things that are wrong.

*Why smaller still where a sublayer writes to the stream?* There are 2L such places. If each adds a
vector of independent entries of variance s^2, the stream's variance grows by 2L s^2: with the
depth. Drawing `attention.out_proj` and `feed_forward.down` with 0.02 / sqrt(2L) makes the sum of
all these additions as large as one of them would have been, however deep the model is (Radford et
al. 2019, section 2.3).

By hand
-------
First the stream alone. One layer whose two projections write zeros adds nothing, so the head sees
the normalized embedding. Take D = 2 and three tokens, without positions:

>>> import torch
>>> model = GPT(GPTConfig(vocab_size=3, context_length=4, d_model=2, n_heads=1, n_layers=1))
>>> with torch.no_grad():
...     for silent in (model.blocks[0].attention.out_proj, model.blocks[0].feed_forward.down):
...         _ = silent.weight.zero_()
...     _ = model.position_embedding.weight.zero_()
...     _ = model.token_embedding.weight.copy_(torch.tensor([[3.0, 1.0], [0.0, 2.0], [1.0, 2.0]]))

Token 0 is (3, 1): mean 2, standard deviation 1, so the norm turns it into (1, -1). Its dot products
with the three rows of the table are 3 - 1, 0 - 2 and 1 - 2:

>>> logits, loss = model(torch.tensor([[0]]), targets=torch.tensor([[1]]))
>>> [round(logit, 2) for logit in logits[0, 0].tolist()]
[2.0, -2.0, -1.0]

e^2, e^-2 and e^-1 are 7.389, 0.135 and 0.368, together 7.892. Each divided by the sum is a
probability; the target, token 1, has 0.0171, and the loss is -ln 0.0171:

>>> [round(p, 3) for p in torch.softmax(logits[0, 0], dim=-1).tolist()]
[0.936, 0.017, 0.047]
>>> round(loss.item(), 2)
4.07

That model was sure and wrong. One that knows nothing would have a loss of ln 3, and with a
vocabulary of 65 characters (as in exercise 16) of ln 65:

>>> import math
>>> round(math.log(3), 2), round(math.log(65), 2)
(1.1, 4.17)

Next the residual projections of GPT-2 small, L = 12: 24 additions of variance (0.02 / sqrt(24))^2
add up to the variance of one with 0.02:

>>> round(0.02 / math.sqrt(2 * 12), 5), round(24 * (0.02 / math.sqrt(24)) ** 2, 6) == 0.02**2
(0.00408, True)

Last the size of GPT-2 small: V = 50257, C = 1024, D = 768, L = 12. In a block, the attention has
four D x D matrices with a bias each, the feed-forward network two of 4 D^2 with 5 D biases, the
norms 4 D:

>>> V, C, D, L = 50257, 1024, 768, 12
>>> attention, feed_forward, norms = 4 * D**2 + 4 * D, 8 * D**2 + 5 * D, 4 * D
>>> block = attention + feed_forward + norms
>>> V * D, C * D, L * block, 2 * D
(38597376, 786432, 85054464, 1536)
>>> V * D + C * D + L * block + 2 * D
124439808

That is the "124M" of its name, and the head is not in the sum, since it is the table. Your model
must come to the same; on the meta device it has shapes and takes no memory:

>>> with torch.device("meta"):
...     gpt2_small = GPT(GPTConfig(V, C, d_model=D, n_heads=12, n_layers=L))
>>> gpt2_small.num_parameters()
124439808

The same formula gives the other sizes of GPT-2, and GPT-3 (Brown et al. 2020, table 2.1) with
D = 12288, L = 96 and twice the context. (Every other layer of GPT-3 uses sparse attention; that
changes no parameter.) In billions:

>>> def gpt(D, L, C=1024, V=50257):
...     return V * D + C * D + L * (12 * D**2 + 13 * D) + 2 * D
>>> [round(gpt(D, L) / 1e9, 3) for D, L in ((768, 12), (1024, 24), (1280, 36), (1600, 48))]
[0.124, 0.355, 0.774, 1.558]
>>> round(gpt(12288, 96, C=2048) / 1e9, 1)
174.6

(The GPT-2 paper says 117M, 345M, 762M and 1542M; its authors later called these counts wrong.) The
larger the model, the less the tables matter: of GPT-3, all but 0.4 % is in the 12 D^2 of its
blocks. In two bytes each, its parameters take 349 GB:

>>> round(1 - 96 * 12 * 12288**2 / gpt(12288, 96, C=2048), 3)
0.004
>>> round(2 * gpt(12288, 96, C=2048) / 1e9)
349

The Llama of 7 billion parameters (Touvron et al. 2023) has other parts, but they are counted in the
same way. There are no biases, no position table, norms with a weight only, three matrices of D x F
in the feed-forward network, and a head of its own. With D = 4096, F = 11008, L = 32, V = 32000:

>>> D, F_, L, V = 4096, 11008, 32, 32000
>>> 2 * V * D + L * (4 * D**2 + 3 * D * F_ + 2 * D) + D
6738415616

What to build
-------------
1. `Block`: norm, attention, add; norm, feed-forward, add. Causal, for any length up to the
   context's.
2. `GPT`: the embeddings, the blocks, the last norm and the tied head (`__init__`, with the initial
   weights, which `nn.init.normal_` and `nn.init.zeros_` write in place); the logits and the loss
   (`forward`); the count (`num_parameters`).
3. `load_gpt2_weights`: pour a *checkpoint* of GPT-2 (its weights, by name) into your model. If it
   then writes as GPT-2 does, each of your pieces is right. (`make gpt2`, which comes with exercise
   16, downloads the weights and tries it.)

`GPTConfig` is given. `F.cross_entropy` is yours to use from here on: you have built it in exercise
1. Off limits: `nn.Transformer*`, and still `nn.Embedding`, `nn.LayerNorm`, `nn.GELU`,
`nn.MultiheadAttention`, `F.scaled_dot_product_attention` and their functional twins: you have your
own.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=13` checks them.

- *Count on paper.* `parameter_count(config)` returns as an int how many numbers a `GPT` of these
  sizes learns, from a formula: no model is made for it, so it takes no longer for one of the size
  of GPT-3. The tied table counts once. Which part grows fastest with D, and which one dominates in
  a small model?
- *The logit lens.* `logit_lens(model, ids)` returns (L + 1, B, T, V): the logits that a `GPT` in
  evaluation mode would give if it had no blocks at all, only the first one, the first two and so on
  up to all L; the last norm and the head come after each (nostalgebraist 2020). The last of them
  are those of the model. From which block on is the answer there?

See it again
------------
- The Illustrated GPT-2 (Jay Alammar), part 1, from "Transformers for Language Modeling" on; its
  part 2 goes through the numbers of a block
- Let's build GPT: from scratch, in code, spelled out (Andrej Karpathy), a lecture that arrives at
  this model; and nanoGPT, its `model.py`, to read after you have written yours
- The Illustrated Transformer (Jay Alammar), "The Decoder Side" and "The Final Linear and Softmax
  Layer"
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 3, on the decoder's masked
  attention
- What are Transformer Neural Networks? (Ari Seff), the part on the decoder
- Improving Language Understanding by Generative Pre-Training (Radford et al. 2018), section 3.1
- Language Models are Unsupervised Multitask Learners (Radford et al. 2019), section 2.3: what GPT-2
  changed, on half a page
- Using the Output Embedding to Improve Language Models (Press and Wolf 2017)
- BERT (Devlin et al. 2019), section 3, and T5 (Raffel et al. 2020), section 2.1: the relatives
- A Mathematical Framework for Transformer Circuits (Elhage et al. 2021), on the residual stream
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ex03_embeddings import TokenEmbedding
from ex04_positions import LearnedPositions
from ex06_masks import causal_mask
from ex07_multi_head import MultiHeadAttention
from ex08_residual_norm import LayerNorm
from ex09_feed_forward import FeedForward


@dataclass
class GPTConfig:
    """The sizes of a GPT. (Given.)

    Attributes:
        vocab_size: V, how many tokens there are.
        context_length: C, the most tokens that the model reads at once.
        d_model: D, the width of the residual stream.
        n_heads: H, how many heads each attention has; D is a multiple of it.
        n_layers: L, how many blocks there are.
        d_ff: F, the inner width of the feed-forward networks; None stands for 4 D.
        dropout: the probability that a number is dropped while the model trains; in evaluation mode
            none is. GPT-2 drops from the sum of the embeddings, from the attention weights and from
            what each sublayer adds to the stream. Where you drop is up to you.
        bias: whether the linear layers of the blocks add a bias, as GPT-2's do. The head never has
            one; the layer norms are not affected.
    """

    vocab_size: int
    context_length: int
    d_model: int = 128
    n_heads: int = 4
    n_layers: int = 4
    d_ff: int | None = None
    dropout: float = 0.0
    bias: bool = True


class Block(nn.Module):
    """One layer of a GPT: attention, then a feed-forward network; each adds to the residual stream.

    Args:
        config: the sizes. The feed-forward network uses the activation "gelu_tanh", as GPT-2 does.

    Attributes:
        norm1, attention: `LayerNorm` and `MultiHeadAttention` of the first sublayer.
        norm2, feed_forward: `LayerNorm` and `FeedForward` of the second.

    Source: Radford et al. 2019, section 2.3 (norm first); Vaswani et al. 2017, section 3.1.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        # Your code here. (The reference needs 5 lines.)
        raise NotImplementedError("not written yet")

    def forward(self, x: Tensor) -> Tensor:
        """Add to the stream what attention and the feed-forward network make of it.

        Args:
            x: (B, T, D) the residual stream, T from 1 to C; left as it is.

        Returns:
            (B, T, D) the stream after both additions, on the device of x. Position t depends on
            positions 0 to t only.
        """
        # Your code here. (The reference needs 3 lines.)
        raise NotImplementedError("not written yet")


class GPT(nn.Module):
    """A language model: at every position, logits for the token that comes next.

    Weight matrices and both embedding tables start as N(0, 0.02), standard deviation 0.02; those of
    `attention.out_proj` and `feed_forward.down`, which write to the residual stream, as
    N(0, 0.02 / sqrt(2 L)). Biases start at 0, the norms as exercise 8 makes them.

    Args:
        config: the sizes; kept as `.config`.

    Attributes:
        token_embedding: `TokenEmbedding`, its table (V, D), not scaled by sqrt(D).
        position_embedding: `LearnedPositions`, its table (C, D).
        blocks: an `nn.ModuleList` of L `Block`s, each with weights of its own.
        final_norm: `LayerNorm`.
        lm_head: `nn.Linear` from D to V without bias; its weight *is* the token table, one and the
            same parameter.

    Source: Radford et al. 2018, section 3.1, and 2019, section 2.3; Press and Wolf 2017 (tied
    head).
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        # Your code here. (The reference needs 15 lines.)
        raise NotImplementedError("not written yet")

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Predict the next token, at every position.

        Args:
            ids: (B, T) token ids (int64), T from 1 to C.
            targets: (B, T) the ids that should have been predicted: `targets[b, t]` belongs to
                `logits[b, t]`. The caller has shifted them; nothing is shifted in here. Both may be
                slices of a longer tensor (which `view` can't flatten) and are left as they are.

        Returns:
            logits (B, T, V), and the loss: the mean cross-entropy over all B * T targets, a scalar
            tensor, or None when no targets are given. Both have the dtype of the weights.

        Raises:
            ValueError: if T is larger than C. The message names T.
        """
        # Your code here. (The reference needs 10 lines.)
        raise NotImplementedError("not written yet")

    def num_parameters(self, trainable_only: bool = True) -> int:
        """Count the numbers that the model learns.

        Args:
            trainable_only: whether to leave out parameters that are frozen (`requires_grad=False`).

        Returns:
            how many numbers the parameters hold in total. A tied table counts once.
        """
        # Your code here. (The reference needs 1 line.)
        raise NotImplementedError("not written yet")


def load_gpt2_weights(model: GPT, state: Mapping[str, Tensor]) -> None:
    """Fill a GPT with the weights of a GPT-2 checkpoint, all of them or none.

    The published names and shapes, and where each entry goes (i counts the blocks)::

        wte.weight                (V, D)         token_embedding
        wpe.weight                (C, D)         position_embedding
        h.i.ln_1.weight, .bias    (D,)           blocks[i].norm1
        h.i.attn.c_attn.weight    (D, 3 D)       q_proj, k_proj, v_proj of blocks[i].attention,
        h.i.attn.c_attn.bias      (3 D,)           side by side in this order
        h.i.attn.c_proj.weight    (D, D)         blocks[i].attention.out_proj
        h.i.attn.c_proj.bias      (D,)
        h.i.ln_2.weight, .bias    (D,)           blocks[i].norm2
        h.i.mlp.c_fc.weight       (D, F)         blocks[i].feed_forward.up
        h.i.mlp.c_fc.bias         (F,)
        h.i.mlp.c_proj.weight     (F, D)         blocks[i].feed_forward.down
        h.i.mlp.c_proj.bias       (D,)
        ln_f.weight, .bias        (D,)           final_norm

    GPT-2 computes `x @ W + b`, with W of shape (in, out). `nn.Linear` computes `x @ W.T + b` and
    keeps W as (out, in). So the four matrices `c_attn`, `c_proj`, `c_fc` and `c_proj` of a block
    arrive transposed. The tables do not.

    Args:
        model: a GPT with `config.bias` on. It gets copies: its parameters stay the same objects on
            the same device and in the same dtype, and the head stays tied.
        state: tensors by name; all names may begin with "transformer.", or none. Entries that the
            table does not list (attention-mask buffers such as `h.0.attn.bias`, `lm_head.weight`)
            are ignored. The tensors are left as they are.

    Raises:
        ValueError: if entries are missing or do not have the shape that the model needs. The
            message names them all, and no parameter of the model has changed.

    Source: Radford et al. 2019 and the code that was published with it.
    """
    # Your code here. (The reference needs 37 lines.)
    raise NotImplementedError("not written yet")
