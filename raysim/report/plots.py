"""Pictures for the report. matplotlib is imported where it is used, without pyplot and its global state."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysim.report.text import label

Curve = dict[int, float]

# Okabe and Ito 2008: told apart by people with any colour vision; dark and light alternate for grey prints.
_COLOURS = ("#000000", "#E69F00", "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)))


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


def learning_curves(
    points: Mapping[tuple[tuple[str, str], ...], Sequence[Curve]], title: str, axis: str, path: Path
) -> None:
    """Draws a line a grid point, the mean over its seeds, in a band of one standard deviation.

    Args:
        points: grid point as (key, value) pairs -> a curve a seed.
        title: above the picture.
        axis: what the vertical axis shows.
        path: the PNG; replaced as a whole.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    outside = len(points) > 4
    figure = Figure(figsize=(10 if outside else 7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for i, (point, curves) in enumerate(points.items()):
        rounds, means, deviations = band(curves)
        colour = _COLOURS[i % len(_COLOURS)]
        axes.plot(
            rounds,
            means,
            label=_literal(_name(point, title)),
            color=colour,
            linestyle=_DASHES[i % len(_DASHES)],
            marker=_MARKERS[i % len(_MARKERS)],
            markevery=(i % 3, max(1, len(rounds) // 8)),
            markersize=5,
            linewidth=1.6,
        )
        low = [m - d for m, d in zip(means, deviations, strict=True)]
        high = [m + d for m, d in zip(means, deviations, strict=True)]
        axes.fill_between(rounds, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set(xlabel="round", ylabel=axis, title=_literal(title))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    where: dict[str, Any] = {"loc": "outside right upper"} if outside else {"loc": "lower right"}
    (figure if outside else axes).legend(**where, fontsize="small", handlelength=3.5, framealpha=0.8)
    aside = path.with_name(f".{path.name}")
    FigureCanvasAgg(figure).print_png(aside, metadata={"Software": None})
    aside.replace(path)


def _name(point: tuple[tuple[str, str], ...], title: str) -> str:
    """The value alone where the grid has one key."""
    return title if not point else point[0][1] if len(point) == 1 else label(dict(point))


def _literal(text: str) -> str:
    """Keeps a label as it is: `$` would start mathematics, and a leading `_` would leave it out of the legend."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")
