"""Figures over seeds, and which of them are the best among those that may be compared: the marks of all tables."""

import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raysim.report.reading.arms import arm_of
from raysim.report.reading.results import Results
from raysim.report.tables.fills import Point
from raysim.report.text import number
from raysim.scenario.identity import is_condition

BOUND = " (bound)"
"""What marks the name of an arm that is no contestant."""


@dataclass(frozen=True)
class Cell:
    """A figure over seeds.

    Attributes:
        mean: None where a seed's value is undefined.
        std: the sample deviation; None for one seed.
        seeds: that the mean is over.
        of: how many there are, where the mean is over those alone that have a value.
    """

    mean: float | None
    std: float | None
    seeds: int
    of: int | None = None

    def __str__(self) -> str:
        return self.shown()

    def shown(self, digits: int = 3) -> str:
        """`0.625 ± 0.177`, and `0.625 (1 of 2)` where the other seed has none."""
        mean = number(self.mean, digits)
        figure = mean if self.std is None else f"{mean} ± {number(self.std, digits)}"
        return figure if self.of in (None, self.seeds) else f"{figure} ({self.seeds} of {self.of})"


def cell_of(values: Sequence[float | None]) -> Cell:
    """Of one value a seed. A mean over seeds of which one is undefined is undefined: leaving it out would flatter."""
    known = [v for v in values if v is not None]
    return Cell(None, None, len(values)) if len(known) < len(values) else _over(known)


def some_of(values: Sequence[float | None]) -> Cell | None:
    """Over those seeds that have a value, and how many these are; None where none has."""
    known = [v for v in values if v is not None]
    found = _over(known) if known else None
    return found and Cell(found.mean, found.std, found.seeds, len(values))


def _over(known: Sequence[float]) -> Cell:
    return Cell(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


Contest = Hashable | None
"""Equal for lines that compete with each other; None for a bound, which competes with none."""


def contests(results: Results, scenario: str) -> dict[Point, Contest]:
    """Grid point -> its contest: what all of the grid but the arm says, and under what conditions the arm was tried.

    These are what a scenario says of data, clients and missing modalities, whether a key of the grid shows it or an
    arm's label hides it.
    """
    trials, bounds = [t for t in results.trials if t.scenario == scenario], results.bounds(scenario)
    found: dict[Point, Contest] = {}
    for trial in trials:
        point = tuple(trial.grid.items())
        shown = tuple((k, v) for k, v in point if is_condition(k))
        found[point] = None if point in bounds else (arm_of(trial, trials)[1], shown, trial.conditions)
    return found


class Marks(NamedTuple):
    """(line, column) of the best figures and of those that come next, and what the best are said to be."""

    best: frozenset[tuple[int, int]]
    second: frozenset[tuple[int, int]]
    word: str


def marks(
    columns: Sequence[Sequence[Cell | None]], contests: Sequence[Sequence[Contest]], low: Sequence[bool | None],
    first: int, digits: Sequence[int] | None = None,
) -> Marks:  # fmt: skip
    """Which figures of a table are marked.

    Args:
        columns: of each column the figures, a line each.
        contests: of each column what its lines compete in.
        low: of each column whether less is better; None where nobody knows.
        first: the place of the first of these columns in the table.
        digits: of each column how many decimals are shown: figures that look alike are; three where None.
    """
    found: tuple[set[tuple[int, int]], set[tuple[int, int]]] = set(), set()
    for j, (column, own, less) in enumerate(zip(columns, contests, low, strict=True)):
        for contest in dict.fromkeys(c for c in own if c is not None and less is not None):
            contestants = [cell if c == contest else None for c, cell in zip(own, column, strict=True)]
            for several, choose in zip(found, (best, second), strict=True):
                lines = choose(contestants, low=bool(less), digits=digits[j] if digits else 3)
                several.update((i, first + j) for i in lines)
    several = any(len({c for c in own if c is not None}) > 1 for own in contests)
    return Marks(frozenset(found[0]), frozenset(found[1]), "best under equal conditions" if several else "best")


def best(column: Sequence[Cell | None], *, low: bool, digits: int = 3) -> list[int]:
    """The lines with the highest mean as shown, or the lowest; none where nothing is compared."""
    shown = [None if c is None or c.mean is None else round(c.mean, digits) for c in column]
    known = [v for v in shown if v is not None]
    chosen = min(known, default=None) if low else max(known, default=None)
    return [i for i, v in enumerate(shown) if v == chosen] if len(known) > 1 else []


def second(column: Sequence[Cell | None], *, low: bool, digits: int = 3) -> list[int]:
    """The lines that are `best` when the best are left out."""
    first = best(column, low=low, digits=digits)
    return best([None if i in first else cell for i, cell in enumerate(column)], low=low, digits=digits)


def named(point: Point, keys: Sequence[str], scenario: str, *, bound: bool = False) -> tuple[str, ...]:
    """The labels of a grid point's line: its values by key, or the scenario's name where it has no grid.

    A bound is marked beside the arm or the method.
    """
    values: Mapping[str, str] = dict(point)
    arm = next((k for k in ("arm", "method") if k in values), keys[-1] if keys else "")
    return tuple(values.get(k, "") + BOUND * (bound and k == arm) for k in keys) or (scenario + BOUND * bound,)
