"""Tables of paired comparisons: differences, their intervals, tests, and words that say no more than these do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from raysim.report.reading.pairs import ACCURACY, Compared, Pair
from raysim.report.statistics import (
    ALPHA,
    LEAST_T,
    LEAST_WILCOXON,
    Interval,
    holm,
    mcnemar,
    paired_t,
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
    f"seeds, from {LEAST_T} and {LEAST_WILCOXON} seeds on (with fewer Wilcoxon's is never below {ALPHA}), or, of "
    "accuracy, McNemar's exact test over samples; of several seeds, which share their samples, the median value in "
    "either direction, times S / (S // 2 + 1) (Rüger 1978). Holm: p corrected for all of the table; arms are told "
    f"apart where that is below {ALPHA}. 'On these samples': with the networks of these seeds, other seeds were not "
    f"asked. With fewer than {LEAST_T} seeds, and no test of single samples, the words say whether the interval over "
    "samples includes zero, with the networks of these seeds; that is no test, and corrected for nothing."
)
_NONE = "-"


class Untestable(ValueError):
    """The test that is asked for cannot be made of such figures; one line."""


@dataclass(frozen=True)
class Comparison:
    """A scenario's table of pairs, what is to be said of it, a line each, and the pairs themselves."""

    table: Table
    notes: tuple[str, ...] = ()
    compared: Compared | None = None


class _Tested(NamedTuple):
    """The test's name and its p value; or why none was made, and the name is empty."""

    name: str
    p: float | None
    reason: str = ""


def comparison(scenario: str, found: Compared, wish: Test | None = None) -> Comparison:
    """A line a pair.

    Args:
        scenario: its name.
        found: its pairs; there may be none, and then there are notes.
        wish: the test; where None paired t from three seeds on, else McNemar's where predictions allow.

    Raises:
        Untestable: McNemar's is asked for, and the metric is not accuracy.
    """
    if wish == "mcnemar" and found.metric != ACCURACY:
        raise Untestable(
            f"{scenario}: McNemar's test counts right predictions, so it is of {ACCURACY}, not of {found.metric}; "
            f"add --metric {ACCURACY}, or use --test t or wilcoxon"
        )
    tested = [_tested(pair, wish) for pair in found.pairs]
    corrected = holm([test.p for test in tested])
    keys = tuple(dict.fromkeys(k for pair in found.pairs for k, _ in pair.where))
    others = dict.fromkeys(pair.against for pair in found.pairs)
    several = len(others) > 1
    lines = tuple(
        (
            *(dict(pair.where).get(k, "") for k in keys),
            pair.arm,
            *[pair.against] * several,
            *_line(pair, test, adjusted),
        )
        for pair, test, adjusted in zip(found.pairs, tested, corrected, strict=True)
    )
    labels = len(keys) + 1 + several
    names = ("says", "seeds", "difference", "over seeds", "over samples", "test", "p", "Holm")
    to = "" if several or not others else f" to {next(iter(others))}"
    return Comparison(
        Table(
            title=f"{scenario}: differences{to}",
            caption=f"{split_name(found.split)} {found.metric}, paired by seed; 95 % intervals",
            header=(*keys, "arm", *["against"] * several, *names),
            lines=lines,
            best=frozenset(),
            labels=labels,
            first=labels,
        ),
        (*found.notes, *_unequal(found.pairs)),
        found,
    )


def _line(pair: Pair, test: _Tested, adjusted: float | None) -> tuple[str, ...]:
    return (
        _says(pair, test, adjusted), str(len(pair.seeds)), f"{pair.mean:+.3f}",
        _interval(pair.over_seeds), _interval(pair.over_samples), test.name or _NONE, _p(test.p),
        _p(adjusted),
    )  # fmt: skip


def _says(pair: Pair, test: _Tested, p: float | None) -> str:
    """What a comparison allows to be said, by the p value that is corrected: `below on these samples`."""
    if p is not None and p >= ALPHA:
        return f"not distinguishable with {counted(len(pair.seeds), 'seed')}"
    if p is not None:
        return ("above" if pair.mean > 0 else "below") + " on these samples" * (test.name == NAMES["mcnemar"])
    return f"not tested: {test.reason}"


def _tested(pair: Pair, wish: Test | None) -> _Tested:
    """The test that is asked for, or that so many seeds allow; else what the interval over samples says."""
    differences, seeds = pair.differences, len(pair.seeds)
    if wish == "wilcoxon":
        if seeds < LEAST_WILCOXON:
            return _Tested("", None, f"Wilcoxon needs {LEAST_WILCOXON} seeds")
        return _or_why(NAMES[wish], wilcoxon(differences), "all differences are zero, or there are more than 50")
    if wish == "t" or (wish is None and seeds >= LEAST_T):
        if seeds < LEAST_T:
            return _Tested("", None, f"paired t needs {LEAST_T} seeds")
        return _or_why(NAMES["t"], paired_t(differences), "all differences are alike")
    if pair.discordant is not None:
        return _Tested(NAMES["mcnemar"], mcnemar(pair.discordant))
    samples = pair.over_samples
    if wish is None and samples is not None:
        holds = "includes" if samples[0] <= 0 <= samples[1] else "excludes"
        return _Tested("", None, f"{counted(seeds, 'seed')}; the interval over samples {holds} zero")
    if wish is None:
        return _Tested("", None, f"a test over seeds needs {LEAST_T}")
    return _Tested("", None, "no predictions" if pair.replicates is None else "samples have several labels")


def _or_why(name: str, p: float | None, reason: str) -> _Tested:
    return _Tested("", None, reason) if p is None else _Tested(name, p)


def _unequal(pairs: Sequence[Pair]) -> list[str]:
    """Which pairs have seeds that only one of them has."""
    return [
        f"{p.arm} and {p.against}: {counted(p.others, 'seed')} that only one of them has "
        f"{'is' if p.others == 1 else 'are'} left out"
        for p in pairs
        if p.others
    ]  # fmt: skip


def _interval(bounds: Interval | None) -> str:
    return _NONE if bounds is None else f"{bounds[0]:z.3f} to {bounds[1]:z.3f}"


def _p(value: float | None) -> str:
    return _NONE if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
