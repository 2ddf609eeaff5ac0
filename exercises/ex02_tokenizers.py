"""Exercise 2: tokenizers, or how text becomes whole numbers: characters, bytes and merges.

The picture
-----------
A network computes with numbers, so text has to become a list of *ids* first, and ids have to become
text again. A *vocabulary* says which piece of text each id stands for::

   "low lower lowest"  -- encode -->  [257, 259, 114, 259, 115, 116]  -- decode -->  the same text
                                       T ids, each in 0..V-1

Byte pair encoding (BPE) builds its vocabulary from a text. Start from single bytes; find the pair
of neighbours that occurs most often; make it one new token; repeat (a space is shown as _)::

      bytes                  l o w _ l o w e r _ l o w e s t          16 tokens
      merge 0: l + o         lo  w _ lo  w e r _ lo  w e s t          13      new id 256
      merge 1: lo + w        low   _ low   e r _ low   e s t          10      new id 257
      merge 2: _ + low       low   _low    e r _low    e s t           8      new id 258
      merge 3: _low + e      low   _lowe     r _lowe     s t           6      new id 259

The intuition
-------------
Which pieces should a text be cut into?

- *Words* look natural, but there is no end to them. Whatever is not in the list (a name, a typo, a
  new word) becomes one "unknown" token, and its content is lost. And "low" and "lower" would have
  nothing in common.
- *Characters* are few and simple: `CharTokenizer` does it in a few lines, and it is all that a
  small model needs. But the sequences are long, and the model has to learn to spell before it can
  learn to say anything. A character that was not in the training text still has no id.
- *Bytes* are the 256 values that every file is made of. UTF-8 writes any text in any script as
  bytes: an English letter takes one, an accented or Greek letter two, most Chinese characters
  three, most emoji four. So 256 ids are enough for everything, and **nothing is ever unknown**. The
  price: the sequences are longer still.
- *Merges* pay that price back. What is frequent becomes one token; what is rare stays in pieces,
  down to its bytes if need be. Common words get an id of their own, and the ending of "lowest" may
  be shared with that of "newest". GPT-2 and many models since are built on this.

The vocabulary is learned once, from a training text, and then never changes: the model that is
trained on its ids knows no others.

The mathematics
---------------
**What one merge gains.** Replacing a pair that can be replaced n times makes the sequence n
tokens shorter: `length after = length before - n`. So merging the most frequent pair is the
greedy way to compress a text. It also says how to count. In "aaa", the pair (a, a) stands at two
places, but only one of them can be replaced, since both use the middle a. So n counts from left
to right, *without overlap*: 1 in "aaa", 2 in "aaaa". A pair that occurs once is not worth an id:
that is where training stops early.

**Ties** need a rule, or two programs would learn different vocabularies from one text. Ours: of
the most frequent pairs, the one whose pair of byte strings sorts first, as Python sorts tuples of
`bytes`: (b" ", b"low") comes before (b"low", b"e"). Any rule would do, but everyone must use the
same one.

**Why encode in the order of learning?** In the training text, merge 1 found its pairs in what
merge 0 had left. A new text must go through the same steps in the same order; then every text is
cut as the training text was, and the model meets the pieces that it knows. Taking the longest
piece that fits looks similar, but cuts differently: with the merges (b, c), then (a, b), the text
"abc" becomes a + bc, while the piece "ab" would be found first from the left.

**Why does GPT-2 cut the text into words first?** Left alone, merges cross every boundary. "dog."
and "dog!" and "dog?" each become tokens of their own, and so does "of the": ids are spent on chance
neighbours, and the model learns "dog" several times over. So GPT-2 first cuts the text with a
regular expression into words (each with the space before it), numbers and runs of punctuation, and
makes merges only inside these pieces. That has a second benefit: a short piece can be encoded by
itself and remembered, so that encoding stays fast. This exercise leaves that step out. It would
change which pairs are counted and merged, and nothing else.

**Why can decoding fail?** Not every list of bytes is UTF-8: a model may generate the first byte
of a letter without the second. Such a byte is shown as U+FFFD, the replacement character, and the
rest of the text survives.

**How large should V be?** A larger vocabulary means fewer tokens for the same text. So the same
number of tokens reaches further back, and attention, whose cost grows with the square of that
number (exercise 5), gets cheaper. But the embedding table has V rows (exercise 3), the softmax V
terms, and each rare token is seen seldom. GPT-2 chose 256 bytes + 50,000 merges + 1 special token,
which ends a text. For a book or two, a few hundred merges or plain characters do better.

**A trap.** A loss per token (exercise 1) can't be compared between tokenizers: longer tokens are
harder to guess, and there are fewer of them. Divide the total surprise by something that doesn't
depend on the tokenizer::

    nats per byte = loss per token * number of tokens / number of bytes

By hand
-------
Characters first. Sorted, the letters of "hello" are e h l o:

>>> letters = CharTokenizer("hello")
>>> letters.vocab_size, letters.encode("hole"), letters.decode([1, 0, 2, 2, 3])
(4, [1, 3, 2, 0], 'hello')

Bytes: é takes two in UTF-8, the euro sign three, and this clef four. The ids 0..255 are just that:

>>> [len(text.encode("utf-8")) for text in ("e", "é", "€", "\N{MUSICAL SYMBOL G CLEF}")]
[1, 2, 3, 4]
>>> BPETokenizer.train("", vocab_size=256).encode("né")
[110, 195, 169]

The picture above. (l, o) and (o, w) both occur three times, and (l, o) sorts first. After four
merges every pair occurs once, so training stops at 260 although 300 were allowed:

>>> pairs = BPETokenizer.train("low lower lowest", vocab_size=300)
>>> pairs.merges
[(b'l', b'o'), (b'lo', b'w'), (b' ', b'low'), (b' low', b'e')]
>>> pairs.vocab_size, pairs.encode("low lower lowest")
(260, [257, 259, 114, 259, 115, 116])

A new text goes through the same merges; what was never seen stays in bytes:

>>> pairs.encode("slow é")
[115, 257, 32, 195, 169]
>>> pairs.decode([115, 257, 32, 195, 169]), pairs.decode([257, 195])
('slow é', 'low\ufffd')

Overlap: in "aaab ab", (a, a) can be replaced once and (a, b) twice. Longest piece or order of
learning:

>>> BPETokenizer.train("aaab ab", vocab_size=257).merges
[(b'a', b'b')]
>>> BPETokenizer.train("bc,bc;bc:ab?ab!", vocab_size=258).merges
[(b'b', b'c'), (b'a', b'b')]
>>> BPETokenizer.train("bc,bc;bc:ab?ab!", vocab_size=258).encode("abc")
[97, 256]

What GPT-2 avoids by cutting into words first. Without that step, two words with a space
after each make one token here, and even the end of a sentence sticks to the beginning of the next:

>>> text = "of the dog. of the cat. of the sun."
>>> [left + right for left, right in BPETokenizer.train(text, 300).merges][-3:]
[b'of the ', b' of the ', b'. of the ']

With it, merges could grow only inside these pieces:

>>> import re
>>> re.findall(r" ?[a-z]+| ?[^ a-z]+", text)[:6]
['of', ' the', ' dog', '.', ' of', ' the']

More vocabulary, fewer tokens:

>>> text = "the cat sat on the mat and the rat sat on the cat, so the rat sat on the mat as well"
>>> [len(BPETokenizer.train(text, size).encode(text)) for size in (256, 260, 264, 268, 272)]
[84, 55, 38, 27, 21]

What to build
-------------
1. `CharTokenizer`: its vocabulary, `encode` and `decode`.
2. `BPETokenizer.train`: learn the merges. The constructor, which makes the vocabulary out of the
   merges, is given.
3. `BPETokenizer.encode` and `decode`.

Pure Python and its standard library. Lists of ids and plain loops will do, and recounting all pairs
for each merge is fast enough for 100 KB of text. (`pairwise` and `Counter`, imported below, may
help; mind what they do with "aaa".) If you want to make it faster: a merge changes counts only next
to where it happens.

Off limits: NumPy, PyTorch, and ready-made tokenizers (`tokenizers`, `tiktoken`, `sentencepiece`,
`transformers`).

Stretch
-------
For more, add one of these to your file. They are worth no points; `make stretch EX=02` checks them.

- *Fewer tokens.* Merging in the order of learning does not make the fewest tokens that the
  vocabulary allows. `fewest_tokens(vocab, text)` gets a list of different byte strings, all single
  bytes among them, and returns a list of ids whose byte strings, joined, are the text in UTF-8, as
  few as possible (any of the shortest lists will do). Taking the longest token that fits, from the
  left, is not enough; and a text of some thousand bytes has too many ways of cutting it up to try
  them all. What is the best way to write the first n bytes, if you know it for all smaller n?
- *Word by word.* A chat shows its answer while it grows, but a character may be spread over several
  tokens. `decode_stream(tokenizer, ids)` is a generator: for each id, as soon as it is there, it
  yields the characters that are complete by then and were not before ("" if there is none), and at
  the end, once more, what is left over, with U+FFFD for an incomplete character. `ids` is any
  iterable, `tokenizer` a `BPETokenizer`, and all but the end is UTF-8.

See it again
------------
- The Illustrated Transformer (Jay Alammar), "Recap Of Training": what an output vocabulary is
- Visual Guide to Transformer Neural Networks (Hedu AI), episode 1, and What are Transformer Neural
  Networks? (Ari Seff), the part on input embeddings: what the ids are for, and what comes next
- Let's build the GPT Tokenizer (Andrej Karpathy): the same idea, live, with the odd things it
  explains
- Let's build GPT: from scratch, in code, spelled out (Andrej Karpathy): a character tokenizer like
  ours in its first minutes
- Neural Machine Translation of Rare Words with Subword Units (Sennrich, Haddow, Birch 2016),
  section 3.2; the idea of merging pairs is from A New Algorithm for Data Compression (Gage 1994)
- Language Models are Unsupervised Multitask Learners (Radford et al. 2019), section 2.2: why bytes,
  and why merges stop at the borders of words
- Attention Is All You Need (Vaswani et al. 2017), section 5.1: 37,000 tokens shared by two
  languages
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise


class CharTokenizer:
    """One id for each character that occurs in a text, in sorted order.

    Args:
        text: the text whose characters make up the vocabulary.

    Attributes:
        vocab_size: the number of different characters.
    """

    vocab_size: int

    def __init__(self, text: str) -> None:
        # Your code here. (The reference needs 3 lines.)
        raise NotImplementedError("not written yet")

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids, in time proportional to its length.

        Args:
            text: any text made of the vocabulary's characters, the empty one included.

        Returns:
            One id in 0..vocab_size-1 for each character.

        Raises:
            ValueError: a character is not in the vocabulary; the message names it.
        """
        # Your code here. (The reference needs 4 lines.)
        raise NotImplementedError("not written yet")

    def decode(self, ids: Sequence[int]) -> str:
        """Turn ids back into text: the opposite of `encode`.

        Args:
            ids: any number of ids. The list is left as it was.

        Returns:
            The text, one character for each id.

        Raises:
            ValueError: an id is outside 0..vocab_size-1; the message names that id.
        """
        # Your code here. (The reference needs 4 lines.)
        raise NotImplementedError("not written yet")


