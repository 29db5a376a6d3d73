"""Pearson's correlation of predictions and truth; the mean over targets."""

import numpy as np

from raysim.evaluation.metrics._common import REGRESSION, Labels, Scores, metric


@metric(REGRESSION)
def pearson(scores: Scores, labels: Labels) -> float | None:
    """From -1 to 1; None where a target, or what is predicted of it, is the same for all samples."""
    if any((np.ptp(values, axis=0) == 0).any() for values in (scores, labels)):
        return None
    predicted, true = (values - values.mean(axis=0) for values in (scores, labels.astype(np.float64)))
    lengths = np.sqrt(np.square(predicted).sum(axis=0) * np.square(true).sum(axis=0))
    return float(((predicted * true).sum(axis=0) / lengths).mean())
