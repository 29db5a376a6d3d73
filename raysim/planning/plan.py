"""The plan of a study: what runs where, what it needs there, what travels, and how long it takes.

Cohorts, bytes and places follow from scenarios and cluster. Memory and time are of this machine, measured by doing a
little of each arm's work; of other machines they are as good as these are alike.
"""

import heapq
import statistics
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from raysim.data.arrays import SPLITS
from raysim.data.dataset import Dataset
from raysim.data.ragged import Ragged
from raysim.engine.nodes import Cluster
from raysim.engine.placement import MESSAGE_S, SPEED_EXPONENT, ActorPlan, plan_actors, plan_slots
from raysim.planning.rehearsal import Rehearsed, rehearse
from raysim.planning.speed import Speed, measured, own_bytes
from raysim.report.events import TrialInfo
from raysim.report.text import size
from raysim.scenario.trial import Trial
from raysim.simulation.prepare import prepare
from raysim.simulation.resolve import PlacementError, resolved
from raysim.simulation.rounds import cohort_size
from raysim.simulation.stacks import units_of
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
    """A trial with its job here, and into how many parts one of its rounds can be cut."""

    trial: Trial
    info: TrialInfo
    job: Job
    width: int

    @property
    def key(self) -> tuple[str, ...]:
        """What seeds have in common."""
        return (self.trial.scenario.name, *(f"{name}={value}" for name, value in self.info.grid.items()))


def planned_study(trials: Sequence[Trial], cluster: Cluster, *, here: bool) -> Plan:
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
    ready = [_ready(trial) for trial in trials]
    before = own_bytes()
    measured(ready[0].job, ready[0].info)  # what libraries take when they are first used is every process's
    base += max(own_bytes() - before, 0)
    slots = min(_slots(r, len(ready), cluster) for r in ready)
    arms: dict[tuple[str, ...], list[_Ready]] = {}
    for each in ready:
        arms.setdefault(each.key, []).append(each)
    found, plans, seconds = list[Arm](), list[ActorPlan](), list[float | None]()
    for several in arms.values():
        actors = _actors(several[0], slots, cluster)
        arm = _arm(several, actors, cluster, base, here=here)
        found.append(arm)
        plans.append(actors)
        seconds += [arm.trial_s] * len(several)
    most = max(plans, key=lambda plan: plan.count)
    data = {id(r.job.data.dataset): r.job.data.dataset for r in ready}
    nodes = _nodes(found, most, slots, cluster, sum(map(data_bytes, data.values())), base)
    return Plan(
        cluster=str(cluster), slots=slots, actors=most, arms=tuple(found), nodes=nodes,
        seconds=_together(seconds, slots), bytes_down=sum(sum(a.bytes_down) for a in found),
        bytes_up=sum(sum(a.bytes_up) for a in found),
        link_bytes=sum(a.link_bytes * a.rounds * a.seeds for a in found),
        disk_bytes=sum(_disk(several) for several in arms.values()), remarks=tuple(_remarks(nodes)),
    )  # fmt: skip


def _ready(trial: Trial) -> _Ready:
    prepared, scenario = prepare(trial), trial.scenario
    cohort = cohort_size(scenario.federation, prepared.data.eligible)
    width = cohort if scenario.placement.clients_per_actor != "auto" else units_of(trial, prepared.data)
    cuda = torch.cuda.is_available()
    device = "auto" if cuda else "cpu"  # without a GPU here one can still plan for some elsewhere
    numerics = scenario.numerics.model_copy(update={"device": device} if scenario.numerics.device == "cuda" else {})
    used = replace(trial, scenario=scenario.model_copy(update={"numerics": numerics}))
    used = replace(used, scenario=resolved(used, prepared.data.dataset, cohort, cuda=cuda))
    return _Ready(trial, prepared.info, Job(used, prepared.data), width)


def _device(ready: _Ready) -> str:
    return ready.trial.scenario.numerics.device


def _slots(ready: _Ready, trials: int, cluster: Cluster) -> int:
    with _placed(ready.trial):
        return plan_slots(ready.trial.scenario.placement, ready.width, trials, cluster, device=_device(ready))


def _actors(ready: _Ready, slots: int, cluster: Cluster) -> ActorPlan:
    with _placed(ready.trial):
        return plan_actors(ready.trial.scenario.placement, ready.width, cluster, device=_device(ready), slots=slots)


@contextmanager
def _placed(trial: Trial) -> Generator[None]:
    """Says which scenario does not fit."""
    try:
        yield
    except PlacementError as error:
        raise trial.error("placement", str(error)) from error


def _arm(several: Sequence[_Ready], actors: ActorPlan, cluster: Cluster, base: int, *, here: bool) -> Arm:
    first, job = several[0], several[0].job
    speed = measured(job, first.info)
    rehearsed = [rehearse(r.job, speed.shared) for r in several]
    rounds = sum(load.rounds for load in rehearsed[0].loads)
    sizes = [job.layouts[name].size for name in job.shared]
    others = {place for place in actors.places if place != cluster.nodes[0].id}
    known = here and not (actors.gpus and job.device.type == "cpu")
    trial_s = statistics.fmean([_seconds(r, speed, actors) for r in rehearsed]) if known else None
    return Arm(
        scenario=first.trial.scenario.name, grid=dict(first.info.grid), seeds=len(several),
        method=first.trial.scenario.method.name, stack=int(job.scenario.numerics.stack),
        cohort=cohort_size(job.scenario.federation, job.data.eligible), rounds=rounds,
        units=sum(load.units for load in rehearsed[0].loads) / rounds,
        bytes_down=tuple(r.bytes_down for r in rehearsed), bytes_up=tuple(r.bytes_up for r in rehearsed),
        exact=all(r.exact for r in rehearsed), link_bytes=len(others) * sum(sizes) * (FLOAT_BYTES + SUM_BYTES),
        client_bytes=base + WORKER_BYTES + speed.working_bytes, parameters=sum(sizes),
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


def _disk(several: Sequence[_Ready]) -> int:
    """Kept networks and two checkpoints a trial, predictions, and about 80 bytes a client and round."""
    total = 0
    for ready in several:
        job, wish = ready.job, ready.trial.scenario.evaluation
        weights = FLOAT_BYTES * sum(job.layouts[name].size for name in job.shared)
        rows = sum(len(view.mask) for view in job.data.views.values())
        cohort = cohort_size(job.scenario.federation, job.data.eligible)
        total += weights * (wish.keep_model != "none") + 2 * rows * job.task.classes * wish.predictions
        total += LINE_BYTES * cohort * job.rounds
    return total


def _remarks(nodes: Sequence[Use]) -> Iterator[str]:
    for node in nodes:
        if node.memory_bytes is not None and node.bytes > node.memory_bytes:
            yield (
                f"{node.name} has {size(node.memory_bytes)} of memory and {size(node.bytes)} would be needed; lower "
                "placement.parallel_trials or placement.actors"
            )


def as_dict(plan: Plan) -> dict[str, Any]:
    """The plan as plain values, for plan.json."""
    return asdict(plan)
