"""Curves for the report, and what pictures share: matplotlib is imported where it is used, without pyplot's state."""

import math
import statistics
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from raysim.report.figures.fonts import cover, drawable
from raysim.report.figures.looks import COLOURS, DASHES, MARKS, MOST, look
from raysim.report.reading.courses import Curve, course
from raysim.report.text import label

Array = NDArray[Any]
Points = Mapping[tuple[tuple[str, str], ...], Sequence[Curve]]

LINES: tuple[Any, ...] = tuple((0, dashes) if dashes else "-" for dashes in DASHES)
"""As matplotlib takes them."""


def read_curve(path: Path, split: str, metric: str) -> Curve:
    """Round -> value from a metrics.jsonl, for the rounds where it is defined."""
    return dict(course(path, [metric], split).scores[metric])


def band(curves: Sequence[Curve]) -> tuple[list[int], list[float], list[float]]:
    """Rounds that all seeds have, with mean and sample standard deviation (0 for one seed) over the seeds."""
    rounds = sorted(r for r in curves[0] if all(r in c for c in curves))
    columns = [[c[r] for c in curves] for r in rounds]
    return rounds, [statistics.fmean(c) for c in columns], [statistics.stdev(c) if len(c) > 1 else 0.0 for c in columns]


@dataclass(frozen=True)
class Panel:
    """One pair of axes: grid point as (key, value) pairs -> a curve a seed; what the vertical axis shows."""

    points: Points
    axis: str


def learning_curves(points: Points, title: str, axis: str, path: Path) -> None:
    """Draws a line a grid point, the mean over its seeds, in a band of one standard deviation.

    More than seven of them get a panel each, before the others faintly: colours would repeat.

    Args:
        points: grid point as (key, value) pairs -> a curve a seed.
        title: above the picture.
        axis: what the vertical axis shows.
        path: the PNG; replaced as a whole.
    """
    if len(points) > MOST:
        _facets(points, title, axis, path)
    else:
        curves([Panel(points, axis)], title, "round", path)


def _facets(points: Points, title: str, axis: str, path: Path) -> None:
    """A panel a grid point, on the same axes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = [_name(point, title) for point in points]
    cover([title, axis, *names])
    columns = math.ceil(math.sqrt(len(points)))
    rows = -(-len(points) // columns)
    figure = Figure(figsize=(min(1 + 2.4 * columns, 30), min(1 + 1.9 * rows, 30)), layout="constrained")
    bands = [band(several) for several in points.values()]
    grid: Any = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(points):
            axes.remove()
            continue
        for other, (rounds, means, _) in enumerate(bands):
            if other != place:
                axes.plot(rounds, means, color="0.82", linewidth=0.8)
        _line(axes, place, list(points.values())[place], names[place])
        axes.set_title(short(names[place], 34), fontsize="small")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(visible=True, color="0.93", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("round", fontsize="medium")
    figure.supylabel(literal(axis), fontsize="medium")
    entitle(figure, title)
    save(figure, path)


def curves(panels: Sequence[Panel], title: str, horizontal: str, path: Path) -> None:
    """Like `learning_curves`, with panels side by side, in which a grid point looks the same.

    Args:
        panels: at least one.
        title: above the picture.
        horizontal: what the horizontal axes show, which counts.
        path: the PNG; replaced as a whole.
    """
    from matplotlib.figure import Figure

    points = list(dict.fromkeys(point for panel in panels for point in panel.points))
    cover([title, *(panel.axis for panel in panels), *(_name(point, title) for point in points)])
    outside = len(points) > 4 or len(panels) > 1
    figure = Figure(figsize=((7 if len(panels) == 1 else 4.5 * len(panels)) + 3 * outside, 4.5), layout="constrained")
    lines: dict[int, Any] = {}
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        for i, point in enumerate(points):
            if point in panel.points:
                lines[i] = _line(axes, i, panel.points[point], short(_name(point, title), 80))
        _dress(axes, horizontal, panel.axis)
    if len(panels) == 1:
        figure.axes[0].set_title(literal(title))
    else:
        entitle(figure, title)
    where: dict[str, Any] = {"loc": "outside right upper"} if outside else {"loc": "best"}  # less is better of some
    handles = [line for _, line in sorted(lines.items())]
    owner: Any = figure if outside else figure.axes[0]
    owner.legend(handles=handles, **where, fontsize="small", handlelength=3.5, framealpha=0.8)
    save(figure, path)


def _line(axes: Any, place: int, several: Sequence[Curve], name: str) -> Any:
    """The mean over seeds in its band, for the legend; `place` decides how it looks."""
    rounds, means, deviations = band(several)
    colour, dash, marker = (part[i] for part, i in zip((COLOURS, LINES, MARKS), look(place), strict=True))
    (line,) = axes.plot(
        rounds,
        means,
        label=name,
        color=colour,
        linestyle=dash,
        marker=marker,
        markevery=(place % 3 if len(rounds) > 8 else 0, max(1, len(rounds) // 8)),
        markersize=5,
        linewidth=1.6,
    )
    low = [m - d for m, d in zip(means, deviations, strict=True)]
    high = [m + d for m, d in zip(means, deviations, strict=True)]
    axes.fill_between(rounds, low, high, color=colour, alpha=0.12, linewidth=0)
    return line


def _dress(axes: Any, horizontal: str, vertical: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel=horizontal, ylabel=literal(vertical))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def entitle(figure: Any, title: str) -> None:
    """Above the picture, in as many lines as its width asks for."""
    characters = int(11 * figure.get_figwidth())
    figure.suptitle("\n".join(literal(line) for line in textwrap.wrap(title, characters)), fontsize="medium")


def save(figure: Any, path: Path) -> None:
    """Writes a PNG beside its place first."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    aside = path.with_name(f".{path.name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a layout that long names leave little room
        FigureCanvasAgg(figure).print_png(aside, metadata={"Software": None})
    aside.replace(path)


def _name(point: tuple[tuple[str, str], ...], title: str) -> str:
    """The value alone where the grid has one key."""
    return title if not point else point[0][1] if len(point) == 1 else label(dict(point))


def literal(text: str) -> str:
    """Keeps a label as it is: `$` would start mathematics, and a leading `_` would leave it out of the legend."""
    return (" " if text.startswith("_") else "") + drawable(text).replace("$", r"\$")


def short(text: str, width: int) -> str:
    """A label that leaves room for the picture."""
    return literal(cut(drawable(text), width))


def cut(text: str, width: int) -> str:
    """At most `width` characters of a text."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
