"""The sections of one scenario: its tables and pictures, in order."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from raysim.report.figures.differences import differences
from raysim.report.figures.looks import MOST
from raysim.report.figures.material import Material
from raysim.report.figures.shown import Bars, Cost, Lines, Strips, Subsets, facets
from raysim.report.figures.svg.bars import bars_svg
from raysim.report.figures.svg.cells import cells_svg
from raysim.report.figures.svg.element import swatch
from raysim.report.figures.svg.lines import lines_svg
from raysim.report.figures.svg.strips import strips_svg
from raysim.report.figures.svg.subsets import subsets_svg
from raysim.report.reading.folders import Study
from raysim.report.reading.pairs import Compared
from raysim.report.reading.partitions import PARTITION, partitions
from raysim.report.render.content import Choice
from raysim.report.render.html import items
from raysim.report.render.html.images import image
from raysim.report.render.html.numbers import (
    bars_numbers,
    lines_numbers,
    partition_numbers,
    strips_numbers,
    subsets_numbers,
)
from raysim.report.render.html.origin import origin_items
from raysim.report.tables.costs import LEGEND
from raysim.report.tables.every import CLIENTS, COSTS, FILLS, GENERATION, RESULTS, SUBSETS, Grouped, every_table
from raysim.report.tables.fills import untaught
from raysim.report.tables.generation import LEGEND as GENERATION_LEGEND
from raysim.report.tables.generation import judges_line
from raysim.report.tables.tables import Table

FEATURES, COMPARISONS = "features", "comparisons"
_TITLES = {
    RESULTS: "Results", COMPARISONS: "Comparisons", "curves": "Learning curves",
    CLIENTS: "Who is served: scores by client",
    SUBSETS: "Scores by the modalities that are given", FILLS: "What is filled in", GENERATION: "What is made",
    FEATURES: "Features", COSTS: "Traffic and cost", "partitions": "What clients have", "again": "How to run it again",
}  # fmt: skip
"""In the order of the page; tables of other groups stand before the costs, under the group's name."""
_MOST_PARTITIONS = 6
_PARTITIONS = (
    "the same for all methods where not said otherwise; the stronger the shade, the more; below, samples that have "
    "each modality"
)
_NARROW = 14
"""Clients whose cells may stand side by side with others'."""


def sections(
    study: Study, scenario: str, choice: Choice, pictures: Sequence[tuple[str, Path]], more: Sequence[Grouped],
    prefix: str, compared: Compared | None = None,
) -> list[items.Section]:  # fmt: skip
    """What there is to show of a scenario; sections that would be empty are left out.

    Args:
        study: as it was read; of pictures that cannot be read it gets a note.
        scenario: one of it.
        choice: what is shown.
        pictures: title and path of the PNGs to show.
        more: further tables.
        prefix: of the sections' ids.
        compared: its pairs of arms.

    Raises:
        UnknownArm: there is no arm `choice.against`.
    """
    material = Material(study, scenario, _split(study, scenario, choice), choice.metric)
    found: dict[str, list[items.Item]] = {group: [] for group in _TITLES}
    tables = every_table(study, scenario, choice.splits, choice.metric, choice.against)
    for group, table, notes in (*tables, *more):
        found.setdefault(group, []).extend([_table(scenario, group, table), *map(items.Note, notes)])
    found[RESULTS] += _lines(material, material.rates())
    if compared is not None:
        found[COMPARISONS] += _bars(differences(compared, {name: i for i, name in enumerate(material.arms)}))
    found["curves"] += _lines(material, material.learning())
    found[CLIENTS] += _strips(material.clients())
    found[SUBSETS] += _subsets(material.subsets())
    found["partitions"] += _partitions(study, scenario)
    found[FILLS] += _untaught(study, scenario)
    if found[GENERATION]:
        judges = judges_line(study.results, scenario)
        found[GENERATION].append(items.Note(f"{judges}. {GENERATION_LEGEND}".removeprefix(". ")))
    for title, path in pictures:
        found[FEATURES if path.name == "features.png" else GENERATION] += _image(study, title, path)
    costs = [*_lines(material, material.traffic()), *_costs(material.costs())]
    found[COSTS] = [*costs, *found[COSTS], *([items.Note(LEGEND)] if found[COSTS] else [])]
    found["again"] += origin_items(study, scenario)
    last = {group: found.pop(group) for group in (COSTS, "partitions", "again")}
    return [
        items.Section(f"{prefix}-{place}", _TITLES.get(group, group.capitalize()), several)
        for place, (group, several) in enumerate({**found, **last}.items())
        if several
    ]


def _split(study: Study, scenario: str, choice: Choice) -> str:
    """The first of the splits that some trial has."""
    there = {split for t, s in study.results.ordered if t.scenario == scenario for split in s["splits"]}
    return next((split for split in choice.splits if split in there), choice.splits[0])


