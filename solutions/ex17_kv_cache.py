"""Exercise 17: the KV cache, or why writing gets slower with every token, and the memory that fixes
it.

The picture
-----------
What exercise 15 does to write "hello", and what this exercise does. A letter in brackets is one
that goes through the model, all its layers, in that step::

    step   without a cache              with one                what the cache holds
    ----   -------------------------    --------------------    --------------------
     1     [h]                  -> e    [h]             -> e    h
     2     [h] [e]              -> l     .  [e]         -> l    h e
     3     [h] [e] [l]          -> l     .   .  [l]     -> l    h e l
     4     [h] [e] [l] [l]      -> o     .   .   .  [l] -> o    h e l l

           1 + 2 + 3 + 4 = 10           1 + 1 + 1 + 1 = 4

And what happens in one layer when the fourth letter comes through::

         x (B, 1, D), of the new token alone
          |
          |-- q_proj --> q (B, H, 1, d)
          |-- k_proj --> k (B, H, 1, d) --.
          |-- v_proj --> v (B, H, 1, d) --|--.
                                          |  |
       the cache        h   e   l   l     |  |       append: now 4 columns
       keys   (B,H,4,d) #   #   #   #  <--'  |
       values (B,H,4,d) #   #   #   #  <-----'
          |
          v
       softmax(q keys^T / sqrt(d)) values            one row of 4 weights
          |
          v
         (B, 1, D), on to the feed-forward network, which sees the new token alone

The intuition
-------------
`generate` of exercise 15 runs the model on the whole window for every token that it writes, and
then uses a single row of the logits. Nearly all of that work has been done before. Look at what the
model computed for the letter "h" in step 1: its embedding, its query, key and value in every layer,
its logits. In step 4 it computes all of that again and comes to exactly the same numbers. It must:
attention is causal, so nothing that happens at "h" depends on what comes after it.

So what of the old letters does a new one need? Walk through a block with it. The norms, the
projections, the feed-forward network and the head work on each position by itself: nothing. There
is one place where positions meet, and that is attention. The new letter's query is compared with
the *keys* of all letters, and takes a mixture of their *values*. Keep those two, layer by layer,
and the old letters never have to go through the model again.

Why keys and values, and not queries? A query is what a position asks on its own behalf. The old
letters have asked and got their answer; nobody will look at their queries again.

Think of the minutes of a meeting. Without them, whoever joins late has to hear everything said so
far once more, from everybody. With them, each speaker writes down two lines once: what it is about
(the key), and what was said (the value). A newcomer reads the minutes.

Two phases follow. First the prompt goes through the model as a whole, as in training, and fills the
cache: this is called *prefill*. Then token follows token, one at a time: *decoding*. When a chat
assistant waits for a moment and then writes at a steady pace, you are watching the two.

The mathematics
---------------
Let K_l and V_l be the keys and values of layer l, one row for each of n tokens. For T further
tokens with the rows x (T, D) of the stream as they arrive in this layer::

    q, k, v  =  x W_q,  x W_k,  x W_v                  T rows each
    K_l      =  [K_l ; k]                              n + T rows
    V_l      =  [V_l ; v]
    y        =  softmax(q K_l^T / sqrt(d) + M) V_l     T rows

*The mask M.* Query i of the new ones stands at position n + i, so it may see the keys 0 to n + i:
the last T rows of the causal mask of all n + T tokens. For T = 1 this is a row in which everything
may be seen. For T > 1 it is not, and leaving it out is a mistake that shows only when a prompt is
read in pieces.

*The positions.* A token's place is counted from the beginning of the text. The first of the T new
tokens stands at n, not at 0, and must get row n of the position table. Nothing fails if you forget:
the model just reads every new letter as if it were the first one of a text.

*What it saves.* To write N tokens after a prompt of P, exercise 15 sends P, then P + 1, ... then P
+ N - 1 tokens through every linear layer. With a cache it is P once, and then one at a time, N - 1
times: P + N - 1 in all. Without a cache the total grows with the square of the length, with one
only in proportion to it. Attention itself still reads all keys for each new token, so it keeps
growing; but it is the smaller part until n outgrows D by far.

*What it costs: memory.* Two tensors for each layer, n rows of D numbers for each text::

    2 * L * n * D * (bytes in a number)

*Why a full context ends it.* With the learned positions of exercise 4, the token that falls out of
the window at the left moves all others one place down. Then each of them gets another position
vector, all keys and values change, and the cache is worthless. So `generate_cached` stops at the
context length. (The rotary positions of exercise 18 go by distance alone and remove this obstacle.)

By hand
-------
A cache for one text, one head, keys and values of width 1. Two tokens arrive, then a third:

>>> import torch
>>> cache = KVCache()
>>> cache.held(0)
0
>>> k, v = torch.tensor([[[[1.0], [2.0], [3.0]]]]), torch.tensor([[[[5.0], [6.0], [7.0]]]])
>>> _ = cache.append(0, k[:, :, :2], v[:, :, :2])
>>> keys, values = cache.append(0, k[:, :, 2:], v[:, :, 2:])
>>> keys.flatten().tolist(), values.flatten().tolist()
([1.0, 2.0, 3.0], [5.0, 6.0, 7.0])

That was layer 0, and no other layer has got anything:

>>> cache.held(0), cache.held(1)
(3, 0)

The third token's query is the number 0, so all scores are 0, and each value counts for a third. It
takes (5 + 6 + 7) / 3 = 6. The old tokens' queries were not needed for that:

>>> weights = torch.softmax(torch.zeros(1, 1, 1, 1) @ keys.transpose(-2, -1), dim=-1)
>>> round((weights @ values).item(), 4)
6.0

Now a model. Its logits for seven tokens, read at once, and in pieces of four, two and one:

>>> from ex13_gpt import GPT, GPTConfig
>>> from ex15_sampling import generate
>>> _ = torch.manual_seed(0)
>>> model = GPT(GPTConfig(11, context_length=12, d_model=16, n_heads=2, n_layers=2)).eval()
>>> ids = torch.randint(11, (1, 7))
>>> whole, _ = model(ids)
>>> cache = KVCache()
>>> pieces = [forward_with_cache(model, piece, cache) for piece in ids.split([4, 2, 1], dim=1)]
>>> torch.allclose(torch.cat(pieces, dim=1), whole, atol=1e-5), cache.held(0), cache.held(1)
(True, 7, 7)

And the mask of the piece in the middle: four tokens are held, two are new. Each row is a query,
each column a key:

>>> from ex06_masks import causal_mask
>>> causal_mask(4 + 2)[4:].int().tolist()
[[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]]

What it buys
------------
Listen in on the first query projection while five tokens follow a prompt of three. Every number is
how many tokens it works on in one step:

>>> seen = []
>>> listening = model.blocks[0].attention.q_proj.register_forward_hook(
...     lambda module, given, out: seen.append(given[0].size(1)))
>>> slow = generate(model, ids[:, :3], 5, temperature=0.0)
>>> seen
[3, 4, 5, 6, 7]
>>> seen.clear()
>>> fast = generate_cached(model, ids[:, :3], 5, temperature=0.0)
>>> seen
[3, 1, 1, 1, 1]
>>> torch.equal(slow, fast)
True

For 240 tokens after a prompt of 16 that is 32,520 rows through every linear layer, or 255:

>>> sum(range(16, 16 + 240)), 16 + 239, sum(range(16, 16 + 240)) / (16 + 239)
(32520, 255, 127.52941176470588)

You will not get 128 times the speed. A processor multiplies a matrix by 200 columns in much less
than 200 times the time that it takes for one: most of the time for a single column goes into
fetching the weights from memory, and for a small model into calling the operations at all. With a
model of 4 layers and D = 128 on one core, 240 tokens came five to seven times as fast when we
measured it, with the machine more or less busy (the notebook of this exercise measures it on yours,
and `make sample ARGS=--speed` with a model that you have trained). The gain grows with the length:
over the first thirty tokens there is little yet. The cached pace stays almost level, the other one
drops with every token.

The price is memory. GPT-2 small (L = 12, D = 768) with its 1024 tokens in float32, in megabytes,
and GPT-3 (L = 96, D = 12288) with 2048 tokens of two bytes, in gigabytes. That is for one text:

>>> round(2 * 12 * 1024 * 768 * 4 / 1e6, 1), round(2 * 96 * 2048 * 12288 * 2 / 1e9, 2)
(75.5, 9.66)

Going deeper
------------
*Decoding is bound by memory.* For one new token, every weight of the model is fetched and used in
one multiplication and one addition. A processor could do dozens of operations in the time that the
fetching takes. That is why whoever serves a model decodes many texts together: the weights are
fetched once for all of them. But each text brings a cache of its own, and soon the caches are what
fills the memory. Nearly everything that was invented for fast inference since begins at this point:
fewer heads for keys and values (Shazeer 2019, section 3), caches in fewer bits, caches kept in
pages like the memory of an operating system (Kwon et al. 2023, section 4), and small models that
guess several tokens ahead, which the large one then checks in a single pass, as if they were a
prompt.

*Why `torch.cat`, and when not.* Appending by concatenation copies the whole cache for each token.
For a text of n tokens, n^2 / 2 rows are copied in all. That sounds bad, and is little beside the
rest: attention reads all these rows anyway. Faster caches reserve room for the longest text and
write into it. Then mind what you have handed out: a view into a buffer changes when the buffer
does.

*The same numbers?* Up to rounding. A matrix product of one row may add up its terms in a different
order from that of 200 rows. Logits differ in the last digits, and where two tokens are all but
equally likely, a greedy text can take another turn.

What to build
-------------
1. `KVCache`: how many tokens are `held` for a layer, and `append`, which keeps further ones and
   gives back all of them.
2. `forward_with_cache`: the GPT of exercise 13 for T further tokens. You can't call its blocks,
   whose attention knows nothing of a cache. Walk through them: norms, projections, `split_heads`,
   the cache, the mask, the mixture, `merge_heads`, `out_proj`; then the second half of the block,
   which can stay as it is.
3. `generate_cached`: the loop of exercise 15, with the prompt first and then one token at a time.

Nothing new is off limits.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=17` checks them.

- *One prompt, many answers.* `fork(cache, times)` returns a new `KVCache` for B * times texts that
  holds, in each layer, the keys and values of each text of `cache` `times` times, text 0 first. The
  old one stays as it is, whatever is appended to the new one, and the other way round. So a prompt
  is read once, and several answers go on from it.
- *Back again.* `rewind(cache, length)` makes a cache forget all but the first `length` tokens, in
  each layer, and returns nothing. (A draft that is not accepted is taken back in this way: see the
  goals of exercise 15.) What was returned earlier keeps its numbers. A length of 0 leaves a cache
  that holds none; where it holds no more than `length`, nothing changes.
- *A window.* Keep only the last w tokens of each layer. Which rows of a learned position table
  would they get, and why does the text get worse long before the model runs out of positions?

See it again
------------
- The Illustrated GPT-2 (Jay Alammar), part 2, "GPT-2 Masked Self-Attention": evaluation, one token
  at a time
- The Illustrated Transformer (Jay Alammar), "The Decoder Side": the loop, in which each step begins
  with what the step before wrote
- Fast Transformer Decoding: One Write-Head is All You Need (Shazeer 2019), section 2.4: attention
  that is computed step by step, and what bounds its speed
- Efficiently Scaling Transformer Inference (Pope et al. 2023), section 2: prefill, decoding and
  what each of them costs
- Efficient Memory Management for Large Language Model Serving with PagedAttention (Kwon et al.
  2023)
- Let's build GPT (Andrej Karpathy), `generate`: the loop that this exercise makes faster
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ex06_masks import causal_mask, masked_softmax
from ex07_multi_head import merge_heads, split_heads
from ex13_gpt import GPT
from ex15_sampling import next_token_probs


class KVCache:
    """The keys and values of all tokens so far, layer by layer. A new one holds none.

    Source: Shazeer 2019, section 2.4.
    """

    def __init__(self) -> None:
        ### BEGIN SOLUTION
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}  # layer -> keys and values
        ### END SOLUTION

    def held(self, layer: int) -> int:
        """Say how many tokens are kept for a layer.

        Args:
            layer: its number, from 0 on.

        Returns:
            how many; 0 before the first `append` to this layer.
        """
        ### BEGIN SOLUTION
        return self._kept[layer][0].size(2) if layer in self._kept else 0
        ### END SOLUTION

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the keys and values of T further tokens for a layer, and give back all that it has.

        Args:
            layer: which layer; the others are left alone.
            keys: (B, H, T, d), T at least 1.
            values: (B, H, T, d_v), of the same tokens. Both are left as they are.

        Returns:
            the keys (B, H, n, d) and the values (B, H, n, d_v) of all n tokens of this layer, in
            the order they came, with the dtype and the device that they came with. Tensors that
            were returned earlier do not change.
        """
        ### BEGIN SOLUTION
        if layer in self._kept:
            earlier_keys, earlier_values = self._kept[layer]
            keys = torch.cat([earlier_keys, keys], dim=2)  # (B, H, n, d)
            values = torch.cat([earlier_values, values], dim=2)  # (B, H, n, d_v)
        self._kept[layer] = keys, values
        return keys, values
        ### END SOLUTION


