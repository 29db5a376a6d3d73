"""Pictures of a study for a paper: PDF, SVG or PNG, as wide as a column and as a page, letters of 7 and 8 points."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from raysim.disk import write
from raysim.report.figures.fonts import cover
from raysim.report.figures.looks import COLOURS, MARKS, MOST, look
from raysim.report.figures.material import Material
from raysim.report.figures.plots import LINES, literal, short
from raysim.report.figures.shown import Lines, Pane, Series, Strip, Strips, Subsets, facets
from raysim.report.figures.svg.strips import piled
from raysim.report.reading.folders import Study
from raysim.report.text import size
from raysim.scenario.trial import folder_names

Format = Literal["pdf", "svg", "png"]
WIDTHS = {"column": 3.3, "page": 7.0}
"""Inches."""
_STYLE: dict[str, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7, "axes.linewidth": 0.6, "lines.linewidth": 1.2, "lines.markersize": 3.5,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": "0.9", "grid.linewidth": 0.5,
    "pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "raysim", "savefig.dpi": 300,
}  # fmt: skip
"""Letters of a PDF are those of an embedded font; of an SVG they are outlines, which look alike everywhere."""
_UNDATED: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None}, "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}  # fmt: skip
_PANE, _ROW, _LEGEND_LINE, _MARGIN = 1.9, 0.42, 0.17, 0.5
"""Inches: the height of a pane, of an arm's strip, of a line of a legend, and of what else there is."""


class UnknownFormat(ValueError):
    """There are no pictures of that format; one line."""


def formats_of(text: str) -> tuple[Format, ...]:
    """The formats in `pdf,svg`.

    Raises:
        UnknownFormat: one of them is none.
    """
    known: dict[str, Format] = {name: name for name in get_args(Format)}
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in known:
            raise UnknownFormat(f"--figure-format: there is no '{name}'; there are: {', '.join(known)}")
    return tuple(dict.fromkeys(known[name] for name in names))


@dataclass(frozen=True)
class _Picture:
    """A picture by its file's name; `draw` fills a figure of some width and `names` are its legend's."""

    name: str
    panes: int
    height: float
    words: tuple[str, ...]
    draw: Callable[[Any, int], None]
    legend: tuple[tuple[int, str], ...]


