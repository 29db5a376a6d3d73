"""What metrics share. Pure numpy.

Shapes: N samples, C classes or labels, D targets of a regression.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from raysim.data.dataset import Outcome

Scores = NDArray[np.floating]
Labels = NDArray[np.integer] | NDArray[np.floating]
Function = TypeVar("Function", bound=Callable[..., Any])

CLASSES: tuple[Outcome, ...] = ("single_label", "multi_label")
REGRESSION: tuple[Outcome, ...] = ("regression",)


def metric(suits: tuple[Outcome, ...], *, higher_is_better: bool = True) -> Callable[[Function], Function]:
    """Says of a function what raysim asks of it: attributes that one may as well set by hand."""

    def said(function: Function) -> Function:
        vars(function).update(suits=suits, higher_is_better=higher_is_better)
        return function

    return said


def sklearn() -> Any:
    """scikit-learn's metrics: imported where one asks for them, which takes a second."""
    from sklearn import metrics

    return metrics


def columns(scores: Scores, labels: Labels) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Predictions and truth as (N, C) bool: the likeliest class, or each label with a score above 0.5."""
    if labels.ndim == 2:
        return scores > 0.5, labels > 0.5
    classes = list(range(scores.shape[1]))
    return np.equal.outer(scores.argmax(axis=1), classes), np.equal.outer(labels, classes)


def recalls(scores: Scores, labels: Labels) -> NDArray[np.floating]:
    """(C,): of the samples of each class the share that is predicted; NaN where there are none."""
    predicted, true = columns(scores, labels)
    return _shares((predicted & true).sum(axis=0), true.sum(axis=0))


def f1s(scores: Scores, labels: Labels) -> NDArray[np.floating]:
    """(C,): 2 TP / (2 TP + FP + FN) of each class; NaN where it neither occurs nor is predicted."""
    predicted, true = columns(scores, labels)
    return _shares(2 * (predicted & true).sum(axis=0), predicted.sum(axis=0) + true.sum(axis=0))


def _shares(hits: NDArray[Any], total: NDArray[Any]) -> NDArray[np.floating]:
    return np.divide(hits, total, out=np.full(len(total), np.nan), where=total > 0)


def mean(values: NDArray[np.floating]) -> float | None:
    """Over those that are defined; None where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def both_outcomes(true: NDArray[np.bool_]) -> list[int]:
    """The classes that some samples have and others lack, of (N, C)."""
    return [c for c in range(true.shape[1]) if 0 < true[:, c].sum() < len(true)]


def signs(scores: Scores, labels: Labels, zeros: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Predictions and truth of a sentiment as two classes, (N * D,) bool or fewer.

    Args:
        scores: (N, D).
        labels: (N, D).
        zeros: `non_negative`: 0 and more against less; `left_out`: above 0 against the rest, where the truth is not 0.
    """
    predicted, true = scores.ravel(), labels.ravel()
    if zeros == "non_negative":
        return predicted >= 0, true >= 0
    return predicted[true != 0] > 0, true[true != 0] > 0
