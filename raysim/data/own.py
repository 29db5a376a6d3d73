"""Partitions and missing patterns of one's own: functions beside the scenario, with options of their own.

    def by_size(samples, rng, clients: int = 4):  # mine.py; partition: {name: "mine:by_size", clients: 5}
        shares = np.arange(1, clients + 1)
        return np.split(rng.permutation(samples), (shares.cumsum()[:-1] * samples) // shares.sum())

    def late_sensor(present, parts, names, rng, modality: str, rate: float = 0.5):
        mask = present.copy()  # missing: {name: "mine:late_sensor", modality: audio}
        for rows in parts:
            mask[rows[: int(rate * len(rows))], names.index(modality)] = False
        return mask

A function gets what it asks for by these names; its other parameters are options, typed by their annotations. It may
also be a class, whose constructor takes the options and whose instances are called so.

| of | name | meaning |
|---|---|---|
| both | `labels` | (N,) class numbers, (N, C) of 0 and 1, or (N, D) targets of a regression |
| both | `rng` | a numpy Generator that the trial's seed names |
| a partition | `natural` | (N,) numbers of the data's own clients; None where it has none |
| a partition | `samples` | N |
| a pattern | `present` | (N, M) bool, what the data has |
| a pattern | `parts` | the row numbers of each client; of validation and test samples each is a client of its own |
| a pattern | `names` | the M modalities |
| a pattern | `split` | `train`, `validation` or `test`: the last two with `evaluation.missing: same` |

A partition returns a list of row numbers, one array a client; samples that it leaves out are nobody's. A pattern
returns a mask (N, M) bool, True where a modality is left; what the data lacks stays lacking whatever it says.

Shapes: N samples, M modalities, C classes, D targets.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from raysim.data.dataset import Array, DataError, Split
from raysim.scenario.clients import OwnMissing, OwnPartition
from raysim.scenario.functions import bound
from raysim.seeding import stream


def own_parts(split: Split, spec: OwnPartition, seed: int) -> list[NDArray[np.int64]]:
    """Each client's rows.

    Raises:
        DataError: the function fails, or does not return disjoint row numbers of at least one sample.
    """
    given = {
        "labels": _fixed(split.labels), "samples": len(split), "rng": stream(seed, "partition", "own"),
        "natural": None if split.clients is None else _fixed(split.clients),
    }  # fmt: skip
    try:
        found = bound("partition", spec)(given)
    except ValueError as error:
        raise DataError(str(error), "partition") from error
    if not isinstance(found, Sequence):
        raise DataError(
            f"'{spec.name}' returns a {type(found).__name__}; return a list of row numbers, one array a client",
            "partition",
        )
    owner = np.full(len(split), -1)
    parts = [_rows(spec, client, rows, owner) for client, rows in enumerate(cast(Sequence[Any], found))]
    if not any(map(len, parts)):
        raise DataError(f"'{spec.name}' gives no client a sample; return some row numbers", "partition")
    return parts


def own_mask(
    present: NDArray[np.bool_], parts: Sequence[Array], labels: Array, spec: OwnMissing, names: tuple[str, ...],
    split: str, seed: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """What the function leaves of a split: (N, M).

    Raises:
        DataError: it fails, or does not return such a mask.
    """
    given = {
        "present": _fixed(present), "parts": [_fixed(part) for part in parts], "labels": _fixed(labels),
        "names": names, "split": split, "rng": stream(seed, "missing", "own", split),
    }  # fmt: skip
    try:
        found = np.asarray(bound("missing", spec)(given))
    except ValueError as error:
        raise DataError(str(error), "missing") from error
    if found.dtype != bool or found.shape != present.shape:
        raise DataError(
            f"'{spec.name}' returns {found.dtype} of the shape {found.shape} for the {split} samples; return a bool "
            f"mask of the shape {present.shape}, True where a modality is left",
            "missing",
        )
    return present & found


def _rows(spec: OwnPartition, client: int, said: Any, owner: Array) -> NDArray[np.int64]:
    """A client's rows, which from now on are its own: `owner` (N,) is written to."""

    def error(what: str) -> DataError:
        return DataError(f"'{spec.name}': client {client} {what}", "partition")

    rows = np.asarray(said)
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
        raise error(f"gets {rows.dtype} of the shape {rows.shape}; return integers (R,)")
    rows = rows.astype(np.int64)
    if (wrong := rows[(rows < 0) | (rows >= len(owner))]).size:
        raise error(f"gets row {wrong[0]}, but the {len(owner)} samples are numbered from 0")
    unique, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise error(f"gets row {unique[counts > 1][0]} twice; give each sample once")
    if (taken := rows[owner[rows] >= 0]).size:
        raise error(f"gets row {taken[0]}, which client {owner[taken[0]]} has; give each sample to one client")
    owner[rows] = client
    return rows


def _fixed(array: Array) -> Array:
    """The same numbers, which cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view
