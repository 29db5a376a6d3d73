"""Uniform filling: an absent modality's embedding is noise, drawn anew at every step.

Source: Poudel et al., "Multimodal Federated Learning With Missing Modalities through Feature Imputation Network",
2025, eq. 3. Real embeddings have unit length there, so the noise is scaled to unit length too unless `normalize_fill`
says otherwise.
"""

from collections.abc import Mapping

from pydantic import Field, StrictBool
from torch.nn import functional as F

from raysim.method import Batch, Feature, Method, Nets, Streams


class UniformFill(Method):
    """Embeddings of absent modalities are drawn from U(0, 1)."""

    class Options(Method.Options):
        """Uniform filling's settings."""

        normalize_fill: StrictBool = Field(default=True, description="Scale the noise to unit length.")

    options: Options
    fills = "pooled"

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Each modality's embedding, one token of noise where it is absent."""
        filled: dict[str, Feature] = {}
        for m, feature in features.items():
            noise = batch.noise(f"fill.{m}", (*batch.rows.shape, feature.tokens.shape[-1]), "uniform")
            filled[m] = feature.where(
                batch.present[m], F.normalize(noise, dim=-1) if self.options.normalize_fill else noise
            )
        return filled
