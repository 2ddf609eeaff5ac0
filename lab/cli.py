"""The command line: python -m lab train, sample, demo."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grader.content.syllabus import load
from lab import corpora, runs, texts
from lab.console import Screen, prepare_streams
from lab.errors import LabError
from lab.recipes import PRESETS, REVERSE, SIZES, TRAINING

if TYPE_CHECKING:  # torch takes seconds to load: not before it is needed
    from lab.task import Outcome, Plan

TASKS = click.Choice(["text", "reverse"])
MODELS = click.Choice(list(runs.MODELS))
DEVICES = click.Choice(["auto", "cuda", "mps", "cpu"])


class Commands(click.Group):
    """Commands that end with a line or two and exit 2 where the user can help, with 130 after Ctrl-C."""

    def main(self, *args: Any, **options: Any) -> Any:
        prepare_streams()
        return super().main(*args, **options)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)
            context.exit(130)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise LabError(f"{error.filename or 'the system'}: {error.strerror or error}") from error
        except MemoryError as error:
            raise LabError(_NO_MEMORY) from error
        except RuntimeError as error:
            if "memory" in str(error) and "alloc" in str(error):  # what torch raises, in several wordings
                raise LabError(_NO_MEMORY) from error
            raise


_NO_MEMORY = "there is not enough memory for this: choose a smaller --width, --layers, --context or --batch-size"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Train a model made of what you built, and see what it can do."""


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse nan and inf, which pass every range."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.", context, parameter)
    return value


