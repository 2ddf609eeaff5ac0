"""What the commands do: begin a run, go on with one, write text with one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from torch import nn

from lab import baselines, prepare, runs, sampling
from lab.baselines import Baselines, bits
from lab.console import Screen, table
from lab.corpora import Corpus
from lab.devices import choose_device, require_memory
from lab.files import write_atomically, write_json
from lab.loop import Interrupted, run_training
from lab.pieces import Pieces, open_pieces
from lab.recipes import memory_needed, model_sizes, train_options
from lab.runs import Run
from lab.training import Training, full_loss, load_weights

SAMPLE_TOKENS = 500


@dataclass(frozen=True)
class Outcome:
    """A finished run: the model's loss on the whole held-out text beside the baselines', in nats per character."""

    run: Run
    loss: float
    baselines: Baselines
    sample: str

    @property
    def beats_trigram(self) -> bool:
        """Whether the model predicts better than counting triples does."""
        return self.loss < self.baselines.trigram

    def table(self) -> str:
        """The losses of all four, in nats and bits per character."""
        mine = "GPT" if self.run.config["pieces"]["exercises"] is None else "your GPT"
        losses = {**self.baselines.as_dict(), mine: self.loss}
        rows = [(name, f"{nats:.3f}", f"{bits(nats):.3f}") for name, nats in losses.items()]
        return table(rows, header=("held-out loss per character", "nats", "bits"))


def new_run(
    screen: Screen,
    root: Path,
    name: str | None,
    corpus: Corpus,
    recipe: Mapping[str, Any],
    *,
    seed: int,
    device: str,
    exercises: Path | None,
) -> Outcome:
    """Train from the first step to the last, with the exercises of a folder, or with the reference if it is None.

    Raises:
        LabError: something about the text, the sizes or the exercises is wrong; no run has begun then.
    """
    where = choose_device(device)
    options, sizes = train_options(recipe, seed), model_sizes(recipe)
    require_memory(memory_needed(recipe), where)
    prepare.check_length(corpus, recipe["context"])
    if corpus.note:
        screen.say(corpus.note)
    announce_grading(screen, exercises)
    with open_pieces(exercises) as pieces:
        screen.say(pieces.describe())
        config = prepare.train_config(pieces, options)
        prepared = prepare.tokenize(pieces, corpus, recipe["context"])
        model = prepare.build_model(pieces, prepared.tokenizer.vocab_size, sizes, seed, where)
        about = prepare.describe(pieces, corpus, prepared, sizes, options, where)
        run = runs.create(root, name, about, corpus.text)
        training = Training(pieces, model, prepared.train_tokens, prepared.val_tokens, config)
        return _train(screen, run, pieces, prepared, training)


def resume_run(screen: Screen, root: Path, name: str | None, exercises: Path | None, device: str) -> Outcome:
    """Go on where a run was interrupted; its history will be the one that it would have had.

    Raises:
        LabError: there is nothing to go on with, or it no longer fits the exercises.
    """
    run = runs.find(root, name)
    state = run.load()
    where = choose_device(device)
    corpus = prepare.corpus_of(run)
    with pieces_of(screen, run, exercises) as pieces:
        tokenizer = prepare.tokenizer_of(pieces, run)
        prepared = prepare.tokenize(pieces, corpus, run.config["model"]["context_length"], tokenizer)
        recipe = run.config["recipe"]
        config = prepare.train_config(pieces, recipe)
        model = prepare.build_model(pieces, prepared.tokenizer.vocab_size, run.config["model"], recipe["seed"], where)
        training = Training(pieces, model, prepared.train_tokens, prepared.val_tokens, config)
        training.restore(state)
        if training.finished:
            screen.say(f"{run.name} is finished: all {training.step:,} steps are done.")
        else:
            screen.say(f"Going on with {run.name} after step {training.step:,} of {config.steps:,}.")
        return _train(screen, run, pieces, prepared, training)


def write_sample(
    run: Run,
    exercises: Path | None,
    prompt: str,
    tokens: int,
    *,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
) -> None:
    """Write text to stdout as it comes, and to stderr which model wrote it.

    Raises:
        LabError: the run can't be used, or the prompt has a character that the model has never seen.
    """
    state = run.load()
    screen = Screen(file=sys.stderr)
    with pieces_of(screen, run, exercises) as pieces:
        tokenizer = prepare.tokenizer_of(pieces, run)
        model = prepare.build_model(pieces, tokenizer.vocab_size, run.config["model"], 0, choose_device("cpu"))
        load_weights(model, state)
        ids = sampling.encode_prompt(tokenizer, prompt, run.config["tokenizer"]["alphabet"])
        screen.say(f"{run.name}, after step {state['step']:,} of {run.config['recipe']['steps']:,}:\n")
        click.echo(prompt, nl=False)
        parts = sampling.stream(
            pieces, model, tokenizer, ids, tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
        )
        for part in parts:
            click.echo(part, nl=False)
        click.echo()


@contextmanager
def pieces_of(screen: Screen, run: Run, exercises: Path | None) -> Iterator[Pieces]:
    """The pieces for a run that is there already: those that it began with, unless another folder is named."""
    about = run.config["pieces"]
    if exercises is None and about["exercises"] is not None:
        exercises = runs.ROOT / about["exercises"]
    announce_grading(screen, exercises)
    with open_pieces(exercises) as pieces:
        screen.say(pieces.describe())
        if sorted(pieces.borrowed) != sorted(about["borrowed"]):
            screen.say(f"When the run began, it borrowed other ones: {', '.join(about['borrowed']) or 'none'}.")
        yield pieces


def announce_grading(screen: Screen, exercises: Path | None) -> None:
    """Say what takes long."""
    if exercises is not None:
        screen.say("Looking which of your exercises pass (seconds if they were graded before, else up to a minute) ...")


def _train(screen: Screen, run: Run, pieces: Pieces, prepared: prepare.Prepared, training: Training) -> Outcome:
    model, about = training.model, run.config["corpus"]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    screen.say(
        f"Run {run.name}: {about['source']}, {about['characters']:,} characters, "
        f"{run.config['tokenizer']['vocab_size']} different tokens.\n"
        f"{parameters:,} parameters, {training.config.steps:,} steps of {training.tokens_per_step:,} tokens, "
        f"on {training.device}."
    )
    levels = baselines.measure(prepared.train_text, prepared.val_text)
    per_token = {name: nats / prepared.tokens_per_character for name, nats in levels.as_dict().items()}
    try:
        run_training(training, run, screen, per_token)
    except Interrupted as stop:
        screen.say(
            f"Stopped after step {stop.step:,} of {training.config.steps:,}; "
            f"everything is saved in {runs.shown(run.folder)}.\n"
            f"Go on with: make train RESUME=1   (python -m lab train --resume {run.name})"
        )
        sys.exit(128 + stop.signum)
    except KeyboardInterrupt:
        screen.say(
            f"Broken off. The last checkpoint is in {runs.shown(run.folder)}: make train RESUME=1 goes on from there."
        )
        raise
    loss = full_loss(model, prepared.val_tokens) * prepared.tokens_per_character
    outcome = Outcome(run, loss, levels, _sample(pieces, model, prepared, run))
    write_json(run.folder / "results.json", {"unit": "nats per character", **levels.as_dict(), "gpt": loss})
    return outcome


def _sample(pieces: Pieces, model: nn.Module, prepared: prepare.Prepared, run: Run) -> str:
    ids = sampling.encode_prompt(prepared.tokenizer, "", run.config["tokenizer"]["alphabet"])
    model.to("cpu")
    parts = sampling.stream(
        pieces, model, prepared.tokenizer, ids, SAMPLE_TOKENS, temperature=0.8, seed=run.config["recipe"]["seed"]
    )
    text = "".join(parts).strip("\n") + "\n"
    write_atomically(run.folder / "sample.txt", text)
    return text
