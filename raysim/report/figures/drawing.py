"""Which pictures a study has, and where they lie in its folder."""

from collections.abc import Sequence
from pathlib import Path

from raysim.report.events import TrialInfo
from raysim.report.figures.generation import Measured, Point, coherence_by_given, quality_by_round, read_measured
from raysim.report.figures.grids import draw_grids, due
from raysim.report.figures.plots import Curve, learning_curves, read_curve

CURVES = "learning_curves.png"
MADE, OVERVIEW = "generation.npz", "generation/overview.png"
"""In a trial's folder: what its generator made, and the picture of all of it, beside those of the pairs."""
_QUALITY, _GIVEN = "generation_by_round.png", "coherence_by_given.png"


def curves_there(out: Path, scenario: str) -> list[tuple[str, Path]]:
    """Title and path of the pictures of what a scenario's generators make, by round and by what is given."""
    titles = {_QUALITY: f"Generation by round, {scenario}", _GIVEN: f"Coherence by what is given, {scenario}"}
    return [(title, out / scenario / name) for name, title in titles.items() if (out / scenario / name).exists()]


def grids_title(trial: str) -> str:
    """What the overview of a trial shows."""
    return f"Made samples, {trial}"


def draw(out: Path, scenario: str, trials: Sequence[TrialInfo]) -> None:
    """Draws a scenario's curves, and the grids of these trials that are not there yet or older than their data.

    Learning curves are of the first trial's metric, and of the trials that have it.
    """
    metric = trials[0].metric
    folders = [out / scenario / trial.name for trial in trials]
    points: list[Point] = [tuple(trial.grid.items()) for trial in trials]
    learnt: dict[Point, list[Curve]] = {}
    measured: dict[Point, list[Measured]] = {}
    for trial, folder, point in zip(trials, folders, points, strict=True):
        path = folder / "metrics.jsonl"
        if path.exists() and trial.metric == metric and (curve := read_curve(path, "validation", metric)):
            learnt.setdefault(point, []).append(curve)
        if path.exists() and (rounds := read_measured(path)):
            measured.setdefault(point, []).append(rounds)
    if learnt:
        learning_curves(learnt, scenario, f"validation {metric}", out / scenario / CURVES)
    last = {point: [rounds[max(rounds)] for rounds in several] for point, several in measured.items()}
    quality_by_round(measured, scenario, out / scenario / _QUALITY)
    coherence_by_given(last, scenario, out / scenario / _GIVEN)
    for trial, folder in zip(trials, folders, strict=True):
        source, path = folder / MADE, folder / OVERVIEW
        if source.exists() and due(source, path):
            draw_grids(source, grids_title(trial.name), path)
