"""Which samples each client has, as in FedRecon's figure 7."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raysim.report.figures.fonts import cover
from raysim.report.figures.plots import Array, entitle, save, short

_MOST_NAMES = 30
_MOST_CELLS = 300


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
