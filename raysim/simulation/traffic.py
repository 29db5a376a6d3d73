"""What a round sends: pure functions of who takes part and who uploads what.

Bytes are those of float32 tensors, as a deployment would send them; what raysim's own processes exchange is less.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from raysim.data.dataset import Array
from raysim.method import everyone
from raysim.training.job import Job
from raysim.training.results import Broadcast

FLOAT_BYTES = 4
SHARED = "shared"
"""The row of what the server computes from its public samples and sends."""
FROZEN = " (frozen)"
"""After a group's name: its part that never changes."""


class Traffic:
    """Bytes of a round, of a cohort of C.

    Attributes:
        cohort: (C,) client ids, ascending. The server's own training sends nothing.
        down, up: (C,) bytes.
        groups: group -> [down, up].
    """

    def __init__(self, cohort: Sequence[int]) -> None:
        self.cohort = np.array(cohort, dtype=np.int64)
        self.down, self.up = np.zeros_like(self.cohort), np.zeros_like(self.cohort)
        self.groups: dict[str, list[int]] = {}

    @property
    def total(self) -> tuple[int, int]:
        """(down, up)."""
        return int(self.down.sum()), int(self.up.sum())

    def count(self, name: str, clients: Collection[int], size: int, *, up: bool) -> None:
        """Some clients, each at most once, receive (or send) `size` bytes each; who is not of the cohort does not."""
        whole = len(clients) == len(self.cohort) and tuple(clients) == tuple(self.cohort.tolist())
        where = slice(None) if whole else np.isin(self.cohort, np.array([*clients], dtype=np.int64))
        table = self.up if up else self.down
        table[where] += size
        self.groups.setdefault(name, [0, 0])[up] += size * len(table[where])

    def of(self, clients: Array) -> tuple[Array, Array]:
        """(down, up) of some clients, (R,) each; nothing of who is not of the cohort."""
        if not len(self.cohort):
            return np.zeros_like(clients), np.zeros_like(clients)
        where = np.searchsorted(self.cohort, clients).clip(max=len(self.cohort) - 1)
        there = self.cohort[where] == clients
        return np.where(there, self.down[where], 0), np.where(there, self.up[where], 0)


def traffic(
    job: Job, broadcast: Broadcast, cohort: Sequence[int], held: Mapping[str, Collection[int]],
    senders: Mapping[str, Collection[int]], trained: Mapping[str, Sequence[int]], shared: int = 0,
) -> Traffic:  # fmt: skip
    """What travels in a round.

    A group goes down to those of the cohort that it reaches and that do not hold it yet, and up from those that sent
    it. Under an algorithm with controls the server's control travels with it, and the controls of all that trained it
    come back. What is frozen of a group goes down once.

    Args:
        job: the groups, and whom they reach.
        broadcast: tells which controls there are.
        cohort: client ids.
        held: group -> the clients that have got it as it is, which only groups have that did not change since.
        senders: group -> the clients that sent it.
        trained: group -> the clients that trained it, where that is more.
        shared: bytes of what the server shares with those that hear it.
    """
    found = Traffic(cohort)
    for name in job.shared:
        layout = job.layouts[name]
        size, control = FLOAT_BYTES * layout.size, FLOAT_BYTES * layout.parameters
        known, reached = held.get(name, ()), cohort
        if known or job.groups[name].reaches is not everyone:
            reached = [c for c in cohort if c not in known and job.reaches(name, job.data.info(c))]
        found.count(name, reached, size + (control if name in broadcast.control else 0), up=False)
        found.count(name, senders.get(name, ()), size, up=True)
        if job.algorithm.control and job.groups[name].algorithm:
            found.count(name, trained.get(name, ()), control, up=True)
    for name, size in job.frozen.items():
        known = held.get(name + FROZEN, ())
        reached = [c for c in cohort if c not in known and job.reaches(name, job.data.info(c))]
        found.count(name, reached, FLOAT_BYTES * size, up=False)
    if shared:
        found.count(SHARED, [c for c in cohort if job.method.hears(job.data.info(c))], shared, up=False)
    return found
