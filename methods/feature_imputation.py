"""FIN: small networks learn to predict one modality's embedding from another's, and stand in where it is missing.

Source: Poudel et al., "Multimodal Federated Learning With Missing Modalities through Feature Imputation Network", 2025,
section 2.2, eqs. 4 to 6. The paper gives 6.324 M parameters and 6.318 M multiply-adds. The only layout that has both is
six post-norm decoder layers (d = 256, four heads, feed-forward 1,024) without a final norm, with one query token and
one memory token (both the available embedding), and a linear head of 14 classes whose logits do not enter the loss.

Ours where the paper is silent: the embeddings that the imputers learn from (eq. 4) are of images as they are, not
augmented, and computed once a round; clients train the task model with the imputers standing in wherever a sample of
theirs lacks something, also those that train imputers. What nobody has trained yet imputes nothing: that is zero
filling, as in the first round.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import permutations
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from raysim.method import (
    Batch,
    Derive,
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
    mean_over_sources,
    paired,
    usable,
)
from raysim.models.layers import Linear, normalize
from raysim.models.task import encode
from raysim.models.transformer import DecoderLayer


class Imputer(nn.Module):
    """(*K, B, D) of one modality -> (*K, B, D) of another."""

    def __init__(self, options: "FeatureImputation.Options", task: Task) -> None:
        super().__init__()
        dim = task.model.dim
        self.layers = nn.ModuleList(
            DecoderLayer(dim, options.heads, options.hidden, options.dropout) for _ in range(options.layers)
        )
        self.head = Linear(dim, task.classes)
        self.unit = task.model.normalize

    def forward(self, available: Tensor) -> Tensor:
        """Query and memory are the available embedding; unit length out where the task model's embeddings have it."""
        memory = tokens = available.unsqueeze(-2)
        for layer in self.layers:
            tokens = layer(tokens, memory)
        imputed = tokens.squeeze(-2)
        return normalize(imputed) if self.unit else imputed

    def classes(self, imputed: Tensor) -> Tensor:
        """Logits (*K, B, C) of an imputed embedding: the auxiliary classifier."""
        return self.head(imputed)


class FeatureImputation(Method):
    """The task model is trained, with imputed embeddings for what is missing; then the imputers, on its embeddings."""

    class Options(Method.Options):
        """FIN's settings; the defaults are the paper's."""

        layers: Annotated[int, Field(ge=1)] = Field(default=6, description="Decoder layers.")
        heads: Annotated[int, Field(ge=1)] = Field(default=4, description="Attention heads; must divide model.dim.")
        hidden: Annotated[int, Field(ge=1)] = Field(default=1024, description="Feed-forward width.")
        dropout: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.1, description="In the imputers' layers.")
        epochs: Annotated[int, Field(ge=1)] | None = Field(
            default=None, description="Of the imputers; null: local_epochs."
        )
        optimizer: Optimizer | None = Field(default=None, description="Of the imputers; null: the federation's.")
        auxiliary_weight: Annotated[float, Field(ge=0)] = Field(
            default=0.0, description="Weight of the auxiliary classifier's loss; 0 is the paper's."
        )
        source: Literal["mean", "first"] = Field(
            default="mean", description="With more than two modalities: the mean over those available, or the first."
        )

    options: Options
    fills = "pooled"
    least = 2

    def check(self, task: Task) -> None:
        """Needs a width that the heads divide."""
        super().check(task)
        if task.model.dim % self.options.heads:
            raise ValueError(f"method.heads is {self.options.heads}, which does not divide model.dim {task.model.dim}")

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model and `fin.<source>_<target>` for each ordered pair, owned by clients that have both."""
        imputers = {
            f"fin.{s}_{t}": Group(Imputer(self.options, task), needs=frozenset({s, t}))
            for s, t in permutations(task.modalities, 2)
        }
        return super().modules(task) | imputers

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """Every round: the task model, then the imputers on pairs of its embeddings, computed once."""
        objective = Objective(("fin.*",), self.imputation_loss, self.options.optimizer)
        imputers = Train(
            "imputation", (objective,), samples=paired, epochs=self.options.epochs, derive=Derive(self.embeddings)
        )
        return (Phase("train", (self.task_stage(), imputers)),)

    def embeddings(self, nets: Nets, batch: Batch) -> Mapping[str, Tensor]:
        """Each modality's embedding (*K, B, D) by the task model."""
        return {m: feature.pooled() for m, feature in encode(nets, batch).items()}

    def imputation_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """Mean squared error between imputed and real embeddings, over samples that have both (eq. 4), (*K)."""
        losses: list[Tensor] = []
        for source, target, imputer in self._imputers(nets, batch):
            imputed = imputer(batch.columns[source])
            both = batch.all_present(source, target)
            losses.append(batch.mean((imputed - batch.columns[target]).square().mean(-1), where=both))
            if self.options.auxiliary_weight:
                pairs = replace(batch, rows=batch.rows & both)
                losses.append(self.options.auxiliary_weight * pairs.task_loss(imputer.classes(imputed)))
        return torch.stack(losses).sum(0)

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """What is absent is imputed from what is there; no gradient reaches the imputers or, through them, encoders."""
        filled = {m: f.where(batch.present[m]) for m, f in features.items()}
        pooled = {m: f.pooled() for m, f in features.items()}
        for target in [m for m in features if not batch.everywhere(m)]:
            sources = usable(batch, nets, {m: f"fin.{m}_{target}" for m in features if m != target})
            if not sources.present:
                continue
            with torch.no_grad():
                guesses = {s: nets[f"fin.{s}_{target}"](pooled[s]) for s in sources.present}
            imputed, known = mean_over_sources(guesses, sources, first=self.options.source == "first")
            filled[target] = filled[target].where(batch.present[target], Feature.of(imputed, known))
        return filled

    def _imputers(self, nets: Nets, batch: Batch) -> Iterator[tuple[str, str, Imputer]]:
        for source, target in permutations([m for m in batch.present if not batch.nowhere(m)], 2):
            imputer = nets[f"fin.{source}_{target}"]
            assert isinstance(imputer, Imputer)
            yield source, target, imputer
