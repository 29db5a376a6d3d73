"""Zero filling: an absent modality contributes zeros.

The floor that every other method has to beat. Under concatenation its embedding is zero; under attention its tokens
get no weight.
Source: Poudel et al., "Multimodal Federated Learning With Missing Modalities through Feature Imputation Network",
2025, eq. 3; FedMultimodal (Feng et al. 2023) inserts zero inputs of length 0, to the same effect.
"""

from collections.abc import Mapping

from raysim.method import Batch, Feature, Method, Nets, Streams


class ZeroFill(Method):
    """Embeddings of absent modalities are zero."""

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Each modality's embedding where it is present."""
        return {m: f.where(batch.present[m]) for m, f in features.items()}
