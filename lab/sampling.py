"""Writing text with a trained model, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from lab.errors import LabError
from lab.pieces import Pieces

DEFAULT_PROMPT = "\n\n"  # after the end of a paragraph, something new begins


def beginning(alphabet: str) -> str:
    """Return what a text begins with where nobody says: the end of a paragraph, if there are any."""
    return DEFAULT_PROMPT if "\n" in alphabet else alphabet[0]


def encode_prompt(tokenizer: Any, prompt: str, alphabet: str) -> list[int]:
    """The tokens of a prompt; an empty one stands for the end of a paragraph.

    Raises:
        LabError: the prompt has a character that the model has never seen.
    """
    prompt = prompt or beginning(alphabet)
    try:
        return list(tokenizer.encode(prompt))
    except (ValueError, KeyError) as error:
        unknown = sorted(set(prompt) - set(alphabet))
        if not unknown:
            raise
        raise LabError(
            f"the prompt has {', '.join(map(ascii, unknown))}, which the model has never seen.\n"
            f"It knows these {len(alphabet)} characters: {shown(alphabet)}"
        ) from error


def stream(
    pieces: Pieces,
    model: nn.Module,
    tokenizer: Any,
    ids: list[int],
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> Iterator[str]:
    """Yield what follows the prompt, by exercise 15's `generate`, as soon as it is there; the same for the same seed.

    The parts joined are what one call of `generate` for all tokens would give. A character that takes several
    tokens comes when it is whole.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    sequence = torch.tensor([ids], device=device)  # (1, T)
    before = tokenizer.decode(ids)
    for left in range(max_new_tokens, 0, -1):
        sequence = pieces.sampling.generate(model, sequence, 1, temperature, top_k, top_p, generator)  # (1, T + 1)
        text = tokenizer.decode(sequence[0].tolist())
        if text.startswith(before) and (left == 1 or not text.endswith("\N{REPLACEMENT CHARACTER}")):
            yield text[len(before) :]
            before = text


def shown(alphabet: str) -> str:
    r"""An alphabet in a line: control characters escaped, at most a hundred characters.

    >>> shown("\n !ab")
    '\\n !ab'
    """
    parts = [char if char.isprintable() else ascii(char)[1:-1] for char in alphabet]
    return "".join(parts[:100]) + (" ..." if len(parts) > 100 else "")
