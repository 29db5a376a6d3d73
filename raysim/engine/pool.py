"""The client actors of a slot, from their start to their end. Lives in the server actor, which owns them."""

from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysim.data.federated import Federated
from raysim.engine.client import Client, Hello
from raysim.engine.crew import Crew
from raysim.engine.placement import ActorPlan
from raysim.engine.ray_executor import RayExecutor
from raysim.engine.shipping import Code
from raysim.scenario.trial import Trial
from raysim.simulation.faults import Stalled, TrialLost, one_line
from raysim.simulation.resolve import PlacementError
from raysim.training.results import Broadcast
from raysim.training.units import Unit

_ray: Any = ray  # only partly typed
ASK_TIMEOUT_S = 60.0


def share(data: Federated) -> list[Any]:
    """References to a dataset and to how it is dealt out, which then sit once in each node's shared memory."""
    return [_ray.put(data.dataset), _ray.put(data.parts())]


def _places(plan: ActorPlan) -> list[Any]:
    """Where each actor goes, as Ray wants it said. One whose node is dead or full may start elsewhere, also again."""
    if not plan.places:
        return ["SPREAD"] * plan.count
    return [NodeAffinitySchedulingStrategy(node, soft=True, _spill_on_unavailable=True) for node in plan.places]


class ClientPool:
    """The client actors of a slot. They stay warm from trial to trial while the plan stays the same.

    Attributes:
        cuda: whether all can compute on a GPU.
    """

    def __init__(self, plan: ActorPlan, code: Code, start_timeout_s: float, *, fewer: bool = False) -> None:
        """Starts the actors.

        Args:
            plan: how many, and each one's share.
            code: what they import besides the installed packages.
            start_timeout_s: how long to wait for them.
            fewer: whether to go on with those that have started by then, if there is one.

        Raises:
            PlacementError: they did not start in time.
            TrialLost: one died meanwhile.
        """
        self.plan = plan
        self._code: Any = _ray.put(code)  # for as long as an actor may be started again
        self._crew: Crew | None = None
        kind: Any = ray.remote(Client)
        settings = {"num_cpus": plan.cpus, "num_gpus": plan.gpus, "max_restarts": -1, "max_task_retries": 0}
        self.actors: list[Any] = [
            kind.options(**settings, scheduling_strategy=where).remote(self._code) for where in _places(plan)
        ]
        ready = [a.hello.options(max_task_retries=-1).remote() for a in self.actors]
        started, waiting = _ray.wait(ready, num_returns=len(ready), timeout=start_timeout_s)
        if waiting and not (fewer and started):
            self.close()
            raise PlacementError(
                f"only {len(started)} of {len(ready)} client actors started within {start_timeout_s:g} s, each wanting "
                f"{plan.cpus:g} CPU and {plan.gpus:g} GPU; free the cluster, lower placement.actors, "
                "or raise placement.start_timeout_s"
            )
        for reference, actor in zip(ready, list(self.actors), strict=True):
            if reference in waiting:
                self.actors.remove(actor)
                ray.kill(actor)
        try:
            hellos = self._hellos([reference for reference in ready if reference not in waiting])
        except RayError as error:
            self.close()
            raise TrialLost(f"a client actor did not start: {one_line(error)}") from error
        self.cuda = bool(plan.gpus) and all(h.cuda for h in hellos)

    def _hellos(self, ready: Sequence[Any]) -> list[Hello]:
        """What the actors say; those that refuse, as their node differs from the driver's, go if others stay."""
        hellos: list[Hello] = []
        for reference, actor in zip(ready, list(self.actors), strict=True):
            try:
                hellos.append(_ray.get(reference))
            except ActorDiedError as error:
                if not error.actor_init_failed or len(self.actors) == 1:
                    raise
                self.actors.remove(actor)
        return hellos

    @property
    def whole(self) -> bool:
        """Whether there are as many actors as planned, by now."""
        return self.plan.count == len(self._crew.alive if self._crew else self.actors)

    def prepare(self, trial: Trial, data: Sequence[Any], timeout_s: float) -> RayExecutor:
        """Gets all actors ready for a trial, whose data are as `Server.start` has them.

        Raises:
            Stalled: they were not ready in time.
        """
        arguments = (trial, *data)
        ready = [a.prepare.options(max_task_retries=-1).remote(*arguments) for a in self.actors]
        _, waiting = _ray.wait(ready, num_returns=len(ready), timeout=timeout_s)
        if waiting:
            raise Stalled(
                f"{len(waiting)} client actors were not ready for the trial within {timeout_s:g} s; raise "
                "placement.start_timeout_s if they need longer"
            )
        answers: list[tuple[str, bool]] = _ray.get(ready)
        self._crew = Crew(self.actors, [token for token, _ in answers], arguments, trial.scenario.placement)
        return RayExecutor(self._crew, trial.scenario, stateful=any(stateful for _, stateful in answers))

    def measure(self, broadcast: Broadcast, unit: Unit, timeout_s: float) -> tuple[int, int]:
        """(most bytes while a unit is trained, all bytes) of a GPU.

        Raises:
            Stalled: no answer in time.
            ClientFailure: a client failed.
        """
        reference = self.actors[0].measure.remote(broadcast, unit)
        if not _ray.wait([reference], timeout=timeout_s)[0]:
            raise Stalled(f"no answer from the measurement of a unit within {timeout_s:g} s")
        try:
            return _ray.get(reference)
        except RayTaskError as error:
            raise error.cause from error

    def peak_bytes(self) -> int:
        """The largest resident memory that the actors have had, added up."""
        return sum(_ray.get([a.peak_bytes.remote() for a in self.actors], timeout=ASK_TIMEOUT_S))

    def close(self) -> None:
        """Ends the actors."""
        for actor in self.actors:
            ray.kill(actor)
