"""Features of mean 0 and deviation 1.

Shapes: N samples, T steps, D features.
"""

from collections.abc import Sequence

import numpy as np

from raysim.data.ragged import Array, Ragged, inside

Group = tuple[Array, Array | None]
"""Rows whose mean and deviation are taken, and the rows that they scale; all rows where None."""


def standardized(x: Array | Ragged, groups: Sequence[Group], present: Array, lengths: Array | None) -> Array | Ragged:
    """Z-scores by feature, from the samples of each group that have the modality, over their valid steps.

    Args:
        x: (N, D), (N, T, D), or sequences without padding.
        groups: who is scaled by whom.
        present: (N,) bool.
        lengths: (N,) for sequences.
    """
    values = x.values if isinstance(x, Ragged) else x
    scaled = values.astype(np.float32)
    for measured, used in groups:
        rows = measured[present[measured]]
        seen = values[_where(x, rows, lengths)]
        if not len(seen):
            continue
        mean, deviation = seen.mean(axis=0, dtype=np.float64), seen.std(axis=0, dtype=np.float64)
        at = _where(x, np.arange(len(present)) if used is None else used, lengths)
        scaled[at] = (values[at] - mean) / np.where(deviation > 1e-8, deviation, 1.0)
    return type(x)(scaled, x.spans) if isinstance(x, Ragged) else scaled


def _where(x: Array | Ragged, rows: Array, lengths: Array | None) -> Array | tuple[Array, ...]:
    """An index of the valid steps of some rows."""
    if isinstance(x, Ragged):
        return x[rows].steps()
    if lengths is None:
        return rows
    row, step = np.nonzero(inside(lengths[rows], x.shape[1]))
    return rows[row], step
