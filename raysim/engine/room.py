"""Whether a study's trials find room on the cluster before anything starts, and how long that may take."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raysim.engine.nodes import Cluster
from raysim.engine.placement import asked, plan_actors, plan_slots
from raysim.report.text import counted
from raysim.scenario.schema import Placement
from raysim.simulation.resolve import PlacementError

SETTLE_S = 2.0
"""So long actors of a study that has just ended may still be there."""


@dataclass(frozen=True)
class Wish:
    """What decides on a trial's client actors: its placement, the parts of a round and `numerics.device`."""

    placement: Placement
    width: int
    device: str


def unmet(wish: Wish, trials: int, cluster: Cluster, *, cores: bool) -> str:
    """Why such trials cannot begin, in one line; empty where they can.

    Args:
        wish: of one of them.
        trials: of the study.
        cluster: what there is, and what others have of it.
        cores: whether actors that use no GPU must have a core each.
    """
    try:
        _check(wish, trials, cluster.using({}), cores=cores)
    except PlacementError as error:
        return str(error)
    try:
        _check(wish, trials, cluster, cores=cores)
    except PlacementError:
        count, gpus = asked(wish.placement, wish.width, trials, cluster, device=wish.device)
        used_cpus, used_gpus = (sum(used[i] for used in cluster.used.values()) for i in (0, 1))
        free = f"{max(cluster.cpus - used_cpus, 0):g} of {cluster.cpus:g} cores are free"
        free += f", {max(cluster.gpus - used_gpus, 0):g} of {cluster.gpus:g} GPUs" if gpus else ""
        return f"no room for {counted(count, 'client actor')}{f' with {gpus:g} GPU each' if gpus else ''}: {free}"
    return ""


def _check(wish: Wish, trials: int, cluster: Cluster, *, cores: bool) -> None:
    """Raises PlacementError where it does not fit."""
    slots = plan_slots(wish.placement, wish.width, trials, cluster, device=wish.device)
    plan_actors(wish.placement, wish.width, cluster, device=wish.device, slots=slots)
    count, gpus = asked(wish.placement, wish.width, trials, cluster, device=wish.device)
    if cores and not gpus and count > (room := sum(node.room(1, 0.0) for node in cluster.nodes)):
        raise PlacementError(f"{counted(count, 'client actor')} wait for a core each, and there are {room}")


def await_room(
    look: Callable[[], Cluster], wishes: Sequence[Wish], trials: int, wait_s: float, pause: Callable[[str], None]
) -> tuple[Cluster, tuple[Wish, str] | None]:
    """Looks until all find room, or for so long; what has just been used may become free a little later.

    Who is ready to wait wants a core, or a GPU's share, for each client actor that the scenarios ask for.

    Args:
        look: what there is by now.
        wishes: of the trials.
        trials: how many.
        wait_s: how long to wait.
        pause: is told why, and returns after a while.

    Returns:
        The cluster, and the first that finds no room, with the reason.
    """
    began = lacking = time.monotonic()
    while True:
        cluster = look()
        reasons = ((wish, unmet(wish, trials, cluster, cores=wait_s > 0)) for wish in wishes)
        problem = next((found for found in reasons if found[1]), None)
        now, settle_s = time.monotonic(), SETTLE_S if cluster.used else 0.0
        if problem is None and now - lacking >= settle_s:
            return cluster, None
        if problem is not None:
            lacking = now
            if now - began >= max(settle_s, wait_s):
                return cluster, problem
        pause(problem[1] if problem else "")
