"""Maps of features: what stands in for missing modalities beside what is there, as in FIN's figure 3."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raysim.report.figures.fonts import cover
from raysim.report.figures.looks import COLOURS
from raysim.report.figures.plots import Array, cut, entitle, literal, save, short

# Real embeddings stand above what is filled in, which is wider: both show where they agree.
_KINDS: tuple[dict[str, Any], ...] = (
    {"marker": "o", "facecolors": "black", "edgecolors": "none", "s": 7, "zorder": 3},
    {"marker": "^", "facecolors": "none", "edgecolors": "#D55E00", "s": 34, "linewidths": 0.8},
)
_MOST_POINTS = 500
_MOST_CLASSES = 20
_CLASS_MARKS = ("o", "s", "D")
"""With the colours, marks for as many classes as are named."""


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
        axes.set(title=literal(f"{cut(modality, 30)} (n = {len(several['real'])})"), xticks=[], yticks=[])
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


def _embedded(kinds: Mapping[str, Array]) -> tuple[dict[str, Array], str]:
    """Each kind's rows (n, D) in two dimensions, (n, 2), equal ones at one place, and by what; too few lie at 0."""
    rows, places = np.unique(np.concatenate(list(kinds.values())), axis=0, return_inverse=True)
    if len(rows) < 4:
        return {kind: np.zeros((len(values), 2)) for kind, values in kinds.items()}, "too few to project"
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if rows.shape[1] < 2:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    perplexity = min(30, (len(rows) - 1) / 3)
    map_: Any = TSNE(init="pca", random_state=0, perplexity=perplexity)
    with threadpool_limits(1):  # its threads wait for each other: a hundred times slower where a study is under way
        points: Array = map_.fit_transform(rows)[places]
    ends = np.cumsum([len(values) for values in kinds.values()])[:-1]
    return dict(zip(kinds, np.split(points, ends), strict=True)), f"t-SNE, perplexity {perplexity:.3g}"
