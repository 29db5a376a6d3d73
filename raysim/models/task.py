"""The task model: an encoder a modality, a fusion, a head.

Shapes: K clients (may be absent), B batch, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from raysim.data.dataset import Modality
from raysim.models.encoders import Encoder, build_encoder, check_encoder
from raysim.models.feature import Feature, Streams
from raysim.models.fusion import build_fusion
from raysim.models.layers import Dropout, Linear
from raysim.scenario.schema import Model


@dataclass(frozen=True)
class Task:
    """What a method sees of the job."""

    modalities: Mapping[str, Modality]
    classes: int
    multi_label: bool
    model: Model


class Inputs(Protocol):
    """The part of a batch that encoders read."""

    @property
    def x(self) -> Mapping[str, Tensor]:
        """Modality -> (*K, B, *shape)."""
        ...

    @property
    def lengths(self) -> Mapping[str, Tensor]:
        """Modality -> (*K, B), for those that have lengths."""
        ...

    @property
    def present(self) -> Mapping[str, Tensor]:
        """Modality -> (*K, B) bool."""
        ...

    def nowhere(self, modality: str) -> bool:
        """Whether nothing of a modality need be computed."""
        ...


def check_encoders(task: Task) -> None:
    """Whether the model names encoders that suit the data's modalities.

    Raises:
        ValueError: it does not; one line with the way out.
    """
    for name in task.model.encoders:
        if name not in task.modalities:
            raise ValueError(f"the data has no modality '{name}'; there are: {', '.join(task.modalities)}")
        check_encoder(name, task.modalities[name], task.model)


def task_modules(task: Task) -> dict[str, nn.Module]:
    """`task.<modality>` for each, `task.fusion` (without parameters when it is concat) and `task.head`.

    Raises:
        ValueError: the model section does not fit the modalities.
    """
    check_encoders(task)
    modules: dict[str, nn.Module] = {
        f"task.{name}": build_encoder(name, modality, task.model) for name, modality in task.modalities.items()
    }
    fusion = build_fusion(tuple(task.modalities), task.model)
    return modules | {"task.fusion": fusion, "task.head": build_head(fusion.width, task.classes, task.model)}


def build_head(width: int, classes: int, model: Model) -> nn.Module:
    """(*K, B, width) -> logits (*K, B, C): linear, ReLU, dropout, linear; or linear alone without a hidden width."""
    hidden = model.head.hidden
    if hidden is None:
        return Linear(width, classes)
    return nn.Sequential(Linear(width, hidden), nn.ReLU(), Dropout(model.head.dropout), Linear(hidden, classes))


def encode(nets: Mapping[str, nn.Module], batch: Inputs) -> dict[str, Feature]:
    """Each modality's embedding; absent rows have no valid token."""
    features: dict[str, Feature] = {}
    for name, x in batch.x.items():
        encoder, present = nets[f"task.{name}"], batch.present[name]
        if isinstance(encoder, Encoder) and batch.nowhere(name):
            features[name] = encoder.absent(present)
        else:
            feature: Feature = encoder(x, batch.lengths.get(name))
            features[name] = feature.where(present)
    return features


def classify(nets: Mapping[str, nn.Module], streams: Streams) -> Tensor:
    """The logits (*K, B, C) of fused streams."""
    return nets["task.head"](nets["task.fusion"](streams))
