"""Who is served: what a metric comes to over clients, on rows of their own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raysim.report.events import TrialInfo
from raysim.report.reading.results import Results
from raysim.report.tables.fills import Point
from raysim.report.tables.marks import Cell, Contest, cell_of, contests, marks, named, some_of
from raysim.report.tables.tables import Table

SPREAD = {"mean": "mean", "weighted": "by rows", "std": "deviation", "worst_tenth": "worst tenth"}
"""What is shown, and what it is called there."""
SPLITS = {"test": "", "test_personal": ", after each has fine-tuned"}
"""Whose figures are shown, and what titles say of them."""
MOST_ROLES = 8
_NONE = "-"
_RARE = "; (1 of 2): in so many of the seeds there are such clients, with a figure"
Ended = tuple[TrialInfo, Mapping[str, Any]]
"""A finished trial and its summary."""


def client_tables(results: Results, scenario: str, metric: str | None = None) -> list[Table]:
    """A line an arm: over clients, and by what clients have where they differ; none where no client was judged.

    Of the metric that is named, or of each that selects some trial's round; and of what clients fine-tuned, apart.
    """
    contest = contests(results, scenario)
    found = [(t, s) for t, s in results.ordered if t.scenario == scenario and s.get("by_client")]
    chosen = [metric] if metric else list(dict.fromkeys(trial.metric for trial, _ in found))
    return [
        table
        for name in chosen
        for split in SPLITS
        for table in _of_metric(found, contest, scenario, split, name, named=bool(metric))
    ]


def _of_metric(
    found: Sequence[Ended], contest: Mapping[Point, Contest], scenario: str, split: str, metric: str, *, named: bool
) -> list[Table]:  # fmt: skip
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
            contest,
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
            found, contest, f"{title} by what clients have", mean, dict.fromkeys(roles, less),
            {role: role for role in roles}, lambda s, role: _spread(s, metric, split)["roles"].get(role), rare=True,
        )  # fmt: skip
        tables.append(by_role)
    return tables


def by_arm(
    found: Sequence[Ended], contest: Mapping[Point, Contest], title: str, caption: str, low: Mapping[str, bool],
    heads: Mapping[str, str], value: Callable[[Mapping[str, Any], str], float | None], *, rare: bool = False,
) -> Table:  # fmt: skip
    """A line a grid point, a column a figure, over seeds.

    Args:
        found: whose figures.
        contest: what each grid point competes in.
        title: the table's.
        caption: what stands before the number of seeds.
        low: column -> whether less is better.
        heads: column -> what stands above it.
        value: (summary, column) -> the figure, None where it is undefined.
        rare: not all seeds need have a figure; those that have are counted beside it.
    """
    points: dict[Point, list[Mapping[str, Any]]] = {}
    for trial, summary in found:
        points.setdefault(tuple(trial.grid.items()), []).append(summary)
    keys = tuple(dict.fromkeys(k for trial, _ in found for k in trial.grid))
    over_seeds = some_of if rare else cell_of
    grid: list[list[Cell | None]] = [
        [over_seeds([value(summary, column) for summary in several]) for several in points.values()] for column in heads
    ]
    seeds = [len(several) for several in points.values()]
    unlike = len(set(seeds)) > 1
    labels = max(len(keys), 1)
    first = labels + unlike
    count = "" if unlike else f"{seeds[0]} "
    over = "one seed" if max(seeds) == 1 else f"mean ± sample standard deviation over {count}seeds"
    lacking = any(cell.of != cell.seeds for column in grid for cell in column if cell is not None and cell.of)
    best, second, word = marks(
        grid, [[contest[p] for p in points]] * len(grid), [low[column] for column in heads], first
    )
    return Table(
        title=title,
        caption=f"{caption}, {over}{_RARE * lacking}",
        header=(*(keys or ("scenario",)), *["seeds"] * unlike, *heads.values()),
        lines=tuple(
            (
                *named(point, keys, found[0][0].scenario, bound=contest[point] is None),
                *[str(n)] * unlike,
                *(_NONE if column[i] is None else str(column[i]) for column in grid),
            )
            for i, (point, n) in enumerate(zip(points, seeds, strict=True))
        ),
        best=best,
        labels=labels,
        first=first,
        second=second,
        word=word,
    )


def _spread(summary: Mapping[str, Any], metric: str, split: str) -> Mapping[str, Any]:
    """What a trial's metric comes to over clients; empty where it has no such metric."""
    return summary["by_client"].get(split, {}).get(metric, {})


def _clients(found: Sequence[Ended]) -> str:
    """`10`, or `9 to 10` where trials differ."""
    counts = sorted({int(summary["clients"]["judged"]) for _, summary in found})
    return " to ".join(dict.fromkeys((f"{counts[0]:,}", f"{counts[-1]:,}")))
