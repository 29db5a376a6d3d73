"""A modality's input as one vector a sample, and such a vector as an input: what generators of features work on.

A vector is itself, a sequence the mean of its valid steps, an image all its pixels in a row: features come
pre-extracted (FedRecon, appendix C), so there is no further extractor.

Shapes: K clients (may be absent), B batch, T steps, D features.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raysim.data.dataset import Modality
from raysim.models.encoder import Encoder, within
from raysim.models.feature import Feature
from raysim.models.task import Inputs


@dataclass(frozen=True)
class Pooling:
    """Between one modality's inputs and vectors.

    Attributes:
        name: the modality's name.
        modality: not tokens, whose mean says nothing.
        steps: of the sequence that a vector becomes, all alike: as many as the encoder makes one token of.
    """

    name: str
    modality: Modality
    steps: int = 1

    @classmethod
    def of(cls, name: str, modality: Modality, encoder: nn.Module) -> "Pooling":
        """For the inputs of a task model's encoder."""
        assert isinstance(encoder, Encoder)
        return cls(name, modality, encoder.downsampling)

    @property
    def width(self) -> int:
        """D, the vector's width."""
        shape = self.modality.shape
        return math.prod(shape) if self.modality.kind == "image" else shape[-1]

    def vector(self, batch: Inputs) -> Tensor:
        """The batch's inputs as (*K, B, D); zeros where the modality is absent."""
        x, lengths = batch.x[self.name], batch.lengths.get(self.name)
        if self.modality.kind == "image":
            x = x.flatten(-3)
        elif self.modality.kind == "sequence":
            x = x.mean(-2) if lengths is None else Feature(x, within(lengths, x.shape[-2])).pooled()
        return torch.where(batch.present[self.name].unsqueeze(-1), x, 0.0)

    def input(self, vector: Tensor) -> tuple[Tensor, Tensor | None]:
        """(*K, B, D) -> what the encoder takes: (*K, B, *shape), and lengths (*K, B) of sequences."""
        if self.modality.kind == "image":
            return torch.unflatten(vector, -1, self.modality.shape), None
        if self.modality.kind == "vector":
            return vector, None
        x = vector.unsqueeze(-2).expand(*vector.shape[:-1], self.steps, vector.shape[-1])
        return x, torch.full(vector.shape[:-1], self.steps, device=vector.device)
