"""What the pictures of a study show, found in its trials: curves, rates, traffic, clients, subsets, costs."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from raysim.report.events import TrialInfo
from raysim.report.figures.shown import Cost, Lines, Pane, Series, Strip, Strips, Subsets
from raysim.report.reading.arms import is_number, matrix_axes
from raysim.report.reading.courses import Course, course
from raysim.report.reading.folders import Study
from raysim.report.reading.results import key
from raysim.report.reading.slices import CLIENTS, SUBSETS, Slice, slices, subset
from raysim.report.tables.tables import split_name
from raysim.report.text import duration, label, size

_KNOWN = ("split", "client", "id", "role", "rows", "given")
"""Columns of clients.csv and subsets.csv that are no metrics."""
_COSTS: tuple[tuple[str, tuple[str, ...], Callable[[float], str]], ...] = (
    ("time", ("seconds_s",), duration),
    ("compute of all clients", ("compute_s",), duration),
    ("sent, up and down", ("bytes_up", "bytes_down"), size),
    ("memory of a process", ("peak_bytes_rss",), size),
    ("parameters", ("parameters",), "{:,.0f}".format),
)


@dataclass(frozen=True)
class Material:
    """What the pictures of one scenario show.

    Args:
        study: as it was read.
        scenario: one of it.
        split: whose figures stand for a trial.
        metric: of the figures; the one that selects the round where None.
    """

    study: Study
    scenario: str
    split: str = "test"
    metric: str | None = None

    @cached_property
    def trials(self) -> list[tuple[TrialInfo, Mapping[str, Any]]]:
        """The finished trials of the scenario."""
        return [pair for pair in self.study.results.ordered if pair[0].scenario == self.scenario]

    @cached_property
    def chosen(self) -> str:
        """The metric."""
        return self.metric or (self.trials[0][0].metric if self.trials else "")

    @property
    def figure(self) -> str:
        """What stands for a trial, in words: `test unmasked uar`."""
        return f"{split_name(self.split)} {self.chosen}"

    @cached_property
    def low(self) -> bool:
        """Whether less of the metric is better."""
        return any(self.chosen in trial.low for trial, _ in self.trials)

    @cached_property
    def axes(self) -> tuple[str, str] | None:
        """The grid's keys for (arms, panes); None where the grid has one key that varies."""
        return matrix_axes([t for t in self.study.results.trials if t.scenario == self.scenario])

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms, in the order of the study; their places decide how they look."""
        return tuple(dict.fromkeys(self.arm(t) for t in self.study.results.trials if t.scenario == self.scenario))

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """The grid's keys that vary."""
        grids = [t.grid for t in self.study.results.trials if t.scenario == self.scenario]
        keys = dict.fromkeys(k for grid in grids for k in grid)
        return tuple(k for k in keys if len({grid.get(k) for grid in grids}) > 1)

    def arm(self, trial: TrialInfo) -> str:
        """What tells the trial from others in its pane."""
        grid = trial.grid
        if self.axes:
            return grid[self.axes[0]]
        if len(self.varied) == 1 and self.varied[0] in grid:
            return grid[self.varied[0]]
        return " ".join(grid.values()) if len(grid) == 1 else label(grid) or self.scenario

    def pane(self, trial: TrialInfo) -> str:
        """The pane's title: what the trial's grid says beside its arm."""
        if not self.axes:
            return ""
        return label({k: v for k, v in trial.grid.items() if k in self.varied and k != self.axes[0]})

    @cached_property
    def courses(self) -> dict[tuple[str, str], Course]:
        """How each finished trial went."""
        folders = self.study.folders
        return {
            key(t): course(folders[key(t)] / "metrics.jsonl", dict.fromkeys((self.chosen, "loss")))
            for t, _ in self.trials
        }

    def value(self, summary: Mapping[str, Any]) -> float | None:
        """A trial's figure."""
        return summary["splits"].get(self.split, {}).get(self.chosen)

    def learning(self) -> Lines | None:
        """Validation scores by round; None where no trial was evaluated."""
        metrics = [self.chosen] if self.axes else list(dict.fromkeys((self.chosen, "loss")))
        panes: list[Pane] = []
        for metric in metrics:
            for title, trials in self._panes():
                series = self._series(trials, lambda t, m=metric: self.courses[key(t)].scores.get(m, {}))
                if series:
                    panes.append(Pane(title, series, y=f"validation {metric}"))
        if not panes:
            return None
        return Lines(
            "Learning curves", "round", f"validation {self.chosen}", tuple(panes), whole=True,
            caption="mean over seeds in a band of one sample standard deviation",
        )  # fmt: skip

    def rates(self) -> Lines | None:
        """The reported score against the number that the grid varies, a missing rate say; None where it varies none."""
        axis = self.axes[1] if self.axes else self.varied[0] if len(self.varied) == 1 else None
        trials = [(t, s) for t, s in self.trials if self.value(s) is not None]
        if axis is None or not all(axis in t.grid and is_number(t.grid[axis]) for t, _ in trials):
            return None
        if len({t.grid[axis] for t, _ in trials}) < 2:
            return None
        groups: dict[str, dict[str, dict[float, list[float]]]] = {}
        for trial, summary in trials:
            grid = {k: v for k, v in trial.grid.items() if k in self.varied and k not in (axis, *(self.axes or ())[:1])}
            name = self.arm(trial) if self.axes else self.scenario
            values = groups.setdefault(label(grid), {}).setdefault(name, {})
            values.setdefault(float(trial.grid[axis]), []).append(_known(self.value(summary)))
        places = {name: place for place, name in enumerate(self.arms if self.axes else (self.scenario,))}
        panes = tuple(
            Pane(title, tuple(_line(name, places[name], sorted(points.items())) for name, points in found.items()))
            for title, found in groups.items()
        )
        return Lines(
            f"{self.figure[:1].upper()}{self.figure[1:]} by {axis}", axis, self.figure, panes,
            caption="mean over seeds in a band of one sample standard deviation",
        )  # fmt: skip

    def traffic(self) -> Lines | None:
        """The reported score against all bytes that a trial sent; None where there are not two arms that do."""
        panes: list[Pane] = []
        for title, trials in self._panes():
            series: list[Series] = []
            for name, several in self._by_arm(trials):
                found = [(s["bytes_up"] + s["bytes_down"], self.value(s)) for _, s in several if "bytes_up" in s]
                known = [(x, y) for x, y in found if y is not None]
                if known and len(known) == len(found):
                    x, ys = statistics.fmean(x for x, _ in known), [y for _, y in known]
                    series.append(_line(name, self.arms.index(name), [(x, ys)]))
            if series:
                panes.append(Pane(title, tuple(series)))
        amounts = [x for pane in panes for s in pane.series for x in s.x]
        if len(amounts) < 2 or not all(amounts):
            return None
        return Lines(
            f"Traffic against {self.chosen}", "sent by a trial, up and down",
            self.figure, tuple(panes),
            bytes=True, log=max(amounts) > 8 * min(amounts),
            caption="mean over seeds with one sample standard deviation",
        )  # fmt: skip

    def clients(self) -> list[Strips]:
        """Scores by client, a picture a pane; none where no trial has them."""
        found: list[Strips] = []
        for title, trials in self._panes():
            strips: list[Strip] = []
            metric = ""
            for name, several in self._by_arm(trials):
                lines = [line for t, _ in several for line in self._slices(t, CLIENTS)]
                metric = metric or _metric(lines, self.chosen)
                scores = sorted(line.numbers[metric] for line in lines if metric in line.numbers)
                if scores:
                    worst = math.ceil(len(scores) / 10)
                    ordered = tuple(reversed(scores)) if self._low(metric) else tuple(scores)
                    strips.append(Strip(name, self.arms.index(name), ordered, worst, statistics.fmean(scores)))
            if strips:
                found.append(Strips(title, f"{metric} at a client", tuple(strips), self._low(metric)))
        return found

    def subsets(self) -> list[Subsets]:
        """Scores by modality subset, a picture a pane; none where no trial has them."""
        found: list[Subsets] = []
        for title, trials in self._panes():
            values: dict[str, dict[frozenset[str], list[float]]] = {}
            metric = ""
            for name, several in self._by_arm(trials):
                for line in (line for t, _ in several for line in self._slices(t, SUBSETS)):
                    metric = metric or _metric([line], self.chosen)
                    if metric in line.numbers and subset(line):
                        values.setdefault(name, {}).setdefault(subset(line), []).append(line.numbers[metric])
            modalities = tuple(dict.fromkeys(m for by in values.values() for s in by for m in sorted(s)))
            every = dict.fromkeys(s for by in values.values() for s in by)
            order = tuple(sorted(every, key=lambda s: (len(s), [modalities.index(m) for m in sorted(s)])))
            arms = tuple(
                (n, self.arms.index(n), tuple(statistics.fmean(by[s]) if s in by else None for s in order))
                for n, by in values.items()
            )
            if arms:
                found.append(Subsets(title, f"test {metric}", modalities, order, arms))
        return found

    def costs(self) -> list[Cost]:
        """Time, bytes and memory by arm, over all panes."""
        found: list[Cost] = []
        for name, names, show in _COSTS:
            values = {
                arm: statistics.fmean(sum(s[n] for n in names) for _, s in several)
                for arm, several in self._by_arm(self.trials)
                if all(s.get(n) is not None for _, s in several for n in names)
            }
            found += [Cost(name, values, show)] if values else []
        return found

    def _panes(self) -> list[tuple[str, list[tuple[TrialInfo, Mapping[str, Any]]]]]:
        """Title and finished trials of each pane, numbers in rising order."""
        found: dict[str, list[tuple[TrialInfo, Mapping[str, Any]]]] = {}
        for trial, summary in self.trials:
            found.setdefault(self.pane(trial), []).append((trial, summary))
        return sorted(found.items(), key=lambda item: _rising(item[1][0][0].grid[self.axes[1]] if self.axes else ""))

    def _by_arm(
        self, trials: Sequence[tuple[TrialInfo, Mapping[str, Any]]]
    ) -> list[tuple[str, list[tuple[TrialInfo, Mapping[str, Any]]]]]:
        """The trials of each arm, in the arms' order."""
        ordered = sorted(trials, key=lambda pair: self.arms.index(self.arm(pair[0])))
        return [(name, list(several)) for name, several in groupby(ordered, lambda pair: self.arm(pair[0]))]

    def _series(
        self, trials: Sequence[tuple[TrialInfo, Mapping[str, Any]]], curve: Callable[[TrialInfo], Mapping[int, float]]
    ) -> tuple[Series, ...]:
        """A line an arm, at the rounds that all its seeds have."""
        series: list[Series] = []
        for name, several in self._by_arm(trials):
            curves = [curve(t) for t, _ in several]
            rounds = sorted(r for r in curves[0] if all(r in c for c in curves))
            if rounds:
                series.append(_line(name, self.arms.index(name), [(r, [c[r] for c in curves]) for r in rounds]))
        return tuple(series)

    def _slices(self, trial: TrialInfo, name: str) -> list[Slice]:
        """Those of the test rows, where lines say which they are of."""
        found = slices(self.study.folders[key(trial)] / name)
        return [line for line in found if line.words.get("split", "test") == "test"]

    def _low(self, metric: str) -> bool:
        return any(metric in trial.low for trial, _ in self.trials)


def _line(name: str, place: int, points: Iterable[tuple[float, Sequence[float]]]) -> Series:
    """Mean and sample standard deviation (0 for one seed) at each x."""
    found = [(x, statistics.fmean(ys), statistics.stdev(ys) if len(ys) > 1 else 0.0) for x, ys in points]
    return Series(
        name, place, tuple(x for x, _, _ in found), tuple(m for _, m, _ in found),
        tuple(m - d for _, m, d in found), tuple(m + d for _, m, d in found),
    )  # fmt: skip


def _metric(lines: Sequence[Slice], wanted: str) -> str:
    """The wanted metric where some line has it, else the first number that is none of the known columns."""
    names = dict.fromkeys(name for line in lines for name in line.numbers if name not in _KNOWN)
    return wanted if wanted in names else next(iter(names), "")


def _known(value: float | None) -> float:
    assert value is not None
    return value


def _rising(text: str) -> tuple[int, float]:
    """Numbers by their size, words as they come."""
    return (0, float(text)) if is_number(text) else (1, 0.0)
