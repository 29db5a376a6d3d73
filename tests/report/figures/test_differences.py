"""The bars of a comparison: its pairs, with the intervals of its table."""

import numpy as np
import pytest

from raysim.report.figures.differences import differences
from raysim.report.reading.pairs import Compared, Pair

THREE = ((0.81, 0.70), (0.80, 0.70), (0.79, 0.70))


def pair(values, arm="fin", against="zero", where=(), replicates=None):
    return Pair(where, arm, against, tuple(range(len(values))), 0, values, replicates)


def test_of_three_seeds_and_more_the_interval_is_over_them():
    replicates = np.linspace(0.0, 0.2, 2001)
    bars = differences(Compared("uar", "test", (pair(THREE, replicates=replicates),)), {"zero": 0, "fin": 1})
    ((title, (bar,)),) = bars.panes
    assert (title, bar.name, bar.place, bar.seeds) == ("", "fin", 1, 3)
    assert (bar.mean, *bar.interval) == pytest.approx((0.1, 0.0751586, 0.1248414))  # 0.1 ± 4.30265 * 0.01 / √3
    assert bars.caption == "means of the differences by seed; whiskers: 95 % intervals over seeds, as in the table"
    assert (bars.title, bars.x) == ("Differences to zero", "test uar, less that of zero")


def test_of_fewer_it_is_over_samples_where_they_were_resampled():
    replicates = np.linspace(0.0, 0.2, 2001)
    found = Compared("uar", "test_unmasked", (pair(THREE[:2], replicates=replicates), pair(THREE[:1], "gan")))
    bars = differences(found, {})
    ((_, (fin, gan)),) = bars.panes
    assert fin.interval == pytest.approx((0.005, 0.195))
    assert gan.interval is None
    assert bars.caption.endswith("; whiskers: 95 % intervals over test samples, as in the table")
    assert bars.x == "test unmasked uar, less that of zero"


def test_a_pane_for_other_conditions_and_whom_each_is_compared_with():
    pairs = (pair(THREE, "fin 2", "zero 2", (("alpha", "1"),)), pair(THREE, "fin 8", "zero 8", (("alpha", "2"),)))
    bars = differences(Compared("uar", "test", pairs), {})
    assert [(title, bar.name) for title, (bar,) in bars.panes] == [
        ("alpha=1", "fin 2, less zero 2"), ("alpha=2", "fin 8, less zero 8"),
    ]  # fmt: skip
    assert (bars.title, bars.x) == ("Differences", "test uar, less that of the other arm")


def test_nothing_that_is_compared_is_no_picture():
    assert differences(Compared("uar", "test", ()), {}) is None
