"""Rows that clients keep from training, to be judged by: drawn by seed and client, by class as far as that goes.

Shapes: N training samples, n of a client, M modalities, K clients, C of them that are judged, R rows that they keep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raysim.data.dataset import Array, DataError
from raysim.data.partition import Parts, strata
from raysim.scenario.served import ClientRows
from raysim.seeding import stream

HELD = ("validation", "test")
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Held:
    """The clients that are judged, and their rows.

    Attributes:
        clients: (C,) their numbers, ascending.
        roles: of each, the modalities that it has, joined by `+`.
        rows: `validation` and `test` -> (R,) training rows, client after client.
        offsets: likewise -> (C + 1,): the i-th client's are rows[offsets[i]:offsets[i + 1]].
        of: how many rows clients had.
        kept: how many of them they keep, also those that are not judged.
        without: how many clients keep none.
        ids: (C,) what they are called in the data; None where they have no names.
    """

    clients: Array
    roles: tuple[str, ...]
    rows: Mapping[str, Rows]
    offsets: Mapping[str, Rows]
    of: int
    kept: int
    without: int
    ids: Array | None = None

    def part(self, split: str, i: int) -> slice:
        """Where the i-th judged client's rows stand among those of a split."""
        return slice(int(self.offsets[split][i]), int(self.offsets[split][i + 1]))

    def of_client(self, split: str, client: int) -> Rows:
        """A judged client's rows of a split, by its number."""
        return self.rows[split][self.part(split, int(np.searchsorted(self.clients, client)))]

    def __str__(self) -> str:
        """`clients keep 40 of 200 rows for themselves; judged: 9, without any: 1`."""
        none = f", without any: {self.without}" * bool(self.without)
        return f"clients keep {self.kept:,} of {self.of:,} rows for themselves; judged: {len(self.clients)}{none}"


def hold_back(parts: Parts, labels: Array, having: Array, spec: ClientRows, seed: int) -> list[tuple[Rows, Rows]]:
    """What each of K clients keeps for validation and for test, ascending.

    What is drawn depends on the client's number, its rows and their classes alone, so it is the same whatever is
    missing; but a client that would have nothing left to train on keeps none.

    Args:
        parts: each client's rows.
        labels: (N,) or (N, classes).
        having: (N,) bool, the samples that have a modality left.
        spec: the scenario's `evaluation.clients`.
        seed: the trial's.
    """
    classes = strata(labels)
    return [_of_client(rows, classes, having, spec.share, seed, client) for client, rows in enumerate(parts)]


def _of_client(rows: Rows, classes: Rows, having: Array, share: float, seed: int, client: int) -> tuple[Rows, Rows]:
    count = min(max(round(share * len(rows) / 2), 1), (len(rows) - 1) // 2)
    nothing = rows[:0], rows[:0]
    if count < 1:
        return nothing
    rng = stream(seed, "held", client)
    test = stratified(rows, classes, count, rng)
    left = np.setdiff1d(rows, test, assume_unique=True)
    validation = stratified(left, classes, count, rng)
    left = np.setdiff1d(left, validation, assume_unique=True)
    return (validation, test) if having[left].any() else nothing


def stratified(rows: Rows, classes: Rows, count: int, rng: np.random.Generator) -> Rows:
    """So many of some rows, ascending: of each class its share of them, rounded up or down at random.

    Args:
        rows: (n,) row numbers.
        classes: (N,), each row's class.
        count: how many are drawn, at most n.
        rng: draws.
    """
    mixed = rng.permutation(rows)
    _, which, sizes = np.unique(classes[mixed], return_inverse=True, return_counts=True)
    order = np.argsort(which, kind="stable")
    place = np.empty(len(rows))
    place[order] = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    quantile = (place + rng.random(len(sizes))[which]) / sizes[which]
    return np.sort(mixed[np.argsort(quantile, kind="stable")[:count]])


def without(parts: Parts, held: Sequence[tuple[Rows, Rows]]) -> Parts:
    """Each client's rows but for those that it keeps."""
    return [
        rows[~np.isin(rows, np.concatenate(mine))] if len(mine[0]) else rows
        for rows, mine in zip(parts, held, strict=True)
    ]


def judged(
    parts: Parts, held: Sequence[tuple[Rows, Rows]], left: Array, having: Array, names: tuple[str, ...],
    ids: Array | None, spec: ClientRows, seed: int,
) -> Held:  # fmt: skip
    """Who is judged, by which rows: those that have a modality left.

    Args:
        parts: each of K clients' rows, kept ones included.
        held: what `hold_back` found.
        left: (N, M), what the scenario leaves of samples in some round.
        having: (N,) bool, the samples that have a modality when they are judged.
        names: the modalities.
        ids: (K,) what the clients are called, or None.
        spec: the scenario's `evaluation.clients`.
        seed: the trial's.

    Raises:
        DataError: no client keeps any.
    """
    seen = [tuple(rows[having[rows]] for rows in mine) for mine in held]
    clients = np.array([k for k, mine in enumerate(seen) if any(map(len, mine))], dtype=np.int64)
    if not len(clients):
        raise DataError(
            "clients: no client has rows to keep: they need three each, one of them to train on; use fewer clients",
            "evaluation",
        )
    if spec.most is not None and spec.most < len(clients):
        chosen = stream(seed, "evaluation", "clients").choice(clients, size=spec.most, replace=False)
        clients = np.sort(chosen)
    rows: dict[str, list[Rows]] = {name: [seen[k][i] for k in clients.tolist()] for i, name in enumerate(HELD)}
    return Held(
        clients=clients,
        roles=tuple(role(left[parts[k]], names) for k in clients.tolist()),
        rows={name: np.concatenate(each) for name, each in rows.items()},
        offsets={name: np.cumsum([0, *map(len, each)]) for name, each in rows.items()},
        of=sum(map(len, parts)),
        kept=sum(len(part) for mine in held for part in mine),
        without=sum(not len(mine[0]) for mine in held),
        ids=None if ids is None else ids[clients],
    )


def role(mask: Array, names: tuple[str, ...]) -> str:
    """The modalities that some of a client's samples (n, M) have, joined by `+`."""
    return "+".join(m for i, m in enumerate(names) if mask[:, i].any())
