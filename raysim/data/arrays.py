"""Features on disk: one `.npz`, or a folder with a `.npy` for each key.

| key | shape | meaning |
|---|---|---|
| `x.<modality>` | (N, D), (N, T, D), (N, C, H, W) floats, (N, T) integers | one each; images may be uint8 |
| `y` | (N,) integers from 0, or (N, C) of 0 and 1 | the class, or the labels |
| `split` | (N,) `train`, `validation`, `test`, or 0, 1, 2 | where a sample belongs |
| `client` | (N,) integers or strings | optional: the natural client |
| `length.<modality>` | (N,) integers | optional, for sequences and tokens: valid steps |
| `span.<modality>` | (N, 2) integers | optional: where a sample begins and ends in `x.<modality>`, see below |
| `present.<modality>` | (N,) booleans | optional: False where the data lacks it; what stands there is never read |
| `codec.<modality>` | one string | optional, for tokens: the JSON of a Hugging Face tokenizer |
| `classes` | (C,) strings | optional: names |

With `span.<modality>` the samples stand one after another, without padding: sequences (S, D), tokens (S,), or the bytes
of image files of one size, (S,) uint8, which are decoded when they are used.

Without validation samples some of the training samples are held out. Nothing pickled is ever loaded.
Shapes: N samples, C classes, T steps, D features, S steps of all samples together.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, StrictBool

from raysim.data.columns import UNREADABLE, Column, kind_of, type_of
from raysim.data.dataset import Array, DataError, Dataset, Kind, Modality, Source, Split, hint
from raysim.data.scaling import Group, standardized
from raysim.seeding import stream

SPLITS = ("train", "validation", "test")
_PREFIXES = ("length", "present", "span", "codec")
Scaling = Literal["train", "client", "fedmultimodal"]
Standardize = Annotated[
    StrictBool | dict[str, Scaling],
    Field(
        description="Vectors and sequences get mean 0 and deviation 1 over the training samples (true), or by "
        "modality: `train`; `client`: over each client's own samples of a split; or `fedmultimodal`: likewise in "
        "training, but each validation and test sample by itself, as that benchmark's code does."
    ),
]


class Reading(Source.Options):
    """How arrays become a dataset."""

    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.15, description="Share of the training samples held out when the data has no validation samples."
    )
    standardize: Standardize = False
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Of the held-out samples.")


def read(path: Path, options: Reading) -> Dataset:
    """Reads and checks arrays in the layout above.

    Raises:
        DataError: something is absent or malformed; names the file and the key.
    """
    return _Reader(_read(path), path, options).dataset()


def kinds(path: Path) -> dict[str, Kind] | None:
    """Each modality's kind, from the arrays' headers alone; None where they cannot be read."""
    try:
        arrays = _headers(path)
    except UNREADABLE:
        return None
    found: dict[str, Kind] = {}
    for name in (key.removeprefix("x.") for key in arrays if key.startswith("x.")):
        if (kind := kind_of(arrays, name)) is not None:
            found[name] = kind
    return found or None


def _headers(path: Path) -> dict[str, tuple[int, str]]:
    """Key -> (dimensions, type) of each array."""
    if path.is_dir():
        found = {p.stem: np.load(p, mmap_mode="r", allow_pickle=False) for p in path.glob("*.npy")}
        return {key: (a.ndim, type_of(a.dtype)) for key, a in found.items()}
    headers: dict[str, tuple[int, str]] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = header(file)
            headers[member.removesuffix(".npy")] = (len(shape), type_of(dtype))
    return headers


def _read(path: Path) -> dict[str, Array]:
    """All arrays by key."""
    if not path.exists():
        raise DataError(f"{path} does not exist; dataset.path is relative to the folder you run in")
    if path.is_file() and path.suffix == ".npy":
        raise DataError(f"{path} is a single array; give an .npz, or the folder of .npy files")
    try:
        if path.is_dir():
            files = sorted(path.glob("*.npy"))
            found: dict[str, Array] = {p.stem: np.asarray(np.load(p, mmap_mode="r", allow_pickle=False)) for p in files}
        else:
            with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
                found = {key: archive[key] for key in archive.files}
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}; write it with numpy.savez") from error
    if not found:
        raise DataError(f"{path} holds no arrays; it needs x.<modality>, y and split")
    return found


class _Reader:
    """Checks arrays and turns them into a dataset."""

    def __init__(self, arrays: Mapping[str, Array], path: Path, options: Reading) -> None:
        self.arrays, self.path, self.options = arrays, path, options
        self.names = [key.removeprefix("x.") for key in arrays if key.startswith("x.")]
        self._check_keys()
        self.count = len(arrays["y"])
        for key, array in arrays.items():
            free = key == "classes" or key.startswith("codec.") or key.replace("x.", "span.", 1) in arrays
            if (not free or key.startswith("span.")) and (array.ndim == 0 or len(array) != self.count):
                raise self.error(
                    key, f"has shape {array.shape}, but y has {self.count} rows; one row a sample is needed"
                )

    def error(self, key: str, message: str) -> DataError:
        return DataError(f"{self.path}: '{key}' {message}")

    def dataset(self) -> Dataset:
        labels, classes, multi_label = self._labels()
        rows = self._split()
        columns = {m: Column(self.arrays, m, self.count, self.error) for m in self.names}
        present = {m: column.present for m, column in columns.items()}
        read = {m: column.read() for m, column in columns.items()}
        modalities = {m: modality for m, (modality, _, _) in read.items()}
        inputs = {m: x for m, (_, x, _) in read.items()}
        lengths = {m: n for m, (_, _, n) in read.items() if n is not None}
        clients, client_names = self._clients()

        for m, by in self._scalings(modalities).items():
            groups = [(rows["train"], None)] if by == "train" else self._groups(rows, clients, by)
            inputs[m] = standardized(inputs[m], groups, present[m], lengths.get(m))

        def split(name: str) -> Split:
            at = rows[name]
            return Split(
                inputs={m: x[at] for m, x in inputs.items()},
                labels=labels[at],
                lengths={m: n[at] for m, n in lengths.items()},
                present={m: p[at] for m, p in present.items()},
                clients=None if clients is None else clients[at],
            )

        return Dataset(
            modalities, classes, multi_label, split("train"), split("validation"), split("test"), client_names
        )

    def _check_keys(self) -> None:
        for key in ("y", "split"):
            if key not in self.arrays:
                raise DataError(f"{self.path} has no '{key}'; {hint(key, self.arrays)}")
        if not self.names:
            raise DataError(f"{self.path} has no modality; name one x.<modality>, such as x.text")
        for key in self.arrays:
            prefix, dot, name = key.partition(".")
            if dot and prefix in _PREFIXES and name not in self.names:
                raise self.error(key, f"belongs to no modality; {hint(name, self.names)}")
            if not (dot and prefix in ("x", *_PREFIXES)) and key not in ("y", "split", "client", "classes"):
                known = ["y", "split", "client", "classes", *(f"x.{m}" for m in self.names)]
                raise self.error(key, f"is not a known key; {hint(key, known)}")

    def _labels(self) -> tuple[Array, tuple[str, ...], bool]:
        y = self.arrays["y"]
        if y.ndim == 2:
            if not np.isin(y, (0, 1)).all():
                raise self.error("y", "has values other than 0 and 1; several labels a sample are 0 or 1 each")
            return y.astype(np.float32), self._classes(y.shape[1]), True
        if y.ndim != 1 or y.dtype.kind not in "iub":
            raise self.error("y", f"is {y.dtype} of shape {y.shape}; write integers (N,), or 0 and 1 (N, C)")
        if self.count and y.min() < 0:
            raise self.error("y", f"has the class {y.min()} in row {int(y.argmin())}; classes count from 0")
        return y.astype(np.int64), self._classes(int(y.max(initial=0)) + 1), False

    def _classes(self, needed: int) -> tuple[str, ...]:
        if "classes" not in self.arrays:
            return tuple(map(str, range(needed)))
        names = tuple(str(c) for c in self.arrays["classes"])
        if len(names) < needed:
            raise self.error("classes", f"names {len(names)} classes, y has {needed}; name them all")
        return names

    def _split(self) -> dict[str, Array]:
        split = self.arrays["split"]
        known: tuple[object, ...] = SPLITS if split.dtype.kind == "U" else (0, 1, 2)
        if split.ndim != 1 or split.dtype.kind not in "Uiu" or not np.isin(split, known).all():
            strange = split[~np.isin(split, known)].flatten()[:1].tolist()
            shown = f"has the value {strange[0]!r}" if strange else f"is {split.dtype} of shape {split.shape}"
            raise self.error("split", f"{shown}; write train, validation, test, or 0, 1, 2")
        rows = {name: np.flatnonzero(split == value) for name, value in zip(SPLITS, known, strict=True)}
        if not len(rows["validation"]):
            order = stream(self.options.seed, "arrays", "validation").permutation(rows["train"])
            held = round(self.options.validation * len(order))
            rows["validation"], rows["train"] = np.sort(order[:held]), np.sort(order[held:])
        for name, at in rows.items():
            if not len(at):
                raise self.error("split", f"leaves no {name} sample; every split needs some")
        return rows

    def _clients(self) -> tuple[Array | None, tuple[str, ...]]:
        client = self.arrays.get("client")
        if client is None:
            return None, ()
        if client.ndim != 1 or client.dtype.kind not in "Uiu":
            raise self.error("client", f"is {client.dtype} of shape {client.shape}; write integers or strings (N,)")
        names, numbers = np.unique(client, return_inverse=True)
        return numbers.astype(np.int64), tuple(str(n) for n in names)

    def _scalings(self, modalities: Mapping[str, Modality]) -> dict[str, Scaling]:
        """How each modality that is standardised is."""
        scaled = [m for m, spec in modalities.items() if spec.kind in ("vector", "sequence")]
        wish = self.options.standardize
        if isinstance(wish, bool):
            return dict.fromkeys(scaled, "train") if wish else {}
        for name, by in wish.items():
            if name not in scaled:
                raise DataError(f"standardize: '{name}' is no vector or sequence of the data; {hint(name, scaled)}")
            if by != "train" and "client" not in self.arrays:
                raise DataError(f"standardize.{name}: the data has no natural clients; write train")
        return wish

    @staticmethod
    def _groups(rows: Mapping[str, Array], clients: Array | None, by: Scaling) -> list[Group]:
        """Rows that are scaled together: of each client in a split, or single ones."""
        assert clients is not None
        parts: list[Array] = []
        for split, at in rows.items():
            alone = by == "fedmultimodal" and split != "train"
            parts += (
                [at[i : i + 1] for i in range(len(at))]
                if alone
                else [at[clients[at] == c] for c in np.unique(clients[at])]
            )
        return [(part, part) for part in parts]
