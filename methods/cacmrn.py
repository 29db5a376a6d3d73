"""CACMRN: transformers that attend between samples reconstruct the input of a modality from another's.

Source: Xiong et al., "Client-Adaptive Cross-Model Reconstruction Network for Modality-Incomplete Multimodal Federated
Learning", ACM Multimedia 2023, as far as its abstract and appendix C of Liu et al., "FedRecon: Missing Modality
Reconstruction in Heterogeneous Distributed Environments", 2025, tell: its text and code are not public. From there are
normalised self-attention between the samples of a batch, the three losses (cycle, semantic, divergence), that only
complete data trains the reconstructors, and that they work on features as they are.

Ours: the exact form of the attention and of the losses, two layers of it between two linear ones, all sizes, weights
and optimiser settings; one reconstructor for each ordered pair of modalities and the mean over the sources available; a
sequence is reconstructed as the mean of its steps, an image as its pixels in a row; in the means of reconstructors a
client counts by all of its samples, not by its pairs alone.

A reconstruction depends on the other samples of its batch; at test time on those of the fixed slice of
`numerics.evaluation_batch` samples that it is predicted with, of which no label is used. In a batch of one sample each
attention adds nothing but a linear map.

Shapes: K clients (may be absent), B batch, D features.
"""

from collections.abc import Mapping
from functools import partial
from itertools import permutations
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from raysim.method import (
    Adam,
    Batch,
    Feature,
    Group,
    Method,
    Nets,
    Objective,
    Optimizer,
    Phase,
    Streams,
    Task,
    Train,
    fill_inputs,
    paired,
)
from raysim.models.layers import Linear, normalize
from raysim.models.pooling import Pooling
from raysim.models.task import classify, encode

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]


