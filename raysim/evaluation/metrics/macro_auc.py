"""The mean area under the ROC curve, one class against the rest, over classes with both outcomes."""

import numpy as np
from numpy.typing import NDArray

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, both_outcomes, columns, metric


@metric(CLASSES)
def macro_auc(scores: Scores, labels: Labels) -> float | None:
    """From 0 to 1; None where no class has both outcomes."""
    _, true = columns(scores, labels)
    areas = [_auc(scores[:, c], true[:, c]) for c in both_outcomes(true)]
    return float(np.mean(areas)) if areas else None


def _auc(scores: Scores, positive: NDArray[np.bool_]) -> float:
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = int(positive.sum())
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(positive) - positives)))
