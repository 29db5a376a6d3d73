"""What a tracker is: something that shows runs, their parameters and their curves, and keeps their files.

A tracker of one's own is a class like this, an entry point of the group `raysim.trackers` or `package.module:Class`:

    class Printer(Tracker):
        def begin(self, run: Run) -> Begun:
            return Begun(run.id or run.name)

        def log(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
            print(run.name, step, figures)

        def finish(self, run: Run, figures: Mapping[str, float], files: Sequence[Path]) -> None:
            print(run.name, figures)

        def stop(self, run: Run, error: str) -> None:
            print(run.name, error)
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, StrictBool

from raysim.scenario.section import Positive, Section

Parameter = str | int | float | bool


class TrackerOptions(Section):
    """What a scenario may say of any tracker."""

    model: StrictBool = Field(default=True, description="Whether model.safetensors goes there, too.")
    timeout_s: Positive = Field(
        default=60.0, description="Longest wait for an answer, and at the study's end for all that is still to be sent."
    )


@dataclass(frozen=True)
class Run:
    """A trial as trackers know it.

    Attributes:
        study: the name of the study's folder.
        scenario: what groups the runs.
        name: the trial's, which is the run's.
        folder: the trial's.
        parameters: the resolved scenario by dotted keys, `seed`, and `grid.<key>`.
        id: what the tracker calls the run; empty while it has none.
    """

    study: str
    scenario: str
    name: str
    folder: Path
    parameters: Mapping[str, Parameter]
    id: str = ""


@dataclass(frozen=True)
class Begun:
    """How a run begins: what the tracker calls it, and the steps that it shows already, which are not told again."""

    id: str
    steps: Collection[int] = ()


class Tracker(ABC):
    """One tracker of a study; told by one thread, in order, of several runs at a time.

    All methods may raise: it is said once, and the tracker hears no more. None may wait for long (`timeout_s`).
    What they need is imported when they are called, not with their file.

    Args:
        options: of the class's `Options`.
    """

    Options: ClassVar[type[TrackerOptions]] = TrackerOptions
    requires: ClassVar[Mapping[str, str]] = {}
    """Package that must be there -> the extra of raysim that brings it."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def ready(self) -> None:
        """Whether it can be used, as far as is known without asking it; called before anything starts.

        Raises:
            ValueError: it cannot; one line with what to do.
        """
        return

    @abstractmethod
    def begin(self, run: Run) -> Begun:
        """Begins a run or, where it has an id, goes on with that one."""

    @abstractmethod
    def log(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        """Takes a round's figures, all finite: `loss/task`, `test/accuracy`, `cost/bytes_up`."""

    @abstractmethod
    def finish(self, run: Run, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """Ends a run: `reported/test/accuracy` and the like, and the files that belong to it."""

    @abstractmethod
    def stop(self, run: Run, error: str) -> None:
        """Ends a run whose trial failed; or leaves it to be gone on with, where `error` is empty."""

    def attach(self, run: Run, file: Path) -> None:
        """Takes a newer version of a finished run's file, where that is possible."""
        return

    def close(self) -> None:
        """Nothing more will come."""
        return
