"""Small messages between raysim's own processes as bytes: Ray hands these on as they are, in half the time.

Larger ones go as objects, whose arrays Ray does not copy.
"""

import pickle
from collections.abc import Collection, Iterable, Set
from dataclasses import replace
from typing import Any

import numpy as np

from raysim.training.results import Broadcast, UnitResult

SMALL_BYTES = 1_000_000
When = tuple[int, int]
"""(phase, round)."""


def packed(value: Any, size: int = 0) -> Any:
    """The value, as bytes where its arrays have no more than `SMALL_BYTES`."""
    return value if size > SMALL_BYTES else pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(value: Any) -> Any:
    """What was packed, or came as it is."""
    return pickle.loads(value) if isinstance(value, bytes) else value  # from our own processes


def size_of(results: Iterable[Any]) -> int:
    """Bytes of the arrays in units' results."""
    units = [r for r in results if isinstance(r, UnitResult)]
    tables: list[Any] = [t for r in units for t in (r.sums, r.controls, *r.updates.values())]
    return sum(a.nbytes for table in tables for a in table.values())


def parted(broadcast: Broadcast, names: Set[str]) -> tuple[Broadcast, dict[str, Broadcast]]:
    """A broadcast without some groups, and what it says of each of these."""
    tables = {"x": broadcast.x, "frozen": broadcast.frozen, "control": broadcast.control}

    def of(kept: Collection[str]) -> Broadcast:
        return replace(broadcast, **{k: {n: v for n, v in t.items() if n in kept} for k, t in tables.items()})

    return of(broadcast.x.keys() - names), {name: of({name}) for name in names}


def heard(message: Broadcast | bytes, when: When, groups: Iterable[Broadcast] = ()) -> Broadcast:
    """What the server says, at that time: the same networks are judged after a round and trained in the next one.

    Args:
        message: what it says to all.
        when: at that time.
        groups: what it says besides of groups that not everybody needs.
    """
    broadcast: Broadcast = unpacked(message)
    said = [broadcast, *groups]
    x, frozen, control = ({n: v for t in tables for n, v in t.items()} for tables in (
        [part.x for part in said], [part.frozen for part in said], [part.control for part in said]
    ))  # fmt: skip
    return replace(broadcast, phase=when[0], round=when[1], x=x, frozen=frozen, control=control)


def alike(one: Broadcast, other: Broadcast) -> bool:
    """Whether two have the same networks, which are never written to, and equal controls."""
    kept = [(one.x, other.x), (one.frozen, other.frozen)]
    if any(a.keys() != b.keys() or any(a[name] is not b[name] for name in a) for a, b in kept):
        return False
    a, b = one.control, other.control
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)
