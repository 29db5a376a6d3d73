"""What the labels of arrays on disk mean: one class a sample, several labels a sample, or real numbers.

Shapes: N samples, C classes, D targets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raysim.data.dataset import Array, DataError

NUMBERED = "classes, y = numpy.unique(y, return_inverse=True)"
"""What makes classes from 0 of anything."""
REAL = "; for real numbers set dataset.task: regression"
MOST_SHOWN = 5
MOST_ALONE = 20
"""With more samples than this, a class for each is no class."""
Error = Callable[[str, str], DataError]


@dataclass(frozen=True)
class Labels:
    """Labels as a dataset has them.

    Attributes:
        values: (N,) int64, (N, C) float32 of 0 and 1, or (N, D) float32.
        classes: the C names; none of a regression.
        several: whether a sample may have several.
        targets: the D names of a regression's.
    """

    values: Array
    classes: tuple[str, ...]
    several: bool
    targets: tuple[str, ...] = ()


def are_real(y: Array) -> bool:
    """Whether labels can be nothing but a regression's targets: finite, and not all whole."""
    return y.dtype.kind == "f" and bool(np.isfinite(y).all()) and bool((y != np.floor(y)).any())


def labels_of(y: Array, names: Array | None, one_hot: bool | None, error: Error) -> Labels:
    """Reads `y` and `classes`.

    Args:
        y: (N,) classes from 0, or (N, C) of 0 and 1.
        names: (C,), or None where they are not written.
        one_hot: whether rows of one 1 each are single classes; None where nobody has said.
        error: (key, message) -> the error to raise.

    Raises:
        DataError: what they mean is not clear; names the key, what is there and the line that mends it.
    """
    if names is not None:
        _check_names(names, error)
    if y.ndim == 2:
        return _rows(y, names, one_hot, error)
    if y.ndim != 1 or y.dtype.kind not in "iub":
        raise error("y", f"is {y.dtype} of shape {y.shape}; {_mended(y)}")
    return Labels(*_single(y, names, error), several=False)


def targets_of(y: Array, names: Array | None, error: Error) -> Labels:
    """Reads `y` and `targets` of a regression, whose numbers stay as they are.

    Args:
        y: (N,) or (N, D).
        names: (D,), or None where they are not written.
        error: (key, message) -> the error to raise.

    Raises:
        DataError: it is something else.
    """
    if y.ndim not in (1, 2) or y.dtype.kind not in "fiub" or 0 in y.shape[1:]:
        raise error("y", f"is {y.dtype} of shape {y.shape}; of a regression write floats (N,), or (N, D)")
    with np.errstate(over="ignore"):  # said below
        values = y.reshape(len(y), -1).astype(np.float32)
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values)).any(axis=1).argmax())
        raise error("y", f"is no finite float32 in row {row}; leave out samples without a target, or scale them")
    width = values.shape[1]
    if names is None:
        return Labels(values, (), False, ("y",) if width == 1 else tuple(f"y{i}" for i in range(width)))
    _check_names(names, error, "targets")
    if len(names) != width:
        raise error("targets", f"names {len(names)} targets, y has {width}; name each")
    return Labels(values, (), False, tuple(map(str, names.tolist())))


def _rows(y: Array, names: Array | None, one_hot: bool | None, error: Error) -> Labels:
    if y.shape[1] < 2:
        raise error("y", f"has shape {y.shape}, one column; write y.ravel() for the class of each sample")
    if y.dtype.kind not in "iubf" or not np.isin(y, (0, 1)).all():
        raise error(
            "y",
            "has values other than 0 and 1; several labels a sample are 0 or 1 each, and the class of each sample is "
            f"one integer (N,){REAL}",
        )
    exclusive = len(y) > 0 and bool((np.count_nonzero(y, axis=1) == 1).all())
    if one_hot and not exclusive:
        raise error("y", "is not one-hot: some rows have not exactly one 1; remove dataset.one_hot")
    if exclusive and one_hot is None:
        raise error(
            "y",
            "is one-hot: every row has exactly one 1; write the class of each sample, y.argmax(axis=1), or set "
            "dataset.one_hot: true (false: several labels a sample, by chance one each)",
        )
    classes = _named(y.shape[1], names, error)
    if one_hot:
        return Labels(y.argmax(axis=1).astype(np.int64), classes, several=False)
    return Labels(y.astype(np.float32), classes, several=True)


def _single(y: Array, names: Array | None, error: Error) -> tuple[Array, tuple[str, ...]]:
    used = np.unique(y)
    if len(used) and used[0] < 0:
        row = int((y < 0).argmax())
        raise error(
            "y",
            f"has the class {y[row]} in row {row}; classes count from 0: leave out rows where it stands for none, or "
            f"write {NUMBERED}",
        )
    if len(used) == len(y) > MOST_ALONE:
        raise error(
            "y", f"has a class of its own for each of {len(y)} samples; write the class of each, not its id{REAL}"
        )
    largest = int(used[-1]) if len(used) else 0
    if names is not None:
        if largest >= len(names) and len(used) > len(names):
            raise error("classes", f"names {len(names)} classes, y has {largest + 1}; name them all")
        if used[0] == 1 and largest == len(names):
            raise error("y", "counts classes from 1, and the first of classes is 0; write y - 1")
        if largest >= len(names):
            raise error("y", f"has the class {largest}, but classes names {len(names)}, from 0; write {NUMBERED}")
        return y.astype(np.int64), _named(len(names), names, error)
    if largest >= len(used) > 0:
        raise error(
            "y",
            f"has {len(used)} classes, {_some(used)}, which do not count from 0 without gaps; leave out rows where one "
            f"stands for none, write {NUMBERED}, or name all in classes",
        )
    return y.astype(np.int64), _named(largest + 1, None, error)


def _some(used: Array) -> str:
    """`1, 2, 3`, or where there are many `1, 2, 3, 4, 5, ... 900`."""
    shown = [str(c) for c in used[:MOST_SHOWN].tolist()]
    return ", ".join(shown + [f"... {used[-1]}"] * (len(used) > MOST_SHOWN))


def _named(needed: int, names: Array | None, error: Error) -> tuple[str, ...]:
    if names is None:
        return tuple(map(str, range(needed)))
    if len(names) < needed:
        raise error("classes", f"names {len(names)} classes, y has {needed}; name them all")
    return tuple(map(str, names.tolist()))


def _check_names(names: Array, error: Error, key: str = "classes") -> None:
    if names.ndim != 1:
        of = f"one name a {'class' if key == 'classes' else 'target'}"
        raise error(key, f"has shape {names.shape}; write {of}, such as numpy.array(['cat', 'dog'])")
    found, counts = np.unique(names, return_counts=True)
    if len(twice := found[counts > 1]):
        raise error(key, f"names two {key} {str(twice[0])!r}; give each a name of its own")


def _mended(y: Array) -> str:
    """The line that makes classes of what is there."""
    if y.ndim == 1 and y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.floor(y)).all():
        return f"write integers (N,), or 0 and 1 (N, C): y.astype(int){REAL}"
    if y.ndim == 1 and y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int((~np.isfinite(y)).argmax())
        return f"write integers (N,), and leave out samples without a label, such as row {row}"
    if y.ndim == 1 and y.dtype.kind in "US":
        return f"write integers (N,): {NUMBERED}"
    return f"write integers (N,), or 0 and 1 (N, C){REAL if y.dtype.kind == 'f' else ''}"
