"""The plan of a study: what runs where, what it needs there, what travels, and how long it takes.

Cohorts, bytes and places follow from scenarios and cluster. Memory and time are of a machine that did a little of each
arm's work; of other machines they are as good as these are alike. Where nobody has measured they are None.
"""

import heapq
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from raysim.engine.nodes import Cluster
from raysim.engine.placement import (
    MESSAGE_S,
    SPEED_EXPONENT,
    ActorPlan,
    plan_actors,
    plan_evaluators,
    plan_slots,
)
from raysim.engine.room import unmet
from raysim.planning.outline import Outline, Ready, outline
from raysim.planning.rehearsal import Rehearsed
from raysim.planning.speed import Speed
from raysim.report.text import size
from raysim.scenario.trial import Trial
from raysim.simulation.traffic import FLOAT_BYTES

SUM_BYTES = 8
"""Of a number in a partial sum, on its way from a node to the server's."""
STUDY_S, TRIAL_S = 5.0, 0.7
"""What Ray takes to start, and a trial to begin and to end, about."""
SHARED_BYTES = 150_000_000
"""What processes of one machine share of the libraries that they have loaded, about."""
WORKER_BYTES = -20_000_000
"""What Ray adds to a process, about: 60 MB where it starts it, and where workers are forked, which share what was there
before, some 90 MB less than nothing. It lies between."""
SERVER_COPIES = 6
"""Of the networks that a server has at a time: new and old ones, sums in float64, those of the best round."""
OFF = 2.0
"""A time may be off by this factor."""


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
    disk_bytes: int
    parameters: int
    round_s: float | None
    trial_s: float | None


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
    """

    name: str
    servers: int
    clients: int
    evaluators: int
    gpus: float
    bytes: int | None
    memory_bytes: float | None


@dataclass(frozen=True)
class Plan:
    """A study before it starts.

    Attributes:
        cluster: in words.
        slots: trials at a time.
        actors: the client actors of a slot; of the arm that has most.
        arms: its arms.
        nodes: the use of each node.
        seconds: of the whole study, about; None where it is not known.
        machine: whose times these are; empty for none.
        bytes_down, bytes_up, link_bytes, disk_bytes: of all trials.
        link_rate: of the link to the server's node, bits/s; what is slower carries the sums twice, as Ray asks again
            meanwhile.
        remarks: what does not fit, and the setting to change.
    """

    cluster: str
    slots: int
    actors: ActorPlan
    arms: tuple[Arm, ...]
    nodes: tuple[Use, ...]
    seconds: float | None
    machine: str
    bytes_down: int
    bytes_up: int
    link_bytes: int
    disk_bytes: int
    link_rate: float
    remarks: tuple[str, ...] = ()


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


def plan_of(trials: Sequence[Trial], cluster: Cluster, speeds: Speeds | None = None, slots: int | None = None) -> Plan:
    """Plans a study.

    Args:
        trials: all of them, in their order.
        cluster: what it is to run on.
        speeds: of the machines that it has; memory and time are not known without.
        slots: trials at a time, where that is decided already.

    Raises:
        ScenarioError: a trial asks for something that its data, its method or the cluster cannot give.
        SpeedsError: there are no speeds of it.
        ClientFailure: the method's code raised.
    """
    groups: dict[tuple[str, ...], list[Outline]] = {}
    for trial in trials:
        found = _outlined(trial, len(trials), cluster, speeds)
        groups.setdefault(found.key, []).append(found)
    outlines = [each for several in groups.values() for each in several]
    if slots is None:
        wishes = {each.wish for each in outlines}
        slots = min(plan_slots(w.placement, w.width, len(trials), cluster, device=w.device) for w in wishes)
    plans = [plan_actors(w.placement, w.width, cluster, device=w.device, slots=slots)
             for w in (several[0].wish for several in groups.values())]  # fmt: skip
    arms = [_arm(several, plan, cluster, speeds) for several, plan in zip(groups.values(), plans, strict=True)]
    most = max(plans, key=lambda plan: plan.count)
    data = sum(dict(each.data for each in outlines).values())
    apart = Counter[str]()
    if most.gpus and any(each.apart for each in outlines):
        apart.update(node for slot in range(slots) for node in plan_evaluators(cluster, slots, slot))
    judges = int(any(each.judged for each in outlines))
    base = None if speeds is None else speeds.process_bytes
    nodes = _nodes(arms, most, slots, cluster, data, base, apart, judges)
    sums = slots * max(arm.link_bytes for arm in arms) * SUM_BYTES / (FLOAT_BYTES + SUM_BYTES)  # at the server's node
    seconds = _together([arm.trial_s for arm in arms for _ in range(arm.seeds)], slots)
    return Plan(
        cluster=str(cluster), slots=slots, actors=most, arms=tuple(arms), nodes=nodes, seconds=seconds,
        machine="" if speeds is None or seconds is None else speeds.machine,
        bytes_down=sum(sum(arm.bytes_down) for arm in arms), bytes_up=sum(sum(arm.bytes_up) for arm in arms),
        link_bytes=sum(arm.link_bytes * arm.rounds * arm.seeds for arm in arms),
        disk_bytes=sum(arm.disk_bytes for arm in arms),
        link_rate=8 * sums / cluster.asks_again_s, remarks=tuple(_misfits(nodes, slots, most)),
    )  # fmt: skip


def _outlined(trial: Trial, trials: int, cluster: Cluster, speeds: Speeds | None) -> Outline:
    ready = Ready.of(trial)
    if problem := unmet(ready.wish, trials, cluster, cores=False):
        raise trial.error("placement", problem)
    return outline(ready, None if speeds is None else speeds.of(ready))


def _arm(several: Sequence[Outline], plan: ActorPlan, cluster: Cluster, speeds: Speeds | None) -> Arm:
    first, rehearsed = several[0], [each.rehearsed for each in several]
    rounds = first.info.rounds
    others = {place for place in plan.places if place != cluster.nodes[0].id}
    trial_s = client_bytes = None
    if speeds is not None:
        measured = [each.speed for each in several if each.speed is not None]
        client_bytes = speeds.process_bytes + WORKER_BYTES + max(speed.working_bytes for speed in measured)
        if speeds.machine and all((speed.device == "cuda") == bool(plan.gpus) for speed in measured):
            trial_s = statistics.fmean(_seconds(r, s, plan) for r, s in zip(rehearsed, measured, strict=True))
    return Arm(
        scenario=first.info.scenario, grid=dict(first.info.grid), seeds=len(several), method=first.method,
        stack=first.stack, cohort=first.cohort, units=sum(load.units for load in first.rehearsed.loads) / rounds,
        rounds=rounds, bytes_down=tuple(each.bytes_down for each in rehearsed),
        bytes_up=tuple(each.bytes_up for each in rehearsed), exact=all(each.exact for each in rehearsed),
        unshared=any(each.unshared for each in rehearsed),
        link_bytes=len(others) * first.parameters * (FLOAT_BYTES + SUM_BYTES), client_bytes=client_bytes,
        disk_bytes=sum(each.disk_bytes for each in several), parameters=first.parameters,
        round_s=None if trial_s is None else (trial_s - TRIAL_S) / rounds, trial_s=trial_s,
    )  # fmt: skip


def _seconds(found: Rehearsed, speed: Speed, actors: ActorPlan) -> float:
    """How long a trial takes on its actors."""
    work = sum(load.evaluations for load in found.loads) * speed.evaluation_s / actors.count**SPEED_EXPONENT
    for load, sample_s in zip(found.loads, speed.sample_s, strict=True):
        together = max(min(actors.count, load.units / load.rounds), 1.0) ** SPEED_EXPONENT
        work += load.samples * sample_s / together + load.rounds * MESSAGE_S * actors.count
    return TRIAL_S + work


def _together(seconds: Sequence[float | None], slots: int) -> float | None:
    """How long all trials take, each on the slot that is free first."""
    ends = [STUDY_S] * slots
    for each in seconds:
        if each is None:
            return None
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def _nodes(
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
        found.append(Use(node.name, servers, count, evaluators, count * plan.gpus, used, node.memory_bytes))
    return tuple(found)


def _misfits(nodes: Iterable[Use], slots: int, actors: ActorPlan) -> Iterator[str]:
    """What does not fit, and the setting to change."""
    wide = {"placement.parallel_trials": slots > 1, "placement.actors": actors.count > 1}
    fewer = " or ".join(key for key, above in wide.items() if above)
    remedy = f"lower {fewer}" if fewer else "use a node with more, smaller networks (model) or less data (dataset)"
    for node in nodes:
        if node.memory_bytes is not None and (node.bytes or 0) > node.memory_bytes:
            there, needed = size(node.memory_bytes), size(node.bytes or 0)
            yield f"{node.name} has {there} of memory and {needed} would be needed; {remedy}"


def as_dict(plan: Plan) -> Mapping[str, Any]:
    """The plan as plain values."""
    return asdict(plan)
