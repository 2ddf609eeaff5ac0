"""What each piece buys: the capstone trained with one piece less at a time, out of the learner's own code."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from lab.console import Meter, Screen, clock, table
from lab.corpora import Corpus
from lab.devices import choose_device, repeatable
from lab.errors import LabError
from lab.files import write_json
from lab.pieces import Pieces, open_pieces
from lab.plots import distances
from lab.recipes import train_options
from lab.runs import shown
from lab.session import announce_grading
from lab.text import TextPlan, TextTask, full_loss

WHOLE = "the whole model"
TRIAL = 12  # steps by which the pace is measured; the first two don't count


@dataclass(frozen=True)
class Ablation:
    """One piece taken away: from the fresh model, from its sizes or from the schedule."""

    name: str
    exercise: str  # that teaches the piece
    model: Callable[[Any, Pieces], object] | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    config: Callable[[Any], Mapping[str, Any]] = lambda _: {}


class Nothing(nn.Module):
    """In the place of a sublayer: it adds nothing to the stream."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """Zeros like x."""
        return torch.zeros_like(x)


def no_positions(model: Any, _: Pieces) -> None:
    """A table of zeros that is not trained."""
    for parameter in model.position_embedding.parameters():
        nn.init.zeros_(parameter).requires_grad_(False)


def no_residual(model: Any, pieces: Pieces) -> None:
    """Each sublayer's output takes the place of the stream instead of being added to it."""

    def forward(block: Any, x: Tensor) -> Tensor:
        hidden = pieces.masks.causal_mask(x.size(1), x.device)  # (T, T)
        out: Tensor = block.feed_forward(block.norm2(block.attention(block.norm1(x), mask=hidden)))
        return out

    for block in model.blocks:
        block.forward = MethodType(forward, block)


def no_norm(model: Any, _: Pieces) -> None:
    """Let what is to be normalized through as it is."""
    for block in model.blocks:
        block.norm1, block.norm2 = nn.Identity(), nn.Identity()
    model.final_norm = nn.Identity()


