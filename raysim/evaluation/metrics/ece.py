"""Expected calibration error: how far confidence and accuracy are apart, in bins of equal width.

Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, eq. 3; bin m has confidences in ((m-1)/M, m/M].
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from raysim.evaluation.metrics._common import Labels, Scores, metric


@metric(("single_label",), higher_is_better=False)
def ece(
    scores: Scores,
    labels: Labels,
    bins: Annotated[int, Field(ge=1, description="M, how many there are.")] = 15,
) -> float | None:
    """From 0 to 1; None where a score is not finite."""
    if not np.isfinite(scores).all():
        return None
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
