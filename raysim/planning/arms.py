"""The arms of a study: trials that differ by their seeds alone, what they need, and how long they take."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from raysim.engine.nodes import Cluster
from raysim.engine.placement import CONTEXT_BYTES, MESSAGE_S, SPEED_EXPONENT, ActorPlan, enlarged, plan_actors
from raysim.planning.outline import Outline, Ready
from raysim.planning.rehearsal import Rehearsed
from raysim.planning.speed import Speed
from raysim.simulation.traffic import FLOAT_BYTES

SUM_BYTES = 8
"""Of a number in a partial sum, on its way from a node to the server's."""
TRIAL_S = 0.7
"""What a trial takes to begin and to end, about."""
WORKER_BYTES = -20_000_000
"""What Ray adds to a process, about: 60 MB where it starts it, and where workers are forked, which share what was there
before, some 90 MB less than nothing. It lies between."""


@dataclass(frozen=True)
class Arm:
    """Trials that differ by their seeds alone.

    Attributes:
        scenario, grid: which.
        seeds: how many.
        method: the method's name.
        stack, cohort: clients that are trained together, and that take part in a round.
        units: of a round, on average.
        rounds: of a trial.
        bytes_down, bytes_up: of each seed's trial, from and to all clients, as a deployment would send them.
        exact: whether they are; else a most, or see `unshared`.
        unshared: whether `bytes_down` lacks what the server makes of its public samples and sends.
        link_bytes: between nodes, in a round.
        client_bytes: of a client process, its own; None where it is not known.
        gpu_bytes: of a client process, on its GPU; None where it is not known, or there is none.
        gpus: each client actor's share of one.
        disk_bytes: of all its trials, about; checkpoints are removed at the end.
        parameters: of all networks.
        round_s, trial_s: how long; None where it is not known.
    """

    scenario: str
    grid: dict[str, str]
    seeds: int
    method: str
    stack: int
    cohort: int
    units: float
    rounds: int
    bytes_down: tuple[int, ...]
    bytes_up: tuple[int, ...]
    exact: bool
    unshared: bool
    link_bytes: int
    client_bytes: int | None
    gpu_bytes: int | None
    gpus: float
    disk_bytes: int
    parameters: int
    round_s: float | None
    trial_s: float | None


class Speeds(Protocol):
    """What was measured of a study's trials, or is when it is asked for.

    Attributes:
        machine: whose times they are, for people; empty where those say nothing of the cluster.
        process_bytes: what a process takes that has loaded all libraries and neither data nor networks; last known once
            a trial was asked for.
    """

    machine: str
    process_bytes: int

    def of(self, ready: Ready) -> Speed:
        """Of a trial."""
        ...


def actors_of(several: Sequence[Outline], cluster: Cluster, slots: int) -> ActorPlan:
    """The client actors of a slot, each with as much of a GPU as it is going to have where nobody said how much.

    Raises:
        PlacementError: they do not fit.
    """
    wish, there = several[0].wish, _smallest(cluster)
    plan = plan_actors(wish.placement, wish.width, cluster, device=wish.device, slots=slots)
    needed = [each.speed.device_bytes for each in several if each.speed is not None]
    if plan.gpus and there is not None and needed and wish.placement.gpus_per_client == "auto":
        plan = enlarged(plan, max(needed), there)
    return plan


def _smallest(cluster: Cluster) -> float | None:
    """Bytes of the smallest GPU that is known."""
    return min((node.gpu_bytes for node in cluster.nodes if node.gpus and node.gpu_bytes), default=None)


def arm_of(several: Sequence[Outline], plan: ActorPlan, cluster: Cluster, speeds: Speeds | None) -> Arm:
    """The arm of some trials, on the actors of a slot."""
    first, rehearsed = several[0], [each.rehearsed for each in several]
    rounds = first.info.rounds
    others = {place for place in plan.places if place != cluster.nodes[0].id}
    trial_s = client_bytes = gpu_bytes = None
    if speeds is not None:
        measured = [each.speed for each in several if each.speed is not None]
        client_bytes = speeds.process_bytes + WORKER_BYTES + max(speed.working_bytes for speed in measured)
        if plan.gpus:
            gpu_bytes = CONTEXT_BYTES + max(speed.device_bytes for speed in measured)
        if speeds.machine and all((speed.device == "cuda") == bool(plan.gpus) for speed in measured):
            trial_s = statistics.fmean(_seconds(r, s, plan) for r, s in zip(rehearsed, measured, strict=True))
    return Arm(
        scenario=first.info.scenario, grid=dict(first.info.grid), seeds=len(several), method=first.method,
        stack=first.stack, cohort=first.cohort, units=sum(load.units for load in first.rehearsed.loads) / rounds,
        rounds=rounds, bytes_down=tuple(each.bytes_down for each in rehearsed),
        bytes_up=tuple(each.bytes_up for each in rehearsed), exact=all(each.exact for each in rehearsed),
        unshared=any(each.unshared for each in rehearsed),
        link_bytes=len(others) * first.parameters * (FLOAT_BYTES + SUM_BYTES), client_bytes=client_bytes,
        gpu_bytes=gpu_bytes, gpus=plan.gpus, disk_bytes=sum(each.disk_bytes for each in several),
        parameters=first.parameters, round_s=None if trial_s is None else (trial_s - TRIAL_S) / rounds,
        trial_s=trial_s,
    )  # fmt: skip


def _seconds(found: Rehearsed, speed: Speed, actors: ActorPlan) -> float:
    """How long a trial takes on its actors."""
    work = sum(load.evaluations for load in found.loads) * speed.evaluation_s / actors.count**SPEED_EXPONENT
    for load, sample_s in zip(found.loads, speed.sample_s, strict=True):
        together = max(min(actors.count, load.units / load.rounds), 1.0) ** SPEED_EXPONENT
        work += load.samples * sample_s / together + load.rounds * MESSAGE_S * actors.count
    return TRIAL_S + work
