"""Does a round's work on client actors. Lives in the server actor, which owns them."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError

from raysim.engine.calls import Held, Message, Prediction, Sum, Training
from raysim.engine.client import Predicted, Trained
from raysim.engine.crew import Answer, Broken, Call, Crew, Left
from raysim.engine.membership import this_node
from raysim.engine.messages import SMALL_BYTES, alike, packed, parted, unpacked
from raysim.engine.pace import Pace
from raysim.engine.placement import deal, worth
from raysim.engine.states import StateLost, fetched
from raysim.engine.voices import Voices
from raysim.evaluation.slices import Tuned
from raysim.generation.plan import Part
from raysim.report.events import Printed, Warned
from raysim.scenario.schema import Scenario
from raysim.simulation.executor import Evaluation, Handle, Measured
from raysim.simulation.faults import STATE_LOST, Fault, Stalled, TrialLost, remedy
from raysim.training.job import Job
from raysim.training.reports import Reports
from raysim.training.results import Broadcast, ClientFailure, ClientState, UnitResult
from raysim.training.units import Unit
from raysim.training.workload import Work

_ray: Any = ray  # only partly typed

TICK_S = 0.05
MEASURE_S = 60.0
"""How long to wait for the count of a trial's multiply-adds."""
_APART = "late clients are tried one by one, or skipped; another run may find them in time and come to other numbers"

Result = tuple[UnitResult, Mapping[int, Handle]]


def _who(actor: int) -> str:
    return f"client actor {actor + 1}"


