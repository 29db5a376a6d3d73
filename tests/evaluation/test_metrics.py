"""Metrics by hand, and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from raysim.evaluation.metrics import accuracy, compute, macro_auc, macro_f1, uar
from raysim.seeding import stream

# Predicted 0, 1, 1, 2, 0; true 0, 1, 2, 2, 1.
SCORES = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.5, 0.4], [0.0, 0.1, 0.9], [0.5, 0.3, 0.2]])
LABELS = np.array([0, 1, 2, 2, 1])


def test_by_hand():
    assert accuracy(SCORES, LABELS) == 3 / 5
    assert uar(SCORES, LABELS) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert macro_f1(SCORES, LABELS) == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    # Class 0: 4 of 4 pairs; class 1: (0.8, 0.3) over (0.1, 0.5, 0.1), 5 of 6; class 2: 6 of 6.
    assert macro_auc(SCORES, LABELS) == pytest.approx((1 + 5 / 6 + 1) / 3)


def test_classes_that_do_not_occur_are_left_out_of_recall_and_auc():
    labels = np.array([0, 1, 1, 0, 1])
    assert uar(SCORES, labels) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert macro_f1(SCORES, labels) == pytest.approx((1 / 2 + 4 / 5 + 0) / 3)  # predicted, so it counts
    assert macro_auc(SCORES, labels) == pytest.approx(macro_auc(SCORES[:, :2], labels))


def test_ties_count_half():
    assert macro_auc(np.full((4, 2), 0.5), np.array([0, 1, 1, 0])) == 0.5


def test_what_the_data_leaves_undefined_is_none():
    assert macro_auc(SCORES, np.ones(5, int)) is None
    assert uar(SCORES, np.zeros((5, 3))) is None
    assert macro_f1(np.zeros((5, 3)), np.zeros((5, 3))) is None


def test_several_labels_by_hand():
    scores, labels = np.array([[0.9, 0.2], [0.6, 0.5]]), np.array([[1.0, 1.0], [0.0, 0.0]])
    assert accuracy(scores, labels) == 2 / 4  # 0.5 is not above 0.5
    assert macro_f1(scores, labels) == pytest.approx((2 / 3 + 0) / 2)
    assert macro_auc(scores, labels) == 0.5


@pytest.mark.parametrize("multi_label", [False, True])
def test_as_in_scikit_learn(multi_label):
    rng = stream(0, "metrics")
    scores = np.round(rng.dirichlet(np.ones(4), 60), 1 if multi_label else 8)  # rounding makes ties
    labels = rng.integers(2, size=(60, 4)).astype(float) if multi_label else rng.integers(4, size=60)
    if multi_label:
        predicted = (scores > 0.5).astype(float)
        auc = sk.roc_auc_score(labels, scores, average="macro")
        expected = [(predicted == labels).mean(), sk.recall_score(labels, predicted, average="macro")]
    else:
        predicted = scores.argmax(1)
        auc = np.mean([sk.roc_auc_score(labels == c, scores[:, c]) for c in range(4)])
        expected = [sk.accuracy_score(labels, predicted), sk.balanced_accuracy_score(labels, predicted)]
    expected += [sk.f1_score(labels, predicted, average="macro"), auc]
    found = compute(("accuracy", "uar", "macro_f1", "macro_auc"), scores, labels)
    assert list(found.values()) == pytest.approx(expected)
