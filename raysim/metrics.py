"""Metrics of a classifier's scores. Pure numpy.

Shapes: N samples, C classes. Scores are (N, C): probabilities, or anything that ranks alike for one label a sample.
Labels are (N,) class numbers, or (N, C) of 0 and 1 when multi-label; there a score above 0.5 is a prediction, and every
metric is the mean over labels. A metric that the data leaves undefined is None.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Labels = NDArray[np.integer] | NDArray[np.floating]


def accuracy(scores: Scores, labels: Labels) -> float | None:
    """The share of samples (multi-label: of samples' labels) that are right."""
    predicted, true = _columns(scores, labels)
    if labels.ndim == 2:
        return _number((predicted == true).mean())
    return _number((predicted & true).any(axis=1).mean())


def uar(scores: Scores, labels: Labels) -> float | None:
    """Unweighted average recall: the mean recall of the classes that occur."""
    predicted, true = _columns(scores, labels)
    total = true.sum(axis=0)
    return _number(((predicted & true).sum(axis=0)[total > 0] / total[total > 0]).mean()) if total.any() else None


def macro_f1(scores: Scores, labels: Labels) -> float | None:
    """The mean over classes of 2 TP / (2 TP + FP + FN); classes that neither occur nor are predicted are left out."""
    predicted, true = _columns(scores, labels)
    hits = 2 * (predicted & true).sum(axis=0)
    all_ = predicted.sum(axis=0) + true.sum(axis=0)
    return _number((hits[all_ > 0] / all_[all_ > 0]).mean()) if all_.any() else None


def macro_auc(scores: Scores, labels: Labels) -> float | None:
    """The mean area under the ROC curve, one class against the rest, over classes with both outcomes."""
    _, true = _columns(scores, labels)
    areas = [_auc(scores[:, c], true[:, c]) for c in range(true.shape[1]) if 0 < true[:, c].sum() < len(true)]
    return _number(np.mean(areas)) if areas else None


_METRICS: Mapping[str, Callable[[Scores, Labels], float | None]] = {
    "accuracy": accuracy,
    "uar": uar,
    "macro_f1": macro_f1,
    "macro_auc": macro_auc,
}


def compute(names: Sequence[str], scores: Scores, labels: Labels) -> dict[str, float | None]:
    """Several metrics by name."""
    return {name: _METRICS[name](scores, labels) for name in names}


def _columns(scores: Scores, labels: Labels) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Predictions and truth as (N, C) bool."""
    if labels.ndim == 2:
        return scores > 0.5, labels > 0.5
    classes = list(range(scores.shape[1]))
    return np.equal.outer(scores.argmax(axis=1), classes), np.equal.outer(labels, classes)


def _auc(scores: Scores, positive: NDArray[np.bool_]) -> float:
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = int(positive.sum())
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(positive) - positives)))


def _number(value: np.floating | float) -> float | None:
    return float(value) if np.isfinite(value) else None
