"""Features on disk: one `.npz`, or a folder with a `.npy` for each key.

| key | shape | meaning |
|---|---|---|
| `x.<modality>` | (N, D), (N, T, D), (N, C, H, W) floats, (N, T) integers | one each; images may be uint8 |
| `y` | (N,) integers from 0, or (N, C) of 0 and 1 | the class, or the labels |
| | (N,) or (N, D) numbers | with `task: regression`: the targets, taken as they are; best scaled to about 1 |
| `split` | (N,) `train`, `validation`, `test`, or 0, 1, 2 | where a sample belongs |
| `client` | (N,) integers or strings | optional: the natural client |
| `length.<modality>` | (N,) integers | optional, for sequences and tokens: valid steps |
| `span.<modality>` | (N, 2) integers | optional: where a sample begins and ends in `x.<modality>`, see below |
| `present.<modality>` | (N,) booleans | optional: False where the data lacks it; what stands there is never read |
| `codec.<modality>` | one string | optional, for tokens: the JSON of a Hugging Face tokenizer |
| `classes` | (C,) strings | optional: names |
| `targets` | (D,) strings | optional: names of a regression's targets |

With `span.<modality>` the samples stand one after another, without padding: sequences (S, D), tokens (S,), or the bytes
of image files of one size, (S,) uint8, which are decoded when they are used.

Modalities stand in the order of their names. Without validation samples some of the training samples are held out.
Nothing pickled is ever loaded.
Shapes: N samples, C classes, T steps, D features, S steps of all samples together.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, StrictBool

from raysim.data.classes import Labels, labels_of, targets_of
from raysim.data.columns import Column
from raysim.data.dataset import Array, DataError, Dataset, Kind, Modality, Source, Split, hint
from raysim.data.forms import Shaped, kind_of, misfit
from raysim.data.headers import Header, headers, opened
from raysim.data.mapped import Mapped
from raysim.data.pieces import Inputs
from raysim.data.scaling import Group, Lost, rounded, scaling_of, standardized
from raysim.data.scores import Scaling, Together
from raysim.seeding import stream

SPLITS = ("train", "validation", "test")
TOGETHER: Mapping[str, Together] = {"client": "client", "fedmultimodal": "sample"}
"""How evaluated samples are scaled that are not by the training samples."""
_PREFIXES = ("length", "present", "span", "codec")
_PLAIN = ("y", "split", "client", "classes", "targets")
_ADDED = {
    "y": "add the class of each sample, integers (N,) from 0; or labels, 0 and 1 (N, C); or real numbers, with "
    "dataset.task: regression",
    "split": "add one of train, validation and test a sample, such as numpy.where(numpy.arange(N) % 5, 'train', 'test')"
    "; without validation samples some of the training samples are held out",
}
"""What to do where an array that must be there is not."""
Scaled = Literal["train", "client", "fedmultimodal"]
Standardize = Annotated[
    StrictBool | dict[str, Scaled],
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
    one_hot: StrictBool | None = Field(
        default=False, description="Whether rows of y with one 1 each are single classes (true), or several labels."
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Of the held-out samples.")


def read(path: Path, options: Reading, *, regression: bool = False) -> Dataset:
    """Reads and checks arrays in the layout above; of a regression `y` has real numbers.

    Raises:
        DataError: something is absent or malformed; names the file and the key.
    """
    return _Reader(*opened(path), path, options, regression=regression).dataset()


def kinds(path: Path) -> dict[str, Kind] | None:
    """Each modality's kind, from the arrays' headers alone; None where there is no such file.

    Raises:
        DataError: the headers cannot be read, or they are malformed; names the file and the key.
    """
    found = _checked(path)
    return None if found is None else {m: kind for m in _names(found) if (kind := kind_of(found, m)) is not None}


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of one sample of each modality, from the arrays' headers alone; without those that have no padding.

    Raises:
        DataError: as `kinds` does.
    """
    found = _checked(path) or {}
    return {m: found[f"x.{m}"].shape[1:] for m in _names(found) if f"span.{m}" not in found}


def nbytes(path: Path) -> int | None:
    """The bytes of all values, from the arrays' headers alone; None where there is no such file.

    Raises:
        DataError: as `kinds` does.
    """
    found = _checked(path)
    return None if found is None else sum(header.bytes for header in found.values())


def _checked(path: Path) -> dict[str, Header] | None:
    if not path.exists():
        return None
    found = headers(path)
    _check_keys(found, path)
    for name in _names(found):
        if (wrong := misfit(found, name)) is not None:
            raise _error(path, *wrong)
    return found


def _names(keys: Iterable[str]) -> list[str]:
    return [key.removeprefix("x.") for key in keys if key.startswith("x.")]


def _error(path: Path, key: str, message: str) -> DataError:
    return DataError(f"{path}: '{key}' {message}")


def _check_keys(arrays: Mapping[str, Shaped], path: Path) -> None:
    """Whether all keys are known, and all arrays have a row a sample; arrays or their headers."""
    names = _names(arrays)
    for key in ("y", "split"):
        if key not in arrays:
            raise DataError(f"{path} has no '{key}'; {_absent(key, arrays)}")
    if not names:
        raise DataError(f"{path} has no modality; name one x.<modality>, such as x.text")
    for key in arrays:
        prefix, dot, name = key.partition(".")
        if dot and prefix in _PREFIXES and name not in names:
            raise _error(path, key, f"belongs to no modality; {hint(name, names)}")
        if not (dot and name and prefix in ("x", *_PREFIXES)) and key not in _PLAIN:
            raise _error(path, key, f"is not a known key; {_meant(key, names, wide=len(arrays[key].shape) > 1)}")
    if not arrays["y"].shape:
        raise _error(path, "y", "is a single value; write one class a sample, integers (N,)")
    _check_rows(arrays, path)


