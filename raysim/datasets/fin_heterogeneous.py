"""FIN's heterogeneous clients: eight have chest X-rays of CheXpert, two X-rays and reports of Open-I; 14 labels.

Poudel et al., "Multimodal Federated Learning With Missing Modalities through Feature Imputation Network", 2025: each
CheXpert client has 900 patients, each Open-I client 1,116 training samples; validation and test are MIMIC-CXR's for
all. (The 125 samples by which each Open-I client validates there have no use here.) The three datasets must have been
prepared, with the same features: pictures of one size, and text by a pretrained model or tokenizer
(`--features text=bert`, or `{name: tokens, tokenizer: bert-base-uncased}`), as vocabularies that were learnt differ.

Patients are drawn from the training splits and never shared. The ten clients are the natural ones, `chexpert0` to
`openi1`; CheXpert's samples lack the text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, StrictStr

from raysim.data.arrays import Reading, kinds, read
from raysim.data.cache import cache_folder
from raysim.data.dataset import Array, DataError, Dataset, Kind, Modality, Source, Split
from raysim.data.manifest import MANIFEST, manifest
from raysim.data.ragged import Pictures, Ragged
from raysim.seeding import stream

Folder = Annotated[StrictStr | None, Field(description="Where it was prepared; null: the usual folder.")]
Count = Annotated[int, Field(ge=1)]


class FinHeterogeneous(Source):
    """The modalities of MIMIC-CXR; ten natural clients."""

    class Options(Source.Options):
        """Where the three datasets are, and how many clients have how much of them."""

        chexpert: Folder = None
        openi: Folder = None
        mimic_cxr: Folder = None
        chexpert_clients: Count = Field(default=8, description="Clients with CheXpert's images alone.")
        chexpert_patients: Count = Field(default=900, description="Patients of each CheXpert client.")
        openi_clients: Count = Field(default=2, description="Clients with Open-i's images and texts.")
        openi_samples: Count = Field(default=1116, description="Samples of each Open-I client.")
        seed: int = Field(default=0, ge=0, description="Of who gets which patients.")

    options: Options

    def load(self) -> Dataset:
        """Reads the three datasets and deals patients out.

        Raises:
            DataError: one is not prepared, they do not fit together, or patients are too few.
        """
        folders = {name: self._folder(name) for name in ("mimic_cxr", "chexpert", "openi")}
        for name in ("chexpert", "openi"):
            _same_features(folders["mimic_cxr"], folders[name])
        mimic, chexpert, openi = (read(folder, Reading()) for folder in folders.values())
        for name, data in (("chexpert", chexpert), ("openi", openi)):
            _same_kinds(folders["mimic_cxr"], mimic, folders[name], data)
        o = self.options
        parts = {
            "chexpert": (chexpert, self._by_patients(chexpert, o.chexpert_clients, o.chexpert_patients)),
            "openi": (openi, self._by_samples(openi, o.openi_clients, o.openi_samples)),
        }
        pieces = [_rows(data.train, rows) for data, clients in parts.values() for rows in clients]
        like = {m: _loose(mimic.train, m) for m in mimic.modalities}
        train = _joined(like, pieces)
        owners = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
        modalities = {
            m: _longest([d.modalities[m] for d in (mimic, chexpert, openi) if m in d.modalities]) for m in like
        }
        names = tuple(f"{name}{k}" for name, (_, clients) in parts.items() for k in range(len(clients)))
        return Dataset(
            modalities, mimic.classes, mimic.multi_label, replace(train, clients=owners),
            _joined(like, [mimic.validation]), _joined(like, [mimic.test]), names,
        )  # fmt: skip

    def kinds(self) -> Mapping[str, Kind] | None:
        """MIMIC-CXR's, if it is prepared."""
        folder = self._folder("mimic_cxr")
        return kinds(folder) if (folder / MANIFEST).is_file() else None

    def _folder(self, name: str) -> Path:
        given: str | None = getattr(self.options, name)
        return cache_folder(name) if given is None else Path(given)

    def _patients(self, name: str, data: Dataset) -> tuple[Array, Array]:
        """The patients of the training split in a random order, and the patient of each sample."""
        owners = data.train.clients
        if owners is None:
            raise DataError(f"{self._folder(name)} names no patients; prepare {name} again")
        return stream(self.options.seed, "fin_heterogeneous", name).permutation(np.unique(owners)), owners

    def _by_patients(self, data: Dataset, clients: int, patients: int) -> list[Array]:
        """The rows of each client: all of its patients."""
        order, owners = self._patients("chexpert", data)
        if len(order) < clients * patients:
            raise DataError(
                f"chexpert has {len(order)} training patients, {clients} clients of {patients} are asked for; "
                "lower chexpert_patients or chexpert_clients"
            )
        dealt = order[: clients * patients].reshape(clients, patients)
        return [np.flatnonzero(np.isin(owners, own)) for own in dealt]

    def _by_samples(self, data: Dataset, clients: int, samples: int) -> list[Array]:
        """The rows of each client: patient after patient, the last cut to the number of samples."""
        order, owners = self._patients("openi", data)
        patients = iter(order.tolist())
        parts: list[Array] = []
        for _ in range(clients):
            rows: list[int] = []
            while len(rows) < samples:
                if (patient := next(patients, None)) is None:
                    raise DataError(
                        f"openi has {len(owners)} training samples, {clients} clients of {samples} are asked for; "
                        "lower openi_samples or openi_clients"
                    )
                rows += np.flatnonzero(owners == patient).tolist()
            parts.append(np.sort(rows[:samples]))
        return parts


