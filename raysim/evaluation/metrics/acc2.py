"""Binary accuracy of a sentiment from -3 to 3, as CMU-MOSI and CMU-MOSEI have it.

Source: Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences", 2019, section 4.2, and its
code, which leaves zeros out; Hazarika et al., "MISA", 2020, section 4.4, reports both.
"""

from typing import Annotated, Literal

from pydantic import Field

from raysim.evaluation.metrics._common import REGRESSION, Labels, Scores, metric, signs

Zeros = Annotated[
    Literal["non_negative", "left_out"],
    Field(
        description="non_negative: negative against the rest; left_out: negative against positive, without samples "
        "whose truth is 0."
    ),
]


@metric(REGRESSION)
def acc2(scores: Scores, labels: Labels, zeros: Zeros = "non_negative") -> float | None:
    """From 0 to 1; None where no sample is left."""
    predicted, true = signs(scores, labels, zeros)
    return float((predicted == true).mean()) if len(true) else None
