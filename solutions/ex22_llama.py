"""Exercise 22: Llama, today's model, made of the parts that you have built.

The picture
-----------
The frame is that of exercise 13, and almost nothing in it is as it was. On the left what GPT-2 has,
on the right what stands here, with the exercise that builds it::

    GPT (exercise 13)                        Llama

    ids (B, T)                               ids (B, T)
     |                                        |
    token_embedding    (V, D)                token_embedding    (V, D)               3
     + position_embedding  (C, D)             |   nothing is added
     |                                        |
     |-- norm1 (LayerNorm)                    |-- attention_norm (RMSNorm)           19
     |   attention (H heads)                  |   attention: queries and keys are    18
     |                                        |     turned, H_kv <= H heads of keys  20
     |                                        |     and values, kept in a cache      17
     + <--'                                   + <--'
     |-- norm2 (LayerNorm)                    |-- feed_forward_norm (RMSNorm)        19
     |   feed_forward (GELU, 4 D)             |   feed_forward (SwiGLU, 8 D / 3)     19
     + <--'               L times             + <--'               L times
     |                                        |
    final_norm                               final_norm (RMSNorm)                    19
    lm_head  (tied)                          lm_head  (tied or not)
     |                                        |
    logits (B, T, V)                         logits (B, T, V)

    biases in every linear layer             no bias anywhere

The intuition
-------------
GPT-2 is from 2019. What has changed in the models since is surprisingly little: a handful of parts,
each exchanged for one that is as simple or simpler. None of them is necessary, and each was
measured before it was believed. The line down the middle, the residual stream, is untouched; so is
the loss, and so are the loop that trains and the loop that writes.

*Where is the position?* Nowhere in the stream. Only the attention asks about it, by the angle
between a query and a key. So the stream at the first block is the token's row and nothing else.

*What is a cache to a model?* In exercise 17 the cache came in from outside, and one function walked
through a model that knew nothing of it. Here it is built in: `forward` takes a cache, hands it to
each block with the number of the layer, and the attention of exercise 20 does the rest. With
rotary positions this is simple: a key is turned when it is made, by its own position, and never
touched again.

*Why do today's models load into your classes?* Because a checkpoint is nothing but named
tensors. If your parts compute what the published ones compute, all that is left is to say which
name means which part.

The mathematics
---------------
With ids x_0 .. x_{T-1} and the token table E (V, D)::

    h      = E[x]                                        (B, T, D)
    h      = h + Attention(RMSNorm(h))                   L times, each time
    h      = h + SwiGLU(RMSNorm(h))                      with weights of its own
    logits = RMSNorm(h) W_head^T                         (B, T, V),  W_head = E if tied

*How many parameters?* With d = D / H, a block has D (D + 2 H_kv d + D) numbers in its attention, 3
D F in its feed-forward network and 2 D in its norms. There is no bias and no position table.

*Tied or not?* Small models tie the head to the table, as GPT-2 does: with V = 49152 and D = 576 the
table has 28 million numbers, a fifth of a model of 135 million. Most large models have a head of
their own. There it costs little, and what is read and what is predicted need not be the same.

*Initial weights* are those of exercise 13: N(0, 0.02), and N(0, 0.02 / sqrt(2 L)) for the two
matrices of a block that write to the stream. An untied head starts as N(0, 0.02) too.

*What does `context_length` mean without a position table?* A position is a number, not a row of a
table, so nothing in the model would break beyond `context_length`. It is the length that the model
was trained for; beyond it come angles that it has never seen. `forward` refuses more, as in
exercise 13, counting what the cache holds. It must refuse before the first block has appended
anything: a cache that is half filled would be worse than an error.

By hand
-------
The stream alone, as in exercise 13: with silent sublayers the head sees the normalized embedding.
Token 0 is (3, 4): its mean square is 12.5, the root of that 3.54, and the norm turns it into
(0.849, 1.131). Its dot products with the rows (3, 4), (4, -3) and (1, 1) are 7.07, 0 and 1.98:

>>> import torch
>>> config = LlamaConfig(3, 4, d_model=2, n_heads=1, n_kv_heads=1, n_layers=1, d_ff=4)
>>> model = Llama(config)
>>> with torch.no_grad():
...     for silent in (model.blocks[0].attention.out_proj, model.blocks[0].feed_forward.down):
...         _ = silent.weight.zero_()
...     _ = model.token_embedding.weight.copy_(torch.tensor([[3.0, 4.0], [4.0, -3.0], [1.0, 1.0]]))
>>> logits, loss = model(torch.tensor([[0]]), targets=torch.tensor([[2]]))
>>> [round(abs(logit), 2) for logit in logits[0, 0].tolist()]
[7.07, 0.0, 1.98]

With exact logits the three exps are 1177.4, 1 and 7.2; the target has 7.2 of 1185.6, and the loss
is -ln of that:

>>> round(loss.item(), 1)
5.1

With a cache, five tokens one at a time give what five at once do, in a fifth of the work each:

>>> from ex17_kv_cache import KVCache
>>> _ = torch.manual_seed(0)
>>> model, cache = Llama(LlamaConfig(vocab_size=11, context_length=8)), KVCache()
>>> ids = torch.tensor([[1, 5, 2, 0, 7]])
>>> steps = [model(ids[:, t : t + 1], cache=cache)[0] for t in range(5)]
>>> torch.allclose(torch.cat(steps, dim=1), model(ids)[0], atol=1e-5), cache.held(3)
(True, 5)

The sizes of published models, on the meta device, where a model has shapes and takes no memory.
First the model of `make chat`: 30 layers of width 576, 9 query heads on 3 heads of keys and values,
and a tied output head. Then Llama of 7 billion: as many heads of keys and values as of queries, and
an output head of its own (exercise 13 came to the same number with a formula):

>>> def size(**sizes):
...     with torch.device("meta"):
...         return sum(p.numel() for p in Llama(LlamaConfig(**sizes)).parameters())
>>> size(
...     vocab_size=49152, context_length=8192, d_model=576, n_heads=9, n_kv_heads=3, n_layers=30,
...     d_ff=1536,
... )
134515008
>>> size(
...     vocab_size=32000, context_length=2048, d_model=4096, n_heads=32, n_kv_heads=32, n_layers=32,
...     d_ff=11008, tied=False,
... )
6738415616

What it buys. The GPT of exercise 13 and a Llama of as many parameters, two layers of width 64 with
four heads each (the Llama with two heads of keys and values, and d_ff = 201), the same batches in
exercise 14's loop: 300 steps of 16 windows of 32 characters of Shakespeare, with a rate that climbs
to 0.005 and falls as a cosine. Held-out loss for three seeds::

                 parameters    seed 0    seed 1    seed 2
    GPT            106048       2.436     2.405     2.421
    Llama          105984       2.205     2.299     2.303

(With the 61 characters of that text:)

>>> from ex13_gpt import GPT, GPTConfig
>>> GPT(GPTConfig(61, 32, d_model=64, n_heads=4, n_layers=2)).num_parameters()
106048
>>> size(vocab_size=61, context_length=32, d_model=64, n_kv_heads=2, n_layers=2, d_ff=201)
105984

Lower each time, by 0.11 to 0.23. Seeds alone make a difference of up to 0.10, so one run would
prove little. Which part does it? Not RMSNorm and SwiGLU: alone they gained 0.01 after 600 steps
from so small a start (exercise 19). Not the grouped queries, which are not there to lower a loss:
they halve what the cache holds. That leaves the rotary positions, which exercise 18 measures alone.

Once your capstone passes, too, `make train MODEL=llama` trains your Llama in place of the GPT,
with about as many parameters, and says where it stands beside your last run of `make train`. With
the recipe of exercise 16 and seed 0, 236,256 parameters came to 1.820 nats per held-out character,
and the GPT's 235,968 to 1.831: one run each, with a recipe that was made for the GPT. `make map`
opens the run that you trained last, a Llama as well: each query and key before and after it is
turned, the heads that share keys and values, and the gate of each SwiGLU, which you can switch off.

From checkpoint to chat
-----------------------
A checkpoint on a model hub is a folder: a `config.json` with the sizes, a tokenizer, and tensors by
name. The sizes have other names there, too::

    LlamaConfig          config.json                     LlamaConfig      config.json
    vocab_size           vocab_size                      n_layers         num_hidden_layers
    context_length       max_position_embeddings         d_ff             intermediate_size
    d_model              hidden_size                     rope_base        rope_theta
    n_heads              num_attention_heads             norm_eps         rms_norm_eps
    n_kv_heads           num_key_value_heads             tied             tie_word_embeddings

The tensors are those in the table of `load_llama_weights`. The files keep each matrix as
`nn.Linear` does, (out, in), so nothing has to be transposed, and their pairs are halves, as in
exercise 18, so nothing has to be reordered. (In files for other programs the pairs may be
neighbours: that is what `halves_from_interleaved` is for.)

`make chat` puts all of it together. It reads a published chat model of 135 million parameters into
*your* `Llama`, writes with *your* cache and *your* sampling, and talks to you in the terminal. What
makes a language model a partner in conversation is not its architecture: the model was trained
further on dialogues in which marks say who speaks. Your message is put between such marks, and the
model continues the text; the mark that ends an answer ends the loop.

What to build
-------------
1. `LlamaBlock`: four parts and two additions.
2. `Llama`: the table, the blocks, the norm, the head, initial weights; then `forward`, with targets
   and with a cache.
3. `load_llama_weights`: a table of names, a check of all shapes, and copies.

`LlamaConfig` is given, and so are the parts: `TokenEmbedding` of exercise 3, `KVCache` of exercise
17, `RMSNorm` and `SwiGLU` of exercise 19, `GroupedQueryAttention` of exercise 20, which turns its
queries and keys with `rotate` of exercise 18. Nothing new is off limits.

Going deeper
------------
*What else do the latest models do differently?* Mixtures of experts replace the feed-forward
network by many, of which each token uses a few. Some models normalize queries and keys, or put a
second norm behind each sublayer; some let only every sixth layer see everything and give the others
a window; some have biases on queries, keys and values. Read a `config.json`, and you will know most
of its words.

*Half precision.* Published weights are mostly bfloat16. `load_llama_weights` copies into the dtype
that your model has. float32 costs twice the memory, and many CPUs are faster with it.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=22` checks them.

- *Count on paper.* `parameter_count(config)` returns as an int how many numbers a `Llama` of these
  sizes learns, from a formula: no model is made for it, so it takes no longer for one of 70
  billion. A tied table counts once. Find the width at which a Llama of 4 layers has as many
  parameters as your GPT of exercise 16, and train both for the same number of steps: `train` of
  exercise 14 takes either.
- *What a token costs.* `multiplications(config, length)` returns as an int how many numbers are
  multiplied when a cache holds the keys and values of `length` tokens and the next one comes: in
  all products of matrices, that is, in the linear layers of the blocks, in the scores of the new
  token and in the mixture of the values (it sees itself as well), and in the head. From which
  length on does a token cost more for the keys than for the weights?

See it again
------------
- The Illustrated GPT-2 (Jay Alammar) and The Illustrated Transformer: the frame, in which this
  exercise replaces the parts. None of the three introductions that this course follows treats
  these parts
- LLaMA: Open and Efficient Foundation Language Models (Touvron et al. 2023), section 2.2: the three
  changes, in ten lines
- Llama 2 (Touvron et al. 2023), section 2.2: grouped queries
- The Llama 3 Herd of Models (Grattafiori et al. 2024), section 3.2
- SmolLM2 (Ben Allal et al. 2025): the family of the chat model
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ex03_embeddings import TokenEmbedding
from ex17_kv_cache import KVCache
from ex19_rmsnorm_swiglu import RMSNorm, SwiGLU
from ex20_grouped_query import GroupedQueryAttention


@dataclass
class LlamaConfig:
    """The sizes of a Llama. (Given.)

    Attributes:
        vocab_size: V, how many tokens there are.
        context_length: C, the most tokens that the model reads, those in a cache included.
        d_model: D, the width of the residual stream.
        n_heads: H, how many query heads each attention has; D is a multiple of it.
        n_kv_heads: H_kv, how many heads of keys and of values; H is a multiple of it.
        n_layers: L, how many blocks there are.
        d_ff: F, the inner width of the feed-forward networks.
        rope_base: the base of the rotary positions.
        norm_eps: the eps of every norm.
        tied: whether the head is the token table.
    """

    vocab_size: int
    context_length: int
    d_model: int = 128
    n_heads: int = 4
    n_kv_heads: int = 2
    n_layers: int = 4
    d_ff: int = 344
    rope_base: float = 10000.0
    norm_eps: float = 1e-5
    tied: bool = True


class LlamaBlock(nn.Module):
    """One layer of a Llama: attention, then a feed-forward network; each adds to the residual stream.

    Args:
        config: the sizes, the base of the rotary positions and the eps of the norms.

    Attributes:
        attention_norm, attention: `RMSNorm` and `GroupedQueryAttention` of the first sublayer.
        feed_forward_norm, feed_forward: `RMSNorm` and `SwiGLU` of the second. No part has a bias.

    Source: Touvron et al. 2023, section 2.2.
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.attention_norm = RMSNorm(config.d_model, config.norm_eps)
        self.attention = GroupedQueryAttention(config.d_model, config.n_heads, config.n_kv_heads, config.rope_base)
        self.feed_forward_norm = RMSNorm(config.d_model, config.norm_eps)
        self.feed_forward = SwiGLU(config.d_model, config.d_ff)
        ### END SOLUTION

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        """Add to the stream what attention and the feed-forward network make of its normalized copy.

        Args:
            x: (B, T, D) the residual stream; left as it is.
            cache: where keys and values of earlier tokens are kept; those of x are added. None if
                there are no earlier tokens.
            layer: the number under which the cache keeps them.

        Returns:
            (B, T, D) the stream after both additions, on the device of x. Each token depends on
            itself and on earlier ones only.
        """
        ### BEGIN SOLUTION
        x = x + self.attention(self.attention_norm(x), cache, layer)  # (B, T, D)
        return x + self.feed_forward(self.feed_forward_norm(x))  # (B, T, D)
        ### END SOLUTION


