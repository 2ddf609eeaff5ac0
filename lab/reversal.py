"""The task of exercise 12: the original transformer writes words backwards, also those that it has never seen."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import ascii_lowercase
from types import SimpleNamespace
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lab import starter
from lab.attention import cross_attention
from lab.console import Screen, table
from lab.devices import require_memory
from lab.errors import LabError
from lab.pieces import Pieces, with_needs
from lab.plots import attention_map
from lab.recipes import check_heads, memory_needed, reverse_options
from lab.runs import Run, shown
from lab.task import OnStep, Outcome, Plan, Request, Task

EXERCISE_14 = "exercise 14"
PAD, BOS, EOS = 0, 1, 2
FIRST = 3  # the id of "a"
VOCAB = FIRST + len(ascii_lowercase)
LONGEST = 12  # letters; a target has its EOS as well
HELD_OUT = 90  # words of each length, though at most a tenth of all there are
RECORD = 1 + LONGEST  # tokens of a word in the text that a loop sees: BOS, the letters, padding
WINDOW = 2 * RECORD - 1  # tokens that are sure to hold a whole one
DRAWN = 50_000  # words in that text
SMOOTHING = 0.1
SHOWN = 12  # words in a sample


def encode(words: Sequence[str]) -> Tensor:
    """Words as rows of ids, filled up at their ends: (B, 12)."""
    ids = torch.full((len(words), LONGEST), PAD)
    for row, word in enumerate(words):
        ids[row, : len(word)] = torch.tensor([FIRST + ascii_lowercase.index(letter) for letter in word])
    return ids


def spell(ids: Sequence[int]) -> str:
    """Ids as text, up to the EOS; what is no letter is shown as a question mark."""
    letters = list(ids)[: list(ids).index(EOS)] if EOS in ids else ids
    return "".join(ascii_lowercase[i - FIRST] if i >= FIRST else "?" for i in letters)


def reversed_targets(words: Tensor) -> Tensor:
    """Return what is to be written for each row of ids: the letters backwards, and EOS. (B, 12) to (B, 13)."""
    lengths = (words != PAD).sum(1, keepdim=True)  # (B, 1)
    places = torch.arange(LONGEST, device=words.device)  # (12,)
    backwards = words.gather(1, (lengths - 1 - places).clamp(min=0))  # (B, 12)
    targets = F.pad(torch.where(places < lengths, backwards, PAD), (0, 1), value=PAD)  # (B, 13)
    return targets.scatter(1, lengths, EOS)


def held_out_words(seed: int) -> list[str]:
    """Different words of every length that are never trained on, the same ones for the same seed."""
    drawn = random.Random(seed)
    words = []
    for length in range(1, LONGEST + 1):
        every = len(ascii_lowercase) ** length
        for number in drawn.sample(range(every), min(HELD_OUT, every // 10)):
            letters = [ascii_lowercase[number // len(ascii_lowercase) ** place % 26] for place in range(length)]
            words.append("".join(letters))
    return words


def checked_word(word: str) -> str:
    """The word, if the model can be asked for it.

    Raises:
        LabError: it can't.
    """
    unknown = sorted(set(word) - set(ascii_lowercase))
    if unknown:
        raise LabError(
            f"the prompt has {', '.join(map(ascii, unknown))}, which the model has never seen. It reverses words of "
            f"small letters, {ascii_lowercase}"
        )
    if len(word) > LONGEST:
        raise LabError(
            f"the prompt has {len(word)} letters; the model has seen words of up to {LONGEST}: give a shorter one"
        )
    return word


@dataclass(frozen=True)
class ReverseOutcome(Outcome):
    """The count of held-out words that the model reverses without a mistake."""

    right: int
    total: int
    loss: float

    more = "A word of your own: make sample PROMPT=hello"

    @property
    def exact(self) -> float:
        """The share of them."""
        return self.right / self.total

    def table(self) -> str:
        """The share, and how many these are."""
        return (
            f"{self.exact:.1%} of the {self.total} held-out words, which it has never seen, are reversed without a "
            f"mistake ({self.total - self.right} are not)."
        )

    def results(self) -> dict[str, Any]:
        """The same, exactly."""
        return {
            "unit": "fraction of the held-out words",
            "exact": self.exact,
            "held_out": self.total,
            "loss": self.loss,
        }


def has_loop(pieces: Pieces) -> bool:
    """Whether exercise 14 is there: the learner's own that passes, or the reference's."""
    return "ex14_training" in pieces.sources


def as_text(words: Tensor) -> Tensor:
    """Words one behind the other, each with a BOS in front: (N, 12) to (N * 13,)."""
    return F.pad(words, (1, 0), value=BOS).flatten()


class Backwards(nn.Module):
    """A `Transformer` as exercise 14's loop trains any model: it is given windows of a text, and returns its loss.

    The text has a word behind each BOS. Of each window the first whole word is to be reversed.
    """

    config = SimpleNamespace(context_length=WINDOW)

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logits (B, 13, V) and the loss for windows (B, 25); the targets, a token later, tell nothing more.

        Raises:
            LabError: there are no targets: the loop is about to compute a loss of its own.
        """
        if targets is None:
            raise LabError(
                "TASK=reverse trains with the loss that model(x, y) returns, and your train of exercise 14 computes "
                "one of its own: let it take the model's"
            )
        first = (ids == BOS).int().argmax(1, keepdim=True)  # (B, 1)
        words = ids.gather(1, first + 1 + torch.arange(LONGEST, device=ids.device))  # (B, 12)
        return self.loss(self.model, words)


