"""The F1 of each class: `f1.<class>`, and their mean, which is macro F1, as `f1`."""

from collections.abc import Sequence

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, f1s, metric


@metric(CLASSES)
def f1(scores: Scores, labels: Labels, classes: Sequence[str]) -> dict[str, float]:
    """Class -> a number from 0 to 1; NaN where it neither occurs nor is predicted."""
    return dict(zip(classes, f1s(scores, labels).tolist(), strict=True))
