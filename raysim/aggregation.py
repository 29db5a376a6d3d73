"""Exact sums: no grouping, order or placement of the summands changes a bit.

A unit's weighted sum is put on a grid of multiples of 2^-40; float64 adds such numbers exactly while totals stay
below 2^12.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

LIMIT = 1024.0
"""A change beyond this is an exploded update."""
_SHIFT = 1.5 * 2.0**12
_CHUNK = 65_536


def to_grid(values: Vector) -> Vector:
    """Rounds (P,) float64 with |value| < 2^11 to multiples of 2^-40, in place."""
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        part += _SHIFT
        part -= _SHIFT
    return values


def weighted_sum(vectors: NDArray[np.float32], weights: Sequence[float]) -> Vector:
    """The sum of weights[k] * vectors[k], on the grid.

    Args:
        vectors: (K, P) float32, |value| <= LIMIT where the weight is not zero; the others are not read.
        weights: K, non-negative, at most 1 in total.

    Example:
        >>> weighted_sum(np.float32([[1, 2], [3, 4]]), [0.5, 0.5]).tolist()
        [2.0, 3.0]
    """
    factors = np.array(weights, dtype=np.float64)
    if not factors.all():
        vectors, factors = vectors[factors > 0], factors[factors > 0]
    return to_grid(np.einsum("k,kp->p", factors, vectors, dtype=np.float64))


def add(sums: Sequence[Vector]) -> Vector:
    """Adds vectors that are on the grid: exact, so the order does not matter."""
    total = sums[0].copy()
    for other in sums[1:]:
        total += other
    return total
