"""Which client owns which training samples.

Shapes: N samples, K clients. Clients own disjoint, sorted row numbers, and each owns some. Only `natural` with a
minimum size, `groups` with a number of them, `pathological` without some classes, `file` and functions of one's own
leave samples out; and these alone may leave a client without any.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from raysim.data.dataset import Array, DataError, Dataset, Split
from raysim.data.own import own_parts
from raysim.data.stored import names_of, owned
from raysim.scenario.clients import (
    Dirichlet,
    Groups,
    Iid,
    Natural,
    OwnPartition,
    Partition,
    Pathological,
    Quantity,
    Shards,
    StoredPartition,
)
from raysim.seeding import stream

Parts = Sequence[NDArray[np.int64]]

TRIES = 1000


def partition(split: Split, spec: Partition, seed: int) -> Parts:
    """Row numbers of each client, by the scenario's `partition` section.

    Args:
        split: the training split.
        spec: the section. Natural clients come in ascending order of their id.
        seed: the trial's seed; `natural` and `file` draw nothing.

    Raises:
        DataError: the data cannot be divided so.
    """
    match spec:
        case Natural():
            return _by_client(split, spec.min_size)
        case Iid():
            _enough(len(split), spec.clients, "a sample each")
            return _evenly(stream(seed, "partition", "iid").permutation(len(split)), spec.clients)
        case Dirichlet():
            parts: Parts = _dirichlet(strata(split.labels), spec, seed)
        case Quantity():
            parts = _quantity(len(split), spec, seed)
        case Pathological():
            parts = _pathological(strata(split.labels), spec, seed)
        case Shards():
            parts = _shards(strata(split.labels), spec, seed)
        case Groups():
            parts = _groups(split, spec, seed)
        case StoredPartition():
            parts = owned(spec, len(split))
        case OwnPartition():
            parts = own_parts(split, spec, seed)
    return [np.sort(part) for part in parts]


def _evenly(rows: Array, clients: int) -> Parts:
    """As `np.array_split`, but each client's rows in ascending order."""
    size, more = divmod(len(rows), clients)
    larger = more * (size + 1)
    hands = (rows[:larger].reshape(more, size + 1), rows[larger:].reshape(clients - more, size))
    flat = np.concatenate([np.sort(hand, axis=1).reshape(-1) for hand in hands])
    return Cut(flat, np.repeat([size + 1, size], [more, clients - more]))


class Cut(Sequence[NDArray[np.int64]]):
    """Rows as parts, one after another; each is made when it is asked for, as of a million few are.

    Attributes:
        rows: (N,), of all parts.
        sizes: (K,), how many each has.
    """

    def __init__(self, rows: Array, sizes: Array) -> None:
        self.rows, self.sizes, self._ends = rows, sizes, np.cumsum(sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.int64]: ...
    @overload
    def __getitem__(self, index: slice) -> Parts: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.int64] | Parts:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        return self.rows[self._ends[index] - self.sizes[index] : self._ends[index]]

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return (self.rows[a:b] for a, b in pairwise([0, *self._ends.tolist()]))


def joined(parts: Parts) -> NDArray[np.int64]:
    """The rows of all parts, one after another, (N,)."""
    return parts.rows if isinstance(parts, Cut) else np.concatenate(parts)


def sizes_of(parts: Parts) -> NDArray[np.int64]:
    """How many rows each part has, (K,)."""
    return parts.sizes if isinstance(parts, Cut) else np.fromiter(map(len, parts), np.int64, len(parts))


def client_ids(dataset: Dataset, spec: Partition, parts: Parts) -> Array | None:
    """The clients' own ids (K,), numbers or text; None where their places are all that they have."""
    if isinstance(spec, StoredPartition):
        return names_of(spec)
    clients = dataset.train.clients
    if not isinstance(spec, Natural) or clients is None:
        return None
    numbers = clients[joined(parts)[np.cumsum(sizes_of(parts)) - 1]]
    return np.array(dataset.client_names)[numbers] if dataset.client_names else numbers


def strata(labels: Array) -> NDArray[np.int64]:
    """The class by which a sample is divided: (N,).

    Of a multi-label sample it is the first positive label, or C when it has none.
    """
    if labels.ndim == 1:
        return labels.astype(np.int64)
    return np.asarray(np.where(labels.any(axis=1), labels.argmax(axis=1), labels.shape[1]), dtype=np.int64)


def _enough(samples: int, wanted: int, what: str) -> None:
    if samples < wanted:
        raise DataError(
            f"{samples} training samples are too few for {what} ({wanted} needed); use fewer clients", "partition"
        )


def _by_client(split: Split, min_size: int = 1) -> Parts:
    """The rows of each natural client that has so many, in ascending order of their id."""
    if split.clients is None:
        raise DataError("the dataset has no natural clients; use iid, dirichlet or shards", "partition")
    order = np.argsort(split.clients, kind="stable")
    owners = split.clients[order]
    ends = np.flatnonzero(owners[1:] != owners[:-1]) + 1
    sizes = np.diff(ends, prepend=0, append=len(order))
    kept = sizes >= min_size
    if not kept.any():
        raise DataError(
            f"no natural client has min_size {min_size} samples; the largest has {sizes.max()}", "partition"
        )
    return Cut(order[np.repeat(kept, sizes)], sizes[kept])


