"""Tables of what generators make: a line an arm, and pair by pair."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from raysim.report.events import TrialInfo
from raysim.report.reading.generation import LOW, MAIN, NAMES, Figures, heading, modalities, numbers, ordered
from raysim.report.reading.results import GENERATION, Results, made
from raysim.report.tables.fills import Point
from raysim.report.tables.marks import Cell, contests, marks, named
from raysim.report.tables.tables import Key, Table, aggregate
from raysim.report.text import number

LEGEND = (
    "Means are over targets of the mean over sources, one modality given and another made; given: how many, the mean "
    "over such sets of the mean over the targets outside. self: made of itself. prior: made of nothing. joint: all "
    "judges agree on one draw of the prior. colours: the share of images made of 'this bird is completely C' in which "
    "C is one of the two most frequent of eight colours. Fréchet (features of our own judges) and FID (features of "
    "Inception) count self pairs, as published. Top-k: shares of queries; ranks count from 0."
)
_REBUILT = ("coherence", "uar", "reconstruction", "cosine")
_MOST_MODALITIES = 6
_NONE = "-"


def generation_tables(results: Results, scenario: str) -> list[Table]:
    """The means of each arm, then what each pair has of the figure that stands for all; none where nothing was made."""
    found = generation_table(results, scenario), pair_table(results, scenario)
    return [table for table in found if table is not None]


def generation_table(results: Results, scenario: str) -> Table | None:
    """A line a grid point, a column a mean; a column that nobody has is left out.

    All means are in summary.csv; here self pairs have what says how well a modality is rebuilt, and several given
    modalities their coherence.
    """
    cells = _cells(aggregate(results.generated), scenario)
    points = _points(results, scenario)
    if not cells or not points:
        return None
    keys = _keys(results, scenario)
    names = ordered(name for _, name in cells if _tabled(name))
    columns = [[cells.get((p, name)) for p in points] for name in names]
    digits = [_digits(column) for column in columns]
    seeds = [_seeds(results, scenario, p) for p in points]
    unlike = len(set(seeds)) > 1
    first = len(keys) + unlike
    contest = contests(results, scenario)
    best, second, word = marks(
        columns, [[contest[p] for p in points]] * len(names), list(map(_low, names)), first, digits
    )
    return Table(
        title=f"{scenario}: generation",
        caption=_caption(results, scenario, "" if unlike else f"{seeds[0]} ", one=max(seeds) == 1),
        header=(*keys, *["seeds"] * unlike, *map(heading, names)),
        lines=tuple(
            (
                *(named(p, keys, scenario, bound=contest[p] is None) if keys else ()),
                *[str(seeds[i])] * unlike,
                *(_shown(column[i], places) for column, places in zip(columns, digits, strict=True)),
            )
            for i, p in enumerate(points)
        ),
        best=best,
        labels=len(keys),
        first=first,
        second=second,
        word=word,
    )


def pair_table(results: Results, scenario: str) -> Table | None:
    """A line a grid point and source, a column a target, of the first figure of `MAIN` that there is, but for colours.

    None where there are more than six modalities, or one.
    """
    all_ = [figures for _, figures, _ in _measured(results, scenario)]
    names = list(dict.fromkeys(m for figures in all_ for m in modalities(figures)))
    cells = _cells(aggregate(results.pairs), scenario)
    several = [f for f in MAIN if f != "colours"]  # which is of one pair
    figure = next((f for f in several if any(s.single for figures in all_ for s in numbers(figures, f))), None)
    if figure is None or not 1 < len(names) <= _MOST_MODALITIES:
        return None
    keys, points = _keys(results, scenario), _points(results, scenario)
    grid = {(p, s): [cells.get((p, f"{figure} {s}>{t}")) for t in names] for p in points for s in names}
    grid = {place: line for place, line in grid.items() if any(line)}
    digits = _digits(cell for line in grid.values() for cell in line)
    seeds = {_seeds(results, scenario, p) for p in points}
    return Table(
        title=f"{scenario}: generation, {NAMES[figure]} by pair",
        caption=_caption(results, scenario, f"{max(seeds)} " if len(seeds) == 1 else "", one=seeds == {1})
        + "; a line a source, a column a target",
        header=(*keys, "given", *names),
        lines=tuple(
            (*(dict(p).get(k, "") for k in keys), source, *(_shown(cell, digits) for cell in line))
            for (p, source), line in grid.items()
        ),
        best=frozenset(),
        labels=len(keys) + 1,
        first=len(keys) + 1,
    )


def judges_line(results: Results, scenario: str) -> str:
    """`Judges' accuracy on real test samples: m0 0.941, m1 0.930 to 0.938`; empty where no trial says it."""
    found: dict[str, list[float]] = {}
    for _, _, summary in _measured(results, scenario):
        judges: Mapping[str, float] = summary.get("judges") or {}
        for modality, accuracy in judges.items():
            found.setdefault(modality, []).append(accuracy)
    shown = [f"{m} {' to '.join(dict.fromkeys((number(min(v)), number(max(v)))))}" for m, v in found.items()]
    return f"Judges' accuracy on real test samples: {', '.join(shown)}" if shown else ""


def _tabled(name: str) -> bool:
    """Whether a mean is shown, or is one too many."""
    figure, _, word = name.partition(" ")
    if figure.startswith("colours_"):
        return False
    return {"self": figure in _REBUILT, "from": figure == "coherence"}.get(word.partition(" ")[0], True)


def _measured(results: Results, scenario: str) -> Iterator[tuple[TrialInfo, Figures, Mapping[str, Any]]]:
    """The trials of a scenario that were measured, with their figures and all that is said of them."""
    for trial, summary in results.ordered:
        if trial.scenario == scenario and (figures := made(summary)):
            yield trial, figures, summary[GENERATION]


def _keys(results: Results, scenario: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(k for t in results.trials if t.scenario == scenario for k in t.grid))


def _points(results: Results, scenario: str) -> list[Point]:
    """The grid points that were measured, in the order of the study."""
    return list(dict.fromkeys(tuple(t.grid.items()) for t, _, _ in _measured(results, scenario)))


def _seeds(results: Results, scenario: str, point: Point) -> int:
    return sum(tuple(t.grid.items()) == point for t, _, _ in _measured(results, scenario))


def _cells(cells: Mapping[Key, Cell], scenario: str) -> dict[tuple[Point, str], Cell]:
    """(grid point, name) -> the figure over seeds."""
    return {(k.point, k.metric): cell for k, cell in cells.items() if k.scenario == scenario}


def _caption(results: Results, scenario: str, seeds: str, *, one: bool) -> str:
    rounds = sorted({said["round"] for _, _, said in _measured(results, scenario) if said.get("round") is not None})
    over = "one seed" if one else f"mean ± sample standard deviation over {seeds}seeds"
    when = f", round{'s' * (len(rounds) > 1)} {', '.join(map(str, rounds))}" if rounds else ""
    return f"test samples{when}, {over}"


def _shown(cell: Cell | None, digits: int) -> str:
    return _NONE if cell is None else cell.shown(digits)


def _digits(column: Iterable[Cell | None]) -> int:
    """As many decimals as a column's largest figure leaves room for."""
    most = max((abs(c.mean) for c in column if c is not None and c.mean is not None), default=0.0)
    return 3 if most < 10 else 2 if most < 100 else 1


def _low(name: str) -> bool | None:
    """Whether less of a figure is better; None where nobody knows."""
    figure = name.partition(" ")[0].removesuffix("_unmapped")
    return figure in LOW if figure in NAMES else None
