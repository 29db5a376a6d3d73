"""Keeps a URL equal to the folder of a study that is under way.

What has changed goes there in a thread of its own, in the order of `raysim.report.changes`.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Signal
from typing import Literal, Self

from raysim.aside import aside
from raysim.disk import is_url
from raysim.report.changes import Now, lines_of, snapshot, steps, trial_of, was_cut
from raysim.report.events import Doing, Event, StudyFinished, TrialStarted, Warned
from raysim.report.reading.copy import BEAT_S, Copy, files_in, silent
from raysim.report.reading.folder import FolderError

EVERY_S = 2.0
"""What has changed waits so long for other changes, and at least as long as the last ones took."""
SHARE = 20.0
"""A file that grows goes again after so many times the seconds that it took, unless a checkpoint counts its lines."""
AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses before a store that failed is tried again."""
TRIES = 4
"""So many tries in a row, of which nothing came, are the last ones at a study's end."""
SHORT_S = 2.0


class Unsent(OSError):
    """At a study's end not all is at its URL; one line."""


@dataclass(frozen=True)
class Result:
    """What came of a pass: how many files, and what went wrong."""

    moved: int = 0
    problem: str = ""


class Mirror:
    """A block in which a study's folder is held, and after which its URL has all that the folder has.

    Args:
        copy: of the study.
        resume: whether it is gone on with.
        say: is told what takes long before the study begins.

    Raises:
        FolderError: (at the beginning) the store cannot be used.
        Unsent: (at the end) it has not got all.
    """

    def __init__(self, copy: Copy, *, resume: bool, say: Callable[[str], None] = silent) -> None:
        self.copy, self._resume, self._say = copy, resume, say
        self._begun = self._over = False
        self._anew: dict[str, int] = {}
        self._changed, self._ending, self._ended, self._closed = Signal(), Signal(), Signal(), Signal()
        self._later: dict[str, float] = {}
        self._problem = ""

    def __enter__(self) -> Self:
        self.copy.begin(resume=self._resume, say=self._say)
        aside(self._beat)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        problem = self.finish() if self._begun and not self._over else self._problem
        self._closed.set()
        if not self._begun and not self._resume:
            self.copy.leave()
        elif not problem:
            problem = self._end()
        if problem and kind is None:
            raise Unsent(f"{self.copy.url}: not all is there: {problem}; {self.copy.folder} has all")

    def note(self, event: Event) -> None:
        """The folder has changed."""
        if isinstance(event, TrialStarted):
            self._goes_back(f"{event.trial.scenario}/{event.trial.name}", len(event.done))
        if not self._begun and (hasattr(event, "trial") or isinstance(event, StudyFinished)):
            self._begun = True
            aside(self._work)
        self._changed.set()

    @property
    def problem(self) -> str:
        """Why the store does not take what it is given; empty where it does."""
        return self._problem

    def finish(self, tell: Callable[[int], None] | None = None) -> str:
        """Sends what is not there yet; returns why that was not possible, or nothing.

        Args:
            tell: is told how many files that are, where it takes longer than a moment.
        """
        self._ending.set()
        last = aside(self._last)
        try:
            if wait([last], SHORT_S).not_done and tell is not None:
                tell(sum(self.copy.files.get(n) != seen for n, seen in files_in(self.copy.folder).items()))
            return last.result()
        except KeyboardInterrupt:
            self._over, self._problem = True, "interrupted"
            return self._problem

    def _work(self) -> None:
        """The thread: passes until the end is near."""
        pause, failed = EVERY_S, 0
        try:
            while not self._ending.wait(pause):
                if not self._changed.is_set() and not failed:
                    pause = EVERY_S
                    continue
                self._changed.clear()
                began = time.monotonic()
                self._problem = self._pass(final=False).problem
                failed = failed + 1 if self._problem else 0
                pause = AGAIN_S[min(failed, len(AGAIN_S)) - 1] if failed else max(EVERY_S, time.monotonic() - began)
        finally:
            self._ended.set()

    def _last(self) -> str:
        """The end: passes until nothing is left, or nothing comes of them."""
        self._ended.wait()
        fruitless = 0
        while not self._over:
            found = self._pass(final=True)
            self._problem = found.problem
            if not found.problem and not found.moved:
                break
            fruitless = 0 if found.moved else fruitless + 1
            self._over = fruitless == TRIES
            if found.problem and not self._over:
                time.sleep(AGAIN_S[fruitless])
        return self._problem

    def _end(self) -> str:
        """Says there that the run has ended; returns why that was not possible, or nothing."""
        try:
            self.copy.end()
        except FolderError as error:
            return str(error)
        return ""

    def _beat(self) -> None:
        """The thread that says that this run is at work; ends when another one has taken over."""
        while not self._closed.wait(BEAT_S):
            try:
                if other := self.copy.other():
                    self._problem, self._over = f"{other} writes there now", True
                    return
                self.copy.beat()
            except FolderError:  # passes say so
                continue

    def _goes_back(self, trial: str, done: int) -> None:
        self._anew[trial] = min(done, self._anew.get(trial, done))

    def _pass(self, *, final: bool) -> Result:
        """Makes the URL what the folder is now."""
        anew, self._anew = self._anew, dict[str, int]()
        staging = self.copy.home / "staging"
        shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
        now = snapshot(self.copy.folder, self.copy.files, staging)
        cut = [name for name, seen in now.here.items() if was_cut(name, seen, now.there)]
        anew = {trial_of(name): lines_of(self.copy.folder / name) for name in cut} | anew
        held = set[str]() if final else {name for name, due in self._later.items() if time.monotonic() < due}
        moved, problem = 0, ""
        for what, names in steps(now.here, now.there, anew, held):
            count, problem = self._step(what, names, now)
            moved += count
            if problem:
                break
        if now.left or any(now.here.get(name) != now.there.get(name) for name in held):
            self._changed.set()  # what had to wait goes next, also where nothing happens until then
        for trial, done in anew.items():
            if problem or trial in now.left:
                self._goes_back(trial, done)
        shutil.rmtree(staging, ignore_errors=True)
        return Result(moved, problem)

    def _step(self, what: Literal["put", "remove"], names: Sequence[str], now: Now) -> tuple[int, str]:
        """How many files were moved, and what went wrong."""
        if self._over:
            return 0, self._problem
        if not names:
            return 0, ""
        began = time.monotonic()
        if what == "put":
            done, problem = self.copy.store.put({name: now.paths[name] for name in names})
            self.copy.files |= {name: now.here[name] for name in done}
            took_s = (time.monotonic() - began) / max(len(done), 1)
            self._later |= {name: time.monotonic() + SHARE * took_s for name in done}
        else:
            done, problem = self.copy.store.remove(names)
            self.copy.files = {name: seen for name, seen in self.copy.files.items() if name not in done}
        if done:
            self.copy.save()
        return len(done), problem


