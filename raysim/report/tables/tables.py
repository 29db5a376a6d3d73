"""Mean and standard deviation over seeds, and the result tables made of them."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from raysim.report.reading.arms import is_number, matrix_axes
from raysim.report.reading.results import Results, Row
from raysim.report.tables.fills import Point, effective_rates, figures
from raysim.report.text import number

BOUND = " (bound)"
"""What marks the name of an arm that is no contestant."""
RATES = "missing: the effective rates in training and at test"


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
        return self.shown()

    def shown(self, digits: int = 3) -> str:
        """`0.625 ± 0.177`."""
        mean = number(self.mean, digits)
        return mean if self.std is None else f"{mean} ± {number(self.std, digits)}"


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
        second: (line, column) of what comes next.
    """

    title: str
    caption: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]]
    labels: int
    first: int
    second: frozenset[tuple[int, int]] = frozenset()


def aggregate(rows: Iterable[Row]) -> dict[Key, Cell]:
    """Mean and sample standard deviation (n - 1) over seeds.

    A mean over seeds of which one is undefined is undefined: leaving it out would flatter.
    """
    groups: dict[Key, list[float | None]] = {}
    for row in rows:
        place = Key(row.trial.scenario, tuple(row.trial.grid.items()), row.split, row.metric)
        groups.setdefault(place, []).append(row.value)
    return {place: cell_of(values) for place, values in groups.items()}


