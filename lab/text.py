"""The task of the capstone: a GPT that goes on with a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click
import torch
from torch import Tensor, nn

from lab import baselines, prepare, sampling
from lab.baselines import Baselines
from lab.cached import speeds, with_cache
from lab.console import Screen
from lab.corpora import Corpus
from lab.devices import require_memory
from lab.engine import PLAIN, Engine, settle
from lab.errors import LabError
from lab.large import LargeCorpus
from lab.pieces import Pieces, with_needs
from lab.recipes import SIZES, check_heads, memory_needed, model_sizes, train_options
from lab.rivals import rival
from lab.runs import Run
from lab.scoreboard import scoreboard
from lab.task import OnStep, Outcome, Plan, Request, Task

SAMPLE = Request()
SAMPLED = 120  # tokens of what it writes at each evaluation


@dataclass(frozen=True)
class TextOutcome(Outcome):
    """The model's loss on the whole held-out text beside the baselines', in nats per character."""

    loss: float
    baselines: Baselines

    more = 'More text: make sample PROMPT="..."'

    @property
    def beats_trigram(self) -> bool:
        """Whether the model predicts better than counting triples does."""
        return self.loss < self.baselines.trigram

    def table(self) -> str:
        """The scoreboard, in nats and bits per character, with the run of another model where one can be compared."""
        run, other = self.run, rival(self.run)
        beside = {**self.baselines.as_dict(), **({other.label: other.loss} if other else {})}
        board = scoreboard(run.config["corpus"]["name"], beside, run.owned, self.loss)
        if other:
            return f"{board}\n\n{other.compared(run, self.loss)}"
        if run.architecture == "gpt":
            return board
        return (
            f"{board}\n\n{run.config['parameters']:,} parameters. The same without MODEL=llama trains a GPT of as many."
        )

    def results(self) -> dict[str, Any]:
        """The same, exactly."""
        return {"unit": "nats per character", **self.baselines.as_dict(), self.run.architecture: self.loss}


class TextTask(Task[TextOutcome]):
    """Guess the next token of a text, window by window."""

    name = "text"
    architecture = "gpt"
    exercises = with_needs("ex16_capstone")
    shares = True
    requests = frozenset({"prompt", "seed", "tokens", "temperature", "top_k", "top_p", "speed"})

    def __init__(
        self,
        pieces: Pieces,
        corpus: Corpus,
        tokenizer: Any,
        sizes: Mapping[str, Any],
        recipe: Mapping[str, Any],
        device: torch.device,
        running: Mapping[str, Any] = PLAIN,
    ) -> None:
        super().__init__(pieces, recipe, device)
        self.running = running
        self.corpus = corpus
        self.tokenizer = tokenizer
        self.sizes = sizes
        self.unit = "token" if hasattr(tokenizer, "merges") else "character"

    @classmethod
    def reopen(cls, pieces: Pieces, run: Run, device: torch.device) -> TextTask:
        """The task of a run, from its own copy of the text."""
        corpus, tokenizer = prepare.corpus_of(run), prepare.tokenizer_of(pieces, run)
        about = run.config
        return cls(pieces, corpus, tokenizer, about["model"], about["recipe"], device, about.get("running", PLAIN))

    def describe(self) -> dict[str, Any]:
        """The corpus, the tokenizer, the sizes of the model and the recipe."""
        return {
            "corpus": {
                "name": self.corpus.name,
                "source": self.corpus.source,
                "characters": self.corpus.characters,
                **self.corpus.origin(),
                "sha256": self.corpus.sha256,
                "val_fraction": prepare.VAL_FRACTION,
            },
            "tokenizer": prepare.remember(self.tokenizer, self.corpus),
            "architecture": self.architecture,
            "model": dict(self.sizes),
            "recipe": dict(self.recipe),
            "running": dict(self.running),
        }

    def files(self) -> dict[str, str]:
        """The text."""
        return {"corpus.txt": self.corpus.text}

    @property
    def title(self) -> str:
        """Return where the text is from."""
        return self.corpus.source

    def introduction(self) -> str:
        """The text, its length and its vocabulary."""
        corpus = self.corpus
        return f"{corpus.source}, {corpus.characters:,} characters, {self.tokenizer.vocab_size} different tokens."

    def settled(self, sizes: Mapping[str, Any]) -> Mapping[str, Any]:
        """The sizes of the model, from those that exercise 16's `build_model` would be called with."""
        return sizes

    def new_model(self) -> nn.Module:
        """The model of exercise 16."""
        model: nn.Module = self.pieces.capstone.build_model(self.tokenizer.vocab_size, **self.sizes)
        return model

    @cached_property
    def prepared(self) -> prepare.Prepared:
        """The text in tokens, one part of it held out."""
        return prepare.tokenize(self.pieces, self.corpus, self.context_length, self.tokenizer)

    @cached_property
    def train_tokens(self) -> Tensor:
        """(N,) what is learned from, on the device; of a text that is too large for memory, on the disk."""
        tokens = self.prepared.train_tokens
        return tokens if self.mapped else tokens.to(self.device)

    @cached_property
    def val_tokens(self) -> Tensor:
        """(M,) what is held out, likewise."""
        tokens = self.prepared.val_tokens
        return tokens if self.mapped else tokens.to(self.device)

    @property
    def mapped(self) -> bool:
        """Whether the tokens stay in their file."""
        return isinstance(self.corpus, LargeCorpus)

    @property
    def tokens_per_step(self) -> int:
        """Every token of a window is one to guess."""
        return int(self.config.batch_size * self.context_length)

    @cached_property
    def context_length(self) -> int:
        """Return how many tokens the model sees at once."""
        known = self.sizes.get("context_length")
        if known is None:  # a build_model whose arguments have other names
            config: Any = self.new_model().config
            known = config.context_length
        return int(known)

    def engine(self, model: nn.Module) -> nn.Module:
        """The model in the precision and the pieces that the user has asked for."""
        return Engine(model, **self.running)

    def cached(self, model: nn.Module) -> nn.Module:
        """The model that writes one text, with a cache where that is there."""
        return with_cache(self.pieces, model)

    def train(self, model: nn.Module, config: Any, on_step: OnStep, state: Any) -> None:
        """The loop of exercise 14: whatever it does besides is done here, too."""
        with moved(model, self.device) if self.mapped else nullcontext():
            self.pieces.training.train(model, self.train_tokens, self.val_tokens, config, on_step, state)

    def sample(self, model: nn.Module) -> str:
        """Return what exercise 16's `complete` writes after the end of a paragraph, always from the same seed."""
        prompt = sampling.beginning(self.corpus.alphabet)
        generator = torch.Generator(self.device).manual_seed(self.config.seed)
        written: str = self.pieces.capstone.complete(
            model, self.tokenizer, prompt, SAMPLED, SAMPLE.temperature, generator=generator
        )
        return written.removeprefix(prompt).strip("\n")

    @cached_property
    def baselines(self) -> Baselines:
        """Return what counting characters gets on the held-out text, in nats per character."""
        return baselines.measure(self.prepared.train_text, self.prepared.val_text)

    def levels(self) -> dict[str, float]:
        """The baselines, per token."""
        return {name: nats / self.prepared.tokens_per_character for name, nats in self.baselines.as_dict().items()}

    def finish(self, model: nn.Module, run: Run) -> TextOutcome:
        """The loss on all of the held-out text, and a text that the model wrote."""
        loss = full_loss(model, self.prepared.measured) * self.prepared.tokens_per_character
        ids = sampling.encode_prompt(self.tokenizer, "", self.corpus.alphabet)
        model.to("cpu")
        parts = sampling.stream(
            self.pieces,
            self.cached(model),
            self.tokenizer,
            ids,
            SAMPLE.tokens,
            temperature=SAMPLE.temperature,
            seed=self.config.seed,
        )
        return TextOutcome(run, "".join(parts).strip("\n") + "\n", loss, self.baselines)

    def show(self, model: nn.Module, run: Run, step: int, request: Request, screen: Screen) -> None:
        """Go on from the prompt, and write the text as it comes; or say how fast that is."""
        ids = sampling.encode_prompt(self.tokenizer, request.prompt, self.corpus.alphabet)
        screen.say(run.standing(step))
        writing, longest = self.cached(model), self.context_length
        if request.speed:
            if writing is model:
                raise LabError("--speed says what the KV cache of exercise 17 buys, and there is none yet that passes")
            click.echo("\n" + speeds(self.pieces, model, lambda: self.cached(model), ids[-1]))
            screen.say(
                f"\nBeyond {longest:,} tokens the window slides: nothing that was kept holds any more, and each token "
                "takes the whole window again."
            )
            return
        if writing is not model:
            screen.say(f"(With the KV cache of exercise 17, up to {longest:,} tokens.)")
        screen.say()
        click.echo(request.prompt, nl=False)
        parts = sampling.stream(
            self.pieces,
            writing,
            self.tokenizer,
            ids,
            request.tokens,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            seed=request.seed,
        )
        for part in parts:
            click.echo(part, nl=False)
        click.echo()


