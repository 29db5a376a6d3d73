"""The sink of a tracker: events become runs and figures, which a thread tells, so that nobody waits for a tracker.

A trial's folder holds `<tracker>.run.json`: what the tracker calls its run, by which a resumed study goes on with it,
and whether it has all of it. What was not told, because the tracker failed or the process ended, is told by `--resume`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Any

from raysim.disk import write
from raysim.report.events import (
    Event,
    RoundFinished,
    StudyFinished,
    TrialFailed,
    TrialFinished,
    TrialInfo,
    TrialStarted,
    Warned,
)
from raysim.report.reading.results import key
from raysim.report.trackers.base import Run, Tracker
from raysim.report.trackers.figures import of_round, parameters, reported
from raysim.scenario.errors import one_line
from raysim.scenario.model import MODEL
from raysim.scenario.source import read

REPORT, SCENARIO, METRICS = "report.md", "scenario.yaml", "metrics.jsonl"
WAITING = 100_000
"""So many rounds may wait to be told; a tracker that lags behind more has failed."""
SHORT_S, INTERRUPTED_S = 3.0, 10.0
_MISSED = "the study goes on without it, and what it misses is told by --resume"
Rounds = Sequence[tuple[int, Mapping[str, float]]]


@dataclass
class _Open:
    """A run under way and the steps that it shows."""

    run: Run
    steps: set[int]


class TrackingSink:
    """Tells one tracker of the trials of some scenarios.

    Args:
        name: what the tracker is found by.
        tracker: is told.
        scenarios: whose trials.
        out: the study's folder.
        tell: takes a warning.
    """

    def __init__(
        self, name: str, tracker: Tracker, scenarios: Iterable[str], out: Path, tell: Callable[[Event], None]
    ) -> None:
        self._name, self._tracker, self._scenarios, self._out, self._tell = name, tracker, {*scenarios}, out, tell
        self._jobs: Queue[Callable[[], None] | None] = Queue(WAITING)
        self._thread = Thread(target=self._work, name=f"raysim-{name}", daemon=True)
        self._open: dict[tuple[str, str], _Open] = {}
        self._finished: list[Run] = []
        self._problem = ""
        self._told = self._over = False

    def handle(self, event: Event) -> None:
        """Notes what is to be told."""
        self._complain()
        trial = getattr(event, "trial", None)
        if trial is not None and trial.scenario not in self._scenarios:
            return
        match event:
            case TrialStarted():
                self._ask(partial(self._begin, event.trial, [_figures(record) for record in event.done]))
            case RoundFinished():
                self._ask(partial(self._log, event.trial, [_figures(event.record)]))
            case TrialFinished():
                self._ask(partial(self._catch_up if event.earlier else self._finish, event.trial, event.summary))
            case TrialFailed():
                self._ask(partial(self._fail, event.trial, event.error))
            case StudyFinished():
                self._end(interrupted=event.interrupted)
            case _:
                pass

    def close(self) -> None:
        """Ends the runs that are under way, where the study's end did not."""
        self._end(interrupted=True)

    def _ask(self, job: Callable[[], None]) -> None:
        if self._problem or self._over:
            return
        if self._thread.ident is None:
            self._thread.start()
        try:
            self._jobs.put_nowait(job)
        except Full:
            self._problem = f"{WAITING} rounds wait for it"

    def _end(self, *, interrupted: bool) -> None:
        """Waits until all is told, as long as is allowed."""
        if self._over or self._thread.ident is None:
            return
        self._ask(self._stop_all)
        self._over = True
        patience = self._tracker.options.timeout_s
        patience = min(patience, INTERRUPTED_S) if interrupted else patience
        self._thread.join(min(patience, SHORT_S))
        if self._thread.is_alive() and patience > SHORT_S:
            left = f"still has {self._jobs.qsize() + 1} things to be told, for which it gets {patience - SHORT_S:.0f} s"
            self._tell(Warned(f"{self._name}: {left}"))
            self._thread.join(patience - SHORT_S)
        if self._thread.is_alive():
            self._problem = self._problem or f"no answer within {patience:.0f} s"
        self._complain()

    def _complain(self) -> None:
        if self._problem and not self._told:
            self._told = True
            self._tell(Warned(one_line(f"{self._name}: {self._problem}; {_MISSED}")))

    def _work(self) -> None:
        """The thread: one job after another, until the last or the first that fails."""
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever a tracker raises must not end the study; it is said
                self._problem = f"{type(error).__name__}: {_first_line(error)}"
                return

    def _begin(self, trial: TrialInfo, done: Rounds) -> None:
        folder = self._out / trial.scenario / trial.name
        settings: Any = read(folder / SCENARIO).plain()
        found = parameters(settings, trial.seed, trial.grid)
        run = Run(
            self._out.resolve().name, trial.scenario, trial.name, folder, found, self._noted(folder).get("id", "")
        )
        begun = self._tracker.begin(run)
        run = replace(run, id=begun.id)
        self._open[key(trial)] = _Open(run, {*begun.steps})
        self._note(run, finished=False)
        self._log(trial, done)

    def _log(self, trial: TrialInfo, rounds: Rounds) -> None:
        under_way = self._open[key(trial)]
        for number, figures in rounds:
            if number not in under_way.steps:
                self._tracker.log(under_way.run, number, figures)
                under_way.steps.add(number)

    def _finish(self, trial: TrialInfo, summary: Mapping[str, Any]) -> None:
        run = self._open.pop(key(trial)).run
        model = [run.folder / MODEL] if self._tracker.options.model else []
        files = [run.folder / SCENARIO, self._out / REPORT, *model]
        self._tracker.finish(run, reported(summary), [file for file in files if file.exists()])
        self._note(run, finished=True)
        self._finished.append(run)

    def _catch_up(self, trial: TrialInfo, summary: Mapping[str, Any]) -> None:
        """Tells of a trial that was finished before, if that was not done then."""
        folder = self._out / trial.scenario / trial.name
        if not self._noted(folder).get("finished"):
            lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
            self._begin(trial, [_figures(json.loads(line)) for line in lines])
            self._finish(trial, summary)

    def _fail(self, trial: TrialInfo, error: str) -> None:
        """Ends a run for good: another attempt is another run."""
        if (failed := self._open.pop(key(trial), None)) is not None:
            self._tracker.stop(failed.run, error)
            self._file(failed.run.folder).unlink(missing_ok=True)

    def _stop_all(self) -> None:
        for under_way in self._open.values():
            self._tracker.stop(under_way.run, "")
        if (report := self._out / REPORT).exists():
            for run in self._finished:
                self._tracker.attach(run, report)
        self._tracker.close()
        self._jobs.put(None)

    def _file(self, folder: Path) -> Path:
        return folder / f"{self._name.replace(':', '.')}.run.json"

    def _noted(self, folder: Path) -> Mapping[str, Any]:
        """What is known of a trial's run; nothing where there is none, or other options lead elsewhere."""
        try:
            found: Mapping[str, Any] = json.loads(self._file(folder).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found if found.get("options") == self._options() else {}

    def _note(self, run: Run, *, finished: bool) -> None:
        text = json.dumps({"id": run.id, "finished": finished, "options": self._options()}, indent=1) + "\n"
        write(self._file(run.folder), text.encode())

    def _options(self) -> Any:
        return self._tracker.options.model_dump(mode="json", exclude={"timeout_s", "model"})


def _figures(record: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    return record["round"], of_round(record)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")[:300]
