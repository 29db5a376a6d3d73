"""Paired statistics against scipy, published tables and counting by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from raysim.report.statistics import (
    holm,
    mcnemar,
    paired_t,
    percentiles,
    resampled_means,
    resamples,
    t_interval,
    wilcoxon,
)
from raysim.seeding import stream

DIFFERENCES = [0.02, 0.05, -0.01, 0.04]


def test_the_interval_over_seeds():
    # mean 0.025, s = sqrt(0.0021 / 3) = 0.0264575, t(3, 0.975) = 3.182446
    assert t_interval(DIFFERENCES) == pytest.approx((0.025 - 0.0421, 0.025 + 0.0421), abs=1e-4)
    assert t_interval(DIFFERENCES) == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0).confidence_interval())
    assert t_interval([0.0, 2.0]) == pytest.approx((1 - 12.7062, 1 + 12.7062), abs=1e-4)
    assert t_interval([0.5]) is None


def test_the_paired_t_test():
    a, b = [0.7, 0.75, 0.6, 0.8], [0.6, 0.7, 0.65, 0.7]
    assert paired_t(np.subtract(a, b)) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert paired_t([1.0, 2.0, 3.0]) == pytest.approx(0.07418, abs=1e-5)  # t = 2 √3, 2 degrees of freedom
    assert paired_t([0.1, 0.1, 0.1]) is None
    assert paired_t([0.1]) is None


def test_wilcoxon():
    assert wilcoxon([1, 2, 3, 4, 5, 6]) == 2 / 64
    assert wilcoxon([1, 2, 3, 4, 5]) == 2 / 32  # never under 0.05
    assert wilcoxon([-1, 2, 3, 4, 5, 6]) == 4 / 64
    assert wilcoxon([0.0, 0.0]) is None
    assert wilcoxon([0.1 + 0.2, -0.3, 0.5]) == wilcoxon([0.3, -0.3, 0.5]) == 0.75
    mixed = [0.3, -0.1, 0.7, 0.2, -0.5, 0.9, 1.1]
    assert wilcoxon(mixed) == pytest.approx(stats.wilcoxon(mixed, method="exact").pvalue)
    ties = [0.1, -0.1, 0.2, 0.2, 0.3, 0.0, 0.4]
    ranks = [1.5, 1.5, 3.5, 3.5, 5, 6]
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product([0, 1], repeat=6)]
    assert wilcoxon(ties) == pytest.approx(2 * sum(s <= 1.5 for s in sums) / 64)


def test_mcnemar_of_one_seed_is_the_exact_binomial_test():
    # 2 (C(9,0) + C(9,1)) / 2^9
    assert mcnemar([(8, 1)]) == pytest.approx(20 / 512)
    for a, b in ((3, 11), (7, 7), (25, 9), (1, 0)):
        assert mcnemar([(a, b)]) == pytest.approx(stats.binomtest(a, a + b).pvalue)
        assert mcnemar([(a, b)]) == mcnemar([(b, a)])
    assert mcnemar([(0, 0)]) == 1.0


def test_mcnemar_of_several_seeds_asks_for_most_of_them():
    one = 10 / 512  # one-sided, 8 against 1
    assert mcnemar([(8, 1), (8, 1)]) == pytest.approx(2 * one)  # the larger of two
    assert mcnemar([(8, 1), (8, 1), (8, 1)]) == pytest.approx(2 * one * 3 / 2)
    assert mcnemar([(8, 1), (1, 8)]) == 1.0  # seeds that disagree say nothing
    assert mcnemar([(8, 1), (8, 1), (0, 0)]) == pytest.approx(3 * one)


def test_seeds_that_share_their_samples_are_told_apart_no_more_often_than_said():
    rng, hits = stream(0, "test"), 0
    for _ in range(400):  # the same discordant samples under three seeds: pooling them would triple the evidence
        a = int(rng.binomial(30, 0.5))
        hits += mcnemar([(a, 30 - a)] * 3) < 0.05
    assert hits / 400 < 0.05


def test_holm():
    assert holm([0.01, 0.04, 0.03, None, 0.005]) == [0.03, 0.06, 0.06, None, 0.02]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([None]) == [None]
    assert holm([]) == []


def test_all_resamples_of_three_samples():
    values = np.array([0.0, 1.0, 5.0])
    every = sorted(np.mean([values[i] for i in draw]) for draw in itertools.product(range(3), repeat=3))
    both = resampled_means(np.stack([values, -values], axis=1), 60_000, stream(1, "test"))
    assert np.array_equal(both[:, 1], -both[:, 0])
    means = both[:, 0]
    assert set(np.round(means, 6)) == set(np.round(every, 6))
    for q in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert (means <= q * 5 + 1e-9).mean() == pytest.approx(np.mean(np.array(every) <= q * 5 + 1e-9), abs=0.01)
    low, high = percentiles(means)
    assert (low, high) == (every[1 - 1], every[-1])  # 1/27 = 3.7 % lie at each end
    assert math.isclose(means.mean(), 2.0, abs_tol=0.02)


def test_percentiles():
    assert percentiles(np.arange(1001.0)) == pytest.approx((25.0, 975.0))
    assert percentiles(np.array([1.0, np.nan])) is None
    assert percentiles(np.array([])) is None


def test_resamples_come_in_parts_that_fit_memory():
    parts = list(resamples(3_000_000, 3, stream(0, "test")))
    assert [p.shape for p in parts] == [(1, 3_000_000)] * 3
    assert [p.shape for p in resamples(5, 7, stream(0, "test"))] == [(7, 5)]
