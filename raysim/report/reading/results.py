"""What a study has shown so far, folded from its events. All tables are made of this."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raysim.report.events import Event, StudyStarted, TrialFailed, TrialFinished, TrialInfo, TrialStarted
from raysim.report.reading.generation import Figures, means

GENERATION = "generation"
"""What stands in place of a split for figures of what was made."""


@dataclass(frozen=True)
class Row:
    """One trial x split x metric, as in summary.csv; `value` is None where undefined."""

    trial: TrialInfo
    split: str
    metric: str
    value: float | None


@dataclass
class Results:
    """The finished and failed trials of a study, in the order in which they ended.

    Attributes:
        trials: all trials of the study.
        hardware: the machine, in a line.
        out: the study's folder.
        started: (scenario, trial) -> how it began.
        summaries: each finished trial with its summary.
        failures: each failed trial with its error in one line.
    """

    trials: tuple[TrialInfo, ...] = ()
    hardware: str = ""
    out: str = ""
    started: dict[tuple[str, str], TrialStarted] = field(default_factory=dict[tuple[str, str], TrialStarted])
    summaries: list[tuple[TrialInfo, Mapping[str, Any]]] = field(
        default_factory=list[tuple[TrialInfo, Mapping[str, Any]]]
    )
    failures: list[tuple[TrialInfo, str]] = field(default_factory=list[tuple[TrialInfo, str]])

    def fold(self, event: Event) -> None:
        """Takes in one event; those that change no result are ignored."""
        match event:
            case StudyStarted():
                self.trials, self.hardware, self.out = event.trials, event.hardware, event.out
                self.started, self.summaries, self.failures = {}, [], []  # it may be another process that goes on
            case TrialStarted():
                self.started[key(event.trial)] = event
            case TrialFinished():
                self.summaries.append((event.trial, event.summary))
            case TrialFailed():
                self.failures.append((event.trial, event.error))
            case _:
                pass

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The scenarios' names, in order."""
        return tuple(dict.fromkeys(t.scenario for t in self.trials))

    @property
    def ordered(self) -> list[tuple[TrialInfo, Mapping[str, Any]]]:
        """The finished trials in the order of the study."""
        place = {key(t): i for i, t in enumerate(self.trials)}
        return sorted(self.summaries, key=lambda pair: place[key(pair[0])])

    @property
    def rows(self) -> list[Row]:
        """Every figure of every finished trial, in the order of the study."""
        return [
            _row(trial, split, metric, value)
            for trial, summary in self.ordered
            for split, values in summary["splits"].items()
            for metric, value in values.items()
        ]

    @property
    def generated(self) -> list[Row]:
        """What was made: for each trial that was measured, the means of its figures by their names alone."""
        return [
            _row(trial, GENERATION, name, value)
            for trial, summary in self.ordered
            for name, value in means(made(summary)).items()
        ]

    @property
    def pairs(self) -> list[Row]:
        """The figures that the means are of: `coherence a>b`."""
        return [
            _row(trial, GENERATION, f"{name} {subject}", value)
            for trial, summary in self.ordered
            for subject, values in made(summary).items()
            for name, value in values.items()
        ]

    def bounds(self, scenario: str) -> set[tuple[tuple[str, str], ...]]:
        """The grid points, as (key, value) pairs, of methods that are bounds and no contestants."""
        return {tuple(t.grid.items()) for t, summary in self.ordered if t.scenario == scenario and summary.get("bound")}

    def mixed(self, scenario: str) -> list[str]:
        """What was not the same for all trials that are compared, a line each: own code, or an arm's data."""
        first = dict[tuple[str, ...], dict[str, str]]()  # what, and of which arm -> checksum -> the first trial with it
        for trial, summary in self.ordered:
            origin: Mapping[str, Any] = summary.get("origin", {}) if trial.scenario == scenario else {}
            code: Mapping[str, str] = origin.get("code", {})
            for name, checksum in code.items():
                first.setdefault((name,), {}).setdefault(checksum, trial.name)
            if "data" in origin:
                arm = ("the data", *map(str, trial.grid.items()))
                first.setdefault(arm, {}).setdefault(str(origin["data"]), trial.name)
        changed = ((what[0], *by.values()) for what, by in first.items() if len(by) > 1)
        return [
            f"{what} changed between {one} and {two}; their figures do not compare" for what, one, two, *_ in changed
        ]

    def position(self, trial: TrialInfo) -> str:
        """`2/8`: which trial of how many."""
        return f"{[key(t) for t in self.trials].index(key(trial)) + 1}/{len(self.trials)}"


def made(summary: Mapping[str, Any]) -> Figures:
    """A trial's figures of what was made; empty where nothing was measured."""
    found: Mapping[str, Figures] = summary.get(GENERATION) or {}
    return found.get("figures", {})


def _row(trial: TrialInfo, split: str, metric: str, value: float | None) -> Row:
    return Row(trial, split, metric, value if value is not None and math.isfinite(value) else None)


def key(trial: TrialInfo) -> tuple[str, str]:
    """What identifies a trial within its study."""
    return trial.scenario, trial.name