def cell_of(values: Sequence[float | None]) -> Cell:
    """Of one value a seed; see `aggregate`."""
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return Cell(None, None, len(values))
    return Cell(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


def result_tables(results: Results, scenario: str, splits: Sequence[str], metric: str | None = None) -> list[Table]:
    """A scenario's results in the form that suits its grid.

    Where it has several keys, a matrix for each split and each choice of the third key and on: a line an arm, a column
    a missing rate, say; of one metric, the one that selects the round if none is named. Otherwise one table of all
    metrics, or of the one that is named.
    """
    trials = [t for t in results.trials if t.scenario == scenario]
    axes = matrix_axes(trials)
    if axes is None:
        table = scenario_table(results, scenario, splits, metric)
        return [] if table is None else [table]
    chosen = metric or trials[0].metric
    rests = dict.fromkeys(_rest(t.grid, axes) for t in trials)
    found = (_matrix(results, scenario, axes, rest, split, chosen) for rest in rests for split in splits)
    return [table for table in found if table is not None]


def _rest(grid: Mapping[str, str], axes: tuple[str, str]) -> Point:
    """What a grid point says beside the matrix's axes."""
    return tuple((k, v) for k, v in grid.items() if k not in axes)


def _matrix(
    results: Results, scenario: str, axes: tuple[str, str], rest: Point, split: str, metric: str
) -> Table | None:
    """A line for each value of the first axis, a column for each value of the second, numbers in rising order."""
    found = aggregate(results.rows).items()
    low = {name for trial in results.trials for name in trial.low}
    points = [(dict(k.point), c) for k, c in found if (k.scenario, k.split, k.metric) == (scenario, split, metric)]
    points = [(point, cell) for point, cell in points if _rest(point, axes) == rest]
    if not points:
        return None
    bound = {dict(point)[axes[0]] for point in results.bounds(scenario)}
    cells = {(point[axes[0]], point[axes[1]]): cell for point, cell in points}
    names = list(dict.fromkeys(point[axes[0]] for point, _ in points))
    values = list(dict.fromkeys(point[axes[1]] for point, _ in points))
    if all(map(is_number, values)):
        values.sort(key=float)
    where = "".join(f", {k} {v}" for k, v in rest)
    rates = _rates_of(effective_rates(results, scenario), axes[1], values)
    grid = [[cells.get((name, value)) for value in values] for name in names]
    seeds = {cell.seeds for _, cell in points}
    unlike = len(seeds) > 1
    shown = [["-" if c is None else f"{c} ({c.seeds})" if unlike else str(c) for c in line] for line in grid]
    over = "(number of seeds)" if unlike else f"over {max(seeds)} seeds"
    return Table(
        title=f"{scenario}: {metric}, {split_name(split)}{where}, by {axes[1]}",
        caption=("one seed" if seeds == {1} else f"mean ± sample standard deviation {over}")
        + ("; " + RATES) * bool(rates),
        header=(axes[0], *(f"{v} ({rates[v]})" if v in rates else v for v in values)),
        lines=tuple((f"{n}{BOUND}" if n in bound else n, *line) for n, line in zip(names, shown, strict=True)),
        best=frozenset(
            (i, 1 + j)
            for j in range(len(values))
            for i in best([None if n in bound else c[j] for n, c in zip(names, grid, strict=True)], low=metric in low)
        ),
        labels=1,
        first=1,
        second=frozenset(
            (i, 1 + j) for j in range(len(values)) for i in second([line[j] for line in grid], low=metric in low)
        ),
    )


def _rates_of(rates: Mapping[Point, str], axis: str, values: Sequence[str]) -> dict[str, str]:
    """The effective rates of each column, where all its lines have the same."""
    found = {v: {rate for point, rate in rates.items() if dict(point).get(axis) == v} for v in values}
    return {v: next(iter(several)) for v, several in found.items() if len(several) == 1}


def figures_table(results: Results, scenario: str) -> Table | None:
    """The methods' own figures: a line a grid point and subject; None where no method has any."""
    found = figures(results, scenario)
    if not found:
        return None
    keys = tuple(dict.fromkeys(k for t in results.trials if t.scenario == scenario for k in t.grid))
    names = tuple(dict.fromkeys(n for values in found.values() for n in values))
    return Table(
        title=f"{scenario}: what is made up, on validation samples",
        caption="shares of the variance, means over seeds",
        header=(*(keys or ("scenario",)), "what", *names),
        lines=tuple(
            (
                *named(point, keys, scenario),
                subject,
                *(number(values[n]) if n in values else "-" for n in names),
            )
            for (point, subject), values in found.items()
        ),
        best=frozenset(),
        labels=max(len(keys), 1) + 1,
        first=max(len(keys), 1) + 1,
    )


def split_name(split: str) -> str:
    """What a split is called in a sentence."""
    return {"test_unmasked": "complete test samples", "test": "test", "validation": "validation"}.get(split, split)


def tables(results: Results, splits: Sequence[str] = ("test", "test_unmasked")) -> list[Table]:
    """One table a scenario that has finished trials; see `scenario_table`."""
    found = (scenario_table(results, scenario, splits) for scenario in results.scenarios)
    return [table for table in found if table is not None]


def _elsewhere(results: Results, scenario: str) -> str:
    """How many lines are missing, since only clients were judged, by networks of their own."""
    own = {tuple(t.grid.items()) for t, s in results.summaries if t.scenario == scenario and not s["splits"]}
    return f"; {len(own)} more are judged at their clients alone: see who is served" * bool(own)


def scenario_table(
    results: Results, scenario: str, splits: Sequence[str] = ("test", "test_unmasked"), metric: str | None = None
) -> Table | None:
    """A line a grid point, in the grid's order, and a column a metric and split; None where there are no figures.

    Of the metric that is named alone, or of all; trials without a task model have others than those with one.
    """
    cells = aggregate(results.rows)
    trials = [t for t in results.trials if t.scenario == scenario]
    there, low = {k.split for k in cells if k.scenario == scenario}, {name for t in trials for name in t.low}
    shown = [s for s in splits if s in there]
    names = {tuple(t.grid.items()): (metric,) if metric else t.metrics for t in trials}
    columns = [(name, split) for name in dict.fromkeys(chain.from_iterable(names.values())) for split in shown]
    told = {
        point: [cells.get(Key(scenario, point, split, name)) if name in own else None for name, split in columns]
        for point, own in names.items()
    }
    points = [point for point, line in told.items() if any(line)]
    if not points:
        return None
    keys = tuple(dict.fromkeys(k for t in trials for k in t.grid))
    grid = [told[point] for point in points]
    seeds = [max(c.seeds for c in line if c is not None) for line in grid]
    unlike = len(set(seeds)) > 1
    rates, bound = effective_rates(results, scenario), results.bounds(scenario)
    lines = tuple(
        (
            *named(p, keys, scenario, bound=p in bound),
            *[rates.get(p, "")] * bool(rates),
            *[str(n)] * unlike,
            *("n/a" if c is None else str(c) for c in line),
        )
        for p, n, line in zip(points, seeds, grid, strict=True)
    )
    head = [name if split == splits[0] else f"{name} ({_short(split)})" for name, split in columns]
    head_keys = keys or ("scenario",)
    labels = len(head_keys) + bool(rates)
    first = labels + unlike
    return Table(
        title=scenario if shown[0] == "test" else f"{scenario} ({_short(shown[0])})",
        caption=_caption(shown[0], "" if unlike else f"{seeds[0]} ", one=max(seeds) == 1)
        + ("; " + RATES) * bool(rates)
        + _elsewhere(results, scenario),
        header=(*head_keys, *["missing"] * bool(rates), *["seeds"] * unlike, *head),
        lines=lines,
        best=frozenset(
            (i, first + j)
            for j, (name, _) in enumerate(columns)
            for i in best([None if p in bound else c[j] for p, c in zip(points, grid, strict=True)], low=name in low)
        ),
        labels=labels,
        first=first,
        second=frozenset(
            (i, first + j)
            for j, (name, _) in enumerate(columns)
            for i in second([line[j] for line in grid], low=name in low)
        ),
    )


def named(point: Point, keys: Sequence[str], scenario: str, *, bound: bool = False) -> tuple[str, ...]:
    """The labels of a grid point's line: its values by key, or the scenario's name where it has no grid.

    A bound is marked beside the arm or the method.
    """
    values = dict(point)
    arm = next((k for k in ("arm", "method") if k in values), keys[-1] if keys else "")
    return tuple(values.get(k, "") + BOUND * (bound and k == arm) for k in keys) or (scenario + BOUND * bound,)


def _caption(split: str, seeds: str, *, one: bool) -> str:
    name = split.partition("_")[0]
    return f"{name}, one seed" if one else f"{name}, mean ± sample standard deviation over {seeds}seeds"


def _short(split: str) -> str:
    """`test_unmasked` is `unmasked` in a table of test figures."""
    return split.removeprefix("test_")


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


def aligned(table: Table) -> list[str]:
    """The table as plain lines; figures are right-aligned, the best carry a `*`."""
    return _lines(_marked(table), table.labels, range(len(table.header)))


def fitted(table: Table, width: int) -> list[str]:
    """Like `aligned`, in as many parts below each other as the width asks for; each has the labels."""
    cells, labels = _marked(table), list(range(table.labels))
    parts: list[list[int]] = [[]]
    for j in range(table.labels, len(table.header)):
        if parts[-1] and max(map(len, _lines(cells, table.labels, [*labels, *parts[-1], j]))) > width:
            parts.append([])
        parts[-1].append(j)
    blocks = [_lines(cells, table.labels, [*labels, *columns]) for columns in parts]
    return [*blocks[0], *(line for block in blocks[1:] for line in ("", *block))]


def _marked(table: Table) -> list[list[str]]:
    """Header and lines; where there are best figures, all figures have a place for the `*`."""
    place = " " if table.best else ""
    body = [
        [cell + ("*" if (i, j) in table.best else place) if j >= table.first else cell for j, cell in enumerate(line)]
        for i, line in enumerate(table.lines)
    ]
    return [[name + (place if j >= table.first else "") for j, name in enumerate(table.header)], *body]


def _lines(cells: Sequence[Sequence[str]], labels: int, columns: Sequence[int]) -> list[str]:
    widths = {j: max(len(line[j]) for line in cells) for j in columns}
    return [
        "  ".join(line[j].ljust(widths[j]) if j < labels else line[j].rjust(widths[j]) for j in columns).rstrip()
        for line in cells
    ]
