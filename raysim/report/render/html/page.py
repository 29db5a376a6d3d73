"""The study's report as one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raysim.report.figures.looks import COLOURS, DARK
from raysim.report.figures.material import Material
from raysim.report.reading.folders import Study
from raysim.report.reading.pairs import Compared
from raysim.report.reading.results import key
from raysim.report.render.content import Choice, Content
from raysim.report.render.html.items import Section
from raysim.report.render.html.origin import description_of, settings_of
from raysim.report.render.html.sections import COMPARISONS, sections
from raysim.report.render.markdown import settings_line, state
from raysim.report.tables.comparisons import LEGEND as COMPARISONS_LEGEND
from raysim.report.tables.every import Grouped
from raysim.report.text import label
from raysim.version import VERSION

_MOST_NAMES = 30
_MOST_PICTURED = 8
_DRAWN_ANEW = ("learning_curves.png", "partition.png")
"""What the page has as curves and cells of its own."""


@dataclass(frozen=True)
class _Scenario:
    """A scenario as the template takes it."""

    id: str
    name: str
    description: str
    settings: str
    mixed: Sequence[str]
    yaml: str
    yaml_of: str
    varied: Sequence[str]
    sections: Sequence[Section]


@dataclass(frozen=True)
class _Trouble:
    """What went wrong, a line each."""

    title: str
    lines: Sequence[str]


def page(
    study: Study,
    choice: Choice | None = None,
    pictures: Mapping[str, Sequence[tuple[str, Path]]] | None = None,
    more: Mapping[str, Sequence[Grouped]] | None = None,
    compared: Mapping[str, Compared] | None = None,
) -> str:
    """The whole page: it needs neither the network nor other files.

    Args:
        study: as it was read; of what cannot be shown it gets a note.
        choice: what is shown.
        pictures: scenario -> title and path of PNGs that are shown as they are.
        more: scenario -> tables beside those of `every_table`.
        compared: scenario -> its pairs of arms.

    Raises:
        UnknownArm: there is no arm `choice.against`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    chosen = choice or Choice()
    results = study.results
    scenarios = [
        _scenario(
            study, name, chosen, _kept((pictures or {}).get(name, ())), (more or {}).get(name, ()), f"s{place}",
            (compared or {}).get(name),
        )
        for place, name in enumerate(results.scenarios)
    ]  # fmt: skip
    environment = Environment(
        loader=PackageLoader("raysim.report.render", "html"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        title=f"Results: {', '.join(results.scenarios)}".removesuffix(": "),
        state=state(results, sum(study.planned.values())),
        hardware=results.hardware,
        out=results.out,
        version=VERSION,
        scenarios=scenarios,
        troubles=_troubles(study),
        colours=COLOURS,
        dark=DARK,
    )


def of_content(content: Content) -> str:
    """The page of a study as it is reported, with its comparisons.

    Raises:
        UnknownArm: there is no arm `choice.against`.
    """
    more = {
        scenario: [Grouped(COMPARISONS, found.table, (*found.notes, COMPARISONS_LEGEND))]
        for scenario, found in content.comparisons.items()
        if found.table.lines
    }
    compared = {name: found.compared for name, found in content.comparisons.items() if found.compared is not None}
    return page(content.study, content.choice, content.pictures, more, compared)


def pictured(study: Study) -> dict[tuple[str, str], Path]:
    """The trials, and their folders, whose pictures of features and made samples a page has room for.

    The first of each arm, of eight arms a scenario at most.
    """
    chosen: list[tuple[str, str]] = []
    for scenario in study.results.scenarios:
        material = Material(study, scenario)
        first: dict[str, tuple[str, str]] = {}
        for trial, _ in material.trials:
            first.setdefault(material.arm(trial), key(trial))
        chosen += list(first.values())[:_MOST_PICTURED]
    return {place: study.folders[place] for place in chosen}


def _kept(pictures: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    return [(title, path) for title, path in pictures if path.name not in _DRAWN_ANEW]


def _scenario(
    study: Study, name: str, choice: Choice, pictures: Sequence[tuple[str, Path]], more: Sequence[Grouped], prefix: str,
    compared: Compared | None,
) -> _Scenario:  # fmt: skip
    results = study.results
    yaml_of, text = settings_of(study, name)
    grids = [t.grid for t in results.trials if t.scenario == name]
    keys = dict.fromkeys(k for grid in grids for k in grid)
    return _Scenario(
        id=prefix,
        name=name,
        description=description_of(text),
        settings=settings_line(results, name),
        mixed=results.mixed(name),
        yaml=text,
        yaml_of=yaml_of,
        varied=[k for k in keys if len({grid.get(k) for grid in grids}) > 1],
        sections=sections(study, name, choice, pictures, more, prefix, compared),
    )


def _troubles(study: Study) -> list[_Trouble]:
    """What failed, what was left out or changed in a trial, what has not ended, and what reading found."""
    results = study.results
    finished = [(f"{t.scenario} {label(t.grid)} seed={t.seed}", s) for t, s in results.ordered]
    marked: list[str] = []
    for name, summary in finished:
        if times := summary.get("skipped"):
            marked.append(f"{name}: clients were left out {times} time{'s' if times > 1 else ''}")
        if summary.get("bit_comparable") is False:
            marked.append(f"{name}: a unit did not fit its device or was late; its bits do not compare")
    waiting = [f"{scenario} {trial}" for scenario, trial in study.places if (scenario, trial) not in study.folders]
    more = [f"and {len(waiting) - _MOST_NAMES} more"] if len(waiting) > _MOST_NAMES else []
    found = (
        _Trouble(
            "Failed trials", [f"{t.scenario} {label(t.grid)} seed={t.seed}: {error}" for t, error in results.failures]
        ),
        _Trouble("What was skipped in trials", marked),
        _Trouble("Trials that have not ended", [*waiting[:_MOST_NAMES], *more]),
        _Trouble("Notes", study.notes),
    )
    return [trouble for trouble in found if trouble.lines]
