"""Who is served: what a metric comes to over clients, on rows of their own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raysim.report.events import TrialInfo
from raysim.report.reading.results import Results
from raysim.report.tables.fills import Point
from raysim.report.tables.tables import Cell, Table, best, cell_of

SPREAD = {"mean": "mean", "weighted": "by rows", "std": "deviation", "worst_tenth": "worst tenth"}
"""What is shown, and what it is called there."""
SPLITS = {"test": "", "test_personal": ", after each has fine-tuned"}
"""Whose figures are shown, and what titles say of them."""
MOST_ROLES = 8
_NONE = "-"
Ended = tuple[TrialInfo, Mapping[str, Any]]
"""A finished trial and its summary."""


def client_tables(results: Results, scenario: str, metric: str | None = None) -> list[Table]:
    """A line an arm: over clients, and by what clients have where they differ; none where no client was judged.

    Of the metric that is named, or of each that selects some trial's round; and of what clients fine-tuned, apart.
    """
    found = [(t, s) for t, s in results.ordered if t.scenario == scenario and s.get("by_client")]
    chosen = [metric] if metric else list(dict.fromkeys(trial.metric for trial, _ in found))
    return [
        table
        for name in chosen
        for split in SPLITS
        for table in _of_metric(found, scenario, split, name, named=bool(metric))
    ]


def _of_metric(found: Sequence[Ended], scenario: str, split: str, metric: str, *, named: bool) -> list[Table]:
    found = [(t, s) for t, s in found if _spread(s, metric, split) and (named or t.metric == metric)]
    if not found:
        return []
    clients = f"{_clients(found)} clients on rows of their own"
    undefined = sum(int(_spread(summary, metric, split)["undefined"]) for _, summary in found)
    left_out = f"; undefined on {undefined} of them in all trials, who are left out" * bool(undefined)
    untrained = sum(int(summary["clients"].get("untrained", 0)) for _, summary in found)
    left_out += f"; {untrained} never trained the networks of their own by which they are judged" * bool(untrained)
    less = metric in found[0][0].low
    directions = {column: less or column == "std" for column in SPREAD}
    title = f"{scenario}: who is served, {metric}{SPLITS[split]}"
    tables = [
        by_arm(
            found,
            title,
            f"{clients}{left_out}",
            directions,
            SPREAD,
            lambda s, column: _spread(s, metric, split)[column],
        )
    ]
    roles = list(dict.fromkeys(role for _, summary in found for role in _spread(summary, metric, split)["roles"]))
    if 1 < len(roles) <= MOST_ROLES:
        mean = f"mean over {clients}"
        by_role = by_arm(
            found, f"{title} by what clients have", mean, dict.fromkeys(roles, less), {role: role for role in roles},
            lambda s, role: _spread(s, metric, split)["roles"].get(role),
        )  # fmt: skip
        tables.append(by_role)
    return tables


def by_arm(
    found: Sequence[Ended], title: str, caption: str, low: Mapping[str, bool], heads: Mapping[str, str],
    value: Callable[[Mapping[str, Any], str], float | None],
) -> Table:  # fmt: skip
    """A line a grid point, a column a figure, over seeds.

    Args:
        found: whose figures.
        title: the table's.
        caption: what stands before the number of seeds.
        low: column -> whether less is better.
        heads: column -> what stands above it.
        value: (summary, column) -> the figure, None where it is undefined.
    """
    points: dict[Point, list[Mapping[str, Any]]] = {}
    for trial, summary in found:
        points.setdefault(tuple(trial.grid.items()), []).append(summary)
    keys = tuple(dict.fromkeys(k for trial, _ in found for k in trial.grid))
    grid: list[list[Cell | None]] = [
        [cell_of([value(summary, column) for summary in several]) for column in heads] for several in points.values()
    ]
    seeds = [len(several) for several in points.values()]
    unlike = len(set(seeds)) > 1
    first = len(keys) + unlike
    count = "" if unlike else f"{seeds[0]} "
    over = "one seed" if max(seeds) == 1 else f"mean ± sample standard deviation over {count}seeds"
    return Table(
        title=title,
        caption=f"{caption}, {over}",
        header=(*keys, *["seeds"] * unlike, *heads.values()),
        lines=tuple(
            (
                *(dict(point).get(k, "") for k in keys),
                *[str(n)] * unlike,
                *(_NONE if cell is None else str(cell) for cell in line),
            )
            for point, n, line in zip(points, seeds, grid, strict=True)
        ),
        best=frozenset(
            (i, first + j) for j, column in enumerate(heads) for i in best([g[j] for g in grid], low=low[column])
        ),
        labels=len(keys),
        first=first,
    )


def _spread(summary: Mapping[str, Any], metric: str, split: str) -> Mapping[str, Any]:
    """What a trial's metric comes to over clients; empty where it has no such metric."""
    return summary["by_client"].get(split, {}).get(metric, {})


def _clients(found: Sequence[Ended]) -> str:
    """`10`, or `9 to 10` where trials differ."""
    counts = sorted({int(summary["clients"]["judged"]) for _, summary in found})
    return " to ".join(dict.fromkeys((f"{counts[0]:,}", f"{counts[-1]:,}")))