class RayExecutor:
    """Deals units and slices out to actors, one call an actor; what fails is done again, in parts, or without.

    Attributes:
        tick_s: how long to wait for an answer before None is yielded.
    """

    waits = True

    def __init__(self, crew: Crew, scenario: Scenario, *, stateful: bool, job: Job | None = None) -> None:
        self._crew, self._stateful = crew, stateful
        self._closed = job.closed if job else dict[str, Callable[[int], bool]]()
        self._faults, self._placement = scenario.federation.faults, scenario.placement
        self._pace, self._slice_s, self._voices = Pace(), 0.0, Voices()
        self._messages: dict[Evaluation, Message] = {}
        self._stored: tuple[Broadcast, Message] | None = None
        self._work_s: float | None = None
        self._held: dict[str, list[Held]] = {}
        self._homes: dict[int, int] = {}  # a unit's first client -> the actor that had it last
        self._round = 0
        self.tick_s = TICK_S
        self.busy_s = 0.0
        self.peak_bytes = 0

    def train(
        self,
        broadcast: Broadcast,
        units: Sequence[Unit],
        states: Mapping[int, Handle],
        spare: Evaluation | None = None,
    ) -> Iterator[Result | Warned | Printed | None]:
        """Results as the actors' calls return; an actor that is done early predicts slices of `spare`."""
        self._round, alive = broadcast.round, self._crew.alive
        message, known = self._message(broadcast), states if self._stateful else None
        costs = [self._pace.cost_s(unit) for unit in units]
        used = alive[: len(alive) if self._work_s is None else worth(self._work_s, len(alive))]
        slowness, staying = self._pace.slowness(used), self._staying(used, broadcast)
        places = {actor: place for place, actor in enumerate(used)}
        homes = [places.get(self._homes.get(unit.clients[0], -1)) for unit in units]
        for actor, slow, mine in zip(used, slowness, deal(costs, slowness, homes), strict=True):
            self._homes |= dict.fromkeys((units[i].clients[0] for i in mine), actor)
            if mine:
                cost_s = slow * sum(costs[i] for i in mine)
                call = Training(cost_s, message=message, units=[units[i] for i in mine], states=known)
                needed = [n for n in message.groups if any(map(self._closed[n], call.clients))]
                self._crew.give(actor, replace(call, message=message.of(needed), stays=actor in staying))
        seconds: dict[int, float] = {}
        self._held.clear()
        timeout_s = 0.0
        while waiting := [call for call in self._crew.open() if isinstance(call, Training | Sum)]:
            spare = self._use_idle(waiting, spare)
            step, timeout_s = self._crew.step(timeout_s), self.tick_s
            if isinstance(step, Answer) and isinstance(step.call, Prediction):
                answers, said = self._heard(step)
                spare = self._keep(step.call, answers, spare)
                yield from said
            elif isinstance(step, Answer) and isinstance(step.call, Training):
                trained: Trained = unpacked(step.value)
                seconds[step.actor] = seconds.get(step.actor, 0.0) + trained.seconds
                self.peak_bytes = max(self.peak_bytes, trained.peak_bytes)
                yield from self._voices.tell(_who(step.actor), trained.said)
                if trained.apart:
                    self._held.setdefault(self._crew.node(step.actor), []).append((step.actor, step.call, trained))
                else:
                    yield from self._results(step.actor, step.call, trained)
            elif isinstance(step, Answer) and isinstance(step.call, Sum):
                yield from self._added(step.call, step.value)
            else:
                yield from self._other(step)
            yield from self._gather()
        self.busy_s = max(seconds.values(), default=0.0)
        self._work_s = sum(seconds.values())

    def evaluate(self, evaluation: Evaluation) -> Iterator[Warned | Printed | None]:
        """Deals what is left out to all actors, and waits also for what is under way."""
        alive, numbers = self._crew.alive, list(evaluation.waiting)
        costs = [evaluation.slices[i].cost for i in numbers]
        for actor, mine in zip(alive, deal(costs, self._pace.slowness(alive)), strict=True):
            long = [numbers[j] for j in mine if isinstance(evaluation.slices[numbers[j]], Part | Tuned)]
            short = [numbers[j] for j in mine if numbers[j] not in long]
            for some in [short] * bool(short) + [[i] for i in long]:  # the time limit is for one of the long ones
                self._crew.give(actor, self._prediction(evaluation, some))
        evaluation.waiting.clear()
        timeout_s = 0.0
        while any(isinstance(call, Prediction) for call in self._crew.open()):
            step, timeout_s = self._crew.step(timeout_s), self.tick_s
            if isinstance(step, Answer) and isinstance(step.call, Prediction):
                answers, said = self._heard(step)
                yield from said
                yield from self._logits(step.actor, step.call, answers)
            elif not isinstance(step, Answer):  # what else comes is of a round that has failed
                for told in self._other(step):
                    assert not isinstance(told, tuple), "nothing is trained"
                    yield told

    def measure(self, works: Sequence[Work]) -> Generator[None, None, Measured | None]:
        """Asks one of the actors; the method's code runs there, so it may die or be late, which does no harm now."""
        actor = self._crew.handle(self._crew.alive[0])
        reference, until = actor.costs.remote(works), time.monotonic() + MEASURE_S
        while not _ray.wait([reference], timeout=TICK_S)[0]:
            if time.monotonic() > until:
                ray.kill(actor, no_restart=False)  # the next trial would wait behind it
                return None
            yield None
        try:
            return _ray.get(reference)
        except RayError:
            return None

    def states(self, handles: Mapping[int, Handle]) -> Mapping[int, ClientState]:
        """From wherever they lie.

        Raises:
            TrialLost: one has gone.
        """
        try:
            return fetched(handles, self._placement.unit_timeout_s)
        except StateLost as error:
            raise TrialLost(STATE_LOST) from error

    def _results(self, actor: int, call: Training, trained: Trained) -> Iterator[Result | Warned]:
        """What a call has brought; units after one that failed are to be done again."""
        buckets = {unit.index: unit.bucket for unit in call.units}
        failure: ClientFailure | None = None
        for result in trained.results:
            if isinstance(result, ClientFailure):
                failure = result
                break
            self._pace.learn(buckets[result.index], result, actor)
            deviating = replace(result, deviation=_APART) if call.apart else result
            yield deviating, {c: (call.refs[-1], self._crew.node(actor)) for c in result.stateful}
        if failure is not None:
            done = sum(isinstance(result, UnitResult) for result in trained.results)
            first, *rest = replace(call, units=call.units[done:]).one_by_one()
            first.failures += 1
            yield self._raised(actor, first, failure)
            for other in rest:
                other.failures = 0
            self._crew.again(actor, [first, *rest])

    def _staying(self, actors: Sequence[int], broadcast: Broadcast) -> set[int]:
        """The actors whose sums are added on their node before they travel: several on one that is not this one."""
        nodes = Counter(self._crew.node(actor) for actor in actors)
        if len(nodes) == 1 or 2 * size(broadcast) <= SMALL_BYTES:  # sums have twice the bits
            return set()
        here = this_node()
        return {a for a in actors if nodes[self._crew.node(a)] > 1 and self._crew.node(a) != here}

    def _gather(self) -> Iterator[Warned]:
        """Has the sums added of each node whose actors train no more."""
        alive = self._crew.alive
        for node in list(self._held):
            calls = {a: list(self._crew.calls(a)) for a in alive if self._crew.node(a) == node}
            if self._crew.dead(node):
                yield from self._lost(self._held.pop(node))
            elif not any(isinstance(call, Training) for some in calls.values() for call in some):
                adder = min(calls or alive, key=lambda actor: len(calls.get(actor, ())))
                self._crew.give(adder, Sum(held=self._held.pop(node)))

    def _lost(self, held: Iterable[Held]) -> Iterator[Warned]:
        """What was left on a node may have gone with it: the work is done again."""
        for actor, training, _ in held:
            self._crew.again(actor, [replace(training, refs=(), stays=False)])
            yield Warned(f"round {self._round}: the sums of {training.what} are lost; its work is done again")

    def _added(self, call: Sum, total: UnitResult) -> Iterator[Result | Warned]:
        """All results of a node, the first with the sums of all."""
        for number, (actor, training, trained) in enumerate(call.held):
            first, *rest = trained.results
            if not number:
                assert isinstance(first, UnitResult), "failures do not come apart"
                first = replace(first, sums=total.sums, controls=total.controls)
            yield from self._results(actor, training, replace(trained, results=[first, *rest]))

    def _raised(self, actor: int, call: Call, failure: ClientFailure) -> Warned:
        """The method's code raised: a new process may do better, unless another one has said the same."""
        if not failure.details or self._remedy("raised", call, 1) == "fail" or str(failure) == call.said:
            raise failure
        call.said = str(failure)
        self._crew.restart(actor)
        return Warned(f"{failure}; done again in a new process")

    def _other(self, step: Answer | Broken | Left | None) -> Iterator[Result | Warned | Printed | None]:
        """What is no answer."""
        if isinstance(step, Left):
            yield Warned(f"round {self._round}: a client actor is not back yet; {step.actors} go on with its work")
        elif isinstance(step, Broken) and isinstance(step.call, Sum):
            yield from self._lost(step.call.held)
        elif isinstance(step, Broken):
            yield from self._broken(step)
        else:
            yield None

    def _broken(self, step: Broken) -> Iterator[Result | Warned]:
        call = step.call
        assert isinstance(call, Training | Prediction), "nothing else is sent"
        call.failures += not step.gone  # a node's death says nothing of the work
        clients = len(call.clients) if isinstance(call, Training) else 1
        todo = self._remedy("late" if step.late else "died", call, clients)
        late = f"no answer within {self._placement.unit_timeout_s:g} s"
        who = call.what if isinstance(call, Training) else f"the client actor of {call.what}"
        died = (
            f"the node of the client actor of {call.what} is gone"
            if step.gone
            else f"the client actor of {call.what} died"
        )
        happened = f"{who}: {late}" if step.late else died
        if todo == "fail" or (todo == "skip" and isinstance(call, Prediction)):
            times = f" {call.failures} times in a row" if call.failures > 1 else ""
            advice = (
                "raise placement.unit_timeout_s if more is needed, or see federation.faults.on_timeout"
                if step.late
                else "it crashed in native code or ran out of memory; if it is memory, lower placement.actors"
            )
            raise Stalled(f"round {self._round}, {happened}{times}; {advice}")
        if isinstance(call, Prediction):
            self._crew.again(step.actor, [call])
        elif todo == "skip":
            (unit,) = call.units
            reason = {unit.clients[0]: late}
            yield UnitResult(unit.index, {}, {}, Reports.of(()), skipped=reason, deviation=_APART), {}
            return
        else:
            self._crew.again(step.actor, call.narrowed() if todo == "narrow" else call.one_by_one())
        how = ", in smaller parts" if todo == "narrow" else ""
        yield Warned(f"round {self._round}, {happened}; its work is done again{how}")

    def _remedy(self, fault: Fault, call: Call, clients: int) -> str:
        return remedy(fault, call.failures, clients, self._faults, self._placement.max_failures)

    def _logits(self, actor: int, call: Prediction, answer: Any) -> Iterator[Warned]:
        if isinstance(answer, ClientFailure):
            call.failures += 1
            yield self._raised(actor, call, answer)
            self._crew.again(actor, [replace(call, refs=())])
        else:
            call.evaluation.logits |= answer

    def _keep(self, call: Prediction, answer: Any, spare: Evaluation | None) -> Evaluation | None:
        """Logits that came on the side. What failed is no matter of this round's: it will fail when it is asked for."""
        if isinstance(answer, ClientFailure):
            call.evaluation.waiting.extend(call.numbers)
            return None
        call.evaluation.logits |= answer
        self._slice_s = (time.monotonic() - call.sent_s) / len(answer)
        return spare

    def _use_idle(self, waiting: Iterable[Training | Sum], spare: Evaluation | None) -> Evaluation | None:
        """Hands a slice to each actor that has nothing to do, if it will be done before the round's last unit."""
        if spare is None or not spare.waiting:
            return spare
        now = time.monotonic()
        if max((call.sent_s or now) + call.cost_s for call in waiting) - now >= self._slice_s:
            for actor in self._crew.idle:
                if spare.waiting:
                    self._crew.give(actor, self._prediction(spare, [spare.waiting.popleft()]))
        return spare

    def _heard(self, step: Answer) -> tuple[Any, list[Printed]]:
        """A prediction's answers, and what was printed besides."""
        if not isinstance(step.value, Predicted):
            return step.value, []
        return step.value.answers, [*self._voices.tell(_who(step.actor), step.value.said)]

    def _prediction(self, evaluation: Evaluation, numbers: Sequence[int]) -> Prediction:
        if evaluation not in self._messages:
            self._messages = {evaluation: self._message(evaluation.broadcast)}
        return Prediction(message=self._messages[evaluation], evaluation=evaluation, numbers=numbers)

    def _message(self, broadcast: Broadcast) -> Message:
        """What goes to each actor; if it is large, through the object store, once for as long as its arrays stay.

        On several nodes a group that does not reach everybody is an object of its own, for those that need it.
        """
        when = broadcast.phase, broadcast.round
        if size(broadcast) <= SMALL_BYTES:
            return Message(packed(broadcast), when)
        if self._stored is None or not alike(self._stored[0], broadcast):
            controls = {name: control.copy() for name, control in broadcast.control.items()}  # an algorithm's own
            several = len({self._crew.node(actor) for actor in self._crew.alive}) > 1
            rest, groups = parted(broadcast, self._closed.keys() if several else set())
            message = Message(ray.put(rest), when, {name: ray.put(group) for name, group in groups.items()})
            self._stored = replace(broadcast, control=controls), message
        return replace(self._stored[1], when=when)


def size(broadcast: Broadcast) -> int:
    """Bytes of its arrays."""
    return sum(v.nbytes for table in (broadcast.x, broadcast.frozen, broadcast.control) for v in table.values())