def save_figures(
    study: Study, folder: Path, formats: Sequence[Format], *, metric: str | None = None, split: str = "test"
) -> list[Path]:  # fmt: skip
    """Draws what there is of each scenario: learning curves, rates, clients, subsets, traffic.

    Args:
        study: as it was read.
        folder: gets `<scenario>-<picture>-<column or page>.<format>`; made if need be.
        formats: of the files.
        metric: of the figures; the one that selects the round where None.
        split: whose figures.

    Returns:
        The files.

    Raises:
        OSError: the folder cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    found: list[Path] = []
    scenarios = study.results.scenarios
    for scenario, file in zip(scenarios, folder_names(scenarios), strict=True):
        for picture in _pictures(Material(study, scenario, split, metric)):
            for name, width in WIDTHS.items():
                cover(picture.words)
                with matplotlib.rc_context(cast(Any, _STYLE)):
                    columns = _columns(picture.panes, width)
                    rows = -(-picture.panes // columns)
                    lines = -(-len(picture.legend) // _across(width, picture.legend))
                    height = rows * picture.height + _MARGIN + lines * _LEGEND_LINE
                    figure = Figure(figsize=(width, height), layout="constrained")
                    FigureCanvasAgg(figure)
                    picture.draw(figure, columns)
                    _legend(figure, picture.legend, width)
                    for format_ in formats:
                        path = folder / f"{file}-{picture.name}-{name}.{format_}"
                        _save(figure, path, format_)
                        found.append(path)
    return found


def _pictures(material: Material) -> Iterator[_Picture]:
    """Those that there is something for."""
    found = (
        ("learning_curves", material.learning()), ("by_rate", material.rates()), ("traffic", material.traffic())
    )  # fmt: skip
    for name, lines in found:
        if lines is not None:
            yield _lines_picture(name, facets(lines, MOST))
    if clients := material.clients():
        words = tuple(word for strips in clients for word in (strips.title, strips.x, *(s.name for s in strips.strips)))
        height = 0.45 + _ROW * max(len(strips.strips) for strips in clients)
        yield _Picture("clients", len(clients), height, words, lambda f, c: _draw_strips(f, clients, c), ())
    if subsets := material.subsets():
        arms = {place: name for several in subsets for name, place, _ in several.arms}
        words = tuple(w for s in subsets for w in (s.title, s.y, *s.modalities, *(n for n, _, _ in s.arms)))
        height = _PANE + 0.14 * max(len(s.modalities) for s in subsets)
        legend = tuple(sorted(arms.items()))
        yield _Picture("subsets", len(subsets), height, words, lambda f, c: _draw_subsets(f, subsets, c), legend)


def _lines_picture(name: str, lines: Lines) -> _Picture:
    arms = {s.place: s.name for pane in lines.panes for s in pane.series}
    words = (lines.x, lines.y, *arms.values(), *(w for p in lines.panes for w in (p.title, p.y)))
    faceted = any(pane.behind for pane in lines.panes)
    legend = () if faceted or len(arms) < 2 else tuple(sorted(arms.items()))
    return _Picture(name, len(lines.panes), _PANE, words, lambda f, c: _draw_lines(f, lines, c), legend)


def _columns(panes: int, width: float) -> int:
    """How many panes stand side by side."""
    most = (2 if panes > 2 else 1) if width < 5 else 4
    return -(-panes // -(-panes // most))


def _across(width: float, legend: Sequence[tuple[int, str]]) -> int:
    """Columns of a legend."""
    longest = max((len(name) for _, name in legend), default=1)
    return max(int(width / (0.7 + 0.07 * min(longest, 30))), 1)


def _grid(figure: Any, panes: int, columns: int, **options: Any) -> list[Any]:
    """Axes of the panes; those that are left over are removed."""
    several: list[Any] = list(figure.subplots(-(-panes // columns), columns, squeeze=False, **options).flat)
    for axes in several[panes:]:
        axes.remove()
    return several[:panes]


def _draw_lines(figure: Any, lines: Lines, columns: int) -> None:
    alike = len({pane.y for pane in lines.panes}) == 1
    options = {"sharex": True, "sharey": True} if alike else {}
    for axes, pane in zip(_grid(figure, len(lines.panes), columns, **options), lines.panes, strict=True):
        _draw_pane(axes, lines, pane, alike=alike)
    figure.supxlabel(literal(lines.x), fontsize=8)
    if alike:
        figure.supylabel(literal(lines.panes[0].y or lines.y), fontsize=8)


def _draw_pane(axes: Any, lines: Lines, pane: Pane, *, alike: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    for series in pane.behind:
        axes.plot(series.x, series.y, color="0.82", linewidth=0.6)
    for series in pane.series:
        _draw_series(axes, series, cloud=lines.bytes)
    axes.grid(visible=True)
    if pane.title:
        axes.set_title(short(pane.title, 34))
    if not alike:
        axes.set_ylabel(literal(pane.y))
    if lines.whole:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if lines.log:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif lines.bytes:
        axes.xaxis.set_major_locator(MaxNLocator(3))
    if lines.bytes:
        axes.xaxis.set_major_formatter(FuncFormatter(_bytes))
        axes.margins(x=0.15)


def _bytes(value: float, _: Any) -> str:
    """A tick's label."""
    return size(max(value, 0.0))


