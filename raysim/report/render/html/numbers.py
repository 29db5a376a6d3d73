"""The numbers behind pictures as tables, for who does not see them."""

import statistics
from collections.abc import Iterable, Sequence

from raysim.report.figures.shown import Bars, Lines, Strips, Subsets
from raysim.report.reading.partitions import Partition
from raysim.report.tables.tables import Table
from raysim.report.text import number, size

_COLUMNS = 12
_CELLS = 3000
"""Of a partition; a larger one is not listed."""


def lines_numbers(lines: Lines) -> Table:
    """A line a series; of long curves some places, the last among them."""
    series = [(pane.title if pane.title != s.name else "", pane.y, s) for pane in lines.panes for s in pane.series]
    if lines.bytes:
        found = [(title, s.name, size(s.x[0]), _with(s.y[0], s.high[0])) for title, _, s in series]
        return _table(lines.title, ("", "arm", lines.x, lines.y), found, 2)
    places = sorted({x for _, _, s in series for x in s.x})
    every = -(-len(places) // _COLUMNS)
    shown = places[(len(places) - 1) % every :: every]
    found = [
        (" ".join(filter(None, (title, y))), s.name, *(dict(_cells(s.x, s.y, s.high)).get(x, "") for x in shown))
        for title, y, s in series
    ]
    return _table(f"{lines.title}, by {lines.x}", ("", "arm", *(f"{x:g}" for x in shown)), found, 2)


def _cells(xs: Sequence[float], ys: Sequence[float], highs: Sequence[float]) -> list[tuple[float, str]]:
    return [(x, _with(y, high)) for x, y, high in zip(xs, ys, highs, strict=True)]


def _with(value: float, high: float) -> str:
    """`0.625 ± 0.177`."""
    return number(value) if high == value else f"{number(value)} ± {number(high - value)}"


def strips_numbers(several: Sequence[Strips]) -> Table:
    """A line an arm: the clients' mean, that of the worst tenth, the median, the worst and the best."""
    found: list[tuple[str, ...]] = []
    for strips in several:
        for strip in strips.strips:
            worst, scores = strip.scores[: strip.worst], strip.scores
            figures = strip.mean, statistics.fmean(worst), statistics.median(scores), scores[0], scores[-1]
            found.append((strips.title, strip.name, str(len(scores)), *map(number, figures)))
    header = ("", "arm", "clients", "mean", "worst tenth", "median", "worst", "best")
    return _table(several[0].x, header, found, 2)


def subsets_numbers(several: Sequence[Subsets]) -> Table:
    """A line an arm and subset."""
    found = [
        (subsets.title, name, " + ".join(m for m in subsets.modalities if m in given), number(mean))
        for subsets in several
        for name, _, means in subsets.arms
        for given, mean in zip(subsets.subsets, means, strict=True)
    ]
    return _table(f"{several[0].y} by given modalities", ("", "arm", "given", several[0].y), found, 3)


def bars_numbers(bars: Bars) -> Table:
    """A line an arm and pane."""
    found = [
        (title, bar.name, f"{bar.mean:+.3f}", " to ".join(map(number, bar.interval or ())) or "-", str(bar.seeds))
        for title, several in bars.panes
        for bar in several
    ]
    return _table(bars.x, ("", "arm", "difference", "interval", "seeds"), found, 2)


def partition_numbers(partitions: Sequence[Partition]) -> Table | None:
    """A line a client and partition; None where there are too many, or classes that differ."""
    headers = {("", "client", *partition.classes, *partition.modalities) for partition in partitions}
    header = headers.pop()
    if headers or sum(len(partition.clients) for partition in partitions) * len(header) > _CELLS:
        return None
    found = [
        (p.name, name, *map(str, p.counts[i]), *(str(counts[i]) for counts in p.modalities.values()))
        for p in partitions
        for i, name in enumerate(p.clients)
    ]
    return _table("Samples by client", header, found, 2)


def _table(title: str, header: Sequence[str], lines: Iterable[tuple[str, ...]], labels: int) -> Table:
    """Without the first column where nothing stands in it."""
    found = list(lines)
    if header[0] == "" and not any(line[0] for line in found):
        return Table(title, title, tuple(header[1:]), tuple(x[1:] for x in found), frozenset(), labels - 1, labels - 1)
    return Table(title, title, tuple(header), tuple(found), frozenset(), labels, labels)
