"""mmFedMC: a classifier for each modality; a client uploads the few that matter most, and only some clients do.

Source: Yuan et al., "Communication-Efficient Multimodal Federated Learning: Joint Modality and Client Selection", 2024
(arXiv 2401.16685), and its public code. Each round a client trains the classifier of every modality that it has (the
paper: 5 epochs of SGD at 0.1, batches of 32). A personal ensemble takes their decisions; by the Shapley values in it,
by size and by the rounds since it was last uploaded the client chooses `modalities` of its classifiers. Of the clients
that would send a modality, a fraction with the lowest loss does, and their mean is the new global classifier. Nothing
stands in for an absent modality.

That fraction is of those that would send the modality, and they compete by loss alone, as in the paper and its code;
FedRecon (appendix C) tells of it that clients are chosen by Shapley value and loss: here the Shapley value decides
before, on which modalities a client would send.

The ensemble is the table that says, for each combination of decisions, its most frequent label in the client's training
data. That is what trees say that are grown to the end on all samples; the paper's forest of ten adds resampling. An
absent modality is a decision of its own; with several labels each has a table, and accuracy is their mean.

Ours: exact Shapley values of the ensemble's accuracy instead of sampled attributions of its output; a modality counts
as uploaded when it really was (the code: when the client chose it); and since a personal ensemble is no global model,
predictions are the mean of the global classifiers' probabilities over the modalities that a sample has. How well the
personal ensembles do on the global classifiers is among each client's offers.

Shapes: K clients (may be absent), B batch, C classes, L decisions a sample: its class, or C labels.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from math import comb
from operator import itemgetter
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from raysim.method import (
    Batch,
    ClientInfo,
    Clock,
    Compute,
    Group,
    Method,
    Nets,
    Objective,
    Offers,
    Optimizer,
    Phase,
    State,
    Task,
    Train,
)
from raysim.models.layers import Linear
from raysim.models.task import encode

ABSENT = -1
"""The decision on a modality that a sample lacks; no class has this number."""
NEVER = -1
"""When a modality was last uploaded that never was."""
Weight = Annotated[float, Field(ge=0)]


class Mmfedmc(Method):
    """An encoder `task.<modality>` and a linear head `uni.<modality>` each; no fusion is federated."""

    class Options(Method.Options):
        """mmFedMC's settings; the defaults are the paper's but for epochs and optimizer (5; SGD, lr 0.1)."""

        epochs: Annotated[int, Field(ge=1)] | None = Field(
            default=None, description="Of each modality's classifier; null: local_epochs."
        )
        optimizer: Optimizer | None = Field(default=None, description="Of the classifiers; null: the federation's.")
        modalities: Annotated[int, Field(ge=1)] = Field(
            default=1, description="How many classifiers a client may upload (the paper's gamma)."
        )
        clients: Annotated[float, Field(gt=0, le=1)] = Field(
            default=0.2, description="Fraction of the clients that do upload, at least one (the paper's delta)."
        )
        rank: Literal["modality", "client"] = Field(
            default="modality",
            description="Clients compete by a modality's loss, or all by their mean loss (newer code).",
        )
        prefer: Literal["lower", "higher"] = Field(default="lower", description="Which loss comes first.")
        impact_weight: Weight = Field(default=1 / 3, description="Of the Shapley value in a modality's priority.")
        size_weight: Weight = Field(default=1 / 3, description="Of being small.")
        recency_weight: Weight = Field(default=1 / 3, description="Of not having been uploaded for long.")

    options: Options
    fills = None
    outcomes = frozenset({"single_label", "multi_label"})  # ensembles are of decisions

    def modules(self, task: Task) -> dict[str, Group]:
        """A pair of groups for each modality, which only clients that have it download, train and send."""
        encoders = super().modules(task)
        groups: dict[str, Group] = {}
        for m in task.modalities:
            head = Linear(task.model.dim, task.classes)
            for name, net in ((f"task.{m}", encoders[f"task.{m}"].net), (f"uni.{m}", head)):
                groups[name] = Group(net, frozenset({m}), weights="uniform", reaches=_having(m))
        return groups

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """Every round: the personal ensemble on global classifiers, then each classifier on its modality's samples."""
        classifiers = [
            Train(
                m,
                (Objective((f"task.{m}", f"uni.{m}"), partial(self.modality_loss, m), self.options.optimizer),),
                clients=_having(m),
                samples=itemgetter(m),
                epochs=self.options.epochs,
            )
            for m in task.modalities
        ]
        return (Phase("train", (Compute("ensemble", self.measure), *classifiers)),)

    def modality_loss(self, modality: str, nets: Nets, batch: Batch) -> Tensor:
        """The task's loss of one modality's classifier over the samples that have it, (*K)."""
        having = replace(batch, rows=batch.rows & batch.present[modality])
        return having.task_loss(logits_of(modality, nets, batch))

    def measure(self, nets: Nets, batch: Batch) -> State:
        """The personal ensemble's accuracy on the global classifiers' decisions."""
        found = accuracy(decisions(nets, batch).values(), batch.y)
        return {"personal_accuracy": torch.tensor(found, dtype=torch.float64)}

    def predict(self, nets: Nets, batch: Batch) -> Tensor:
        """Logits (*K, B, C) of the mean probability over the modalities that a sample has; equal ones without any."""
        modalities = _known(nets, batch)
        present = torch.stack([batch.present[m] for m in modalities])
        logits = torch.stack([logits_of(m, nets, batch) for m in modalities]).float()
        if _multi_label(batch):
            return log_mean(F.logsigmoid(logits), present) - log_mean(F.logsigmoid(-logits), present)
        return log_mean(logits.log_softmax(-1), present)

    def offer(self, nets: Nets, batch: Batch) -> Mapping[str, float]:
        """Impact, size and loss of each modality's classifier, and the personal accuracy before training."""
        decided = decisions(nets, batch)
        impacts = shapley(tuple(decided), lambda chosen: accuracy([decided[m] for m in chosen], batch.y))
        offered = {"personal_accuracy": float(batch.state["personal_accuracy"])}
        for m in decided:
            parameters = [p.numel() for n in (f"task.{m}", f"uni.{m}") for p in nets[n].parameters()]
            loss = float(self.modality_loss(m, nets, batch))
            offered |= {f"impact.{m}": impacts[m], f"size.{m}": float(sum(parameters)), f"loss.{m}": loss}
        return offered

    def select(self, offers: Offers, clock: Clock, memory: State) -> tuple[Mapping[int, Sequence[str]], State]:
        """Each client's modalities of the highest priority, as far as the client itself is selected.

        `memory` has, for each modality, the round of each client's last upload, from 0.
        """
        wishes = {client: self.wishes(client, offer, clock.round - 1, memory) for client, offer in offers.items()}
        chosen: dict[int, list[str]] = {}
        kept = dict(memory)
        for m in dict.fromkeys(m for wish in wishes.values() for m in wish):
            senders = self.senders(m, wishes, offers)
            kept[m] = _noted(memory.get(m), senders, clock.round - 1)
            for client in senders:
                chosen.setdefault(client, []).extend((f"task.{m}", f"uni.{m}"))
        return chosen, kept

    def wishes(self, client: int, offer: Mapping[str, float], round_: int, memory: State) -> list[str]:
        """The modalities that a client would send; of equal ones the first."""
        priorities = self.priorities(client, offer, round_, memory)
        return sorted(priorities, key=lambda m: -priorities[m])[: self.options.modalities]

    def priorities(self, client: int, offer: Mapping[str, float], round_: int, memory: State) -> dict[str, float]:
        """Modality -> the weighted sum of impact, smallness and recency, each from 0 to 1, in a round from 0."""
        o, modalities = self.options, _offered(offer)
        impact, size = (scaled({m: offer[f"{what}.{m}"] for m in modalities}) for what in ("impact", "size"))
        recency = {m: (round_ - _last(memory.get(m), client)) / (round_ + 1) for m in modalities}
        return {
            m: o.impact_weight * impact[m] + o.size_weight * (1 - size[m]) + o.recency_weight * recency[m]
            for m in modalities
        }

    def senders(self, modality: str, wishes: Mapping[int, Sequence[str]], offers: Offers) -> list[int]:
        """Who of those that would send a modality does: by loss; equal ones by their number."""
        rivals = [c for c in sorted(wishes) if self.options.rank == "client" or modality in wishes[c]]
        sign = 1 if self.options.prefer == "lower" else -1

        def loss(client: int) -> float:
            named = [modality] if self.options.rank == "modality" else _offered(offers[client])
            return sign * sum(offers[client][f"loss.{m}"] for m in named) / len(named)

        first = sorted(rivals, key=loss)[: max(1, round(self.options.clients * len(rivals)))]
        return [c for c in first if modality in wishes[c]]


