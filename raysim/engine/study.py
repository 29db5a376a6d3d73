"""The driver of a study: checks every trial before anything starts, then runs them on Ray, some side by side.

One thread waits for the servers of all slots, hands out trials and tells the sinks, which are so the only writers.
"""

import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysim import registry
from raysim.aside import aside
from raysim.data.dataset import in_memory, maps_files
from raysim.data.digest import data_digest
from raysim.data.federated import Federated
from raysim.data.record import table
from raysim.data.remarks import remarks
from raysim.data.summary import dealt
from raysim.disk import write
from raysim.engine.environment import ClusterLost
from raysim.engine.heap import give_back
from raysim.engine.judging import learning
from raysim.engine.likeness import Neighbours
from raysim.engine.membership import Membership
from raysim.engine.needs import compared
from raysim.engine.nodes import Cluster
from raysim.engine.origin import VERSIONS, code_digests, own_code
from raysim.engine.placement import SHORT_ROUND_S, ActorPlan, plan_actors, plan_evaluators, plan_slots
from raysim.engine.resources import Usage
from raysim.engine.room import Wish, await_room
from raysim.engine.server import Server, Started
from raysim.engine.session import cluster, company, seen
from raysim.engine.shipping import Code
from raysim.engine.slot import BUDGET_S, Beginning, Slot, Work
from raysim.engine.states import handed_out
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
    TrialInfo,
    TrialStarted,
    Warned,
)
from raysim.report.files import finished, packed, rounds_done
from raysim.report.live.again import look
from raysim.report.reading.folder import STUDY, asked_to_stop
from raysim.report.reading.folders import read
from raysim.report.reading.urls import shown
from raysim.scenario.check import import_paths
from raysim.scenario.errors import one_line
from raysim.scenario.model import CODE
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Trial, dump
from raysim.simulation.checkpoint import Found
from raysim.simulation.extension import misfit
from raysim.simulation.keeper import Keeper, as_resolved
from raysim.simulation.loaded import data_key
from raysim.simulation.prepare import forget, instead, prepare
from raysim.simulation.resolve import PlacementError
from raysim.simulation.snapshot import Snapshot
from raysim.simulation.stacks import width_of
from raysim.training.job import method_of, task_of

_ray: Any = ray  # only partly typed
Planner = Callable[[Sequence[Trial], Cluster, int], StudyPlanned]
"""From trials, a cluster and the number of slots to what the study will take."""
RESOURCES_EVERY_S = 2.0
PATIENCE_S = 0.5
"""What is wrong with data that is read by then is said at once; Ray starts while more is read."""
ROUNDS_LOOKED_AT = 3
"""The first of them warms up; their shortest says how long rounds are."""
LEARNING = (
    "judges of what is made come first: kept ones, or they learn from the real training samples, once for a dataset"
)
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