class TextPlan(Plan[TextOutcome]):
    """Learn a corpus, with the model of a task."""

    def __init__(self, corpus: Corpus, given: Mapping[str, Any], task: type[TextTask] = TextTask) -> None:
        self.task: type[TextTask] = task
        self.corpus = corpus
        self.given = given
        self.label = corpus.name if task is TextTask else f"{corpus.name}-{task.architecture}"
        self.note = corpus.note

    def check(self, device: torch.device) -> None:
        """Refuse a model that the computer can't hold, and a text that is too short."""
        require_memory(memory_needed(self.given), device)
        prepare.check_length(self.corpus, self.given.get("context", 1))

    def begin(self, pieces: Pieces, seed: int, device: torch.device) -> TextTask:
        """Build the tokenizer, and tokenize the text."""
        options = train_options(pieces.training.TrainConfig(), self.given, seed)
        sizes = model_sizes(pieces.capstone.build_model, self.given)
        filled = options | {name: sizes[field] for name, field in SIZES.items() if field in sizes}
        if {"width", "heads"} <= filled.keys():
            check_heads(filled["width"], filled["heads"])
        running = settle(self.given, device)
        if running["accumulate"] > options["batch_size"]:
            raise LabError(
                f"--accumulate {running['accumulate']}: a batch has {options['batch_size']} windows, and can't be cut "
                "into more pieces than that"
            )
        require_memory(memory_needed({**filled, **running}), device)
        tokenizer = pieces.capstone.build_tokenizer(self.corpus.text)
        task = self.task(pieces, self.corpus, tokenizer, sizes, options, device, running)
        task.sizes = task.settled(sizes)
        _ = task.prepared  # so that a text of too few tokens is refused before a run begins
        return task


