"""The plan of a study: what runs where, what it needs there, what travels, and how long it takes.

Cohorts, bytes and places follow from scenarios and cluster. Memory and time are of this machine, measured by doing a
little of each arm's work; of other machines they are as good as these are alike.
"""

import heapq
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from raysim.data.arrays import SPLITS
from raysim.data.dataset import Dataset
from raysim.data.federated import Federated
from raysim.data.ragged import Ragged
from raysim.engine.nodes import Cluster
from raysim.engine.placement import MESSAGE_S, SPEED_EXPONENT, ActorPlan, plan_actors, plan_slots
from raysim.engine.room import Wish, unmet
from raysim.planning.rehearsal import Rehearsed, rehearse
from raysim.planning.speed import Speed, measured, own_bytes
from raysim.report.events import TrialInfo
from raysim.report.text import size
from raysim.scenario.trial import Trial
from raysim.simulation.prepare import prepare
from raysim.simulation.resolve import resolved
from raysim.simulation.rounds import cohort_size
from raysim.simulation.stacks import width_of
from raysim.simulation.traffic import FLOAT_BYTES
from raysim.training.job import Job

SUM_BYTES = 8
"""Of a number in a partial sum, on its way from a node to the server's."""
STUDY_S, TRIAL_S = 5.0, 0.7
"""What Ray takes to start, and a trial to begin and to end, about."""
SHARED_BYTES = 150_000_000
"""What processes of one machine share of the libraries that they have loaded, about."""
WORKER_BYTES = 60_000_000
"""What Ray adds to a process that it starts, about."""
SERVER_COPIES = 6
"""Of the networks that a server has at a time: new and old ones, sums in float64, those of the best round."""
LINE_BYTES = 80
"""Of a client in a line of metrics.jsonl, about."""
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
        exact: whether they are; else a most.
        link_bytes: between nodes, in a round.
        client_bytes: of a client process, its own.
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
    link_bytes: int
    client_bytes: int
    disk_bytes: int
    parameters: int
    round_s: float | None
    trial_s: float | None


