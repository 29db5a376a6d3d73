"""Accuracy of a sentiment from -3 to 3 in seven classes: both are cut to that range and rounded, halves to even.

Source: Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences", 2019, section 4.2, and its
code.
"""

import numpy as np

from raysim.evaluation.metrics._common import REGRESSION, Labels, Scores, metric


@metric(REGRESSION)
def acc7(scores: Scores, labels: Labels) -> float:
    """From 0 to 1."""
    predicted, true = (np.round(np.clip(values, -3, 3)) for values in (scores, labels))
    return float((predicted == true).mean())
