"""Unweighted average recall, or balanced accuracy: the mean recall of the classes that occur."""

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, mean, metric, recalls


@metric(CLASSES)
def uar(scores: Scores, labels: Labels) -> float | None:
    """From 0 to 1; None where no label is positive."""
    return mean(recalls(scores, labels))
