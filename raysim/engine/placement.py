"""How many trials run at a time, how many client actors each has, what an actor asks for. Pure; no bit depends on it.

A slot runs one trial at a time on client actors of its own. Room is what the cluster holds at once, a sum over its
nodes: cores, or where actors ask for a share of a GPU, as many of these shares as there are.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from raysim.engine.nodes import Cluster, dealt
from raysim.scenario.schema import Placement
from raysim.simulation.resolve import PlacementError

AUTO_CLIENTS_PER_GPU = 4
CONTEXT_BYTES = 600_000_000
"""What a process takes on a GPU before it computes anything, about."""
GPU_SHARE = 0.9
"""How much of a GPU's memory auto plans with."""
MOST_ON_CORE = 10_000
"""Ray counts CPUs in such parts."""
SPEED_EXPONENT = 0.85
"""A trial on a actors runs about a**0.85 times as fast as on one: rounds end with waiting."""
TAIL_TRIALS = 0.5
"""What several slots lose at a study's end, where some have no trial left, in trials."""

MOST_EVALUATORS = 8
"""Of a slot: an evaluation has few slices, and all networks go to each node that has one."""
SHORT_ROUND_S = 0.02
"""A round of less than this is not worth a second actor where another trial can have its core."""
MESSAGE_S = 0.0018
"""What a call to one more actor costs a round."""


@dataclass(frozen=True)
class ActorPlan:
    """Client actors of a slot.

    Attributes:
        count: how many.
        cpus, gpus: each one's share; the actors of all slots fit the cluster.
        places: the node of each, if that is still there and has room; empty where there is one node.
        evaluators: the nodes of actors that evaluate instead of these.
    """

    count: int
    cpus: float
    gpus: float
    places: tuple[str, ...] = ()
    evaluators: tuple[str, ...] = ()


