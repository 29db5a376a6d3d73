"""Samples that stay in a file, which all processes of a machine map: there is one copy in the system's page cache.

Rows are read, scaled and rounded when they are taken, so nothing of them is in anybody's own memory before that, and a
file may be larger than the memory.

Shapes: R rows of the file, N samples, T steps, D features.
"""

import mmap
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, Self, cast
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from raysim.data.scores import Scaling

Array = NDArray[Any]
LET_GO_BYTES = 8 << 20
"""After so much was read, a process lets go of the pages that it has mapped; the system still has them."""
READ_BYTES = 4096
"""Rows of at least so many bytes are read; smaller ones are looked at where they are mapped."""


class Gone(OSError):
    """A file is not here, or not as it was; one line."""


@dataclass(frozen=True)
class File:
    """An array in a .npy file, row after row, as any process can open it.

    Attributes:
        path: absolute.
        offset: where the array begins in the file, in bytes.
        shape: (R, ...).
        dtype: of the values, as text.
        bytes, changed_ns: the file's size, and when it was written last: another one under the same name is refused.
    """

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    changed_ns: int

    @staticmethod
    def of(path: Path) -> "File | None":
        """Knows a file by its header; None where it does not hold numbers row after row."""
        found: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        if not found.ndim or not found.size or not found.flags.c_contiguous or found.dtype.kind not in "fiub":
            return None
        stat = path.stat()
        return File(str(path.absolute()), found.offset, found.shape, found.dtype.str, stat.st_size, stat.st_mtime_ns)

    def rows(self, index: Any) -> Array:
        """Some of the rows, copied.

        Raises:
            Gone: the file is not on this machine, or it has changed.
        """
        opened = _opened(self)
        at, steps = cast("tuple[Any, slice]", index) if isinstance(index, tuple) else (index, slice(None))
        if opened.readable and isinstance(at, np.ndarray) and at.ndim == 1 and at.dtype.kind in "iu":
            return opened.copied(cast(Array, at), steps)
        taken = opened.array[index]
        opened.read(taken.nbytes)
        return taken.copy() if np.may_share_memory(taken, opened.array) else taken


class _Open:
    """A file that this process has mapped.

    Attributes:
        array: the rows, mapped.
        readable: whether `copied` is the better way to rows here and there.
    """

    def __init__(self, file: File) -> None:
        self._path = file.path
        try:
            with Path(file.path).open("rb") as stream:
                stat = os.fstat(stream.fileno())
                self._pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                self._descriptor = os.dup(stream.fileno())
            finalize(self, os.close, self._descriptor)
        except OSError as error:
            why = "give a path that all machines have" if isinstance(error, FileNotFoundError) else "see to it"
            raise Gone(f"{file.path} cannot be read on this machine: {error.strerror}; {why}") from error
        if (stat.st_size, stat.st_mtime_ns) != (file.bytes, file.changed_ns):
            raise Gone(f"{file.path} has changed since the study began; run it again with --resume")
        flat = np.frombuffer(self._pages, np.dtype(file.dtype), prod(file.shape), file.offset)
        self.array, self._read, self._offset = flat.reshape(file.shape), 0, file.offset
        self.readable = hasattr(os, "preadv") and self.array[:1].nbytes >= READ_BYTES

    def copied(self, rows: Array, steps: slice) -> Array:
        """The beginnings of some rows, read one by one: Linux may map megabytes around each row that is looked at.

        Raises:
            IndexError: there is no such row.
        """
        count, size = len(self.array), self.array[:1].nbytes
        at = np.where(rows < 0, rows + count, rows)
        if at.size and (at.min() < 0 or at.max() >= count):
            raise IndexError(f"rows of {count}: {rows.min()} to {rows.max()}")
        found = np.empty((len(at), *self.array[:1, steps].shape[1:]), self.array.dtype)
        for row, where in zip(found, at.tolist(), strict=True):
            if os.preadv(self._descriptor, [row.data], self._offset + where * size) < row.nbytes:
                raise Gone(f"{self._path} has become shorter")
        return found

    def read(self, size: int) -> None:
        """Counts what was read."""
        self._read += size
        if self._read > LET_GO_BYTES:
            self._read = 0
            self._pages.madvise(mmap.MADV_DONTNEED)


@lru_cache(maxsize=256)
def _opened(file: File) -> _Open:
    return _Open(file)


@dataclass(frozen=True, eq=False)
class Mapped:
    """Samples in a file. Indexing copies those that are named, in the form in which networks take them.

    Attributes:
        file: where they are.
        dtype: what values become.
        numbers: (N,) which rows of the file are the samples; None: all are.
        lengths: (N,) valid steps of padded samples (N, T, ...): what stands after them is read as zeros.
        scaling: of features, (D,) or for each of some groups (G, D); None: values stay as they are.
        groups: (N,) which of these scales a sample, -1 for none; None where there is one for all.
    """

    file: File
    dtype: np.dtype[Any]
    numbers: Array | None = None
    lengths: Array | None = None
    scaling: Scaling | None = None
    groups: Array | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""
        count = self.file.shape[0] if self.numbers is None else len(self.numbers)
        return (count, *self.file.shape[1:])

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.file.shape)

    def __getitem__(self, index: Any) -> Array:
        if isinstance(index, tuple):  # of samples, then of what is in them
            rows, *rest = cast("tuple[Any, ...]", index)
            return self[rows][tuple(rest)] if isinstance(rows, int) else self[rows][:, *rest]
        return self.take(index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All of them, in memory."""
        return self.take(slice(None)).astype(self.dtype if dtype is None else dtype, copy=False)

    def take(self, index: Any, steps: int | None = None) -> Array:
        """The samples that an index names, cut to some steps: (n, steps, ...), or one sample without the first axis."""
        if isinstance(index, int | np.integer):
            return self.take(np.array([index]), steps)[0]
        at = index if self.numbers is None else self.numbers[index]
        found = self.file.rows(at if steps is None or steps == self.file.shape[1] else (at, slice(steps)))
        if self.scaling is not None:
            found = self.scaling.scored(found, None if self.groups is None else self.groups[index])
        if self.lengths is not None:
            count: int = found.shape[1]
            after = np.greater_equal.outer(np.arange(count), self.lengths[index]).T
            if after.any():
                found[after] = 0
        with np.errstate(over="ignore", invalid="ignore"):  # rows that lack the modality hold anything
            return found.astype(self.dtype, copy=False)

    def pick(self, rows: Array) -> Self:
        """Some of the samples, not read yet."""
        numbers, lengths, groups = (None if a is None else a[rows] for a in (self.numbers, self.lengths, self.groups))
        return replace(self, numbers=rows if numbers is None else numbers, lengths=lengths, groups=groups)

    def shortened(self, lengths: Array) -> Self:
        """The same with zeros after each sample's end."""
        return replace(self, lengths=lengths)

    def astype(self, dtype: Any, *, copy: bool = False) -> Self:
        """The same with values of another type; they are copied when they are taken, whatever `copy` says."""
        return replace(self, dtype=np.dtype(dtype))
