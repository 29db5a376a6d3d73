"""Weighted F1 of the two classes of `acc2`, as the sentiment benchmarks have it."""

from raysim.evaluation.metrics._common import REGRESSION, Labels, Scores, metric, signs, sklearn
from raysim.evaluation.metrics.acc2 import Zeros


@metric(REGRESSION)
def acc2_f1(scores: Scores, labels: Labels, zeros: Zeros = "non_negative") -> float | None:
    """From 0 to 1; None where no sample is left."""
    predicted, true = signs(scores, labels, zeros)
    return float(sklearn().f1_score(true, predicted, average="weighted", zero_division=0.0)) if len(true) else None
