"""The command `raysim report`: tables and pictures of studies that are finished or under way."""

import json
import os
import sys
import textwrap
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from raysim.cli.start import complain, width
from raysim.disk import write
from raysim.report.figures.drawing import MADE, OVERVIEW, curves_there, grids_title
from raysim.report.figures.grids import draw_grids, due
from raysim.report.figures.paper import UnknownFormat, formats_of, save_figures
from raysim.report.reading.folder import FolderError
from raysim.report.reading.folders import Study, read
from raysim.report.reading.partitions import partitions
from raysim.report.render.html.page import page as web_page
from raysim.report.render.html.page import pictured
from raysim.report.render.markdown import Choice, state
from raysim.report.render.markdown import report as page
from raysim.report.tables.costs import LEGEND, UnknownArm, cost_table, module_table, traffic_table
from raysim.report.tables.generation import LEGEND as GENERATION_LEGEND
from raysim.report.tables.generation import generation_tables, judges_line
from raysim.report.tables.tables import Table, aligned, fitted, result_tables
from raysim.report.text import encodable, label

Split = Literal["test", "validation", "test_unmasked", "validation_unmasked"]
Form = Literal["terminal", "md", "html"]


def report(
    outs: Annotated[list[Path], typer.Argument(metavar="OUT...", help="Folders of studies; parts of one are merged.")],
    metric: Annotated[str | None, typer.Option(metavar="M", help="The metric of the result tables.")] = None,
    split: Annotated[Split | None, typer.Option(help="Whose figures; test, also unmasked, if not given.")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="ARM", help="Compare traffic with this arm's; with the most if not given.")
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="Plain tables, Markdown, or one HTML file.")] = "terminal",
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also draw pictures for a paper there, 3.3 and 7 inches wide.")
    ] = None,
    figure_format: Annotated[
        str, typer.Option(metavar="pdf,svg,png", help="What these pictures are, one or several.")
    ] = "pdf",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write there instead of printing; an HTML file goes to report.html in OUT."),
    ] = None,
) -> int:
    """Show the results and costs of studies, finished or under way, and draw what they kept for pictures."""
    choice = Choice((split,) if split else ("test", "test_unmasked"), metric, against)
    try:
        study = read(outs)
        _check(study, choice)
        mixed = [f"{s}: {note}" for s in study.results.scenarios for note in study.results.mixed(s)]
        for note in [*study.notes, *mixed]:
            complain(note)
        told = len(study.notes)
        if figures is not None:
            _for_a_paper(study, choice, figures, figure_format)
        if form == "html":
            text = web_page(study, choice, _pictures(study, pictured(study), ()))
        else:
            first = {p.trials[0] for scenario in study.results.scenarios for p in partitions(study, scenario)}
            pictures = _pictures(study, study.folders, first)
            text = _page(study, choice, pictures, out) if form == "md" else _screen(study, choice, pictures)
        for note in study.notes[told:]:
            complain(note)
    except (FolderError, UnknownArm, UnknownFormat) as error:
        complain(str(error))
        return 2
    if out is None and form != "html":
        typer.echo(encodable(text, sys.stdout.encoding))
        return 0
    path = out or outs[0] / "report.html"
    try:
        write(path, f"{text}\n".encode())
    except OSError as error:
        complain(f"{path}: cannot be written: {error.strerror}")
        return 2
    if out is None:
        typer.echo(encodable(str(path), sys.stdout.encoding))
    return 0


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


def _screen(study: Study, choice: Choice, pictures: Mapping[str, list[tuple[str, Path]]]) -> str:
    columns = width()
    results = study.results
    lines = [f"{state(results, sum(study.planned.values()))}; {results.out}"]
    for scenario in results.scenarios:
        made = generation_tables(results, scenario)
        for table in (*_results(study, scenario, choice, columns), *made):
            best = " (* best)" if table.best else ""
            lines += ["", *_wrapped(f"{table.title}: {table.caption}{best}", columns), *fitted(table, columns)]
        if made:
            judges = judges_line(results, scenario)
            lines += ["", *_wrapped(f"{judges}. {GENERATION_LEGEND}".removeprefix(". "), columns)]
        for table in _cost_tables(study, scenario, choice):
            lines += ["", *_wrapped(f"{table.title}: {table.caption}", columns), *fitted(table, columns)]
        lines += ["", *_wrapped(LEGEND, columns)]
    lines += [""] * bool(results.failures)
    lines += [f"failed: {t.scenario} {label(t.grid)} seed={t.seed}: {error}" for t, error in results.failures]
    drawn = [str(path) for found in pictures.values() for _, path in found]
    return "\n".join([*lines, *[""] * bool(drawn), *drawn])


def _results(study: Study, scenario: str, choice: Choice, width: int) -> list[Table]:
    """All splits in one table where the width allows, else one each."""
    together = result_tables(study.results, scenario, choice.splits, choice.metric)
    if all(len(line) <= width for table in together for line in aligned(table)):
        return together
    return [t for split in choice.splits for t in result_tables(study.results, scenario, (split,), choice.metric)]


def _cost_tables(study: Study, scenario: str, choice: Choice) -> Iterator[Table]:
    results = study.results
    found = cost_table(results, scenario), module_table(results, scenario)
    traffic = traffic_table(results, scenario, choice.against, single=False)
    yield from (t for t in (*found, traffic) if t is not None)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _page(study: Study, choice: Choice, pictures: Mapping[str, list[tuple[str, Path]]], out: Path | None) -> str:
    """Markdown; pictures by their path from the page, or from here where it is printed."""
    here = Path() if out is None else out.parent
    more = {s: [(title, os.path.relpath(p, here)) for title, p in found] for s, found in pictures.items()}
    return page(study.results, (), choice, more, sum(study.planned.values())).rstrip()


def _pictures(
    study: Study, folders: Mapping[tuple[str, str], Path], partitioned: Collection[tuple[str, str]]
) -> dict[str, list[tuple[str, Path]]]:  # fmt: skip
    """Scenario -> title and path of its pictures; draws those that are not there yet, or older than their data.

    Of these trials; what clients were dealt of some alone, as it is the same for most.
    """
    found: dict[str, list[tuple[str, Path]]] = {}
    for scenario in study.results.scenarios:
        curves = [out / scenario / "learning_curves.png" for out in study.outs]
        found[scenario] = [(f"Learning curves of {scenario}", path) for path in curves if path.exists()]
        found[scenario] += [picture for out in study.outs for picture in curves_there(out, scenario)]
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

    from raysim.report.figures.plots import feature_maps

    dealt = source.with_name("partition.json")
    data: Any = json.loads(dealt.read_bytes()) if dealt.exists() else {"classes": []}
    with np.load(source) as arrays:
        feature_maps(dict(arrays), title, path, list(map(str, data["classes"])))


def _draw_partition(source: Path, title: str, path: Path) -> None:
    import numpy as np

    from raysim.report.figures.plots import class_counts

    data: Any = json.loads(source.read_bytes())
    clients, classes = data["clients"], list(map(str, data["classes"]))
    counts = np.array([client["counts"] for client in clients], dtype=np.int64)
    having = {m: [c["modalities"].get(m, 0) for c in clients] for c in clients[:1] for m in c.get("modalities", {})}
    class_counts([str(c["id"]) for c in clients], classes, counts, title, path, having)
