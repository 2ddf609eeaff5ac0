"""Exercise 16: the capstone. Your pieces, put together, learn to write.

The picture
-----------
The whole machine, with the exercise that built each part at its place::

    text, a str
      |
      |  02  tokenizer: characters, or bytes and merges
      v
    ids (N,)
      |
      |  16  split
      +----------------------------------------------------------------.
      |  the first nine tenths                                         |  the last tenth
      |  14  get_batch                                                 |
      v                                                                |
    x (B, T), and y (B, T), which is x one token later                 |
      |                                                                |
    .-|----- 13  GPT -------------------------------------------.      |
    | v                                                         |      |
    | 03  token embedding  +  04  position embedding  (B, T, D) |      |
    | |                                                         |      |
    | |  n_layers times:                                        |      |
    | +---> 08 norm -> 07 heads, in each 05 attention ------.   |      |
    | |                and 06 a mask that hides the future  |   |      |
    | + <---------------------------------------------------'   |      |
    | +---> 08 norm -> 09 feed-forward ---------------------.   |      |
    | + <---------------------------------------------------'   |      |
    | |                                                         |      |
    | 08  norm, then a score for every token of the vocabulary  |      |
    '-|---------------------------------------------------------'      |
      v                                                                v
    logits (B, T, V)                                            14  evaluate: the loss
      |                                                         on what was never
      +-- to train:  01  cross-entropy with y: one number       trained on, as often
      |              14  gradients, clipped, AdamW, cosine      as the history has rows
      |                  ... round again with the next batch
      |
      '-- to write:  15  divide, cut, draw, append ... round again with one token more
                     02  decode: ids to text

Exercise 0 is the road that led here, and exercises 10 to 12 are the other branch: an encoder and a
decoder.

The intuition
-------------
Nobody tells this machine what a word is, that "the" is followed by a noun, or that a bracket has to
be closed. It gets one task: here are the tokens so far, spread your bets on the next one. Whatever
helps to bet better is worth learning: which letters occur, which follow which, the words, then who
is speaking. You can watch it happen in that order in the samples, and in the loss.

What counts is the loss on text that it has not learned from. A model with 200,000 parameters can
overfit a short text completely, and its training loss then says nothing about language. So the
last tenth of the text is never trained on. Not a random tenth: neighbouring windows overlap and
share their phrases, so nearly everything in a random tenth would also stand in what is trained on.

Before you start a long run, overfit one batch, as in exercise 14. It takes seconds, and tells you
whether all the parts fit together.

The mathematics
---------------
*Where the loss starts.* A fresh model has tiny weights, so its logits are all nearly 0, every token
gets a probability of 1/V, and the loss is -ln(1/V) = ln V. A loss that starts far above that is a
sign of weights that are too large. One that starts far below it is a sign of targets that were not
shifted: the head is the embedding table, so a fresh model gives its own input the best score. (A
mask that lets the answers through shows later, when the loss falls to almost nothing.)

*What the number means.* The loss is in nats per token. Divided by ln 2 it is in bits: how many
yes-or-no questions it takes, on average, to get the next token out of the model, or how many bits a
file compressed with its help would need. e to the loss is the perplexity (exercise 1). Losses per
*token* of two tokenizers can't be compared, since one has more to guess in each token; losses per
*character* can: add up the loss of all tokens, and divide by the number of characters that they
spell.

*What it costs.* A layer has four D x D matrices in its attention and two of D x 4D in its
feed-forward network, 12 D^2 in all; with the embeddings, and without biases and norms, which are
few::

    N  =  12 L D^2 + (V + T) D          parameters, for L layers

For each token, each parameter takes part in one multiplication and one addition in the forward
pass, and in two of each in the backward pass (the gradient of its input, and its own). That is the
rule of thumb for the whole training::

    C  =  6 N D_tokens                  floating-point operations, for D_tokens = steps * B * T

(Kaplan et al. 2020, section 2.1, whose letters N and C these are; they leave the embeddings out of
N.) The rule leaves out the attention itself: for each token and layer, comparing a query with T
keys and averaging T values takes 4 T D operations in the forward pass, against 24 D^2 for the
matrices. At T = D that is 17 % on top; the two are equal at T = 6 D.

For a given budget C, is it better to train a big model for a short time or a small one for a long
time? Hoffmann et al. 2022 measured it: about 20 tokens for each parameter.

*The default recipe*, in one place: the sizes are the defaults of `build_model`, the rest those of
`TrainConfig`. `make train` and `make demo` take them from there::

    context_length  64        steps         2500        weight_decay  0.3
    d_model         96        batch_size    8           betas         (0.9, 0.99)
    n_heads         4         max_lr        0.006       grad_clip     1.0
    n_layers        2         min_lr        0.00006     eval_every    250
    dropout         0.0       warmup_steps  100         eval_batches  20

*Where it comes from.* A well-known recipe for laptops, nanoGPT's, has 4 layers of width 128,
batches of 12 and a rate that falls from 0.001 to 0.0001 in 2000 steps. On Tiny Shakespeare
(1.1 million characters, V = 65) it ends at a held-out loss of 1.90 (1.896 with PyTorch's layers,
1.901 with those of this course), after two and a half minutes of one CPU core. A few trials of
about half a minute each show that less will do (`make bench ONLY=trials` repeats them)::

    layers x width    batch_size    max_lr    steps    seconds    held-out loss
       2 x 128            4         0.005      1317      27          2.178
       2 x 128            8         0.005       932      31          2.014
       2 x  64           16         0.01        895      22          1.928
       2 x  96            8         0.006      1401      31          1.899

The default recipe passes 1.905 between its steps 1500 and 1750, and ends at 1.811. Measured in turn
with a step of the laptop recipe, one of its steps is 3.2 times as fast, so it gets there 3.6 times
as fast. Three things changed. *A smaller model*: its steps are cheaper, so there can be more of
them, and a text that is seen so few times can't fill a large one. *A higher rate*: six times that
of the laptop recipe, with more weight decay; small models tolerate it. *A rate that falls to almost
nothing* by the last step. (The trials were judged on a part cut from the first nine tenths. Had
they been judged on the last tenth, choosing the best would have been a kind of training on it.)

*What the loss has to beat.* The best that counting can do, with the smoothing of `make demo`, in
nats per character of the held-out tenth::

                                  one    pairs   triples   five letters
    Tiny Shakespeare             3.347   2.484    2.041       1.566
    the plays of `make demo`     3.334   2.493    2.101       1.652

One letter alone says how often each occurs, pairs look at one letter before, and so on. A model
that is stuck near 3.3 has learned nothing about order; one that is below the triples has learned
words. The default recipe stops short of the five letters: see below for what to try next.

*What a loss looks like.* Text drawn from those same counts of the plays, with the loss that they
have on the held-out tenth (a slash stands for a new line)::

    4.13   any character
        TVkw!;pwFJrQGpFPdY- rkpXoKSm:I:Sy;NOuCVG k'HUU:ykx-iIXvHj?JyQVI:QcSmMcluQ!iWsSM'
        SdlqDanGLqaVfVyk'?Xo,glmsBYnMBT-DrfrqsJTcGv / peFiPpzHTDgdqnyxt?!TLtnQZa
    2.49   pairs
        y fanerer? / FRUMyee y orthemuererot t too pr. / TENGUSourof te'd d ongempl, / A
        NUCHeathe. / BRKIONop, / / TRI hade; / Frindswird, / man, / BRYoro he mpourofupl
    2.10   triples
        y gonesen, / I sknoblespar pond but catim / to pulne row to cis Baderess my age
        is the deaverefor loves: RICK: / See youdefuldichis same nother withat wilie
    1.65   five letters
        y dignior God, or news of our could to Bucking's voices him / That word's sake,
        go be you; if you hast found Servant: / Hapw or one, comes are, / And dit / I'

Longer counts hardly help any more (six letters: 1.628): a text of a million letters holds too few
runs of seven to count them. Here a GPT has the advantage. It sees its whole window instead of four
letters, so it can learn that a line has a length, that speakers take turns, and who is speaking.
Compare these lines with what `make demo` prints.

By hand
-------
Before a model of 65 characters has learned anything, its loss is ln 65, which is 6 bits for each
character:

>>> import math
>>> round(math.log(65), 2), round(math.log(65) / math.log(2), 2)
(4.17, 6.02)

At a loss of 1.90 it needs 2.74 bits, and is as unsure as if it chose between 6.7 equally likely
characters. (Shannon had people guess English letter by letter in 1951, and estimated 0.6 to 1.3
bits.)

>>> round(1.90 / math.log(2), 2), round(math.exp(1.90), 1)
(2.74, 6.7)

The parameters by the formula, and as they are counted:

>>> 12 * 2 * 96**2 + (65 + 64) * 96
233568
>>> model = build_model(65)
>>> model.num_parameters()
236256

Attention against the matrices, 4 T D to 24 D^2, at T = D:

>>> round(4 / 24, 2)
0.17

The training in tokens, in operations, and what 20 tokens for each parameter would be. The text has
1.1 million characters, nine tenths of them to learn from. So the training lasts 1.3 *epochs* (the
model sees each character 1.3 times), and takes about a quarter of those 20 tokens per parameter:

>>> recipe = TrainConfig()
>>> recipe.max_lr, recipe.min_lr, recipe.warmup_steps, recipe.weight_decay, recipe.betas
(0.006, 6e-05, 100, 0.3, (0.9, 0.99))
>>> tokens = recipe.steps * recipe.batch_size * model.config.context_length
>>> tokens, round(tokens / (0.9 * 1_115_394), 1)
(1280000, 1.3)
>>> f"{6 * model.num_parameters() * tokens:.1e}"
'1.8e+12'
>>> 20 * model.num_parameters()
4725120

And the machine at work, on a text that any child would tire of. It has 11 different characters, so
the loss starts near ln 11 = 2.4; after a hundred steps the text is known by heart:

>>> text = "the cat sat on the mat. " * 100
>>> config = TrainConfig(
...     steps=100, batch_size=4, max_lr=3e-3, min_lr=3e-4, warmup_steps=10, eval_every=100, eval_batches=2
... )
>>> losses = []
>>> model, tokenizer, history = train_language_model(
...     text, config, device="cpu", on_step=lambda step, loss: losses.append(loss)
... )
>>> abs(losses[0] - math.log(tokenizer.vocab_size)) < 0.3, history[-1]["val_loss"] < 0.3
(True, True)
>>> complete(model, tokenizer, "the cat", 17, temperature=0.0)
'the cat sat on the mat. '

What to build
-------------
1. `build_tokenizer`: which of your two tokenizers? With characters, V is small and the sequences
   are long; with bytes and merges it is the other way round, and each token carries more. For a
   corpus of a few hundred thousand characters, characters do well; if you merge, a few hundred
   merges are plenty.
2. `split_corpus`, `build_model`: a few lines each.
3. `train_language_model`: from a text to a model that has learned it. (A machine has CUDA if
   `torch.cuda.is_available()`, and MPS if `torch.backends.mps.is_available()`.)
4. `complete`: from a prompt to a text.

All parts are yours, from exercises 2, 13, 14 and 15. What was off limits so far still is.

Then train it on something you like (`make train`), and read what it writes (`make sample`). At each
evaluation you see a line that it writes, always from the same beginning, and `make map` keeps these
lines under a slider. `make train ARGS="--preset tiny"` is over in seconds and shows whether
everything works.

What to try next, roughly in order of what it gains: more steps (`--steps 10000`); a longer context
(`--context 128`); more layers and a larger D (`--layers 4 --width 128`), while the training loss
and the held-out loss are still close; some dropout (`--dropout 0.1`), once they are not; a corpus
ten times as large; merges. Change one thing at a time, and write down what you expect before you
look. On a data-centre GPU, `--preset gpu` takes six layers of width 384, windows of 256 and a
dropout of 0.2: the sizes with which nanoGPT's README reports 1.4697 after three minutes on an A100.

*Bigger texts.* `make train ARGS="--text DIR"` learns all .txt files of a folder, and a text of any
size: from 16 MB on, it is encoded in pieces into a file, and your `get_batch` reads from the disk
only the windows that it draws. Your `build_tokenizer` then sees the first million characters, and
after them, once each, the characters that occur only later in the text. The piece in which the last
tenth begins is cut by your `split_corpus`.

*More than one device.* `torchrun --nproc-per-node=4 -m lab train ...` starts four processes, one
for each GPU of the machine (without GPUs, they share its cores). All of them run your loop on the
same batches; each runs its quarter of a batch through the model, and before your optimizer makes
its step, the gradients are averaged over the four (`DistributedDataParallel`). The mean of four
means of equal parts is the mean of the whole, so the history is the one that a single process would
have.

*The real thing.* `make gpt2 PROMPT="..."` downloads the smallest GPT-2, pours its 124 million
weights into your model (`load_gpt2_weights`, exercise 13) and lets your `generate` write. Before
that it shows, for each token of the prompt, what the model thought likeliest there; and
`ARGS="--text my.txt"` measures its loss on a text of yours, per character, to be compared with the
loss of your own model. The tokens are made by your `BPETokenizer`: from the 50,000 published merges
instead of merges of its own, and inside pieces that are cut as the published code cuts them
(exercise 2 says why).

*What does each piece buy?* `make ablate` trains your model again and again, each time with one
piece left out, and prints the loss of each. These are the reference's losses after the recipe's
2500 steps on the plays, in nats per held-out character (one seed each, so small differences may be
chance)::

    the whole model         1.831
    no clipping             1.839        no warm-up              1.988
    no scale in attention   1.839        a rate that never falls 2.016
    one layer               1.851        no norm                 2.019
    no weight decay         1.863        no feed-forward         2.089
    one head                1.889        no positions            2.260
                                         no attention            2.490
                                         no residual             3.041

Without attention, a token sees nothing but itself, and the loss ends where counting pairs ends
(2.493, above). Without positions, the tokens before it are little more than a bag of characters
(the causal mask gives away a little of their order, exercise 4). Without the residual path, two
layers learn little more than how frequent each character is (3.334). The scale hardly shows: a head
is only 24 wide here.

Give it time: what a piece buys shows only once the model has learned to use it. In 500 steps of
`--preset tiny`, the reference without positions reached a loss of 2.469, better than the whole
model with 2.613. The whole model needs longer to overtake it: after 1500 steps it was at 2.245.

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=16` checks them.

- *Bits per character.* A loss per token says little as long as the tokenizers differ.
  `bits_per_character(model, tokenizer, text)` encodes the text, cuts the N ids into windows of
  `model.config.context_length` tokens one after the other (the last may be shorter), and lets the
  model predict, within each window, the token that follows each of its tokens in the text, as long
  as there is one; so all but the first token are predicted once. It adds up the surprise at them,
  in bits, and divides by the number of characters of the text, whose first token costs nothing. A
  float; the model is in evaluation mode. What would a good compressor of files reach on your text?
- *Did it copy?* `longest_copy(text, corpus)` returns the longest piece of a text that stands in the
  corpus letter for letter, the first one if there are several ("" if not even a letter does). It
  must do for a text of 500 letters and a corpus of a million. Try it on what your model writes, and
  on a speech that it has not been trained on.

See it again
------------
- The Illustrated GPT-2 (Jay Alammar), "A Deeper Look Inside": one token's way through the whole
  machine
- The Illustrated Transformer (Jay Alammar), "Recap Of Training" and "The Loss Function"
- Visual Guide to Transformer Neural Networks (Hedu AI), all three episodes: you have built what
  they show
- What are Transformer Neural Networks? (Ari Seff), once more from the beginning
- Let's build GPT (Andrej Karpathy), and nanoGPT, `config/train_shakespeare_char.py`: the same
  corpus, a larger model
- Language Models are Unsupervised Multitask Learners (Radford et al. 2019), section 2: the same
  machine, larger
- Scaling Laws for Neural Language Models (Kaplan et al. 2020), section 2.1, and Training
  Compute-Optimal Large Language Models (Hoffmann et al. 2022): the budget
- Prediction and Entropy of Printed English (Shannon 1951): bits per character
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ex02_tokenizers import BPETokenizer, CharTokenizer
from ex13_gpt import GPT, GPTConfig
from ex14_training import TrainConfig, train
from ex15_sampling import generate


def build_tokenizer(text: str) -> CharTokenizer | BPETokenizer:
    """Make the tokenizer for a corpus: characters, or bytes and merges. The choice is yours.

    Args:
        text: the whole corpus. Everything that occurs in it can be encoded afterwards.

    Returns:
        A tokenizer with `.vocab_size`, `.encode(str) -> list[int]` and `.decode(ids) -> str`.
    """
    # Your code here. (The reference needs 1 line.)
    raise NotImplementedError("not written yet")


def split_corpus(
    text: str, tokenizer: CharTokenizer | BPETokenizer, val_fraction: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Encode the corpus, and hold its last part out.

    Args:
        text: the corpus.
        tokenizer: what encodes it.
        val_fraction: how much of it is held out, between 0 and 1. How a fraction of a token is
            rounded is left open.

    Returns:
        train (N,) and val (M,), int64: the tokens of the first part of the text and of the last, in
        their order; none is lost, and none is in both.

    Raises:
        ValueError: `val_fraction` lies outside 0..1 (the message names the value), or `text` is so
            short that one of the parts would have fewer than two tokens (one to see and one to
            guess).
    """
    # Your code here. (The reference needs 10 lines.)
    raise NotImplementedError("not written yet")


