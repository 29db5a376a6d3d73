"""Your own features: one `.npz`, or a folder with a `.npy` for each key.

| key | shape | meaning |
|---|---|---|
| `x.<modality>` | (N, D), (N, T, D), (N, C, H, W) floats, (N, T) integers | one each; images may be uint8 |
| `y` | (N,) integers from 0, or (N, C) of 0 and 1 | the class, or the labels |
| `split` | (N,) `train`, `validation`, `test`, or 0, 1, 2 | where a sample belongs |
| `client` | (N,) integers or strings | optional: the natural client |
| `length.<modality>` | (N,) integers | optional, for sequences and tokens: valid steps |
| `present.<modality>` | (N,) booleans | optional: False where the data lacks it; what stands there is never read |
| `classes` | (C,) strings | optional: names |

Without validation samples some of the training samples are held out. Nothing pickled is ever loaded.
Shapes: N samples, C classes, T steps, D features.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictBool, StrictStr

from raysim.data.dataset import Array, DataError, Dataset, Kind, Modality, Source, Split, hint
from raysim.seeding import stream

SPLITS = ("train", "validation", "test")
_KINDS: Mapping[tuple[int, str], Kind] = {
    (2, "f"): "vector", (3, "f"): "sequence", (4, "f"): "image", (4, "u1"): "image",
    (2, "i"): "tokens", (2, "u"): "tokens", (2, "u1"): "tokens",
}  # fmt: skip
"""What a modality is, by the number of dimensions and the type of its array."""


class Arrays(Source):
    """A dataset from arrays on disk, in the layout above."""

    class Options(Source.Options):
        """Where the arrays are and how to read them."""

        path: StrictStr = Field(min_length=1, description="An .npz file, or a folder of .npy files.")
        validation: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
            default=0.15, description="Share of the training samples held out when the data has no validation samples."
        )
        standardize: StrictBool = Field(
            default=False, description="Vectors and sequences get mean 0 and deviation 1 over the training samples."
        )
        seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Of the held-out samples.")

    options: Options

    def load(self) -> Dataset:
        """Reads and checks the arrays.

        Raises:
            DataError: something is absent or malformed; names the file and the key.
        """
        return _Reader(_read(Path(self.options.path)), self.options).dataset()


def _read(path: Path) -> dict[str, Array]:
    """All arrays by key."""
    if not path.exists():
        raise DataError(f"{path} does not exist; dataset.path is relative to the folder you run in")
    if path.is_file() and path.suffix == ".npy":
        raise DataError(f"{path} is a single array; give an .npz, or the folder of .npy files")
    try:
        if path.is_dir():
            found: dict[str, Array] = {p.stem: np.load(p, allow_pickle=False) for p in sorted(path.glob("*.npy"))}
        else:
            with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
                found = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())}; write it with numpy.savez") from error
    if not found:
        raise DataError(f"{path} holds no arrays; it needs x.<modality>, y and split")
    return found


class _Reader:
    """Checks arrays and turns them into a dataset."""

    def __init__(self, arrays: Mapping[str, Array], options: Arrays.Options) -> None:
        self.arrays, self.options = arrays, options
        self.names = [key.removeprefix("x.") for key in arrays if key.startswith("x.")]
        self._check_keys()
        self.count = len(arrays["y"])
        for key, array in arrays.items():
            if key != "classes" and (array.ndim == 0 or len(array) != self.count):
                raise self.error(
                    key, f"has shape {array.shape}, but y has {self.count} rows; one row a sample is needed"
                )

    def error(self, key: str, message: str) -> DataError:
        return DataError(f"{self.options.path}: '{key}' {message}")

    def dataset(self) -> Dataset:
        labels, classes, multi_label = self._labels()
        rows = self._split()
        present = {m: self._present(m) for m in self.names}
        modalities = {m: self._modality(m) for m in self.names}
        lengths = {m: self._lengths(m, spec.shape[0], present[m]) for m, spec in modalities.items() if spec.ordered}
        inputs = {m: self._inputs(m, spec, present[m], lengths.get(m)) for m, spec in modalities.items()}
        if self.options.standardize:
            for m, spec in modalities.items():
                if spec.kind in ("vector", "sequence"):
                    inputs[m] = _standardized(inputs[m], rows["train"], present[m], lengths.get(m))
        clients, client_names = self._clients()

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
                raise DataError(f"{self.options.path} has no '{key}'; {hint(key, self.arrays)}")
        if not self.names:
            raise DataError(f"{self.options.path} has no modality; name one x.<modality>, such as x.text")
        for key in self.arrays:
            prefix, dot, name = key.partition(".")
            if dot and prefix in ("length", "present") and name not in self.names:
                raise self.error(key, f"belongs to no modality; {hint(name, self.names)}")
            if not (dot and prefix in ("x", "length", "present")) and key not in ("y", "split", "client", "classes"):
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

    def _present(self, name: str) -> Array:
        present = self.arrays.get(f"present.{name}")
        if present is None:
            return np.ones(self.count, dtype=bool)
        if present.shape != (self.count,) or not np.isin(present, (0, 1)).all():
            raise self.error(f"present.{name}", f"is {present.dtype} of shape {present.shape}; write booleans (N,)")
        return present.astype(bool)

    def _modality(self, name: str) -> Modality:
        x = self.arrays[f"x.{name}"]
        kind = _KINDS.get((x.ndim, "u1" if x.dtype == np.uint8 else x.dtype.kind))
        if kind is None:
            raise self.error(
                f"x.{name}",
                f"is {x.dtype} of shape {x.shape}; write floats (N, D), (N, T, D) or (N, C, H, W), "
                "uint8 (N, C, H, W), or integers (N, T)",
            )
        if 0 in x.shape[1:]:
            raise self.error(f"x.{name}", f"has shape {x.shape}, which is empty")
        if kind == "tokens" and x.min(initial=0) < 0:
            raise self.error(f"x.{name}", f"has the token {x.min()}; tokens count from 0")
        return Modality(kind, x.shape[1:], int(x.max(initial=0)) + 1 if kind == "tokens" else None)

    def _lengths(self, name: str, steps: int, present: Array) -> Array:
        key = f"length.{name}"
        lengths = self.arrays.get(key)
        if lengths is None:
            return np.full(self.count, steps, dtype=np.int64)
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
            raise self.error(key, f"is {lengths.dtype} of shape {lengths.shape}; write integers (N,)")
        wrong = np.flatnonzero(present & ((lengths < 1) | (lengths > steps)))
        if len(wrong):
            raise self.error(key, f"is {lengths[wrong[0]]} in row {wrong[0]}; it must be 1 to {steps}")
        return np.where(present, lengths, 1).astype(np.int64)

    def _inputs(self, name: str, spec: Modality, present: Array, lengths: Array | None) -> Array:
        """The array as it is used: float32, int64 or uint8; steps after a sample's end are zeros."""
        x = self.arrays[f"x.{name}"]
        if spec.kind == "tokens":
            x = x.astype(np.int64)
        elif x.dtype != np.uint8:
            x = x.astype(np.float32)
        if lengths is not None:
            inside = _inside(lengths, x.shape[1])
            x = np.where(inside.reshape(*inside.shape, *[1] * (x.ndim - 2)), x, 0).astype(x.dtype)
        if x.dtype.kind == "f":
            bad = np.flatnonzero(present & ~np.isfinite(x).reshape(self.count, -1).all(axis=1))
            if len(bad):
                raise self.error(
                    f"x.{name}",
                    f"is not finite in {len(bad)} samples that have it, first in row {bad[0]}; "
                    f"mend them, or set present.{name} to False there",
                )
        return x


def _standardized(x: Array, train: Array, present: Array, lengths: Array | None) -> Array:
    """Z-scores by feature, from the training samples that have the modality, over their valid steps."""
    rows = train[present[train]]
    seen = x[rows] if lengths is None else x[rows][_inside(lengths[rows], x.shape[1])]
    if not len(seen):
        return x
    mean, deviation = seen.mean(axis=0, dtype=np.float64), seen.std(axis=0, dtype=np.float64)
    scaled = ((x - mean) / np.where(deviation > 1e-8, deviation, 1.0)).astype(np.float32)
    if lengths is None:
        return scaled
    return np.where(_inside(lengths, x.shape[1])[..., None], scaled, np.float32(0))


def _inside(lengths: Array, steps: int) -> NDArray[np.bool_]:
    """(N, steps): the valid steps."""
    return np.less.outer(np.arange(steps), lengths).T