def no_scale(model: Any, _: Pieces) -> None:
    """Queries longer by the square root of the head's width, which is what the scores are divided by."""
    root = math.sqrt(model.config.d_model // model.config.n_heads)
    for block in model.blocks:
        block.attention.q_proj.register_forward_hook(lambda _module, _args, queries: queries * root)


def no_attention(model: Any, _: Pieces) -> None:
    """Each position is by itself."""
    for block in model.blocks:
        block.attention = Nothing()


def no_feed_forward(model: Any, _: Pieces) -> None:
    """Attention alone."""
    for block in model.blocks:
        block.feed_forward = Nothing()


ABLATIONS = (
    Ablation(WHOLE, ""),
    Ablation("no positions", "04", model=no_positions),
    Ablation("no scale in attention", "05", model=no_scale),
    Ablation("no attention", "05", model=no_attention),
    Ablation("one head", "07", sizes={"n_heads": 1}),
    Ablation("no residual", "08", model=no_residual),
    Ablation("no norm", "08", model=no_norm),
    Ablation("no feed-forward", "09", model=no_feed_forward),
    Ablation("one layer", "13", sizes={"n_layers": 1}),
    Ablation("no warm-up", "14", config=lambda _: {"warmup_steps": 0}),
    Ablation("a rate that never falls", "14", config=lambda config: {"min_lr": config.max_lr}),
    Ablation("no weight decay", "14", config=lambda _: {"weight_decay": 0.0}),
    Ablation("no clipping", "14", config=lambda _: {"grad_clip": math.inf}),
)


class Diverged(Exception):
    """The loss is no longer a number."""


def ablate(
    screen: Screen,
    folder: Path,
    corpus: Corpus,
    given: Mapping[str, Any],
    *,
    seconds: float,
    seed: int,
    device: str,
    exercises: Path | None,
) -> dict[str, float]:
    """Train once for each piece, all with the same number of steps, and write `ablation.png` and `ablation.json`.

    Args:
        screen: where to show it.
        folder: where to write it.
        corpus: what to learn.
        given: options of the command line by their names.
        seconds: how long one training may take, if `given` has no `steps`: as many as the whole model makes in them.
        seed: of all trainings.
        device: where to train.
        exercises: the learner's folder; None for the reference.

    Returns:
        The loss on the whole held-out text, in nats per character, by what was taken away; infinite where the training
        diverged.

    Raises:
        LabError: the data, the sizes or the exercises are wrong, or the model has other parts than exercise 13's.
    """
    where = choose_device(device)
    plan = TextPlan(corpus, given)
    plan.check(where)
    announce_grading(screen, exercises)
    losses: dict[str, float] = {}
    with open_pieces(exercises, TextTask.exercises) as pieces, repeatable(where):
        screen.say(pieces.describe())
        task = plan.begin(pieces, seed, where)
        steps = given.get("steps") or max(1, round(seconds / pace(task)))
        recipe = train_options(pieces.training.TrainConfig(), {**given, "steps": steps}, seed)
        config = pieces.training.TrainConfig(**{**recipe, "eval_every": steps, "eval_batches": 1})
        # What the whole model lacks anyway, such as a second layer, can't be taken away.
        chosen = [a for a in ABLATIONS if not a.sizes or {**task.sizes, **a.sizes} != task.sizes]
        screen.say(f"{len(chosen)} trainings of {steps:,} steps on {corpus.source}.")
        try:
            for ablation in chosen:
                started = time.monotonic()
                losses[ablation.name] = without(task, ablation, config, screen)
                screen.say(f"{ablation.name:28} {told(losses[ablation.name])}   {clock(time.monotonic() - started)}")
                keep(folder, losses, corpus, steps, seed, task.baselines.as_dict())
        finally:
            if losses:
                screen.say(f"\n{ladder(losses)}\n\nThe picture is {shown(folder / 'ablation.png')}.")
    return losses


def pace(task: TextTask) -> float:
    """Seconds of a step of the whole model."""
    marks: list[float] = []
    config = replace(task.config, steps=TRIAL, eval_every=TRIAL, eval_batches=1, warmup_steps=1)
    tokens = task.val_tokens[: 2 * (task.context_length + 1)]
    task.pieces.training.train(
        task.build_model(), task.train_tokens, tokens, config, lambda *_: marks.append(time.monotonic())
    )
    return (marks[-2] - marks[1]) / (TRIAL - 3)  # without the evaluation at the end


def without(task: TextTask, ablation: Ablation, config: Any, screen: Screen) -> float:
    """The loss that is reached without a piece; infinite if the training diverges."""
    sizes = {**task.sizes, **ablation.sizes}
    less = TextTask(task.pieces, task.corpus, task.tokenizer, sizes, task.recipe, task.device)
    model = less.build_model()
    if ablation.model is not None:
        try:
            ablation.model(model, task.pieces)
        except AttributeError as error:
            raise LabError(
                f"{ablation.name}: this takes parts away by the names that exercises 7 and 13 give them, and your "
                f"model has other ones ({error})"
            ) from error
    with Meter(screen, config.steps, 0, task.tokens_per_step, lines=0) as meter:

        def on_step(step: int, loss: float) -> None:
            meter.show(step, loss)
            if not math.isfinite(loss):
                raise Diverged

        try:
            task.pieces.training.train(
                model, task.train_tokens, task.val_tokens, replace(config, **ablation.config(config)), on_step
            )
        except Diverged:
            return math.inf
    loss = full_loss(model, task.val_tokens, length=task.context_length) * task.prepared.tokens_per_character
    return loss if math.isfinite(loss) else math.inf


def keep(
    folder: Path, losses: Mapping[str, float], corpus: Corpus, steps: int, seed: int, levels: Mapping[str, float]
) -> None:
    """Write what is there so far."""
    about = {"corpus": corpus.source, "steps": steps, "seed": seed, "unit": "nats per character"}
    write_json(folder / "ablation.json", {**about, "losses": {name: told(loss) for name, loss in losses.items()}})
    ranked = dict(sorted(losses.items(), key=lambda row: row[1]))
    title = f"What each piece buys: how far a model without it is from the whole one\n{corpus.source}, {steps:,} steps"
    distances(folder / "ablation.png", ranked, WHOLE, levels, title)


def ladder(losses: Mapping[str, float]) -> str:
    """A table, the best first: the loss, and by how much it is worse than that of the whole model."""
    exercises = {ablation.name: ablation.exercise for ablation in ABLATIONS}
    whole = losses.get(WHOLE, math.nan)
    rows = [
        (name, exercises.get(name, ""), told(loss), "" if name == WHOLE else f"{loss - whole:+.3f}")
        for name, loss in sorted(losses.items(), key=lambda row: row[1])
    ]
    return table(rows, header=("trained with", "exercise", "held-out loss", "worse by"))


def told(loss: float) -> str:
    """A loss, or that there is none."""
    return f"{loss:.3f}" if math.isfinite(loss) else "diverges"
