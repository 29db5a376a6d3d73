"""What the live terminal shows, folded from events. Knows no rich, so that screens are made from recorded events."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raysim.report.events import (
    CheckpointWritten,
    ClientsFinished,
    Doing,
    Event,
    Resources,
    RoundFinished,
    RoundStarted,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialInfo,
    TrialStarted,
    Warned,
)
from raysim.report.reading.generation import headline
from raysim.report.reading.results import Results, key
from raysim.report.scores import central, over_clients


@dataclass(frozen=True)
class Seen:
    """What is shown of a client: samples, mean loss, seconds."""

    client: int
    samples: int
    loss: float
    seconds: float


@dataclass
class TrialState:
    """A trial that has begun. A round may end after the next one has begun: `record` is older than `round` then.

    Attributes:
        start: how it began. began: when.
        running: whether it is under way.
        round, phase, cohort: of the round that began last.
        back: the clients of the cohort that are done.
        reports: each client's last report, which may be of an earlier round: where it stands.
        record: the last finished round. ended: when it was.
        done: finished rounds. earlier: those of them that were done before it went on from a checkpoint.
        checkpoint: the last one.
        scores: split -> metric -> value at the last evaluation.
        history: metric -> its value on the validation split at each evaluation.
        made: the last round in which generation was measured, with the figure that stands for all and its value.
    """

    start: TrialStarted
    began: float
    running: bool = True
    round: int = 0
    phase: str = ""
    cohort: tuple[int, ...] = ()
    back: set[int] = field(default_factory=set[int])
    reports: dict[int, tuple[ClientsFinished, int]] = field(default_factory=dict[int, tuple[ClientsFinished, int]])
    record: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ended: float = 0.0
    done: int = 0
    earlier: int = 0
    checkpoint: CheckpointWritten | None = None
    scores: dict[str, Mapping[str, float | None]] = field(default_factory=dict[str, Mapping[str, float | None]])
    history: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    made: tuple[int, str, float] | None = None

    @property
    def info(self) -> TrialInfo:
        """The trial."""
        return self.start.trial

    def seen(self, client: int) -> Seen | None:
        """A client's last report."""
        if client not in self.reports:
            return None
        event, i = self.reports[client]
        return Seen(client, int(event.samples[i]), float(event.loss[i]), float(event.seconds[i]))

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return self.done / self.info.rounds

    @property
    def spent_s(self) -> float:
        """The time that its finished rounds took."""
        return self.ended - self.began if self.done > self.earlier else 0.0

    @property
    def round_s(self) -> float | None:
        """The mean time of its rounds; None before the first has ended."""
        return self.spent_s / (self.done - self.earlier) if self.done > self.earlier else None

    def left_s(self, now: float) -> float | None:
        """Time until it ends, at the pace of its rounds so far; None when unknown."""
        if not self.running or self.round_s is None:
            return None
        spent = min(now - self.ended, self.round_s)  # a slow round must not eat the time of the next ones
        return max((self.info.rounds - self.done) * self.round_s - spent, 0.0)

    def fold(self, event: RoundStarted | ClientsFinished | RoundFinished | CheckpointWritten, now: float) -> None:
        """Takes in one event of this trial."""
        match event:
            case RoundStarted():
                self.round, self.phase, self.cohort, self.back = event.round, event.phase, event.cohort, set()
            case ClientsFinished():
                clients: list[int] = event.clients.tolist()
                self.reports.update((client, (event, i)) for i, client in enumerate(clients))
                if event.round == self.round:
                    self.back.update(clients)
            case CheckpointWritten():
                self.checkpoint = event
            case RoundFinished():
                self.ended = now
                self._count(event.record)

    @classmethod
    def of(cls, start: TrialStarted, now: float) -> "TrialState":
        """A trial that begins at the time `now`, perhaps with rounds that were done before."""
        state = cls(start, now, earlier=len(start.done))
        for record in start.done:
            state._count(record)
        return state

    def _count(self, record: Mapping[str, Any]) -> None:
        self.record, self.done = record, self.done + 1
        if (made := headline(record.get("generation") or {})) is not None:
            self.made = (record["round"], *made)
        if scores := central(record) or over_clients(record):
            self.scores = scores
        for metric, value in scores.get("validation", {}).items():
            if value is not None:
                self.history.setdefault(metric, []).append(value)


