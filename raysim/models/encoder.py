"""What an encoder is: one modality's input -> tokens of a common width.

Shapes: K clients (may be absent), B batch, T steps.
"""

import torch
from torch import Tensor, nn

from raysim.models.feature import Feature
from raysim.scenario.model import Model


class Encoder(nn.Module):
    """Base of all encoders. A subclass gives tokens; this class adds what is valid and unit length.

    That is of the embedding, the mean over valid tokens, which FIN (section 3.2) normalises before it is fused.

    Attributes:
        downsampling: input steps for one token.
        selective: it is given the rows that are there alone: others would cost time and enter batch statistics. Only
            for encoders that take no client axis.
    """

    downsampling = 1
    selective = False

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.normalize, self.dim = model.normalize, model.dim

    def absent(self, present: Tensor) -> Feature:
        """What stands for rows (*K, B) that all lack the modality: one token, not valid."""
        tokens = torch.zeros(*present.shape, 1, self.dim, device=present.device)
        return Feature(tokens, torch.zeros_like(present).unsqueeze(-1))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Feature:
        """Encodes x (*K, B, *shape) with lengths (*K, B), None for full ones; a length below 1 counts as 1."""
        if lengths is not None:
            lengths = lengths.clamp(min=1)
        tokens = self.tokens(x, lengths)
        if lengths is None:
            feature = Feature(tokens, tokens.new_ones(tokens.shape[:-1], dtype=torch.bool))
        else:
            feature = Feature(tokens, within(lengths // self.downsampling, tokens.shape[-2]))
        return feature.of_unit_length() if self.normalize else feature

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, *shape) -> (*K, B, T, dim)."""
        raise NotImplementedError


def within(lengths: Tensor, steps: int) -> Tensor:
    """(*K, B) lengths, at least 1 -> (*K, B, steps) bool, True before the end."""
    return torch.arange(steps, device=lengths.device) < lengths.clamp(min=1).unsqueeze(-1)