class ReverseTask(Task[ReverseOutcome]):
    """Write words of 1 to 12 letters backwards, among them some that are never trained on."""

    name = "reverse"
    exercises = with_needs("ex12_transformer")
    helpers = ("ex14_training",)
    requests = frozenset({"prompt", "seed"})

    def __init__(
        self,
        pieces: Pieces,
        held_out: Sequence[str],
        sizes: Mapping[str, int],
        recipe: Mapping[str, Any],
        device: torch.device,
        loop: str = EXERCISE_14,
    ) -> None:
        self.loop = loop
        super().__init__(pieces, recipe, device)
        self.ex = pieces.transformer
        self.held_out = list(held_out)
        self.sizes = sizes
        self.words = encode(self.held_out)  # (M, 12)

    @classmethod
    def reopen(cls, pieces: Pieces, run: Run, device: torch.device) -> ReverseTask:
        """The task of a run, with the words that it holds out."""
        words = run.read("held-out.txt").split()
        if not words or any(not set(word) <= set(ascii_lowercase) or len(word) > LONGEST for word in words):
            raise LabError(f"{run.folder / 'held-out.txt'} was changed since the run began; train a new run")
        about = run.config
        return cls(pieces, words, about["model"], about["recipe"], device, about.get("loop", EXERCISE_14))

    def describe(self) -> dict[str, Any]:
        """The words, the sizes of the model and the recipe."""
        return {
            "words": {"alphabet": ascii_lowercase, "longest": LONGEST, "held_out": len(self.held_out)},
            "model": dict(self.sizes),
            "recipe": dict(self.recipe),
            "smoothing": SMOOTHING,
            "loop": self.loop,
        }

    def files(self) -> dict[str, str]:
        """The words that are held out."""
        return {"held-out.txt": "".join(f"{word}\n" for word in self.held_out)}

    @property
    def title(self) -> str:
        """Which words there are."""
        return f"words of 1 to {LONGEST} letters, backwards"

    def introduction(self) -> str:
        """Return which words there are, and whose loop it is where it is not the learner's."""
        words = (
            f"random words of 1 to {LONGEST} letters, to be written backwards; {len(self.held_out)} more are held out"
        )
        lent = ".\nThe loop is the lab's and the optimizer PyTorch's: yours come with exercise 14."
        return words + ("." if self.loop == EXERCISE_14 else lent)

    def new_model(self) -> nn.Module:
        """The model of exercise 12."""
        model: nn.Module = self.ex.Transformer(VOCAB, VOCAB, max_len=LONGEST + 1, pad_id=PAD, **self.sizes)
        return model

    @property
    def training(self) -> Any:
        """Exercise 14 where its loop is used, else what stands in for it."""
        return self.pieces.training if self.loop == EXERCISE_14 and has_loop(self.pieces) else starter

    @property
    def tokens_per_step(self) -> int:
        """The tokens of a batch as the loop sees it, in windows of its text."""
        return int(self.config.batch_size * WINDOW)

    def engine(self, model: nn.Module) -> nn.Module:
        """The model as a loop of exercise 14 calls it: with windows of a text.

        Raises:
            LabError: the run began with the loop of exercise 14, which is not there any more.
        """
        if self.loop == EXERCISE_14 and not has_loop(self.pieces):
            raise LabError("the run began with your loop of exercise 14, which does not pass any more: make test EX=14")
        return Backwards(model, self._loss)

    @cached_property
    def train_tokens(self) -> Tensor:
        """(50,000 * 13,) random words, none of them held out, one behind the other."""
        return as_text(self.draw(DRAWN, torch.Generator().manual_seed(self.config.seed))).to(self.device)

    @cached_property
    def val_tokens(self) -> Tensor:
        """(M * 13,) the words that are held out, likewise."""
        return as_text(self.words).to(self.device)

    def train(self, model: nn.Module, config: Any, on_step: OnStep, state: Any) -> None:
        """The loop of exercise 14, on a text of words; or, where that was not there yet, the lab's own."""
        if self.loop == EXERCISE_14:
            self.training.train(model, self.train_tokens, self.val_tokens, config, on_step, state)
        else:
            self._train(model, config, on_step, state)

    def _train(self, model: nn.Module, config: Any, on_step: OnStep, state: Any) -> None:
        """A loop of the lab's own, with PyTorch's optimizer and the learner's schedule of exercise 12."""
        if state.optimizer is None:
            groups = starter.parameter_groups(model, config.weight_decay)
            state.optimizer = starter.AdamW(groups, betas=config.betas)
            state.generator = torch.Generator().manual_seed(config.seed)
        model.train()
        for step in range(state.step + 1, config.steps + 1):
            lr = self.learning_rate(step)
            for group in state.optimizer.param_groups:
                group["lr"] = lr
            starts = torch.randint(len(self.train_tokens) - WINDOW, (config.batch_size, 1), generator=state.generator)
            windows = self.train_tokens[(starts + torch.arange(WINDOW)).to(self.device)]  # (B, 25)
            _, loss = model(windows, windows)
            state.optimizer.zero_grad()
            loss.backward()
            starter.clip_grad_norm(model.parameters(), config.grad_clip)
            state.optimizer.step()
            state.step, train_loss = step, float(loss.item())
            if math.isfinite(train_loss) and (step % config.eval_every == 0 or step == config.steps):
                seen, val_loss = step * self.tokens_per_step, self.held_out_loss(model.get_submodule("model"))
                row = {"step": step, "train_loss": train_loss, "val_loss": val_loss, "lr": lr, "tokens_seen": seen}
                state.history.append(row)
            on_step(step, train_loss)

    def learning_rate(self, step: int) -> float:
        """The schedule of exercise 12, scaled so that it is `max_lr` at its highest."""
        width, warmup = self.sizes["d_model"], self.config.warmup_steps
        return float(self.config.max_lr * self.ex.noam_lr(step, width, warmup) / self.ex.noam_lr(warmup, width, warmup))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random words, every length as likely as any other and none of them held out: (count, 12)."""
        words = _random_words(count, generator)
        while (known := torch.isin(_numbers(words), self._held_out_numbers)).any():
            words[known] = _random_words(int(known.sum()), generator)
        return words

    @cached_property
    def _held_out_numbers(self) -> Tensor:
        return _numbers(self.words)

    def _loss(self, model: nn.Module, words: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B, 13, V) and the smoothed cross-entropy for some words (B, 12)."""
        targets = reversed_targets(words)  # (B, 13)
        logits = model(words, self.ex.shift_right(targets, BOS))  # (B, 13, V)
        return logits, self.ex.label_smoothed_cross_entropy(logits, targets, SMOOTHING, ignore_index=PAD)

    @torch.no_grad()
    def held_out_loss(self, model: nn.Module) -> float:
        """The loss on all held-out words."""
        was_training = model.training
        model.eval()
        try:
            return float(self._loss(model, self.words.to(self.device))[1])
        finally:
            model.train(was_training)

    def exact(self, model: nn.Module) -> float:
        """The share of the held-out words that is written without a mistake."""
        return float(self._right(model, self.words.to(self.device)).double().mean())

    def _right(self, model: nn.Module, words: Tensor) -> Tensor:
        """(B,) whether each word is reversed: every letter, the EOS, and padding behind it."""
        written = self.ex.greedy_decode(model, words, BOS, EOS, LONGEST + 1)  # (B, at most 13)
        written = F.pad(written, (0, LONGEST + 1 - written.size(1)), value=PAD)  # (B, 13)
        return (written == reversed_targets(words)).all(1)

    def sample(self, model: nn.Module) -> str:
        """The share of the held-out words that are right, and what becomes of a short, a middling and a long one."""
        words = self._some_words(self.config.seed)
        words = words[3::4] or words
        written = zip(words, self._write(model, words), strict=True)
        return f"{self.exact(model):.1%} right: " + ", ".join(f"{word} -> {text}" for word, text in written)

    def levels(self) -> dict[str, float]:
        """Return what a model that knows nothing has to lose, and what smoothing leaves to one that knows all."""
        right, other = 1 - SMOOTHING + SMOOTHING / VOCAB, SMOOTHING / VOCAB
        least = -right * math.log(right) - (VOCAB - 1) * other * math.log(other)
        return {"knowing nothing": math.log(VOCAB), "knowing all": least}

    def finish(self, model: nn.Module, run: Run) -> ReverseOutcome:
        """The share on all held-out words, some of them with what was written, and a picture of one."""
        loss = self.held_out_loss(model)
        model.to("cpu")
        right = int(self._right(model, self.words).sum())
        words = self._some_words(self.config.seed)
        self._draw_attention(model, run, max(words, key=len))
        return ReverseOutcome(run, self._attempts(model, words) + "\n", right, len(self.held_out), loss)

    def show(self, model: nn.Module, run: Run, step: int, request: Request, screen: Screen) -> None:
        """Reverse the prompt, or some of the held-out words."""
        words = [checked_word(request.prompt)] if request.prompt else self._some_words(request.seed)
        what = "a word of yours" if request.prompt else "words that were held out"
        screen.say(f"{run.standing(step)} {what}\n")
        click.echo(self._attempts(model, words))
        longest = max(words, key=len)
        picture = self._draw_attention(model, run, longest)
        screen.say(f"\n{picture}")

    def _some_words(self, seed: int) -> list[str]:
        """One held-out word of each length."""
        drawn = random.Random(seed)
        lengths = sorted({len(word) for word in self.held_out})[:SHOWN]
        return [drawn.choice([word for word in self.held_out if len(word) == length]) for length in lengths]

    def _write(self, model: nn.Module, words: Sequence[str]) -> list[str]:
        ids = encode(words).to(next(model.parameters()).device)
        return [spell(row) for row in self.ex.greedy_decode(model, ids, BOS, EOS, LONGEST + 1).tolist()]

    def _attempts(self, model: nn.Module, words: Sequence[str]) -> str:
        rows = []
        for word, text in zip(words, self._write(model, words), strict=True):
            rows.append((word, text, "right" if text == word[::-1] else f"wrong, it should be {word[::-1]}"))
        header = ("word", "written", "")
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(3)]
        return table(
            [tuple(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows], header
        )

    def _draw_attention(self, model: nn.Module, run: Run, word: str) -> str:
        """Write the picture of where the decoder looked while it wrote, and say where that is."""
        src = encode([word])[:, : len(word)]  # (1, S)
        written = self.ex.greedy_decode(model, src, BOS, EOS, LONGEST + 1)  # (1, at most 13)
        if EOS in written:
            written = written[:, : written[0].tolist().index(EOS) + 1]  # (1, T)
        maps = cross_attention(model, src, self.ex.shift_right(written, BOS))
        if not maps:
            return "There is no picture of the attention: the decoder's layers never called their cross_attention."
        ids = written[0].tolist()
        text, target = spell(ids), run.folder / "attention.png"
        rows = ["end" if i == EOS else spell([i]) for i in ids]
        attention_map(target, maps, columns=list(word), rows=rows, title=f"{run.name}: where it looked for {text!r}")
        return f"Where it looked while it wrote {text!r}: {shown(target)}"


class ReversePlan(Plan[ReverseOutcome]):
    """Learn to write words backwards."""

    task = ReverseTask
    label = "reverse"

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given

    def check(self, device: torch.device) -> None:
        """Refuse a model that the computer can't hold, and an odd width."""
        width, heads, layers = (self.given[name] for name in ("width", "heads", "layers"))
        check_heads(width, heads)
        if width % 2:
            raise LabError(f"--width {width} is odd, and half of a position's numbers are sines: choose an even one")
        require_memory(memory_needed({**self.given, "layers": 2 * layers, "context": LONGEST}), device)

    def begin(self, pieces: Pieces, seed: int, device: torch.device) -> ReverseTask:
        """Choose the words that are held out."""
        sizes = {
            "d_model": self.given["width"],
            "n_heads": self.given["heads"],
            "n_layers": self.given["layers"],
            "d_ff": 4 * self.given["width"],
        }
        loop = EXERCISE_14 if has_loop(pieces) else "the lab's own"
        return ReverseTask(pieces, held_out_words(seed), sizes, reverse_options(self.given, seed), device, loop)


def _random_words(count: int, generator: torch.Generator) -> Tensor:
    """(count, 12)"""
    lengths = torch.randint(1, LONGEST + 1, (count, 1), generator=generator)
    letters = torch.randint(FIRST, VOCAB, (count, LONGEST), generator=generator)
    return torch.where(torch.arange(LONGEST) < lengths, letters, PAD)


def _numbers(words: Tensor) -> Tensor:
    """One number for each row of ids, different ones for different words: (B,)."""
    return (words * VOCAB ** torch.arange(LONGEST)).sum(1)  # 29 ** 12 is below 2 ** 63
