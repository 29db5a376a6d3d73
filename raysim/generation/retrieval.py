"""How far down a gallery, ordered by its likeness to a query, the first right item stands.

Source: Liu et al., "FedRecon: Missing Modality Reconstruction in Heterogeneous Distributed Environments", 2025; their
code ranks by the cosine of latent codes, from 0, and gives both directions and the mean of their shares.

Shapes: Q queries, G items of the gallery, L numbers of a code.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Integers = NDArray[np.integer[Any]]

TOPS = (1, 5, 10)
TIE = 1e-9
"""Cosines that differ by less are equal: what is left is rounding."""
_CELLS = 1 << 22
"""Of the table of cosines that is made at once: 32 MiB."""


def ranks(
    queries: Array, gallery: Array, relevant: Sequence[Integers] | Integers, ids: Integers | None = None
) -> NDArray[np.int64]:
    """For each query how many wrong items stand before its best right one: 0 is a hit, (Q,).

    Wrong items that are exactly as like as the best right one stand before it, so codes that are all alike, zero or
    not a number get the worst rank.

    Args:
        queries: (Q, L).
        gallery: (G, L).
        relevant: an array of gallery rows for each query, any of which is right; or (Q,) ids, and items with the same
            id are right.
        ids: (G,), of the gallery's items; their row numbers by default.

    Raises:
        ValueError: a query has no right item, or sizes do not fit.
    """
    if queries.shape[1] != gallery.shape[1] or len(relevant) != len(queries):
        raise ValueError(
            f"{len(relevant)} answers and a gallery of width {gallery.shape[1]} do not fit {len(queries)} queries of "
            f"width {queries.shape[1]}"
        )
    names = np.arange(len(gallery)) if ids is None else ids
    whole, found = _unit(gallery).T, np.empty(len(queries), dtype=np.int64)
    size = max(1, _CELLS // max(1, len(gallery)))
    for start in range(0, len(queries), size):
        chunk = slice(start, start + size)
        right = _right(relevant[chunk], names)
        if not right.any(axis=1).all():
            query = start + int(right.any(axis=1).argmin())
            raise ValueError(f"query {query} has no right item in the gallery; leave it out")
        cosines = _unit(queries[chunk]) @ whole
        best = np.where(right, cosines, -np.inf).max(axis=1, keepdims=True)
        behind = cosines < best - TIE  # not a number is never behind
        found[chunk] = (~behind & ~right).sum(axis=1)
    return found


def figures(ranks: NDArray[np.int64]) -> dict[str, float]:
    """`top1`, `top5`, `top10` (shares of queries), `median_rank`, `mean_rank`; ranks count from 0."""
    tops = {f"top{k}": float((ranks < k).mean()) for k in TOPS}
    return tops | {"median_rank": float(np.median(ranks)), "mean_rank": float(ranks.mean())}


def average(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """The mean of both directions: of the shares alone, since ranks of galleries of unlike sizes do not compare."""
    return {f"top{k}": (one[f"top{k}"] + other[f"top{k}"]) / 2 for k in TOPS}


def _right(relevant: Sequence[Integers] | Integers, names: Array) -> NDArray[np.bool_]:
    """(queries, G)."""
    if isinstance(relevant, np.ndarray) and relevant.ndim == 1:
        return np.equal.outer(relevant, names)
    right = np.zeros((len(relevant), len(names)), dtype=bool)
    for row, items in zip(right, relevant, strict=True):
        row[items] = True
    return right


def _unit(codes: Array) -> NDArray[np.float64]:
    """Of length 1; zero stays zero."""
    codes = np.asarray(codes, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(codes, axis=1, keepdims=True)
        return codes / np.where(norms == 0, 1.0, norms)
