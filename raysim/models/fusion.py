"""Fusion: the tokens of all modalities -> one vector a sample.

Shapes: K clients (may be absent), B batch, T tokens, D features, M modalities.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raysim.models.feature import Feature, Streams
from raysim.models.layers import Linear
from raysim.scenario.schema import AttentionFusion, Model

MASKED = -1e5
"""The logit of an invalid token; its weight after the softmax is exactly 0 in float32."""


class Concat(nn.Module):
    """Each modality's mean, concatenated in the order of `modalities`: (*K, B, M * dim).

    A modality with several streams is their weighted mean, over those that have a valid token; with none it is zero.
    """

    def __init__(self, modalities: Sequence[str], dim: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.width = len(self.modalities) * dim

    def forward(self, streams: Streams) -> Tensor:
        """Fuses one stream or several of each modality."""
        return torch.cat([_mean(features) for features in _listed(streams, self.modalities).values()], dim=-1)


class Attention(nn.Module):
    """Attention over all tokens of all modalities, with several context vectors: (*K, B, heads * dim).

    u = tanh(W h + b), logits = u c + log(weight), softmax over valid tokens, one weighted sum a head.
    Source: FedRecon eq. 6; `fuse_base` of FedMultimodal (Feng et al. 2023).
    """

    def __init__(self, modalities: Sequence[str], dim: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.width = heads * dim
        self.hidden = Linear(dim, hidden)
        self.context = Linear(hidden, heads)

    def forward(self, streams: Streams) -> Tensor:
        """Fuses one stream or several of each modality; zero where a row has no valid token at all."""
        tokens, weights = self.attend(streams)
        return (weights.mT @ tokens).flatten(-2)

    def attend(self, streams: Streams) -> tuple[Tensor, Tensor]:
        """All tokens (*K, B, T, dim), zero where invalid, and their weights (*K, B, T, heads)."""
        features = [f for several in _listed(streams, self.modalities).values() for f in several]
        valid = torch.cat([f.valid for f in features], dim=-1).unsqueeze(-1)
        tokens = torch.where(valid, torch.cat([f.tokens for f in features], dim=-2), 0.0)
        logits = self.context(torch.tanh(self.hidden(tokens)))
        shares = torch.cat([torch.full_like(f.tokens[..., :1], math.log(f.weight)) for f in features], dim=-2)
        return tokens, torch.where(valid, logits + shares, MASKED).softmax(-2)


def build_fusion(modalities: Sequence[str], model: Model) -> Concat | Attention:
    """The fusion that the model section asks for."""
    spec = model.fusion
    if isinstance(spec, AttentionFusion):
        return Attention(modalities, model.dim, spec.hidden, spec.heads)
    return Concat(modalities, model.dim)


def _listed(streams: Streams, modalities: Sequence[str]) -> Mapping[str, Sequence[Feature]]:
    """The streams in the order of `modalities`, always as a sequence."""
    return {m: (f,) if isinstance(f := streams[m], Feature) else f for m in modalities}


def _mean(features: Sequence[Feature]) -> Tensor:
    """(*K, B, D), the weighted mean of the streams' pooled vectors."""
    if len(features) == 1:
        return features[0].pooled()
    shares = torch.stack([torch.where(f.present(), f.weight, 0.0) for f in features], dim=-1)
    total = torch.stack([f.pooled() * f.weight for f in features], dim=-1).sum(-1)
    whole = shares.sum(-1, keepdim=True)
    return total / torch.where(whole > 0, whole, 1.0)
