"""What a dataset is: named modalities, labels, a train/validation/test split and, maybe, natural clients.

Shapes: N samples, C classes, T steps, D features or targets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from raysim.data.codec import Codec
from raysim.data.mapped import Mapped
from raysim.data.pieces import Inputs
from raysim.data.ragged import Array, Ragged
from raysim.data.scores import Scaling, Together

Kind = Literal["image", "sequence", "vector", "tokens"]
Outcome = Literal["single_label", "multi_label", "regression"]
"""What is predicted of a sample: one class, several labels, or real numbers."""


Section = Literal["dataset", "modalities", "partition", "public", "missing", "labels", "evaluation"]


class DataError(ValueError):
    """The data cannot be used as asked; the message says what, where and what to do, in one line.

    Attributes:
        section: the part of the scenario that asks for it.
    """

    def __init__(self, message: str, section: Section = "dataset") -> None:
        super().__init__(message)
        self.section: Section = section


def hint(name: str, names: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest one, or all."""
    names = list(names)
    near = get_close_matches(name, names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(names)}"


@dataclass(frozen=True)
class Modality:
    """The shape of one modality's samples.

    Attributes:
        kind: `image` (channels, height, width), uint8 (scaled to [0, 1] when used) or floating point;
            `sequence` (T, D) floating point with lengths; `vector` (D,); `tokens` (T,) integers with lengths.
        shape: the shape of one sample, padded to the longest.
        vocabulary: for `tokens`, how many different tokens there are.
        codec: for `tokens`, what they mean, where that is known.
    """

    kind: Kind
    shape: tuple[int, ...]
    vocabulary: int | None = None
    codec: Codec | None = None

    @property
    def ordered(self) -> bool:
        """Whether samples have a length (`sequence` and `tokens`)."""
        return self.kind in ("sequence", "tokens")


@dataclass(frozen=True)
class Split:
    """One of train, validation and test.

    Attributes:
        inputs: modality -> (N, *shape), or without padding; in memory, or in a file.
        labels: (N,) int64 class indices, (N, C) float32 of 0 and 1 when multi-label, or (N, D) float32 of a regression.
        lengths: modality -> (N,) int64, for the modalities that have them.
        present: modality -> (N,) bool, what the data itself lacks; a modality left out is there for all.
        clients: (N,) int64, the natural client of each sample, or None.
    """

    inputs: Mapping[str, Inputs]
    labels: Array
    lengths: Mapping[str, Array] = field(default_factory=dict[str, Array])
    present: Mapping[str, Array] = field(default_factory=dict[str, Array])
    clients: Array | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def presence(self, modalities: tuple[str, ...]) -> Array:
        """The natural mask as (N, M) bool, columns in the order of `modalities`."""
        full = np.ones(len(self), dtype=bool)
        return np.stack([self.present.get(m, full) for m in modalities], axis=1)


@dataclass(frozen=True)
class Dataset:
    """A dataset, in memory or in files. Arrays are never written to after loading.

    Attributes:
        classes: names of the C classes or labels; none of a regression.
        client_names: of the natural clients, by number.
        targets: names of the D targets of a regression; empty where samples have classes.
        scaling: how modalities were scaled, by training samples or by evaluated ones: new samples need the same.
    """

    modalities: Mapping[str, Modality]
    classes: tuple[str, ...]
    multi_label: bool
    train: Split
    validation: Split
    test: Split
    client_names: tuple[str, ...] = ()
    scaling: Mapping[str, Scaling | Together] = field(default_factory=dict[str, Scaling | Together])
    targets: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """What is predicted."""
        return "regression" if self.targets else "multi_label" if self.multi_label else "single_label"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what a network says of a sample: the classes, or the targets."""
        return self.targets or self.classes

    @property
    def width(self) -> int:
        """C, or D."""
        return len(self.outputs)

    def counts(self, labels: Array) -> tuple[int, ...]:
        """How many samples each class has; of several labels the positives, of a regression nothing."""
        if self.outcome == "regression":
            return ()
        found = labels.sum(axis=0) if self.multi_label else np.bincount(labels, minlength=len(self.classes))
        return tuple(int(count) for count in found)

    def blank(self, count: int) -> Array:
        """Labels (count, ...) of zeros, for samples that have none."""
        if self.outcome == "single_label":
            return np.zeros(count, np.int64)
        return np.zeros((count, self.width), np.float32)

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in their order."""
        return tuple(self.modalities)

    def split(self, name: str) -> Split:
        """`train`, `validation` or `test` by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def only(self, names: tuple[str, ...]) -> "Dataset":
        """The same samples with some of the modalities, in the data's order.

        Raises:
            DataError: it has no such modality.
        """
        check_names(names, self.names)
        kept = {m: modality for m, modality in self.modalities.items() if m in names}
        splits = {s: _only(self.split(s), kept) for s in ("train", "validation", "test")}
        scaling = {m: s for m, s in self.scaling.items() if m in kept}
        return replace(self, modalities=kept, scaling=scaling, **splits)


def in_memory(dataset: Dataset) -> Dataset:
    """The same dataset with nothing in files, for machines that do not have them."""
    read: dict[int, Array] = {}  # splits share the values of samples without padding

    def loaded(x: Inputs) -> Inputs:
        if isinstance(x, Ragged):
            if id(x.values) not in read:
                read[id(x.values)] = np.asarray(x.values)
            return type(x)(read[id(x.values)], x.spans)
        return np.asarray(x)

    splits = {s: dataset.split(s) for s in ("train", "validation", "test")}
    found = {s: replace(split, inputs={m: loaded(x) for m, x in split.inputs.items()}) for s, split in splits.items()}
    return replace(dataset, **found)


def maps_files(dataset: Dataset) -> bool:
    """Whether samples stay in files of this machine."""
    inputs = [x for name in ("train", "validation", "test") for x in dataset.split(name).inputs.values()]
    return any(isinstance(x.values if isinstance(x, Ragged) else x, Mapped) for x in inputs)


def check_names(names: tuple[str, ...], known: Iterable[str]) -> None:
    """Whether a scenario's `modalities` are among the data's.

    Raises:
        DataError: one is not.
    """
    for name in names:
        if name not in known:
            raise DataError(f"the data has no modality '{name}'; {hint(name, known)}", "modalities")


def _only(split: Split, kept: Iterable[str]) -> Split:
    inputs, lengths, present = (
        {m: table[m] for m in kept if m in table} for table in (split.inputs, split.lengths, split.present)
    )
    return replace(split, inputs=inputs, lengths=lengths, present=present)


class Source:
    """Where a dataset comes from: one file in `raysim/datasets/` (or elsewhere, by dotted name) each.

    A subclass declares its `Options` and loads. It imports neither torch nor ray.
    """

    class Options(BaseModel):
        """What the scenario's `dataset` section may say besides the name."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    requires: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: Any) -> None:
        self.options = options

    def load(self) -> Dataset:
        """Reads or makes the dataset.

        Raises:
            DataError: the data is absent or malformed.
        """
        raise NotImplementedError

    def kinds(self) -> Mapping[str, Kind] | None:
        """Each modality's kind, without reading the data; None where only the data tells.

        Raises:
            DataError: what can be seen of the data is malformed.
        """
        return None

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of one sample of those modalities where it is known without reading the data.

        Raises:
            DataError: as `kinds` does.
        """
        return {}

    def reads(self) -> int | None:
        """How many bytes are read or made by `load`, about; None where that is not known, or the data is not here.

        Raises:
            DataError: as `kinds` does.
        """
        return None
