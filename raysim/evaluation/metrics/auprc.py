"""The mean area under the precision-recall curve, by trapezoids, one class against the rest.

Straight lines between points are optimistic (Davis and Goadrich, "The Relationship Between Precision-Recall and ROC
Curves", 2006); `mean_average_precision` has steps instead.
"""

import numpy as np

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, both_outcomes, columns, metric, sklearn


@metric(CLASSES)
def auprc(scores: Scores, labels: Labels) -> float | None:
    """From 0 to 1, over classes with both outcomes; None where there are none, or a score is not finite."""
    _, true = columns(scores, labels)
    chosen = both_outcomes(true)
    if not chosen or not np.isfinite(scores).all():
        return None
    curves = (sklearn().precision_recall_curve(true[:, c], scores[:, c]) for c in chosen)
    return float(np.mean([sklearn().auc(recall, precision) for precision, recall, _ in curves]))