def plan_slots(
    placement: Placement, width: int, trials: int, cluster: Cluster, *, device: str, short: bool = False
) -> int:
    """Decides how many trials run side by side.

    A number in the scenario is taken as it is; more actors than cores only slow each other down. Where actors are
    given, there are as many slots as the room holds. Else the number is the one that ends all trials first, if a trial
    on a actors is a**0.85 times as fast as on one and several slots lose half a trial at the end. Short rounds are not
    worth a second actor and leave the room to other trials. Auto keeps to 70 % of the memory.

    Args:
        placement: the scenario's wishes.
        width: into how many parts a round can be cut; see `Wish`.
        trials: of the study; more slots than that would idle.
        cluster: what there is.
        device: `numerics.device`.
        short: whether rounds last less than `SHORT_ROUND_S`; on GPUs that changes nothing, whose shares are taken.

    Raises:
        PlacementError: it does not fit.
    """
    gpus, room = _share(placement, cluster, device)
    given, processes = _given(placement, width), cluster.processes
    _check_gpus(given or 1, gpus, room, cluster, 1)
    if placement.parallel_trials != "auto":
        slots = min(placement.parallel_trials, trials)
        _check_gpus(_count(placement, width, cluster, gpus, slots), gpus, room, cluster, slots)
        return slots
    if given is not None:
        return max(1, min(trials, room // given, processes // (1 + given)))
    room = _held(cluster, gpus)

    def time(slots: int) -> float:
        actors = min(width, room / slots, max(processes // slots - 1, 1))
        tail = TAIL_TRIALS if slots > 1 else 0.0
        return (math.ceil(trials / slots) + tail) / actors**SPEED_EXPONENT

    most = max(1, min(trials, room, processes // 2))
    if short and not gpus:
        return most
    return min(range(1, most + 1), key=lambda slots: (round(time(slots), 9), slots))


def plan_actors(
    placement: Placement, width: int, cluster: Cluster, *, device: str, slots: int = 1, later: int = 1,
    slot: int = 0,
) -> ActorPlan:  # fmt: skip
    """Decides on the client actors of one slot.

    Args:
        placement: the scenario's wishes.
        width: into how many parts a round can be cut; more actors than that would idle.
        cluster: what there is.
        device: `numerics.device`: with `cpu`, no GPU is asked for unless `gpus_per_client` is given.
        slots: that share the cluster.
        later: slots that there may be while these actors are still at work; they must find CPUs.
        slot: which of them, from 0.

    Raises:
        PlacementError: it does not fit.
    """
    gpus, room = _share(placement, cluster, device)
    count = _count(placement, width, cluster, gpus, slots)
    _check_gpus(count, gpus, room, cluster, slots)
    all_actors = max(slots, later) * count
    on_core = _on_core(cluster, gpus, all_actors if not gpus else min(all_actors, room))
    places: tuple[str, ...] = ()
    if len(cluster.nodes) > 1:
        rooms = cluster.rooms(on_core, gpus, slots * count)
        nodes = dealt(rooms, slots * count, placement.strategy)
        places = tuple(cluster.nodes[i].id for i in nodes[slot * count : (slot + 1) * count])
    return ActorPlan(count, 1 / on_core, gpus, places)


def plan_evaluators(cluster: Cluster, slots: int = 1, slot: int = 0) -> tuple[str, ...]:
    """The nodes of a slot's actors that evaluate on CPUs while client actors have the GPUs.

    Each has a core of a node without GPUs; where there is none, one works beside the driver.

    Args:
        cluster: what there is.
        slots: that share it.
        slot: which of them, from 0.
    """
    rooms = [0 if node.gpus else node.room(1, 0.0) for node in cluster.nodes]
    count = min(sum(rooms) // slots, MOST_EVALUATORS)
    nodes = dealt(rooms, slots * count, "spread")[slot * count : (slot + 1) * count]
    return tuple(cluster.nodes[node].id for node in nodes or [0])


def _on_core(cluster: Cluster, gpus: float, count: int) -> int:
    """As few actors to a core as let that many find room: a whole number, so that none is left over on any node."""
    few = range(1, MOST_ON_CORE + 1)
    return few[min(bisect_left(few, count, key=lambda on_core: _room(cluster, on_core, gpus)), MOST_ON_CORE - 1)]


def _room(cluster: Cluster, on_core: int, gpus: float) -> int:
    return sum(node.room(on_core, gpus) for node in cluster.nodes)


def enlarged(plan: ActorPlan, peak_bytes: float, total_bytes: float) -> ActorPlan:
    """The client actors of a slot, once it is known what one of them needs of its GPU.

    `gpus_per_client: auto` begins with a quarter. Where a round's largest unit needs more, an actor gets more, and the
    slot has fewer actors, on no more GPUs of any node than before. A unit that needs more than a whole GPU is trained
    in parts.

    Args:
        plan: with quarters.
        peak_bytes: the most that one actor's tensors took.
        total_bytes: of a GPU.

    Example:
        >>> enlarged(ActorPlan(8, 1.0, 0.25), 30e9, 80e9)
        ActorPlan(count=4, cpus=1.0, gpus=0.5, places=())
    """
    needed = (peak_bytes + CONTEXT_BYTES) / (GPU_SHARE * total_bytes)
    if needed <= plan.gpus:
        return plan
    gpus = 1 / max(int(1 / needed), 1)

    def fewer(count: int) -> int:
        return int(count * plan.gpus / gpus + 1e-9)

    places = tuple(node for node, count in Counter(plan.places).items() for _ in range(fewer(count)))
    places = places or plan.places[:1]
    return replace(plan, count=len(places) or max(fewer(plan.count), 1), gpus=gpus, places=places)


def asked(placement: Placement, width: int, trials: int, cluster: Cluster, *, device: str) -> tuple[int, float]:
    """(client actors at the same time, GPUs of each) that a scenario asks for; one actor where it leaves that open.

    Raises:
        PlacementError: there are no such shares.
    """
    slots = 1 if placement.parallel_trials == "auto" else min(placement.parallel_trials, trials)
    return slots * (_given(placement, width) or 1), _gpus(placement, cluster, device)


def _given(placement: Placement, width: int) -> int | None:
    """The actors of a slot as the scenario says; None where it leaves that open."""
    if placement.actors != "auto":
        return placement.actors
    if placement.clients_per_actor != "auto":
        return math.ceil(width / placement.clients_per_actor)
    return None


def _count(placement: Placement, width: int, cluster: Cluster, gpus: float, slots: int) -> int:
    given = _given(placement, width)
    if given is not None:
        return given
    return max(1, min(width, _held(cluster, gpus) // slots, cluster.processes // slots - 1))


def _held(cluster: Cluster, gpus: float) -> int:
    """How many actors auto plans with at most: one a core, or one a share of a GPU, within each node's memory."""
    return sum(cluster.rooms(MOST_ON_CORE if gpus else 1, gpus, 1))


def _check_gpus(count: int, gpus: float, room: int, cluster: Cluster, slots: int) -> None:
    if not gpus or slots * count <= room:
        return
    several = count <= room
    where = f" on {len(cluster.nodes)} nodes" if len(cluster.nodes) > 1 else ""
    raise PlacementError(
        f"{slots * count if several else count} client actors {f'({slots} trials at a time) ' if several else ''}"
        f"with {gpus:g} GPU each do not fit: there are {cluster.gpus:g} GPUs{where}, which hold {room}; lower "
        f"{'placement.parallel_trials, ' if several else ''}placement.gpus_per_client or placement.actors, "
        "or raise placement.clients_per_actor"
    )


def _share(placement: Placement, cluster: Cluster, device: str) -> tuple[float, int]:
    """The share of a GPU that each actor asks for, and the room there is for such actors."""
    if not _room(cluster, 1, 0.0):
        raise PlacementError("Ray has no CPU to offer; start its nodes with --num-cpus of at least 1")
    gpus = _gpus(placement, cluster, device)
    return gpus, _room(cluster, MOST_ON_CORE if gpus else 1, gpus)


def _gpus(placement: Placement, cluster: Cluster, device: str) -> float:
    wanted = placement.gpus_per_client
    if wanted == "auto":
        return 1 / AUTO_CLIENTS_PER_GPU if cluster.gpus >= 1 and device != "cpu" else 0.0
    if wanted > 1 and wanted != int(wanted):
        raise PlacementError(f"placement.gpus_per_client is {wanted:g}; above 1 Ray gives whole GPUs only")
    return wanted


HOME = 1.05
"""So much longer a round may take where everybody does what he did before."""


def deal(costs: Sequence[float], slowness: Sequence[float], homes: Sequence[int | None] = ()) -> list[list[int]]:
    """Which actor does what: longest first, each to the actor that ends it first; each one's list in ascending order.

    Args:
        costs: seconds that each piece takes on an actor of the usual speed.
        slowness: of each actor, how many times as long it takes.
        homes: which of the actors had each piece last; None where nobody did. What torch's libraries have prepared for
            its sizes is there, so all goes where it was if that ends little later.

    Example:
        >>> deal([1, 5, 2, 2], [1, 1]), deal([1, 1, 1, 1], [1, 3])
        ([[1], [0, 2, 3]], [[0, 1, 2], [3]])
        >>> deal([1, 5, 2, 2], [1, 1], [0, 1, 0, 0])
        [[0, 2, 3], [1]]
    """
    busy = [0.0] * len(slowness)
    dealt_out: list[list[int]] = [[] for _ in slowness]
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        first = min(range(len(busy)), key=lambda actor: (busy[actor] + costs[i] * slowness[actor], actor))
        dealt_out[first].append(i)
        busy[first] += costs[i] * slowness[first]
    if homes and None not in homes:
        again = [[i for i, home in enumerate(homes) if home == actor] for actor in range(len(slowness))]
        ends = [slow * sum(costs[i] for i in items) for slow, items in zip(slowness, again, strict=True)]
        if max(ends) <= HOME * max(busy):
            return again
    return [sorted(items) for items in dealt_out]


def worth(seconds: float, actors: int) -> int:
    """How many actors end a round first that has some seconds of work: each one more costs a message.

    Example:
        >>> [worth(s, 8) for s in (0.001, 0.016, 0.1, 10)]
        [1, 3, 7, 8]
    """
    return min(max(round(math.sqrt(seconds / MESSAGE_S)), 1), actors)
