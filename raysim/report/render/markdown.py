"""The study's report as a page of Markdown."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from raysim.report.reading.results import Results, key
from raysim.report.render.content import Choice, Content
from raysim.report.tables.comparisons import LEGEND as COMPARISONS_LEGEND
from raysim.report.tables.comparisons import Comparison
from raysim.report.tables.costs import LEGEND, cost_table, module_table, traffic_table
from raysim.report.tables.every import finer_tables
from raysim.report.tables.fills import legend, untaught
from raysim.report.tables.generation import LEGEND as GENERATION_LEGEND
from raysim.report.tables.generation import generation_tables, judges_line
from raysim.report.tables.tables import Table, figures_table, result_tables
from raysim.report.text import counted, label

_SETTINGS = "All settings: `scenario.yaml` in each trial's folder."


def report(
    results: Results, pictures: Collection[str], choice: Choice | None = None,
    more: Mapping[str, Sequence[tuple[str, str]]] | None = None, planned: int | None = None,
    comparisons: Mapping[str, Comparison] | None = None,
) -> str:  # fmt: skip
    """Tables of the test figures, their cost and what failed.

    Args:
        results: the study so far.
        pictures: the scenarios that have a picture of their learning curves.
        choice: what is shown.
        more: scenario -> further pictures, each with its title and path.
        planned: how many trials the study has; those of the results where None.
        comparisons: scenario -> its pairs of arms.

    Raises:
        UnknownArm: there is no arm `choice.against`.
    """
    choice = choice or Choice()
    lines = ["# Results", "", f"{state(results, planned)}. {results.hardware}".rstrip(), ""]
    for scenario in results.scenarios:
        lines += [f"## {scenario}", "", f"{settings_line(results, scenario)}. {_SETTINGS}", ""]
        lines += [line for note in results.mixed(scenario) for line in (f"**{note}.**", "")]
        for table in (
            *result_tables(results, scenario, choice.splits, choice.metric),
            *(found.table for found in finer_tables(results, scenario, choice.splits[0], choice.metric)),
        ):
            lines += [
                f"{_heading(scenario, table)}{f'; bold: {table.word}' if table.best else ''}:",
                "",
                *_table(table),
                "",
            ]
        lines += _generation(results, scenario)
        lines += _compared(scenario, (comparisons or {}).get(scenario))
        lines += _fills(results, scenario)
        lines += _costs(results, scenario, choice.against)
        if scenario in pictures:
            lines += [f"![Learning curves of {scenario}]({scenario}/learning_curves.png)", ""]
        for title, path in (more or {}).get(scenario, ()):
            lines += [f"![{title}]({quote(path)})", ""]
    if results.failures:
        lines += ["## Failed trials", ""]
        lines += [f"- {t.scenario} {label(t.grid)} seed={t.seed}: {error}" for t, error in results.failures]
        lines.append("")
    return "\n".join(lines)


def page(content: Content) -> str:
    """The report of a study that was read; pictures by their path from the page, or from here where it is printed.

    Raises:
        UnknownArm: there is no arm `choice.against`.
    """
    here = Path() if content.out is None else content.out.parent
    more = {s: [(title, os.path.relpath(p, here)) for title, p in found] for s, found in content.pictures.items()}
    study = content.study
    planned = sum(study.planned.values())
    return report(study.results, (), content.choice, more, planned, content.comparisons).rstrip()


def state(results: Results, planned: int | None = None) -> str:
    """`3 of 4 trials finished, 1 failed`."""
    failed = f", {len(results.failures)} failed" if results.failures else ""
    return f"{len(results.summaries)} of {counted(planned or len(results.trials), 'trial')} finished{failed}"


def settings_line(results: Results, scenario: str) -> str:
    """Rounds, seeds, and which round's figures are shown."""
    trials = [t for t in results.trials if t.scenario == scenario]
    first, seeds = trials[0], sorted({t.seed for t in trials})
    metrics = " or ".join(dict.fromkeys(t.metric for t in trials))
    chosen = f"the best round by validation {metrics}" if first.select == "best" else "the last round"
    plans = dict.fromkeys(results.started[key(t)].plan for t in trials if key(t) in results.started)
    settings = [f"{first.rounds} rounds", f"seeds {', '.join(map(str, seeds))}", f"figures of {chosen}", *plans]
    return "; ".join(settings)


def _table(table: Table) -> list[str]:
    lines = [
        [f"**{cell}**" if (i, j) in table.best else _escaped(cell) for j, cell in enumerate(line)]
        for i, line in enumerate(table.lines)
    ]
    return _markdown([_escaped(name) for name in table.header], lines, table.labels)


def _heading(scenario: str, table: Table) -> str:
    """Before a table: what it shows, without the scenario, under whose title it stands."""
    title = table.title.removeprefix(scenario).removeprefix(": ").strip()
    text = f"{title}; {table.caption}" if title else table.caption
    return text[:1].upper() + text[1:]


def _generation(results: Results, scenario: str) -> list[str]:
    """What was made, with how good its judges are."""
    lines: list[str] = []
    for table in generation_tables(results, scenario):
        lines += [
            f"{_heading(scenario, table)}{f'; bold: {table.word}' if table.best else ''}:",
            "",
            *_table(table),
            "",
        ]
    judges = judges_line(results, scenario)
    return [*lines, f"{_escaped(judges)}. {GENERATION_LEGEND}".removeprefix(". "), ""] if lines else []


def _compared(scenario: str, found: Comparison | None) -> list[str]:
    """The pairs of arms, and what is to be said of them."""
    if found is None:
        return []
    notes = [f"- {_escaped(note)}" for note in found.notes]
    if not found.table.lines:
        return [*notes, ""] if notes else []
    heading = [f"{_heading(scenario, found.table)}:", "", *_table(found.table), ""]
    return [*heading, *notes, *[""] * bool(notes), COMPARISONS_LEGEND, ""]


def _fills(results: Results, scenario: str) -> list[str]:
    """What had nobody to learn from, and the methods' own figures."""
    lines: list[str] = []
    alone = untaught(results, scenario)
    if alone:
        lines += ["No client had samples that teach these networks, so they filled nothing in:", ""]
        lines += [*(f"- {_escaped(line)}" for line in alone), ""]
    table = figures_table(results, scenario)
    if table is not None:
        lines += [f"{_heading(scenario, table)}:", "", *_table(table), ""]
        meant = legend(table.header[table.labels :])
        lines += [f"{meant[:1].upper()}{meant[1:]}.", ""] if meant else []
    return lines


def _costs(results: Results, scenario: str, against: str | None) -> list[str]:
    lines: list[str] = []
    found = cost_table(results, scenario), module_table(results, scenario), traffic_table(results, scenario, against)
    for table in found:
        if table is not None:
            lines += [f"{_heading(scenario, table)}:", "", *_table(table), ""]
    return [*lines, LEGEND, ""] if lines else []


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]], labels: int) -> list[str]:
    rule = [":--" if j < labels else "--:" for j in range(len(header))]
    return [f"| {' | '.join(line)} |" for line in (header, rule, *lines)]


def _escaped(text: str) -> str:
    """A grid value may hold the character that ends a cell."""
    return text.replace("|", "\\|")