def forward_with_cache(model: GPT, ids: Tensor, cache: KVCache) -> Tensor:
    """Run T further tokens through a GPT; what it needs of all earlier ones is in the cache.

    Every linear layer works on the T new tokens alone.

    Args:
        model: a GPT of exercise 13. Use its public attributes and `config`. Its dropout never acts
            here, and the model is left in the mode that it was found in, training or evaluation.
        ids: (B, T) token ids (int64), T at least 1, which follow the tokens that the cache holds.
        cache: keys and values of the earlier tokens of these B texts; those of block i are in layer
            i. Afterwards it holds the T new tokens, too. Positions go on from the number of tokens
            that layer 0 holds.

    Returns:
        (B, T, V) the logits that the model in evaluation mode gives at the last T of all tokens so
        far, on the device of `ids`. Whether they carry a graph is left open.

    Raises:
        ValueError: if the tokens held and the T new ones are more than `context_length`. The
            message names their total; the cache is left as it was.

    Source: Shazeer 2019, section 2.4.
    """
    ### BEGIN SOLUTION
    start = cache.held(0)
    stop, longest = start + ids.size(1), model.config.context_length
    if stop > longest:
        raise ValueError(f"{stop} tokens in all are more than context_length = {longest}")
    mask = None  # a single token sees all keys
    if ids.size(1) > 1:
        mask = causal_mask(stop, ids.device)[start:]  # (T, n), n = start + T
    was_training = model.training
    if was_training:  # switching all modules takes a while, too long to do it for each token
        model.eval()
    try:
        x = model.token_embedding(ids) + model.position_embedding.weight[start:stop]  # (B, T, D)
        for layer, block in enumerate(model.blocks):
            attention, normed = block.attention, block.norm1(x)
            q = split_heads(attention.q_proj(normed), model.config.n_heads)  # (B, H, T, d)
            k = split_heads(attention.k_proj(normed), model.config.n_heads)  # (B, H, T, d)
            v = split_heads(attention.v_proj(normed), model.config.n_heads)  # (B, H, T, d)
            k, v = cache.append(layer, k, v)  # (B, H, n, d)
            scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (B, H, T, n)
            weights = scores.softmax(-1) if mask is None else masked_softmax(scores, mask)
            mixed = weights @ v  # (B, H, T, d)
            x = x + attention.out_proj(merge_heads(mixed))  # (B, T, D)
            x = x + block.feed_forward(block.norm2(x))  # (B, T, D)
        return model.lm_head(model.final_norm(x))  # (B, T, V)
    finally:
        if was_training:
            model.train()
    ### END SOLUTION


