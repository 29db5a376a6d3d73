"""The server actor of a slot: owns its client actors, runs trials one after another, and answers short calls."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayError

from raysim.data.effective import effective
from raysim.data.federated import Federated
from raysim.engine.apart import Apart
from raysim.engine.client import settle
from raysim.engine.heap import trim
from raysim.engine.placement import ActorPlan, enlarged
from raysim.engine.pool import ClientPool
from raysim.engine.shipping import Code
from raysim.engine.states import StateLost, fetched
from raysim.engine.voices import Ear, Voices
from raysim.report.events import Event, RoundFinished, TrialFailed, TrialFinished, TrialInfo
from raysim.scenario.trial import Trial
from raysim.simulation.executor import Executor
from raysim.simulation.faults import STATE_LOST, STORE_FULL, Stalled, TrialLost
from raysim.simulation.resolve import PlacementError, on_cpu, resolved
from raysim.simulation.rounds import cohort_size, kept_bytes
from raysim.simulation.simulation import Simulation
from raysim.simulation.snapshot import Snapshot, SnapshotError
from raysim.training.job import Job
from raysim.training.results import ClientFailure

CLIENTS, EVALUATORS = "clients", "evaluators"


@dataclass(frozen=True)
class Started:
    """A trial is under way: its settings as they will be used, a line about it, and what is missing in effect."""

    trial: Trial
    actors: int
    plan: str
    hidden: str = ""


@dataclass(frozen=True)
class Advanced:
    """What happened, in order, and the trial's newest snapshot if one was due."""

    events: list[Event]
    snapshot: Snapshot | None

    @property
    def ended(self) -> bool:
        """Whether the last event is the trial's end; nothing comes after that."""
        return bool(self.events) and isinstance(self.events[-1], TrialFinished | TrialFailed)


