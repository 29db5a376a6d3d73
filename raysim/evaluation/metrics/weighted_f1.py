"""The mean F1 of the classes, each weighted by how many samples it has."""

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, columns, metric, sklearn


@metric(CLASSES)
def weighted_f1(scores: Scores, labels: Labels) -> float | None:
    """From 0 to 1; None where no label is positive."""
    predicted, true = columns(scores, labels)
    return float(sklearn().f1_score(true, predicted, average="weighted", zero_division=0.0)) if true.any() else None
