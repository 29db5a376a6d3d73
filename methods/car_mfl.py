"""CAR-MFL: what a sample lacks is borrowed from the most similar of the server's public samples.

Source: Poudel et al., "CAR-MFL: Cross-Modal Augmentation by Retrieval for Multimodal Federated Learning with Missing
Modalities", MICCAI 2024, and its public code. Each round the server embeds its public samples with the global model.
A client finds, for each incomplete sample, the nearest of them in the modality that it has; among the ten nearest the
one whose labels are most alike. It then trains the whole task model on its own modality beside the other one of that
public sample, as it is. The server trains on its public samples like one more client.

In the mean of an encoder the clients that lack its modality count `alpha` times, and the code then takes a softmax over
the shares. That evens everything out: the ratio of 0.09 to 0.027 becomes 1.065. `reweight: normalize` has no softmax.

Ours: with more than two modalities the sum of the squared distances over those that a sample has; at test time, where
the paper's data is complete, the nearest public sample, without labels. A sample without any modality borrows nothing.

Shapes: K clients (may be absent), B batch, C classes, D features, N public samples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field, StrictBool
from torch import Tensor

from raysim.method import (
    Batch,
    ClientInfo,
    Derive,
    Feature,
    Group,
    Method,
    Nets,
    Phase,
    Public,
    Shares,
    Streams,
    Task,
)
from raysim.models.task import encode

JOINT = ("task.fusion", "task.head")
"""The groups that are no modality's encoder."""


@dataclass(frozen=True)
class Borrowed:
    """What the encoders read of public samples, as a batch; `present` where a sample borrows the modality."""

    x: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor]
    present: Mapping[str, Tensor]

    def nowhere(self, modality: str) -> bool:
        """Whatever the batch's own rows lack, so that a stack runs the layers that its clients would."""
        return False


class CarMfl(Method):
    """The task model is trained by all clients alike, on borrowed inputs where their own are missing."""

    class Options(Method.Options):
        """CAR-MFL's settings; the defaults are the paper's."""

        neighbours: Annotated[int, Field(ge=1)] = Field(
            default=10, description="Nearest public samples among which labels decide."
        )
        refine: StrictBool = Field(default=True, description="False: the nearest, whatever its labels.")
        alpha: Annotated[float, Field(gt=0, le=1)] = Field(
            default=0.3, description="How much the clients that lack a modality count for its encoder."
        )
        reweight: Literal["softmax", "normalize", "none"] = Field(
            default="softmax", description="What makes an encoder's shares add up to one; none: alpha is not used."
        )
        server_epochs: Annotated[int, Field(ge=0)] | None = Field(
            default=None, description="Of the server on its public samples; null: local_epochs, 0: it does not train."
        )

    options: Options
    fills = "input"
    least = 2
    server_trains = True

    def check(self, task: Task) -> None:
        """Labels of a regression are not the same or others.

        Raises:
            ValueError: they shall decide all the same.
        """
        super().check(task)
        if task.regression and self.options.refine:
            raise ValueError("car_mfl refines by labels, which are no classes here; set refine: false")

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model; everyone owns all of it, as borrowed inputs train every encoder."""
        return {name: replace(group, needs=frozenset[str]()) for name, group in super().modules(task).items()}

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """The clients, who look for public samples first, and the server."""
        stages = [self.task_stage(clients=_is_client, derive=Derive(self.retrieve))]
        if self.options.server_epochs != 0:
            stages.append(self.task_stage("server", clients=_is_server, epochs=self.options.server_epochs))
        return (Phase("train", tuple(stages)),)

    def hears(self, client: ClientInfo) -> bool:
        """Only who lacks something has a use for public samples."""
        return client.complete < client.samples

    def share(self, nets: Nets, batch: Batch) -> Mapping[str, Tensor]:
        """Modality -> the public samples' embeddings (B, D)."""
        return {m: feature.pooled().float() for m, feature in encode(nets, batch).items()}

    def retrieve(self, nets: Nets, batch: Batch) -> Mapping[str, Tensor]:
        """Which public sample each sample borrows from, (*K, B); nothing for clients that lack nothing."""
        if all(batch.everywhere(m) for m in batch.present):
            return {}
        return {"retrieved": self.similar(batch, encode(nets, batch))}

    def similar(self, batch: Batch, features: Mapping[str, Feature]) -> Tensor:
        """Numbers (*K, B) of public samples: the nearest or, with `refine`, of the nearest the one most alike."""
        public, gaps = _public(batch), distances(batch, features)
        if not self.options.refine:
            return gaps.argmin(-1)
        nearest = gaps.topk(min(self.options.neighbours, gaps.shape[-1]), largest=False).indices
        alike = jaccard if public.y.dim() > 1 else equal
        best = alike(batch.y, public.y[nearest]).argmax(-1, keepdim=True)
        return nearest.gather(-1, best).squeeze(-1)

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Where a modality is absent, the embedding of the one that the public sample has."""
        lacking = [m for m in features if not batch.everywhere(m)]
        if not lacking:
            return features
        known = batch.columns.get("retrieved")
        numbers = distances(batch, features).argmin(-1) if known is None else known
        found = encode(nets, borrow(batch, lacking, numbers))
        return {m: f.where(batch.present[m], found[m]) if m in found else f for m, f in features.items()}

    def reweight(self, group: str, shares: Shares, clients: Mapping[int, ClientInfo]) -> Shares:
        """An encoder's shares, less those of clients that lack its modality; others as they are."""
        if group in JOINT or self.options.reweight == "none":
            return shares
        modality, alpha = group.removeprefix("task."), self.options.alpha
        counted = {c: s * (1.0 if modality in clients[c].modalities else alpha) for c, s in shares.items()}
        if self.options.reweight == "softmax":
            counted = {c: math.exp(s) for c, s in counted.items()}
        total = math.fsum(counted.values())
        return {c: s / total for c, s in counted.items()}