class Server:
    """Drives one trial at a time, a little at each call of `advance`, so that the driver never waits for long."""

    def __init__(self, code: Code) -> None:
        code.arrive()
        self._code = code
        self._pools: dict[str, ClientPool] = {}
        self._events: Iterator[Event | None] = iter(())
        self._simulation: Simulation | None = None
        self._info: TrialInfo | None = None
        self._ear, self._voices = Ear(), Voices()

    def start(
        self, trial: Trial, info: TrialInfo, data: Sequence[Any], plan: ActorPlan, snapshot: Snapshot | None,
        *, fewer: bool = False,
    ) -> Started | TrialFailed:  # fmt: skip
        """Gets the client actors ready for a trial; those of the last one are used again where the plan is the same.

        Args:
            trial: what to run.
            info: the trial as events name it.
            data: references to the dataset, to the arrays that deal it out and, maybe, to judges.
            plan: the client actors.
            snapshot: what to go on from; None at the beginning.
            fewer: whether to go on with those client actors that start in time.

        Raises:
            TrialLost: it did not work out, and may another time.
            RayError: likewise.
        """
        placement, self._voices = trial.scenario.placement, Voices()
        if not plan.evaluators:
            self._close(EVALUATORS)  # their cores may be needed
        try:
            pool = self._warm(plan, placement.start_timeout_s, fewer=fewer)
            dataset, parts, *judges = ray.get(list(data), timeout=placement.start_timeout_s)
            federated = Federated(dataset, **parts)
            cohort = cohort_size(trial.scenario.federation, federated.eligible)
            trial = replace(trial, scenario=resolved(trial, dataset, cohort, cuda=pool.cuda))
            with self._ear.listening():
                job = Job(trial, federated, *judges)
            simulation = Simulation(job, self._ready(pool, job, data, fewer=fewer), info, snapshot)
            if pool.cuda and placement.gpus_per_client == "auto":
                measured = pool.measure(*simulation.largest_unit(), placement.unit_timeout_s)
                if (larger := enlarged(plan, *measured)) != plan:
                    plan, pool = larger, self._warm(larger, placement.start_timeout_s, fewer=fewer)
                    simulation = Simulation(job, self._ready(pool, job, data, fewer=fewer), info, snapshot)
        except (PlacementError, Stalled, SnapshotError) as error:
            self._close()
            return TrialFailed(info, str(error))
        except ClientFailure as failure:
            return TrialFailed(info, str(failure), failure.details)
        except (TrialLost, RayError):
            raise
        except Exception as error:  # noqa: BLE001 - a method's own code may raise anything
            failure = ClientFailure.of(error, (), 0, "start")
            return TrialFailed(info, failure.reason, failure.details)
        settle()
        self._info, self._simulation = info, simulation
        self._events = simulation.run()
        said = lack(trial, federated), str(federated.held or "")
        return Started(trial, pool.count, told(job, plan, pool.count, cohort), "; ".join(filter(None, said)))

    def advance(self, budget_s: float, cost_s: float, more: ActorPlan | None = None) -> Advanced:
        """Goes on for a while; TrialFinished or TrialFailed is the end, after which nothing happens.

        Args:
            budget_s: for about how long. It stops where the client actors are at work, so that what is told travels
                meanwhile; at the latest after twice as long.
            cost_s: how long the last snapshot took to write.
            more: the client actors for which there is room by now, where a node has joined.

        Raises:
            TrialLost: the trial must go on from its last checkpoint.
            RayError: likewise.
        """
        stop_s = time.monotonic() + budget_s
        events: list[Event] = []
        assert self._simulation is not None, "start comes first"
        self._simulation.cadence.cost_s = cost_s
        if more is not None and CLIENTS in self._pools:
            self._pools[CLIENTS].grow(more)
        try:
            with self._ear.listening():
                for event in self._events:
                    if event is not None:
                        events.append(event)
                    if (now := time.monotonic()) > stop_s and (event is None or now > stop_s + budget_s):
                        break
        except ClientFailure as failure:
            events.append(self._failed(str(failure), failure.details))
        except Stalled as error:
            events.append(self._failed(str(error)))
        except (ObjectStoreFullError, OutOfDiskError):
            events.append(self._failed(STORE_FULL))
        except (TrialLost, RayError):
            raise
        except Exception as error:  # noqa: BLE001 - an algorithm's or method's own code may raise anything
            failure = ClientFailure.of(error, (), 0, "server")
            events.append(self._failed(failure.reason, failure.details))
        return Advanced(self._with_said(events), self._snapshot(self._simulation))

    def _with_said(self, events: list[Event]) -> list[Event]:
        """The events with what was printed meanwhile, before the end. Where rounds are long, freed memory goes back."""
        if not any(isinstance(event, RoundFinished) for event in events):
            trim()
        ended = events[-1:] if Advanced(events, None).ended else []
        said = self._voices.tell("server", self._ear.take())
        return [*events[: len(events) - len(ended)], *said, *ended]

    def _snapshot(self, simulation: Simulation) -> Snapshot | None:
        """The newest one that is due, with its clients' states themselves."""
        snapshot, simulation.snapshot = simulation.snapshot, None
        if snapshot is None:
            return None
        try:
            clients = fetched(snapshot.clients, simulation.job.scenario.placement.unit_timeout_s)
        except StateLost as error:
            raise TrialLost(STATE_LOST) from error
        return replace(snapshot, clients=clients)

    def _failed(self, error: str, details: str = "") -> TrialFailed:
        self._events = iter(())
        self._close()  # its client actors may be at work on this trial still, or stuck
        assert self._info is not None, "start comes first"
        return TrialFailed(self._info, error, details)

    def _warm(self, plan: ActorPlan, timeout_s: float, *, fewer: bool, role: str = CLIENTS) -> ClientPool:
        """Actors of a plan: those that there are, where they fit it."""
        if role in self._pools and not self._pools[role].fits(plan):
            self._pools.pop(role).close()
        if role not in self._pools:
            self._pools[role] = ClientPool(plan, self._code, timeout_s, fewer=fewer)
        return self._pools[role]

    def _ready(self, pool: ClientPool, job: Job, data: Sequence[Any], *, fewer: bool) -> Executor:
        """Client actors that are ready for a trial, and those beside them that evaluate."""
        timeout_s, places = job.scenario.placement.start_timeout_s, pool.plan.evaluators
        clients = pool.prepare(job.trial, data, timeout_s, job)
        if not places:
            return clients
        plan = ActorPlan(len(places), 1.0, 0.0, places)
        evaluators = self._warm(plan, timeout_s, fewer=fewer, role=EVALUATORS)
        return Apart(clients, evaluators.prepare(on_cpu(job.trial), data, timeout_s))

    def _close(self, *roles: str) -> None:
        """Ends some actors, or all."""
        for role in roles or tuple(self._pools):
            if role in self._pools:
                self._pools.pop(role).close()


def told(job: Job, plan: ActorPlan, count: int, cohort: int) -> str:
    """A line about a trial that begins with some client actors."""
    numerics, actors = job.scenario.numerics, f"{count} actor{'s' if count > 1 else ''}"
    line = f"{job.data.clients} clients on {actors}, stack {numerics.stack}, {numerics.device}"
    if plan.gpus:
        line += f", {plan.gpus:g} GPU each"
    if plan.evaluators:
        line += f", evaluated by {len(plan.evaluators)} on CPUs"
    if kept := kept_bytes(job, cohort):
        line += f"; the server holds every client's change, up to {kept / 1e6:,.3g} MB in a round"
    if job.obstacle:
        line += f"; one client after another: {job.obstacle}"
    return line


def lack(trial: Trial, data: Federated) -> str:
    """What is missing in effect, and whether the method makes nothing of it; empty where nothing is."""
    hidden = effective(trial.scenario.missing, data.hidden, data.lacking)
    undone = hidden and (data.mask == data.dataset.train.presence(data.dataset.names)).all()
    return f"{hidden}; {trial.scenario.method.name} undoes that, so other rates train the same" if undone else hidden
