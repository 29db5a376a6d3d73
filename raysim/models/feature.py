"""What encoders give and fusion takes: tokens, some of which are valid.

Shapes: K clients (may be absent), B batch, T tokens, D features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from raysim.models.layers import length


@dataclass(frozen=True)
class Feature:
    """One stream of a modality's embedding.

    Attributes:
        tokens: (*K, B, T, D); what stands where `valid` is False is never read.
        valid: (*K, B, T) bool; a row without any valid token is absent.
        weight: the whole stream's share against other streams, above 0, however many tokens it has (FedRecon weighs
            synthetic streams less). None is a plain stream: it counts once in a mean of streams, and each of its tokens
            once in attention.
    """

    tokens: Tensor
    valid: Tensor
    weight: float | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and self.weight <= 0:
            raise ValueError(f"a stream's weight must be above 0, got {self.weight}; leave the stream out instead")

    @staticmethod
    def of(vector: Tensor, present: Tensor | None = None, weight: float | None = None) -> "Feature":
        """One token a row: vector (*K, B, D), present (*K, B) or None for all."""
        if present is None:
            present = vector.new_ones(vector.shape[:-1], dtype=torch.bool)
        return Feature(vector.unsqueeze(-2), present.unsqueeze(-1), weight)

    def pooled(self) -> Tensor:
        """(*K, B, D), the mean over valid tokens, zero where there is none."""
        total = torch.where(self.valid.unsqueeze(-1), self.tokens, 0.0).sum(-2)
        return total / self.valid.sum(-1, keepdim=True).clamp(min=1)

    def of_unit_length(self) -> "Feature":
        """All tokens of a row scaled alike, so that their mean has unit length; a mean of zero stays zero."""
        return replace(self, tokens=self.tokens / length(self.pooled()).unsqueeze(-2))

    def present(self) -> Tensor:
        """(*K, B) bool, rows with a valid token."""
        return self.valid.any(-1)

    def where(self, present: Tensor, other: "Feature | Tensor | None" = None) -> "Feature":
        """Keeps the rows where present (*K, B) is True and takes the others from `other`.

        `other` is a Feature, a Tensor (*K, B, D) as one valid token, or None: those rows are absent. The weight stays.
        """
        if other is None:
            return replace(self, valid=self.valid & present.unsqueeze(-1))
        if isinstance(other, Tensor):
            other = Feature.of(other)
        steps = max(self.valid.shape[-1], other.valid.shape[-1])
        mine, theirs = _padded(self, steps), _padded(other, steps)
        tokens = torch.where(present[..., None, None], mine.tokens, theirs.tokens)
        return replace(self, tokens=tokens, valid=torch.where(present[..., None], mine.valid, theirs.valid))


Streams = Mapping[str, Feature | Sequence[Feature]]
"""Modality -> its embedding, as one stream or several."""


def checked(streams: Any, features: Mapping[str, Feature]) -> Streams:
    """What a method's `fill` returned, if it has a stream or several for each modality and nothing else.

    Raises:
        TypeError: it is something else.
        ValueError: a modality is left out, or unknown.
    """
    if not isinstance(streams, Mapping):
        raise TypeError(f"fill must return modality -> Feature, but returned {_kind(streams)}")
    found = cast("Mapping[str, Any]", streams)
    if odd := [m for m in features if m not in found] or [m for m in found if m not in features]:
        what = "returned nothing for" if odd[0] in features else "returned something for"
        raise ValueError(f"fill {what} '{odd[0]}'; return one Feature or several for each of {', '.join(features)}")
    for name, several in found.items():
        parts: list[Any] = [*cast("Sequence[Any]", several)] if isinstance(several, list | tuple) else [several]
        wrong: list[Any] = [part for part in parts if not isinstance(part, Feature)]
        if wrong or not parts:
            kind = _kind(wrong[0]) if wrong else "no stream"
            raise TypeError(f"fill returned {kind} for '{name}'; return a Feature: Feature.of(vector), say")
    return found


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def pooled(streams: Feature | Sequence[Feature]) -> Tensor:
    """(*K, B, D), the weighted mean of the streams' pooled vectors; zero where none has a valid token."""
    if isinstance(streams, Feature) or len(streams) == 1:
        return (streams if isinstance(streams, Feature) else streams[0]).pooled()
    weights = [1.0 if f.weight is None else f.weight for f in streams]
    shares = torch.stack([torch.where(f.present(), w, 0.0) for f, w in zip(streams, weights, strict=True)], dim=-1)
    total = torch.stack([f.pooled() * w for f, w in zip(streams, weights, strict=True)], dim=-1).sum(-1)
    whole = shares.sum(-1, keepdim=True)
    return total / torch.where(whole > 0, whole, 1.0)


def anything(streams: Feature | Sequence[Feature]) -> Tensor:
    """(*K, B) bool, rows for which one of the streams has a valid token."""
    several = [streams] if isinstance(streams, Feature) else streams
    return torch.stack([stream.present() for stream in several]).any(0)


def _padded(feature: Feature, steps: int) -> Feature:
    more = steps - feature.valid.shape[-1]
    return replace(feature, tokens=F.pad(feature.tokens, (0, 0, 0, more)), valid=F.pad(feature.valid, (0, more)))
