"""The study's tables in LaTeX, as papers have them: `booktabs`, the best in bold."""

import re
from collections.abc import Iterator

from raysim.report.render.content import Content
from raysim.report.render.markdown import state
from raysim.report.tables.comparisons import LEGEND
from raysim.report.tables.costs import LEGEND as COSTS_LEGEND
from raysim.report.tables.every import finer_tables
from raysim.report.tables.generation import generation_tables, judges_line
from raysim.report.tables.tables import Table, result_tables

_PLAIN = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$", '"': "''",
    "±": r"$\pm$", "√": r"$\sqrt{}$", "→": r"$\to$", "…": r"\ldots{}",
}  # fmt: skip
_SPECIAL, _MINUS = re.compile("|".join(map(re.escape, _PLAIN))), re.compile(r"(?<![\w.,-])-(?=\d)")


def tables(content: Content) -> str:
    """All tables, each in an environment of its own; needs `booktabs`.

    Raises:
        UnknownArm: there is no arm `choice.against`.
    """
    study = content.study
    lines = [
        r"% Needs \usepackage{booktabs}; wide tables may need \small or graphicx's \resizebox.",
        f"% {_comment(state(study.results, sum(study.planned.values())))}; {_comment(study.results.out)}",
    ]
    for scenario in study.results.scenarios:
        for table, legend in _tables(content, scenario):
            lines += ["", *_table(table, legend)]
    return "\n".join(lines)


def _tables(content: Content, scenario: str) -> Iterator[tuple[Table, str]]:
    """Each with what its caption says besides."""
    results, choice = content.study.results, content.choice
    for table in result_tables(results, scenario, choice.splits, choice.metric):
        yield table, ""
    for group in finer_tables(results, scenario, choice.splits[0], choice.metric):
        yield group.table, ""
    for table in generation_tables(results, scenario):
        yield table, judges_line(results, scenario)
    found = content.comparisons.get(scenario)
    if found is not None and found.table.lines:
        yield found.table, ". ".join((*found.notes, LEGEND))
    for i, table in enumerate(content.costs(scenario)):
        yield table, COSTS_LEGEND if i == 0 else ""


def _table(table: Table, legend: str) -> list[str]:
    columns = "l" * table.labels + "r" * (len(table.header) - table.labels)
    body = [
        [rf"\textbf{{{escaped(cell)}}}" if (i, j) in table.best else escaped(cell) for j, cell in enumerate(line)]
        for i, line in enumerate(table.lines)
    ]
    what = f"{table.caption[:1].upper()}{table.caption[1:]}" if ": " in table.title else table.caption
    best = f" Bold: {table.word}." if table.best else ""
    caption = f"{table.title}{'. ' if ': ' in table.title else ': '}{what}.{best}"
    return [
        r"\begin{table}", r"  \centering",
        rf"  \caption{{{escaped(caption)}}}",
        rf"  \begin{{tabular}}{{{columns}}}", r"    \toprule",
        f"    {_row([escaped(name) for name in table.header])}", r"    \midrule",
        *(f"    {_row(line)}" for line in body),
        r"    \bottomrule", r"  \end{tabular}",
        *[rf"  \par\smallskip\footnotesize {escaped(legend)}"] * bool(legend),
        r"\end{table}",
    ]  # fmt: skip


def _row(cells: list[str]) -> str:
    # A bracket after \\ would be taken for its argument.
    return rf"{' & '.join(f'{{}}{cell}' if cell.startswith('[') else cell for cell in cells)} \\"


def escaped(text: str) -> str:
    """Text in which no character is LaTeX's own, and negative numbers have a minus."""
    return _MINUS.sub("$-$", _SPECIAL.sub(lambda found: _PLAIN[found[0]], text))


def _comment(text: str) -> str:
    return " ".join(text.split())
