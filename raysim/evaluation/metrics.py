"""Metrics of a classifier's scores. Pure numpy.

    def brier(scores, labels, power: float = 2.0):  # mine.py; evaluation: {metrics: [accuracy, "mine:brier"]}
        right = scores[np.arange(len(labels)), labels]
        return ((1 - right) ** power).mean()

    brier.higher_is_better = False

Shapes: N samples, C classes. Scores are (N, C): probabilities, or anything that ranks alike for one label a sample.
Labels are (N,) class numbers, or (N, C) of 0 and 1 when multi-label; there a score above 0.5 is a prediction, and every
metric is the mean over labels. A metric that the data leaves undefined is None, or not finite.

A function of one's own (`raysim.scenario.functions`) may ask for `scores` and `labels`, and gets copies. In results it
has its own name.
"""

import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysim import registry
from raysim.scenario.functions import bound
from raysim.scenario.schema import LOSS, OwnMetric, metric_label
from raysim.seeding import stream

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


TRIED = 24
"""Samples of a trial run."""


def compute(chosen: Sequence[str | OwnMetric], scores: Scores, labels: Labels) -> dict[str, float | None]:
    """Several metrics, by what they are called in results.

    Raises:
        ValueError: one of one's own fails, or returns no number; one line.
    """
    return {metric_label(m): own(m, scores, labels) if isinstance(m, OwnMetric) else _METRICS[m](scores, labels)
            for m in chosen}  # fmt: skip


def own(metric: OwnMetric, scores: Scores, labels: Labels) -> float | None:
    """What a function of one's own says.

    Raises:
        ValueError: it fails, or that is neither a number nor None; one line.
    """
    value: Any = bound("metric", metric)({"scores": scores.copy(), "labels": labels.copy()})
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if value is None:
        return None
    if not isinstance(value, numbers.Real):
        kind = type(value).__name__  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError(f"'{metric.name}' must return a number or None, but returned a {kind}")  # noqa: TRY004
    return _number(float(value))


def low(chosen: Sequence[str | OwnMetric]) -> tuple[str, ...]:
    """Those of which less is better, by what they are called in results: also the loss."""
    return (LOSS, *(metric_label(m) for m in chosen if isinstance(m, OwnMetric) and not _higher(m)))


def _higher(metric: OwnMetric) -> bool:
    said = metric.higher_is_better
    return bool(getattr(registry.find("metric", metric.name), "higher_is_better", True)) if said is None else said


def try_own(metric: OwnMetric, classes: int, *, multi_label: bool) -> None:
    """Calls a function of one's own with random scores.

    Raises:
        ValueError: it raises, or returns no number; one line.
    """
    rng = stream(0, "trial run")
    scores = rng.dirichlet(np.ones(classes), TRIED) if not multi_label else rng.random((TRIED, classes))
    shape = (TRIED, classes) if multi_label else TRIED
    labels = rng.integers(2 if multi_label else classes, size=shape)
    try:
        own(metric, scores, labels.astype(np.float32) if multi_label else labels)
    except ValueError as error:
        raise ValueError(f"{error} (scores were of the shape {scores.shape}, labels of {labels.shape})") from error


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
