"""Figures by class: what a metric says of each, where it says a number a class (`recall.<class>`)."""

from raysim.report.reading.results import Results
from raysim.report.tables.tables import Cell, Point, Table, aggregate, split_name


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
    return Table(
        title=f"{scenario}: by class, {split_name(split)}",
        caption="one seed" if seeds == 1 else f"mean ± sample standard deviation over {seeds} seeds",
        header=(*keys, "class", *names),
        lines=tuple(
            (
                *(dict(point).get(k, "") for k in keys),
                name,
                *(str(cells[m]) if m in cells else "-" for m in names),
            )
            for (point, name), cells in found.items()
        ),
        best=frozenset(),
        labels=labels,
        first=labels,
    )