def _meant(key: str, names: Sequence[str], *, wide: bool) -> str:
    """What an unknown key should be: another spelling of `<prefix>.<modality>`, or a modality, where it is wide."""
    head, _, rest = (key if "." in key else re.sub("[_-]", ".", key, count=1)).partition(".")
    singular = head.lower().removesuffix("s")
    if (singular in _PREFIXES and rest in names) or (singular == "x" and rest):
        return f"did you mean '{singular}.{rest}'?"
    if wide and "." not in key:
        return f"a modality is 'x.{key}'"
    return hint(key, [*_PLAIN, *(f"{prefix}.{m}" for prefix in ("x", *_PREFIXES) for m in names if m)])


def _absent(key: str, keys: Iterable[str]) -> str:
    """What to do about a key that is not there."""
    if any(k.startswith("arr_") for k in keys):
        return "numpy.savez names arrays arr_0, arr_1, … where it is given no keys; write numpy.savez(path, **arrays)"
    near = get_close_matches(key, list(keys), n=1)
    return hint(key, near) if near else _ADDED[key]


def _check_rows(arrays: Mapping[str, Shaped], path: Path) -> None:
    count = arrays["y"].shape[0]
    for key, array in arrays.items():
        prefix, _, name = key.partition(".")
        loose = key in ("classes", "targets") or prefix == "codec" or (prefix == "x" and f"span.{name}" in arrays)
        if loose or array.shape[:1] == (count,):
            continue
        axis = array.shape.index(count) if count in array.shape else 0
        way = f": numpy.moveaxis({key}, {axis}, 0)" if axis else "" if array.shape else f": numpy.full({count}, {key})"
        raise _error(path, key, f"has shape {array.shape}, but y has {count} rows; one row a sample is needed{way}")


class _Reader:
    """Checks arrays and turns them into a dataset."""

    def __init__(
        self, arrays: Mapping[str, Array], samples: Mapping[str, Array | Mapped], path: Path, options: Reading, *,
        regression: bool,
    ) -> None:  # fmt: skip
        self.arrays, self.samples, self.path, self.options = arrays, samples, path, options
        self.regression = regression
        _check_keys({**samples, **arrays}, path)
        self.names, self.count = _names(samples), len(arrays["y"])

    def error(self, key: str, message: str) -> DataError:
        return _error(self.path, key, message)

    def dataset(self) -> Dataset:
        labels = self._labels()
        rows = self._split()
        columns = {m: Column(self.arrays, self.samples[f"x.{m}"], m, self.count, self.error) for m in self.names}
        present = {m: column.present for m, column in columns.items()}
        read = {m: column.read() for m, column in columns.items()}
        modalities = {m: modality for m, (modality, _, _) in read.items()}
        inputs = {m: x for m, (_, x, _) in read.items()}
        lengths = {m: n for m, (_, _, n) in read.items() if n is not None}
        clients, client_names = self._clients()

        wished, scaling = self._scalings(modalities), dict[str, Scaling | Together]()
        for m, x in inputs.items():
            by = wished.get(m)
            if by == "train" and (found := scaling_of(x, rows["train"][present[m][rows["train"]]], lengths.get(m))):
                scaling[m] = found
            elif by is not None and by != "train":
                scaling[m] = TOGETHER[by]
            groups = [(rows["train"], None)] if by == "train" else self._groups(rows, clients, by) if by else None
            inputs[m] = self._single(m, x, groups, present[m], lengths.get(m))

        def split(name: str) -> Split:
            at = rows[name]
            return Split(
                inputs={m: x.pick(at) if isinstance(x, Mapped) else x[at] for m, x in inputs.items()},
                labels=labels.values[at],
                lengths={m: n[at] for m, n in lengths.items()},
                present={m: p[at] for m, p in present.items()},
                clients=None if clients is None else clients[at],
            )

        return Dataset(
            modalities, labels.classes, labels.several, split("train"), split("validation"), split("test"),
            client_names, scaling, labels.targets,
        )  # fmt: skip

    def _labels(self) -> Labels:
        y, other = self.arrays["y"], "classes" if self.regression else "targets"
        if other in self.arrays:
            task = "regression" if self.regression else "classification"
            raise self.error(other, f"is there, and dataset.task is {task}; leave it out")
        if self.regression:
            return targets_of(y, self.arrays.get("targets"), self.error)
        return labels_of(y, self.arrays.get("classes"), self.options.one_hot, self.error)

    def _single(
        self, name: str, x: Inputs, groups: Sequence[Group] | None, present: Array, lengths: Array | None
    ) -> Inputs:
        """Floats in single precision, standardised by groups of rows where there are any."""
        if x.dtype.kind != "f":
            return x
        try:
            return rounded(x, present, lengths) if groups is None else standardized(x, groups, present, lengths)
        except Lost as error:
            raise self.error(f"x.{name}", str(error)) from error

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

    def _scalings(self, modalities: Mapping[str, Modality]) -> dict[str, Scaled]:
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
    def _groups(rows: Mapping[str, Array], clients: Array | None, by: Scaled) -> list[Group]:
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
