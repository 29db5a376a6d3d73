"""A slot: runs one trial at a time on a server actor of its own. It never waits: it says which answer it needs next."""

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ray.exceptions import RayError

from raysim.engine.judging import too_poor
from raysim.engine.pace import BUDGET_S
from raysim.engine.placement import ActorPlan
from raysim.engine.server import Advanced, Started
from raysim.report.events import Event, Printed, RoundFinished, TrialFailed, TrialFinished, TrialInfo, Warned
from raysim.scenario.trial import Trial
from raysim.simulation.checkpoint import NoCheckpoint
from raysim.simulation.faults import Severed, TrialLost, one_line
from raysim.simulation.resolve import PlacementError
from raysim.simulation.snapshot import Snapshot

AHEAD = 2
"""Calls that the server has: while the sinks hear of one it works at the next, and waits for nobody."""
SERVER_GRACE_S = 60.0
LONG, LONG_S = 10, 10.0
"""After a trial that took so many times as long as its actors took to start, and so many seconds, these are not kept.

They grow from trial to trial, by 50 MB each: by what torch's libraries keep for the sizes that they have met.
"""


@dataclass(frozen=True)
class Work:
    """A trial for a slot.

    Attributes:
        trial: what to run.
        info: the trial as events name it.
        index: its place in the study, from 0.
        clients: how many it has.
        data: references as `Server.start` has them.
        judges: the reference to judges among these, which may have to learn first; None where there are none.
        dealt: what each client has, for partition.json; None where that is too long.
        rows: partition.npz, packed.
        slot: which slot runs it, from 0.
    """

    trial: Trial
    info: TrialInfo
    index: int
    clients: int
    data: Sequence[Any]
    judges: Any = None
    dealt: Mapping[str, Any] | None = None
    rows: bytes = b""
    slot: int = 0


@dataclass(frozen=True)
class Beginning:
    """How a trial begins, or goes on.

    Attributes:
        trial: with its numerics as they were, where it goes on.
        plan: its client actors.
        snapshot: what to go on from; None at the beginning.
        done: the records of rounds that were done before.
    """

    trial: Trial
    plan: ActorPlan
    snapshot: Snapshot | None = None
    done: Sequence[Mapping[str, Any]] = ()


class Owner(Protocol):
    """What a slot asks of its study."""

    def new_server(self) -> Any:
        """Starts a server actor."""
        ...

    def end_server(self, server: Any) -> None:
        """Ends one, and with it its client actors."""
        ...

    def beginning(self, work: Work) -> Beginning:
        """How a trial begins: from its newest checkpoint, where there is one.

        Raises:
            NoCheckpoint: there are some and none is intact.
            PlacementError: what is left of the cluster does not hold it.
        """
        ...

    def begun(self, work: Work, beginning: Beginning, started: Started) -> None:
        """A trial is under way."""
        ...

    def save(self, work: Work, started: Started, snapshot: Snapshot) -> float:
        """Writes a checkpoint; returns how long that took, in seconds."""
        ...

    def tell(self, event: Event) -> None:
        """Something happened."""
        ...


class NoAnswer(RuntimeError):
    """The server actor is late."""


