"""Curves of what generators make: quality by round, and by how much is given."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from raysim.report.generation import DISTANCES, MAIN, NAMES, Figures, by_given, conditional
from raysim.report.plots import Curve, Panel, curves

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
    """Draws the conditional mean that stands for all, and the distances that were measured, a panel each.

    Args:
        trials: grid point -> a trial a seed.
        title: above the picture.
        path: the PNG; replaced as a whole.

    Returns:
        Whether there was anything to draw: a figure in two rounds.
    """
    found = {name: _points(trials, name) for name in MAIN}
    main = [name for name in MAIN if name not in DISTANCES and found[name]][:1]
    names = [*main, *(name for name in DISTANCES if found[name])]
    if names:
        panels = [Panel(found[name], f"{NAMES[name]}, mean over pairs") for name in names]
        curves(panels, f"{title}: generation by round", "round", path)
    return bool(names)


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


def _points(trials: Mapping[Point, Sequence[Measured]], name: str) -> dict[Point, list[Curve]]:
    return _long({p: [_curve({r: conditional(f, name) for r, f in m.items()}) for m in ms] for p, ms in trials.items()})


def _curve(values: Mapping[int, float | None]) -> Curve:
    return {place: value for place, value in values.items() if value is not None}


def _long(points: Mapping[Point, Sequence[Curve]]) -> dict[Point, list[Curve]]:
    """The grid points whose seeds all have a curve; none where no curve has two places."""
    whole = {p: list(several) for p, several in points.items() if several and all(several)}
    return whole if any(len(c) > 1 for several in whole.values() for c in several) else {}
