"""A study's figures as comma-separated values: tidy, a line a figure."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from raysim.report.events import ClientsScored, TrialInfo
from raysim.report.reading.results import Results, Row
from raysim.report.render.content import Content


def table(content: Content) -> str:
    """The figures that the report's choice names; of what was made, all of them."""
    results, choice = content.study.results, content.choice
    rows = (r for r in results.rows if r.split in choice.splits and choice.metric in (None, r.metric))
    return lines(results.trials, (*rows, *results.generated, *results.pairs)).rstrip("\n")


def summary_csv(results: Results) -> str:
    """All figures of a study.

    Of what was made, under the split `generation`, the means and then the figures of each pair: `coherence a>b`.
    """
    return lines(results.trials, (*results.rows, *results.generated, *results.pairs))


def lines(trials: Iterable[TrialInfo], rows: Iterable[Row]) -> str:
    """Scenario, trial, seed, the grid's keys (the arm), split, metric, value: a line a trial x split x metric."""
    keys = list(dict.fromkeys(k for t in trials for k in t.grid))
    header = ["scenario", "trial", "seed", *keys, "split", "metric", "value"]
    named = ((row.trial, row) for row in rows)
    cells = ([t.scenario, t.name, t.seed, *(t.grid.get(k, "") for k in keys), row.split, row.metric, _shown(row.value)]
             for t, row in named)  # fmt: skip
    return _csv(header, cells)


def clients_csv(event: ClientsScored) -> str:
    """Split, client, id, role, rows, and each metric, empty where it is undefined: a line a split x client."""
    names = list(next(iter(event.metrics.values())))
    lines = [
        [split, client, "" if event.ids is None else event.ids[i], event.roles[i], event.rows[split][i],
         *(_shown(event.metrics[split][n][i]) for n in names)]
        for split in event.rows
        for i, client in enumerate(event.clients.tolist())
    ]  # fmt: skip
    return _csv(["split", "client", "id", "role", "rows", *names], lines)


def subsets_csv(subsets: Mapping[str, Mapping[str, Any]]) -> str:
    """Given, rows, and each metric, empty where it is undefined: a line a subset of modalities."""
    names = list(dict.fromkeys(n for said in subsets.values() for n in said["metrics"]))
    lines = [[given, said["rows"], *(_shown(said["metrics"].get(n)) for n in names)] for given, said in subsets.items()]
    return _csv(["given", "rows", *names], lines)


def _csv(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue()


def _shown(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else repr(float(value))
