"""Samples a piece at a time, so that what is looked at need not fit the memory.

Shapes: N samples, T steps, r rows or valid steps of a piece.
"""

from collections.abc import Iterator
from math import prod

import numpy as np

from raysim.data.mapped import Mapped
from raysim.data.ragged import Array, Ragged, inside

Inputs = Array | Mapped | Ragged
"""What the samples of a modality are: in memory, in a file, or one after another in either."""
PIECE_BYTES = 8 << 20
"""About so much is looked at together."""


def cut(x: Inputs, rows: Array) -> list[Array]:
    """Rows by so many as make a piece."""
    values = x.values if isinstance(x, Ragged) else x
    if not (isinstance(values, Mapped) or values.flags.c_contiguous):
        return [rows]  # its order in memory decides the bits of a sum
    sizes = x.lengths[rows] if isinstance(x, Ragged) else np.ones(len(rows), np.int64)
    sizes = np.cumsum(sizes) * max(prod(values.shape[1:]) * values.dtype.itemsize, 1)
    return np.split(rows, np.flatnonzero(np.diff(sizes // PIECE_BYTES)) + 1)


def pieces(x: Inputs, rows: Array, lengths: Array | None) -> Iterator[Array]:
    """The values of some samples, a piece after another, in their order: (r, ...).

    Args:
        x: (N, ...), or sequences without padding.
        rows: which samples.
        lengths: (N,) for sequences, of which the valid steps are taken, without their samples' axis.
    """
    for part in cut(x, rows):
        if isinstance(x, Ragged):
            yield x.values[x[part].steps()]
        else:
            yield x[part] if lengths is None else x[part][inside(lengths[part], x.shape[1])]
