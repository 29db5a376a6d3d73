"""The plan of a study: what runs where, what it needs there, what travels, and how long it takes.

Cohorts, bytes and places follow from scenarios and cluster. Memory and time are of a machine that did a little of each
arm's work; of other machines they are as good as these are alike. Where nobody has measured they are None.
"""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raysim.engine.nodes import Cluster
from raysim.engine.placement import ActorPlan, plan_evaluators, plan_slots
from raysim.engine.room import unmet
from raysim.planning.arms import SUM_BYTES, Arm, Speeds, actors_of, arm_of
from raysim.planning.outline import Outline, Ready, outline
from raysim.planning.use import Use, misfits, uses
from raysim.scenario.trial import Trial
from raysim.simulation.traffic import FLOAT_BYTES

STUDY_S = 5.0
"""What Ray takes to start, about."""
OFF = 2.0
"""A time may be off by this factor."""


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
    plans = [actors_of(several, cluster, slots) for several in groups.values()]
    arms = [arm_of(several, plan, cluster, speeds) for several, plan in zip(groups.values(), plans, strict=True)]
    most = max(plans, key=lambda plan: plan.count)
    data = sum(dict(each.data for each in outlines).values())
    apart = Counter[str]()
    if most.gpus and any(each.apart for each in outlines):
        apart.update(node for slot in range(slots) for node in plan_evaluators(cluster, slots, slot))
    judges = int(any(each.judged for each in outlines))
    base = None if speeds is None else speeds.process_bytes
    nodes = uses(arms, most, slots, cluster, data, base, apart, judges)
    sums = slots * max(arm.link_bytes for arm in arms) * SUM_BYTES / (FLOAT_BYTES + SUM_BYTES)  # at the server's node
    seconds = _together([arm.trial_s for arm in arms for _ in range(arm.seeds)], slots)
    return Plan(
        cluster=str(cluster), slots=slots, actors=most, arms=tuple(arms), nodes=nodes, seconds=seconds,
        machine="" if speeds is None or seconds is None else speeds.machine,
        bytes_down=sum(sum(arm.bytes_down) for arm in arms), bytes_up=sum(sum(arm.bytes_up) for arm in arms),
        link_bytes=sum(arm.link_bytes * arm.rounds * arm.seeds for arm in arms),
        disk_bytes=sum(arm.disk_bytes for arm in arms),
        link_rate=8 * sums / cluster.asks_again_s, remarks=tuple(misfits(nodes, arms, slots, most)),
    )  # fmt: skip


def _outlined(trial: Trial, trials: int, cluster: Cluster, speeds: Speeds | None) -> Outline:
    ready = Ready.of(trial)
    if problem := unmet(ready.wish, trials, cluster, cores=False):
        raise trial.error("placement", problem)
    return outline(ready, None if speeds is None else speeds.of(ready))


def _together(seconds: Sequence[float | None], slots: int) -> float | None:
    """How long all trials take, each on the slot that is free first."""
    ends = [STUDY_S] * slots
    for each in seconds:
        if each is None:
            return None
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def as_dict(plan: Plan) -> Mapping[str, Any]:
    """The plan as plain values."""
    return asdict(plan)
