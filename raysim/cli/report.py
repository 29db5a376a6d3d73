"""The command `raysim report`: tables and pictures of studies that are finished or under way."""

import json
import sys
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from raysim.cli.start import complain, width, writable
from raysim.disk import write
from raysim.report.figures.drawing import CURVES, MADE, OVERVIEW, curves_there, grids_title
from raysim.report.figures.grids import draw_grids, due
from raysim.report.figures.paper import UnknownFormat, formats_of, save_figures
from raysim.report.reading.arms import UnknownArm
from raysim.report.reading.copy import copied
from raysim.report.reading.folder import FolderError
from raysim.report.reading.folders import Study, read
from raysim.report.reading.pairs import compared
from raysim.report.reading.partitions import partitions
from raysim.report.render import csv, latex, markdown, terminal
from raysim.report.render.content import Choice, Content
from raysim.report.render.html.page import of_content, pictured
from raysim.report.tables.comparisons import Comparison, Test, Untestable, comparison
from raysim.report.text import encodable

Split = Literal["test", "validation", "test_unmasked", "validation_unmasked"]
Form = Literal["terminal", "md", "html", "latex", "csv"]
FORMS: Mapping[Form, Callable[[Content], str]] = {
    "terminal": terminal.screen,
    "md": markdown.page,
    "html": of_content,
    "latex": latex.tables,
    "csv": csv.table,
}
SUFFIXES: Mapping[str, Form] = {
    "": "terminal",
    ".txt": "terminal",
    ".md": "md",
    ".html": "html",
    ".tex": "latex",
    ".csv": "csv",
}
PICTURED: tuple[Form, ...] = ("terminal", "md", "html")
"""Those that show or name pictures, which are drawn then."""


def report(
    outs: Annotated[
        list[Path], typer.Argument(metavar="OUT...", help="Folders or URLs of studies; parts of one are merged.")
    ],
    metric: Annotated[str | None, typer.Option(metavar="M", help="The metric of the result tables.")] = None,
    split: Annotated[Split | None, typer.Option(help="Whose figures; test, also unmasked, if not given.")] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="ARM",
            help="Compare the others with this arm, or all with each other: all; if not given, with one that begins "
            "with zero, or else the best.",
        ),
    ] = None,
    test: Annotated[
        Test | None,
        typer.Option(
            help="The test of comparisons; if not given, t over three seeds and more, else McNemar's of accuracy."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="ARM", help="Compare traffic with this arm's; with the most if not given.")
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="If not given, as the file's name ends, or plain tables.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            parser=writable, metavar="DIR", help="Also draw pictures for a paper there, 3.3 and 7 inches wide."
        ),
    ] = None,
    figure_format: Annotated[
        str, typer.Option(metavar="pdf,svg,png", help="What these pictures are, one or several.")
    ] = "pdf",
    out: Annotated[
        Path | None,
        typer.Option(
            parser=writable,
            metavar="FILE",
            help="Write there instead of printing; an HTML file goes to report.html in OUT.",
        ),
    ] = None,
) -> int:
    """Show the results and costs of studies, finished or under way, and draw what they kept for pictures."""
    choice = Choice((split,) if split else ("test", "test_unmasked"), metric, against)
    try:
        chosen = _form(form, out)
        outs = [copied(out) for out in outs]
        study = read(outs)
        _check(study, choice)
        mixed = [f"{s}: {note}" for s in study.results.scenarios for note in study.results.mixed(s)]
        for note in [*study.notes, *mixed]:
            complain(note)
        pairs = {} if chosen == "csv" else _compared(study, choice, compare, test)
        told = len(study.notes)
        if figures is not None:
            _for_a_paper(study, choice, figures, figure_format)
        pictures = _chosen_pictures(study, chosen) if chosen in PICTURED else {}
        text = FORMS[chosen](Content(study, choice, pairs, pictures, out, width()))
        for note in study.notes[told:]:
            complain(note)
    except (FolderError, UnknownArm, UnknownFormat, Untestable) as error:
        complain(str(error))
        return 2
    if out is None and chosen != "html":
        typer.echo(encodable(text, sys.stdout.encoding))
        return 0
    path = out or outs[0] / "report.html"
    try:
        write(path, f"{text}\n".encode())
    except OSError as error:
        complain(f"{path}: cannot be written: {error.strerror}")
        return 2
    typer.echo(encodable(str(path), sys.stdout.encoding))
    return 0


def _form(form: Form | None, out: Path | None) -> Form:
    """What is written: as is said, or as the file's name ends.

    Raises:
        FolderError: the file's name ends otherwise than any form, or than the one that is said.
    """
    end = "" if out is None else out.suffix.lower()
    if end not in SUFFIXES:
        there = ", ".join(filter(None, SUFFIXES))
        raise FolderError(f"{out}: no report is written as '{end}'; there are: {there}")
    if form is not None and end and SUFFIXES[end] != form:
        other = next(suffix for suffix, name in SUFFIXES.items() if name == form and suffix)
        raise FolderError(f"{out}: ends as {SUFFIXES[end]}, and --format is {form}; name it *{other} or leave one out")
    return form or SUFFIXES[end]


