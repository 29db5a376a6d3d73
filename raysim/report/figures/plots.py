"""Pictures for the report. matplotlib is imported where it is used, without pyplot and its global state."""

import json
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
from raysim.report.text import label

Array = NDArray[Any]
Curve = dict[int, float]
Points = Mapping[tuple[tuple[str, str], ...], Sequence[Curve]]

# Okabe and Ito 2008: told apart by people with any colour vision; dark and light alternate for grey prints.
_COLOURS = ("#000000", "#E69F00", "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
# Real embeddings stand above what is filled in, which is wider: both show where they agree.
_KINDS: tuple[dict[str, Any], ...] = (
    {"marker": "o", "facecolors": "black", "edgecolors": "none", "s": 7, "zorder": 3},
    {"marker": "^", "facecolors": "none", "edgecolors": "#D55E00", "s": 34, "linewidths": 0.8},
)
_MOST_POINTS = 500
_MOST_NAMES = 30
_MOST_CELLS = 300


def read_curve(path: Path, split: str, metric: str) -> Curve:
    """Round -> value from a metrics.jsonl, for the rounds where it is defined."""
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    values = {r["round"]: r.get(split, {}).get(metric) for r in records}
    return {number: value for number, value in values.items() if value is not None}


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

    Args:
        points: grid point as (key, value) pairs -> a curve a seed.
        title: above the picture.
        axis: what the vertical axis shows.
        path: the PNG; replaced as a whole.
    """
    curves([Panel(points, axis)], title, "round", path)


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
    colour = _COLOURS[place % len(_COLOURS)]
    (line,) = axes.plot(
        rounds,
        means,
        label=name,
        color=colour,
        linestyle=_DASHES[place % len(_DASHES)],
        marker=_MARKERS[place % len(_MARKERS)],
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


def feature_maps(arrays: Mapping[str, Array], title: str, path: Path) -> None:
    """Draws real embeddings and what a method puts in their place, a panel a modality, in two dimensions by t-SNE.

    As FIN's figure 3. Both kinds are embedded together; rows that the data itself lacks are left out.

    Args:
        arrays: `<modality>` (N, D) and `<modality>.filled` (N, D); others are ignored.
        title: above the picture.
        path: the PNG; replaced as a whole.

    Raises:
        ValueError: there are no such arrays.
    """
    from matplotlib.figure import Figure

    modalities = [name for name in arrays if f"{name}.filled" in arrays]
    if not modalities:
        raise ValueError("holds no embeddings with what stands in for them")
    cover([title, *modalities])
    columns = min(len(modalities), 3)
    rows = -(-len(modalities) // columns)
    figure = Figure(figsize=(1 + 3.6 * columns, 0.9 + 3.4 * rows), layout="constrained")
    for place, modality in enumerate(modalities):
        axes = figure.add_subplot(rows, columns, place + 1)
        kinds = {"real": arrays[modality], "filled in": arrays[f"{modality}.filled"]}
        there = np.isfinite(kinds["real"]).all(1) & np.isfinite(kinds["filled in"]).all(1) & kinds["real"].any(1)
        several = {kind: values[there][:_MOST_POINTS] for kind, values in kinds.items()}
        for (kind, points), style in zip(_embedded(several).items(), _KINDS, strict=True):
            axes.scatter(points[:, 0], points[:, 1], label=kind, **style)
        axes.set(title=literal(f"{_cut(modality, 30)} (n = {len(several['real'])})"), xticks=[], yticks=[])
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    entitle(figure, title)
    save(figure, path)


def class_counts(clients: Sequence[str], classes: Sequence[str], counts: Array, title: str, path: Path) -> None:
    """Draws how many samples of each class each client has, as FedRecon's figure 7.

    Args:
        clients: their names, along the horizontal axis.
        classes: their names, along the vertical axis.
        counts: (clients, classes).
        title: above the picture.
        path: the PNG; replaced as a whole.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    cover([title, *clients, *classes])
    size = min(2.5 + 0.3 * len(clients), 12), min(1.8 + 0.28 * len(classes), 12)
    figure = Figure(figsize=(max(size[0], 5), max(size[1], 2.5)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(counts.T, cmap="Greys", aspect="auto", vmin=0, interpolation="nearest")
    for axis, names in ((axes.xaxis, clients), (axes.yaxis, classes)):
        if len(names) <= _MOST_NAMES:
            axis.set_ticks(range(len(names)), [short(n, 30) for n in names])
        else:
            axis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="client", ylabel="class")
    if counts.size <= _MOST_CELLS:
        dark = counts.max(initial=0) / 2
        for (client, class_), count in np.ndenumerate(counts):
            colour = "white" if count > dark else "black"
            axes.text(client, class_, str(count), ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, ax=axes, label="samples")
    entitle(figure, title)
    save(figure, path)


def _embedded(kinds: Mapping[str, Array]) -> dict[str, Array]:
    """Each kind's rows (n, D) in two dimensions, (n, 2); where there are too few, or all are equal, at 0."""
    both = np.concatenate(list(kinds.values()))
    if len(both) < 4 or not np.ptp(both, axis=0).any():
        return {kind: np.zeros((len(values), 2)) for kind, values in kinds.items()}
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if both.shape[1] < 2:
        both = np.pad(both, ((0, 0), (0, 1)))
    map_: Any = TSNE(init="pca", random_state=0, perplexity=min(30, (len(both) - 1) / 3))
    with threadpool_limits(1):  # its threads wait for each other: a hundred times slower where a study is under way
        points: Array = map_.fit_transform(both)
    ends = np.cumsum([len(values) for values in kinds.values()])[:-1]
    return dict(zip(kinds, np.split(points, ends), strict=True))


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
