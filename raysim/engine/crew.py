"""Client actors at work: one call at a time each, restarts, and time limits. Knows calls, not what they are about."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import (
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
from raysim.engine.states import StateLost
from raysim.scenario.schema import Placement
from raysim.simulation.faults import STATE_LOST, STORE_FULL, Stalled, TrialLost, one_line

_ray: Any = ray  # only partly typed
_DEAD = (RayActorError, NodeDiedError, WorkerCrashedError, OutOfMemoryError)


@dataclass(eq=False)
class Call:
    """Work for one actor; what it is about is for subclasses to say.

    Attributes:
        cost_s: how long it will take, about.
        failures: how often in a row it was begun and came to nothing.
        said: what was raised last, if anything.
        sent_s: when it was sent last, by the monotonic clock.
        refs: the answer's, once sent.
    """

    cost_s: float = 0.0
    failures: int = 0
    said: str = ""
    sent_s: float = 0.0
    refs: Sequence[Any] = ()

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
    """A call came to nothing, because its actor died or was late and is started again."""

    actor: int
    call: Call
    late: bool


@dataclass(frozen=True)
class Left:
    """An actor did not come back; the others have taken over its calls."""

    actors: int


class Crew:
    """Some actors, each with a queue of calls.

    Args:
        actors: their handles.
        hellos: what each has said of itself.
        arguments: of `Client.prepare`, for processes that are started again.
        placement: the time limits.
    """

    def __init__(
        self, actors: Sequence[Any], hellos: Sequence[Hello], arguments: tuple[Any, ...], placement: Placement
    ) -> None:
        self._actors, self._hellos, self._arguments = dict(enumerate(actors)), list(hellos), arguments
        self._unit_s, self._start_s = placement.unit_timeout_s, placement.start_timeout_s
        self._queues: dict[int, deque[Call]] = {actor: deque() for actor in self._actors}
        self._under_way: dict[int, Call] = {}
        self._returning: dict[int, tuple[Any, float]] = {}  # actor -> reference, until when

    @property
    def alive(self) -> list[int]:
        """The actors that can be given work."""
        return list(self._actors)

    @property
    def idle(self) -> list[int]:
        """Those that have nothing to do."""
        return [a for a, q in self._queues.items() if not q and a not in self._under_way and a not in self._returning]

    def handle(self, actor: int) -> Any:
        """An actor itself."""
        return self._actors[actor]

    def node(self, actor: int) -> str:
        """The id of the node on which it lives, or has lived."""
        return self._hellos[actor].node

    def calls(self, actor: int) -> Iterator[Call]:
        """Those of one actor that are under way or to come."""
        yield from (call for number, call in self._under_way.items() if number == actor)
        yield from self._queues[actor]

    def open(self) -> Iterator[Call]:
        """All calls that are under way or to come."""
        yield from self._under_way.values()
        for queue in self._queues.values():
            yield from queue

    def give(self, actor: int, call: Call) -> None:
        """Puts a call at the end of an actor's queue."""
        self._queues[actor].append(call)

    def again(self, actor: int, calls: Iterable[Call]) -> None:
        """Puts calls that were this actor's at the beginning of its queue, or of another's if it has left."""
        self._queues[actor if actor in self._queues else self._least()].extendleft(reversed(list(calls)))

    def restart(self, actor: int) -> None:
        """Ends an actor's process; Ray starts it again."""
        ray.kill(self._actors[actor], no_restart=False)
        self._greet(actor)

    def step(self, timeout_s: float) -> Answer | Broken | Left | None:
        """Sends what can be sent and waits for a while; None where nothing has happened.

        Raises:
            TrialLost: no actor is left, or a client's state is lost.
            Stalled: there is no room for an answer.
        """
        for actor, queue in self._queues.items():
            if queue and actor not in self._under_way and actor not in self._returning:
                self._send(actor, queue.popleft())
        references = {c.refs[0]: actor for actor, c in self._under_way.items()}
        references |= {reference: actor for actor, (reference, _) in self._returning.items()}
        ready, _ = _ray.wait(list(references), timeout=timeout_s)
        if not ready:
            return self._late()
        actor = references[ready[0]]
        if actor in self._returning:
            return self._welcome(actor, ready[0])
        return self._receive(actor, self._under_way.pop(actor), ready[0])

    def _receive(self, actor: int, call: Call, reference: Any) -> Answer | Broken:
        try:
            return Answer(actor, call, _ray.get(reference))
        except (ObjectStoreFullError, OutOfDiskError) as error:
            raise Stalled(STORE_FULL) from error
        except StateLost as error:
            raise TrialLost(STATE_LOST) from error
        except ObjectLostError:  # it has come back, and its node has gone with the answer
            self.restart(actor)
            return Broken(actor, call, late=False)
        except NotPrepared as error:
            self._hellos[actor] = replace(self._hellos[actor], token=str(error.args[0]))
            self._actors[actor].prepare.remote(*self._arguments)
            return Broken(actor, call, late=False)
        except _DEAD:
            self._greet(actor)
            return Broken(actor, call, late=False)
        except RayTaskError as error:
            raise TrialLost(f"a client actor's call failed: {one_line(error)}") from error

    def _send(self, actor: int, call: Call) -> None:
        call.sent_s = time.monotonic()
        call.refs = call.send(self._actors[actor])
        self._under_way[actor] = call

    def _greet(self, actor: int) -> None:
        """Asks for a sign of life, which comes once Ray has started the actor again, without its memory."""
        until = self._returning[actor][1] if actor in self._returning else time.monotonic() + self._start_s
        self._returning[actor] = (self._actors[actor].hello.options(max_task_retries=-1).remote(), until)

    def _welcome(self, actor: int, reference: Any) -> Left | None:
        try:
            hello: Hello = _ray.get(reference)
        except RayError:  # it will not be started again
            return self._lose(actor)
        if hello.token == self._hellos[actor].token:  # the old process, which is about to end
            self._greet(actor)
            time.sleep(0.01)
            return None
        self._hellos[actor] = hello
        del self._returning[actor]
        self._actors[actor].prepare.remote(*self._arguments)
        return None

    def _late(self) -> Broken | Left | None:
        now = time.monotonic()
        for actor, call in self._under_way.items():
            if now > call.sent_s + self._unit_s:
                del self._under_way[actor]
                self.restart(actor)
                return Broken(actor, call, late=True)
        for actor, (_, until) in self._returning.items():
            if now > until:
                return self._lose(actor)
        return None

    def _lose(self, actor: int) -> Left:
        ray.kill(self._actors.pop(actor))
        del self._returning[actor]
        orphans = self._queues.pop(actor)
        if not self._actors:
            raise TrialLost("no client actor is left")
        for call in orphans:
            self._queues[self._least()].append(call)
        return Left(len(self._actors))

    def _least(self) -> int:
        """Who has least to do."""
        return min(self._queues, key=lambda actor: (len(self._queues[actor]), actor))
