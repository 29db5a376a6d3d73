"""Does a round's work on client actors. Lives in the server actor, which owns them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from raysim.data.federated import Federated
from raysim.engine.client import Client, NotPrepared, Trained
from raysim.engine.executor import Evaluation, Handle
from raysim.engine.placement import ActorPlan, PlacementError, deal, worth
from raysim.report.events import Warned
from raysim.scenario.schema import Placement
from raysim.scenario.trial import Trial
from raysim.training.results import Broadcast, ClientFailure, UnitResult
from raysim.training.units import Unit

_ray: Any = ray  # only partly typed
INLINE_BYTES = 1_000_000
"""Larger messages go through the object store once, instead of to each actor."""
TICK_S = 0.05
MAX_TRIES = 3


class Stalled(RuntimeError):
    """Something did not answer in time; one line: what was waited for, for how long, which setting to change."""


@dataclass(eq=False)
class _Call:
    """Work under way on one actor."""

    method: str
    actor: int
    arguments: tuple[Any, ...]
    what: str
    cost: float = 0.0
    evaluation: Evaluation | None = None
    sent_s: float = 0.0
    refs: tuple[Any, ...] = ()
    deadline: float = 0.0
    tries: int = 0
    reviving: bool = False


def share(data: Federated) -> list[Any]:
    """References to a dataset and to how it is dealt out, which then sit once in each node's shared memory."""
    return [_ray.put(data.dataset), _ray.put(data.parts())]


class ClientPool:
    """The client actors of a slot. They stay warm from trial to trial while the plan stays the same."""

    def __init__(self, plan: ActorPlan, paths: Sequence[str], start_timeout_s: float) -> None:
        """Starts the actors.

        Raises:
            PlacementError: they did not start in time.
        """
        self.plan = plan
        kind: Any = ray.remote(Client)
        settings = {"num_cpus": plan.cpus, "num_gpus": plan.gpus, "max_restarts": -1, "max_task_retries": 0}
        self.actors: list[Any] = [
            kind.options(**settings, scheduling_strategy="SPREAD").remote(tuple(paths)) for _ in range(plan.count)
        ]
        ready = [a.has_cuda.remote() for a in self.actors]
        started, waiting = _ray.wait(ready, num_returns=len(ready), timeout=start_timeout_s)
        if waiting:
            self.close()
            raise PlacementError(
                f"only {len(started)} of {len(ready)} client actors started within {start_timeout_s:g} s, each wanting "
                f"{plan.cpus:g} CPU and {plan.gpus:g} GPU; free the cluster, lower placement.actors, "
                "or raise placement.start_timeout_s"
            )
        self.cuda = bool(plan.gpus) and all(_ray.get(ready))

    def prepare(self, trial: Trial, data: Sequence[Any], timeout_s: float) -> "RayExecutor":
        """Gets all actors ready for a trial, whose data are references to the dataset and to how it is dealt out."""
        arguments = (trial, *data)
        ready = [a.prepare.remote(*arguments) for a in self.actors]
        _, waiting = _ray.wait(ready, num_returns=len(ready), timeout=timeout_s)
        if waiting:
            raise Stalled(f"{len(waiting)} client actors were not ready for the trial within {timeout_s:g} s")
        stateful = any(_ray.get(ready))
        return RayExecutor(self.actors, arguments, trial.scenario.placement, stateful=stateful)

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
        return sum(_ray.get([a.peak_bytes.remote() for a in self.actors]))

    def close(self) -> None:
        """Ends the actors."""
        for actor in self.actors:
            ray.kill(actor)


class Pace:
    """What units cost, by how long those of the same bucket took: what clients lack makes them cost unlike."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, ...], float] = {}

    def cost_s(self, unit: Unit) -> float:
        """Seconds that a unit will take; of an unknown bucket, as if it were the mean of the known ones."""
        known = self._seconds.values()
        mean = sum(known) / len(known) if known else 1e-3
        return unit.samples * self._seconds.get(unit.bucket, mean)

    def learn(self, bucket: tuple[int, ...], result: UnitResult) -> None:
        """Takes in how long a unit took; its clients' times add up to that."""
        found = sum(r.seconds for r in result.reports) / max(sum(r.samples for r in result.reports), 1)
        self._seconds[bucket] = (self._seconds.get(bucket, found) + found) / 2