def _table(scenario: str, group: str, table: Table) -> items.Shown:
    """Under what it shows, without the scenario, in whose section it stands."""
    title = table.title.removeprefix(scenario).removeprefix(": ").strip()
    marks = (f"; bold: {table.word}" if table.best else "") + ("; underlined: second" if table.second else "")
    heading = (f"{title}; {table.caption}" if title else table.caption) + marks
    return items.Shown(table, heading[:1].upper() + heading[1:], group not in (RESULTS, COMPARISONS))


def _numbers(table: Table) -> items.Shown:
    return items.Shown(table, table.caption)


def _legend(places: Iterable[tuple[int, str]]) -> tuple[items.Entry, ...]:
    return tuple(items.Entry(p, name, Markup(swatch(p))) for p, name in sorted(dict(places).items()))


def _lines(material: Material, lines: Lines | None) -> list[items.Figure]:
    if lines is None:
        return []
    shown = facets(lines, MOST)
    alone = material.axes is None and lines.x in material.varied  # one line through all arms
    drawn = zip(lines_svg(shown), shown.panes, strict=True)
    panes = tuple(items.Drawn(Markup(svg), pane.series[0].place if pane.behind else None) for svg, pane in drawn)
    legend = _legend((s.place, s.name) for pane in shown.panes for s in pane.series)
    form = "one" if len(panes) == 1 else "several"
    return [items.Figure(lines.title, shown.caption, panes, legend, _numbers(lines_numbers(lines)), form, alone)]


def _bars(bars: Bars | None) -> list[items.Figure]:
    if bars is None:
        return []
    panes = tuple(items.Drawn(Markup(svg)) for svg in bars_svg(bars))
    form = "one" if len(panes) == 1 else "several"
    return [items.Figure(bars.title, bars.caption, panes, (), _numbers(bars_numbers(bars)), form)]


def _strips(several: Sequence[Strips]) -> list[items.Figure]:
    if not several:
        return []
    panes = tuple(items.Drawn(Markup(svg)) for svg in strips_svg(several))
    legend = _legend((s.place, s.name) for strips in several for s in strips.strips)
    form = "one" if len(panes) == 1 else "several"
    caption, numbers = several[0].caption, _numbers(strips_numbers(several))
    return [items.Figure("Scores by client", caption, panes, legend, numbers, form)]


def _subsets(several: Sequence[Subsets]) -> list[items.Figure]:
    if not several:
        return []
    panes = tuple(items.Drawn(Markup(svg)) for svg in subsets_svg(several))
    legend = _legend((place, name) for subsets in several for name, place, _ in subsets.arms)
    caption, numbers = several[0].caption, _numbers(subsets_numbers(several))
    return [items.Figure("Scores by subset", caption, panes, legend, numbers, "wide")]


def _partitions(study: Study, scenario: str) -> list[items.Item]:
    """A picture for each partition that differs, and a word where there are more."""
    different = partitions(study, scenario)
    shown, more = different[:_MOST_PARTITIONS], len(different) - _MOST_PARTITIONS
    if not shown:
        return []
    panes = tuple(items.Drawn(Markup(cells_svg(partition))) for partition in shown)
    narrow = len(shown) > 1 and all(len(partition.clients) <= _NARROW for partition in shown)
    caption = _PARTITIONS
    if more > 0:
        caption += f"; {more} more are in the trials' folders: {PARTITION}"
    numbers = partition_numbers(shown)
    title = "Samples by class, modality and client"
    form = "several" if narrow else "wide"
    return [items.Figure(title, caption, panes, (), None if numbers is None else _numbers(numbers), form)]


def _untaught(study: Study, scenario: str) -> list[items.Item]:
    lines = tuple(untaught(study.results, scenario))
    title = "No client had samples that teach these networks, so they filled nothing in:"
    return [items.Lines(title, lines)] if lines else []


def _image(study: Study, title: str, path: Path) -> list[items.Item]:
    try:
        return [image(title, path)]
    except OSError as error:
        study.notes.append(f"{path}: is left out of the page: {error.strerror or error}")
        return []


def _costs(costs: Sequence[Cost]) -> list[items.Item]:
    if not costs:
        return []
    names = tuple(dict.fromkeys(name for cost in costs for name in cost.values))
    amounts: list[items.Amount] = []
    for cost in costs:
        most = max(cost.values.values()) or 1.0
        texts = {n: cost.show(cost.values[n]) if n in cost.values else "-" for n in names}
        shares = {n: f"{100 * cost.values[n] / most:.1f}" if n in cost.values else None for n in names}
        amounts.append(items.Amount(cost.name, texts, shares))
    return [items.Costs("Cost of a trial by arm, mean over its trials", names, tuple(amounts))]
