"""What labels mean."""

import numpy as np
import pytest

from raysim.data.classes import labels_of, targets_of
from raysim.data.dataset import DataError


def labels(y, classes=None, *, one_hot=None):
    found = labels_of(
        np.array(y),
        None if classes is None else np.array(classes),
        one_hot,
        lambda key, text: DataError(f"{key} {text}"),
    )
    return found.values.tolist(), found.classes, found.several


def test_classes_from_0_are_single_labels():
    assert labels([0, 2, 1]) == ([0, 2, 1], ("0", "1", "2"), False)
    assert labels([False, True]) == ([0, 1], ("0", "1"), False)


def test_a_class_without_a_sample_needs_a_name():
    assert labels([0, 2], ["a", "b", "c"]) == ([0, 2], ("a", "b", "c"), False)


def test_rows_of_0_and_1_are_several_labels():
    assert labels([[1, 1], [0, 0]]) == ([[1, 1], [0, 0]], ("0", "1"), True)
    assert labels([[1, 0], [0, 0]], ["a", "b"]) == ([[1, 0], [0, 0]], ("a", "b"), True)


def test_one_hot_rows_are_what_is_said_of_them():
    assert labels([[0, 1], [1, 0]], one_hot=True) == ([1, 0], ("0", "1"), False)
    assert labels([[0, 1], [1, 0]], one_hot=False) == ([[0, 1], [1, 0]], ("0", "1"), True)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            [[0.0, 1.0], [1.0, 0.0]],
            "y is one-hot: every row has exactly one 1; write the class of each sample, y.argmax",
        ),
        ([[0], [1]], r"y has shape \(2, 1\), one column; write y.ravel\(\) for the class of each sample"),
        ([[0, 2], [1, 0]], "y has values other than 0 and 1; several labels a sample are 0 or 1 each"),
        ([10, 3_000_000, 200_000], "y has 3 classes, 10, 200000, 3000000, which do not count from 0 without gaps; "),
        ([1, 2, 3], "y has 3 classes, 1, 2, 3, which do not count from 0 without gaps; .*return_inverse=True"),
        ([0, 1, 2, 3, 4, 255], r"y has 6 classes, 0, 1, 2, 3, 4, \.\.\. 255, which"),
        ([0, 1, 2**63], "y has 3 classes, 0, 1, 9223372036854775808, which"),
        ([1, -1, -1], "y has the class -1 in row 1; classes count from 0: leave out rows where it stands for none, or"),
        (list(range(21)), "y has a class of its own for each of 21 samples; write the class of each, not its id"),
        ([0.0, 1.0], r"y is float64 of shape \(2,\); write integers \(N,\), or 0 and 1 \(N, C\): y.astype\(int\)"),
        ([0.0, np.nan], ".*leave out samples without a label, such as row 1"),
        (["cat", "dog"], ".*write integers .*numpy.unique"),
        (
            [0.5, 1.0],
            r"y is float64 of shape \(2,\); write integers \(N,\), or 0 and 1 \(N, C\); "
            "for real numbers set dataset.task: regression$",
        ),
        (
            [[0.5, 1.0], [0.0, 1.0]],
            ".*the class of each sample is one integer .*; for real numbers set dataset.task: regr",
        ),
    ],
)
def test_what_is_not_clear_is_refused_with_a_way_out(y, message):
    with pytest.raises(DataError, match=f"^{message}"):
        labels(np.array(y, np.uint64) if y[-1] == 2**63 else y)


def targets(y, names=None):
    names = None if names is None else np.array(names)
    found = targets_of(np.array(y), names, lambda key, text: DataError(f"{key} {text}"))
    assert (found.values.dtype, found.classes, found.several) == (np.float32, (), False)
    return found.values.tolist(), found.targets


def test_targets_of_a_regression_are_taken_as_they_are():
    assert targets([0.5, -2.0]) == ([[0.5], [-2.0]], ("y",))
    assert targets([[1, 2], [3, 40_000]]) == ([[1, 2], [3, 40_000]], ("y0", "y1"))
    assert targets([[1.5, 2.5]], ["valence", "arousal"]) == ([[1.5, 2.5]], ("valence", "arousal"))


@pytest.mark.parametrize(
    ("y", "names", "message"),
    [
        (["high", "low"], None, r"y is <U4 of shape \(2,\); of a regression write floats \(N,\), or \(N, D\)"),
        (np.zeros((2, 1, 1)), None, r"y is float64 of shape \(2, 1, 1\); of a regression write floats"),
        (np.zeros((2, 0)), None, r"y is float64 of shape \(2, 0\); of a regression write floats"),
        ([0.5, np.nan], None, "y is no finite float32 in row 1; leave out samples without a target, or scale them"),
        ([1e300, 0.5], None, "y is no finite float32 in row 0"),
        ([0.5, 1.0], ["a", "b"], "targets names 2 targets, y has 1; name each"),
        ([[0.5, 1.0]], ["a", "a"], "targets names two targets 'a'; give each a name of its own"),
        ([[0.5, 1.0]], [["a", "b"]], r"targets has shape \(1, 2\); write one name a target, such as"),
    ],
)
def test_what_is_no_regression_s(y, names, message):
    with pytest.raises(DataError, match=f"^{message}"):
        targets(y, names)


def test_names_that_are_fewer_than_the_classes():
    with pytest.raises(DataError, match="classes names 1 classes, y has 2; name them all"):
        labels([0, 1], ["a"])
    with pytest.raises(
        DataError, match=r"y has the class 90, but classes names 2, from 0; write classes, y = numpy.uni"
    ):
        labels([10, 90], ["a", "b"])
    with pytest.raises(DataError, match="y counts classes from 1, and the first of classes is 0; write y - 1"):
        labels([1, 2, 3], ["a", "b", "c"])
    with pytest.raises(DataError, match=r"y is not one-hot: some rows have not exactly one 1; remove dataset.one_hot"):
        labels([[1, 1], [0, 1]], one_hot=True)