def warm(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse temperatures so close to 0 that dividing by them overflows."""
    finite(context, parameter, value)
    if 0 < value < 1e-3:
        raise click.BadParameter(f"{value} is too close to 0; take 0, which is the limit.", context, parameter)
    return value


def knob(name: str, type: click.ParamType[Any], help: str) -> Callable[..., Any]:
    """An option whose default is the learner's: in `TrainConfig` of exercise 14 or `build_model` of exercise 16."""
    field = name.removeprefix("--").replace("-", "_")
    default = "as in your TrainConfig" if field in TRAINING else "as in your build_model"
    if field in REVERSE:
        default += f"; {REVERSE[field]} for reverse"
    return click.option(name, type=type, callback=finite, show_default=default, help=help)


def given() -> set[str]:
    """The options that stand on the command line."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    return {name for name in context.params if context.get_parameter_source(name) is source}


def spelt(names: Iterable[str]) -> str:
    """Options as the user knows them."""
    return ", ".join("--" + name.replace("_", "-") for name in sorted(names))


def _report(screen: Screen, outcome: Outcome) -> None:
    screen.say(f"\n{outcome.table()}\n\n{outcome.sample}")
    folder = runs.shown(outcome.run.folder)
    screen.say(f"Everything is in {folder}, with the loss curve in loss.png. {outcome.more}")
    if outcome.run.map.is_file():
        screen.say(f"Look inside: open {runs.shown(outcome.run.map)} in a browser.")


plain_option = click.option("--plain", is_flag=True, help="Plain lines: no animation, no colour.")
device_option = click.option(
    "--device", type=DEVICES, default="auto", show_default=True, help="auto: CUDA, then MPS, then CPU."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="The seed of all random numbers."
)
CHOICE = [
    click.option(
        "--temperature",
        type=click.FloatRange(0, 100),
        callback=warm,
        default=0.8,
        show_default=True,
        help="0 always takes the likeliest token; 1 is as learned.",
    ),
    click.option("--top-k", type=click.IntRange(1), help="Choose among the k likeliest tokens only."),
    click.option(
        "--top-p",
        type=click.FloatRange(0, 1),
        callback=finite,
        help="Choose among the likeliest tokens that together have this probability.",
    ),
]


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for how the next token is chosen."""
    for option in reversed(CHOICE):
        command = option(command)
    return command


model_option = click.option("--model", type=MODELS, help="The last run of this model.")
trained_option = click.option(
    "--exercises", type=click.Path(path_type=Path), metavar="DIR", help="Your files.  [default: as when it was trained]"
)
exercises_option = click.option(
    "--exercises",
    type=click.Path(path_type=Path),
    default=Path("exercises"),
    show_default=True,
    metavar="DIR",
    help="Your files.",
)
reference_option = click.option("--reference", is_flag=True, help="Take the reference solution instead of your files.")


def own_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for whose pieces are used: the learner's, from a folder, or the reference's."""
    return exercises_option(reference_option(command))


def first_task() -> str:
    """Return the task that a copy of the project is for: a release may end with the encoder and decoder."""
    return "text" if any(entry.stem == "ex16_capstone" for entry in load()) else "reverse"


runs_option = click.option(
    "--runs", "root", type=click.Path(path_type=Path), default=runs.RUNS, metavar="DIR", help="The folder of all runs."
)


@main.command()
@click.option(
    "--task",
    "task_name",
    type=TASKS,
    default=first_task,
    show_default="text, once exercise 16 is there",
    help="text: a GPT (exercise 16) learns to continue a text. reverse: the original transformer (exercise 12) "
    "learns to write words backwards.",
)
@click.option(
    "--model",
    type=MODELS,
    default="gpt",
    show_default=True,
    help="What learns the text. llama: the Llama of exercise 22 instead of the GPT, with about as many parameters.",
)
@own_options
@click.option(
    "--corpus",
    type=click.Choice(list(corpora.NAMED)),
    default=corpora.DEFAULT,
    show_default=True,
    help="What to learn.",
)
@click.option(
    "--text",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    help="Learn any text file (UTF-8) instead, or all .txt files of a folder; may be given several times.",
)
@device_option
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="laptop",
    show_default=True,
    help="Options that belong together; those that you give yourself take precedence. laptop: your own defaults. "
    "gpu: six layers of 384 numbers, for a data-centre GPU. tiny: seconds, to see that everything works.",
)
@knob("--steps", click.IntRange(1, 10_000_000), "How many batches to learn from.")
@knob("--batch-size", click.IntRange(1, 65_536), "Windows of text in a batch.")
@knob("--lr", click.FloatRange(0, 10, min_open=True), "The largest learning rate.")
@knob("--eval-every", click.IntRange(1, 10_000_000), "Steps from one evaluation to the next.")
@knob("--context", click.IntRange(1, 65_536), "Tokens that the model sees at once.")
@knob("--layers", click.IntRange(1, 1_000), "Blocks on top of each other.")
@knob("--heads", click.IntRange(1, 1_000), "Attention heads in each block.")
@knob("--width", click.IntRange(1, 65_536), "Numbers per token (d_model), a multiple of the heads.")
@knob("--dropout", click.FloatRange(0, 1, max_open=True), "The fraction of activations dropped while training.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="bfloat16 runs the matrix products in 16 bits. auto: where the GPU is made for it.",
)
@click.option("--compile", is_flag=True, help="Let PyTorch compile the model first: a minute later, it runs faster.")
@click.option(
    "--accumulate",
    type=click.IntRange(1, 65_536),
    default=1,
    show_default=True,
    help="Cut each batch into this many pieces, one in memory at a time.",
)
@seed_option
@click.option("--name", metavar="RUN", help="What to call the run.  [default: a number and what it learns]")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
    help="Go on with a run that was interrupted; without a name, the last one.",
)
@plain_option
@runs_option
def train(
    task_name: str,
    model: str,
    exercises: Path,
    reference: bool,
    text: tuple[Path, ...],
    corpus: str,
    resume: str | None,
    **options: Any,
) -> None:
    """Train a model made of your own pieces."""
    screen = Screen(options["plain"])
    root: Path = options["root"]
    named = given()
    if resume is not None:
        fixed = named - {"resume", "task_name", "model", "exercises", "device", "plain", "root"}
        if fixed:
            raise LabError(
                f"--resume goes on with a run as its config.json says, so {spelt(fixed)} can't be given with it"
            )
        from lab.session import resume_run

        folder = exercises if "exercises" in named else None
        task = task_name if "task_name" in named else None
        run = runs.find(root, resume or None, task, model if "model" in named else None)
        _report(screen, resume_run(screen, run, folder, options["device"]))
        return
    if text and "corpus" in named:
        raise LabError("--corpus and --text both name what to learn: give one of them")
    knobs = {*TRAINING, *SIZES, "dtype", "compile", "accumulate"}
    foreign: set[str] = set()
    if task_name == "reverse":
        foreign = named & ({"text", "corpus", "preset", "model"} | (knobs - REVERSE.keys()))
    if foreign:
        raise LabError(f"{spelt(foreign)} means nothing to the task {task_name}: leave it out")
    if model == "llama" and "dropout" in named:
        raise LabError("--dropout means nothing to a Llama, which has none: leave it out")
    if options["name"] is not None:
        runs.check_free(root, options["name"])
    own = {name: options[name] for name in knobs & named}
    plan: Plan[Outcome]
    if task_name == "text":
        chosen = texts.read(text, screen) if text else corpora.load(corpus)
        from lab.tasks import TEXT
        from lab.text import TextPlan

        preset = dict(PRESETS[options["preset"]])
        if model == "llama" and preset.pop("dropout", 0.0):
            screen.say(f"The dropout of the preset {options['preset']} is left out: a Llama has none.")
        plan = TextPlan(chosen, {**preset, **own}, TEXT[model])
    else:
        from lab.reversal import ReversePlan

        plan = ReversePlan({**REVERSE, **own})
    from lab.session import new_run

    outcome = new_run(
        screen,
        root,
        options["name"],
        plan,
        seed=options["seed"],
        device=options["device"],
        exercises=None if reference else exercises,
    )
    _report(screen, outcome)


@main.command()
@click.option("--run", "name", metavar="RUN", help="Which run's model.  [default: the one trained last]")
@click.option("--task", "task_name", type=TASKS, help="The last run of this task.")
@model_option
@click.option("--prompt", default="", metavar="TEXT", help="What the text begins with, or the word to reverse.")
@click.option(
    "--tokens", type=click.IntRange(0, 1_000_000), default=500, show_default=True, help="How many tokens to write."
)
@choice_options
@seed_option
@click.option(
    "--speed", is_flag=True, help="Instead of a text: tokens a second without and with your KV cache, by length."
)
@trained_option
@runs_option
def sample(
    name: str | None, task_name: str | None, model: str | None, root: Path, exercises: Path | None, **options: Any
) -> None:
    """Write text with a trained model, or reverse words: that goes to stdout, everything about it to stderr."""
    run = runs.find(root, name, task_name, model)
    named = given()
    from lab.session import show_sample
    from lab.task import Request
    from lab.tasks import task_of

    foreign = {option for option in named if option in options} - task_of(run).requests
    if foreign:
        raise LabError(f"{spelt(foreign)} means nothing to {run.name}, whose task is {run.task}: leave it out")
    show_sample(run, exercises, Request(**options))


@main.command("map")
@click.option("--run", "name", metavar="RUN", help="Which run.  [default: the one trained last]")
@click.option("--task", "task_name", type=TASKS, help="The last run of this task.")
@model_option
@trained_option
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@plain_option
@runs_option
def map_(
    name: str | None,
    task_name: str | None,
    model: str | None,
    exercises: Path | None,
    show: bool,
    plain: bool,
    root: Path,
) -> None:
    """Write the map of a run: one HTML file with the model live in it, to look into and to send to a friend."""
    run = runs.find(root, name, task_name, model)
    from lab.session import draw_map

    path = draw_map(Screen(plain), run, exercises)
    click.echo(f"{runs.shown(path)} ({path.stat().st_size / 1e6:.1f} MB): open it in a browser. It needs no network.")
    if show:
        click.launch(path.as_uri())


@main.command()
@click.option("--run", "name", metavar="RUN", help="Which run.  [default: the one of a text trained last]")
@model_option
@click.option("--for", "owner", default="", metavar="NAME", help="Whose it is.")
@runs_option
def certificate(name: str | None, model: str | None, owner: str, root: Path) -> None:
    """A page to show around, as SVG and PDF: what you built, and the figures and the text of a run of it."""
    run = runs.find(root, name, "text", model)
    from lab.certificate import facts, write
    from lab.tasks import task_of

    for path in write(facts(run, task_of(run).exercises), owner, date.today()):
        click.echo(runs.shown(path))


@main.command()
@click.option("--prompt", default="", metavar="TEXT", help="What the text begins with.  [default: nothing, a new text]")
@click.option("--text", type=click.Path(path_type=Path), metavar="FILE", help="Measure the loss on a text file, too.")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where model.safetensors and merges.txt are.  [default: they are downloaded, 549 MB, once]",
)
@click.option(
    "--tokens", type=click.IntRange(0, 100_000), default=60, show_default=True, help="How many tokens to write."
)
@choice_options
@device_option
@seed_option
@own_options
@plain_option
def gpt2(
    folder: Path | None,
    text: Path | None,
    device: str,
    exercises: Path,
    reference: bool,
    plain: bool,
    **options: Any,
) -> None:
    """Let GPT-2 write, the published model with 124 million parameters, in the pieces that you built.

    The text goes to stdout, everything about it to stderr: which tokens it thought likeliest at each place of the
    prompt, and its loss on a text of yours.
    """
    measured = corpora.from_file(text) if text is not None else None
    from lab.gpt2.show import show
    from lab.task import Request

    show(folder, None if reference else exercises, measured, Request(**options), device, plain)


@main.command()
@own_options
@click.option("--corpus", type=click.Choice(list(corpora.NAMED)), default=corpora.DEFAULT, show_default=True)
@click.option("--text", type=click.Path(path_type=Path), metavar="FILE", help="Learn any text file (UTF-8) instead.")
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), default="laptop", show_default=True, help="As of the command train."
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 100_000),
    callback=finite,
    default=90.0,
    show_default=True,
    help="About how long each training takes.",
)
@click.option("--steps", type=click.IntRange(1, 10_000_000), help="How many steps each takes, instead.")
@device_option
@seed_option
@click.option(
    "--out", type=click.Path(path_type=Path), default=runs.RUNS / "ablation", metavar="DIR", help="Where to write."
)
@plain_option
def ablate(
    exercises: Path,
    reference: bool,
    corpus: str,
    text: Path | None,
    preset: str,
    seconds: float,
    steps: int | None,
    device: str,
    seed: int,
    out: Path,
    plain: bool,
) -> None:
    """Train with one piece less at a time, and see what each piece buys: a table and a picture."""
    chosen = corpora.from_file(text) if text is not None else corpora.load(corpus)
    from lab.ablate import ablate as run

    given = {name: value for name, value in PRESETS[preset].items() if name != "steps"}
    if steps is not None:
        given["steps"] = steps
    folder = None if reference else exercises
    run(Screen(plain), out, chosen, given, seconds=seconds, seed=seed, device=device, exercises=folder)


@main.command()
@own_options
@click.option("--text", type=click.Path(path_type=Path), metavar="FILE", help="Race on any text file (UTF-8) instead.")
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="How many runs; 3 for an official entry."
)
@seed_option
@plain_option
@runs_option
def speedrun(
    exercises: Path, reference: bool, text: Path | None, seeds: int, seed: int, plain: bool, root: Path
) -> None:
    """Race your recipe of exercise 23 against the plain one: CPU seconds until its loss on Tiny Shakespeare.

    Without --text the text is downloaded, once; where it can't be had, the embedded plays take its place.
    """
    chosen = corpora.from_file(text) if text is not None else None
    from lab.speedrun import speedrun as run

    run(Screen(plain), root, chosen, range(seed, seed + seeds), None if reference else exercises)


@main.command()
@click.option("--prompt", default="", metavar="TEXT", help="Say this, print the answer, and end.")
@click.option("--system", default="", metavar="TEXT", help="What the model is told about its role.")
@click.option("--look", is_flag=True, help="Show each token with its five likeliest rivals.")
@click.option(
    "--tokens", type=click.IntRange(1, 8000), default=400, show_default=True, help="How long an answer may get."
)
@choice_options
@seed_option
@own_options
@plain_option
def chat(exercises: Path, reference: bool, system: str, look: bool, plain: bool, **options: Any) -> None:
    """Talk with a published model of 135 million parameters that runs in the Llama that you built (exercise 22)."""
    from lab.chat.show import show
    from lab.task import Request

    show(None if reference else exercises, Request(**options), system, look, plain)


@main.command()
@device_option
@click.option(
    "--steps",
    type=click.IntRange(1, 10_000_000),
    show_default="as in TrainConfig of exercise 14",
    help="How long to train.",
)
@seed_option
@plain_option
@runs_option
def demo(device: str, steps: int | None, seed: int, plain: bool, root: Path) -> None:
    """The whole journey with the reference solution, in about two minutes: grade, train, compare, write.

    Exit code 0 when the model beats the trigram baseline, 1 when it does not.
    """
    from lab.demo import journey

    sys.exit(0 if journey(Screen(plain), root, device, steps, seed) else 1)
