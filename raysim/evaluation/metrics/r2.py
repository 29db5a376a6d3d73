"""Coefficient of determination: 1 - squared errors over squared distances from the mean; the mean over targets."""

import numpy as np

from raysim.evaluation.metrics._common import REGRESSION, Labels, Scores, metric, sklearn


@metric(REGRESSION)
def r2(scores: Scores, labels: Labels) -> float | None:
    """At most 1; None where a target is the same for all samples, or a prediction is not finite."""
    if (np.ptp(labels, axis=0) == 0).any() or not np.isfinite(scores).all():
        return None
    return float(sklearn().r2_score(labels, scores))