def generate_cached(
    model: GPT,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Continue each text as `generate` of exercise 15 does, with a cache.

    Each token goes through the model once; the last one that is drawn need not.

    Args:
        model: a GPT of exercise 13.
        ids: (B, T) the prompts, int64, one a row, at least one token long.
        max_new_tokens: how many tokens to append to each row; 0 or more.
        temperature, top_k, top_p: as in `next_token_probs` of exercise 15.
        generator: the source of randomness; PyTorch's global one if None. The same state of the
            generator gives the same text.

    Returns:
        (B, T + max_new_tokens) the prompts and what follows, int64: at temperature 0 the tokens
        that `generate` gives, otherwise tokens drawn from the same distribution. `ids` is not
        changed. The model is left in the mode that it was found in, and no graph is built.

    Raises:
        ValueError: if T + max_new_tokens is more than `context_length`, since learned positions
            can't slide. The message names the sum.
    """
    ### BEGIN SOLUTION
    total, longest = ids.size(1) + max_new_tokens, model.config.context_length
    if total > longest:
        raise ValueError(f"a text of {total} tokens is longer than context_length = {longest}")
    cache, fresh = KVCache(), ids
    with torch.inference_mode():  # as no_grad, with less to keep account of for each operation
        for _ in range(max_new_tokens):
            logits = forward_with_cache(model, fresh, cache)  # (B, T, V), then (B, 1, V)
            probs = next_token_probs(logits[:, -1], temperature, top_k, top_p)  # (B, V)
            fresh = torch.multinomial(probs, 1, generator=generator)  # (B, 1)
            ids = torch.cat([ids, fresh], dim=1)  # (B, one more)
    return ids.clone()  # what is made in there can't take part in a graph later; its copy can
    ### END SOLUTION
