"""Root of the mean squared error over samples; of several targets the mean of theirs."""

import numpy as np

from raysim.evaluation.metrics._common import REGRESSION, Labels, Scores, metric


@metric(REGRESSION, higher_is_better=False)
def rmse(scores: Scores, labels: Labels) -> float:
    """In the targets' units; scores and labels are (N, D)."""
    return float(np.sqrt(np.square(scores - labels).mean(axis=0)).mean())