class NormalizedSelfAttention(nn.Module):
    """Attention between the samples of a batch, inputs and columns of the projections scaled to unit length."""

    client_axis = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projections = nn.Parameter(torch.randn(3, width, width) * width**-0.5)
        self.scale = nn.Parameter(torch.full((1,), 10.0))

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Samples (*K, B, D), of which those that are `there`, (*K, B) bool, are attended to -> (*K, B, D)."""
        x = normalize(x)
        query, key, value = (x.unsqueeze(-3) @ self.columns().mT).unbind(-3)
        scores = self.scale.unsqueeze(-1) * (query @ key.mT)
        # A sample always attends to itself: where none is there, the softmax is still defined.
        itself = torch.eye(x.shape[-2], dtype=torch.bool, device=x.device)
        weights = torch.where(there.unsqueeze(-2) | itself, scores, -torch.inf).softmax(-1)
        return x + weights @ value

    def columns(self) -> Tensor:
        """The columns of W_Q, W_K and W_V, (*K, 3, D, D), a column in the last dimension."""
        return normalize(self.projections)

    def overlap(self) -> Tensor:
        """Mean squared cosine between different columns of a projection, (*K): what L_DI keeps small."""
        columns = self.columns()
        width = columns.shape[-1]
        same = torch.eye(width, dtype=torch.bool, device=columns.device)
        cosines = torch.where(same, 0.0, columns @ columns.mT)
        return cosines.square().sum((-3, -2, -1)) / (3 * max(width * (width - 1), 1))


class Reconstructor(nn.Module):
    """(*K, B, D) of one modality -> (*K, B, D') of another."""

    def __init__(self, source: Pooling, target: Pooling, options: "CACMRN.Options") -> None:
        super().__init__()
        self.source, self.target = source, target
        self.embed = Linear(source.width, options.width)
        self.layers = nn.ModuleList(NormalizedSelfAttention(options.width) for _ in range(options.layers))
        self.out = Linear(options.width, target.width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Linear, attention among the samples that are `there`, (*K, B) bool, linear."""
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x, there)
        return self.out(x)

    def overlap(self) -> Tensor:
        """The layers' mean, (*K)."""
        overlaps = [layer.overlap() for layer in self.layers if isinstance(layer, NormalizedSelfAttention)]
        return torch.stack(overlaps).mean(0)


class CACMRN(Method):
    """Complete samples train the reconstructors `rec.<source>_<target>`; then all train the task model, filled."""

    class Options(Method.Options):
        """CACMRN's settings; all are ours."""

        width: Count = Field(default=128, description="Width of the attention.")
        layers: Count = Field(default=2, description="Attention layers.")
        semantic_weight: Weight = Field(default=1.0, description="Weight of semantic consistency, L_SCL.")
        divergence_weight: Weight = Field(default=0.1, description="Weight of the projections' divergence, L_DI.")
        epochs: Count = Field(default=1, description="Of the reconstructors.")
        optimizer: Optimizer = Field(default=Adam(name="adam", lr=1e-3), description="Of the reconstructors.")

    options: Options
    fills = "input"
    kinds = frozenset({"vector", "sequence", "image"})
    least = 2
    outcomes = frozenset({"single_label", "multi_label"})  # semantic consistency is of probabilities

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model and a reconstructor for each ordered pair, owned by clients that have both."""
        groups = super().modules(task)
        pools = {m: Pooling.of(m, modality, groups[f"task.{m}"].net) for m, modality in task.modalities.items()}
        for s, t in permutations(pools, 2):
            net = Reconstructor(pools[s], pools[t], self.options)
            groups[f"rec.{s}_{t}"] = Group(net, frozenset({s, t}), algorithm=False, weights="samples")
        return groups

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """Every round: the reconstructors on samples with several modalities, then the task model on all."""
        objective = Objective(("rec.*",), self.reconstruction_loss, self.options.optimizer)
        reconstruction = Train("reconstruction", (objective,), samples=paired, epochs=self.options.epochs)
        return (Phase("train", (reconstruction, self.task_stage())),)

    def reconstruction_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """L_CM + L_SCL + L_DI, weighted, each the sum over ordered pairs and the mean over samples with both; (*K)."""
        with torch.no_grad():
            features = encode(nets, batch)
            taught = _log_probabilities(classify(nets, features), batch)
        losses: list[Tensor] = []
        for s, t in permutations([m for m in batch.x if not batch.nowhere(m)], 2):
            forth, back = _reconstructor(nets, s, t), _reconstructor(nets, t, s)
            made = self.reconstructed(nets, batch, s, t)
            again = back(made, batch.rows & batch.present[s])
            cycle = _squared_error(made, forth.target.vector(batch)) + _squared_error(again, back.target.vector(batch))
            logits = classify(nets, features | {t: nets[f"task.{t}"](*forth.target.input(made))})
            semantic = (taught.exp() * (taught - _log_probabilities(logits, batch))).sum(-1)
            each = cycle + self.options.semantic_weight * semantic
            divergence = self.options.divergence_weight * forth.overlap()
            losses.append(batch.mean(each, where=batch.all_present(s, t)) + divergence)
        return torch.stack(losses).sum(0)

    def reconstructed(self, nets: Nets, batch: Batch, source: str, target: str) -> Tensor:
        """The target's vectors (*K, B, D) by the source's; attention is among the rows that have the source."""
        net = _reconstructor(nets, source, target)
        return net(net.source.vector(batch), batch.rows & batch.present[source])

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """What is absent is encoded from its reconstruction; no gradient reaches the reconstructors."""
        make = partial(self.reconstructed, nets, batch)
        return fill_inputs(batch, nets, features, "rec", make, lambda s, t: _reconstructor(nets, s, t).target)


def _reconstructor(nets: Nets, source: str, target: str) -> Reconstructor:
    net = nets[f"rec.{source}_{target}"]
    assert isinstance(net, Reconstructor)
    return net


def _log_probabilities(logits: Tensor, batch: Batch) -> Tensor:
    """Of the classes, (*K, B, C); where multi-label of each label and of its absence, (*K, B, 2 C)."""
    if batch.y.is_floating_point():
        return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=-1)
    return logits.log_softmax(-1)


def _squared_error(made: Tensor, real: Tensor) -> Tensor:
    """The mean over a vector, (*K, B)."""
    return (made - real).square().mean(-1)
