"""What the live terminal shows, folded from events. Knows no rich, so that screens are made from recorded events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raysim.report.events import (
    ClientFinished,
    Event,
    Resources,
    RoundFinished,
    RoundStarted,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    Warned,
)
from raysim.report.results import Results


@dataclass
class State:
    """A study under way. Times are those of the clock that the caller of `fold` reads, in seconds.

    Attributes:
        results: the trials that ended.
        warnings: all so far.
        resources: the last look at the machine.
        trial: the current trial, or the last one until the next begins.
        running: whether that trial is under way.
        round, phase, cohort: of the current round.
        back: the clients of the cohort that are done.
        reports: each client's last report, which may be of an earlier round.
        record: the last finished round.
        scores: split -> metric -> value at the last evaluation.
        history: metric -> its value on the validation split at each evaluation.
    """

    results: Results = field(default_factory=Results)
    warnings: list[str] = field(default_factory=list[str])
    resources: Resources | None = None
    trial: TrialStarted | None = None
    running: bool = False
    round: int = 0
    phase: str = ""
    cohort: tuple[int, ...] = ()
    back: set[int] = field(default_factory=set[int])
    reports: dict[int, ClientFinished] = field(default_factory=dict[int, ClientFinished])
    record: Mapping[str, Any] = field(default_factory=dict[str, Any])
    scores: dict[str, Mapping[str, float | None]] = field(default_factory=dict[str, Mapping[str, float | None]])
    history: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    began: float = 0.0
    _trial_began: float = 0.0
    _round_ended: float = 0.0
    _rounds_done: int = 0
    _rounds_of_study: int = 0

    def fold(self, event: Event, now: float) -> None:
        """Takes in one event that happened at the time `now`."""
        self.results.fold(event)
        match event:
            case StudyStarted():
                self.began = now
            case TrialStarted():
                self._begin(event, now)
            case RoundStarted():
                self.round, self.phase, self.cohort, self.back = event.round, event.phase, event.cohort, set()
            case ClientFinished():
                self.back.add(event.client)
                self.reports[event.client] = event
            case RoundFinished():
                self._round(event, now)
            case TrialFinished() | TrialFailed():
                self.running = False
            case Warned():
                self.warnings.append(event.text)
            case Resources():
                self.resources = event
            case _:
                pass

    @property
    def trials_ended(self) -> int:
        """Finished or failed."""
        return len(self.results.summaries) + len(self.results.failures)

    @property
    def trial_share(self) -> float:
        """How much of the current trial is done, 0 to 1."""
        return self._rounds_done / self.trial.trial.rounds if self.trial else 0.0

    @property
    def study_share(self) -> float:
        """How much of the study is done, 0 to 1; all trials count the same."""
        current = self.trial_share if self.running else 0.0
        return (self.trials_ended + current) / max(len(self.results.trials), 1)

    @property
    def round_s(self) -> float | None:
        """The mean time of this trial's rounds; None before the first has ended."""
        return (self._round_ended - self._trial_began) / self._rounds_done if self._rounds_done else None

    def trial_left_s(self, now: float) -> float | None:
        """Time until the current trial ends, at the pace of its rounds so far; None when unknown."""
        if self.trial is None or not self.running or self.round_s is None:
            return None
        left = self.trial.trial.rounds - self._rounds_done
        spent = min(now - self._round_ended, self.round_s)  # a slow round must not eat the time of the next ones
        return max(left * self.round_s - spent, 0.0)

    def study_left_s(self, now: float) -> float | None:
        """Time until the study ends: this trial's, and that of the trials to come at the study's pace."""
        if not self._rounds_of_study:
            return None
        ahead = self.results.trials[self.trials_ended + self.running :]
        pace = (self._round_ended - self.began) / self._rounds_of_study
        current = self.trial_left_s(now)
        if current is None:
            current = pace * self.trial.trial.rounds if self.trial and self.running else 0.0
        return current + pace * sum(t.rounds for t in ahead)

    def _begin(self, event: TrialStarted, now: float) -> None:
        self.trial, self.running = event, True
        self.round, self.phase, self.cohort, self.back = 0, "", (), set()
        self.reports, self.record, self.scores, self.history = {}, {}, {}, {}
        self._trial_began, self._rounds_done = now, 0

    def _round(self, event: RoundFinished, now: float) -> None:
        self.record, self._round_ended = event.record, now
        self._rounds_done += 1
        self._rounds_of_study += 1
        splits = ("validation", "test", "test_unmasked")
        if scores := {s: event.record[s] for s in splits if s in event.record}:
            self.scores = scores
            for metric, value in scores.get("validation", {}).items():
                if value is not None:
                    self.history.setdefault(metric, []).append(value)