def logits_of(modality: str, nets: Nets, batch: Batch) -> Tensor:
    """What one modality's classifier says, (*K, B, C); of rows that lack it nothing of meaning."""
    embedding = encode(nets, replace(batch, x={modality: batch.x[modality]}))[modality].pooled()
    return nets[f"uni.{modality}"](embedding)


def decisions(nets: Nets, batch: Batch) -> dict[str, Tensor]:
    """Modality -> what its classifier decides, (B, L) integers, for the modalities that a client has."""
    decided: dict[str, Tensor] = {}
    for m in _known(nets, batch):
        logits = logits_of(m, nets, batch)
        hard = (logits > 0).long() if _multi_label(batch) else logits.argmax(-1, keepdim=True)
        decided[m] = torch.where(batch.present[m].unsqueeze(-1), hard, ABSENT)
    return decided


def accuracy(decided: Collection[Tensor], y: Tensor) -> float:
    """Of the table from decisions (B, L) to the most frequent label, on the data that it was made of.

    Without any decision it is the share of the most frequent label.
    """
    labels = y.long().reshape(len(y), -1)
    table = torch.stack([*decided, labels], dim=-1).cpu().numpy()
    right = 0
    for rows in table.swapaxes(0, 1).tolist():
        most: dict[tuple[int, ...], int] = {}
        for (*votes, _), count in Counter[tuple[int, ...]](map(tuple, rows)).items():
            most[tuple(votes)] = max(most.get(tuple(votes), 0), count)
        right += sum(most.values())
    return right / labels.numel()


