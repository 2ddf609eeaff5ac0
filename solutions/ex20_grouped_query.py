"""Exercise 20: grouped-query attention: many questions, few keys, and a cache that fits.

The picture
-----------
Eight query heads in three arrangements. Each letter is a head of its own; below it, the head of
keys and values that it reads::

    multi-head (2017)          grouped-query (2023)        multi-query (2019)

    q  a b c d e f g h         q  a b c d e f g h          q  a b c d e f g h
       | | | | | | | |            | | | | | | | |             | | | | | | | |
    kv 0 1 2 3 4 5 6 7         kv '0' '1' '2' '3'          kv '------ 0 -----'

       H_kv = 8                   H_kv = 4, times = 2         H_kv = 1, times = 8

One layer with H = 4 and H_kv = 2, for T new tokens. What is narrow is drawn narrow::

    x (B, T, D) --.-- q_proj (D to D) ------> q (B, 4, T, d) -- rotate ------------------.
                  |                                                                      |
                  |-- k_proj (D to D/2) --> k (B, 2, T, d) -- rotate --.                 |
                  |                                                    |                 |
                  '-- v_proj (D to D/2) --> v (B, 2, T, d) ---------.  |                 |
                                                                    v  v                 |
                                              the cache of the layer: 2 heads            |
                                                                    |  |                 |
                                                          repeat_heads(.., 2)            |
                                                                    v  v                 v
    out (B, T, D) <-- out_proj <-- merge <------------ softmax(q k^T / sqrt(d)) v,  4 heads each

The intuition
-------------
Exercise 17 made writing fast, at a price: two rows of D numbers for each token in each layer. That
is the memory which now limits how long a text may be and how many texts a machine can write at
once. It is more than a matter of room. For each new token, every key and every value has to be
fetched once. With long texts, that takes longer than all the multiplications.

What could be saved? The heads differ in what they look for: that is the queries. Do they need eight
views of what there is to find, too? Picture readers in a library. Eight readers have eight
questions, but they need not have eight catalogues: two readers can share one, each looking up
something else in it. If all eight share one, the catalogue has to be written so that it serves
every question, and that costs something. Two readers to a catalogue hardly notice.

So the queries keep their H heads, and keys and values get fewer, H_kv. The heads are split into
H_kv groups of neighbours; each group shares one head of keys and one of values. With H_kv = H this
is the attention of exercise 18, with H_kv = 1 it is the *multi-query* attention of 2019, and in
between lies what most open models have used since 2023: a quarter or an eighth of the heads.

The mathematics
---------------
With d = D / H and times = H / H_kv, query head h reads the head g = h // times of keys and values::

    Q  =  x W_q    (T, H * d)            out_h  =  softmax(Q_h K_g^T / sqrt(d) + M) V_g
    K  =  x W_k    (T, H_kv * d)
    V  =  x W_v    (T, H_kv * d)         g  =  h // times

*Which heads form a group?* Neighbours: heads 0 to times - 1 read head 0. It could have been every
other one; but published checkpoints agree on this order, and with another one all their weights are
read wrongly without an error message.

*What is kept?* The H_kv heads as they are, before they are repeated. Repeating first and keeping
the result gives the same output, and saves nothing.

*Rotated or not?* A key is turned by its own position, which does not change any more (exercise 18).
So it is turned once, when it comes, and kept turned. The new tokens' positions begin at the number
of tokens held in the layer. A window may even slide now: what counts is the distance between query
and key, and it stays.

*What it costs in parameters.* Keys and values shrink from 2 D^2 to 2 D^2 H_kv / H. Some models
spend what they save on a wider feed-forward network.

By hand
-------
Two heads of keys, one token, width 1; six query heads are to read them. Heads 0 to 2 read the
first:

>>> import torch
>>> x = torch.tensor([[[[1.0]], [[2.0]]]])
>>> repeat_heads(x, 3).flatten().tolist()
[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]

A layer with D = 64, H = 8, H_kv = 2. A head is 8 wide, so keys and values are 16 wide together:

>>> layer = GroupedQueryAttention(64, n_heads=8, n_kv_heads=2)
>>> tuple(layer.q_proj.weight.shape), tuple(layer.k_proj.weight.shape)
((64, 64), (16, 64))
>>> sum(p.numel() for p in layer.parameters()), 4 * 64**2
(10240, 16384)

Ten tokens at once, and the same ten through a cache, in pieces of six and four. What is kept has
two heads:

>>> from ex17_kv_cache import KVCache
>>> _ = torch.manual_seed(0)
>>> x, cache = torch.randn(1, 10, 64), KVCache()
>>> pieces = [layer(piece, cache) for piece in x.split([6, 4], dim=1)]
>>> torch.allclose(torch.cat(pieces, dim=1), layer(x), atol=1e-6), cache.held(0)
(True, 10)
>>> keys, values = cache.append(0, torch.zeros(1, 2, 1, 8), torch.zeros(1, 2, 1, 8))
>>> tuple(keys.shape)
(1, 2, 11, 8)

What it buys. The cache of one text of 8192 tokens in gigabytes, two bytes for each number: with as
many heads of keys and values as of queries, with as many as the model really has, and with one.
(The sizes are those of the papers; of these models, only Llama 3 reads so long a text.)

>>> models = {"GPT-3 175B": (96, 96, 96, 128), "PaLM 540B": (118, 48, 1, 256),
...           "Llama 2 7B": (32, 32, 32, 128), "Llama 2 70B": (80, 64, 8, 128),
...           "Llama 3 8B": (32, 32, 8, 128), "Llama 3 405B": (126, 128, 8, 128)}
>>> for name, (layers, heads, kv_heads, width) in models.items():
...     sizes = [cache_bytes(layers, h, width, 8192) / 1e9 for h in (heads, kv_heads, 1)]
...     print(f"{name:<13}{kv_heads:>3} of {heads:<4}", *[f"{size:7.2f}" for size in sizes])
GPT-3 175B    96 of 96     38.65   38.65    0.40
PaLM 540B      1 of 48     47.51    0.99    0.99
Llama 2 7B    32 of 32      4.29    4.29    0.13
Llama 2 70B    8 of 64     21.47    2.68    0.34
Llama 3 8B     8 of 32      4.29    1.07    0.13
Llama 3 405B   8 of 128    67.65    4.23    0.53

Llama 2 70B, ten times as large as Llama 2 7B, has the smaller cache. And a model of 405 billion
parameters that reads 128,000 tokens needs 66 GB for one text instead of 1057:

>>> [round(cache_bytes(126, heads, 128, 128_000) / 1e9) for heads in (8, 128)]
[66, 1057]

Going deeper
------------
*Why it is faster, too.* For one new token, attention multiplies each key with one query: fetch a
number, use it once. With a group of eight, each key is fetched once and used eight times. Since
fetching is what takes the time (exercise 17, *Going deeper*), the attention of a long text gets
faster by nearly the size of the group, although it multiplies as much as before.

*From many heads to few.* Ainslie et al. (2023, section 2.1) take a trained model with H heads of
keys and values, replace each group by the mean of its heads, and train on for 5 % of the original
steps. The result is nearly as good as the original. The mean is better than keeping one head of the
group, and that is better than drawing the shared heads at random (figure 4 there).

*Copies.* `repeat_heads` writes out the same numbers several times before they are multiplied. To
group the queries instead, (B, H_kv, times * T, d), needs no copy; fast GPU code does it like this.
What is repeated here never reaches the cache, so it costs time and not memory that stays.

*Further down the road.* Multi-head latent attention (DeepSeek-AI 2024, section 2.1) keeps one short
vector for each token, from which keys and values of all heads are computed again when needed.

What to build
-------------
1. `repeat_heads`: each head of keys or values as often as query heads read it, in the order above.
2. `GroupedQueryAttention`: four projections (`__init__`), and causal rotary attention with or
   without a cache (`forward`).
3. `cache_bytes`: how large a cache gets. One line.

`rotate` of exercise 18, `KVCache` of exercise 17 and the helpers of exercises 6 and 7 are yours to
use. Nothing new is off limits; `F.scaled_dot_product_attention` still is, `enable_gqa` included.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=20` checks them.

- *Without a copy.* `grouped_scores(q, k)` gets queries (B, H, T, d) and keys (B, H_kv, S, d) and
  returns the scores (B, H, T, S), divided by sqrt(d), without `repeat_heads`: let the queries of a
  group stand in one axis of their own, and the keys be as they are. Which query head reads which
  key head is as in the lesson. (Both are written out for you if you use `einsum`; mind what it does
  with the order.)
- *Mean of the heads.* `pooled_heads(weight, n_heads, n_kv_heads)` gets the weight (H * d, D) of a
  key or a value projection with one head for each query head, and returns the one (H_kv * d, D)
  with fewer heads: each is the mean of the heads whose queries will share it, as Ainslie et al.
  begin. Turn a trained multi-head layer into one with fewer heads. How far is its output from the
  old one, with the mean, and with the first head of each group?
- *A sliding window.* Keep only the last w tokens in the cache. What changes for the positions?

See it again
------------
- The Illustrated Transformer (Jay Alammar), "The Beast With Many Heads": the heads that are shared
  here
- Fast Transformer Decoding: One Write-Head is All You Need (Shazeer 2019), section 3: multi-query
  attention
- GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints (Ainslie et
  al. 2023), section 2
- The sizes above: GPT-3 (Brown et al. 2020), table 2.1; PaLM (Chowdhery et al. 2023), table 1;
  LLaMA (Touvron et al. 2023), table 2, on which Llama 2 builds (Touvron et al. 2023, section 2.2
  and appendix A.2.1); The Llama 3 Herd of Models (Grattafiori et al. 2024), table 3
- DeepSeek-V2 (DeepSeek-AI 2024), section 2.1
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ex06_masks import causal_mask, masked_softmax
from ex07_multi_head import merge_heads, split_heads
from ex17_kv_cache import KVCache
from ex18_rope import rotate


def repeat_heads(x: Tensor, times: int) -> Tensor:
    """Write out each head of keys or values as often as there are query heads that read it.

    Args:
        x: (B, H_kv, T, d), left as it is.
        times: how many query heads share a head.

    Returns:
        (B, H_kv * times, T, d): head g of x becomes the heads g * times to (g + 1) * times - 1.

    Source: Ainslie et al. 2023, section 2.2.
    """
    ### BEGIN SOLUTION
    return x.repeat_interleave(times, dim=1)  # (B, H_kv * times, T, d)
    ### END SOLUTION


class GroupedQueryAttention(nn.Module):
    """Causal rotary self-attention in which several query heads share a head of keys and values.

    Args:
        d_model: D, the width of what comes in and goes out.
        n_heads: H, the number of query heads; each is d = D / H wide, and d is even.
        n_kv_heads: H_kv, the number of heads of keys and of values, each as wide as a query head.
        base: as in `rotate` of exercise 18.
        bias: whether the four projections have a bias.

    Attributes:
        q_proj, k_proj, v_proj, out_proj: `nn.Linear`; from D to D, and `k_proj` and `v_proj` from D
            to H_kv * d. How their weights start is up to you.

    Raises:
        ValueError: D is not divisible by H, or H not by H_kv; the message names the two numbers.

    Source: Ainslie et al. 2023, section 2.2.
    """

    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int, base: float = 10000.0, bias: bool = False) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if d_model % n_heads:
            raise ValueError(f"d_model = {d_model} is not divisible by n_heads = {n_heads}")
        if n_heads % n_kv_heads:
            raise ValueError(f"n_heads = {n_heads} is not divisible by n_kv_heads = {n_kv_heads}")
        self.n_heads, self.n_kv_heads, self.base = n_heads, n_kv_heads, base
        d_kv = d_model // n_heads * n_kv_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_kv, bias=bias)
        self.v_proj = nn.Linear(d_model, d_kv, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)
        ### END SOLUTION

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        """Let every position gather from itself and from what came before it.

        Without a cache, the T tokens of x are all there are, at the positions 0 to T - 1. With one,
        they follow the n tokens held for `layer`, at the positions n to n + T - 1, and see those,
        too.

        Args:
            x: (B, T, D), left as it is.
            cache: a `KVCache` of exercise 17. For `layer` it is given the H_kv heads of the new
                tokens: keys rotated, values as they are.
            layer: which layer of the cache is this one's.

        Returns:
            (B, T, D), finite for scores of any finite size, in the dtype and on the device of x.
            Gradients reach x and all parameters when there is no cache; through one, that is left
            open.
        """
        ### BEGIN SOLUTION
        start = 0 if cache is None else cache.held(layer)
        stop = start + x.size(1)
        positions = torch.arange(start, stop, device=x.device)  # (T,)
        q = rotate(split_heads(self.q_proj(x), self.n_heads), positions, self.base)  # (B, H, T, d)
        k = rotate(split_heads(self.k_proj(x), self.n_kv_heads), positions, self.base)
        v = split_heads(self.v_proj(x), self.n_kv_heads)  # (B, H_kv, T, d), as k
        if cache is not None:
            k, v = cache.append(layer, k, v)  # (B, H_kv, n + T, d)
        times = self.n_heads // self.n_kv_heads
        k, v = repeat_heads(k, times), repeat_heads(v, times)  # (B, H, n + T, d)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (B, H, T, n + T)
        mask = causal_mask(stop, x.device)[start:]  # (T, n + T)
        return self.out_proj(merge_heads(masked_softmax(scores, mask) @ v))  # (B, T, D)
        ### END SOLUTION


def cache_bytes(
    n_layers: int,
    n_kv_heads: int,
    d_head: int,
    length: int,
    batch_size: int = 1,
    bytes_per_number: int = 2,
) -> int:
    """Count the bytes that the keys and values of a whole model take.

    Args:
        n_layers: L, how many layers the model has.
        n_kv_heads: H_kv, how many heads of keys, and as many of values, a layer has.
        d_head: d, the width of a head.
        length: how many tokens are held for each text.
        batch_size: how many texts.
        bytes_per_number: 2 for the 16-bit formats, 4 for float32.

    Returns:
        how many bytes, for keys and values together.
    """
    ### BEGIN SOLUTION
    numbers = 2 * n_layers * n_kv_heads * d_head * length * batch_size
    return numbers * bytes_per_number
    ### END SOLUTION