def build_model(
    vocab_size: int,
    context_length: int = 64,
    d_model: int = 96,
    n_heads: int = 4,
    n_layers: int = 2,
    dropout: float = 0.0,
) -> GPT:
    """Make a fresh GPT.

    The defaults are the recipe of the table above. Change them as you like once the checks pass.
    Those train for so few steps that a model much smaller, or slower to learn, falls behind, and
    one that takes more than about ten times as long for a step runs out of time. The last tenth of
    their shortest text has 750 characters, and a window has to fit into it.

    Args:
        vocab_size: V, what the tokenizer says.
        context_length: T, how many tokens it sees at once.
        d_model: D, the width of the residual stream.
        n_heads: how many heads share it in each layer.
        n_layers: how many layers.
        dropout: the fraction of activations dropped while training.

    Returns:
        A GPT of exercise 13, on the CPU, its weights drawn from PyTorch's global generator.

    Source: Radford et al. 2019, section 2.3 (GPT-2), much smaller.
    """
    # Your code here. (The reference needs 9 lines.)
    raise NotImplementedError("not written yet")


def train_language_model(
    text: str,
    config: TrainConfig,
    device: torch.device | str = "auto",
    on_step: Callable[[int, float], object] | None = None,
) -> tuple[GPT, CharTokenizer | BPETokenizer, list[dict[str, Any]]]:
    """From a text to a model that has learned it: tokenizer, split, model, training.

    The model has the default sizes of `build_model`, and the last tenth of the text is held out.
    The fresh weights are seeded by `config.seed`, whatever was drawn before: the same text and
    config give the same history.

    Args:
        text: the corpus.
        config: how to train; see exercise 14.
        device: where to train; "auto" takes CUDA if there is one, else MPS (Apple), else the CPU.
        on_step: called as on_step(step, loss) after every step, as in exercise 14.

    Returns:
        The trained model, on the device and ready for `complete`; its tokenizer; the history of
        `train`, whose `val_loss` is on the held-out part.
    """
    # Your code here. (The reference needs 9 lines.)
    raise NotImplementedError("not written yet")


def complete(
    model: GPT,
    tokenizer: CharTokenizer | BPETokenizer,
    prompt: str,
    max_new_tokens: int,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> str:
    """Let the model continue a prompt.

    Args:
        model: a GPT, on any device, in any mode; device, mode and weights stay as they are.
        tokenizer: the one that it was trained with.
        prompt: at least one character, which may be a space; it may be longer than the model's
            context.
        max_new_tokens: how many tokens to write.
        temperature, top_k, top_p, generator: as in exercise 15; the temperature is 0.8 unless one is
            given.

    Returns:
        The prompt, as it came, and what follows.

    Raises:
        ValueError: the `prompt` is empty (a GPT needs a token to start from), or holds a character
            that the tokenizer does not know; the message says which.
    """
    # Your code here. (The reference needs 6 lines.)
    raise NotImplementedError("not written yet")
