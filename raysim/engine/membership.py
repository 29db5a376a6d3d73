"""Which nodes are alive and which are dead, by Ray's own word: answers of dead ones may never come, nor an error.

A call whose answer was half fetched from a node that died stays open for ever in Ray 2.60, so whoever waits for another
node looks at the nodes now and then.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ray

from raysim.engine.gpus import memory_of
from raysim.engine.nodes import Node

_ray: Any = ray  # only partly typed
LOOK_S = 1.0
"""How often to ask; once takes 0.3 ms."""


def this_node() -> str:
    """The id of the node on which this process runs."""
    return _ray.get_runtime_context().get_node_id()


def asks_again_s() -> float:
    """After how long Ray asks once more for an object that has not come; as the cluster's head was told, if it was."""
    return _ray._raylet.Config.object_manager_pull_timeout_ms() / 1000


def own_share() -> float:
    """Of each GPU that this actor has; 0 where it has none."""
    assigned: Mapping[str, float] = _ray.get_runtime_context().get_assigned_resources()
    return min(assigned.get("GPU", 0.0), 1.0)


def alive() -> list[Node]:
    """The nodes that are, and what they offer; nothing of what is used."""
    return [_node(known) for known in _ray.nodes() if known["Alive"]]


def _node(known: Mapping[str, Any]) -> Node:
    total: Mapping[str, float] = known["Resources"]
    labels: Mapping[str, str] = known.get("Labels") or {}
    # Ray sets a part of what is free aside for its object store and offers the rest to processes.
    memory = total["memory"] + total.get("object_store_memory", 0.0) if "memory" in total else None
    name = f"{known['NodeManagerHostname']} ({known['NodeManagerAddress']})"
    gpu = labels.get("ray.io/accelerator-type", "")
    cpus, gpus = total.get("CPU", 0.0), total.get("GPU", 0.0)
    return Node(known["NodeID"], name, cpus, gpus, memory, gpu, gpu_bytes=memory_of(gpu))


class Membership:
    """Looks at the nodes at most every second."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}  # a node's id -> whether it is alive
        self._told, self._looked_s = frozenset[str](), -math.inf

    def dead(self, nodes: Iterable[str], *, now: bool = False) -> set[str]:
        """Those of some nodes that are dead, by their ids; after a new look where that is asked for."""
        others = set(nodes) - {this_node(), ""}  # with none, as on one machine, nobody looks
        return others & self.all_dead(now=now) if others else others

    def all_dead(self, *, now: bool = False) -> frozenset[str]:
        """All that have died so far."""
        self._look(now=now)
        return frozenset(node for node, alive in self._known.items() if not alive)

    def away(self, references: Sequence[Any], node: str) -> int:
        """Bytes of this process's objects that lie in other nodes' stores, and not in that of this one.

        Where a link is cut for a while, Ray 2.60 may lose the word of where an object is, or a part of it on its way,
        and asks for neither again: whoever waits for it there waits for ever.
        """
        if not references:
            return 0
        found: Mapping[Any, Mapping[str, Any]] = _ray.experimental.get_local_object_locations(list(references))
        return sum(f["object_size"] or 0 for f in found.values() if f["node_ids"] and node not in f["node_ids"])

    def joined(self) -> bool:
        """Whether there is a node that was not there when this was asked before, if it was."""
        self._look(now=False)
        before, self._told = self._told, frozenset(self._known)
        return bool(before and self._told - before)

    def _look(self, *, now: bool) -> None:
        if now or time.monotonic() >= self._looked_s + LOOK_S:
            self._known = {n["NodeID"]: n["Alive"] for n in _ray.nodes()}
            self._looked_s = time.monotonic()