def _same_features(one: Path, other: Path) -> None:
    """Whether the modalities of `other` were prepared as those of `one`."""
    ours, theirs = manifest(one)["features"], manifest(other)["features"]
    for m, feature in theirs.items():
        if feature != ours.get(m):
            raise DataError(
                f"{one} and {other} differ in the features of '{m}': {ours.get(m)} and {feature}; "
                "prepare both with the same --features"
            )


def _same_kinds(one: Path, ours: Dataset, other: Path, theirs: Dataset) -> None:
    """Whether the samples of both can stand in one array, and mean the same."""
    if ours.classes != theirs.classes:
        raise DataError(f"{one} and {other} differ in the labels: {ours.classes} and {theirs.classes}")
    for m, spec in theirs.modalities.items():
        if (wanted := _look(ours, m)) != (found := _look(theirs, m)):
            raise DataError(
                f"{one} and {other} differ in '{m}': {wanted} and {found}; prepare both with the same --features"
            )
        if ours.modalities[m].codec != spec.codec:
            raise DataError(
                f"{one} and {other} have different vocabularies of '{m}'; prepare both with one tokenizer, such as "
                f"--features '{m}={{name: tokens, tokenizer: bert-base-uncased}}'"
            )


def _look(data: Dataset, name: str) -> str:
    """What has to agree, but for the number of steps."""
    spec, x = data.modalities[name], data.train.inputs[name]
    stored = "files" if isinstance(x, Pictures) else str(x.dtype)
    return f"{spec.kind} {stored} {spec.shape[1:] if spec.ordered else spec.shape}"


def _longest(specs: Sequence[Modality]) -> Modality:
    """Room for the longest sample and the largest token of all."""
    known = [s.vocabulary for s in specs if s.vocabulary is not None]
    shape = max(s.shape for s in specs)  # they differ in the number of steps alone
    return replace(specs[0], shape=shape, vocabulary=max(known, default=None))


def _rows(split: Split, rows: Array) -> Split:
    return Split(
        inputs={m: x[rows] for m, x in split.inputs.items()},
        labels=split.labels[rows],
        lengths={m: n[rows] for m, n in split.lengths.items()},
        present={m: p[rows] for m, p in split.present.items()},
    )


def _joined(like: Mapping[str, Array | Ragged], pieces: Sequence[Split]) -> Split:
    """One piece after another, without clients.

    Args:
        like: by modality, what samples look like.
        pieces: a modality that one does not have is absent there.
    """
    inputs = {m: _concatenated([_input(piece, m, x) for piece in pieces]) for m, x in like.items()}
    return Split(
        inputs=inputs,
        labels=np.concatenate([piece.labels for piece in pieces]),
        lengths={m: np.maximum(x.lengths, 1) for m, x in inputs.items() if type(x) is Ragged},
        present={m: np.concatenate([p.present.get(m, np.full(len(p), m in p.inputs)) for p in pieces]) for m in like},
    )


def _input(split: Split, name: str, like: Array | Ragged) -> Array | Ragged:
    if name in split.inputs:
        return _loose(split, name)
    if isinstance(like, Ragged):
        return type(like)(like.values[:0], np.zeros((len(split), 2), dtype=np.int64))
    return np.zeros((len(split), *like.shape[1:]), dtype=like.dtype)


def _loose(split: Split, name: str) -> Array | Ragged:
    """The samples of a modality; sequences and tokens always without padding."""
    x = split.inputs[name]
    x = x if isinstance(x, Ragged) else np.asarray(x)
    if isinstance(x, Ragged) or name not in split.lengths:
        return x
    starts = np.arange(len(x)) * x.shape[1]
    return Ragged(x.reshape(-1, *x.shape[2:]), np.stack([starts, starts + split.lengths[name]], axis=1))


def _concatenated(parts: Sequence[Any]) -> Any:
    """All of one kind; of those without padding only the values that the samples need."""
    first = parts[0]
    if not isinstance(first, Ragged):
        return np.concatenate(parts)
    lengths = np.concatenate([part.lengths for part in parts])
    ends = np.cumsum(lengths)
    values = [part.values[start:stop] for part in parts for start, stop in part.spans.tolist()]
    return type(first)(np.concatenate([first.values[:0], *values]), np.stack([ends - lengths, ends], axis=1))