@dataclass
class State:
    """A study under way. Times are those of the clock that the caller of `fold` reads, in seconds.

    Attributes:
        results: the trials that ended.
        warnings: all so far.
        resources: the last look at the machine.
        slots: trials that run at a time.
        live: the trials under way, the oldest first.
        last: the trial that ended last, until the next begins.
        began: when the study did.
        doing: what it is about while no trial is under way, and since when; empty while one is.
    """

    results: Results = field(default_factory=Results)
    warnings: list[Warned] = field(default_factory=list[Warned])
    resources: Resources | None = None
    slots: int = 1
    live: dict[tuple[str, str], TrialState] = field(default_factory=dict[tuple[str, str], TrialState])
    last: TrialState | None = None
    began: float = 0.0
    doing: str = ""
    doing_since: float = 0.0
    _begun: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _rounds: int = 0
    _rounds_s: float = 0.0

    def fold(self, event: Event, now: float) -> None:
        """Takes in one event that happened at the time `now`."""
        self.results.fold(event)
        match event:
            case Doing():
                self.doing, self.doing_since = event.text, now
            case StudyStarted():  # once more where another process goes on
                self.began, self.slots, self.doing = now, event.slots, ""
                self.live, self.last, self.warnings = {}, None, []
                self._begun, self._rounds, self._rounds_s = set(), 0, 0.0
            case TrialStarted():
                if (before := self.live.pop(key(event.trial), None)) is not None:  # its server actor died
                    self._count(before)
                self.live[key(event.trial)] = TrialState.of(event, now)
                self.slots = max(self.slots, len(self.live))
                self._begun.add(key(event.trial))
                self.last, self.doing = None, ""
            case RoundStarted() | ClientsFinished() | RoundFinished() | CheckpointWritten():
                self.live[key(event.trial)].fold(event, now)
            case TrialFinished() | TrialFailed():
                self._end(event.trial)
            case Warned():
                self.warnings.append(event)
            case Resources():
                self.resources = event
            case _:
                pass

    @property
    def focus(self) -> TrialState | None:
        """The trial to show in full: the oldest under way, else the last one."""
        return next(iter(self.live.values()), self.last)

    @property
    def trials_ended(self) -> int:
        """Finished or failed."""
        return len(self.results.summaries) + len(self.results.failures)

    @property
    def share(self) -> float:
        """How much of the study is done, 0 to 1; all trials count the same."""
        return (self.trials_ended + sum(t.share for t in self.live.values())) / max(len(self.results.trials), 1)

    def left_s(self, now: float) -> float | None:
        """Time until the study ends; None when unknown.

        The trials to come take the slots as these get free, in order, at the mean pace of all rounds so far.
        """
        rounds = self._rounds + sum(t.done - t.earlier for t in self.live.values())
        if not rounds:
            return None
        pace = (self._rounds_s + sum(t.spent_s for t in self.live.values())) / rounds
        free: list[float] = []
        for trial in self.live.values():
            left = trial.left_s(now)
            free.append(pace * trial.info.rounds if left is None else left)
        free += [0.0] * (self.slots - len(free))
        heapq.heapify(free)
        for trial in self.results.trials:
            if key(trial) not in self._begun:
                heapq.heapreplace(free, free[0] + pace * trial.rounds)
        return max(free)

    def _end(self, trial: TrialInfo) -> None:
        self._begun.add(key(trial))  # one that does not fit ends without a beginning
        if (ended := self.live.pop(key(trial), None)) is not None:
            ended.running = False
            self.last = ended
            self._count(ended)

    def _count(self, trial: TrialState) -> None:
        self._rounds += trial.done - trial.earlier
        self._rounds_s += trial.spent_s