def _draw_series(axes: Any, series: Series, *, cloud: bool) -> None:
    colour, dash, mark = (part[i] for part, i in zip((COLOURS, LINES, MARKS), look(series.place), strict=True))
    if cloud:
        errors = [high - y for high, y in zip(series.high, series.y, strict=True)]
        axes.errorbar(series.x, series.y, yerr=errors, color=colour, marker=mark, linestyle="none", elinewidth=0.9)
        return
    every = (series.place % 3 if len(series.x) > 8 else 0, max(1, len(series.x) // 8))
    axes.plot(series.x, series.y, color=colour, linestyle=dash, marker=mark, markevery=every)
    axes.fill_between(series.x, series.low, series.high, color=colour, alpha=0.12, linewidth=0)


def _draw_strips(figure: Any, several: Sequence[Strips], columns: int) -> None:
    for axes, strips in zip(_grid(figure, len(several), columns, sharex=True), several, strict=True):
        scores = [score for strip in strips.strips for score in strip.scores]
        low, span = min(scores), (max(scores) - min(scores)) or 1.0
        for row, strip in enumerate(strips.strips):
            _draw_strip(axes, strip, row, (low, span), figure.get_figwidth() / columns)
        axes.set_ylim(len(strips.strips) - 0.4, -0.8)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x")
        if strips.title:
            axes.set_title(short(strips.title, 34))
    figure.supxlabel(literal(several[0].x), fontsize=8)


def _draw_strip(axes: Any, strip: Strip, row: int, extent: tuple[float, float], width: float) -> None:
    """Dots of 3 points beside each other, the name above them."""
    low, span = extent
    colour = COLOURS[look(strip.place).colour]
    points = piled([(score - low) / span * width * 60 * 1.6 for score in strip.scores])
    ys = [row + offset / 60 for _, offset in points]
    for part, face in ((slice(strip.worst, None), colour), (slice(None, strip.worst), "white")):
        axes.scatter(
            strip.scores[part], ys[part], s=6, facecolors=face, edgecolors=colour, linewidths=0.6, zorder=3
        )  # fmt: skip
    axes.plot([strip.mean, strip.mean], [row - 0.24, row + 0.24], color="black", linewidth=1.2, zorder=4)
    beside: Any = axes.get_yaxis_transform()  # x from the panel's left edge, whatever its scores
    axes.text(0, row - 0.36, short(strip.name, 40), fontsize=7, va="center", transform=beside)


def _draw_subsets(figure: Any, several: Sequence[Subsets], columns: int) -> None:
    rows = -(-len(several) // columns)
    values = [v for subsets in several for _, _, means in subsets.arms for v in means if v is not None]
    low, high = min(values), max(values)
    low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
    parts: Any = figure.subfigures(rows, columns, squeeze=False)
    for part, subsets in zip(parts.flat, several, strict=False):
        lines = len(subsets.modalities)
        above, below = part.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1.3, 0.14 * lines + 0.1]})
        step = 0.8 / len(subsets.arms)
        for turn, (_, place, means) in enumerate(subsets.arms):
            chosen = look(place)
            there = [(i, mean) for i, mean in enumerate(means) if mean is not None]
            xs = [i - 0.4 + (turn + 0.5) * step for i, _ in there]
            above.scatter(xs, [m for _, m in there], s=10, marker=MARKS[chosen.mark], color=COLOURS[chosen.colour])
        above.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        above.grid(visible=True, axis="y")
        above.set_ylabel(literal(subsets.y))
        if subsets.title:
            above.set_title(short(subsets.title, 34))
        _draw_members(below, subsets)


def _draw_members(axes: Any, subsets: Subsets) -> None:
    """Full dots where a modality is given, joined by a line."""
    for place, given in enumerate(subsets.subsets):
        rows = [i for i, m in enumerate(subsets.modalities) if m in given]
        axes.scatter([place] * len(subsets.modalities), range(len(subsets.modalities)), s=9, color="0.85")
        axes.plot([place] * len(rows), rows, color="black", marker="o", markersize=3, linewidth=1)
    axes.set_yticks(range(len(subsets.modalities)), [short(m, 16) for m in subsets.modalities])
    axes.set_ylim(len(subsets.modalities) - 0.5, -0.5)
    axes.set_xticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def _legend(figure: Any, legend: Sequence[tuple[int, str]], width: float) -> None:
    from matplotlib.lines import Line2D

    if not legend:
        return
    looks = [(name, look(place)) for place, name in legend]
    handles = [
        Line2D([], [], color=COLOURS[c], linestyle=LINES[d], marker=MARKS[m], label=short(name, 30))
        for name, (c, d, m) in looks
    ]
    columns = min(_across(width, legend), len(handles))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, handlelength=3)


def _save(figure: Any, path: Path, format_: Format) -> None:
    """Written as a whole; the same bytes each time."""
    import io
    import warnings

    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a layout that long names leave little room
        figure.savefig(content, format=format_, metadata=_UNDATED[format_])
    write(path, content.getvalue())
