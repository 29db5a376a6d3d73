"""The study's report as a page of Markdown."""

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from raysim.report.results import Results, key
from raysim.report.tables import Table, tables
from raysim.report.text import duration, label, size


def report(results: Results, pictures: Collection[str]) -> str:
    """Tables of the test figures, their cost and what failed.

    Args:
        results: the study so far.
        pictures: the scenarios that have a picture of their learning curves.
    """
    done = f"{len(results.summaries)} of {len(results.trials)} trials finished"
    failed = f", {len(results.failures)} failed" if results.failures else ""
    lines = ["# Results", "", f"{done}{failed}. {results.hardware}", ""]
    by_scenario = {t.title: t for t in tables(results)}
    for scenario in results.scenarios:
        lines += [f"## {scenario}", "", _settings(results, scenario), ""]
        if scenario in by_scenario:
            table = by_scenario[scenario]
            lines += [f"{table.caption.capitalize()}{', best in bold' if table.best else ''}:", ""]
            lines += [*_table(table), "", "Cost of a trial, mean over seeds:", ""]
            lines += [*_costs(results, scenario), ""]
        if scenario in pictures:
            lines += [f"![Learning curves of {scenario}]({scenario}/learning_curves.png)", ""]
    if results.failures:
        lines += ["## Failed trials", ""]
        lines += [f"- {t.scenario} {label(t.grid)} seed={t.seed}: {error}" for t, error in results.failures]
        lines.append("")
    return "\n".join(lines)


def _settings(results: Results, scenario: str) -> str:
    trials = [t for t in results.trials if t.scenario == scenario]
    first, seeds = trials[0], sorted({t.seed for t in trials})
    chosen = f"the best round by validation {first.metric}" if first.select == "best" else "the last round"
    plans = dict.fromkeys(results.started[key(t)].plan for t in trials if key(t) in results.started)
    settings = [f"{first.rounds} rounds", f"seeds {', '.join(map(str, seeds))}", f"figures of {chosen}", *plans]
    return f"{'; '.join(settings)}. All settings: `scenario.yaml` in each trial's folder."


def _table(table: Table) -> list[str]:
    lines = [
        [f"**{cell}**" if (i, j) in table.best else _escaped(cell) for j, cell in enumerate(line)]
        for i, line in enumerate(table.lines)
    ]
    return _markdown(table.header, lines, table.labels)


def _costs(results: Results, scenario: str) -> list[str]:
    points: dict[tuple[tuple[str, str], ...], list[Mapping[str, Any]]] = {}
    for trial, summary in results.ordered:
        if trial.scenario == scenario:
            points.setdefault(tuple(trial.grid.items()), []).append(summary)
    keys = tuple(dict.fromkeys(k for t in results.trials if t.scenario == scenario for k in t.grid))
    lines: list[list[str]] = []
    for point in dict.fromkeys(tuple(t.grid.items()) for t in results.trials if tuple(t.grid.items()) in points):
        figures = [show(statistics.fmean(s[field] for s in points[point])) for field, _, show in _COSTS]
        lines.append([*(_escaped(dict(point).get(k, "")) for k in keys), *figures])
    return _markdown((*keys, *(name for _, name, _ in _COSTS)), lines, len(keys))


def _count(value: float) -> str:
    return f"{value:,.0f}"


_COSTS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("parameters", "parameters", _count),
    ("steps", "steps", _count),
    ("bytes_up", "sent up", size),
    ("bytes_down", "sent down", size),
    ("seconds_s", "time", duration),
)


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]], labels: int) -> list[str]:
    rule = [":--" if j < labels else "--:" for j in range(len(header))]
    return [f"| {' | '.join(line)} |" for line in (header, rule, *lines)]


def _escaped(text: str) -> str:
    """A grid value may hold the character that ends a cell."""
    return text.replace("|", "\\|")