class Llama(nn.Module):
    """A language model with today's parts: at every position, logits for the token that comes next.

    Weight matrices and the token table start as N(0, 0.02), standard deviation 0.02, an untied head
    too; those of `attention.out_proj` and `feed_forward.down`, which write to the residual stream, as
    N(0, 0.02 / sqrt(2 L)). The norms start as exercise 19 makes them.

    Args:
        config: the sizes; kept as `.config`.

    Attributes:
        token_embedding: `TokenEmbedding`, its table (V, D), not scaled by sqrt(D).
        blocks: an `nn.ModuleList` of L `LlamaBlock`s, each with weights of its own.
        final_norm: `RMSNorm`, with the eps of the config.
        lm_head: `nn.Linear` from D to V without bias. If `config.tied`, its weight *is* the token
            table, one and the same parameter; if not, it is a parameter of its own.

    Source: Touvron et al. 2023, section 2.2; Press and Wolf 2017 (tied head).
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.config = config
        self.token_embedding = TokenEmbedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(LlamaBlock(config) for _ in range(config.n_layers))
        self.final_norm = RMSNorm(config.d_model, config.norm_eps)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied:
            self.lm_head.weight = self.token_embedding.weight  # one parameter, two names

        for name, parameter in self.named_parameters():
            if name.endswith(("attention.out_proj.weight", "feed_forward.down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layers))
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        ### END SOLUTION

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, cache: KVCache | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Predict the next token, at every position.

        Args:
            ids: (B, T) token ids (int64).
            targets: (B, T) the ids that should have been predicted: `targets[b, t]` belongs to
                `logits[b, t]`. Nothing is shifted in here. Both may be slices of a longer tensor (which
                `view` can't flatten) and are left as they are.
            cache: the tokens in `ids` follow those that it holds, and are held by it afterwards;
                block i uses layer i of it. None if nothing comes before them.

        Returns:
            logits (B, T, V), and the loss: the mean cross-entropy over all B * T targets, a scalar
            tensor, or None when no targets are given. Both have the dtype of the weights.

        Raises:
            ValueError: if there are more than C tokens in all, those in the cache included. The
                message names how many there would be, and the cache is as it was.
        """
        ### BEGIN SOLUTION
        length = ids.size(1) if cache is None else cache.held(0) + ids.size(1)
        if length > self.config.context_length:
            raise ValueError(f"{length} tokens in all are more than context_length = {self.config.context_length}")
        x = self.token_embedding(ids)  # (B, T, D)
        for layer, block in enumerate(self.blocks):
            x = block(x, cache, layer)  # (B, T, D)
        logits = self.lm_head(self.final_norm(x))  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # (B*T, V), (B*T,)
        ### END SOLUTION


