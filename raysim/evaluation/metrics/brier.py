"""Brier score: the mean squared distance of probabilities and truth, over classes summed, over labels averaged.

Source: Brier, "Verification of forecasts expressed in terms of probability", 1950, eq. 2: of one label a sample it goes
from 0 to 2.
"""

import numpy as np

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, columns, metric


@metric(CLASSES, higher_is_better=False)
def brier(scores: Scores, labels: Labels) -> float:
    """0 is perfect."""
    _, true = columns(scores, labels)
    squares = np.square(scores - true)
    return float(squares.mean() if labels.ndim == 2 else squares.sum(axis=1).mean())
