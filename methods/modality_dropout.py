"""Modality dropout: while training, modalities that a sample has are hidden at random, so that none is leant on alone.

Absent and hidden modalities contribute zeros, as in zero filling; at evaluation nothing is hidden.
Source: Neverova et al., "ModDrop: Adaptive Multi-Modal Gesture Recognition", IEEE TPAMI, 2016 (arXiv 1501.00102). Ours:
a sample always keeps one of its modalities, and what is hidden is the embedding.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from raysim.method import Batch, Feature, Method, Nets, Streams


class ModalityDropout(Method):
    """Zero filling, with more to fill."""

    class Options(Method.Options):
        """Modality dropout's settings."""

        rate: Annotated[float, Field(ge=0, lt=1)] = Field(
            default=0.3, description="How probably a modality that a sample has is hidden in a step."
        )

    options: Options
    least = 2

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Each modality's embedding where it is present and, in training, not hidden."""
        seen = self.seen(batch) if batch.clients else batch.present
        return {m: f.where(seen[m]) for m, f in features.items()}

    def seen(self, batch: Batch) -> dict[str, Tensor]:
        """Modality -> (*K, B) bool: what is left; of a sample's modalities the one that drew most always is."""
        present = torch.stack(list(batch.present.values()))
        draws = [batch.noise(f"hide.{m}", batch.rows.shape, "uniform") for m in batch.present]
        drawn = torch.where(present, torch.stack(draws), -1.0)
        kept = present & ((drawn >= self.options.rate) | (drawn == drawn.amax(0)))
        return dict(zip(batch.present, kept, strict=True))
