"""New samples for a trained model: checked against what it was trained on, and brought into its form.

Shapes: N samples, T steps, D features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raysim.data.columns import Column
from raysim.data.dataset import Array, DataError, Dataset, Modality, Split, hint
from raysim.data.headers import loaded
from raysim.data.ragged import Pictures, Ragged
from raysim.data.scaling import Group, Lost, rounded, scaled_by, standardized
from raysim.data.scores import Scaling, Together
from raysim.data.seen import Seen, check_lengths, check_values

WANTED = {
    "vector": "floats (N, {0})",
    "sequence": "floats (N, T, {1}), T at most {0}",
    "image": "uint8 or floats (N, {0}, {1}, {2})",
    "tokens": "integers (N, T), T at most {0}",
}


How = Scaling | Sequence[Group] | None


@dataclass(frozen=True)
class Samples:
    """New samples as they were read, by modality; see `given`. `y` and `clients` are what the file has, if anything."""

    inputs: Mapping[str, Array | Pictures]
    present: Mapping[str, Array]
    lengths: Mapping[str, Array]
    y: Array | None
    clients: Array | None


def read(path: Path) -> Samples:
    """New samples in the layout of `raysim/data/arrays.py`; `y` need not be there, and `split` is not looked at.

    Raises:
        DataError: something is absent or malformed; names the file and the key.
    """
    arrays = loaded(path)

    def error(key: str, message: str) -> DataError:
        return DataError(f"{path}: '{key}' {message}")

    names = [key.removeprefix("x.") for key in arrays if key.startswith("x.")]
    if not names:
        raise DataError(f"{path} has no modality; name one x.<modality>, such as x.text")
    first = f"span.{names[0]}" if f"span.{names[0]}" in arrays else f"x.{names[0]}"
    count = len(arrays[first])
    for key, array in arrays.items():
        prefix, _, name = key.partition(".")
        loose = key in ("classes", "targets") or prefix == "codec" or (prefix == "x" and f"span.{name}" in arrays)
        if not loose and array.shape[:1] != (count,):
            raise error(key, f"has shape {array.shape}, but '{first}' has {count} rows; one row a sample is needed")
    columns = {m: Column(arrays, arrays[f"x.{m}"], m, count, error) for m in names}
    inputs, lengths = dict[str, Array | Pictures](), dict[str, Array]()
    for m, column in columns.items():
        modality, x, steps = column.read()
        whole = x if isinstance(x, Pictures) else x.padded(modality.shape[0]) if isinstance(x, Ragged) else None
        inputs[m] = np.asarray(x) if whole is None else whole
        if steps is not None and (f"length.{m}" in arrays or f"span.{m}" in arrays):  # else nothing is made up
            lengths[m] = steps
    return Samples(
        inputs, {m: column.present for m, column in columns.items()}, lengths, arrays.get("y"), arrays.get("client")
    )


def labelled(y: Array, dataset: Dataset) -> Array:
    """What a file says of labels, as a model's data has them: (N,) numbers, (N, C) of 0 and 1, or (N, D) reals.

    A label is a class's name, also where that is a number; where none is, it is the class's number, as in training.

    Raises:
        DataError: they are not of these classes, or no such targets.
    """
    classes = dataset.classes
    if dataset.targets:
        values = np.asarray(y[:, None] if y.ndim == 1 else y)
        if values.shape != (len(y), dataset.width) or values.dtype.kind not in "fiub" or not np.isfinite(values).all():
            raise DataError(
                f"'y' is {y.dtype} of shape {y.shape}; the model has {dataset.width} targets, finite numbers"
            )
        return values.astype(np.float32)
    if dataset.multi_label:
        if y.shape[1:] != (len(classes),) or not np.isin(y, (0, 1)).all():
            raise DataError(f"'y' is {y.dtype} of shape {y.shape}; the model has {len(classes)} labels, 0 or 1 each")
        return y.astype(np.float32)
    numbers = {name: i for i, name in enumerate(classes)}
    if y.ndim == 1 and y.dtype.kind in "iu" and not numbers.keys() & set(map(str, np.unique(y).tolist())):
        numbers = {str(i): i for i in range(len(classes))}
    odd = next((v for v in np.unique(y).tolist() if str(v) not in numbers), None) if y.ndim == 1 else y.shape
    if odd is not None:
        raise DataError(f"'y' has {odd!r}, which is no class of the model; {hint(str(odd), classes)}; or leave y out")
    return np.array([numbers[str(v)] for v in y.tolist()], dtype=np.int64)


def given(
    modalities: Mapping[str, Modality],
    inputs: Mapping[str, Array | Pictures],
    present: Mapping[str, Array],
    lengths: Mapping[str, Array],
    labels: Array,
    scaling: Mapping[str, Scaling | Together],
    clients: Array | None = None,
    seen: Mapping[str, Seen] | None = None,
) -> Split:
    """New samples as a split; modalities that are not among the inputs are absent.

    Args:
        modalities: what the model knows.
        inputs: modality -> (N, *shape); sequences and tokens may have fewer steps.
        present: modality -> (N,) bool; what is not named is there in all samples.
        lengths: modality -> (N,) valid steps; what is not named is full, where it was so in training.
        labels: (N,) or (N, C).
        scaling: how the model's data was scaled.
        clients: (N,) whose samples they are, where those of a client are scaled together; None: all are one's.
        seen: what they were like in training, as far as that is known.

    Raises:
        DataError: something does not fit; names the modality.
    """
    for what, table in (("the inputs have", inputs), ("present has", present), ("lengths have", lengths)):
        for name in table:
            known = modalities if table is inputs else inputs
            if name not in known:
                lacks = "the model does not know" if table is inputs else "is not among the inputs"
                raise DataError(f"{what} a modality '{name}' that {lacks}; {hint(name, known)}")
    if not inputs:
        raise DataError(f"no modality is given; the model knows {', '.join(modalities)}")
    count = len(labels)
    if clients is not None and (clients := np.asarray(clients)).shape != (count,):
        raise DataError(f"clients are {clients.dtype} of shape {clients.shape}; write one for each of {count} samples")
    x, steps, there = dict[str, Array | Pictures](), dict[str, Array](), dict[str, Array]()
    for name, spec in modalities.items():
        if name in inputs:
            there[name] = _mask(name, present.get(name, np.ones(count, dtype=bool)), count)
            how = scaling.get(name)
            groups = how if how is None or isinstance(how, Scaling) else _groups(how, count, clients)
            like = (seen or {}).get(name, Seen())
            x[name], found = _input(name, spec, inputs[name], there[name], lengths.get(name), groups, like)
        else:
            there[name] = np.zeros(count, dtype=bool)
            x[name] = np.zeros((count, *spec.shape), np.int64 if spec.kind == "tokens" else np.float32)
            found = np.ones(count, dtype=np.int64)
        if spec.ordered:
            steps[name] = found
    return Split(x, labels, steps, there)


def _groups(together: Together, count: int, clients: Array | None) -> list[Group]:
    """Rows that are scaled by themselves."""
    if together == "sample":
        parts = list(np.arange(count)[:, None])
    else:
        whose = np.zeros(count) if clients is None else clients
        parts = [np.flatnonzero(whose == client) for client in np.unique(whose)]
    return [(part, part) for part in parts]


def _mask(name: str, mask: Array, count: int) -> Array:
    mask = np.asarray(mask)
    if mask.shape != (count,) or not np.isin(mask, (0, 1)).all():
        raise DataError(f"present of '{name}' is {mask.dtype} of shape {mask.shape}; write booleans ({count},)")
    return mask.astype(bool)


def _input(
    name: str, spec: Modality, x: Array | Pictures, present: Array, lengths: Array | None, scaling: How, like: Seen
) -> tuple[Array | Pictures, Array]:
    """A modality's samples in the model's form, and their lengths."""
    steps = np.ones(len(present), dtype=np.int64)
    if isinstance(x, Pictures):
        check_values(name, like, x, present)
        return x, steps
    _check_form(name, spec, x, len(present))
    if spec.ordered:
        if lengths is None and present.any():
            check_lengths(name, like, spec.shape[0], len(present))
        longest: int = x.shape[1]
        steps = _lengths(name, np.full(len(present), longest) if lengths is None else lengths, present, longest)
        x = np.pad(x, [(0, 0), (0, spec.shape[0] - longest), *[(0, 0)] * (x.ndim - 2)])
    if spec.kind == "tokens":
        return _tokens(name, spec, x, present), steps
    found = x if x.dtype.kind == "u" else _floats(name, x, present, steps if spec.ordered else None, scaling)
    if spec.kind == "image":
        check_values(name, like, found, present)
    return found, steps


def _check_form(name: str, spec: Modality, x: Array, count: int) -> None:
    kinds = {"tokens": "iu", "image": "fu"}.get(spec.kind, "f")
    fits = x.ndim == len(spec.shape) + 1 and len(x) == count and x.dtype.kind in kinds
    if fits and spec.ordered:
        fits = 1 <= x.shape[1] <= spec.shape[0] and x.shape[2:] == spec.shape[1:]
    elif fits:
        fits = x.shape[1:] == spec.shape
    if not fits:
        wanted = WANTED[spec.kind].format(*spec.shape)
        if x.ndim == len(spec.shape) + 1:
            wanted = wanted.replace("(N", f"({count}", 1)
        raise DataError(f"'{name}' is {x.dtype} of shape {x.shape}; the model takes {wanted}")


def _floats(name: str, x: Array, present: Array, lengths: Array | None, scaling: How) -> Array:
    if not np.isfinite(x[present]).all():
        raise DataError(f"'{name}' is not finite in samples that have it; mend them, or set present to False there")
    try:
        if scaling is None:
            found = rounded(x, present, lengths)
        elif isinstance(scaling, Scaling):
            found = scaled_by(scaling, x, present, lengths)
        else:
            found = standardized(x, scaling, present, lengths)
    except Lost as error:
        raise DataError(f"'{name}' {error}") from error
    assert isinstance(found, np.ndarray), "as it came"
    return found


def _lengths(name: str, lengths: Array, present: Array, steps: int) -> Array:
    lengths = np.asarray(lengths)
    wrong = lengths.shape != (len(present),) or lengths.dtype.kind not in "iu"
    if wrong or ((lengths < 1) | (lengths > steps))[present].any():
        raise DataError(
            f"lengths of '{name}' are {lengths.dtype} of shape {lengths.shape}; "
            f"write integers ({len(present)},) from 1 to {steps}"
        )
    return np.where(present, lengths, 1).astype(np.int64)


def _tokens(name: str, spec: Modality, x: Array, present: Array) -> Array:
    smallest, largest = int(x[present].min(initial=0)), int(x[present].max(initial=0))
    if spec.vocabulary is not None and (smallest < 0 or largest >= spec.vocabulary):
        odd = smallest if smallest < 0 else largest
        raise DataError(f"'{name}' has the token {odd}; the model knows 0 to {spec.vocabulary - 1}")
    return x.astype(np.int64, copy=False)
