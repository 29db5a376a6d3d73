"""Following a study from its folder: one that another process runs, that was killed and goes on, or that is over."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from raysim.report.events import Doing, Event, Sink, StudyFinished, StudyStarted, TrialFailed, TrialFinished, TrialInfo
from raysim.report.live.again import Again, look
from raysim.report.live.journal import Journal
from raysim.report.reading.folder import JOURNAL, Holder, holder
from raysim.report.reading.folders import read
from raysim.report.reading.results import key

LOOK_S = 0.25
"""How often is looked for news."""
PATIENCE_S = 20.0
"""A journal that was written to within this time is of a process that works, where locks do not say so."""


class Clock:
    """The time of day, in seconds, or the time at which something happened that is told later."""

    def __init__(self) -> None:
        self.at: float | None = None

    def __call__(self) -> float:
        """What time it is for who is told."""
        return time.time() if self.at is None else self.at


def at_work(out: Path) -> Holder | None:
    """The process that works on a study; None where there is none.

    Raises:
        FolderError: the folder cannot be read.
    """
    found = holder(out)
    if found is None or found.alive or not found.elsewhere:
        return found if found is not None and found.alive else None
    try:
        silent_s = time.time() - (out / JOURNAL).stat().st_mtime
    except FileNotFoundError:
        return None
    return found if silent_s < PATIENCE_S else None


def follow(out: Path, sink: Sink, clock: Clock, pause: Callable[[], None] = lambda: time.sleep(LOOK_S)) -> None:
    """Tells a sink of a study, from its beginning until its end.

    One that is killed meanwhile is waited for: somebody may go on with it. Of one that nobody works on at first, all is
    told, and that it has stopped.

    Args:
        out: the study's folder.
        sink: what shows it.
        clock: what the sink takes for the time.
        pause: waits between two looks.

    Raises:
        FolderError: the folder holds no study, or no longer.
    """
    read([out])
    journal, once, said, began, newest = Journal(out), at_work(out) is None, False, 0.0, 0.0
    try:
        while True:
            works = at_work(out) is not None  # first: what it wrote before its end is there then
            last: Event | None = None
            for clock.at, last in told(journal, out):
                newest, began = clock.at, clock.at if isinstance(last, StudyStarted) else began
                sink.handle(last)
            if isinstance(last, StudyFinished):
                return
            if works:
                clock.at, said = None, False
                pause()
                continue
            clock.at = newest or None  # time stands still
            if once:
                for event in stopped(out, journal.again, newest - began if began else None):
                    sink.handle(event)
                return
            if not said:
                read([out])  # raises where it was never begun, and its folder is empty
                sink.handle(Doing(f"stopped: no process works on it; go on with: {go_on(out, journal.again)}"))
                said = True
            pause()
    finally:
        journal.close()


def told(journal: Journal, out: Path) -> Iterator[tuple[float, Event]]:
    """The news of a journal; the last event says how to go on from here."""
    for at, event in journal.news():
        if isinstance(event, StudyFinished):
            then = go_on(out, journal.again) if event.interrupted else look(out)
            yield at, StudyFinished(event.finished, event.failed, event.seconds, event.interrupted, then)
        else:
            yield at, event


def stopped(out: Path, again: Again | None, seconds: float | None) -> list[Event]:
    """The end of a study that said none.

    Args:
        out: its folder.
        again: how it was begun, where that is known.
        seconds: how long it was told of; None where nothing was told of its trials, which its files say then.
    """
    study = read([out])
    results = study.results
    ended = {key(trial): trial for trial in results.trials}
    whole = len(ended) == len(study.places)
    then = look(out) if whole else go_on(out, again)
    end = StudyFinished(len(results.summaries), len(results.failures), seconds or 0.0, interrupted=not whole, then=then)
    if seconds is not None:
        return [end]
    trials = tuple(ended.get(place) or TrialInfo(*place, 0, {}, 1, "", "", ()) for place in study.places)
    finished = [TrialFinished(trial, summary, earlier=True) for trial, summary in results.ordered]
    failed = [TrialFailed(trial, error) for trial, error in results.failures]
    return [StudyStarted(trials, str(out), ""), *finished, *failed, end]


def go_on(out: Path, again: Again | None) -> str:
    """The command to go on with a study, for a shell in the current folder."""
    return Again.here(out).unknown if again is None else again.go_on(str(Path.cwd()))
