"""What a round sends: pure functions of who takes part and who uploads what.

Bytes are those of float32 tensors, as a deployment would send them; what raysim's own processes exchange is less.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from raysim.training.job import Job
from raysim.training.results import Broadcast

FLOAT_BYTES = 4
SHARED = "shared"
"""The row of what the server computes from its public samples and sends."""


@dataclass
class Traffic:
    """Bytes of a round.

    Attributes:
        down, up: client -> bytes; the server's own training sends nothing.
        groups: group -> [down, up].
    """

    down: dict[int, int] = field(default_factory=dict[int, int])
    up: dict[int, int] = field(default_factory=dict[int, int])
    groups: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    @property
    def total(self) -> tuple[int, int]:
        """(down, up)."""
        return sum(self.down.values()), sum(self.up.values())

    def count(self, name: str, clients: Sequence[int], size: int, *, up: bool) -> None:
        """Some clients receive (or send) `size` bytes each."""
        table = self.up if up else self.down
        for client in clients:
            table[client] = table.get(client, 0) + size
        self.groups.setdefault(name, [0, 0])[up] += size * len(clients)


def traffic(
    job: Job, broadcast: Broadcast, cohort: Sequence[int], held: Mapping[str, Collection[int]],
    senders: Mapping[str, Sequence[int]], trained: Mapping[str, Sequence[int]], shared: int = 0,
) -> Traffic:  # fmt: skip
    """What travels in a round.

    A group goes down to those of the cohort that it reaches and that do not hold it yet, and up from those that sent
    it. Under an algorithm with controls the server's control travels with it, and the controls of all that trained it
    come back.

    Args:
        job: the groups, and whom they reach.
        broadcast: tells which controls there are.
        cohort: client ids.
        held: group -> the clients that have got it as it is, which only groups have that did not change since.
        senders: group -> the clients that sent it.
        trained: group -> the clients that trained it, where that is more.
        shared: bytes of what the server shares with those that hear it.
    """
    found = Traffic()
    infos = {c: job.data.info(c) for c in cohort}
    for name in job.shared:
        layout = job.layouts[name]
        size, control = FLOAT_BYTES * layout.size, FLOAT_BYTES * layout.parameters
        known = held.get(name, ())
        reached = [c for c in cohort if job.reaches(name, infos[c]) and c not in known]
        found.count(name, reached, size + (control if name in broadcast.control else 0), up=False)
        found.count(name, [c for c in senders.get(name, ()) if c in infos], size, up=True)
        if job.algorithm.control and job.groups[name].algorithm:
            found.count(name, [c for c in trained.get(name, ()) if c in infos], control, up=True)
    if shared:
        found.count(SHARED, [c for c in cohort if job.method.hears(infos[c])], shared, up=False)
    return found
