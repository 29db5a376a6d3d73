"""Statistics of paired differences: intervals, tests and a correction for many of them. Pure numpy and scipy.

Shapes: S seeds, N test samples, B replicates.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Of intervals."""
ALPHA = 0.05
"""Below it, after correction, two arms are told apart."""
REPLICATES = 2000
LEAST_T, LEAST_WILCOXON = 3, 6
"""Seeds from which on a test over seeds is made. With five all signs alike still give Wilcoxon's p of 2/32 = 0.0625."""
_CELLS = 4_000_000
_EXACT = 50

Interval = tuple[float, float]


def t_interval(differences: Sequence[float]) -> Interval | None:
    """The mean ± t(S - 1) s / √S; None for fewer than two."""
    from scipy.special import stdtrit

    n = len(differences)
    if n < 2:
        return None
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * float(np.std(differences, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(differences))
    return mean - half, mean + half


def paired_t(differences: Sequence[float]) -> float | None:
    """The two-sided p value of a paired t test; None where it is not defined: all differences are alike."""
    from scipy.special import stdtr

    n, spread = len(differences), float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    if spread <= 1e-12:
        return None
    return 2 * float(stdtr(n - 1, -abs(float(np.mean(differences))) * math.sqrt(n) / spread))


def wilcoxon(differences: Sequence[float]) -> float | None:
    """The two-sided p value of Wilcoxon's signed-rank test, without zeros, ties sharing ranks; None where all are 0.

    Exact: how often signs drawn by a coin give a rank sum at least as far from its mean. Up to 50 differences.
    """
    known = [d for d in (round(d, 12) for d in differences) if d]  # what rounding made unlike is alike
    if not known or len(known) > _EXACT:
        return None
    ranks = _ranks(np.abs(known))  # doubled, so that shared ranks are whole numbers
    sums = np.ones(1)  # ways to a sum
    for rank in ranks.tolist():
        longer = np.zeros(len(sums) + rank)
        longer[: len(sums)] += sums
        longer[rank:] += sums
        sums = longer
    positive, total = int(ranks[np.array(known) > 0].sum()), int(ranks.sum())
    least = min(positive, total - positive)
    return min(1.0, 2 * float(sums[: least + 1].sum() / sums.sum()))


def _ranks(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Twice the ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (2 * np.cumsum(counts) - counts + 1)[place]


def mcnemar(discordant: Sequence[tuple[int, int]]) -> float:
    """McNemar's exact two-sided p value over samples; of several seeds one that holds however these depend.

    The samples are the same under all seeds, so their tests are not independent and nothing is pooled. In either
    direction the median of the seeds' one-sided values counts, the k-th of S with k = S // 2 + 1, times S / k (Rüger,
    "Das maximale Signifikanzniveau des Tests", Metrika 25, 1978); the p value is twice the smaller one. For one seed
    that is the exact binomial test.

    Args:
        discordant: for each seed how many samples the first arm alone has right, and the second alone.
    """
    either = [_combined([_at_least(a, b) for a, b in pairs]) for pairs in (discordant, [(b, a) for a, b in discordant])]
    return min(1.0, 2 * min(either))


def _at_least(more: int, less: int) -> float:
    """The probability of so many heads or more among both."""
    from scipy.special import bdtrc

    return float(bdtrc(more - 1, more + less, 0.5)) if more else 1.0


def _combined(values: Sequence[float]) -> float:
    k = len(values) // 2 + 1
    return sorted(values)[k - 1] * len(values) / k


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p values of a family (1979); those that are None are none of it."""
    known = sorted((p, i) for i, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = highest
    return adjusted


def percentiles(replicates: NDArray[np.floating]) -> Interval | None:
    """The bounds between which 95 % of some replicates (B,) are; None where any is undefined."""
    if not len(replicates) or not np.isfinite(replicates).all():
        return None
    low, high = np.quantile(replicates, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)


def resamples(rows: int, times: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Draws of N samples out of N with replacement, (B', N) at a time, `times` in all."""
    step = max(1, _CELLS // max(rows, 1))
    for start in range(0, times, step):
        yield rng.integers(rows, size=(min(step, times - start), rows))


def resampled_means(values: NDArray[np.floating], times: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The means of several columns (N, T) on the same resamples: (B, T)."""
    rows = len(values)
    found: list[NDArray[np.float64]] = []
    for draw in resamples(rows, times, rng):
        cells = (draw + rows * np.arange(len(draw))[:, None]).ravel()
        counts = np.bincount(cells, minlength=len(draw) * rows).reshape(len(draw), rows)
        found.append(counts @ values / rows)
    return np.concatenate(found)
