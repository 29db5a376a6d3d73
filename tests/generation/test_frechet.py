"""The Fréchet distance of features, against known ones, closed forms and another way to reckon it."""

import math

import numpy as np
import pytest
from known import known
from scipy import linalg

from raysim.generation.frechet import Moments, distance
from raysim.seeding import stream


def features(rows, width, *, shift=0.0, name="a"):
    rng = stream(0, "features", name)
    return rng.standard_normal((rows, width)) @ rng.standard_normal((width, width)) + shift


def between(a, b):
    return distance(Moments.of(a), Moments.of(b))


def test_a_known_distance():
    case = known("frechet")
    assert between(np.array(case["real"]), np.array(case["made"])) == pytest.approx(case["distance"], abs=1e-8)


def test_the_trace_of_the_root_by_singular_values():
    a, b = features(40, 7), features(60, 7, shift=1.0, name="b")
    first, second = np.cov(a.T), np.cov(b.T)
    lower = [np.linalg.cholesky(c) for c in (first, second)]  # the nuclear norm of L1' L2 is the trace
    shared = linalg.svdvals(lower[0].T @ lower[1]).sum()
    apart = a.mean(axis=0) - b.mean(axis=0)
    wanted = apart @ apart + np.trace(first) + np.trace(second) - 2 * shared
    assert between(a, b) == pytest.approx(wanted, rel=1e-10)


def test_one_feature_by_hand():
    """(m1 - m2)^2 + (s1 - s2)^2: means 1 and 5, deviations sqrt(2) and sqrt(8)."""
    a, b = np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]])
    assert between(a, b) == pytest.approx(16 + (math.sqrt(2) - math.sqrt(8)) ** 2)


def test_moments_add_up_and_are_numpy_s():
    x = features(50, 5).astype(np.float32)
    parts = Moments.of(x[:20]) + Moments.of(x[20:])
    assert parts.count == 50
    np.testing.assert_allclose(parts.mean, x.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, np.cov(x.astype(np.float64).T), rtol=1e-10, atol=1e-12)


def test_what_does_not_change_it():
    a, b = features(40, 6), features(30, 6, shift=0.5, name="b")
    value = between(a, b)
    turned = np.linalg.qr(features(6, 6, name="turn"))[0]
    assert value > 0.1
    assert between(a, a) == pytest.approx(0.0, abs=1e-9)
    assert between(b, a) == pytest.approx(value, rel=1e-10)
    assert between(a[::-1], b) == pytest.approx(value, rel=1e-10)
    assert between(a @ turned + 3, b @ turned + 3) == pytest.approx(value, rel=1e-9)
    assert between(2 * a, 2 * b) == pytest.approx(4 * value, rel=1e-10)
    assert between(a + 10, b) > value


def test_fewer_rows_than_features_overstate_it():
    few = between(features(20, 64)[:10], features(20, 64)[10:])
    many = between(features(4000, 64)[:2000], features(4000, 64)[2000:])
    assert math.isfinite(few)
    assert few > 10 * many


def test_what_is_no_number_has_no_distance():
    x = features(10, 3)
    x[4, 1] = np.nan
    assert math.isnan(between(x, features(10, 3)))


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="two rows or more, there are 1"):
        between(features(1, 3), features(5, 3))
    with pytest.raises(ValueError, match="3 features cannot be compared with 4"):
        between(features(5, 3), features(5, 4))
