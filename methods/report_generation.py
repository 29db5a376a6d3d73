"""R2Gen as raw-level imputation: a generator learns to write texts from images, and writes those that are missing.

Source: the baseline of Table 1 in Poudel et al., "Multimodal Federated Learning With Missing Modalities through Feature
Imputation Network", 2025; the generator is Chen et al., "Generating Radiology Reports via Memory-driven Transformer",
2020 (58,702,401 + 1,025 V parameters with ResNet-50 and V tokens).

FIN says that the generator was trained "in a federated manner" and no more. Here clients with pairs train it, before
the task model and for as long (30 rounds of 3 epochs), averaged by samples. Then it is frozen; a client that lacks
text writes each sample's text once and keeps it, and the task model takes it for real. A missing image is not made up:
it counts as zero, as in zero filling. The original trains the trunk at half the rate, with AMSGrad; here it is one rate
for all and plain Adam.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, StrictBool, StrictStr
from torch import Tensor

from raysim.data.dataset import Kind
from raysim.method import (
    Adam,
    Batch,
    ClientInfo,
    Derive,
    Feature,
    Group,
    Method,
    Nets,
    Objective,
    Optimizer,
    Phase,
    Presence,
    Streams,
    Task,
    Train,
)
from raysim.models.encoders import Spec, check_encoder
from raysim.models.report import Writer, build_trunk
from raysim.models.task import Model, encode

Count = Annotated[int, Field(ge=1)]
TRUNK, WRITER = "report.trunk", "report.writer"


class ReportGeneration(Method):
    """First the generator is trained, on pairs; then the task model, on real and written texts."""

    class Options(Method.Options):
        """Sizes are R2Gen's, the schedule is ours."""

        source: StrictStr | None = Field(default=None, description="The image that is read; null: the only one.")
        target: StrictStr | None = Field(default=None, description="The tokens that are written; null: the only ones.")
        report_rounds: Count = Field(default=30, description="Rounds that train the generator, before the others.")
        report_epochs: Count = Field(default=3, description="Of the generator, in each of these rounds.")
        optimizer: Optimizer = Field(
            default=Adam(name="adam", lr=1e-4, weight_decay=5e-5), description="Of the generator."
        )
        trunk: Spec = Field(
            default=Spec(name="resnet50"), description="resnet50 or cnn, with channels and weights as for encoders."
        )
        dim: Count = Field(default=512, description="Width of the transformer.")
        hidden: Count = Field(default=512, description="Feed-forward width.")
        heads: Count = Field(default=8, description="Attention heads; must divide dim.")
        layers: Count = Field(default=3, description="Of the encoder, and as many of the decoder.")
        slots: Count = Field(default=3, description="Of the relational memory.")
        dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
            default=0.1, description="In all layers of the transformer."
        )
        max_length: Count | None = Field(
            default=None, description="Most tokens of a written text; null, and at most: the data's longest."
        )
        beam: Count = Field(default=3, description="Texts that are followed at once; 1: always the likeliest word.")
        block_trigrams: StrictBool = Field(default=True, description="No three words in a row come twice in a text.")

    options: Options
    fills = "input"
    least = 2

    @classmethod
    def suits(cls, modalities: Mapping[str, Kind]) -> None:
        """Needs an image, and tokens to write."""
        super().suits(modalities)
        for kind in ("image", "tokens"):
            if kind not in modalities.values():
                raise ValueError(
                    f"report_generation writes tokens from an image, and the data has no modality of kind {kind}; "
                    "prepare it so, or use another method"
                )

    def check(self, task: Task) -> None:
        """Needs to know what to write from what, and sizes that fit."""
        super().check(task)
        source, _ = self.direction(task)
        if self.options.dim % self.options.heads:
            raise ValueError(
                f"method.heads is {self.options.heads}, which does not divide method.dim {self.options.dim}"
            )
        check_encoder(source, "image", Model(encoders={source: self.options.trunk}))

    def direction(self, task: Task) -> tuple[str, str]:
        """The modality that is read and the one that is written.

        Raises:
            ValueError: the options name none, or there are several.
        """
        o = self.options
        return _chosen(task, "image", "source", o.source), _chosen(task, "tokens", "target", o.target)

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model and the generator, which clients with pairs train and those with images may need."""
        o = self.options
        source, target = self.direction(task)
        image, text = task.modalities[source], task.modalities[target]
        assert text.vocabulary is not None, "tokens have a vocabulary"
        writer = Writer(
            source, target, min(o.max_length or text.shape[0], text.shape[0]), text.vocabulary,
            dim=o.dim, hidden=o.hidden, heads=o.heads, layers=o.layers, slots=o.slots, dropout=o.dropout,
        )  # fmt: skip

        def sees(client: ClientInfo) -> bool:
            return source in client.modalities

        nets = {TRUNK: build_trunk(image, o.trunk, o.dim), WRITER: writer}
        return super().modules(task) | {
            name: Group(net, frozenset({source, target}), algorithm=False, weights="samples", reaches=sees)
            for name, net in nets.items()
        }

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """`report` trains the generator; in `train` it is frozen."""
        source, target = self.direction(task)

        def pairs(present: Presence) -> NDArray[np.bool_]:
            return present[source] & present[target]

        objective = Objective((TRUNK, WRITER), self.writing_loss, self.options.optimizer)
        report = Train("report", (objective,), samples=pairs, epochs=self.options.report_epochs)
        task_stage = self.task_stage(derive=Derive(self.texts, every="phase"))
        return (
            Phase("report", (report,), rounds=self.options.report_rounds, evaluate=False),
            Phase("train", (task_stage,)),
        )

    def writing_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """Cross-entropy of the next token, given the true ones before: the mean over the tokens of all pairs, (*K)."""
        writer = _writer(nets)
        s, t = writer.source, writer.target
        total, count = writer.losses(nets[TRUNK](batch.x[s]), batch.x[t], batch.lengths[t])
        both = batch.all_present(s, t)
        return batch.mean(total, where=both) / batch.mean(count, where=both).clamp(min=1)

    def texts(self, nets: Nets, batch: Batch) -> Mapping[str, Tensor]:
        """What the generator writes about each row's image: tokens (*K, B, T) and lengths (*K, B); or nothing at all.

        Nothing where it is not needed: no row lacks a text, or none has an image.
        """
        writer = nets.get(WRITER)
        if not isinstance(writer, Writer) or batch.everywhere(writer.target) or batch.nowhere(writer.source):
            return {}
        if not nets.learnt(WRITER).any():
            return {}
        with torch.no_grad():
            patches = nets[TRUNK](batch.x[writer.source])
            tokens, lengths = writer.write(patches, self.options.beam, trigrams=self.options.block_trigrams)
        return {"tokens": tokens, "lengths": lengths}

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """The task model's embedding of a written text where one is missing and there is an image.

        While training the texts are those that the clients keep; at evaluation they are written here.
        """
        texts = batch.columns if batch.clients else self.texts(nets, batch)
        if not texts:
            return features
        writer = _writer(nets)
        s, t = writer.source, writer.target
        written = replace(
            batch,
            x={t: texts["tokens"]},
            lengths={t: texts["lengths"]},
            present={t: batch.present[s] & ~batch.present[t]},
            clients=tuple(replace(c, modalities=frozenset({t})) for c in batch.clients),
        )
        return {**features, t: features[t].where(batch.present[t], encode(nets, written)[t])}


def _writer(nets: Nets) -> Writer:
    writer = nets[WRITER]
    assert isinstance(writer, Writer)
    return writer


def _chosen(task: Task, kind: Kind, option: str, name: str | None) -> str:
    """The modality of a kind that an option names, or the only one."""
    found = [m for m, modality in task.modalities.items() if modality.kind == kind]
    if name is None and len(found) == 1:
        return found[0]
    if name not in found:
        raise ValueError(
            f"method.{option} is {name or 'null'}; name one of the data's {kind} modalities: {', '.join(found)}"
        )
    return name
