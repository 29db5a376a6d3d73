"""The recall of each class: `recall.<class>`, and their mean, which is UAR, as `recall`."""

from collections.abc import Sequence

from raysim.evaluation.metrics._common import CLASSES, Labels, Scores, metric, recalls


@metric(CLASSES)
def recall(scores: Scores, labels: Labels, classes: Sequence[str]) -> dict[str, float]:
    """Class -> a number from 0 to 1; NaN where it has no sample."""
    return dict(zip(classes, recalls(scores, labels).tolist(), strict=True))