@dataclass(frozen=True)
class Task:
    """A trial that could start.

    Attributes:
        index: its place in the study.
        trial: what to run.
        info: the trial as events name it.
        width: see `width_of`.
    """

    index: int
    trial: Trial
    info: TrialInfo
    width: int

    @classmethod
    def of(cls, index: int, trial: Trial) -> "Task":
        """Checks a trial's data and method.

        Raises:
            ScenarioError: something does not fit.
        """
        prepared = prepare(trial)
        return cls(index, trial, prepared.info, width_of(trial, prepared.data))

    @property
    def wish(self) -> Wish:
        """What decides on its client actors."""
        return Wish(self.trial.scenario.placement, self.width, self.trial.scenario.numerics.device)


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
        self.trials = len(tasks)
        self.keeper = Keeper(out)
        self.finished = self.failed = 0
        self.seen, self.rounds = False, 0
        self.round_s: float | None = math.inf
        self.slots: list[Slot] = []
        self.short = False
        self.datasets: dict[str, Any] = {}
        self.mapped: set[str] = set()  # datasets of which samples are files of this node
        self.bound: set[int] = set()  # trials that were handed such a one, and so stay here
        self.digests: dict[str, Future[str]] = {}
        self.origins: dict[tuple[str, str], Callable[[], Mapping[str, Any]]] = {}
        self.judges: dict[tuple[str, int], Any] = {}
        self.cluster = cluster
        self.here, self.server = here, server
        self.others: Mapping[str, tuple[float, float]] = {}
        self.code, self.neighbours = code or Code(), neighbours
        self.look: Callable[[], Cluster] = seen
        self.company: Callable[[], str] = company
        self.check: Check = always_there
        self.planner: Planner | None = None
        self.foreseen: Future[StudyPlanned] | None = None
        self.joined: Callable[[], bool] = Membership().joined
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
            self.find_room(wait_s)
        began, interrupted, lost = time.monotonic(), False, None
        self.slots = [Slot(self) for _ in range(self.count_slots())]
        several = f", {len(self.slots)} trials at a time" if len(self.slots) > 1 else ""
        infos = (*(task.info for task in self.tasks), *(event.trial for event in others))
        self.tell(StudyStarted(infos, shown(self.out), f"{self.cluster}{several}", len(self.slots)))
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
            trials, found, slots = [task.trial for task in self.tasks], self.cluster, len(self.slots)
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

    def find_room(self, wait_s: float) -> None:
        """Sees to it that all trials find room beside what others do on the cluster by now.

        Raises:
            ScenarioError: they do not, also not after so many seconds.
        """
        trials, told = {task.wish: task.trial for task in reversed(self.queue)}, ""

        def pause(reason: str) -> None:
            nonlocal told
            stop_where_asked(self.out)
            if reason and reason != told:
                self.tell(Doing(f"waiting for room on the cluster: {reason}"))
                told = reason
            time.sleep(BUDGET_S)

        found, problem = await_room(self.look, list(reversed(trials)), self.trials, wait_s, pause)
        self.cluster = found
        self.others = found.used
        if problem is None:
            return
        wish, reason = problem
        if wait_s:
            reason += f", {wait_s:g} s later"
        elif found.used:
            who = self.company()
            reason += f"{f', beside {who}' if who else ''}; wait for it with --wait-for SECONDS"
        raise trials[wish].error("placement", reason)

    def finished_earlier(self) -> list[TrialFinished]:
        """The trials that an earlier run has finished; takes them off the queue."""
        found = {task.index: finished(self.out, task.info) for task in self.tasks}
        self.queue = deque(task for task in self.tasks if found[task.index] is None)
        self.trials = max(len(self.queue), 1)
        return [TrialFinished(t.info, s, earlier=True) for t in self.tasks if (s := found[t.index]) is not None]

    def left_out(self) -> list[TrialFinished]:
        """The trials that an earlier run of the same study has finished, and that this one does not have."""
        if not (self.out / STUDY).exists():
            return []
        ours = {(task.info.scenario, task.info.name) for task in self.tasks}
        found = read([self.out]).results.ordered
        return [TrialFinished(t, s, earlier=True) for t, s in found if (t.scenario, t.name) not in ours]

    def count_slots(self, *, short: bool = False) -> int:
        """As many as every trial's placement has room for; one that fits no more will say so when its turn comes."""
        found: list[int] = []
        for w in {task.wish for task in self.tasks}:
            try:
                found.append(plan_slots(w.placement, w.width, self.trials, self.cluster, device=w.device, short=short))
            except PlacementError:
                continue
        return min(found, default=1)

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
            references = list(
                dict.fromkeys(reference for _, reference in waiting)
            )  # several may wait for the same judges
            _ray.wait(references, timeout=BUDGET_S)
            ready, _ = _ray.wait(references, num_returns=len(references), timeout=0)
            for slot, reference in waiting:
                if reference in ready:
                    self.deliver(slot, reference)
                else:
                    slot.check_time(time.monotonic())
            if (usage := self.usage.now()) is not None:
                self.tell(usage)

    def widen(self) -> None:
        """Once some rounds are over: if they are short, more trials run at a time."""
        if self.round_s is None or self.rounds < ROUNDS_LOOKED_AT:
            return
        self.short, self.round_s = self.round_s < SHORT_ROUND_S, None
        if self.short:
            self.slots += [Slot(self) for _ in range(self.count_slots(short=True) - len(self.slots))]

    def grow(self) -> None:
        """Where a node has joined, more trials may run at a time, and those under way may have more client actors."""
        if not self.joined():
            return
        self.cluster = self.look().using(self.others)
        if len(self.cluster.nodes) > 1:  # trials that are still to come run there, too, where no file of ours is
            for key in self.mapped:
                del self.datasets[key]
            self.mapped.clear()
        self.slots += [Slot(self) for _ in range(self.room_for_slots())]
        for slot in self.slots:
            if slot.reference is not None and slot.work is not None:
                with suppress(PlacementError):  # of a part of the cluster that is left; the trial goes on as it is
                    slot.more = self.plan(self.tasks[slot.work.index], slot.work.slot)

    def room_for_slots(self) -> int:
        """How many more there can be beside the trials under way, which keep the client actors that they have."""
        known, busy = len(self.slots), [slot for slot in self.slots if slot.reference is not None]
        most = min(self.count_slots(short=self.short), known + len(self.queue))
        for slots in range(most, known, -1):
            with suppress(PlacementError):
                plans = [self.plan(self.tasks[s.work.index], s.work.slot, slots) for s in busy if s.work is not None]
                if all(plan.count >= slot.actors for plan, slot in zip(plans, busy, strict=True)):
                    return slots - known
        return 0

    def hand(self, slot: Slot, task: Task) -> None:
        """Gives a trial to a slot."""
        data = prepare(task.trial).data
        references, judges = self.data(task.trial, data), self.judging(task.trial)
        if data_key(task.trial.scenario) in self.mapped:
            self.bound.add(task.index)
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

    def plan(self, task: Task, slot: int = 0, slots: int | None = None) -> ActorPlan:
        """The client actors of a trial, of what the cluster has by now beside what others used at the beginning.

        Args:
            task: the trial.
            slot: which slot runs it, from 0.
            slots: how many there are to be; as many as there are if not given.

        Raises:
            PlacementError: they do not fit, or not as many trials at a time as the scenario says.
        """
        wish, self.cluster = task.wish, self.look().using(self.others)
        self.greet()
        bound = task.index in self.bound
        cluster = replace(self.cluster, nodes=self.cluster.nodes[:1]) if bound else self.cluster
        try:
            plan_slots(wish.placement, wish.width, self.trials, cluster, device=wish.device)
            slots, later = slots or len(self.slots), self.count_slots(short=True)
            found = plan_actors(
                wish.placement, wish.width, cluster, device=wish.device, slots=slots, later=later, slot=slot
            )
            apart = found.gpus and task.trial.scenario.numerics.evaluation_device == "cpu"
            return replace(found, evaluators=plan_evaluators(cluster, slots, slot)) if apart else found
        except PlacementError as error:
            raise PlacementError(str(task.trial.error("placement", str(error)))) from error

    def greet(self) -> None:
        """Compares nodes that have joined, whose client actors refuse themselves where they differ; tells remarks."""
        if self.neighbours is None:
            return
        for line in self.neighbours.unlike():
            self.tell(Warned(f"{line}; nothing runs there meanwhile"))
        while self.neighbours.remarks:
            self.tell(Warned(self.neighbours.remarks.pop(0)))

    def data(self, trial: Trial, data: Federated) -> list[Any]:
        """References to the dataset, which sits once in shared memory for all trials, and to how it is dealt out."""
        key = data_key(trial.scenario)
        if key not in self.datasets:
            # Files are only sure to be on this machine; on several all samples travel.
            dataset = data.dataset if len(self.cluster.nodes) == 1 else in_memory(data.dataset)
            if maps_files(dataset):
                self.mapped.add(key)
            self.datasets[key] = _ray.put(dataset)
            instead(key, _ray.get(self.datasets[key]))  # one copy on this machine, not two
            if key not in self.digests:
                for text in remarks(data.dataset):
                    self.tell(Warned(f"{trial.scenario.name}: {text}"))
                # not of the one in Ray's store, which may go first
                self.digests[key] = aside(lambda: data_digest(dataset))
        return [self.datasets[key], _ray.put(data.parts())]

    def judging(self, trial: Trial) -> Any:
        """A reference to the judges of a trial, the same for all that agree on them; None where it wants none."""
        wanted = trial.scenario.evaluation.generation
        if wanted is None or not wanted.judges:
            return None
        key = data_key(trial.scenario)
        if (key, wanted.judge_epochs) not in self.judges:
            self.judges[key, wanted.judge_epochs] = learning(trial, self.datasets[key], self.here)
            self.tell(Warned(f"{trial.scenario.name}: {LEARNING}"))
        return self.judges[key, wanted.judge_epochs]

    def new_server(self) -> Any:
        """Starts a server actor, if there is none that nobody uses yet."""
        server, self.server = self.server, None
        return server or start_server(self.code, self.here)

    def end_server(self, server: Any) -> None:
        """Ends one, and with it its client actors."""
        _ray.kill(server)

    def beginning(self, work: Work) -> Beginning:
        """How a trial begins: from its newest checkpoint, where there is one."""
        plan = self.plan(self.tasks[work.index], work.slot)
        found = self.keeper.newest(work.trial, work.info)
        anew = self.anew(work, found)
        if anew:
            self.tell(Warned(f"begins anew, for {work.info.rounds} rounds: {anew}", work.info))
            self.keeper.end(work.info)
        if found is None or anew:
            return Beginning(work.trial, plan)
        for event in self.keeper.remarks(found, work.info):
            self.tell(event)
        snapshot = replace(found.snapshot, clients=dict(handed_out(found.snapshot.clients)))
        return Beginning(as_resolved(work.trial, found), plan, snapshot, found.records)

    def anew(self, work: Work, found: Found | None) -> str:
        """Why a trial that has more rounds now cannot go on from what there is; empty where it can, or is new."""
        before, scenario = rounds_done(self.out, work.info), work.trial.scenario
        if found is None:
            kept = "kept no checkpoint at its end (federation.checkpoint.at_end)"
            return f"it was finished with {before} and {kept}" if before else ""
        was = Scenario.model_validate(found.scenario)
        if was.federation.rounds == scenario.federation.rounds:
            return ""
        method = method_of(scenario)
        phases = method.phases(task_of(scenario, prepare(work.trial).data.dataset))
        authors: list[type[Any]] = [type(method)]
        if method.generator is not None:
            authors.append(method.generator.__class__)
        algorithm = registry.find("algorithm", scenario.federation.algorithm.name)
        return misfit(found.snapshot.round, was, phases, [*authors, algorithm])

    def begun(self, work: Work, beginning: Beginning, started: Started) -> None:
        """A trial is under way: writes its settings as they are used, and tells."""
        give_back()
        folder = self.out / work.trial.scenario.name / work.trial.name
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "scenario.yaml", dump(started.trial.scenario).encode())
        self.note_origin(work, folder)
        if work.dealt is not None:
            write(folder / "partition.json", json.dumps(work.dealt).encode())
        write(folder / "partition.npz", work.rows)
        self.tell(
            TrialStarted(
                work.info, work.index, work.clients, started.actors, started.plan, beginning.done, started.hidden
            )
        )

    def note_origin(self, work: Work, folder: Path) -> None:
        """Keeps copies of the code that is not raysim's; the summary will say what made the trial."""
        code = own_code(import_paths(work.trial), dict(self.code.files))
        for name, content in code.items():
            copy = folder / CODE / name
            if copy.exists() and copy.read_bytes() != content:
                self.tell(Warned(f"goes on with other code: {name} has changed since its first rounds", work.info))
            copy.parent.mkdir(parents=True, exist_ok=True)
            write(folder / CODE / name, content)
        data, digests = self.digests[data_key(work.trial.scenario)], code_digests(code)
        self.origins[work.info.scenario, work.info.name] = lambda: {**VERSIONS, "data": data.result(), "code": digests}

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
                    "origin": self.origins.pop((event.trial.scenario, event.trial.name))(),
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
