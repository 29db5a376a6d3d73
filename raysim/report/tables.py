"""Mean and standard deviation over seeds, and the result tables made of them."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raysim.report.results import Results, Row
from raysim.report.text import number

Point = tuple[tuple[str, str], ...]


class Key(NamedTuple):
    """Where a figure belongs; `point` is the grid point as (key, value) pairs."""

    scenario: str
    point: Point
    split: str
    metric: str


@dataclass(frozen=True)
class Cell:
    """A figure over seeds: mean (None where a seed's value is undefined) and sample deviation (None for one seed)."""

    mean: float | None
    std: float | None
    seeds: int

    def __str__(self) -> str:
        return number(self.mean) if self.std is None else f"{number(self.mean)} ± {number(self.std)}"


@dataclass(frozen=True)
class Table:
    """A finished table of text.

    Attributes:
        title: the scenario, and the split where it is not the test split.
        caption: what the figures are.
        header, lines: the columns' names and the cells; a column `seeds` where lines have unlike numbers of seeds.
        best: (line, column) of each column's best figures.
        labels: how many leading columns are text.
        first: the first column of figures; between the two is `seeds`.
    """

    title: str
    caption: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]]
    labels: int
    first: int


def aggregate(rows: Iterable[Row]) -> dict[Key, Cell]:
    """Mean and sample standard deviation (n - 1) over seeds.

    A mean over seeds of which one is undefined is undefined: leaving it out would flatter.
    """
    groups: dict[Key, list[float | None]] = {}
    for row in rows:
        place = Key(row.trial.scenario, tuple(row.trial.grid.items()), row.split, row.metric)
        groups.setdefault(place, []).append(row.value)
    return {place: _cell(values) for place, values in groups.items()}


def _cell(values: Sequence[float | None]) -> Cell:
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return Cell(None, None, len(values))
    return Cell(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


def tables(results: Results, splits: Sequence[str] = ("test", "test_unmasked")) -> list[Table]:
    """One table a scenario that has finished trials; see `scenario_table`."""
    found = (scenario_table(results, scenario, splits) for scenario in results.scenarios)
    return [table for table in found if table is not None]


def scenario_table(results: Results, scenario: str, splits: Sequence[str] = ("test", "test_unmasked")) -> Table | None:
    """A line a grid point, in the grid's order, and a column a metric and split; None where there are no figures."""
    cells = aggregate(results.rows)
    trials = [t for t in results.trials if t.scenario == scenario]
    there = {k.split for k in cells if k.scenario == scenario}
    shown = [s for s in splits if s in there]
    having = {k.point for k in cells if k.scenario == scenario and k.split in shown}
    points = [p for p in dict.fromkeys(tuple(t.grid.items()) for t in trials) if p in having]
    if not points or not shown:
        return None
    keys = tuple(dict.fromkeys(k for t in trials for k in t.grid))
    columns = [(metric, split) for metric in trials[0].metrics for split in shown]
    grid = [[cells.get(Key(scenario, point, split, metric)) for metric, split in columns] for point in points]
    seeds = [max(c.seeds for c in line if c is not None) for line in grid]
    unlike = len(set(seeds)) > 1
    lines = tuple(
        (*(dict(p).get(k, "") for k in keys), *[str(n)] * unlike, *("n/a" if c is None else str(c) for c in line))
        for p, n, line in zip(points, seeds, grid, strict=True)
    )
    head = [metric if split == splits[0] else f"{metric} ({_short(split)})" for metric, split in columns]
    first = len(keys) + unlike
    return Table(
        title=scenario if shown[0] == "test" else f"{scenario} ({_short(shown[0])})",
        caption=_caption("" if unlike else f"{seeds[0]} ", one=max(seeds) == 1),
        header=(*keys, *["seeds"] * unlike, *head),
        lines=lines,
        best=frozenset((i, first + j) for j in range(len(columns)) for i in _best([line[j] for line in grid])),
        labels=len(keys),
        first=first,
    )


def _caption(seeds: str, *, one: bool) -> str:
    return "test, one seed" if one else f"test, mean ± sample standard deviation over {seeds}seeds"


def _short(split: str) -> str:
    """`test_unmasked` is `unmasked` in a table of test figures."""
    return split.removeprefix("test_")


def _best(column: Sequence[Cell | None]) -> list[int]:
    """The lines with the highest mean as shown (all metrics: higher is better); none where nothing is compared."""
    shown = [None if c is None or c.mean is None else round(c.mean, 3) for c in column]
    known = [v for v in shown if v is not None]
    return [i for i, v in enumerate(shown) if v == max(known)] if len(known) > 1 else []


def aligned(table: Table) -> list[str]:
    """The table as plain lines; figures are right-aligned, the best carry a `*`."""
    body = [
        [cell + ("*" if (i, j) in table.best else " ") if j >= table.first else cell for j, cell in enumerate(line)]
        for i, line in enumerate(table.lines)
    ]
    head = [name + (" " if j >= table.first else "") for j, name in enumerate(table.header)]
    widths = [max(len(line[j]) for line in (head, *body)) for j in range(len(head))]
    return [
        "  ".join(
            c.ljust(w) if j < table.labels else c.rjust(w) for j, (c, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *body)
    ]
