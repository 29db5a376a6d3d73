"""A study's figures as comma-separated values: tidy, a line a figure."""

import csv
import io
from collections.abc import Iterable

from raysim.report.events import TrialInfo
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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scenario", "trial", "seed", *keys, "split", "metric", "value"])
    for row in rows:
        t = row.trial
        value = "" if row.value is None else repr(float(row.value))
        writer.writerow([t.scenario, t.name, t.seed, *(t.grid.get(k, "") for k in keys), row.split, row.metric, value])
    return text.getvalue()