def _compared(study: Study, choice: Choice, compare: str | None, test: Test | None) -> dict[str, Comparison]:
    """The pairs of arms of each scenario that has any.

    Raises:
        UnknownArm: there is no such arm.
        Untestable: the test is not for the metric.
    """
    found: dict[str, Comparison] = {}
    for scenario in study.results.scenarios:
        pairs = compared(study, scenario, choice.splits[0], choice.metric, compare)
        if pairs is not None:
            found[scenario] = comparison(scenario, pairs, test)
    return found


def _for_a_paper(study: Study, choice: Choice, folder: Path, formats: str) -> None:
    """Draws the pictures for a paper.

    Raises:
        FolderError: the folder cannot be written.
        UnknownFormat: there is no such format.
    """
    try:
        save_figures(study, folder, formats_of(formats), metric=choice.metric, split=choice.splits[0])
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
        raise FolderError(f"{folder}: {reason}; choose another folder with --figures") from error


def _check(study: Study, choice: Choice) -> None:
    """Refuses a metric or split that nothing has.

    Raises:
        FolderError: with what there is.
    """
    rows = study.results.rows
    metrics = dict.fromkeys(m for t in study.results.trials for m in t.metrics)
    if rows and choice.metric is not None and choice.metric not in metrics:
        raise FolderError(f"{study.results.out}: has no metric '{choice.metric}'; there are: {', '.join(metrics)}")
    splits = dict.fromkeys(row.split for row in rows)
    if rows and not splits.keys() & set(choice.splits):
        raise FolderError(f"{study.results.out}: has no split '{choice.splits[0]}'; there are: {', '.join(splits)}")


def _chosen_pictures(study: Study, form: Form) -> dict[str, list[tuple[str, Path]]]:
    """All pictures; of a page those that it has room for, as it draws partitions itself."""
    if form == "html":
        return _pictures(study, pictured(study), ())
    first = {p.trials[0] for scenario in study.results.scenarios for p in partitions(study, scenario)}
    return _pictures(study, study.folders, first)


def _pictures(
    study: Study, folders: Mapping[tuple[str, str], Path], partitioned: Collection[tuple[str, str]]
) -> dict[str, list[tuple[str, Path]]]:  # fmt: skip
    """Scenario -> title and path of its pictures; draws those that are not there yet, or older than their data.

    Of these trials; what clients were dealt of some alone, as it is the same for most.
    """
    found: dict[str, list[tuple[str, Path]]] = {}
    for scenario in study.results.scenarios:
        homes = study.homes[scenario]
        curves = [home / CURVES for home in homes]
        found[scenario] = [(f"Learning curves of {scenario}", path) for path in curves if path.exists()]
        found[scenario] += [picture for home in homes for picture in curves_there(home.parent, home.name)]
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        for (scenario, trial), folder in progress.track(folders.items(), description="Drawing"):
            for source, picture, title, draw in (
                ("features.npz", "features.png", f"Real and filled-in embeddings, {trial}", _draw_features),
                ("partition.json", "partition.png", f"Samples by class and client, {trial}", _draw_partition),
                (MADE, OVERVIEW, grids_title(trial), draw_grids),
            ):
                path = folder / picture
                if picture == "partition.png" and (scenario, trial) not in partitioned:
                    continue
                if (folder / source).exists() and _drawn(folder / source, title, draw, path):
                    found[scenario].append((title, path))
    return found


def _drawn(source: Path, title: str, draw: Callable[[Path, str, Path], None], path: Path) -> bool:
    """Whether there is a picture of a file now; where not, after a line that says why."""
    try:
        if due(source, path):
            draw(source, title, path)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        complain(f"{source}: no picture of it: {reason}")
        return False
    return True


def _draw_features(source: Path, title: str, path: Path) -> None:
    import numpy as np

    from raysim.report.figures.features import feature_maps

    dealt = source.with_name("partition.json")
    data: Any = json.loads(dealt.read_bytes()) if dealt.exists() else {"classes": []}
    with np.load(source) as arrays:
        feature_maps(dict(arrays), title, path, list(map(str, data["classes"])))


def _draw_partition(source: Path, title: str, path: Path) -> None:
    import numpy as np

    from raysim.report.figures.counts import class_counts

    data: Any = json.loads(source.read_bytes())
    clients, classes = data["clients"], list(map(str, data["classes"]))
    counts = np.array([client["counts"] for client in clients], dtype=np.int64)
    having = {m: [c["modalities"].get(m, 0) for c in clients] for c in clients[:1] for m in c.get("modalities", {})}
    class_counts([str(c.get("own", c["id"])) for c in clients], classes, counts, title, path, having)
