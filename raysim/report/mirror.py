"""Keeps a URL equal to the folder of a study that is under way.

What has changed goes there in a thread of its own, in an order by which whoever reads there, or goes on with the study
after this machine is lost, finds something whole at any moment: what others refer to goes first, a checkpoint's
manifest after its files, and a summary last; what a trial's new beginning has made untrue is removed before.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event as Signal
from typing import Literal, Self

from raysim.aside import aside
from raysim.disk import is_url
from raysim.report.events import Doing, Event, StudyFinished, TrialStarted, Warned
from raysim.report.files import SUMMARY
from raysim.report.reading.copy import BEAT_S, CHECKPOINTS, Copy, Seen, files_in, silent
from raysim.report.reading.folder import STUDY, FolderError

EVERY_S = 2.0
"""What has changed waits so long for other changes, and at least as long as the last ones took."""
SHARE = 20.0
"""A file that grows goes again after so many times the seconds that it took, unless a checkpoint counts its lines."""
AGAIN_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses before a store that failed is tried again."""
TRIES = 4
"""So many tries in a row, of which nothing came, are the last ones at a study's end."""
SETTLED = 5
"""How often a folder of checkpoints is looked at that changes meanwhile."""
SHORT_S = 2.0
METRICS = "metrics.jsonl"
Step = tuple[Literal["put", "remove"], list[str]]


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
        cut = [name for name, seen in now.here.items() if _cut(name, seen, now.there)]
        anew = {_trial(name): _lines(self.copy.folder / name) for name in cut} | anew
        held = set[str]() if final else {name for name, due in self._later.items() if time.monotonic() < due}
        moved, problem = 0, ""
        for what, names in steps(now.here, now.there, anew, held):
            count, problem = self._step(what, names, now)
            moved += count
            if problem:
                break
        for trial, done in anew.items():
            if problem or trial in now.left:
                self._goes_back(trial, done)
        shutil.rmtree(staging, ignore_errors=True)
        return Result(moved, problem)

    def _step(self, what: Literal["put", "remove"], names: Sequence[str], now: "Now") -> tuple[int, str]:
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


@dataclass(frozen=True)
class Now:
    """A moment of a folder.

    Attributes:
        here: its files.
        there: those at the URL that they are compared with.
        paths: where to read each.
        left: folders of trials that are left out of all of it.
    """

    here: Mapping[str, Seen]
    there: Mapping[str, Seen]
    paths: Mapping[str, Path]
    left: set[str]


def steps(
    here: Mapping[str, Seen], there: Mapping[str, Seen], anew: Mapping[str, int], held: Collection[str] = ()
) -> Iterator[Step]:
    """What makes a URL equal to a folder, one after another; within a step the order does not matter.

    Args:
        here: the files of the folder.
        there: those at the URL, as they were here when they went.
        anew: folder of a trial that has gone back since -> to how many rounds; what concludes more there is untrue.
        held: files that may stay as they are for now.
    """
    changed = [name for name, seen in here.items() if there.get(name) != seen]
    gone = [name for name in there if name not in here]
    untrue = [n for n in (*changed, *gone) if n in there and _concludes(n) and _untrue(n, anew)]
    yield "remove", untrue
    counted = {f"{_trial(name)}/{METRICS}" for name in changed if _concludes(name)}
    due = [name for name in changed if name not in held or name in counted or name not in there]
    for rank in range(5):
        yield "put", [name for name in due if _rank(name) == rank]
    yield "remove", [name for name in gone if _concludes(name) and name not in untrue]
    yield "remove", [name for name in gone if not _concludes(name)]


def _rank(name: str) -> int:
    """The order in which files go: the list of trials, what others refer to, what refers to them."""
    if name == STUDY:
        return 0
    if PurePosixPath(name).name == SUMMARY:
        return 4
    if _in_checkpoints(name):
        return 3 if _concludes(name) else 2
    return 1


def _concludes(name: str) -> bool:
    """Whether a file says that others are there: a checkpoint's manifest, or a trial's summary."""
    path = PurePosixPath(name)
    return path.name == SUMMARY or (_in_checkpoints(name) and path.suffix == ".json")


def _untrue(name: str, anew: Mapping[str, int]) -> bool:
    """Whether a manifest or summary is of rounds that a trial has gone back behind."""
    found = re.fullmatch(r"round-(\d+)\.json", PurePosixPath(name).name)
    return _trial(name) in anew and (found is None or int(found[1]) > anew[_trial(name)])


def _in_checkpoints(name: str) -> bool:
    return PurePosixPath(name).parent.name == CHECKPOINTS


def _trial(name: str) -> str:
    """The folder of the trial that a file is of."""
    return "/".join(name.split("/")[:2])


def _cut(name: str, seen: Seen, there: Mapping[str, Seen]) -> bool:
    """Whether a trial's lines have become fewer, so that it has begun again, which may not have been told yet."""
    return name.endswith(f"/{METRICS}") and name in there and seen.size < there[name].size


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def snapshot(folder: Path, there: Mapping[str, Seen], staging: Path) -> Now:
    """The files of a folder.

    Checkpoints come and go meanwhile. Those to send are linked, so that all that a manifest names stays; where that was
    not possible between two changes, the trial is left out.

    Args:
        folder: of a study.
        there: the files at the URL.
        staging: a folder for the links.
    """
    here = files_in(folder)
    paths = {name: folder / name for name in here}
    left = set[str]()
    for home in sorted({str(PurePosixPath(name).parent) for name in (*here, *there) if _in_checkpoints(name)}):
        inside = _linked(folder, home, there, staging)
        if inside is None:
            left.add(_trial(home))
            continue
        here = {n: s for n, s in here.items() if str(PurePosixPath(n).parent) != home} | inside
        paths |= {name: staging / name for name, seen in inside.items() if there.get(name) != seen}
    here, there = ({n: s for n, s in files.items() if _trial(n) not in left} for files in (here, there))
    return Now(here, there, paths, left)


def _linked(folder: Path, home: str, there: Mapping[str, Seen], staging: Path) -> dict[str, Seen] | None:
    """The checkpoints of a trial, those that are new linked; None where they did not stay the same for long enough."""
    for _ in range(SETTLED):
        before = files_in(folder / home)
        found = {f"{home}/{name}": seen for name, seen in before.items()}
        shutil.rmtree(staging / home, ignore_errors=True)
        with suppress(FileNotFoundError):
            for name, seen in found.items():
                if there.get(name) != seen:
                    _link(folder / name, staging / name)
            if files_in(folder / home) == before:
                return found
    return None


def _link(path: Path, other: Path) -> None:
    other.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, other)
    except FileNotFoundError:
        raise
    except OSError:  # a disk that has no links
        shutil.copy2(path, other)


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
