"""Mean and standard deviation over seeds, and the result tables made of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from raysim.report.reading.arms import is_number, matrix_axes
from raysim.report.reading.results import Results, Row
from raysim.report.tables.fills import Point, effective_rates, figures, rates_legend
from raysim.report.tables.marks import BOUND, Cell, cell_of, contests, marks, named
from raysim.report.text import number

_UNMASKED = "_unmasked"
UNMASKED = "; unmasked: as the data has them"


class Key(NamedTuple):
    """Where a figure belongs; `point` is the grid point as (key, value) pairs."""

    scenario: str
    point: Point
    split: str
    metric: str


@dataclass(frozen=True)
class Table:
    """A finished table of text.

    Attributes:
        title: the scenario, and what is shown of it.
        caption: what the figures are.
        header, lines: the columns' names and the cells; a column `seeds` where lines have unlike numbers of seeds.
        best: (line, column) of each column's best figures.
        labels: how many leading columns are text.
        first: the first column of figures; between the two is `seeds`.
        second: (line, column) of what comes next.
        word: what the best are said to be.
    """

    title: str
    caption: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]]
    labels: int
    first: int
    second: frozenset[tuple[int, int]] = frozenset()
    word: str = "best"


def aggregate(rows: Iterable[Row]) -> dict[Key, Cell]:
    """Mean and sample standard deviation (n - 1) over seeds.

    See `cell_of`.
    """
    groups: dict[Key, list[float | None]] = {}
    for row in rows:
        place = Key(row.trial.scenario, tuple(row.trial.grid.items()), row.split, row.metric)
        groups.setdefault(place, []).append(row.value)
    return {place: cell_of(values) for place, values in groups.items()}


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
    contest = {
        tuple(dict(p)[k] for k in axes): c
        for p, c in contests(results, scenario).items()
        if _rest(dict(p), axes) == rest
    }
    cells = {(point[axes[0]], point[axes[1]]): cell for point, cell in points}
    names = list(dict.fromkeys(point[axes[0]] for point, _ in points))
    values = list(dict.fromkeys(point[axes[1]] for point, _ in points))
    if all(map(is_number, values)):
        values.sort(key=float)
    where = "".join(f", {k} {v}" for k, v in rest)
    rates = _rates_of(effective_rates(results, scenario), axes[1], values)
    grid = [[cells.get((name, value)) for name in names] for value in values]
    seeds = {cell.seeds for _, cell in points}
    unlike = len(seeds) > 1
    over = "(number of seeds)" if unlike else f"over {max(seeds)} seeds"
    best, second, word = marks(
        grid, [[contest.get((name, value)) for name in names] for value in values], [metric in low] * len(values), 1
    )
    return Table(
        title=f"{scenario}: {split_name(split)} {metric}{where}, by {axes[1]}",
        caption=("one seed" if seeds == {1} else f"mean ± sample standard deviation {over}")
        + UNMASKED * split.endswith(_UNMASKED)
        + f"; {rates_legend(results, scenario)}" * bool(rates)
        + ", which a bound need not heed" * bool(rates and bound),
        header=(axes[0], *(f"{v} ({rates[v]})" if v in rates else v for v in values)),
        lines=tuple(
            (f"{name}{BOUND}" if name in bound else name, *(_counted(column[i], unlike=unlike) for column in grid))
            for i, name in enumerate(names)
        ),
        best=best,
        labels=1,
        first=1,
        second=second,
        word=word,
    )


def _counted(cell: Cell | None, *, unlike: bool) -> str:
    """A figure, with its seeds where these are unlike."""
    return "-" if cell is None else f"{cell} ({cell.seeds})" if unlike else str(cell)


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
    """What a split is called in a sentence: `test unmasked`."""
    return split.replace("_", " ")


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
            *[rates.get(p, "-")] * bool(rates),
            *[str(n)] * unlike,
            *("n/a" if c is None else str(c) for c in line),
        )
        for p, n, line in zip(points, seeds, grid, strict=True)
    )
    head = [name if split == splits[0] else f"{name} ({_short(split)})" for name, split in columns]
    head_keys = keys or ("scenario",)
    labels = len(head_keys) + bool(rates)
    first = labels + unlike
    contest = contests(results, scenario)
    best, second, word = marks(
        [[line[j] for line in grid] for j in range(len(columns))],
        [[contest[p] for p in points]] * len(columns),
        [name in low for name, _ in columns],
        first,
    )
    return Table(
        title=scenario,
        caption=_caption(shown[0], "" if unlike else f"{seeds[0]} ", one=max(seeds) == 1)
        + UNMASKED * any(split.endswith(_UNMASKED) for split in shown)
        + f"; {rates_legend(results, scenario)}" * bool(rates)
        + _elsewhere(results, scenario),
        header=(*head_keys, *["missing"] * bool(rates), *["seeds"] * unlike, *head),
        lines=lines,
        best=best,
        labels=labels,
        first=first,
        second=second,
        word=word,
    )


def _caption(split: str, seeds: str, *, one: bool) -> str:
    name = split_name(split)
    return f"{name}, one seed" if one else f"{name}, mean ± sample standard deviation over {seeds}seeds"


def _short(split: str) -> str:
    """`test_unmasked` is `unmasked` in a table of test figures, where that is said."""
    return split.removeprefix("test_")


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