def _groups(split: Split, spec: Groups, seed: int) -> Parts:
    groups = _by_client(split)
    wanted = spec.clients * (spec.groups_per_client or 1)
    if len(groups) < wanted:
        raise DataError(f"the data has {len(groups)} groups, {wanted} are needed; use fewer clients", "partition")
    order = stream(seed, "partition", "groups").permutation(len(groups))
    order = order if spec.groups_per_client is None else order[:wanted]
    hands: list[Array] = np.array_split(order, spec.clients)
    return [np.concatenate([groups[g] for g in map(int, hand)]) for hand in hands]


def _shards(classes: Array, spec: Shards, seed: int) -> list[Array]:
    """McMahan et al. 2017, section 3: sort by label, cut into shards, deal the shards."""
    count = spec.clients * spec.shards_per_client
    _enough(len(classes), count, f"{spec.shards_per_client} shards for each of {spec.clients} clients")
    rng = stream(seed, "partition", "shards")
    rows = rng.permutation(len(classes))
    shards: list[Array] = np.array_split(rows[np.argsort(classes[rows], kind="stable")], count)
    dealt = rng.permutation(count).reshape(spec.clients, spec.shards_per_client)
    return [np.concatenate([shards[i] for i in hand]) for hand in dealt.tolist()]


def _dirichlet(classes: Array, spec: Dirichlet, seed: int) -> list[Array]:
    """Label skew as FedMultimodal draws it (Feng et al. 2023): redraw until no client is below the minimum."""
    _enough(len(classes), spec.clients * spec.min_size, f"min_size {spec.min_size} on {spec.clients} clients")
    rng = stream(seed, "partition", "dirichlet")
    for _ in range(TRIES):
        parts = _dirichlet_once(classes, spec, rng)
        if min(map(len, parts)) >= spec.min_size:
            return parts
    raise _no_draw(spec)


def _no_draw(spec: Dirichlet | Quantity) -> DataError:
    return DataError(
        f"no draw in {TRIES} gave each of {spec.clients} clients min_size {spec.min_size} at alpha {spec.alpha:g}; "
        "raise alpha, lower min_size or use fewer clients",
        "partition",
    )


def _quantity(samples: int, spec: Quantity, seed: int) -> list[Array]:
    """Quantity skew of Li et al. 2022 (arXiv:2102.02079): sizes in proportions q ~ Dir(beta).

    Samples are drawn at random. Redrawn until no client is below the minimum, as the paper's code does.
    """
    _enough(samples, spec.clients * spec.min_size, f"min_size {spec.min_size} on {spec.clients} clients")
    rng = stream(seed, "partition", "quantity")
    rows = rng.permutation(samples)
    for _ in range(TRIES):
        shares = rng.dirichlet(np.full(spec.clients, spec.alpha))
        # A huge alpha, whose shares are all alike, may overflow to none.
        shares = shares if shares.any() else np.full(spec.clients, 1 / spec.clients)
        cuts = (np.cumsum(shares)[:-1] * samples).astype(np.int64)
        if np.diff(cuts, prepend=0, append=samples).min() >= spec.min_size:
            return np.split(rows, cuts)
    raise _no_draw(spec)


def _pathological(classes: Array, spec: Pathological, seed: int) -> list[Array]:
    """Quantity-based label imbalance (#C = k) of Li et al. 2022 (arXiv:2102.02079), with the modes of Flower Datasets.

    Classes are numbered among those that the samples have. Every client has samples of each of its classes.
    """
    labels, clients, wanted = np.unique(classes), np.arange(spec.clients), spec.classes_per_client
    if wanted > len(labels):
        raise DataError(
            f"classes_per_client is {wanted}, but the training samples have {len(labels)} classes; write at most "
            f"{len(labels)}",
            "partition",
        )
    rng = stream(seed, "partition", "pathological")
    order = rng.random((spec.clients, len(labels)))  # a client's classes are those that come first
    if spec.class_assignment_mode == "first-deterministic":
        order[clients, clients % len(labels)] = -1.0
    elif spec.class_assignment_mode == "deterministic":
        order = (np.arange(len(labels)) - clients[:, None]) % len(labels)
    chosen = np.argsort(order, axis=1)[:, :wanted]
    pieces: list[list[Array]] = [[] for _ in clients]
    for number, label in enumerate(labels):
        rows = rng.permutation(np.flatnonzero(classes == label))
        owners = np.flatnonzero((chosen == number).any(axis=1))
        if len(owners) > len(rows):
            raise DataError(
                f"class {label} falls to {len(owners)} clients, but has {len(rows)} samples; use fewer clients or "
                "classes_per_client, or class_assignment_mode: deterministic, which spreads classes evenly",
                "partition",
            )
        for owner, piece in zip(owners, np.array_split(rows, max(len(owners), 1)), strict=False):
            pieces[owner].append(piece)
    return [np.concatenate(p) for p in pieces]


def _dirichlet_once(classes: Array, spec: Dirichlet, rng: np.random.Generator) -> list[Array]:
    pieces: list[list[Array]] = [[] for _ in range(spec.clients)]
    sizes = np.zeros(spec.clients, dtype=np.int64)
    for label in np.unique(classes):
        rows = rng.permutation(np.flatnonzero(classes == label))
        # Whoever holds its fair share already gets nothing of this class.
        room = sizes < len(classes) / spec.clients
        shares = rng.dirichlet(np.full(spec.clients, spec.alpha)) * room
        # A tiny alpha may put all mass on clients without room; then the others share evenly.
        shares = shares / shares.sum() if shares.sum() > 0 else room / room.sum()
        cuts = (np.cumsum(shares)[:-1] * len(rows)).astype(np.int64)
        for client, piece in enumerate(np.split(rows, cuts)):
            pieces[client].append(piece)
            sizes[client] += len(piece)
    return [np.concatenate(p) for p in pieces]
