"""What a picture shows, whatever draws it: lines, strips of clients, subsets, bars."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """An arm's points (x, y) with the ends of a deviation; `place` is the arm's among all of the scenario."""

    name: str
    place: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Pane:
    """One pair of axes; `behind` are shown faintly, to compare with."""

    title: str
    series: tuple[Series, ...]
    behind: tuple[Series, ...] = ()
    y: str = ""


@dataclass(frozen=True)
class Lines:
    """Panes side by side: curves, or where a series has one point, a cloud of points.

    Attributes:
        title: what it is.
        x, y: what the axes show; a pane's own `y` comes first.
        panes: at least one.
        whole: x counts.
        bytes: x is an amount of bytes.
        log: x is logarithmic.
        caption: what points and bands are.
    """

    title: str
    x: str
    y: str
    panes: tuple[Pane, ...]
    whole: bool = False
    bytes: bool = False
    log: bool = False
    caption: str = ""


@dataclass(frozen=True)
class Strip:
    """An arm's clients: their scores from the worst on, how many are the worst tenth, and the mean."""

    name: str
    place: int
    scores: tuple[float, ...]
    worst: int
    mean: float


@dataclass(frozen=True)
class Strips:
    """A line of dots an arm."""

    title: str
    x: str
    strips: tuple[Strip, ...]
    low: bool = False
    caption: str = "a dot a client and seed; open: the worst tenth; line: the mean"


@dataclass(frozen=True)
class Subsets:
    """Scores by the modalities that are given: (arm's name and place, a mean a subset, None where there is none)."""

    title: str
    y: str
    modalities: tuple[str, ...]
    subsets: tuple[frozenset[str], ...]
    arms: tuple[tuple[str, int, tuple[float | None, ...]], ...]
    caption: str = "means over seeds; a filled dot below: the modality is given"


@dataclass(frozen=True)
class Bar:
    """An arm's mean difference to another over seeds that both have, and its interval where it has one."""

    name: str
    place: int
    mean: float
    interval: tuple[float, float] | None
    seeds: int


@dataclass(frozen=True)
class Bars:
    """Differences between arms, in panes."""

    title: str
    x: str
    panes: tuple[tuple[str, tuple[Bar, ...]], ...]
    caption: str = ""


@dataclass(frozen=True)
class Cost:
    """What a trial of each arm that says it costs, mean over trials."""

    name: str
    values: Mapping[str, float]
    show: Callable[[float], str]


def facets(lines: Lines, most: int) -> Lines:
    """A pane a series, before the others faintly, where one pane of curves would have more than `most`."""
    alike = len({pane.y for pane in lines.panes}) < len(lines.panes)
    if lines.bytes or alike or all(len(p.series) <= most for p in lines.panes):
        return lines
    panes = tuple(
        Pane(" · ".join(filter(None, (s.name, pane.title))), (s,), tuple(o for o in pane.series if o is not s), pane.y)
        for pane in lines.panes[:1]
        for s in pane.series
    )
    return Lines(
        lines.title, lines.x, lines.y, panes, lines.whole, lines.bytes, lines.log,
        f"{lines.caption}; an arm a picture, the others behind it",
    )  # fmt: skip
