"""Tables of paired comparisons: differences, their intervals, tests, and words that say no more than these do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raysim.report.reading.pairs import Compared, Pair
from raysim.report.statistics import (
    ALPHA,
    LEAST_T,
    LEAST_WILCOXON,
    Interval,
    holm,
    mcnemar,
    paired_t,
    percentiles,
    t_interval,
    wilcoxon,
)
from raysim.report.tables.tables import Table, split_name
from raysim.report.text import counted

Test = Literal["t", "wilcoxon", "mcnemar"]
NAMES: dict[Test, str] = {"t": "paired t", "wilcoxon": "Wilcoxon", "mcnemar": "McNemar"}
LEGEND = (
    "Differences are means over the seeds that both arms have. Over seeds: ± t, which says how they would vary with "
    "other seeds on these samples. Over samples: 2.5 to 97.5 % of its values on resampled test samples (the same "
    "draws under all arms and seeds), which says nothing of other seeds. p: paired t or Wilcoxon's signed ranks over "
    f"seeds, from {LEAST_T} and {LEAST_WILCOXON} seeds on (with fewer Wilcoxon's is never below {ALPHA}), or McNemar's "
    "exact test over samples; of several seeds, which share their samples, the median value in either direction, times "
    "S / (S // 2 + 1) (Rüger 1978). Holm: p corrected for all of the table; arms are told apart where that is below "
    f"{ALPHA}. 'On these samples': with the networks of these seeds, other seeds were not asked."
)
_NONE = "-"


@dataclass(frozen=True)
class Comparison:
    """A scenario's table of pairs, and what is to be said of it, a line each."""

    table: Table
    notes: tuple[str, ...] = ()


def comparison(scenario: str, found: Compared, wish: Test | None = None) -> Comparison:
    """A line a pair.

    Args:
        scenario: its name.
        found: its pairs; there may be none, and then there are notes.
        wish: the test; where None paired t from three seeds on, else McNemar's where predictions allow.
    """
    tested = [_tested(pair, wish) for pair in found.pairs]
    corrected = holm([p for _, p in tested])
    keys = tuple(dict.fromkeys(k for pair in found.pairs for k, _ in pair.where))
    others = dict.fromkeys(pair.against for pair in found.pairs)
    several = len(others) > 1
    lines = tuple(
        (
            *(dict(pair.where).get(k, "") for k in keys),
            pair.arm,
            *[pair.against] * several,
            *_line(pair, name, p, adjusted),
        )
        for pair, (name, p), adjusted in zip(found.pairs, tested, corrected, strict=True)
    )
    labels = len(keys) + 1 + several
    names = ("seeds", "difference", "over seeds", "over samples", "test", "p", "Holm", "says")
    to = "" if several or not others else f" to {next(iter(others))}"
    return Comparison(
        Table(
            title=f"{scenario}: differences{to}",
            caption=f"{found.metric}, {split_name(found.split)}, paired by seed; 95 % intervals",
            header=(*keys, "arm", *["against"] * several, *names),
            lines=lines,
            best=frozenset(),
            labels=labels,
            first=labels,
        ),
        (*found.notes, *_unequal(found.pairs)),
    )


def _line(pair: Pair, test: str, p: float | None, adjusted: float | None) -> tuple[str, ...]:
    samples = None if pair.replicates is None else percentiles(pair.replicates)
    return (
        str(len(pair.seeds)), f"{_mean(pair):+.3f}", _interval(t_interval(pair.differences)), _interval(samples),
        test or _NONE, _p(p), _p(adjusted), says(pair, test, adjusted),
    )  # fmt: skip


def says(pair: Pair, test: str, p: float | None) -> str:
    """What a comparison allows to be said, in a few words: `above`, `below on these samples`.

    Args:
        pair: the two arms.
        test: its name, empty where none was made.
        p: its value, corrected.
    """
    if p is None or p >= ALPHA:
        return f"not distinguishable with {counted(len(pair.seeds), 'seed')}"
    where = "" if test != NAMES["mcnemar"] else " on these samples"
    return ("above" if _mean(pair) > 0 else "below") + where


def _tested(pair: Pair, wish: Test | None) -> tuple[str, float | None]:
    """The test's name, empty where none is made, and its p value."""
    test: Test = wish or ("t" if len(pair.seeds) >= LEAST_T else "mcnemar")
    differences, p = pair.differences, None
    if test == "t" and len(differences) >= LEAST_T:
        p = paired_t(differences)
    elif test == "wilcoxon" and len(differences) >= LEAST_WILCOXON:
        p = wilcoxon(differences)
    elif test == "mcnemar" and pair.discordant is not None:
        p = mcnemar(pair.discordant)
    return ("" if p is None else NAMES[test]), p


def _unequal(pairs: Sequence[Pair]) -> list[str]:
    """Which pairs have seeds that only one of them has."""
    return [
        f"{p.arm} and {p.against}: {counted(p.others, 'seed')} that only one of them has "
        f"{'is' if p.others == 1 else 'are'} left out"
        for p in pairs
        if p.others
    ]  # fmt: skip


def _mean(pair: Pair) -> float:
    return sum(pair.differences) / len(pair.differences)


def _interval(bounds: Interval | None) -> str:
    return _NONE if bounds is None else f"{bounds[0]:z.3f} to {bounds[1]:z.3f}"


def _p(value: float | None) -> str:
    return _NONE if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
