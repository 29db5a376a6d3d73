"""The benchmark's own draws, quirks included, where a scenario says `compat: fedmultimodal`.

FedMultimodal (Feng et al. 2023; code of August 2023) seeds numpy's legacy generator anew with the number of the client:
clients are alike in all runs, and modality B of client i is drawn like modality A of client 2i.

Shapes: N samples, K clients, C classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from raysim.data.dataset import DataError

ZEROS, REPAIRED = 0.4, 4
"""The share of entries that are struck from a transition matrix; the number of classes that its repair assumes."""


def missing(clients: int, rates: Sequence[float]) -> NDArray[np.bool_]:
    """(K, 2): whether a client lacks modality A (drawn with seed i) and B (with seed 2i)."""
    return np.array(
        [[RandomState(i * (m + 1)).binomial(1, rate) for m, rate in enumerate(rates)] for i in range(clients)],
        dtype=bool,
    ).reshape(clients, 2)


def cohort(clients: int, size: int, round_: int) -> NDArray[np.int64]:
    """(size,): who is drawn in a round, counted from 1: the same in all runs, whether they have a sample or not."""
    return RandomState(round_ - 1).choice(clients, size, replace=False)


def unlabelled(client: int, samples: int, rate: float) -> NDArray[np.bool_]:
    """(N,): whether a sample of a client has no label."""
    return RandomState(client).binomial(1, rate, samples).astype(bool)


def replacements(client: int, classes: int, noise: float) -> NDArray[np.int64]:
    """(C,): the label that all samples of a class of this client get: the generator is seeded anew for each sample.

    Raises:
        DataError: the benchmark's matrix has a row without a way out, on which it fails, too.
    """
    rows = _transitions(client, classes, noise)
    try:
        return np.array([RandomState(client).choice(classes, p=row) for row in rows], dtype=np.int64)
    except ValueError as error:
        raise DataError(
            f"the benchmark's label noise fails for client {client}: a class can become no other; set compat: null",
            "labels",
        ) from error


def _transitions(client: int, classes: int, noise: float) -> NDArray[np.float64]:
    """(C, C): chances of a class to become another; struck entries are drawn with replacement, anywhere."""
    rng, kept = RandomState(client), 1 - noise
    flat = np.full(classes * classes, kept)
    for spot in _struck(rng, classes):
        flat[spot] = 0.0
    _repair(flat, classes, kept)
    rows = flat.reshape(classes, classes)
    for label, row in enumerate(rows):
        others = classes - np.count_nonzero(row == 0) - 1
        row[row == kept] = noise / others if others else 0.0
        row[label] = kept
    return rows


def _struck(rng: RandomState, classes: int) -> list[int]:
    """Places off the diagonal."""
    spots = rng.choice(classes * classes, round(classes * (classes - 1) * ZEROS)).tolist()
    for i, spot in enumerate(spots):
        while spot % (classes + 1) == 0:
            spot = int(rng.choice(classes * classes, 1)[0])
        spots[i] = spot
    return spots


def _repair(flat: NDArray[np.float64], classes: int, kept: float) -> None:
    """Gives a row without a way out one from elsewhere; rows are taken to be four long, whatever there is."""
    free = [spot for spot in np.flatnonzero(flat == kept).tolist() if spot % (classes + 1)]
    for label in range(classes):
        start = label * REPAIRED
        row = flat[start : start + REPAIRED]
        usable = np.flatnonzero(row == kept).tolist()
        if len(usable) == 2:
            # The position in the row is taken for one in the matrix, so mostly something else is protected.
            protected = next(p for p in usable if p != label * (classes + 1))
            free = [spot for spot in free if spot != protected]
        if len(row) and row.sum() == kept and free:
            gap = start + int(np.flatnonzero(row == 0)[0])
            flat[gap], flat[free[0]] = flat[free[0]], flat[gap]
            free = free[1:]
