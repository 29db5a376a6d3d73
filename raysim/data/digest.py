"""A checksum of a dataset: whether another one is the same can be told."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from raysim.data.dataset import Array, Dataset
from raysim.data.mapped import Mapped
from raysim.data.pieces import cut
from raysim.data.ragged import Ragged
from raysim.disk import digest, digest_of


def data_digest(dataset: Dataset) -> str:
    """A checksum of all that a dataset holds, whatever it was read from."""
    parts = [repr((sorted(dataset.modalities), dataset.classes, dataset.multi_label))]
    parts += [repr(dataset.targets)] if dataset.targets else []
    for split in (dataset.train, dataset.validation, dataset.test):
        tables = {"x": split.inputs, "length": split.lengths, "present": split.present}
        for what, table in tables.items():
            for name in sorted(table):
                array = table[name]
                several = (array.values, array.spans) if isinstance(array, Ragged) else (array,)
                parts += [f"{what}.{name}", *(_digest(a) for a in several)]
        parts += [_digest(split.labels), "" if split.clients is None else _digest(split.clients)]
    return digest("\n".join(parts).encode())


def _digest(array: Array | Mapped) -> str:
    """Piece after piece, as if it were all in memory."""
    parts: Iterable[Any] = [array]
    if isinstance(array, Mapped):
        parts = (array[part] for part in cut(array, np.arange(len(array))))
    plain: Iterable[Any] = map(np.ascontiguousarray, parts)
    return f"{array.dtype.str}{array.shape}{digest_of(memoryview(part).cast('B') for part in plain)}"
