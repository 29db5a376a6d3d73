"""How many client actors there are and what each asks for. Pure functions; no bit depends on them."""

import math
from dataclasses import dataclass

from raysim.scenario.schema import Placement

AUTO_CLIENTS_PER_GPU = 4


class PlacementError(ValueError):
    """The cluster cannot hold what the scenario asks for; one line: what it wanted, what there is, what to change."""


@dataclass(frozen=True)
class Cluster:
    """What Ray sees."""

    cpus: float
    gpus: float
    nodes: int

    def __str__(self) -> str:
        gpus = f"{self.gpus:g} GPU{'s' if self.gpus != 1 else ''}" if self.gpus else "no GPU"
        return f"{self.cpus:g} cores, {gpus}, {self.nodes} node{'s' if self.nodes != 1 else ''}"


@dataclass(frozen=True)
class ActorPlan:
    """Client actors of a slot: how many, and each one's share of CPUs and GPUs."""

    count: int
    cpus: float
    gpus: float


def plan_actors(placement: Placement, cohort: int, cluster: Cluster, *, device: str) -> ActorPlan:
    """Decides on the client actors.

    Args:
        placement: the scenario's wishes.
        cohort: clients in a round; more actors than that would idle.
        cluster: what there is.
        device: `numerics.device`: with `cpu`, no GPU is asked for unless `gpus_per_client` is given.

    Raises:
        PlacementError: it does not fit.
    """
    if cluster.cpus < 1:
        raise PlacementError("Ray has no CPU to offer; start its nodes with --num-cpus of at least 1")
    gpus = _gpus(placement, cluster, device)
    if placement.actors != "auto":
        count = placement.actors
    elif placement.clients_per_actor != "auto":
        count = math.ceil(cohort / placement.clients_per_actor)
    else:
        count = min(cohort, max(1, _room(cluster, gpus) if gpus else int(cluster.cpus)))
    if gpus and count > _room(cluster, gpus):
        raise PlacementError(
            f"{count} client actors with {gpus:g} GPU each do not fit: there are {cluster.gpus:g} GPUs, which hold "
            f"{_room(cluster, gpus)}; lower placement.gpus_per_client or placement.actors, "
            "or raise placement.clients_per_actor"
        )
    # A whole number of actors to a core, so that they can be dealt out over nodes without a remainder.
    return ActorPlan(count, 1 / math.ceil(count / cluster.cpus), gpus)


def _room(cluster: Cluster, gpus: float) -> int:
    """How many actors find their share of a GPU; a fraction must lie on one device."""
    if gpus >= 1:
        return int(cluster.gpus / gpus)
    return int(1 / gpus + 1e-9) * int(cluster.gpus)


def _gpus(placement: Placement, cluster: Cluster, device: str) -> float:
    wanted = placement.gpus_per_client
    if wanted == "auto":
        return 1 / AUTO_CLIENTS_PER_GPU if cluster.gpus >= 1 and device != "cpu" else 0.0
    if wanted > 1 and wanted != int(wanted):
        raise PlacementError(f"placement.gpus_per_client is {wanted:g}; above 1 Ray gives whole GPUs only")
    return wanted


def deal(costs: list[float], actors: int) -> list[list[int]]:
    """Which actor does what: longest first, each to the least busy actor; each actor's list in ascending order.

    Example:
        >>> deal([1, 5, 2, 2], 2)
        [[1], [0, 2, 3]]
    """
    busy = [0.0] * actors
    dealt: list[list[int]] = [[] for _ in range(actors)]
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = busy.index(min(busy))
        dealt[least].append(i)
        busy[least] += costs[i]
    return [sorted(items) for items in dealt]
