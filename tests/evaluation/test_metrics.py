"""Metrics by hand, and against scikit-learn."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from raysim import registry
from raysim.data.dataset import Dataset, Split
from raysim.evaluation.measured import compute, low, suited
from raysim.evaluation.metrics.accuracy import accuracy
from raysim.evaluation.metrics.macro_auc import macro_auc
from raysim.evaluation.metrics.macro_f1 import macro_f1
from raysim.evaluation.metrics.uar import uar
from raysim.scenario.schema import Metric
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


RIGHT, WRONG = np.array([[0.0, 0.75, 0.25]]), np.array([[0.5, 0.25, 0.25]])
"""Of a sample of class 1: it is predicted with 0.75, or class 0 is with 0.5."""
TARGETS = np.array([[-3.0], [-1.4], [0.0], [0.4], [2.5], [3.0]])
GUESSES = np.array([[-4.0], [0.2], [-0.1], [0.0], [1.5], [2.2]])


def one(name, scores, labels, classes=(), **options):
    metric = Metric.model_validate({"name": name, **options}) if options else name
    return compute([metric], scores, labels, classes)[name]


@pytest.mark.parametrize(
    ("name", "options", "scores", "labels", "value"),
    [
        ("balanced_error", {}, SCORES, LABELS, 1 - (1 + 1 / 2 + 1 / 2) / 3),
        ("weighted_f1", {}, SCORES, LABELS, (1 * 2 / 3 + 2 * 1 / 2 + 2 * 2 / 3) / 5),
        # Class 0: 1 of 1. Class 1: 0.8, then 0.5 of class 2, then 0.3. Class 2: 0.9, 0.4.
        ("mean_average_precision", {}, SCORES, LABELS, (1 + (1 + 2 / 3) / 2 + 1) / 3),
        # Class 1 goes through (recall, precision) (0, 1), (1/2, 1), (1/2, 1/2), (1, 2/3).
        ("auprc", {}, SCORES, LABELS, (1 + 1 / 2 + (1 / 2 + 2 / 3) / 4 + 1) / 3),
        # Both in bins of their own: 3 samples with 0.75, of which all are right, and one with 0.5, which is wrong.
        ("ece", {}, np.concatenate([RIGHT, RIGHT, RIGHT, WRONG]), np.ones(4, int), (3 * 0.25 + 0.5) / 4),
        ("ece", {"bins": 1}, np.concatenate([RIGHT, RIGHT, RIGHT, WRONG]), np.ones(4, int), (3 - 2.75) / 4),
        # A confidence on the border of (0, 1/2] and (1/2, 1] is in the first; one that is right takes the other's gap.
        ("ece", {"bins": 2}, np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([1, 0]), 0.5 / 2),
        ("brier", {}, np.concatenate([RIGHT, WRONG]), np.ones(2, int), (0.125 + 0.25 + 0.5625 + 0.0625) / 2),
        ("brier", {}, np.array([[0.5, 1.0]]), np.array([[1.0, 1.0]]), 0.25 / 2),
        ("mae", {}, GUESSES, TARGETS, (1 + 1.6 + 0.1 + 0.4 + 1 + 0.8) / 6),
        ("rmse", {}, np.array([[1.0, 2.0], [3.0, 2.0]]), np.zeros((2, 2)), (5**0.5 + 2) / 2),
        ("r2", {}, np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]]), 1 - 1 / 2),
        ("pearson", {}, np.array([[0.0], [2.0], [1.0]]), np.array([[1.0], [2.0], [3.0]]), 1 / 2),
        # Right: -4, 0, 1.5, 2.2. Without the zero -4, 1.5 and 2.2 of five.
        ("acc2", {}, GUESSES, TARGETS, 4 / 6),
        ("acc2", {"zeros": "left_out"}, GUESSES, TARGETS, 3 / 5),
        # Rounded: -3, 0, 0, 0, 2, 2 and -3, -1, 0, 0, 2, 3.
        ("acc7", {}, GUESSES, TARGETS, 4 / 6),
        # Two negatives, one found, and one wrongly; four others, three found.
        ("acc2_f1", {}, GUESSES, TARGETS, (2 * 2 / 4 + 4 * 6 / 8) / 6),
        # Two negatives, of which one is found, and one of three positives is not.
        ("acc2_f1", {"zeros": "left_out"}, GUESSES, TARGETS, (2 * 2 / 4 + 3 * 4 / 6) / 5),
    ],
)
def test_the_others_by_hand(name, options, scores, labels, value):
    assert one(name, scores, labels, **options) == pytest.approx(value)


def test_numbers_by_class():
    classes = ("cat", "dog", "cow")
    found = compute(["recall", "accuracy", "f1"], SCORES, LABELS, classes)
    assert found == {
        "recall": pytest.approx(uar(SCORES, LABELS)), "recall.cat": 1.0, "recall.dog": 0.5, "recall.cow": 0.5,
        "accuracy": 3 / 5,
        "f1": pytest.approx(macro_f1(SCORES, LABELS)), "f1.cat": pytest.approx(2 / 3), "f1.dog": 0.5,
        "f1.cow": pytest.approx(2 / 3),
    }  # fmt: skip
    assert one("recall", SCORES, np.array([0, 1, 1, 0, 1]), classes) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert compute(["recall"], SCORES, np.array([0, 1, 1, 0, 1]), classes)["recall.cow"] is None


@pytest.mark.parametrize(
    ("name", "options", "scores", "labels"),
    [
        *((name, {}, SCORES, np.ones(5, int)) for name in ("mean_average_precision", "auprc")),
        *((name, {}, np.full((5, 3), np.nan), LABELS) for name in ("mean_average_precision", "auprc", "ece", "brier")),
        *((name, {}, np.zeros((5, 3)), np.zeros((5, 3))) for name in ("balanced_error", "weighted_f1", "recall", "f1")),
        *((name, {}, GUESSES, np.ones((6, 1))) for name in ("r2", "pearson")),
        *((name, {}, np.full((6, 1), np.nan), TARGETS) for name in ("mae", "rmse", "r2", "pearson")),
        ("pearson", {}, np.ones((6, 1)), TARGETS),
        *((name, {"zeros": "left_out"}, GUESSES, np.zeros((6, 1))) for name in ("acc2", "acc2_f1")),
    ],
)
def test_what_is_undefined_of_the_others(name, options, scores, labels):
    assert one(name, scores, labels, ("a", "b", "c"), **options) is None


def test_regression_as_in_scikit_learn_and_scipy():
    rng = stream(0, "metrics", "regression")
    labels = rng.uniform(-3, 3, (40, 2))
    scores = labels + rng.standard_normal((40, 2))
    expected = {
        "mae": sk.mean_absolute_error(labels, scores), "rmse": sk.root_mean_squared_error(labels, scores),
        "r2": sk.r2_score(labels, scores),
        "pearson": np.mean([stats.pearsonr(labels[:, d], scores[:, d]).statistic for d in range(2)]),
        "acc2_f1": sk.f1_score(labels.ravel() >= 0, scores.ravel() >= 0, average="weighted"),
    }  # fmt: skip
    assert compute(list(expected), scores, labels) == pytest.approx(expected)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_others_as_in_scikit_learn(multi_label):
    rng = stream(1, "metrics")
    scores = np.round(rng.dirichlet(np.ones(4), 60), 1 if multi_label else 8)
    labels = rng.integers(2, size=(60, 4)).astype(float) if multi_label else rng.integers(4, size=60)
    true = labels if multi_label else np.eye(4)[labels]
    predicted = scores > 0.5 if multi_label else np.eye(4)[scores.argmax(1)]
    expected = {
        "weighted_f1": sk.f1_score(true, predicted, average="weighted"),
        "mean_average_precision": sk.average_precision_score(true, scores, average="macro"),
        "brier": np.mean([sk.brier_score_loss(true[:, c], scores[:, c]) for c in range(4)]) * (1 if multi_label else 4),
    }
    assert compute(list(expected), scores, labels) == pytest.approx(expected)
    each = compute(["recall", "f1"], scores, labels, "abcd")
    assert [each[f"recall.{c}"] for c in "abcd"] == pytest.approx(sk.recall_score(true, predicted, average=None))
    assert [each[f"f1.{c}"] for c in "abcd"] == pytest.approx(sk.f1_score(true, predicted, average=None))


def test_each_says_what_it_suits_and_what_is_better(tiny_outcomes):
    names = [entry.name for entry in registry.listed("metric")]
    assert low(names) == ("loss", "balanced_error", "brier", "ece", "mae", "rmse")
    sentiment = ["acc2", "acc2_f1", "acc7", "mae", "pearson", "r2", "rmse"]
    assert suited(tiny_outcomes["regression"]) == sentiment
    assert suited(tiny_outcomes["single_label"]) == [n for n in names if n not in sentiment]
    assert suited(tiny_outcomes["multi_label"]) == [n for n in names if n not in [*sentiment, "ece"]]


@pytest.fixture
def tiny_outcomes():
    """Outcome -> a dataset without samples."""
    empty = Split({}, np.zeros(0))
    return {
        "single_label": Dataset({}, ("a", "b"), False, empty, empty, empty),
        "multi_label": Dataset({}, ("a", "b"), True, empty, empty, empty),
        "regression": Dataset({}, (), False, empty, empty, empty, targets=("y",)),
    }


def test_one_metric_twice_by_labels():
    chosen = ["acc2", Metric.model_validate({"name": "acc2", "zeros": "left_out", "label": "acc2_nonzero"})]
    assert compute(chosen, GUESSES, TARGETS) == {"acc2": 4 / 6, "acc2_nonzero": 3 / 5}
    assert low([Metric(name="accuracy", higher_is_better=False, label="x")]) == ("loss", "x")
