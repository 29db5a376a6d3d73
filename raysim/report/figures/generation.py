"""Curves of what generators make: quality by round, and by how much is given."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from raysim.report.figures.plots import Curve, Panel, curves
from raysim.report.reading.generation import DISTANCES, MAIN, PRIOR, Figures, by_given, heading, means

Point = tuple[tuple[str, str], ...]
Measured = Mapping[int, Figures]
"""Round -> what was measured in it."""


def read_measured(path: Path) -> dict[int, Figures]:
    """The measured rounds of a metrics.jsonl; none where it holds no other lines, or is not there."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return {r["round"]: r["generation"] for r in records if r.get("generation")}


def quality_by_round(trials: Mapping[Point, Sequence[Measured]], title: str, path: Path) -> bool:
    """Draws the conditional mean that stands for all and the distances that were measured, a panel each.

    Of generators that are given nothing the distances of what they make from the prior.

    Args:
        trials: grid point -> a trial a seed.
        title: above the picture.
        path: the PNG; replaced as a whole.

    Returns:
        Whether there was anything to draw: a figure in two rounds.
    """
    found = {key: _points(trials, key) for key in (*MAIN, *PRIOR)}
    there = [key for key in found if found[key]]
    main = [key for key in there if key in MAIN and key not in DISTANCES][:1]
    shown = [*main, *(key for key in there if key in DISTANCES)] or there
    if shown:
        curves([Panel(found[key], heading(key)) for key in shown], f"{title}: generation by round", "round", path)
    return bool(shown)


def coherence_by_given(trials: Mapping[Point, Sequence[Figures]], title: str, path: Path) -> bool:
    """Draws the mean coherence against the number of given modalities.

    Args:
        trials: grid point -> a trial's last figures, a seed each.
        title: above the picture.
        path: the PNG; replaced as a whole.

    Returns:
        Whether there was anything to draw: two numbers of given modalities.
    """
    points = {p: [_curve(by_given(figures, "coherence")) for figures in several] for p, several in trials.items()}
    points = _long(points)
    if points:
        panel = Panel(points, "coherence, mean over sets and targets")
        curves([panel], f"{title}: coherence by what is given", "modalities given", path)
    return bool(points)


def _points(trials: Mapping[Point, Sequence[Measured]], key: str) -> dict[Point, list[Curve]]:
    """One of the `means` by round."""
    return _long({p: [_curve({r: means(f).get(key) for r, f in m.items()}) for m in ms] for p, ms in trials.items()})


def _curve(values: Mapping[int, float | None]) -> Curve:
    return {place: value for place, value in values.items() if value is not None}


def _long(points: Mapping[Point, Sequence[Curve]]) -> dict[Point, list[Curve]]:
    """The grid points whose seeds all have a curve; none where no curve has two places."""
    whole = {p: list(several) for p, several in points.items() if several and all(several)}
    return whole if any(len(c) > 1 for several in whole.values() for c in several) else {}
