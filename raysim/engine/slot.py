"""A slot: runs one trial at a time on a server actor of its own. It never waits: it says which answer it needs next."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ray.exceptions import RayError

from raysim.engine.placement import ActorPlan
from raysim.engine.server import Started
from raysim.report.events import Event, TrialFailed, TrialFinished, TrialInfo, Warned
from raysim.scenario.trial import Trial

BUDGET_S = 0.25
"""How long the server works between two looks at the keyboard."""
SERVER_GRACE_S = 60.0


@dataclass(frozen=True)
class Work:
    """A trial for a slot.

    Attributes:
        trial: what to run.
        info: the trial as events name it.
        index: its place in the study, from 0.
        clients: how many it has.
        data: references to the dataset and to how it is dealt out.
        plan: its client actors.
    """

    trial: Trial
    info: TrialInfo
    index: int
    clients: int
    data: Sequence[Any]
    plan: ActorPlan


class Owner(Protocol):
    """What a slot asks of its study."""

    def new_server(self) -> Any:
        """Starts a server actor."""
        ...

    def end_server(self, server: Any) -> None:
        """Ends one, and with it its client actors."""
        ...

    def begun(self, work: Work, started: Started) -> None:
        """A trial is under way."""
        ...

    def tell(self, event: Event) -> None:
        """Something happened."""
        ...


class NoAnswer(RuntimeError):
    """The server actor is late."""


class Slot:
    """Runs trials one after another; its server and client actors stay warm between them.

    Attributes:
        reference: the answer that it waits for; None when it is free.
    """

    def __init__(self, owner: Owner) -> None:
        self.reference: Any = None
        self._owner = owner
        self._server: Any = None
        self._steps: Generator[Any, Any, None] | None = None
        self._wait_s = self._deadline = 0.0

    def begin(self, work: Work) -> None:
        """Takes on a trial."""
        self._wait_s = work.trial.scenario.placement.start_timeout_s + SERVER_GRACE_S
        self._steps = steps = self._run(work)
        self._go(lambda: next(steps))

    def answer(self, value: Any) -> None:
        """Goes on with the answer that it waited for."""
        assert self._steps is not None, "begin comes first"
        steps = self._steps
        self._go(lambda: steps.send(value))

    def fail(self, error: RayError | NoAnswer) -> None:
        """There will be no answer: the trial fails, and the next one gets another server."""
        assert self._steps is not None, "begin comes first"
        steps = self._steps
        self._go(lambda: steps.throw(error))

    def check_time(self, now: float) -> None:
        """Gives up where the answer is late, by the monotonic clock."""
        if self.reference is not None and now > self._deadline:
            self.fail(NoAnswer(f"no answer for {self._wait_s:g} s; raise placement.start_timeout_s if it needs longer"))

    def _go(self, step: Callable[[], Any]) -> None:
        self._deadline = time.monotonic() + self._wait_s
        try:
            self.reference = step()
        except StopIteration:
            self.reference = None

    def _run(self, work: Work) -> Generator[Any, Any, None]:
        """Yields references and is sent their values, or thrown why there is none."""
        try:
            if self._server is None:
                self._server = self._owner.new_server()
            server = self._server
            started = yield server.start.remote(work.trial, work.info, work.data, work.plan)
            if isinstance(started, TrialFailed):
                self._owner.tell(started)
                return
            self._owner.begun(work, started)
            over = False
            while not over:
                events: list[Event] = yield server.advance.remote(BUDGET_S)
                for event in events:
                    over = over or isinstance(event, TrialFinished | TrialFailed)
                    self._owner.tell(replace(event, trial=work.info) if isinstance(event, Warned) else event)
        except (RayError, NoAnswer) as error:
            if self._server is not None:
                self._owner.end_server(self._server)
                self._server = None
            reason = " ".join(str(error).split())[:300]
            self._owner.tell(TrialFailed(work.info, f"the server actor is gone: {reason}"))