def shapley(players: Sequence[str], value: Callable[[Sequence[str]], float]) -> dict[str, float]:
    """Each player's mean contribution to a coalition's value, over all orders in which they may join.

    Example:
        >>> shapley(("a", "b"), lambda chosen: {(): 0.0, ("a",): 2.0, ("b",): 4.0, ("a", "b"): 10.0}[tuple(chosen)])
        {'a': 4.0, 'b': 6.0}
    """
    n = len(players)
    worth = {s: value(s) for size in range(n + 1) for s in combinations(players, size)}
    shares = dict.fromkeys(players, 0.0)
    for joined, total in worth.items():
        for player in joined:
            rest = tuple(p for p in joined if p != player)
            shares[player] += (total - worth[rest]) / (n * comb(n - 1, len(rest)))
    return shares


def scaled(values: Mapping[str, float]) -> dict[str, float]:
    """The smallest becomes 0, the largest 1; all become 0 where they are equal, which changes no order."""
    low, high = min(values.values()), max(values.values())
    return {name: (v - low) / (high - low) if high > low else 0.0 for name, v in values.items()}


def log_mean(values: Tensor, present: Tensor) -> Tensor:
    """Log of the mean of probabilities whose logs are (M, *K, B, C), where present (M, *K, B); 0 where none is."""
    there = present.unsqueeze(-1)
    total = torch.where(there, values, -torch.inf).logsumexp(0)
    return torch.where(there.any(0), total - there.sum(0).clamp(min=1).log(), 0.0)


def _known(nets: Nets, batch: Batch) -> list[str]:
    """The modalities whose classifiers are here: a client's own; at evaluation all."""
    return [m for m in batch.present if f"uni.{m}" in nets]


def _offered(offer: Mapping[str, float]) -> list[str]:
    return [name.removeprefix("loss.") for name in offer if name.startswith("loss.")]


def _having(modality: str) -> Callable[[ClientInfo], bool]:
    def has(client: ClientInfo) -> bool:
        return modality in client.modalities

    return has


def _multi_label(batch: Batch) -> bool:
    return batch.y.dim() > batch.rows.dim()


def _last(rounds: Tensor | None, client: int) -> int:
    return NEVER if rounds is None or client >= len(rounds) else int(rounds[client])


def _noted(rounds: Tensor | None, clients: Sequence[int], round_: int) -> Tensor:
    """The rounds of the last uploads, (clients up to the last that ever did) int64, with those of this round."""
    old = torch.empty(0, dtype=torch.long) if rounds is None else rounds
    new = torch.full((max(len(old), 1 + max(clients, default=-1)),), NEVER)
    new[: len(old)] = old
    new[list(clients)] = round_
    return new