def distances(batch: Batch, features: Mapping[str, Feature]) -> Tensor:
    """Squared Euclidean distances of pooled embeddings to the public ones, over what a sample has: (*K, B, N)."""
    gaps = batch.rows.new_zeros((), dtype=torch.float32)
    for m, feature in features.items():
        if batch.nowhere(m):
            continue
        # Not by way of inner products, which round to more than what parts near neighbours.
        gap = torch.cdist(feature.pooled().float(), batch.shared[m], compute_mode="donot_use_mm_for_euclid_dist")
        gaps = gaps + torch.where(batch.present[m].unsqueeze(-1), gap.square(), 0.0)
    return gaps


def jaccard(mine: Tensor, theirs: Tensor) -> Tensor:
    """How alike sets of labels (*K, B, C) and (*K, B, n, C) are, (*K, B, n): two empty sets are equal."""
    mine, theirs = mine.unsqueeze(-2) > 0.5, theirs > 0.5
    both, either = (mine & theirs).sum(-1), (mine | theirs).sum(-1)
    return torch.where(either == 0, 1.0, both / either.clamp(min=1))


def equal(mine: Tensor, theirs: Tensor) -> Tensor:
    """The same for classes (*K, B) and (*K, B, n): 1 for the same, otherwise 0."""
    return (mine.unsqueeze(-1) == theirs).float()


def borrow(batch: Batch, modalities: Sequence[str], numbers: Tensor) -> Borrowed:
    """These modalities of public samples (*K, B), for the rows that lack them but not everything."""
    public, something = _public(batch), torch.stack(list(batch.present.values())).any(0)
    return Borrowed(
        x={m: public.take(m, numbers) for m in modalities},
        lengths={m: public.lengths[m][numbers] for m in modalities if m in public.lengths},
        present={m: something & ~batch.present[m] for m in modalities},
    )


def _public(batch: Batch) -> Public:
    assert batch.public is not None, "the engine refuses a scenario without public samples"
    return batch.public


def _is_server(client: ClientInfo) -> bool:
    return client.server


def _is_client(client: ClientInfo) -> bool:
    return not client.server
