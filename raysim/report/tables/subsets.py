"""By modality: the scores of test samples that are given a subset of their modalities."""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.report.reading.results import Results
from raysim.report.tables.clients import Ended, by_arm
from raysim.report.tables.fills import Point
from raysim.report.tables.marks import Contest, contests
from raysim.report.tables.tables import Table


def subset_tables(results: Results, scenario: str, metric: str | None = None) -> list[Table]:
    """A line an arm, a column a subset; none where none was measured.

    A bound is left out: whatever it is given, it has everything. Of the metric that is named, or of each that selects
    some trial's round.
    """
    found = [(t, s) for t, s in results.ordered if t.scenario == scenario and s.get("subsets") and not s.get("bound")]
    chosen = [metric] if metric else list(dict.fromkeys(trial.metric for trial, _ in found))
    contest = contests(results, scenario)
    tables = (_of_metric(found, contest, scenario, name, named=bool(metric)) for name in chosen)
    return [table for table in tables if table is not None]


def _of_metric(
    found: Sequence[Ended], contest: Mapping[Point, Contest], scenario: str, metric: str, *, named: bool
) -> Table | None:  # fmt: skip
    found = [(t, s) for t, s in found if _has(s, metric) and (named or t.metric == metric)]
    if not found:
        return None
    names = dict.fromkeys(given for _, summary in found for given in summary["subsets"])
    rows = {given: {s["subsets"][given]["rows"] for _, s in found if given in s["subsets"]} for given in names}
    most = max(n for several in rows.values() for n in several)
    heads = {given: given if rows[given] == {most} else f"{given} ({_range(rows[given])})" for given in names}
    few = ", or as many as have all of what is given (beside it)" * any(head not in names for head in heads.values())
    return by_arm(
        found, contest, f"{scenario}: by modality, {metric}",
        f"{most:,} test samples given these modalities alone{few}",
        dict.fromkeys(names, metric in found[0][0].low), heads,
        lambda summary, given: summary["subsets"].get(given, {}).get("metrics", {}).get(metric),
    )  # fmt: skip


def _has(summary: Mapping[str, Any], metric: str) -> bool:
    return any(metric in said["metrics"] for said in summary["subsets"].values())


def _range(counts: set[int]) -> str:
    return " to ".join(dict.fromkeys((f"{min(counts):,}", f"{max(counts):,}")))
