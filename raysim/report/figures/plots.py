"""Pictures for the report. matplotlib is imported where it is used, without pyplot and its global state."""

import math
import statistics
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysim.report.figures.fonts import cover, drawable
from raysim.report.figures.looks import COLOURS, DASHES, MARKS, MOST, look
from raysim.report.reading.courses import Curve, course
from raysim.report.text import label

Array = NDArray[Any]
Points = Mapping[tuple[tuple[str, str], ...], Sequence[Curve]]

# Real embeddings stand above what is filled in, which is wider: both show where they agree.
_KINDS: tuple[dict[str, Any], ...] = (
    {"marker": "o", "facecolors": "black", "edgecolors": "none", "s": 7, "zorder": 3},
    {"marker": "^", "facecolors": "none", "edgecolors": "#D55E00", "s": 34, "linewidths": 0.8},
)
_MOST_POINTS = 500
_MOST_CLASSES = 20
_CLASS_MARKS = ("o", "s", "D")
"""With the colours, marks for as many classes as are named."""
LINES: tuple[Any, ...] = tuple((0, dashes) if dashes else "-" for dashes in DASHES)
"""As matplotlib takes them."""
_MOST_NAMES = 30
_MOST_CELLS = 300


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


def feature_maps(arrays: Mapping[str, Array], title: str, path: Path, classes: Sequence[str] = ()) -> None:
    """Draws real embeddings and what a method puts in their place, a panel a modality, in two dimensions by t-SNE.

    As FIN's figure 3. Both kinds are embedded together; rows that the data itself lacks are left out. Of 2 to 20
    classes each has a colour and a mark.

    Args:
        arrays: `<modality>` (N, D) and `<modality>.filled` (N, D), and where known `labels` (N,); others are ignored.
        title: above the picture.
        path: the PNG; replaced as a whole.
        classes: their names, by label; their numbers where there is none.

    Raises:
        ValueError: there are no such arrays.
    """
    from matplotlib.figure import Figure

    modalities = [name for name in arrays if f"{name}.filled" in arrays]
    if not modalities:
        raise ValueError("holds no embeddings with what stands in for them")
    labels = _class_labels(arrays.get("labels"))
    shown: list[int] = [] if labels is None else np.unique(labels).tolist()
    given = [classes[c] if 0 <= c < len(classes) else str(c) for c in shown]
    names = [f"class {name}" if name.isdigit() else name for name in given]
    cover([title, *modalities, *names])
    columns = min(len(modalities), 3)
    rows = -(-len(modalities) // columns)
    figure = Figure(figsize=(1 + 3.6 * columns, 1.2 + 3.4 * rows + 0.2 * -(-len(names) // 5)), layout="constrained")
    for place, modality in enumerate(modalities):
        axes = figure.add_subplot(rows, columns, place + 1)
        kinds = {"real": arrays[modality], "filled in": arrays[f"{modality}.filled"]}
        there = np.isfinite(kinds["real"]).all(1) & np.isfinite(kinds["filled in"]).all(1) & kinds["real"].any(1)
        several = {kind: values[there][:_MOST_POINTS] for kind, values in kinds.items()}
        points, projection = _embedded(several)
        own = None if labels is None else labels[there][:_MOST_POINTS]
        for (kind, xy), style in zip(points.items(), _KINDS, strict=True):
            if own is None:
                axes.scatter(xy[:, 0], xy[:, 1], label=kind, **style)
            else:
                _by_class(axes, xy, own, shown, filled=kind == "filled in")
        axes.set(title=literal(f"{_cut(modality, 30)} (n = {len(several['real'])})"), xticks=[], yticks=[])
        axes.set_xlabel(projection, fontsize="small")
    _feature_legend(figure, names)
    entitle(figure, title)
    save(figure, path)


def _class_labels(labels: Array | None) -> Array | None:
    """(N,) labels of 2 to 20 classes; None where samples have several, or there are none, one or more."""
    if labels is None or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        return None
    return labels if 2 <= len(np.unique(labels)) <= _MOST_CLASSES else None


def _class_style(place: int, *, filled: bool) -> dict[str, Any]:
    """Real ones small and full, what is filled in larger and open."""
    colour, mark = COLOURS[place % len(COLOURS)], _CLASS_MARKS[place // len(COLOURS)]
    if filled:
        return {"marker": mark, "facecolors": "none", "edgecolors": colour, "s": 30, "linewidths": 0.8}
    return {"marker": mark, "facecolors": colour, "edgecolors": "none", "s": 9, "zorder": 3}


def _by_class(axes: Any, points: Array, labels: Array, shown: Sequence[int], *, filled: bool) -> None:
    for place, class_ in enumerate(shown):
        own = points[labels == class_]
        axes.scatter(own[:, 0], own[:, 1], **_class_style(place, filled=filled))


def _feature_legend(figure: Any, classes: Sequence[str]) -> None:
    """The two kinds, and the classes where they are told apart."""
    if not classes:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        return
    from matplotlib.lines import Line2D

    def handle(name: str, style: dict[str, Any]) -> Any:
        return Line2D(
            [], [], linestyle="none", marker=style["marker"], markersize=math.sqrt(style["s"]),
            markerfacecolor=style["facecolors"], markeredgecolor=style["edgecolors"], label=short(name, 24),
        )  # fmt: skip

    kinds = [
        handle("real", _class_style(0, filled=False) | {"facecolors": "0.45"}),
        handle("filled in", _class_style(0, filled=True) | {"edgecolors": "0.45"}),
    ]
    named = [handle(name, _class_style(place, filled=False)) for place, name in enumerate(classes)]
    figure.legend(handles=[*kinds, *named], loc="outside lower center", ncols=5, fontsize="small")


def class_counts(
    clients: Sequence[str], classes: Sequence[str], counts: Array, title: str, path: Path,
    modalities: Mapping[str, Sequence[int]] | None = None,
) -> None:  # fmt: skip
    """Draws how many samples of each class each client has, as FedRecon's figure 7, and below with each modality.

    Args:
        clients: their names, along the horizontal axis.
        classes: their names, along the vertical axis.
        counts: (clients, classes).
        title: above the picture.
        path: the PNG; replaced as a whole.
        modalities: name -> (clients,) samples that have it.
    """
    from matplotlib.figure import Figure

    below = modalities or {}
    cover([title, *clients, *classes, *below])
    lines = len(classes) + len(below)
    size = min(2.5 + 0.3 * len(clients), 12), min(1.8 + 0.28 * lines + 0.3 * bool(below), 12)
    figure = Figure(figsize=(max(size[0], 5), max(size[1], 2.5)), layout="constrained")
    parts: list[tuple[Sequence[str], Array, str]] = [(classes, counts, "class")]
    if below:
        parts.append((list(below), np.array(list(below.values())).T, "modality"))
    share = {"height_ratios": [max(len(names), 1) for names, _, _ in parts]}
    several: Any = figure.subplots(len(parts), 1, sharex=True, squeeze=False, gridspec_kw=share)
    for axes, (names, cells, what) in zip(several.flat, parts, strict=True):
        image = _cells(axes, cells, names, what)
        figure.colorbar(image, ax=axes, label="samples")
    last = several.flat[-1]
    last.set_xlabel("client")
    _name_ticks(last.xaxis, clients)
    entitle(figure, title)
    save(figure, path)


def _cells(axes: Any, counts: Array, names: Sequence[str], what: str) -> Any:
    """Grey cells (clients, names), darker is more, with their numbers where there are few."""
    image = axes.imshow(counts.T, cmap="Greys", aspect="auto", vmin=0, interpolation="nearest")
    _name_ticks(axes.yaxis, names)
    axes.set_ylabel(what)
    if counts.size <= _MOST_CELLS:
        dark = counts.max(initial=0) / 2
        for (client, line), count in np.ndenumerate(counts):
            colour = "white" if count > dark else "black"
            axes.text(client, line, str(count), ha="center", va="center", fontsize=7, color=colour)
    return image


def _name_ticks(axis: Any, names: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    if len(names) <= _MOST_NAMES:
        axis.set_ticks(range(len(names)), [short(n, 30) for n in names])
    else:
        axis.set_major_locator(MaxNLocator(integer=True))


def _embedded(kinds: Mapping[str, Array]) -> tuple[dict[str, Array], str]:
    """Each kind's rows (n, D) in two dimensions, (n, 2), and by what; where too few, or all equal, at 0."""
    both = np.concatenate(list(kinds.values()))
    if len(both) < 4 or not np.ptp(both, axis=0).any():
        return {kind: np.zeros((len(values), 2)) for kind, values in kinds.items()}, "too few to project"
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if both.shape[1] < 2:
        both = np.pad(both, ((0, 0), (0, 1)))
    perplexity = min(30, (len(both) - 1) / 3)
    map_: Any = TSNE(init="pca", random_state=0, perplexity=perplexity)
    with threadpool_limits(1):  # its threads wait for each other: a hundred times slower where a study is under way
        points: Array = map_.fit_transform(both)
    ends = np.cumsum([len(values) for values in kinds.values()])[:-1]
    return dict(zip(kinds, np.split(points, ends), strict=True)), f"t-SNE, perplexity {perplexity:.3g}"


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
    return literal(_cut(drawable(text), width))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
