"""mAP: the mean over classes of the average precision, sum of (R_n - R_n-1) P_n, one class against the rest."""

import numpy as np

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, both_outcomes, columns, metric, sklearn


@metric(CLASSES)
def mean_average_precision(scores: Scores, labels: Labels) -> float | None:
    """From 0 to 1, over classes with both outcomes; None where there are none, or a score is not finite."""
    _, true = columns(scores, labels)
    chosen = both_outcomes(true)
    if not chosen or not np.isfinite(scores).all():
        return None
    return float(np.mean([sklearn().average_precision_score(true[:, c], scores[:, c]) for c in chosen]))
