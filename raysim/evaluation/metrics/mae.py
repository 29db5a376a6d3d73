"""Mean absolute error, over samples and targets."""

import numpy as np

from raysim.evaluation.metrics._common import REGRESSION, Labels, Scores, metric


@metric(REGRESSION, higher_is_better=False)
def mae(scores: Scores, labels: Labels) -> float:
    """In the targets' units; scores and labels are (N, D)."""
    return float(np.abs(scores - labels).mean())