class BPETokenizer:
    """Bytes, and pairs of neighbours merged into longer tokens. Made by `BPETokenizer.train`.

    Args:
        merges: the pairs of byte strings that become one token, in the order they were learned.

    Attributes:
        merges: as given.
        vocab: the byte string of each id: the 256 bytes, then what each merge makes (merge i
            makes id 256 + i). No two are equal.
        vocab_size: 256 plus the number of merges.

    Source: Sennrich et al. 2016, section 3.2, on bytes as in Radford et al. 2019, section 2.2 (here
    without cutting the text into words first).
    """

    def __init__(self, merges: Sequence[tuple[bytes, bytes]]) -> None:
        self.merges = list(merges)
        self.vocab = [bytes([value]) for value in range(256)]
        self.vocab += [left + right for left, right in self.merges]
        self.vocab_size = len(self.vocab)

    @classmethod
    def train(cls, text: str, vocab_size: int) -> BPETokenizer:
        """Learn merges from a text until the vocabulary is full or no pair occurs twice.

        Args:
            text: any text that UTF-8 can encode. It is not cut into words: a token may hold spaces.
            vocab_size: how many ids there may be, at least 256 (which leaves no room for merges).

        Returns:
            A tokenizer with at most `vocab_size - 256` merges. Each merges the pair of
            neighbouring tokens that occurs most often at that point, counted from left to right
            without overlap; of several such pairs the one whose pair of byte strings sorts first.

        Raises:
            ValueError: `vocab_size` is below 256; the message names its value.
        """
        # Your code here. (The reference needs 20 lines.)
        raise NotImplementedError("not written yet")

    def encode(self, text: str) -> list[int]:
        """Turn a text into ids: its bytes in UTF-8, then each merge in the order of learning.

        Args:
            text: any text that UTF-8 can encode, including characters never seen in training.

        Returns:
            Ids in 0..vocab_size-1. A merge is made wherever it fits; where two places overlap, at
            the left one.
        """
        # Your code here. (The reference needs 5 lines.)
        raise NotImplementedError("not written yet")

    def decode(self, ids: Sequence[int]) -> str:
        """Turn ids back into text: the bytes of all of them joined, and read as UTF-8.

        Args:
            ids: any number of ids, in any order. The list is left as it was.

        Returns:
            The text, with U+FFFD where the bytes are not UTF-8.

        Raises:
            ValueError: an id is outside 0..vocab_size-1; the message names that id.
        """
        # Your code here. (The reference needs 4 lines.)
        raise NotImplementedError("not written yet")