@dataclass(frozen=True)
class Use:
    """What a node has to do and to hold.

    Attributes:
        name: the node's.
        servers, clients: processes of all slots, if they are dealt out as is planned.
        gpus: that the client actors ask for.
        bytes: of all processes of the study, and of Ray's store.
        memory_bytes: what there is; None where unknown.
    """

    name: str
    servers: int
    clients: int
    gpus: float
    bytes: int
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
        bytes_down, bytes_up, link_bytes, disk_bytes: of all trials.
        remarks: what one should know besides.
    """

    cluster: str
    slots: int
    actors: ActorPlan
    arms: tuple[Arm, ...]
    nodes: tuple[Use, ...]
    seconds: float | None
    bytes_down: int
    bytes_up: int
    link_bytes: int
    disk_bytes: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Ready:
    """A trial that could start: as it would run here, and what it asks of a cluster."""

    trial: Trial
    info: TrialInfo
    data: Federated
    wish: Wish

    @classmethod
    def of(cls, trial: Trial) -> "_Ready":
        """Without a GPU here one can still plan for some elsewhere."""
        prepared, scenario = prepare(trial), trial.scenario
        wish = Wish(scenario.placement, width_of(trial, prepared.data), scenario.numerics.device)
        cuda = torch.cuda.is_available()
        if scenario.numerics.device == "cuda" and not cuda:
            numerics = scenario.numerics.model_copy(update={"device": "auto"})
            scenario = scenario.model_copy(update={"numerics": numerics})
        cohort = cohort_size(scenario.federation, prepared.data.eligible)
        scenario = resolved(replace(trial, scenario=scenario), prepared.data.dataset, cohort, cuda=cuda)
        return cls(replace(trial, scenario=scenario), prepared.info, prepared.data, wish)

    @property
    def key(self) -> tuple[str, ...]:
        """What seeds have in common."""
        return (self.info.scenario, *(f"{name}={value}" for name, value in self.info.grid.items()))

    @property
    def cohort(self) -> int:
        """Clients in a round."""
        return cohort_size(self.trial.scenario.federation, self.data.eligible)

    def job(self) -> Job:
        """With new networks, which nobody keeps."""
        return Job(self.trial, self.data)


def plan_of(trials: Sequence[Trial], cluster: Cluster, *, here: bool) -> Plan:
    """Plans a study.

    Args:
        trials: all of them, in their order.
        cluster: what it is to run on.
        here: whether that is made of machines like this one, so that times measured here are of use.

    Raises:
        ScenarioError: a trial asks for something that its data, its method or the cluster cannot give.
        ClientFailure: the method's code raised.
    """
    base = own_bytes()
    ready = [_Ready.of(trial) for trial in trials]
    for each in ready:
        if problem := unmet(each.wish, len(ready), cluster, cores=False):
            raise each.trial.error("placement", problem)
    before = own_bytes()
    measured(ready[0].job(), ready[0].info)  # what libraries take when they are first used is every process's
    base += max(own_bytes() - before, 0)
    wishes = {each.wish for each in ready}
    slots = min(plan_slots(w.placement, w.width, len(ready), cluster, device=w.device) for w in wishes)
    groups: dict[tuple[str, ...], list[_Ready]] = {}
    for each in ready:
        groups.setdefault(each.key, []).append(each)
    plans = [plan_actors(w.placement, w.width, cluster, device=w.device, slots=slots)
             for w in (several[0].wish for several in groups.values())]  # fmt: skip
    arms = [_arm(several, plan, cluster, base, here=here) for several, plan in zip(groups.values(), plans, strict=True)]
    most = max(plans, key=lambda plan: plan.count)
    data = {id(each.data.dataset): each.data.dataset for each in ready}
    nodes = _nodes(arms, most, slots, cluster, sum(map(data_bytes, data.values())), base)
    return Plan(
        cluster=str(cluster), slots=slots, actors=most, arms=tuple(arms), nodes=nodes,
        seconds=_together([arm.trial_s for arm in arms for _ in range(arm.seeds)], slots),
        bytes_down=sum(sum(arm.bytes_down) for arm in arms), bytes_up=sum(sum(arm.bytes_up) for arm in arms),
        link_bytes=sum(arm.link_bytes * arm.rounds * arm.seeds for arm in arms),
        disk_bytes=sum(arm.disk_bytes for arm in arms), remarks=tuple(_remarks(nodes)),
    )  # fmt: skip


def _arm(several: Sequence[_Ready], plan: ActorPlan, cluster: Cluster, base: int, *, here: bool) -> Arm:
    first, job = several[0], several[0].job()
    speeds = [measured(each.job(), each.info) for each in several]  # seeds may hide much, or little
    rehearsed = [rehearse(each.job(), speed.shared) for each, speed in zip(several, speeds, strict=True)]
    loads, elements = rehearsed[0].loads, sum(job.layouts[name].size for name in job.shared)
    rounds = sum(load.rounds for load in loads)
    others = {place for place in plan.places if place != cluster.nodes[0].id}
    known = here and not (plan.gpus and job.device.type == "cpu")
    seconds = [_seconds(each, speed, plan) for each, speed in zip(rehearsed, speeds, strict=True)]
    trial_s = statistics.fmean(seconds) if known else None
    return Arm(
        scenario=first.info.scenario, grid=dict(first.info.grid), seeds=len(several),
        method=first.trial.scenario.method.name, stack=int(first.trial.scenario.numerics.stack), cohort=first.cohort,
        units=sum(load.units for load in loads) / rounds, rounds=rounds,
        bytes_down=tuple(each.bytes_down for each in rehearsed), bytes_up=tuple(each.bytes_up for each in rehearsed),
        exact=all(each.exact for each in rehearsed), link_bytes=len(others) * elements * (FLOAT_BYTES + SUM_BYTES),
        client_bytes=base + WORKER_BYTES + max(speed.working_bytes for speed in speeds),
        disk_bytes=len(several) * _disk(first, job, elements),
        parameters=elements, round_s=None if trial_s is None else (trial_s - TRIAL_S) / rounds, trial_s=trial_s,
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


def data_bytes(dataset: Dataset) -> int:
    """Of its inputs."""
    splits = (dataset.split(name) for name in SPLITS)
    found = (x.values if isinstance(x, Ragged) else x for split in splits for x in split.inputs.values())
    return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in found)


def _nodes(arms: Sequence[Arm], plan: ActorPlan, slots: int, cluster: Cluster, data: int, base: int) -> tuple[Use, ...]:
    """What each node holds when all slots are at work on the arm that needs most."""
    client = max(arm.client_bytes for arm in arms) - SHARED_BYTES
    server = base + WORKER_BYTES - SHARED_BYTES + SERVER_COPIES * FLOAT_BYTES * max(arm.parameters for arm in arms)
    places = plan.places or (cluster.nodes[0].id,) * plan.count
    found: list[Use] = []
    for number, node in enumerate(cluster.nodes):
        clients, servers = slots * places.count(node.id), slots if number == 0 else 0
        driver = base - SHARED_BYTES if number == 0 else 0
        used = SHARED_BYTES + data + driver + servers * server + clients * client if clients or servers else 0
        found.append(Use(node.name, servers, clients, clients * plan.gpus, used, node.memory_bytes))
    return tuple(found)


def _disk(ready: _Ready, job: Job, elements: int) -> int:
    """Of a trial: kept networks, predictions as float16, and its lines of metrics."""
    wish = ready.trial.scenario.evaluation
    rows = sum(len(view.mask) for view in ready.data.views.values())
    kept = FLOAT_BYTES * elements * (wish.keep_model != "none") + 2 * rows * job.task.classes * wish.predictions
    return kept + LINE_BYTES * ready.cohort * job.rounds


def _remarks(nodes: Iterable[Use]) -> Iterator[str]:
    for node in nodes:
        if node.memory_bytes is not None and node.bytes > node.memory_bytes:
            yield (
                f"{node.name} has {size(node.memory_bytes)} of memory and {size(node.bytes)} would be needed; lower "
                "placement.parallel_trials or placement.actors"
            )


def as_dict(plan: Plan) -> Mapping[str, Any]:
    """The plan as plain values."""
    return asdict(plan)
