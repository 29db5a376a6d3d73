"""The differences between arms as bars: the pairs of a scenario's comparison, with the intervals of its table."""

from collections.abc import Mapping

from raysim.report.figures.shown import Bar, Bars
from raysim.report.reading.pairs import Compared, Pair
from raysim.report.statistics import LEAST_T, Interval
from raysim.report.tables.tables import split_name
from raysim.report.text import label

_MOST = 24
"""Pairs; a picture of more says less than their table."""


def differences(found: Compared, places: Mapping[str, int]) -> Bars | None:
    """A bar a pair, a pane for what the grid says besides the arms.

    Intervals are over seeds where there are enough to test over, else over samples where these were resampled.

    Args:
        found: the pairs.
        places: each arm's place among all of the scenario.
    """
    if not 0 < len(found.pairs) <= _MOST:
        return None
    others = list(dict.fromkeys(pair.against for pair in found.pairs))
    panes: dict[str, list[Bar]] = {}
    kinds: dict[str, None] = {}
    for pair in found.pairs:
        over, interval = _interval(pair)
        kinds |= {over: None} if interval else {}
        name = pair.arm if len(others) == 1 else f"{pair.arm}, less {pair.against}"
        bar = Bar(name, places.get(pair.arm, 0), pair.mean, interval, len(pair.seeds))
        panes.setdefault(label(dict(pair.where)), []).append(bar)
    whiskers = f"; whiskers: 95 % intervals over {' or '.join(kinds)}, as in the table" * bool(kinds)
    other = others[0] if len(others) == 1 else "the other arm"
    return Bars(
        f"Differences to {others[0]}" if len(others) == 1 else "Differences",
        f"{split_name(found.split)} {found.metric}, less that of {other}",
        tuple((title, tuple(bars)) for title, bars in panes.items()),
        f"means of the differences by seed{whiskers}",
    )


def _interval(pair: Pair) -> tuple[str, Interval | None]:
    """Over what it is, and its ends."""
    if len(pair.seeds) < LEAST_T and pair.over_samples is not None:
        return "test samples", pair.over_samples
    return "seeds", pair.over_seeds
