"""What a run can be about: a task knows its data, its model and its loss, how to measure it and what to show of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from lab.console import Screen
from lab.pieces import Pieces
from lab.runs import Run

OnStep = Callable[[int, float], object]


@dataclass(frozen=True)
class Outcome(ABC):
    """A finished run: what is shown of it, and kept in its results.json and sample.txt."""

    run: Run
    sample: str

    more: ClassVar[str]  # what the user can do with it next

    @abstractmethod
    def table(self) -> str:
        """Return how good the model is, to be read."""

    @abstractmethod
    def results(self) -> dict[str, Any]:
        """Return how good the model is, to be kept."""


@dataclass(frozen=True)
class Request:
    """The user's wishes about a trained model. Each task says what it makes of it, and what it has no use for."""

    prompt: str = ""
    seed: int = 0
    tokens: int = 500
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    speed: bool = False


Result = TypeVar("Result", bound=Outcome, covariant=True)


class Task(ABC, Generic[Result]):
    """The subject of one run, made of the pieces of an assembly.

    Args:
        pieces: what everything is made of.
        recipe: the fields of exercise 14's `TrainConfig`, as config.json keeps them.
        device: where its batches go.
    """

    name: ClassVar[str]  # as --task spells it, and config.json
    architecture: ClassVar[str] = ""  # which of several models it trains, as --model spells it, and config.json
    exercises: ClassVar[tuple[str, ...]]  # those that it is made of
    helpers: ClassVar[tuple[str, ...]] = ()  # those that it uses as well, where they are there
    shares: ClassVar[bool] = False  # whether several processes can each run a part of its batches
    requests: ClassVar[frozenset[str]]  # the fields of a `Request` that mean something to it

    def __init__(self, pieces: Pieces, recipe: Mapping[str, Any], device: torch.device) -> None:
        self.pieces = pieces
        self.recipe = recipe
        self.device = device
        self.config = self.training.TrainConfig(**{**recipe, "betas": tuple(recipe["betas"])})  # JSON has no tuples

    @property
    def training(self) -> Any:
        """Exercise 14, or what stands in for it."""
        return self.pieces.training

    @classmethod
    @abstractmethod
    def reopen(cls, pieces: Pieces, run: Run, device: torch.device) -> Task[Result]:
        """The task of a run that is there already.

        Raises:
            LabError: the run's files, or the exercises, are no longer those that it began with.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Its part of config.json: all that `reopen` needs, the recipe included."""

    @abstractmethod
    def files(self) -> dict[str, str]:
        """Texts that are kept in the run's folder, by file name."""

    @property
    @abstractmethod
    def title(self) -> str:
        """Return what is learned, in a few words."""

    @abstractmethod
    def introduction(self) -> str:
        """Return what is learned, in a line."""

    @abstractmethod
    def new_model(self) -> nn.Module:
        """A fresh model, its weights drawn from the global generator."""

    def build_model(self) -> nn.Module:
        """A fresh model on the device, its weights drawn from the recipe's seed."""
        torch.manual_seed(self.config.seed)
        return self.new_model().to(self.device)

    # ---- training

    @property
    @abstractmethod
    def tokens_per_step(self) -> int:
        """Return how many tokens a batch holds."""

    def engine(self, model: nn.Module) -> nn.Module:
        """Return what the loop is given to train: the model itself, or something that runs it in another way."""
        return model

    @abstractmethod
    def train(self, model: nn.Module, config: Any, on_step: OnStep, state: Any) -> None:
        """Make the steps that are left, as exercise 14's `train` does.

        Args:
            model: trained in place.
            config: the `TrainConfig`; with 0 steps, nothing is trained and an empty state is made ready.
            on_step: called as on_step(step, loss) after each step; what it raises ends the training there.
            state: a `TrainState` of exercise 14, up to date in each call of `on_step`.
        """

    # ---- showing

    @abstractmethod
    def sample(self, model: nn.Module) -> str:
        """Something short that the model makes of what it always gets: so one can watch it learn.

        The model comes back as it was, and chance is drawn from a generator of its own.
        """

    def figures(self, row: Mapping[str, Any]) -> str:
        """A row of the history, to be read."""
        return f"train {row['train_loss']:.3f}  held out {row['val_loss']:.3f}"

    @abstractmethod
    def levels(self) -> dict[str, float]:
        """Losses to compare with, by name: drawn in the picture of the loss curve."""

    unit: str = "token"  # what the losses count by

    @abstractmethod
    def finish(self, model: nn.Module, run: Run) -> Result:
        """Measure and show a model that is fully trained."""

    @abstractmethod
    def show(self, model: nn.Module, run: Run, step: int, request: Request, screen: Screen) -> None:
        """Let a model do what it has learned in `step` steps: that goes to stdout, everything about it to the screen.

        Raises:
            LabError: the model can't do anything with the prompt.
        """


class Plan(ABC, Generic[Result]):
    """The user's plan for a run, before anything takes time.

    Attributes:
        task: what it will be.
        given: what the user has settled: options of the command line by their names.
        label: what a run is named after.
        note: something that the user should be told.
    """

    task: type[Task[Result]]
    given: Mapping[str, Any]
    label: str
    note: str = ""

    @abstractmethod
    def check(self, device: torch.device) -> None:
        """Refuse what can't work whatever the pieces are.

        Raises:
            LabError: it can't.
        """

    @abstractmethod
    def begin(self, pieces: Pieces, seed: int, device: torch.device) -> Task[Result]:
        """The task of a new run.

        Raises:
            LabError: it can't be done with these pieces.
        """