@contextmanager
def moved(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Let a model move what it is given to its device, since the batches of a text on the disk are made on the CPU."""
    handle = model.register_forward_pre_hook(lambda _, given: tuple(tokens.to(device) for tokens in given))
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def full_loss(model: nn.Module, tokens: Tensor, batch_size: int = 64, length: int | None = None) -> float:
    """The mean loss over all windows of a text that don't overlap, in nats per token: no luck of the draw in it.

    Args:
        model: `model(x, y)` returns the logits and the loss.
        tokens: (N,) at least one window and a token more; what is left over at the end is not counted.
        batch_size: windows at a time; no influence on the result.
        length: of a window; None for the model's context length.
    """
    if length is None:
        config: Any = model.config
        length = int(config.context_length)
    tokens = tokens.to(next(model.parameters()).device)
    windows = (len(tokens) - 1) // length
    x = tokens[: windows * length].view(windows, length)  # (W, T)
    y = tokens[1 : windows * length + 1].view(windows, length)  # (W, T)
    was_training = model.training
    model.eval()
    try:
        total = 0.0
        for i in range(0, windows, batch_size):
            _, loss = model(x[i : i + batch_size], y[i : i + batch_size])
            total += loss.item() * len(x[i : i + batch_size])
    finally:
        model.train(was_training)
    return total / windows
