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
    """A finished table of text; `best` holds the (line, column) of each column's best figures."""

    title: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]]
    labels: int  # leading columns that are text, not figures


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
    """One table a scenario that has finished trials: a line a grid point, a column a metric and split."""
    cells = aggregate(results.rows)
    return [table for scenario in results.scenarios if (table := _table(results, cells, scenario, splits)) is not None]


def _table(results: Results, cells: dict[Key, Cell], scenario: str, splits: Sequence[str]) -> Table | None:
    trials = [t for t in results.trials if t.scenario == scenario]
    there = {k.split for k in cells if k.scenario == scenario}
    shown = [s for s in splits if s in there]
    points = list(dict.fromkeys(k.point for k in cells if k.scenario == scenario))
    if not points or not shown:
        return None
    keys = tuple(dict.fromkeys(k for t in trials for k in t.grid))
    columns = [(metric, split) for metric in trials[0].metrics for split in shown]
    grid = [[cells.get(Key(scenario, point, split, metric)) for metric, split in columns] for point in points]
    seeds = [max(c.seeds for c in line if c is not None) for line in grid]
    lines = tuple(
        (*(dict(point).get(k, "") for k in keys), str(n), *("n/a" if c is None else str(c) for c in line))
        for point, n, line in zip(points, seeds, grid, strict=True)
    )
    head = [metric if split == splits[0] else f"{metric} ({_short(split)})" for metric, split in columns]
    best = {(i, len(keys) + 1 + j) for j in range(len(columns)) for i in _best([line[j] for line in grid])}
    title = scenario if shown == ["test"] or len(shown) > 1 else f"{scenario} ({_short(shown[0])})"
    return Table(title, (*keys, "seeds", *head), lines, frozenset(best), len(keys))


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
        [cell + ("*" if (i, j) in table.best else " ") if j > table.labels else cell for j, cell in enumerate(line)]
        for i, line in enumerate(table.lines)
    ]
    head = [name + (" " if j > table.labels else "") for j, name in enumerate(table.header)]
    widths = [max(len(line[j]) for line in (head, *body)) for j in range(len(head))]
    return [
        "  ".join(
            c.ljust(w) if j < table.labels else c.rjust(w) for j, (c, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *body)
    ]
