"""What a cluster has, node by node, and which actors go where. Pure; no bit depends on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Strategy = Literal["spread", "pack"]

PROCESS_BYTES = 350_000_000
"""What a process that has imported torch takes, about."""
MEMORY_SHARE = 0.7
"""How much of the memory auto plans with."""
_EPSILON = 1e-6
"""Ray counts in ten thousandths."""


@dataclass(frozen=True)
class Node:
    """A machine with Ray on it.

    Attributes:
        id: Ray's name for it.
        name: the host's, with its address, for people.
        cpus, gpus: what it offers.
        memory_bytes: what was free when its Ray started; None where unknown.
        gpu: the model of its GPUs, where Ray's labels say it.
        used_cpus, used_gpus: what others have of it, which leaves no room.
        gpu_bytes: of one of its GPUs; None where unknown.
    """

    id: str
    name: str = ""
    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: float | None = None
    gpu: str = ""
    used_cpus: float = 0.0
    used_gpus: float = 0.0
    gpu_bytes: float | None = None

    def room(self, on_core: int, gpus: float) -> int:
        """How many actors it holds, some on a core, each with a share of a GPU; a fraction lies on one device.

        Of GPUs that others use in part it is taken that they use as few as they can.

        Example:
            >>> Node("a", cpus=2, gpus=3).room(on_core=4, gpus=0.4), Node("b", cpus=8, gpus=1).room(1, gpus=2)
            (6, 0)
        """
        cores = int(max(self.cpus - self.used_cpus, 0.0) * on_core + _EPSILON)
        if not gpus:
            return cores
        free = max(self.gpus - self.used_gpus, 0.0)
        if gpus >= 1:
            return min(cores, int(free / gpus + _EPSILON))
        whole = int(free + _EPSILON)
        return min(cores, int(1 / gpus + _EPSILON) * whole + int((free - whole) / gpus + _EPSILON))

    @property
    def processes(self) -> int:
        """How many its memory holds."""
        return 1_000_000 if self.memory_bytes is None else int(MEMORY_SHARE * self.memory_bytes / PROCESS_BYTES)


@dataclass(frozen=True)
class Cluster:
    """The nodes that are alive, the driver's first.

    Attributes:
        nodes: these.
        asks_again_s: an object that has not come by then Ray asks for once more, and gets all of it a second time
            (ray-project/ray, issue 56523).
    """

    nodes: tuple[Node, ...]
    asks_again_s: float = 10.0

    @classmethod
    def alike(cls, cpus: float, gpus: float = 0.0, nodes: int = 1, memory_bytes: float | None = None) -> "Cluster":
        """Some nodes, each with as much.

        Example:
            >>> print(Cluster.alike(16, 2, nodes=4))
            64 cores, 8 GPUs, 4 nodes
        """
        return cls(tuple(Node(str(i), f"node{i}", cpus, gpus, memory_bytes) for i in range(1, nodes + 1)))

    @property
    def cpus(self) -> float:
        """Of all nodes."""
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> float:
        """Of all nodes."""
        return sum(node.gpus for node in self.nodes)

    @property
    def memory_bytes(self) -> float | None:
        """Of all nodes; None where one's is unknown."""
        known = [node.memory_bytes for node in self.nodes if node.memory_bytes is not None]
        return sum(known) if len(known) == len(self.nodes) else None

    @property
    def processes(self) -> int:
        """How many auto may plan: servers and client actors."""
        return sum(node.processes for node in self.nodes)

    @property
    def used(self) -> dict[str, tuple[float, float]]:
        """Node -> (CPUs, GPUs) that others have."""
        return {n.id: (n.used_cpus, n.used_gpus) for n in self.nodes if n.used_cpus or n.used_gpus}

    def using(self, used: Mapping[str, tuple[float, float]]) -> "Cluster":
        """The same nodes, where others have no more than this: node -> (CPUs, GPUs)."""
        shares = [used.get(node.id, (0.0, 0.0)) for node in self.nodes]
        nodes = (replace(n, used_cpus=c, used_gpus=g) for n, (c, g) in zip(self.nodes, shares, strict=True))
        return replace(self, nodes=tuple(nodes))

    def rooms(self, on_core: int, gpus: float, count: int) -> list[int]:
        """How many actors each node holds; within its memory, unless `count` of them then find no room at all."""
        rooms = [node.room(on_core, gpus) for node in self.nodes]
        lean = [min(room, node.processes) for room, node in zip(rooms, self.nodes, strict=True)]
        return lean if sum(lean) >= count else rooms

    def __str__(self) -> str:
        gpus = f"{self.gpus:g} GPU{'s' if self.gpus != 1 else ''}" if self.gpus else "no GPU"
        return f"{self.cpus:g} cores, {gpus}, {len(self.nodes)} node{'s' if len(self.nodes) != 1 else ''}"


def dealt(rooms: Sequence[int], count: int, strategy: Strategy) -> list[int]:
    """The node of each of some actors, at most as many as there is room.

    Args:
        rooms: how many each node holds.
        count: the actors.
        strategy: `pack` fills one node after another; `spread` goes to the one of which most is left.

    Example:
        >>> dealt([4, 2], 5, "spread"), dealt([4, 2], 5, "pack")
        ([0, 1, 0, 0, 1], [0, 0, 0, 0, 1])
    """
    if strategy == "pack":
        return [node for node, room in enumerate(rooms) for _ in range(room)][:count]
    free, found = list(rooms), list[int]()
    for _ in range(min(count, sum(rooms))):
        node = max(range(len(rooms)), key=lambda i: (free[i] / rooms[i] if rooms[i] else -1.0, -i))
        free[node] -= 1
        found.append(node)
    return found
