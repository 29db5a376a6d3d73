import numpy as np
import pytest

from raysim.data.ragged import Ragged
from raysim.data.scaling import standardized

ALL = np.array([0, 1, 2, 3])
THERE = np.ones(4, dtype=bool)
LENGTHS = np.array([2, 1, 3, 2])
STEPS = np.array([[0, 1], [2, 1], [8, 1], [4, 3], [6, 3], [8, 3], [10, 5], [20, 5]], np.float32)
"""Two features of four samples, one after another."""


def padded():
    """With NaN after the end, so that whoever reads that is seen."""
    x = np.full((4, 3, 2), np.nan, np.float32)
    x[0, :2], x[1, :1], x[2], x[3, :2] = STEPS[:2], STEPS[2:3], STEPS[3:6], STEPS[6:]
    return x


def ragged():
    ends = np.cumsum(LENGTHS)
    return Ragged(STEPS, np.stack([ends - LENGTHS, ends], axis=1))


def steps(x):
    """The valid steps of either."""
    return x.values if isinstance(x, Ragged) else np.concatenate([x[i, :n] for i, n in enumerate(LENGTHS)])


@pytest.fixture(params=[padded, ragged])
def sequences(request):
    return request.param()


def test_vectors_by_the_training_samples():
    x = np.array([[1.0, 10], [3, 30], [5, 10], [-1, 20]])
    found = standardized(x, [(np.array([0, 1]), None)], THERE, None)
    assert found.dtype == np.float32
    assert found.tolist() == [[-1, -1], [1, 1], [3, -1], [-3, 0]]
    assert x[0].tolist() == [1, 10]


def test_sequences_by_the_valid_steps_of_the_training_samples(sequences):
    """Samples 0 and 2: of feature 0 the steps 0 2 4 6 8, with mean 4 and variance 8; of feature 1: 1 1 3 3 3."""
    found = steps(standardized(sequences, [(np.array([0, 2]), None)], THERE, LENGTHS))
    assert found[:, 0] == pytest.approx((np.array([0, 2, 8, 4, 6, 8, 10, 20]) - 4) / np.sqrt(8))
    assert found[:, 1] == pytest.approx((np.array([1, 1, 1, 3, 3, 3, 5, 5]) - 2.2) / np.sqrt(0.96))


def test_sequences_by_client(sequences):
    groups = [(g, g) for g in (np.array([0, 1]), np.array([2]), np.array([3]))]
    found = steps(standardized(sequences, groups, THERE, LENGTHS))
    assert found[3:6, 0] == pytest.approx([-np.sqrt(1.5), 0, np.sqrt(1.5)])
    assert found[6:, 0].tolist() == [-1, 1]
    assert found[:3, 0].mean() == pytest.approx(0, abs=1e-7)
    assert found[:3, 0].std() == pytest.approx(1)
    assert found[:, 1].tolist() == [0] * 8


def test_vectors_by_client():
    x = np.array([[1.0], [10], [3], [30]])
    groups = [(g, g) for g in (np.array([0, 2]), np.array([1, 3]))]
    assert standardized(x, groups, THERE, None).tolist() == [[-1], [-1], [1], [1]]


def test_rows_in_no_group_stay():
    x = np.array([[1.0], [3], [7], [7]])
    assert standardized(x, [(ALL[:2], ALL[:2])], THERE, None).tolist() == [[-1], [1], [7], [7]]


def test_absent_rows_are_not_measured():
    x = np.array([[1.0], [np.nan], [3], [5]])
    present = np.array([True, False, True, True])
    found = standardized(x, [(ALL[:3], None)], present, None)
    assert found[present].tolist() == [[-1], [1], [3]]


def test_absent_sequences_are_not_measured(sequences):
    found = steps(standardized(sequences, [(ALL, None)], np.array([False, False, False, True]), LENGTHS))
    assert found[6:, 0].tolist() == [-1, 1]
    assert found[:3, 0] == pytest.approx([-3, -2.6, -1.4])


def test_a_group_that_has_nothing_changes_nothing():
    x = np.array([[1.0], [3], [5], [7]])
    groups = [(ALL[:2], ALL[:2]), (ALL[:0], ALL[2:])]
    assert standardized(x, groups, np.array([False, False, True, True]), None).tolist() == x.tolist()


def test_a_constant_feature_is_zero_not_infinite():
    x = np.array([[0.1, 1], [0.1, 3], [0.1, 5], [2.1, 1]])
    found = standardized(x, [(ALL[:3], None)], THERE, None)
    assert found[:3, 0] == pytest.approx([0, 0, 0], abs=1e-7)
    assert found[3, 0] == 0


def test_large_values_keep_their_precision():
    x = np.array([[1e6], [1e6 + 1], [1e6 + 2], [1e6 + 3]])
    assert standardized(x, [(ALL, None)], THERE, None)[:, 0] == pytest.approx(np.array([-3, -1, 1, 3]) / np.sqrt(5))
