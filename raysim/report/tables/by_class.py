"""Figures by class: what a metric says of each, where it says a number a class (`recall.<class>`)."""

from raysim.report.reading.results import Results
from raysim.report.tables.fills import Point
from raysim.report.tables.marks import Cell, contests, marks, named
from raysim.report.tables.tables import Table, aggregate, split_name


def class_table(results: Results, scenario: str, split: str = "test") -> Table | None:
    """A line a grid point and class, a column a metric; None where no metric has figures by class."""
    trials = [t for t in results.trials if t.scenario == scenario]
    metrics = dict.fromkeys(m for t in trials for m in t.metrics)
    found = dict[tuple[Point, str], dict[str, Cell]]()
    for key, cell in aggregate(results.rows).items():
        metric, dot, name = key.metric.partition(".")
        if (key.scenario, key.split) == (scenario, split) and dot and metric in metrics:
            found.setdefault((key.point, name), {})[metric] = cell
    if not found:
        return None
    keys = tuple(dict.fromkeys(k for t in trials for k in t.grid))
    names = [m for m in metrics if any(m in cells for cells in found.values())]
    labels, seeds = len(keys) + 1, max(c.seeds for cells in found.values() for c in cells.values())
    contest, low = contests(results, scenario), {name for t in trials for name in t.low}
    own = [None if contest[point] is None else (contest[point], name) for point, name in found]
    columns = [[cells.get(m) for cells in found.values()] for m in names]
    best, second, word = marks(columns, [own] * len(names), [m in low for m in names], labels)
    return Table(
        title=f"{scenario}: by class, {split_name(split)}",
        caption="one seed" if seeds == 1 else f"mean ± sample standard deviation over {seeds} seeds",
        header=(*keys, "class", *names),
        lines=tuple(
            (
                *(named(point, keys, scenario, bound=contest[point] is None) if keys else ()),
                name,
                *(str(cells[m]) if m in cells else "-" for m in names),
            )
            for (point, name), cells in found.items()
        ),
        best=best,
        labels=labels,
        first=labels,
        second=second,
        word=word if len({c for c in contest.values() if c is not None}) > 1 else "best of each class",
    )
