"""BLOSSOM: only a part of the task model is averaged; the head, or head and fusion, stay with each client.

Source: "BLOSSOM", IJCNN 2026, arXiv:2603.27552, and its public code. Three schemes: the full model is averaged; the
head is private; head and fusion are private. An encoder is trained and sent by clients that have its modality alone,
weighted by their samples. What is absent is an input of zeros, which goes through its encoder as that is. Private
networks start as the server's and stay with the client between rounds. Clients are judged on rows of their own, by the
modalities that they have.

Ours: the networks are the scenario's; a sequence that is absent is a single step of zeros; a private network never
travels, while the public code sends and averages private heads as well, for clients that have none yet.

Shapes: K clients (may be absent), B batch, T tokens, D features.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field

from raysim.method import Batch, Feature, Group, Method, Nets, Streams, Task

PRIVATE = {"full": (), "private_head": ("task.head",), "private_head_and_fusion": ("task.head", "task.fusion")}
"""Scheme -> what stays with the clients."""


class Blossom(Method):
    """The task model, some of whose networks are each client's own; zeros are heard where a modality is absent."""

    class Options(Method.Options):
        """Which networks are averaged."""

        scheme: Literal["full", "private_head", "private_head_and_fusion"] = Field(
            default="full",
            description="What is averaged: all; encoders and fusion, each client having a head of its own; or encoders "
            "alone. Networks of their own are judged at the clients, so they need evaluation.clients.",
        )

    options: Options
    fills = "input"
    kinds = frozenset({"vector", "sequence", "image"})

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model; encoders are averaged by samples, and what the scheme says is private."""
        own = PRIVATE[self.options.scheme]
        return {
            name: replace(group, shared=name not in own, weights="samples")
            for name, group in super().modules(task).items()
        }

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """Each modality's embedding, or that of zeros, from which the encoder learns nothing."""
        return {m: f if batch.everywhere(m) else f.where(batch.present[m], silence(batch, nets, m))
                for m, f in features.items()}  # fmt: skip


@torch.no_grad()
def silence(batch: Batch, nets: Nets, modality: str) -> Feature:
    """What an encoder makes of zeros, the same for each row: (*K, B, T, D)."""
    first = batch.rows.dim() - 1
    zeros = torch.zeros_like(batch.x[modality].narrow(first, 0, 1))
    lengths = batch.lengths.get(modality)
    feature: Feature = nets[f"task.{modality}"](zeros, None if lengths is None else torch.ones_like(lengths[..., :1]))
    tokens, valid = (t.expand(*batch.rows.shape, *t.shape[first + 1 :]) for t in (feature.tokens, feature.valid))
    return Feature(tokens, valid)
