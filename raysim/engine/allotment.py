"""What of a cluster the trials of a study get: how many run at a time, and the client actors of each."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from raysim.engine.likeness import Neighbours
from raysim.engine.membership import Membership
from raysim.engine.nodes import Cluster
from raysim.engine.pace import BUDGET_S
from raysim.engine.placement import ActorPlan, plan_actors, plan_evaluators, plan_slots
from raysim.engine.room import await_room
from raysim.engine.session import company, seen
from raysim.engine.task import Task
from raysim.report.events import Doing, Event, Warned
from raysim.simulation.resolve import PlacementError


class Allotment:
    """Of a study under way, on a cluster that nodes may join and leave.

    Args:
        tasks: the study's trials.
        cluster: what it has at first.
        neighbours: its nodes, where it is not ours.
        tell: where remarks go.

    Attributes:
        cluster: what it has by now, and what others used of it at the beginning.
        trials: how many are to run.
    """

    def __init__(
        self, tasks: Sequence[Task], cluster: Cluster, neighbours: Neighbours | None, tell: Callable[[Event], None]
    ) -> None:
        self.cluster, self.trials = cluster, len(tasks)
        self.look: Callable[[], Cluster] = seen
        self.company: Callable[[], str] = company
        self.joined: Callable[[], bool] = Membership().joined
        self._wishes = {task.wish for task in tasks}
        self._others: Mapping[str, tuple[float, float]] = {}
        self._neighbours, self._tell = neighbours, tell

    def find_room(self, tasks: Sequence[Task], wait_s: float, stop: Callable[[], None]) -> None:
        """Sees to it that trials find room beside what others do on the cluster by now.

        Args:
            tasks: the trials.
            wait_s: how long they may wait for it.
            stop: raises where somebody asks to stop.

        Raises:
            ScenarioError: they find none.
        """
        trials, told = {task.wish: task.trial for task in reversed(tasks)}, ""

        def pause(reason: str) -> None:
            nonlocal told
            stop()
            if reason and reason != told:
                self._tell(Doing(f"waiting for room on the cluster: {reason}"))
                told = reason
            time.sleep(BUDGET_S)

        found, problem = await_room(self.look, list(reversed(trials)), self.trials, wait_s, pause)
        self.cluster = found
        self._others = found.used
        if problem is None:
            return
        wish, reason = problem
        if wait_s:
            reason += f", {wait_s:g} s later"
        elif found.used:
            who = self.company()
            reason += f"{f', beside {who}' if who else ''}; wait for it with --wait-for SECONDS"
        raise trials[wish].error("placement", reason)

    def slots(self, *, short: bool = False) -> int:
        """As many trials at a time as every one's placement has room for; one that fits no more says so in its turn."""
        found: list[int] = []
        for w in self._wishes:
            try:
                found.append(plan_slots(w.placement, w.width, self.trials, self.cluster, device=w.device, short=short))
            except PlacementError:
                continue
        return min(found, default=1)

    def grown(self) -> bool:
        """Whether a node has joined; then looks what there is."""
        if not self.joined():
            return False
        self.cluster = self.look().using(self._others)
        return True

    def plan(self, task: Task, slot: int, slots: int, *, bound: bool) -> ActorPlan:
        """The client actors of a trial, of what the cluster has by now beside what others used at the beginning.

        Args:
            task: the trial.
            slot: which slot runs it, from 0.
            slots: how many there are to be.
            bound: whether it stays on this node.

        Raises:
            PlacementError: they do not fit, or not as many trials at a time as the scenario says.
        """
        wish, self.cluster = task.wish, self.look().using(self._others)
        self._greet()
        cluster = replace(self.cluster, nodes=self.cluster.nodes[:1]) if bound else self.cluster
        try:
            plan_slots(wish.placement, wish.width, self.trials, cluster, device=wish.device)
            found = plan_actors(
                wish.placement, wish.width, cluster, device=wish.device, slots=slots, later=self.slots(short=True),
                slot=slot,
            )  # fmt: skip
            apart = found.gpus and task.trial.scenario.numerics.evaluation_device == "cpu"
            return replace(found, evaluators=plan_evaluators(cluster, slots, slot)) if apart else found
        except PlacementError as error:
            raise PlacementError(str(task.trial.error("placement", str(error)))) from error

    def _greet(self) -> None:
        """Compares nodes that have joined, whose client actors refuse themselves where they differ; tells remarks."""
        if self._neighbours is None:
            return
        for line in self._neighbours.unlike():
            self._tell(Warned(f"{line}; nothing runs there meanwhile"))
        while self._neighbours.remarks:
            self._tell(Warned(self._neighbours.remarks.pop(0)))