def target(out: Path, *, resume: bool, say: Callable[[str], None] = silent) -> tuple[Path, Mirror | None]:
    """The folder where a study is written, and what keeps a URL equal to it, where `out` is one.

    Args:
        out: a folder, or a URL.
        resume: whether the study is gone on with.
        say: is told what takes long before it begins.

    Raises:
        FolderError: nothing can be reached by the URL.
    """
    if not is_url(out):
        return out, None
    mirror = Mirror(Copy(str(out)), resume=resume, say=say)
    return mirror.copy.folder, mirror


class MirrorSink:
    """Tells a mirror what has happened, and others of its troubles, once.

    Args:
        mirror: keeps the URL.
        tell: takes a warning, or what goes on.
    """

    def __init__(self, mirror: Mirror, tell: Callable[[Event], None]) -> None:
        self._mirror, self._tell, self._told = mirror, tell, False

    def handle(self, event: Event) -> None:
        """At the study's end waits until all is there."""
        self._mirror.note(event)
        if isinstance(event, StudyFinished):
            url = self._mirror.copy.url
            self._mirror.finish(lambda count: self._tell(Doing(f"sending what is not at {url} yet: {count} files")))
        elif (problem := self._mirror.problem) and not self._told:
            self._told = True
            reason = f"{problem}; the study goes on here, and what is missing there is sent again"
            self._tell(Warned(f"{self._mirror.copy.url}: {reason}"))

    def close(self) -> None:
        """The mirror's block ends later."""
