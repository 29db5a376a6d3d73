"""What MobileBERT makes of a text: a vector of 512 a token, or one in all.

Sun et al., "MobileBERT", ACL 2020. With its defaults these are the text features of FedMultimodal (Feng et al. 2023).
"""

from typing import ClassVar

from pydantic import Field, StrictStr

from raysim.features.bert import Bert


class Mobilebert(Bert):
    """As `bert`, with other weights."""

    class Options(Bert.Options):
        """What may be chosen."""

        weights: StrictStr = Field(
            default="google/mobilebert-uncased", description=Bert.Options.model_fields["weights"].description
        )

    architecture: ClassVar[str] = "mobilebert"
