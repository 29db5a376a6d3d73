"""The task model: an encoder a modality, a fusion, a head.

Shapes: K clients (may be absent), B batch, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Protocol

from torch import Tensor, nn

from raysim.data.dataset import Kind, Modality, Outcome
from raysim.models.encoder import Encoder
from raysim.models.encoders import build_encoder, check_encoder
from raysim.models.feature import Feature, Streams
from raysim.models.fusion import build_fusion
from raysim.models.layers import Dropout, Linear
from raysim.scenario.model import Model, OwnAugment


@dataclass(frozen=True)
class Task:
    """What a method sees of the job.

    Attributes:
        modalities: what the data has.
        classes: how many numbers are predicted of a sample: C, or the targets of a regression.
        multi_label: whether classes are labels, of which a sample may have several.
        model: the scenario's section.
        regression: whether they are no classes at all.
    """

    modalities: Mapping[str, Modality]
    classes: int
    multi_label: bool
    model: Model
    regression: bool = False

    @property
    def outcome(self) -> Outcome:
        """What is predicted."""
        return "regression" if self.regression else "multi_label" if self.multi_label else "single_label"


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


OWN = ("fusion", "head")
"""Networks of the task model that are no modality's."""


def separate(names: Sequence[str]) -> None:
    """Whether networks that are named after modalities, or after pairs of them, have a name each.

    Raises:
        ValueError: two would share one.
    """
    for name in names:
        if name in OWN or name == "*":
            what = "means all networks" if name == "*" else f"is also the name of the model's {name}"
            raise ValueError(f"a modality cannot be called '{name}', which {what}; give it another name in the data")
    pairs: dict[str, tuple[str, str]] = {}
    for pair in permutations(names, 2):
        first = pairs.setdefault("_".join(pair), pair)
        if first != pair:
            raise ValueError(
                f"networks from '{first[0]}' to '{first[1]}' and from '{pair[0]}' to '{pair[1]}' would both be called "
                f"'{'_'.join(pair)}'; give a modality another name in the data"
            )


def check_encoders(modalities: Mapping[str, Kind], model: Model) -> None:
    """Whether the model names encoders that suit the data's modalities.

    Raises:
        ValueError: it does not; one line with the way out.
    """
    for name in model.encoders:
        if name not in modalities:
            raise ValueError(f"the data has no modality '{name}'; there are: {', '.join(modalities)}")
        check_encoder(name, modalities[name], model)


def check_augment(modalities: Mapping[str, Kind], model: Model) -> None:
    """Whether what is augmented is there, and only images are flipped and turned.

    Raises:
        ValueError: something else is.
    """
    for name, spec in model.augment.items():
        kind = modalities.get(name, "no modality")
        own = isinstance(spec, OwnAugment) and not (spec.flip or spec.rotate_deg) and name in modalities
        if kind != "image" and not own:
            raise ValueError(f"is for images, and '{name}' is {kind}; remove it")


def task_modules(task: Task) -> dict[str, nn.Module]:
    """`task.<modality>` for each, `task.fusion` (without parameters when it is concat) and `task.head`.

    Raises:
        ValueError: the model section does not fit the modalities.
    """
    check_encoders({name: modality.kind for name, modality in task.modalities.items()}, task.model)
    modules: dict[str, nn.Module] = {
        f"task.{name}": build_encoder(name, modality, task.model) for name, modality in task.modalities.items()
    }
    fusion = build_fusion(tuple(task.modalities), task.model)
    return modules | {"task.fusion": fusion, "task.head": build_head(fusion.width, task.classes, task.model)}


def build_head(width: int, classes: int, model: Model) -> nn.Module:
    """(*K, B, width) -> logits or targets (*K, B, C): linear, ReLU, dropout, linear; or linear alone, not hidden."""
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
        elif isinstance(encoder, Encoder) and encoder.selective:
            features[name] = _selected(encoder, x, batch.lengths.get(name), present)
        else:
            feature: Feature = encoder(x, batch.lengths.get(name))
            features[name] = feature.where(present)
    return features


def _selected(encoder: Encoder, x: Tensor, lengths: Tensor | None, present: Tensor) -> Feature:
    """What an encoder makes of the rows (B,) that are there; the others have no valid token."""
    rows = present.nonzero()[:, 0]
    if not len(rows):
        return encoder.absent(present)
    found: Feature = encoder(x[rows], None if lengths is None else lengths[rows])
    tokens, valid = (t.new_zeros(len(present), *t.shape[1:]) for t in (found.tokens, found.valid))
    return Feature(tokens.index_copy(0, rows, found.tokens), valid.index_copy(0, rows, found.valid))


def classify(nets: Mapping[str, nn.Module], streams: Streams) -> Tensor:
    """The logits (*K, B, C) of fused streams."""
    return nets["task.head"](nets["task.fusion"](streams))
