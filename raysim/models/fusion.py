"""Fusion: the tokens of all modalities -> one vector a sample.

Shapes: K clients (may be absent), B batch, T tokens, D features, M modalities.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raysim.models.feature import Feature, Streams, pooled
from raysim.models.layers import Linear
from raysim.models.own import Fused, own_fusion
from raysim.scenario.model import AttentionFusion, Model, OwnFusion

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
        return torch.cat([pooled(streams[m]) for m in self.modalities], dim=-1)


class Attention(nn.Module):
    """Attention over all tokens of all modalities, with several context vectors: (*K, B, heads * dim).

    u = tanh(W h + b), logits = u c + log(share), softmax over valid tokens, one weighted sum a head. A token of a plain
    stream has a share of 1. A stream with a weight counts as that much of a plain one: its T valid tokens have a share
    of weight n / T each, where n is the mean number of valid tokens of the row's plain streams, 1 if it has none.
    Source: FedRecon eq. 6 and section 4.5; `fuse_base` of FedMultimodal (Feng et al. 2023).
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
        if tokens.device.type == "cpu":
            logits = _logits(tokens, self.hidden.weight, self.hidden.bias, self.context.weight, self.context.bias)
        else:
            logits = self.context(torch.tanh(self.hidden(tokens)))
        if any(f.weight is not None for f in features):
            logits = logits + torch.cat(_log_shares(features), dim=-1).unsqueeze(-1)
        return tokens, torch.where(valid, logits, MASKED).softmax(-2)


def _logits(x: Tensor, *weights: Tensor) -> Tensor:
    """tanh(x W + b) V + c: (*K, B, T, D) -> (*K, B, T, heads)."""
    stacked = weights[1].dim() == 2
    rows = x.flatten(1, -2) if stacked else x.flatten(0, -2)[None]
    function: Any = _TanhLogits  # torch does not type `apply`
    with torch.autocast(x.device.type, enabled=False):  # whole precision, as the gradient assumes
        out = function.apply(rows.to(weights[0].dtype), *(weights if stacked else (w[None] for w in weights)))
    return out.view(*x.shape[:-1], out.shape[-1])


class _TanhLogits(torch.autograd.Function):
    """A wide hidden layer, written and read once: a client at a time and in place, so that it stays in a CPU's cache.

    x (K, R, D), w (K, H, D), b (K, H), v (K, O, H), c (K, O) -> (K, R, O). It takes 2 sigmoid(2 x) - 1 for tanh,
    which is the same to 1e-7 and a fifth of the time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor, v: Tensor, c: Tensor) -> Tensor:
        hidden, out = x.new_empty(*x.shape[:2], w.shape[1]), x.new_empty(*x.shape[:2], v.shape[1])
        for k in range(len(x)):
            torch.addmm(b[k], x[k], w[k].T, out=hidden[k]).mul_(2).sigmoid_().mul_(2).sub_(1)
            torch.addmm(c[k], hidden[k], v[k].T, out=out[k])
        ctx.save_for_backward(x, w, v, hidden)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        x, w, v, hidden = ctx.saved_tensors
        grad, slope = grads[0].contiguous(), hidden.new_empty(hidden.shape[1:])
        to_x, to_w, to_b, to_v = torch.empty_like(x), torch.empty_like(w), w.new_empty(w.shape[:2]), torch.empty_like(v)
        for k in range(len(x)):
            torch.mm(grad[k], v[k], out=slope)
            torch.ops.aten.tanh_backward.grad_input(slope, hidden[k], grad_input=slope)
            torch.mm(slope, w[k], out=to_x[k])
            torch.mm(slope.T, x[k], out=to_w[k])
            torch.sum(slope, 0, out=to_b[k])
            torch.mm(grad[k].T, hidden[k], out=to_v[k])
        return to_x, to_w, to_b, to_v, grad.sum(1)


def _log_shares(features: Sequence[Feature]) -> list[Tensor]:
    """Of each stream's tokens (*K, B, T): log of their share."""
    counts = [f.valid.sum(-1, keepdim=True).clamp(min=1).float() for f in features]
    plain = [(f.present().unsqueeze(-1), c) for f, c in zip(features, counts, strict=True) if f.weight is None]
    ordinary = torch.ones_like(counts[0])
    if plain:
        there = torch.stack([p for p, _ in plain]).sum(0)
        total = torch.stack([torch.where(p, c, 0.0) for p, c in plain]).sum(0)
        ordinary = torch.where(there > 0, total / there.clamp(min=1), 1.0)
    return [
        torch.zeros_like(c).expand_as(f.valid)
        if f.weight is None
        else (math.log(f.weight) + (ordinary / c).log()).expand_as(f.valid)
        for f, c in zip(features, counts, strict=True)
    ]


def build_fusion(modalities: Sequence[str], model: Model) -> Concat | Attention | Fused:
    """The fusion that the model section asks for.

    Raises:
        ValueError: one of one's own cannot be built, or does not fit.
    """
    spec = model.fusion
    if isinstance(spec, OwnFusion):
        return own_fusion(spec, modalities, model.dim)
    if isinstance(spec, AttentionFusion):
        return Attention(modalities, model.dim, spec.hidden, spec.heads)
    return Concat(modalities, model.dim)


def _listed(streams: Streams, modalities: Sequence[str]) -> Mapping[str, Sequence[Feature]]:
    """The streams in the order of `modalities`, always as a sequence."""
    return {m: (f,) if isinstance(f := streams[m], Feature) else f for m in modalities}
