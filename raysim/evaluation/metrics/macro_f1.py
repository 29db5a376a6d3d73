"""The mean F1 of the classes; those that neither occur nor are predicted are left out."""

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, f1s, mean, metric


@metric(CLASSES)
def macro_f1(scores: Scores, labels: Labels) -> float | None:
    """From 0 to 1; None where no label is positive or predicted."""
    return mean(f1s(scores, labels))