class RayExecutor:
    """Deals units and slices out to actors, one call an actor; redoes what a dead actor left."""

    def __init__(
        self, actors: Sequence[Any], arguments: tuple[Any, ...], placement: Placement, *, stateful: bool
    ) -> None:
        self._actors, self._arguments, self._timeout_s = actors, arguments, placement.unit_timeout_s
        self._stateful = stateful
        self._spare: list[_Call] = []
        self._pace, self._slice_s = Pace(), 0.0
        self._messages: dict[Evaluation, Any] = {}
        self._used = len(actors)
        self.busy_s = 0.0

    def train(
        self,
        broadcast: Broadcast,
        units: Sequence[Unit],
        states: Mapping[int, Handle],
        spare: Evaluation | None = None,
    ) -> Iterator[tuple[UnitResult, Mapping[int, Handle]] | Warned | None]:
        """Results as the actors' calls return; an actor that is done early predicts slices of `spare`."""
        message = self._message(broadcast)
        calls: list[_Call] = []
        costs = [self._pace.cost_s(unit) for unit in units]
        for actor, mine in enumerate(deal(costs, self._used)):
            work = [units[i] for i in mine]
            clients = [c for u in work for c in u.clients]
            known = {c: states[c] for c in clients if c in states}
            if work:
                cost = sum(costs[i] for i in mine)
                what = f"clients {', '.join(map(str, clients))}"
                if self._stateful:
                    calls.append(_Call("train", actor, (message, work, known), what, cost))
                else:
                    calls.append(_Call("train_stateless", actor, (message, work), what, cost))
        seconds, kinds = list[float](), {unit.index: unit.bucket for unit in units}
        for call, trained in self._run(calls, spare):
            if not isinstance(trained, Trained):
                yield trained
                continue
            seconds.append(trained.seconds)
            for result in trained.results:
                if isinstance(result, ClientFailure):
                    raise result
                self._pace.learn(kinds[result.index], result)
                yield result, {c: (call.refs[-1], c) for c in result.stateful}
        self.busy_s = max(seconds, default=0.0)
        self._used = worth(sum(seconds), len(self._actors))

    def evaluate(self, evaluation: Evaluation) -> Iterator[Warned | None]:
        """Deals what is left out to all actors, and waits also for what is under way."""
        costs = {i: float(evaluation.slices[i].stop - evaluation.slices[i].start) for i in evaluation.waiting}
        numbers = list(costs)
        calls, self._spare = self._spare, []
        for actor, mine in enumerate(deal(list(costs.values()), len(self._actors))):
            if mine:
                calls.append(self._prediction(evaluation, actor, [numbers[j] for j in mine]))
        evaluation.waiting.clear()
        for _, told in self._run(calls, None):
            assert not isinstance(told, Trained), "nothing is trained"
            yield told

    def _prediction(self, evaluation: Evaluation, actor: int, numbers: Sequence[int]) -> _Call:
        if evaluation not in self._messages:
            self._messages = {evaluation: self._message(evaluation.broadcast)}
        parts = {i: evaluation.slices[i] for i in numbers}
        return _Call("predict", actor, (self._messages[evaluation], parts), "an evaluation", evaluation=evaluation)

    def _message(self, broadcast: Broadcast) -> Any:
        tables = (broadcast.x, broadcast.frozen, broadcast.control)
        size = sum(v.nbytes for table in tables for v in table.values())
        return ray.put(broadcast) if size > INLINE_BYTES else broadcast

    def _run(self, calls: list[_Call], spare: Evaluation | None) -> Iterator[tuple[_Call, Trained | Warned | None]]:
        """What the calls bring, as it comes; logits go to their evaluation. Does not wait for spare work."""
        for call in calls:
            if not call.refs:
                self._send(call)
        first = True
        while calls:
            self._use_idle(calls, spare)
            under_way = [*calls, *self._spare]
            ready, _ = _ray.wait([c.refs[0] for c in under_way], timeout=0 if first else TICK_S)
            first = False
            if not ready:
                self._check_time(under_way)
                yield under_way[0], None
                continue
            call = next(c for c in under_way if c.refs[0] == ready[0])
            try:
                answer: Any = _ray.get(ready[0])
            except (RayActorError, NotPrepared) as error:
                self._revive(call, error)
                yield call, Warned(f"a client actor died; {call.what}: its work is done again")
                continue
            if call.reviving:
                self._actors[call.actor].prepare.remote(*self._arguments)
                self._send(call)
                continue
            asked = call in calls
            (calls if asked else self._spare).remove(call)
            if call.evaluation is None:
                yield call, answer
            elif not isinstance(answer, ClientFailure):
                call.evaluation.logits |= answer
                self._slice_s = (time.monotonic() - call.sent_s) / len(answer)
            elif asked:
                raise answer
            else:  # no matter of this round's: it will fail again when the evaluation is asked for
                call.evaluation.waiting.extend(call.arguments[1])
                spare = None

    def _use_idle(self, calls: Sequence[_Call], spare: Evaluation | None) -> None:
        """Hands a slice to each actor that has nothing to do, if it will be done before the round's last unit."""
        if spare is None or not spare.waiting:
            return
        now = time.monotonic()
        if max(c.sent_s + c.cost for c in calls) - now < self._slice_s:
            return
        busy = {c.actor for c in (*calls, *self._spare)}
        for actor in range(len(self._actors)):
            if actor not in busy and spare.waiting:
                call = self._prediction(spare, actor, [spare.waiting.popleft()])
                self._send(call)
                self._spare.append(call)

    def _send(self, call: _Call) -> None:
        call.tries, call.reviving = call.tries + 1, False
        call.sent_s = time.monotonic()
        call.deadline = call.sent_s + self._timeout_s
        method = getattr(self._actors[call.actor], call.method)
        count = 2 if call.method == "train" else 1
        refs = method.options(num_returns=count).remote(*call.arguments)
        call.refs = tuple(refs) if count > 1 else (refs,)

    def _revive(self, call: _Call, error: RayActorError | NotPrepared) -> None:
        """The actor died; Ray starts it again, without its memory. Until it answers it would refuse work."""
        if call.tries >= MAX_TRIES:
            raise Stalled(
                f"the client actor of {call.what} died {call.tries} times in a row; it crashed in native code or ran "
                "out of memory; if it is memory, lower placement.actors"
            ) from error
        call.reviving = True
        call.refs = (self._actors[call.actor].has_cuda.options(max_task_retries=-1).remote(),)

    def _check_time(self, calls: Sequence[_Call]) -> None:
        late = [c.what for c in calls if time.monotonic() > c.deadline]
        if late:
            raise Stalled(
                f"no answer from {'; '.join(late)} within {self._timeout_s:g} s; "
                "raise placement.unit_timeout_s if they need longer"
            )
