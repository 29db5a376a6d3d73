"""Units: which clients of a cohort are trained together. Pure functions of the cohort.

A unit is the atom of work, of retry and of partial sums; which process runs it changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from raysim.data.federated import Federated


@dataclass(frozen=True)
class Unit:
    """Clients that are trained together.

    Attributes:
        index: its place in the round's plan.
        clients: their ids, ascending within a bucket.
        weights: group -> each client's share in the mean; 0 where it does not own the group.
        samples: of all its clients: what it costs, roughly.
    """

    index: int
    clients: tuple[int, ...]
    weights: Mapping[str, tuple[float, ...]]
    samples: int = 0


def bound(count: int, limit: int | None = None) -> int:
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that holds `count`; at most `limit`."""
    power = 1
    while power < count:
        power *= 2
    value = power * 3 // 4 if power >= 4 and power * 3 // 4 >= count else power
    return value if limit is None else min(value, limit)


def bucket(data: Federated, client: int) -> tuple[int, ...]:
    """What clients of one unit share: what they lack, the padded lengths of sequences, the order of their size."""
    limits = [m.shape[0] for m in data.dataset.modalities.values() if m.ordered]
    lengths = tuple(bound(n, limit) for n, limit in zip(data.longest(client), limits, strict=True))
    return (*data.pattern(client), *lengths, int(data.sizes[client]).bit_length())


def plan_units(
    data: Federated, cohort: Sequence[int], stack: int, weights: Mapping[str, Mapping[int, float]]
) -> list[Unit]:
    """Cuts a cohort into units of at most `stack` clients, ordered by (bucket, id).

    Args:
        data: sizes and lengths of the clients.
        cohort: client ids.
        stack: clients in a unit.
        weights: group -> client -> its share in the mean.
    """
    ordered = sorted((bucket(data, c), c) for c in cohort)
    chunks: list[tuple[int, ...]] = []
    for _, same in groupby(ordered, key=lambda pair: pair[0]):
        members = [client for _, client in same]
        chunks += [tuple(members[i : i + stack]) for i in range(0, len(members), stack)]
    return [
        Unit(
            index=i,
            clients=clients,
            weights={g: tuple(w.get(c, 0.0) for c in clients) for g, w in weights.items()},
            samples=int(data.sizes[list(clients)].sum()),
        )
        for i, clients in enumerate(chunks)
    ]
