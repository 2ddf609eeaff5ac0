"""The Llama of exercise 22 in place of the GPT: the same text, tokenizer, split and loop, at equal parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lab.cached import Cached
from lab.errors import LabError
from lab.pieces import with_needs
from lab.text import TextTask
from lab.training import count


class LlamaTask(TextTask):
    """Guess the next token of a text with a Llama."""

    architecture = "llama"
    exercises = tuple(dict.fromkeys((*TextTask.exercises, *with_needs("ex22_llama"))))

    def settled(self, sizes: Mapping[str, Any]) -> dict[str, Any]:
        """Width, heads, layers and context of the GPT, half as many heads of keys and values where that goes, and the
        inner width that brings the number of parameters as near as possible to the GPT's.

        Raises:
            LabError: its heads can't have rotary positions.
        """
        gpt = self.pieces.capstone.build_model(self.tokenizer.vocab_size, **sizes)
        same = {name: getattr(gpt.config, name) for name in ("context_length", "d_model", "n_heads", "n_layers")}
        width, heads = same["d_model"], same["n_heads"]
        if width % (2 * heads):
            raise LabError(
                f"--width {width} and --heads {heads} make heads of {width // heads} numbers, and rotary positions "
                "turn pairs: choose a width that is a multiple of twice the heads"
            )
        chosen = {**same, "n_kv_heads": heads // 2 if heads % 2 == 0 else heads}
        narrow, wider = (count(self.llama({**chosen, "d_ff": d_ff})) for d_ff in (1, 2))
        return {**chosen, "d_ff": max(1, 1 + round((count(gpt) - narrow) / (wider - narrow)))}

    def new_model(self) -> nn.Module:
        """The model of exercise 22."""
        return self.llama(self.sizes)

    def cached(self, model: nn.Module) -> nn.Module:
        """A Llama that remembers one text: the cache is built in."""
        cache = self.pieces.cache.KVCache()
        return Cached(model, lambda ids: model(ids, cache=cache)[0])

    def llama(self, sizes: Mapping[str, Any]) -> nn.Module:
        """A Llama for this tokenizer."""
        config = self.pieces.llama.LlamaConfig(vocab_size=self.tokenizer.vocab_size, **sizes)
        model: nn.Module = self.pieces.llama.Llama(config)
        return model
