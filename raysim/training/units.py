"""Units: which clients of a cohort are trained together. Pure functions of the cohort.

A unit is the atom of work, of retry and of partial sums; which process runs it changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from raysim.data.dataset import Array
from raysim.data.federated import Federated

LEAST_STEPS = 8


@dataclass(frozen=True)
class Unit:
    """Clients that are trained together.

    Attributes:
        index: its place in the round's plan.
        clients: their ids, ordered by size and id.
        weights: group -> each client's share in the mean; 0 where it does not own the group.
        samples: of all its clients.
        bucket: what its clients share; units of one bucket cost alike for a sample.
    """

    index: int
    clients: tuple[int, ...]
    weights: Mapping[str, tuple[float, ...]]
    samples: int = 0
    bucket: tuple[int, ...] = ()


def halves(unit: Unit) -> tuple[Unit, Unit]:
    """A unit's clients in two units."""
    middle = len(unit.clients) // 2
    first, second = (
        replace(unit, clients=unit.clients[part], weights={g: w[part] for g, w in unit.weights.items()})
        for part in (slice(middle), slice(middle, None))
    )
    return first, second


def singles(unit: Unit) -> list[Unit]:
    """A unit's clients, each in a unit of its own."""
    return [
        replace(unit, clients=(client,), weights={g: (w[i],) for g, w in unit.weights.items()})
        for i, client in enumerate(unit.clients)
    ]


def bound(count: int, limit: int | None = None) -> int:
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that holds `count`; at most `limit`."""
    power = 1
    while power < count:
        power *= 2
    value = power * 3 // 4 if power >= 4 and power * 3 // 4 >= count else power
    return value if limit is None else min(value, limit)


def padded(length: int, steps: int) -> int:
    """The steps that samples of at most `length` are padded to, of an array with `steps`; enough for three halvings."""
    return bound(max(length, LEAST_STEPS), steps)


def bucket(data: Federated, client: int) -> tuple[int, ...]:
    """What clients of one unit share: what they lack, and the padded lengths of their sequences."""
    numbers, buckets = _buckets(data)
    return buckets[int(numbers[client])]


def _buckets(data: Federated) -> tuple[Array, list[tuple[int, ...]]]:
    """(K,) the number of each client's bucket; and the buckets, in ascending order."""

    def found() -> tuple[Array, list[tuple[int, ...]]]:
        steps = [m.shape[0] for m in data.dataset.modalities.values() if m.ordered]
        columns = [*data.patterns.T]
        for lengths, limit in zip(data.longests.T, steps, strict=True):
            different, where = np.unique(lengths, return_inverse=True)
            columns.append(np.array([padded(n, limit) for n in different.tolist()])[where])
        numbers = np.zeros(len(data.sizes), dtype=np.int64)
        for column in map(_ranks, columns):  # as a number of several digits, which orders them as the rows are
            numbers = _ranks(numbers * (int(column.max(initial=0)) + 1) + column)
        firsts = np.empty(int(numbers.max(initial=-1)) + 1, dtype=np.int64)
        firsts[numbers] = np.arange(len(numbers))
        return numbers, list(map(tuple, np.stack(columns, axis=1)[firsts].tolist()))

    return data.once("buckets", found)


def _ranks(values: Array) -> Array:
    """Each one's place among those that there are, (K,), from 0; in time that grows with the largest.

    Example:
        >>> _ranks(np.array([7, 2, 7, 4]))
        array([2, 0, 2, 1])
    """
    there = np.zeros(int(values.max(initial=0)) + 1, dtype=bool)
    there[values] = True
    return (np.cumsum(there) - 1)[values]


def cuts(costs: Sequence[int], stack: int) -> list[int]:
    """Where a row of clients is cut into pieces of about equal cost: the end of each piece.

    Args:
        costs: of the clients, at least 1 each.
        stack: clients in a piece, on average; no piece has more than twice as many.

    Example:
        >>> cuts([1, 1, 1, 1, 2, 2, 4], 4)
        [5, 7]
    """
    pieces, ends = -(-len(costs) // stack), list[int]()
    totals = list(accumulate(costs, initial=0))
    for piece in range(1, pieces):
        first, rest = (ends[-1] if ends else 0), pieces - piece
        wanted = totals[first] + (totals[-1] - totals[first]) / (rest + 1)
        low = max(first + 1, len(costs) - 2 * stack * rest)  # what is left must fit the pieces to come
        high = min(first + 2 * stack, len(costs) - rest)
        ends.append(min(range(low, high + 1), key=lambda end: abs(totals[end] - wanted)))
    return [*ends, len(costs)]


def pieces(data: Federated, cohort: Sequence[int] | Array, stack: int) -> tuple[Array, list[int]]:
    """A cohort in the order of its units, and where each of them ends; the arguments are those of `plan_units`."""
    numbers, _ = _buckets(data)
    clients = np.array(cohort, dtype=np.int64)
    clients = clients[np.lexsort((clients, data.sizes[clients], numbers[clients]))]
    starts = np.flatnonzero(np.diff(numbers[clients], prepend=-1)).tolist()
    ends: list[int] = []
    for first, last in pairwise([*starts, len(clients)]):
        ends += [first + end for end in cuts(data.sizes[clients[first:last]].tolist(), stack)]
    return clients, ends


def plan_units(
    data: Federated, cohort: Sequence[int], stack: int, weights: Mapping[str, Mapping[int, float]]
) -> list[Unit]:
    """Cuts a cohort into units of about `stack` clients of one bucket, like sizes together.

    A bucket's units cost about the same, so that actors which share them end together: small clients stand in larger
    stacks, of at most twice as many.

    Args:
        data: sizes and lengths of the clients.
        cohort: client ids.
        stack: clients in a unit, on average.
        weights: group -> client -> its share in the mean.
    """
    numbers, buckets = _buckets(data)
    clients, ends = pieces(data, cohort, stack)
    ordered, sizes = clients.tolist(), data.sizes[clients]
    return [
        Unit(
            index=i,
            clients=tuple(ordered[a:b]),
            weights={g: tuple([w.get(c, 0.0) for c in ordered[a:b]]) for g, w in weights.items()},
            samples=int(sizes[a:b].sum()),
            bucket=buckets[int(numbers[ordered[a]])],
        )
        for i, (a, b) in enumerate(pairwise([0, *ends]))
    ]
