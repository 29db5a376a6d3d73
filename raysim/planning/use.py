"""What the nodes of a cluster have to hold, and what of it does not fit."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raysim.engine.nodes import Cluster
from raysim.engine.placement import ActorPlan
from raysim.planning.arms import WORKER_BYTES, Arm
from raysim.report.text import size
from raysim.simulation.traffic import FLOAT_BYTES

SHARED_BYTES = 150_000_000
"""What processes of one machine share of the libraries that they have loaded, about."""
SERVER_COPIES = 6
"""Of the networks that a server has at a time: new and old ones, sums in float64, those of the best round."""


@dataclass(frozen=True)
class Use:
    """What a node has to do and to hold.

    Attributes:
        name: the node's.
        servers, clients, evaluators: processes of all slots, if they are dealt out as is planned.
        gpus: that the client actors ask for.
        bytes: of all processes of the study, one in which judges learn among them, and of Ray's store; None where it is
            not known.
        memory_bytes: what there is; None where unknown.
        gpu_bytes: of the client actors on the fullest of its GPUs; None where it is not known, or there is none.
        gpu_memory_bytes: of one of its GPUs; None where unknown.
    """

    name: str
    servers: int
    clients: int
    evaluators: int
    gpus: float
    bytes: int | None
    memory_bytes: float | None
    gpu_bytes: int | None
    gpu_memory_bytes: float | None


def uses(
    arms: Sequence[Arm], plan: ActorPlan, slots: int, cluster: Cluster, data: int, base: int | None,
    apart: Mapping[str, int], judges: int,
) -> tuple[Use, ...]:  # fmt: skip
    """What each node holds when all slots are at work on the arm that needs most, and judges still learn."""
    places = plan.places or (cluster.nodes[0].id,) * plan.count
    clients, found = [arm.client_bytes for arm in arms if arm.client_bytes is not None], list[Use]()
    copies = SERVER_COPIES * FLOAT_BYTES * max(arm.parameters for arm in arms)
    for number, node in enumerate(cluster.nodes):
        count, servers = slots * places.count(node.id), slots if number == 0 else 0
        evaluators, learning = apart.get(node.id, 0), judges if number == 0 else 0
        used: int | None = None
        if base is not None:
            used = data + SHARED_BYTES if count or servers or evaluators else 0
            used += (number == 0) * (base - SHARED_BYTES) + servers * (base + WORKER_BYTES - SHARED_BYTES + copies)
            used += (count + evaluators + learning) * (max(clients) - SHARED_BYTES)
        on_gpu = [min(count, int(1 / min(arm.gpus, 1.0) + 1e-9)) * (arm.gpu_bytes or 0) for arm in arms if arm.gpus]
        found.append(Use(
            node.name, servers, count, evaluators, count * plan.gpus, used, node.memory_bytes,
            max(on_gpu, default=0) or None, node.gpu_bytes if node.gpus else None,
        ))  # fmt: skip
    return tuple(found)


def misfits(nodes: Sequence[Use], arms: Sequence[Arm], slots: int, actors: ActorPlan) -> Iterator[str]:
    """What does not fit, and the setting to change."""
    wide = {"placement.parallel_trials": slots > 1, "placement.actors": actors.count > 1}
    fewer = " or ".join(key for key, above in wide.items() if above)
    remedy = f"lower {fewer}" if fewer else "use a node with more, smaller networks (model) or less data (dataset)"
    for node in nodes:
        if node.memory_bytes is not None and (node.bytes or 0) > node.memory_bytes:
            there, needed = size(node.memory_bytes), size(node.bytes or 0)
            yield f"{node.name} has {there} of memory and {needed} would be needed; {remedy}"
    there = min((use.gpu_memory_bytes for use in nodes if use.clients and use.gpu_memory_bytes), default=None)
    most = max(arms, key=lambda arm: (arm.gpu_bytes or 0) / min(arm.gpus or 1.0, 1.0))
    if there is not None and most.gpu_bytes is not None:
        yield from _crowded(most.gpu_bytes, most.gpus, there)


def _crowded(needed: int, gpus: float, there: float) -> Iterator[str]:
    """That a client actor needs more than its share of a GPU that has so many bytes."""
    if needed > (share := min(gpus, 1.0) * there):
        more = gpus < 1 and needed <= there
        first = f"raise placement.gpus_per_client to {math.ceil(100 * needed / there) / 100:g}" if more else ""
        yield (
            f"a client actor takes {size(needed)} of its GPU and may have {size(share)}, so that units are trained in "
            f"parts; {first or 'lower numerics.stack'} or lower federation.batch_size"
        )