class Slot:
    """Runs trials one after another; its server and client actors stay warm between short ones.

    Attributes:
        reference: the answer that it waits for; None when it is free.
        work: the trial that it has, or had last.
        more: the client actors for which there is room by now, until the server has been told.
        actors: how many it has, at most.
    """

    def __init__(self, owner: Owner) -> None:
        self.reference: Any = None
        self.work: Work | None = None
        self.more: ActorPlan | None = None
        self.actors = 0
        self._owner = owner
        self._server: Any = None
        self._steps: Generator[Any, Any, None] | None = None
        self._wait_s = self._deadline = self._start_s = 0.0
        self._round = 0

    def begin(self, work: Work) -> None:
        """Takes on a trial."""
        self.work, self.more = work, None
        self._wait_s = work.trial.scenario.placement.start_timeout_s + SERVER_GRACE_S
        self._steps = steps = self._run(work)
        self._go(lambda: next(steps))

    def answer(self, value: Any) -> None:
        """Goes on with the answer that it waited for."""
        assert self._steps is not None, "begin comes first"
        steps = self._steps
        self._go(lambda: steps.send(value))

    def fail(self, error: RayError | NoAnswer) -> None:
        """There will be no answer: the trial goes on from its checkpoint on another server, or fails."""
        assert self._steps is not None, "begin comes first"
        steps = self._steps
        self._go(lambda: steps.throw(error))

    def check_time(self, now: float) -> None:
        """Gives up where the answer is late, by the monotonic clock."""
        if self.reference is not None and now > self._deadline:
            self.fail(NoAnswer(f"no answer for {self._wait_s:g} s; raise placement.start_timeout_s if it needs longer"))

    def _go(self, step: Callable[[], Any]) -> None:
        try:
            self.reference = step()
        except StopIteration:
            self.reference = None
        self._deadline = time.monotonic() + self._wait_s

    def _run(self, work: Work) -> Generator[Any, Any, None]:
        """Yields references and is sent their values, or thrown why there is none.

        A trial whose server died, or could not go on, goes on from its last checkpoint; if that leads to no new round
        several times in a row, it fails.
        """
        if work.judges is not None and not (yield from self._judged(work)):
            return
        most, failures, furthest = work.trial.scenario.placement.max_failures, 0, 0
        while True:
            self._round = 0
            try:
                yield from self._attempt(work, fewer=failures > 0)
            except (NoCheckpoint, PlacementError) as error:
                self._owner.tell(TrialFailed(work.info, str(error)))
            except (RayError, TrialLost, NoAnswer) as error:
                failures = 1 if self._round > furthest else failures + 1
                furthest = max(furthest, self._round)
                reason, again = one_line(error), failures <= most and not isinstance(error, NoAnswer)
                # its server, with its client actors
                well = again and failures == 1 and isinstance(error, TrialLost) and not isinstance(error, Severed)
                if not well:
                    self._lose()
                if again:
                    where = "" if well else ", on another server actor"
                    self._owner.tell(Warned(f"the trial goes on from its last checkpoint{where}: {reason}", work.info))
                    continue
                times = f" {failures} times in a row" if failures > 1 else ""
                self._owner.tell(TrialFailed(work.info, f"the server actor is gone{times}: {reason}"))
            return

    def _judged(self, work: Work) -> Generator[Any, Any, bool]:
        """Waits for the judges, however long they learn; whether they are fit for the trial."""
        patience_s, self._wait_s = self._wait_s, math.inf
        try:
            error = too_poor(work.trial, (yield work.judges))
            problem = "" if error is None else str(error)
        except RayError as lost:
            problem = f"its judges did not learn: {one_line(lost)}"
        self._wait_s = patience_s
        if problem:
            self._owner.tell(TrialFailed(work.info, problem))
        return not problem

    def _attempt(self, work: Work, *, fewer: bool) -> Generator[Any, Any, None]:
        """A trial from its newest checkpoint to its end; with fewer client actors, if need be, where some are lost."""
        begin, new, asked_s = self._owner.beginning(work), self._server is None, time.monotonic()
        if new:
            self._server = self._owner.new_server()
        server = self._server
        started = yield server.start.remote(begin.trial, work.info, work.data, begin.plan, begin.snapshot, fewer=fewer)
        if isinstance(started, TrialFailed):
            self._owner.tell(started)
            return
        begun_s = time.monotonic()
        if new:
            self._start_s = begun_s - asked_s
        self.actors = started.actors
        self._owner.begun(work, begin, started)
        cost_s = 0.0
        ahead = deque(server.advance.remote(BUDGET_S, cost_s) for _ in range(AHEAD))
        while True:
            advanced: Advanced = yield ahead.popleft()
            end = advanced.events[-1] if advanced.ended else None
            if end is None:
                more, self.more = self.more, None
                self.actors = max(self.actors, more.count if more else 0)
                ahead.append(server.advance.remote(BUDGET_S, cost_s, more))
            for event in advanced.events[: -1 if end else None]:
                self._tell(work, event)
            at_end = work.trial.scenario.federation.checkpoint.at_end
            if advanced.snapshot is not None and (at_end or not isinstance(end, TrialFinished)):
                cost_s = self._owner.save(work, started, advanced.snapshot)
            if end is not None:
                self._owner.tell(end)
                if time.monotonic() - begun_s > max(LONG * self._start_s, LONG_S):
                    self._lose()
                return

    def _tell(self, work: Work, event: Event) -> None:
        if isinstance(event, RoundFinished):
            self._round = event.round
        self._owner.tell(replace(event, trial=work.info) if isinstance(event, Warned | Printed) else event)

    def _lose(self) -> None:
        if self._server is not None:
            self._owner.end_server(self._server)
            self._server = None
