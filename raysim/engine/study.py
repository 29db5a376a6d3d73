"""The driver of a study: checks every trial before anything starts, then runs them on Ray, some side by side.

One thread waits for the servers of all slots, hands out trials and tells the sinks, which are so the only writers.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysim.aside import aside
from raysim.data.record import table
from raysim.data.summary import dealt
from raysim.engine.allotment import Allotment
from raysim.engine.beginnings import Beginnings
from raysim.engine.environment import ClusterLost
from raysim.engine.heap import give_back, trim
from raysim.engine.likeness import Neighbours
from raysim.engine.needs import compared
from raysim.engine.nodes import Cluster
from raysim.engine.pace import BUDGET_S
from raysim.engine.placement import SHORT_ROUND_S, ActorPlan
from raysim.engine.resources import Usage
from raysim.engine.server import Server, Started
from raysim.engine.session import cluster
from raysim.engine.shipping import Code
from raysim.engine.slot import Beginning, Slot, Work
from raysim.engine.supply import Supply
from raysim.engine.task import Task
from raysim.engine.watch import Check, always_there, watching
from raysim.report.events import (
    Doing,
    Event,
    RoundFinished,
    Sink,
    StudyFinished,
    StudyPlanned,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    Warned,
)
from raysim.report.files import finished, packed
from raysim.report.live.again import look
from raysim.report.reading.folder import STUDY, asked_to_stop
from raysim.report.reading.folders import read
from raysim.report.reading.urls import shown
from raysim.scenario.check import import_paths
from raysim.scenario.errors import one_line
from raysim.scenario.trial import Trial
from raysim.simulation.keeper import Keeper
from raysim.simulation.prepare import forget, prepare
from raysim.simulation.resolve import PlacementError
from raysim.simulation.snapshot import Snapshot

_ray: Any = ray  # only partly typed
Planner = Callable[[Sequence[Trial], Cluster, int], StudyPlanned]
"""From trials, a cluster and the number of slots to what the study will take."""
RESOURCES_EVERY_S = 2.0
PATIENCE_S = 0.5
"""What is wrong with data that is read by then is said at once; Ray starts while more is read."""
ROUNDS_LOOKED_AT = 3
"""The first of them warms up; their shortest says how long rounds are."""
PLAN_S = 30.0
"""So long a study that is over waits for its plan."""
HEAD_START_S = 15.0
"""So long the first slot may have the machine to itself until its first round is over: something is seen soon."""


def run_study(
    trials: Sequence[Trial], *, out: Path, address: str | None, sinks: Sequence[Sink], again: str = "",
    wait_s: float = 0.0, planner: Planner | None = None,
) -> int:  # fmt: skip
    """Runs trials and tells the sinks; those that the folder has finished already are only told.

    Args:
        trials: what to run; they begin in this order.
        out: the study's folder.
        address: a Ray cluster's, or None for a local one.
        sinks: where events go; closed at the end.
        again: the command to go on with the study when it was stopped.
        wait_s: how long to wait for room on the cluster; see `Study.find_room`.
        planner: is asked, while the study begins, what it will take.

    Returns:
        The exit status: 0 all finished, 1 a trial failed, 130 interrupted.

    Raises:
        ScenarioError: a trial asks for something that its data, its method or the cluster cannot give; nothing has
            started then.
        NoCluster: Ray cannot be reached or started, or a node would run something else than this process.
        ClusterLost: the cluster has gone; what was reached is kept.
        OSError: results cannot be written.
        KeyboardInterrupt: it was stopped before anything could be reported.
    """
    tasks = aside(lambda: [Task.of(i, trial) for i, trial in enumerate(trials)])
    try:
        if not wait([tasks], timeout=PATIENCE_S).not_done:
            tasks.result()  # raises what is wrong with them
        ours = address is None and not ray.is_initialized()
        paths = tuple(dict.fromkeys(path for trial in trials for path in import_paths(trial)))
        with cluster(address) as found, watching(address, again) as check:
            here: str = ray.get_runtime_context().get_node_id()
            code, neighbours = Code(paths), None
            server = start_server(code, here) if ours else None  # it imports what it needs while the data is read
            if not tasks.done():
                for sink in sinks:
                    sink.handle(Doing("reading the data"))
            while wait([tasks], timeout=BUDGET_S).not_done:
                stop_where_asked(out)
                check()
            checked = tasks.result()
            if not ours:
                code, neighbours = compared(paths, trials)
            study = Study(
                checked, out, sinks, cluster=found, here=here, server=server, again=again, code=code,
                neighbours=neighbours,
            )  # fmt: skip
            study.check, study.planner = check, planner
            return study.all_trials(wait_s)
    finally:
        forget()
        for sink in sinks:
            sink.close()


def stop_where_asked(out: Path) -> None:
    """As Ctrl-C, where `raysim stop` has asked for it.

    Raises:
        KeyboardInterrupt: it has.
    """
    if asked_to_stop(out):
        raise KeyboardInterrupt


def start_server(code: Code, here: str) -> Any:
    """Starts a server actor: beside the driver, where nothing is gained by outliving it, and nowhere else."""
    strategy = NodeAffinitySchedulingStrategy(here, soft=False) if here else "DEFAULT"
    return _ray.remote(Server).options(num_cpus=0, scheduling_strategy=strategy).remote(code)


class Study:
    """A study under way.

    Args:
        tasks: its trials.
        out: its folder.
        sinks: where events go.
        cluster: what it has at first.
        here: this node.
        server: the first slot's, if it is started already.
        again: the command to go on with it.
        code: what its processes import besides the installed packages.
        neighbours: the cluster's nodes, where it is not ours.
    """

    def __init__(
        self, tasks: Sequence[Task], out: Path, sinks: Sequence[Sink], *, cluster: Cluster, here: str = "",
        server: Any = None, again: str = "", code: Code | None = None, neighbours: Neighbours | None = None,
    ) -> None:  # fmt: skip
        self.tasks, self.out, self.sinks, self.again = tasks, out, sinks, again
        self.queue = deque(tasks)
        self.keeper = Keeper(out)
        self.finished = self.failed = 0
        self.seen, self.rounds = False, 0
        self.round_s: float | None = math.inf
        self.slots: list[Slot] = []
        self.short = False
        self.here, self.server, self.code = here, server, code or Code()
        self.allotment = Allotment(tasks, cluster, neighbours, self.tell)
        self.supply = Supply(here, self.tell)
        self.beginnings = Beginnings(out, self.keeper, self.code, self.tell)
        self.check: Check = always_there
        self.planner: Planner | None = None
        self.foreseen: Future[StudyPlanned] | None = None
        self.usage = Usage(RESOURCES_EVERY_S)
        self.forgetful = {
            (t.info.scenario, t.info.name) for t in tasks if not t.trial.scenario.federation.checkpoint.at_end
        }  # fmt: skip

    def all_trials(self, wait_s: float = 0.0) -> int:
        """Runs all trials on the slots that the cluster has room for; returns the exit status.

        Raises:
            ClusterLost: it has gone; the sinks have heard of the end.
            ScenarioError: there is none, also not after a wait.
        """
        earlier, others = self.finished_earlier(), self.left_out()
        if self.queue:
            self.allotment.find_room(self.queue, wait_s, lambda: stop_where_asked(self.out))
        began, interrupted, lost = time.monotonic(), False, None
        self.slots = [Slot(self) for _ in range(self.allotment.slots())]
        several = f", {len(self.slots)} trials at a time" if len(self.slots) > 1 else ""
        infos = (*(task.info for task in self.tasks), *(event.trial for event in others))
        self.tell(StudyStarted(infos, shown(self.out), f"{self.allotment.cluster}{several}", len(self.slots)))
        for event in (*earlier, *others):
            self.tell(event)
        if self.queue:
            self.tell(Doing("starting client actors"))
        try:
            self.drive(began + HEAD_START_S)
            self.tell_plan(ended=True)
        except KeyboardInterrupt:
            interrupted = True
        except ClusterLost as error:
            interrupted, lost = True, error
            self.tell(Warned(str(error)))
        seconds = time.monotonic() - began
        then = self.again if interrupted else look(self.out)
        self.tell(StudyFinished(self.finished, self.failed, seconds, interrupted=interrupted, then=then))
        if lost is not None:
            raise lost
        return 130 if interrupted else int(self.failed > 0)

    def foresee(self) -> None:
        """Begins to plan aside, once: nothing waits for it before the end."""
        planner, self.planner = self.planner, None
        if planner is not None:
            trials, found, slots = [task.trial for task in self.tasks], self.allotment.cluster, len(self.slots)
            self.foreseen = aside(lambda: planner(trials, found, slots))

    def tell_plan(self, *, ended: bool = False) -> None:
        """Tells what the study will take once that is known; without it the study goes on, and says so."""
        if self.foreseen is None or not (ended or self.foreseen.done()):
            return
        foreseen, self.foreseen = self.foreseen, None
        if wait([foreseen], PLAN_S).not_done:
            self.tell(Warned(f"there is no plan: it was not done {PLAN_S:g} s after the study"))
            return
        error = foreseen.exception()
        self.tell(foreseen.result() if error is None else Warned(f"there is no plan: {one_line(str(error))}"))

    def finished_earlier(self) -> list[TrialFinished]:
        """The trials that an earlier run has finished; takes them off the queue."""
        found = {task.index: finished(self.out, task.info) for task in self.tasks}
        self.queue = deque(task for task in self.tasks if found[task.index] is None)
        self.allotment.trials = max(len(self.queue), 1)
        return [TrialFinished(t.info, s, earlier=True) for t in self.tasks if (s := found[t.index]) is not None]

    def left_out(self) -> list[TrialFinished]:
        """The trials that an earlier run of the same study has finished, and that this one does not have."""
        if not (self.out / STUDY).exists():
            return []
        ours = {(task.info.scenario, task.info.name) for task in self.tasks}
        found = read([self.out]).results.ordered
        return [TrialFinished(t, s, earlier=True) for t, s in found if (t.scenario, t.name) not in ours]

    def drive(self, head_start_ends: float) -> None:
        """Until no trial is left: gives free slots work, and takes to each slot the answer that it waits for."""
        while True:
            stop_where_asked(self.out)
            self.check()
            self.tell_plan()
            self.widen()
            self.grow()
            alone = not self.seen and time.monotonic() < head_start_ends
            for slot in self.slots[:1] if alone else self.slots:
                while slot.reference is None and self.queue:
                    self.hand(slot, self.queue.popleft())
            busy = [slot for slot in self.slots if slot.reference is not None]
            if not busy:
                return
            waiting = [(slot, slot.reference) for slot in busy]
            references = list(dict.fromkeys(reference for _, reference in waiting))  # several may wait for one's judges
            _ray.wait(references, timeout=BUDGET_S)
            ready, _ = _ray.wait(references, num_returns=len(references), timeout=0)
            for slot, reference in waiting:
                if reference in ready:
                    self.deliver(slot, reference)
                else:
                    slot.check_time(time.monotonic())
            if (usage := self.usage.now()) is not None:
                self.tell(usage)
                trim()  # large answers have come and gone

    def widen(self) -> None:
        """Once some rounds are over: if they are short, more trials run at a time."""
        if self.round_s is None or self.rounds < ROUNDS_LOOKED_AT:
            return
        self.short, self.round_s = self.round_s < SHORT_ROUND_S, None
        if self.short:
            self.slots += [Slot(self) for _ in range(self.allotment.slots(short=True) - len(self.slots))]

    def grow(self) -> None:
        """Where a node has joined, more trials may run at a time, and those under way may have more client actors."""
        if not self.allotment.grown():
            return
        if len(self.allotment.cluster.nodes) > 1:
            self.supply.spread()
        self.slots += [Slot(self) for _ in range(self.room_for_slots())]
        for slot in self.slots:
            if slot.reference is not None and slot.work is not None:
                with suppress(PlacementError):  # of a part of the cluster that is left; the trial goes on as it is
                    slot.more = self.plan(slot.work)

    def room_for_slots(self) -> int:
        """How many more there can be beside the trials under way, which keep the client actors that they have."""
        known, busy = len(self.slots), [slot for slot in self.slots if slot.reference is not None]
        most = min(self.allotment.slots(short=self.short), known + len(self.queue))
        for slots in range(most, known, -1):
            with suppress(PlacementError):
                plans = [self.plan(slot.work, slots) for slot in busy if slot.work is not None]
                if all(plan.count >= slot.actors for plan, slot in zip(plans, busy, strict=True)):
                    return slots - known
        return 0

    def hand(self, slot: Slot, task: Task) -> None:
        """Gives a trial to a slot."""
        data = prepare(task.trial).data
        references = self.supply.data(task.trial, task.index, data, alone=len(self.allotment.cluster.nodes) == 1)
        judges = self.supply.judges(task.trial)
        references += [] if judges is None else [judges]
        rows = packed(table(data))
        shown, place = dealt(data), self.slots.index(slot)
        slot.begin(Work(task.trial, task.info, task.index, data.clients, references, judges, shown, rows, place))
        self.foresee()

    def deliver(self, slot: Slot, reference: Any) -> None:
        """Takes an answer to the slot that waits for it."""
        try:
            answer = _ray.get(reference)
        except RayError as error:
            self.check(closely=True)
            slot.fail(error)
        else:
            slot.answer(answer)

    def new_server(self) -> Any:
        """Starts a server actor, if there is none that nobody uses yet."""
        server, self.server = self.server, None
        return server or start_server(self.code, self.here)

    def end_server(self, server: Any) -> None:
        """Ends one, and with it its client actors."""
        _ray.kill(server)

    def plan(self, work: Work, slots: int | None = None) -> ActorPlan:
        """The client actors of a trial, where there are so many slots; as many as there are if not given.

        Raises:
            PlacementError: the cluster has no room for them by now.
        """
        bound = self.supply.binds(work.index)
        return self.allotment.plan(self.tasks[work.index], work.slot, slots or len(self.slots), bound=bound)

    def beginning(self, work: Work) -> Beginning:
        """How a trial begins: from its newest checkpoint, where there is one."""
        return self.beginnings.of(work, self.plan(work))

    def begun(self, work: Work, beginning: Beginning, started: Started) -> None:
        """A trial is under way: writes its settings as they are used, and tells."""
        give_back()
        self.beginnings.write(work, started, self.supply.digest(work.trial))
        self.tell(
            TrialStarted(
                work.info, work.index, work.clients, started.actors, started.plan, beginning.done, started.hidden
            )
        )

    def save(self, work: Work, started: Started, snapshot: Snapshot) -> float:
        """Writes a checkpoint; returns the seconds that it took."""
        began = time.monotonic()
        if (event := self.keeper.save(started.trial, work.info, snapshot)) is not None:
            self.tell(event)
        return time.monotonic() - began

    def tell(self, event: Event) -> None:
        """Tells the sinks; what a finished trial needed to go on is removed after that."""
        if isinstance(event, TrialFinished) and not event.earlier:
            event = replace(
                event,
                summary={
                    **event.summary,
                    "checkpoint_s": round(self.keeper.seconds(event.trial), 3),
                    "origin": self.beginnings.origin(event.trial),
                },
            )
        self.finished += isinstance(event, TrialFinished)
        self.failed += isinstance(event, TrialFailed)
        self.seen = self.seen or isinstance(event, RoundFinished | TrialFinished | TrialFailed)
        if isinstance(event, RoundFinished) and self.round_s is not None:
            self.rounds, self.round_s = self.rounds + 1, min(self.round_s, event.record["train_s"])
        for sink in self.sinks:
            sink.handle(event)
        if isinstance(event, TrialFinished) and (event.trial.scenario, event.trial.name) in self.forgetful:
            self.keeper.end(event.trial)
