"""What is timed runs in processes of its own, as a user would start it: a study on Ray, and a plain loop.

Each says when its first round is over and then runs a turn whenever it is told to, so that two of them can take turns.
"""

import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import yaml

from raysim.bench.reference import rounds
from raysim.engine.bound import parents
from raysim.engine.pace import BUDGET_S
from raysim.report.events import Event, RoundFinished, TrialFailed, TrialStarted
from raysim.scenario.trial import Trial

TURN_S = 1.0
LEAST_ROUNDS = 2
"""A turn lasts so long, and has at least so many rounds."""
STALE_S = 0.4 * BUDGET_S
"""What arrives so soon after a pause was done before it."""
_PROC = Path("/proc")


class NotTimed(RuntimeError):
    """A job could not be timed; one line with the reason."""


@dataclass(frozen=True)
class Turn:
    """Seconds of each round, and what of it was overhead."""

    seconds: list[float]
    overheads: list[float]


@dataclass(frozen=True)
class About:
    """How a study's rounds are made: client actors, clients in a round, the settings that decide bits."""

    actors: int
    cohort: int
    numerics: Mapping[str, Any]


class Timed:
    """A process that runs rounds when it is told to.

    Attributes:
        about: what it says of itself.
        first_s: from its start to the end of its first round.
        peak_bytes: the most that it and all processes below it have held after a turn; None where Linux does not tell.
    """

    def __init__(self, run: Callable[..., None], *arguments: Any) -> None:
        context, began = multiprocessing.get_context("spawn"), time.perf_counter()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(theirs, *arguments))
        self._process.start()
        theirs.close()
        self.about = self._receive()
        self.first_s = time.perf_counter() - began
        self.peak_bytes: int | None = None

    def turn(self) -> Turn:
        """Runs some rounds.

        Raises:
            NotTimed: they failed.
        """
        self._pipe.send("go")
        turn: Turn = self._receive()
        held = _held(cast(int, self._process.pid))
        self.peak_bytes = held if self.peak_bytes is None or held is None else max(held, self.peak_bytes)
        return turn

    def close(self) -> None:
        """Ends the process and waits for that."""
        with suppress(OSError):
            self._pipe.send("stop")
        self._process.join(60)
        self._process.kill()

    def _receive(self) -> Any:
        try:
            found = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise NotTimed(f"the process ended with status {self._process.exitcode}") from None
        if isinstance(found, NotTimed):
            self.close()
            raise found
        return found


@contextmanager
def timed(run: Callable[..., None], *arguments: Any) -> Generator[Timed]:
    """A process for as long as the block lasts."""
    process = Timed(run, *arguments)
    try:
        yield process
    finally:
        process.close()


def study(pipe: Connection, trial: Trial) -> None:
    """`raysim run` of one trial that never ends, up to the first round; then turns."""
    from raysim.engine.nursery import bear

    bear()
    from raysim.engine.session import NoCluster
    from raysim.engine.study import run_study
    from raysim.report.files import FileSink
    from raysim.scenario.errors import ScenarioError

    with tempfile.TemporaryDirectory(prefix="raysim-bench-") as folder:
        out = Path(folder)
        try:
            run_study([trial], out=out, address=None, sinks=[FileSink(out), _Told(pipe, out)])
        except (NoCluster, ScenarioError) as error:
            pipe.send(NotTimed(str(error)))


class _Told:
    """A sink that holds the study up between turns."""

    def __init__(self, pipe: Connection, out: Path) -> None:
        self._pipe, self._out = pipe, out
        self._actors = 0
        self._resumed_s = self._began_s = 0.0
        self._last_s: float | None = None
        self._turn = Turn([], [])

    def handle(self, event: Event) -> None:
        """Takes rounds in; waits for a word after each turn."""
        match event:
            case TrialStarted():
                self._actors = event.actors
            case TrialFailed():
                self._pipe.send(NotTimed(event.error))
                raise KeyboardInterrupt
            case RoundFinished() if not self._resumed_s:
                text = (self._out / event.trial.scenario / event.trial.name / "scenario.yaml").read_text("utf-8")
                self._pause(About(self._actors, len(event.record["cohort"]), yaml.safe_load(text)["numerics"]))
            case RoundFinished():
                self._round(event.record, time.monotonic())
            case _:
                pass

    def close(self) -> None:
        """Nothing is held open."""

    def _round(self, record: Any, now: float) -> None:
        if now < self._resumed_s + STALE_S:
            return
        if self._last_s is None:  # the pause may have been in it
            self._began_s = now
        else:
            self._turn.seconds.append(record["at_s"] - self._last_s)
            self._turn.overheads.append(record["overhead_s"])
        self._last_s = record["at_s"]
        if now >= self._began_s + TURN_S and len(self._turn.seconds) >= LEAST_ROUNDS:
            self._pause(self._turn)

    def _pause(self, message: Any) -> None:
        time.sleep(2 * BUDGET_S)  # what the server has begun ends
        self._pipe.send(message)
        if self._pipe.recv() != "go":
            raise KeyboardInterrupt
        self._turn, self._last_s, self._resumed_s = Turn([], []), None, time.monotonic()


def plain(pipe: Connection, trial: Trial) -> None:
    """The plain loop of the method's own code."""
    from raysim.bench.bare import NoPlainLoop, bare_rounds
    from raysim.simulation.prepare import prepare
    from raysim.training.job import Job

    try:
        _turns(pipe, bare_rounds(Job(trial, prepare(trial).data)))
    except NoPlainLoop as error:
        pipe.send(NotTimed(str(error)))


def independent(pipe: Connection, name: str) -> None:
    """The loop of `raysim.bench.reference`."""
    _turns(pipe, rounds(name))


def _turns(pipe: Connection, found: Iterator[float]) -> None:
    next(found)
    pipe.send(None)
    while pipe.recv() == "go":
        seconds: list[float] = []
        while len(seconds) < LEAST_ROUNDS or sum(seconds) < TURN_S:
            seconds.append(next(found))
        pipe.send(Turn(seconds, []))


def _held(pid: int) -> int | None:
    """Bytes of a process and of all below it; what several share counts once."""
    found = [_share(p) for p in _family(pid)]
    known = [size for size in found if size is not None]
    return sum(known) if known else None


def _share(pid: int) -> int | None:
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:  # ended just now, or another system
        return None
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return None if found is None else 1024 * int(found[1])


def _family(pid: int) -> Sequence[int]:
    below: dict[int, list[int]] = {}
    for member, parent in parents():
        below.setdefault(parent, []).append(member)
    family = [pid]
    for member in family:
        family += below.get(member, ())
    return family
