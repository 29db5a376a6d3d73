"""Units: which clients of a cohort are trained together. Pure functions of the cohort.

A unit is the atom of work, of retry and of partial sums; which process runs it changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from raysim.data.federated import Federated

LEAST_STEPS = 8


@dataclass(frozen=True)
class Unit:
    """Clients that are trained together.

    Attributes:
        index: its place in the round's plan.
        clients: their ids, ordered by size (to a factor of two) and id.
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


def padded(length: int, steps: int) -> int:
    """The steps that samples of at most `length` are padded to, of an array with `steps`; enough for three halvings."""
    return bound(max(length, LEAST_STEPS), steps)


def bucket(data: Federated, client: int) -> tuple[int, ...]:
    """What clients of one unit share: what they lack, and the padded lengths of their sequences."""
    steps = [m.shape[0] for m in data.dataset.modalities.values() if m.ordered]
    lengths = tuple(padded(n, limit) for n, limit in zip(data.longest(client), steps, strict=True))
    return (*data.pattern(client), *lengths)


def plan_units(
    data: Federated, cohort: Sequence[int], stack: int, weights: Mapping[str, Mapping[int, float]]
) -> list[Unit]:
    """Cuts a cohort into even units of at most `stack` clients of one bucket, like sizes together.

    Args:
        data: sizes and lengths of the clients.
        cohort: client ids.
        stack: clients in a unit.
        weights: group -> client -> its share in the mean.
    """
    ordered = sorted((bucket(data, c), int(data.sizes[c]).bit_length(), c) for c in cohort)
    chunks: list[tuple[int, ...]] = []
    for _, same in groupby(ordered, key=lambda entry: entry[0]):
        members = [client for _, _, client in same]
        pieces = -(-len(members) // stack)
        cuts = [len(members) * i // pieces for i in range(pieces + 1)]
        chunks += [tuple(members[a:b]) for a, b in pairwise(cuts)]
    return [
        Unit(
            index=i,
            clients=clients,
            weights={g: tuple(w.get(c, 0.0) for c in clients) for g, w in weights.items()},
            samples=int(data.sizes[list(clients)].sum()),
        )
        for i, clients in enumerate(chunks)
    ]
