"""Client actors at work: one call at a time each, restarts, and time limits. Knows calls, not what they are about."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from raysim.engine.client import Hello, NotPrepared
from raysim.engine.membership import Membership, this_node
from raysim.engine.states import StateLost
from raysim.scenario.schema import Placement
from raysim.simulation.faults import STATE_LOST, STORE_FULL, Severed, Stalled, TrialLost, one_line

_ray: Any = ray  # only partly typed
_DEAD = (RayActorError, NodeDiedError, WorkerCrashedError, OutOfMemoryError)
GET_S = 10.0
"""What is ready is at hand, but for an answer of a node that has died since."""
PATIENCE_S = 40.0
"""So long an object may stay away from a node that is there, beside the time that it takes to travel."""
SLOWEST = 250_000
"""Bytes a second that a link carries at least."""
BACK_S = 20.0
"""So long calls wait for an actor that is started again, before others do them; where its node is dead, not at all."""


@dataclass(eq=False)
class Call:
    """Work for one actor; what it is about is for subclasses to say.

    Attributes:
        cost_s: how long it will take, about.
        failures: how often in a row it was begun and came to nothing.
        said: what was raised last, if anything.
        sent_s: when it was sent last, by the monotonic clock.
        refs: the answer's, once sent.
        arrived: whether all that it needs is known to be on the actor's node.
        moved_s: when nothing was on its way between nodes last.
    """

    cost_s: float = 0.0
    failures: int = 0
    said: str = ""
    sent_s: float = 0.0
    refs: Sequence[Any] = ()
    arrived: bool = False
    moved_s: float = 0.0

    @property
    def needs(self) -> Sequence[Any]:
        """References to what the actor needs for it."""
        return ()

    def send(self, actor: Any) -> Sequence[Any]:
        """Calls the actor; returns references, of which the first is the answer."""
        raise NotImplementedError


@dataclass(frozen=True)
class Answer:
    """A call has come back."""

    actor: int
    call: Call
    value: Any


@dataclass(frozen=True)
class Broken:
    """A call came to nothing: its actor died, with its node maybe, or was late, and is started again."""

    actor: int
    call: Call
    late: bool
    gone: bool = False


@dataclass(frozen=True)
class Left:
    """An actor is not back yet; the others have taken over its calls."""

    actors: int


@dataclass
class _Return:
    """What an actor that was started, maybe again, is asked for: a sign of life, and then to prepare."""

    reference: Any
    since_s: float
    prepares: bool = False


class Crew:
    """Some actors, each with a queue of calls.

    One that was started again says hello and is prepared before it goes on. If that takes long, or its node is dead,
    the others get its queue; it has none then until it is prepared.

    Args:
        actors: their handles, and what each has said of itself.
        arguments: of `Client.prepare`, for processes that are started again.
        placement: the time limits.
        membership: which nodes are dead.
    """

    def __init__(
        self,
        actors: Sequence[tuple[Any, Hello]],
        arguments: tuple[Any, ...],
        placement: Placement,
        membership: Membership,
    ) -> None:
        self._actors = dict(enumerate(actor for actor, _ in actors))
        self._hellos = dict(enumerate(hello for _, hello in actors))
        self._arguments, self._membership = arguments, membership
        self._unit_s, self._start_s = placement.unit_timeout_s, placement.start_timeout_s
        self._queues: dict[int, deque[Call]] = {actor: deque() for actor in self._actors}
        self._under_way: dict[int, Call] = {}
        self._returning: dict[int, _Return] = {}

    @property
    def alive(self) -> list[int]:
        """The actors that can be given work; always some."""
        return list(self._queues)

    @property
    def handles(self) -> list[Any]:
        """All actors themselves, those included that are not there yet or again."""
        return list(self._actors.values())

    @property
    def idle(self) -> list[int]:
        """Those that have nothing to do."""
        return [actor for actor in self._present() if not self._load(actor)]

    def handle(self, actor: int) -> Any:
        """An actor itself."""
        return self._actors[actor]

    def node(self, actor: int) -> str:
        """The id of the node on which it lives, or has lived."""
        return self._hellos[actor].node

    def calls(self, actor: int) -> Iterator[Call]:
        """Those of one actor that are under way or to come."""
        yield from (call for number, call in self._under_way.items() if number == actor)
        yield from self._queues.get(actor, ())

    def hellos(self) -> Iterator[tuple[Any, Hello]]:
        """The actors themselves that can be given work, with what each has said of itself."""
        return ((self._actors[actor], self._hellos[actor]) for actor in self._queues)

    def dead(self, node: str) -> bool:
        """Whether a node is."""
        return bool(self._membership.dead([node]))

    def open(self) -> Iterator[Call]:
        """All calls that are under way or to come."""
        yield from self._under_way.values()
        for queue in self._queues.values():
            yield from queue

    def give(self, actor: int, call: Call) -> None:
        """Puts a call at the end of an actor's queue."""
        self._queues[actor].append(call)

    def again(self, actor: int, calls: Iterable[Call]) -> None:
        """Puts calls that were this actor's at the beginning of its queue, or of those of others if it has none."""
        for call in reversed(list(calls)):
            self._queues[actor if actor in self._queues else self._least()].appendleft(call)

    def restart(self, actor: int) -> None:
        """Ends an actor's process; Ray starts it again."""
        ray.kill(self._actors[actor], no_restart=False)
        self._greet(actor)

    def quiet(self, timeout_s: float) -> bool:
        """Whether nobody is at work any more, after a wait; a round that was given up leaves calls behind."""
        lost = self._membership.dead((hello.node for hello in self._hellos.values()), now=True)
        for actor in [a for a in self._actors if self.node(a) in lost]:
            self._gone(actor, self._under_way.pop(actor, None))
        left = [call.refs[0] for call in self._under_way.values()]
        return not left or not _ray.wait(left, num_returns=len(left), timeout=timeout_s)[1]

    def join(self, actor: Any) -> None:
        """One more actor, which is given work once it is prepared."""
        number = max(self._actors) + 1
        self._actors[number], self._hellos[number] = actor, Hello("", cuda=False)
        self._greet(number)

    def step(self, timeout_s: float) -> Answer | Broken | Left | None:
        """Sends what can be sent and waits for a while; None where nothing has happened.

        Raises:
            TrialLost: no actor is left, or a client's state is lost.
            Severed: a node is there, and nothing comes to it or from it.
            Stalled: there is no room for an answer.
        """
        for actor in self._present():
            if (queue := self._queues[actor]) and actor not in self._under_way:
                self._send(actor, queue.popleft())
        references = {waited.reference: actor for actor, waited in self._returning.items()}
        references |= {c.refs[0]: actor for actor, c in self._under_way.items()}
        ready, _ = _ray.wait(list(references), timeout=timeout_s)
        if not ready:
            return self._look()
        actor = references[ready[0]]
        if actor in self._returning:
            return self._welcome(actor)
        return self._receive(actor, self._under_way.pop(actor), ready[0])

    def _receive(self, actor: int, call: Call, reference: Any) -> Answer | Broken | Left | None:
        try:
            return Answer(actor, call, _ray.get(reference, timeout=GET_S))
        except GetTimeoutError:
            self._under_way[actor] = call
            return self._look()
        except (ObjectStoreFullError, OutOfDiskError) as error:
            raise Stalled(STORE_FULL) from error
        except StateLost as error:
            raise TrialLost(STATE_LOST) from error
        except ObjectLostError:
            if self._membership.dead([self.node(actor)], now=True):
                return self._gone(actor, call)
            self.restart(actor)
            return Broken(actor, call, late=False)
        except NotPrepared:
            self._greet(actor)
            return Broken(actor, call, late=False)
        except _DEAD:
            if self._membership.dead([self.node(actor)], now=True):
                return self._gone(actor, call)
            self._greet(actor)
            return Broken(actor, call, late=False)
        except RayTaskError as error:
            raise TrialLost(f"a client actor's call failed: {one_line(error)}") from error

    def _send(self, actor: int, call: Call) -> None:
        call.sent_s = call.moved_s = time.monotonic()
        call.arrived = False
        call.refs = call.send(self._actors[actor])
        self._under_way[actor] = call

    def _greet(self, actor: int) -> None:
        """Asks for a sign of life, which comes once Ray has started the actor again, without its memory."""
        since_s = self._returning[actor].since_s if actor in self._returning else time.monotonic()
        hello = self._actors[actor].hello.options(max_task_retries=-1).remote()
        self._returning[actor] = _Return(hello, since_s)

    def _welcome(self, actor: int) -> Left | None:
        """Hears an actor that is back: it is prepared after its hello, and has its share of the calls after that."""
        waited = self._returning[actor]
        try:
            answer = _ray.get(waited.reference, timeout=GET_S)
        except (GetTimeoutError, ObjectLostError):  # the node that it came back on has died, too
            self._greet(actor)
            return None
        except RayError:  # it will not be started again, or cannot be prepared
            return self._lose(actor)
        hello: Hello = answer[0] if waited.prepares else answer
        if not waited.prepares:
            if hello.token == self._hellos[actor].token:  # the old process, which is about to end
                self._greet(actor)
                time.sleep(0.01)
                return None
            waited.reference = self._actors[actor].prepare.options(max_task_retries=-1).remote(*self._arguments)
            waited.prepares = True
            return None
        self._hellos[actor] = hello
        del self._returning[actor]
        self._queues.setdefault(actor, deque())
        while (most := max(self._queues, key=self._load)) != actor and self._load(most) > self._load(actor) + 1:
            self.give(actor, self._queues[most].pop())
        return None

    def _look(self) -> Broken | Left | None:
        """What does not come as an answer: dead nodes, late calls, and actors that do not come back."""
        now = time.monotonic()
        lost = self._membership.dead(hello.node for hello in self._hellos.values())
        if (gone := next((a for a in self._actors if self.node(a) in lost), None)) is not None:
            return self._gone(gone, self._under_way.pop(gone, None))
        for actor, call in self._under_way.items():
            self._see_travel(actor, call, now)
            if now > call.sent_s + self._unit_s:
                del self._under_way[actor]
                self.restart(actor)
                return Broken(actor, call, late=True)
        for actor, waited in list(self._returning.items()):
            if now > waited.since_s + self._start_s:
                return self._lose(actor)
            if now > waited.since_s + BACK_S and self._hand_over(actor):
                return Left(len(self._queues))
        return None

    def _see_travel(self, actor: int, call: Call, now: float) -> None:
        """Gives up where what a call needs does not come to its actor's node, or the answer not from there."""
        node = self.node(actor)
        if not node or node == (here := this_node()):
            return
        coming = "" if call.arrived else f"what client actor {actor + 1} needs has not come to its node"
        away = self._membership.away(*((call.needs, node) if coming else (call.refs[:1], here)))
        call.arrived = call.arrived or not away
        if not away:
            call.moved_s = now
        elif now > call.moved_s + PATIENCE_S + away / SLOWEST:
            what = coming or f"what client actor {actor + 1} answers has not come from its node"
            raise Severed(f"{what} for {now - call.moved_s:.0f} s, though that is there")

    def _gone(self, actor: int, call: Call | None) -> Broken | Left | None:
        """Its node is dead, so what it was doing will not come; it may come back on another one."""
        self._hellos[actor] = replace(self._hellos[actor], node="")
        if actor not in self._returning:
            self._greet(actor)
        handed = self._hand_over(actor)
        if call is not None:
            return Broken(actor, call, late=False, gone=True)
        return Left(len(self._queues)) if handed else None

    def _hand_over(self, actor: int) -> bool:
        """Gives an actor's queue to those that are there; False where it has none, or nobody is."""
        if actor not in self._queues or not self._present():
            return False
        for call in self._queues.pop(actor):
            self.give(self._least(), call)
        return True

    def _lose(self, actor: int) -> Left | None:
        """Gives an actor up; None where the others have its calls already."""
        ray.kill(self._actors.pop(actor))
        del self._returning[actor], self._hellos[actor]
        if not self._actors:
            raise TrialLost("no client actor is left")
        if (orphans := self._queues.pop(actor, None)) is None:
            return None
        if not self._queues:
            self._queues[min(self._actors)] = deque()
        for call in orphans:
            self.give(self._least(), call)
        return Left(len(self._queues))

    def _present(self) -> list[int]:
        """Those that are there and prepared."""
        return [actor for actor in self._queues if actor not in self._returning]

    def _load(self, actor: int) -> int:
        return len(self._queues[actor]) + (actor in self._under_way)

    def _least(self) -> int:
        """Who has least to do."""
        return min(self._queues, key=lambda actor: (actor in self._returning, self._load(actor), actor))
