"""The study's report as plain lines, as wide as the terminal."""

import textwrap

from raysim.report.render.content import Content
from raysim.report.render.markdown import state
from raysim.report.tables.comparisons import LEGEND as COMPARISONS_LEGEND
from raysim.report.tables.costs import LEGEND
from raysim.report.tables.every import finer_tables
from raysim.report.tables.generation import LEGEND as GENERATION_LEGEND
from raysim.report.tables.generation import generation_tables, judges_line
from raysim.report.tables.tables import Table, aligned, fitted, result_tables
from raysim.report.text import label


def screen(content: Content) -> str:
    """Tables that fit the width, what failed, and where pictures are.

    Raises:
        UnknownArm: there is no arm `choice.against`.
    """
    study, columns = content.study, content.width
    results = study.results
    lines = [f"{state(results, sum(study.planned.values()))}; {results.out}"]
    for scenario in results.scenarios:
        made, choice = generation_tables(results, scenario), content.choice
        finer = [found.table for found in finer_tables(results, scenario, choice.splits[0], choice.metric)]
        for table in (*_results(content, scenario), *finer, *made):
            best = f" (* {table.word})" if table.best else ""
            lines += ["", *_wrapped(f"{table.title}: {table.caption}{best}", columns), *fitted(table, columns)]
        if made:
            judges = judges_line(results, scenario)
            lines += ["", *_wrapped(f"{judges}. {GENERATION_LEGEND}".removeprefix(". "), columns)]
        lines += _comparison(content, scenario)
        for table in content.costs(scenario):
            lines += ["", *_wrapped(f"{table.title}: {table.caption}", columns), *fitted(table, columns)]
        lines += ["", *_wrapped(LEGEND, columns)]
    lines += [""] * bool(results.failures)
    lines += [f"failed: {t.scenario} {label(t.grid)} seed={t.seed}: {error}" for t, error in results.failures]
    drawn = [str(path) for found in content.pictures.values() for _, path in found]
    return "\n".join([*lines, *[""] * bool(drawn), *drawn])


def _results(content: Content, scenario: str) -> list[Table]:
    """All splits in one table where the width allows, else one each."""
    results, choice = content.study.results, content.choice
    together = result_tables(results, scenario, choice.splits, choice.metric)
    if all(len(line) <= content.width for table in together for line in aligned(table)):
        return together
    return [t for split in choice.splits for t in result_tables(results, scenario, (split,), choice.metric)]


def _comparison(content: Content, scenario: str) -> list[str]:
    """The pairs of arms, and what is to be said of them."""
    found = content.comparisons.get(scenario)
    if found is None:
        return []
    table, columns, lines = found.table, content.width, list[str]()
    if table.lines:
        lines += ["", *_wrapped(f"{table.title}: {table.caption}", columns), *fitted(table, columns)]
    said = [line for note in found.notes for line in _wrapped(f"{scenario}: {note}", columns)]
    said += _wrapped(COMPARISONS_LEGEND, columns) if table.lines else []
    return [*lines, "", *said] if said else lines


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
