"""Balanced error rate: 1 - UAR, the mean share of errors in the classes that occur."""

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, mean, metric, recalls


@metric(CLASSES, higher_is_better=False)
def balanced_error(scores: Scores, labels: Labels) -> float | None:
    """From 0 to 1; None where no label is positive."""
    recall = mean(recalls(scores, labels))
    return None if recall is None else 1.0 - recall