def load_llama_weights(model: Llama, state: Mapping[str, Tensor]) -> None:
    """Fill a Llama with the weights of a published checkpoint, all of them or none.

    The names on model hubs, and where each entry goes (i counts the blocks); all have the shape that
    they have in the model, and nothing is transposed or reordered::

        model.embed_tokens.weight                           token_embedding
        model.layers.i.input_layernorm.weight               blocks[i].attention_norm
        model.layers.i.self_attn.q_proj.weight              blocks[i].attention.q_proj
        model.layers.i.self_attn.k_proj.weight              blocks[i].attention.k_proj
        model.layers.i.self_attn.v_proj.weight              blocks[i].attention.v_proj
        model.layers.i.self_attn.o_proj.weight              blocks[i].attention.out_proj
        model.layers.i.post_attention_layernorm.weight      blocks[i].feed_forward_norm
        model.layers.i.mlp.gate_proj.weight                 blocks[i].feed_forward.gate
        model.layers.i.mlp.up_proj.weight                   blocks[i].feed_forward.up
        model.layers.i.mlp.down_proj.weight                 blocks[i].feed_forward.down
        model.norm.weight                                   final_norm
        lm_head.weight                                      lm_head, where it is not tied

    Args:
        model: it gets copies: its parameters stay the same objects on the same device and in the same
            dtype, and a tied head stays tied.
        state: tensors by name, left as they are. Entries that the table does not list are ignored, and
            so is `lm_head.weight` if the head is tied.

    Raises:
        ValueError: if entries are missing or do not have the shape that the model needs. The
            message names them all, and no parameter of the model has changed.

    Source: the naming of Llama checkpoints on model hubs.
    """
    ### BEGIN SOLUTION
    homes: dict[str, nn.Module] = {"model.embed_tokens": model.token_embedding, "model.norm": model.final_norm}
    if model.lm_head.weight is not model.token_embedding.weight:
        homes["lm_head"] = model.lm_head
    for i, block in enumerate(model.blocks):
        attention, feed_forward = block.attention, block.feed_forward
        homes |= {
            f"model.layers.{i}.input_layernorm": block.attention_norm,
            f"model.layers.{i}.self_attn.q_proj": attention.q_proj,
            f"model.layers.{i}.self_attn.k_proj": attention.k_proj,
            f"model.layers.{i}.self_attn.v_proj": attention.v_proj,
            f"model.layers.{i}.self_attn.o_proj": attention.out_proj,
            f"model.layers.{i}.post_attention_layernorm": block.feed_forward_norm,
            f"model.layers.{i}.mlp.gate_proj": feed_forward.gate,
            f"model.layers.{i}.mlp.up_proj": feed_forward.up,
            f"model.layers.{i}.mlp.down_proj": feed_forward.down,
        }

    problems, copies = [], []
    for home, module in homes.items():
        name, parameter = f"{home}.weight", module.weight
        if name not in state:
            problems.append(f"{name} is missing")
        elif state[name].shape != parameter.shape:
            problems.append(f"{name} has shape {tuple(state[name].shape)}, not {tuple(parameter.shape)}")
        else:
            copies.append((parameter, state[name]))
    if problems:
        raise ValueError(f"state does not fit the model: {'; '.join(problems)}")
    with torch.no_grad():
        for parameter, values in copies:
            parameter.copy_(values)
    ### END SOLUTION
