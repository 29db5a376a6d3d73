"""The client actors of a slot, from their start to their end. Lives in the server actor, which owns them."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysim.engine.client import Client, Hello
from raysim.engine.crew import Crew
from raysim.engine.membership import LOOK_S, Membership
from raysim.engine.placement import ActorPlan
from raysim.engine.ray_executor import RayExecutor
from raysim.engine.shipping import Code
from raysim.scenario.trial import Trial
from raysim.simulation.faults import Stalled, TrialLost, one_line
from raysim.simulation.resolve import PlacementError
from raysim.training.job import Job
from raysim.training.results import Broadcast
from raysim.training.units import Unit

_ray: Any = ray  # only partly typed
QUIET_S = 10.0
"""How long to wait for actors that are at work on a round that was given up; new ones would take as long."""


_ANYWHERE = ("",)
"""Where an actor goes, if it does not matter."""


def _placed(node: str) -> Any:
    """Where an actor goes, as Ray wants it said. One whose node is dead or full may start elsewhere, also again."""
    return NodeAffinitySchedulingStrategy(node, soft=True, _spill_on_unavailable=True) if node else "SPREAD"


class ClientPool:
    """The client actors of a slot. They stay warm from trial to trial while their shares stay the same.

    Attributes:
        actors: all that were started and not given up.
        cuda: whether all can compute on a GPU.
    """

    def __init__(self, plan: ActorPlan, code: Code, start_timeout_s: float, *, fewer: bool = False) -> None:
        """Starts the actors. Once a node has died meanwhile, nobody waits for those that have not started by then.

        Args:
            plan: how many, and each one's share.
            code: what they import besides the installed packages.
            start_timeout_s: how long to wait for them.
            fewer: whether to go on with those that have started by then, if there is one; the others may come later.

        Raises:
            PlacementError: they did not start in time.
            TrialLost: one died meanwhile.
        """
        self.plan, self._membership = plan, Membership()
        self._code: Any = _ray.put(code)  # for as long as an actor may be started again
        self._crew: Crew | None = None
        dead = self._membership.all_dead()
        self.actors = self._new(plan.places or _ANYWHERE * plan.count)
        ready = {actor.hello.options(max_task_retries=-1).remote(): actor for actor in self.actors}
        waiting = _awaited(list(ready), start_timeout_s, lambda _: self._membership.all_dead() > dead)
        started = [reference for reference in ready if reference not in waiting]
        fewer = fewer or self._membership.all_dead() > dead
        if waiting and not (fewer and started):
            self.close()
            raise PlacementError(
                f"only {len(started)} of {len(ready)} client actors started within {start_timeout_s:g} s, each wanting "
                f"{plan.cpus:g} CPU and {plan.gpus:g} GPU; free the cluster, lower placement.actors, "
                "or raise placement.start_timeout_s"
            )
        try:
            self._hellos = self._said({r: actor for r, actor in ready.items() if r not in waiting})
        except RayError as error:
            self.close()
            raise TrialLost(f"a client actor did not start: {one_line(error)}") from error
        self.cuda = bool(plan.gpus) and all(h.cuda for h in self._hellos.values())

    def _said(self, ready: Mapping[Any, Any]) -> dict[Any, Hello]:
        """What actors say of themselves; those that refuse, as their node differs from the driver's, go if others stay.

        Args:
            ready: reference -> its actor.
        """
        hellos: dict[Any, Hello] = {}
        for reference, actor in ready.items():
            try:
                hellos[actor] = _ray.get(reference)
            except ActorDiedError as error:
                if not error.actor_init_failed or len(self.actors) == 1:
                    raise
                self.actors.remove(actor)
        return hellos

    @property
    def count(self) -> int:
        """How many actors are there."""
        return len(self._crew.alive if self._crew else self._hellos)

    def fits(self, plan: ActorPlan) -> bool:
        """Whether it can be used by a plan: with such shares as its own, and as many actors as are there by now."""
        if self._crew is not None and not self._crew.quiet(QUIET_S):
            return False
        kept = {"count": self.plan.count, "places": self.plan.places, "evaluators": self.plan.evaluators}
        if replace(plan, **kept) != self.plan or plan.count != self.count:
            return False
        self.plan = plan
        return True

    def prepare(self, trial: Trial, data: Sequence[Any], timeout_s: float, job: Job | None = None) -> RayExecutor:
        """Gets all actors ready for a trial, whose data are as `Server.start` has them; nobody waits for a dead node's.

        Args:
            trial: what to run.
            data: references.
            timeout_s: how long to wait.
            job: the same trial here: then groups go to the nodes of those clients that need them.

        Raises:
            Stalled: they were not ready in time.
        """
        if self._crew is not None:
            self.actors, self._hellos = self._crew.handles, dict(self._crew.hellos())
        arguments = (trial, *data)
        ready = {a.prepare.options(max_task_retries=-1).remote(*arguments): a for a in self._hellos}

        def gone(waiting: Sequence[Any]) -> bool:
            homes = {self._hellos[ready[r]].node for r in waiting}
            return self._membership.dead(homes) == homes

        waiting = _awaited(list(ready), timeout_s, gone)
        if waiting and not gone(waiting):
            raise Stalled(
                f"{len(waiting)} client actors were not ready for the trial within {timeout_s:g} s; raise "
                "placement.start_timeout_s if they need longer"
            )
        answers: dict[Any, tuple[Hello, bool]] = {a: _ray.get(r) for r, a in ready.items() if r not in waiting}
        there = [(actor, hello) for actor, (hello, _) in answers.items()]
        self._crew = Crew(there, arguments, trial.scenario.placement, self._membership)
        for actor in self.actors:
            if actor not in answers:
                self._crew.join(actor)
        stateful = any(stateful for _, stateful in answers.values())
        return RayExecutor(self._crew, trial.scenario, stateful=stateful, job=job)

    def grow(self, plan: ActorPlan) -> None:
        """Starts what a larger plan has more of, for the trial under way; they are used as they are ready."""
        assert self._crew is not None, "prepare comes first"
        larger = self.plan.gpus / plan.gpus if plan.gpus else 1.0  # than the shares that it is planned with
        count = int(plan.count / larger + 1e-9)
        if (missing := count - len(self._crew.handles)) > 0:
            self.plan = replace(plan, count=count, gpus=self.plan.gpus)
            known = Counter(hello.node for hello in self._hellos.values())
            free = [*(Counter(plan.places) - known).elements(), *_ANYWHERE * missing]
            for actor in self._new(free[:missing]):
                self.actors.append(actor)
                self._crew.join(actor)

    def measure(self, broadcast: Broadcast, unit: Unit, timeout_s: float) -> tuple[int, int]:
        """(most bytes while a unit is trained, all bytes) of a GPU.

        Raises:
            Stalled: no answer in time.
            ClientFailure: a client failed.
        """
        reference = next(iter(self._hellos)).measure.remote(broadcast, unit)
        if not _ray.wait([reference], timeout=timeout_s)[0]:
            raise Stalled(f"no answer from the measurement of a unit within {timeout_s:g} s")
        try:
            return _ray.get(reference)
        except RayTaskError as error:
            raise error.cause from error

    def close(self) -> None:
        """Ends the actors."""
        for actor in self.actors:
            ray.kill(actor)

    def _new(self, places: Sequence[str]) -> list[Any]:
        """Starts some actors, and does not wait for them."""
        plan, kind = self.plan, _ray.remote(Client)
        settings = {"num_cpus": plan.cpus, "num_gpus": plan.gpus, "max_restarts": -1, "max_task_retries": 0}
        return [kind.options(**settings, scheduling_strategy=_placed(node)).remote(self._code) for node in places]


def _awaited(references: Sequence[Any], timeout_s: float, enough: Callable[[Sequence[Any]], bool]) -> list[Any]:
    """Waits for answers; returns those that are not there in time, or once one is and the others are not needed."""
    until_s = time.monotonic() + timeout_s
    while True:
        left_s = max(until_s - time.monotonic(), 0.0)
        there, waiting = _ray.wait(list(references), num_returns=len(references), timeout=min(LOOK_S, left_s))
        if not waiting or not left_s or (there and enough(waiting)):
            return waiting
