"""The share of samples (multi-label: of samples' labels) that are right."""

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, columns, metric


@metric(CLASSES)
def accuracy(scores: Scores, labels: Labels) -> float:
    """From 0 to 1."""
    predicted, true = columns(scores, labels)
    if labels.ndim == 2:
        return float((predicted == true).mean())
    return float((predicted & true).any(axis=1).mean())
