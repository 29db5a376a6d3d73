"""Features of all samples, in parts that survive an interruption.

Shapes: N samples, U different items of a modality, S steps of all samples together.
"""

import io
import zipfile
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raysim.data.dataset import Array, DataError
from raysim.data.extractor import Extractor
from raysim.data.headers import UNREADABLE
from raysim.data.media import Unreadable
from raysim.data.recipe import Medium
from raysim.disk import naming, write


@dataclass(frozen=True)
class Part:
    """The features of some items.

    Attributes:
        values: those that could be read, one after another along the first axis.
        lengths: (items,) rows of `values` that belong to each; 0 where it could not be read.
        single: whether that is always one row; otherwise these are sequences, tokens or the bytes of image files.
        reasons: position -> why an item could not be read.
    """

    values: Array
    lengths: Array
    single: bool
    reasons: dict[int, str]

    def head(self) -> "Part":
        """The same without the values, but with their shape and type."""
        return replace(self, values=np.empty((0, *self.values.shape[1:]), dtype=self.values.dtype))


@dataclass(frozen=True)
class Work:
    """What a process does with some items; sent to it once."""

    extractor: Extractor
    read: Callable[[Any], Any]

    def __call__(self, items: Sequence[Any]) -> Part:
        """Reads and extracts; items that cannot be read are left out.

        Raises:
            DataError: the extractor cannot be opened, or its features differ in shape.
        """
        media: list[Any] = []
        reasons: dict[int, str] = {}
        for position, item in enumerate(items):
            try:
                media.append(self.read(item))
            except Unreadable as error:
                reasons[position] = str(error)
        found = list(self.extractor.extract(media)) if media else []
        single = not any(a.ndim == 2 or (a.ndim == 1 and a.dtype.kind != "f") for a in found)
        rows = [a[None] for a in found] if single else found
        alike([a.shape[1:] for a in rows])
        lengths = np.zeros(len(items), dtype=np.int64)
        lengths[[i for i in range(len(items)) if i not in reasons]] = [len(a) for a in rows]
        reasons |= {i: "nothing in it" for i in map(int, np.flatnonzero(lengths == 0)) if i not in reasons}
        return Part(np.concatenate(rows) if rows else np.zeros(0, np.float32), lengths, single, reasons)


Mapper = Callable[[Work, Sequence[Sequence[Any]]], Iterable[tuple[int, Part]]]
"""(work, chunks) -> (number of a chunk, its part) in any order: where the work is done."""


def here(work: Work, chunks: Sequence[Sequence[Any]]) -> Iterator[tuple[int, Part]]:
    """Does the work in this process."""
    work.extractor.open()
    for number, chunk in enumerate(chunks):
        yield number, work(chunk)


def alike(shapes: Iterable[tuple[int, ...]]) -> None:
    """Whether samples have one shape, steps aside.

    Raises:
        DataError: they have not.
    """
    if len(known := dict.fromkeys(shapes)) > 1:
        raise DataError(
            f"features differ in shape, {' and '.join(map(str, list(known)[:2]))}; give the extractor a size"
        )


class Extraction:
    """The items of one modality, each once, and the parts that hold their features.

    Attributes:
        items: the U different items.
        which: (N,) the item of each sample, -1 where the data lacks it.
    """

    def __init__(self, name: str, medium: Medium, extractor: Extractor, folder: Path) -> None:
        self.name, self.medium, self.extractor, self.folder = name, medium, extractor, folder
        self._heads: dict[int, Part] = {}
        self.items: list[Any] = []
        self.which = np.full(len(medium.items), -1, dtype=np.int64)
        known: dict[Any, int] = {}
        for row, item in enumerate(medium.items):
            if item is None:
                continue
            number = known.setdefault(item, len(self.items)) if isinstance(item, Hashable) else len(self.items)
            if number == len(self.items):
                self.items.append(item)
            self.which[row] = number

    @property
    def starts(self) -> range:
        """Where each part begins among the items."""
        return range(0, len(self.items), self.extractor.chunk)

    def chunk(self, start: int) -> list[Any]:
        """The items of a part."""
        return self.items[start : start + self.extractor.chunk]

    def path(self, start: int) -> Path:
        """Where a part is kept."""
        return self.folder / f"{self.name}-{start}.npz"

    def pending(self) -> list[int]:
        """The parts that are not there, or not whole: a part carries checksums of its own.

        Those of an earlier run in which something could not be read are none: it may be there by now.
        """
        return [s for s in self.starts if (part := self.part(s)) is None or part.reasons]

    def part(self, start: int) -> Part | None:
        """A part that is there and whole."""
        path = self.path(start)
        try:
            with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
                reasons = dict(zip(file["failed"].tolist(), file["reasons"].tolist(), strict=True))
                part = Part(file["values"], file["lengths"], bool(file["single"]), reasons)
        except FileNotFoundError:
            return None
        except UNREADABLE:
            path.unlink()
            return None
        if len(part.lengths) != len(self.chunk(start)):
            return None
        self._heads[start] = part.head()
        return part

    def extract(self, mapper: Mapper, pending: Sequence[int]) -> Iterator[int]:
        """Makes the parts that are not there; yields how many items each has.

        Raises:
            OSError: a part cannot be written.
        """
        for number, part in mapper(Work(self.extractor, self.medium.read), [self.chunk(s) for s in pending]):
            buffer = io.BytesIO()
            np.savez(
                buffer, values=part.values, lengths=part.lengths, single=part.single,
                failed=np.array(list(part.reasons), dtype=np.int64),
                reasons=np.array(list(part.reasons.values()), dtype="U"),
            )  # fmt: skip
            write(self.path(pending[number]), buffer.getvalue())
            self._heads[pending[number]] = part.head()
            yield len(part.lengths)

    def failures(self) -> dict[int, str]:
        """Item -> why it could not be read; all parts are there."""
        return {start + i: reason for start in self.starts for i, reason in self._heads[start].reasons.items()}

    def write(self, path: Path, which: Array) -> Array | None:
        """Writes the features of some samples to a .npy file, part by part.

        Args:
            path: the file.
            which: (N,) their items, -1 where the data lacks the modality.

        Returns:
            (N, 2): where each sample begins and ends, for those that are not one row a sample.

        Raises:
            DataError: features differ in shape.
            OSError: the file cannot be written.
        """
        heads = [self._heads[start] for start in self.starts]
        filled = [head for head in heads if head.lengths.any()]
        alike(head.values.shape[1:] for head in filled)
        single, like = filled[0].single, filled[0].values
        lengths = np.concatenate([head.lengths for head in heads])
        ends = np.cumsum(lengths)
        begins = ends - lengths
        size = len(which) if single else int(ends[-1])
        with naming(path):
            out = np.lib.format.open_memmap(path, "w+", like.dtype, (size, *like.shape[1:]))
            for start, head in zip(self.starts, heads, strict=True):
                part = self.part(start) if head.lengths.any() else None
                if part is None:
                    continue
                first, stop = begins[start], start + len(part.lengths)
                if single:
                    rows = np.flatnonzero((which >= start) & (which < stop))
                    out[rows] = part.values[begins[which[rows]] - first]
                else:
                    out[first : first + len(part.values)] = part.values
            out.flush()
        if single:
            return None
        spans = np.stack([begins, ends], axis=1)[np.maximum(which, 0)]
        return np.where((which >= 0)[:, None], spans, 0)
