"""How the work of a round gets done: the protocol, and the way without Ray."""

import resource
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from raysim.draws import undisturbed
from raysim.evaluation.slices import EXAMINED, PICTURED, Own, Slice, Tuned
from raysim.generation.plan import Part
from raysim.report.events import Printed, Warned
from raysim.simulation.resolve import on_cpu
from raysim.training.job import Job
from raysim.training.results import Broadcast, ClientState, UnitResult
from raysim.training.trainer import Trainer
from raysim.training.units import Unit
from raysim.training.workload import Work

Handle = Any
"""A client's private state as an executor keeps it: a value here, a reference on Ray."""

Answer = Any
"""What a slice gives: an array (rows, ...), or sums by name."""


@dataclass(frozen=True)
class Measured:
    """Multiply-adds: of a prediction for a complete sample, of all training, and of one call of each group.

    None, or absent, where the method's code raised on a made-up sample.
    """

    sample: int | None
    total: int | None
    by_group: Mapping[str, int]


class Evaluation:
    """The evaluation of a round's networks while it is under way.

    Attributes:
        broadcast: the networks. slices: what is to be predicted.
        known: the clients whose states it has.
        waiting: numbers of the slices that nobody predicts yet.
        logits: number -> what those that are done gave: (rows, C), or what else was asked for.
    """

    def __init__(
        self, broadcast: Broadcast, slices: Sequence[Slice], states: Mapping[int, Handle] | None = None
    ) -> None:
        """`states` has those of clients whose own networks are asked, as they are after this round."""
        self.broadcast, self.slices, self._states = broadcast, tuple(slices), dict(states or {})
        self.known = frozenset(self._states)
        self.waiting = deque(range(len(slices)))
        self.logits: dict[int, Answer] = {}

    def states(self, numbers: Sequence[int]) -> dict[int, Handle]:
        """Those that some of the slices need, of clients that have one."""
        parts = (part for part in (self.slices[i] for i in numbers) if isinstance(part, Own))
        clients = dict.fromkeys(client for part in parts for client in part.clients)
        return {client: self._states[client] for client in clients if client in self._states}


class Executor(Protocol):
    """Runs units and predictions, in any order and place.

    Yields None while it waits, so that nothing blocks, a warning where something went wrong and was mended, and lines
    that authors' code printed in another process.
    """

    @property
    def waits(self) -> bool:
        """Whether others do the work, so that there is time while it yields None."""
        ...

    @property
    def busy_s(self) -> float:
        """How long the process that had most to do trained in the last round."""
        ...

    @property
    def peak_bytes(self) -> int:
        """The most memory of its own that a process which trains has had so far."""
        ...

    def train(
        self,
        broadcast: Broadcast,
        units: Sequence[Unit],
        states: Mapping[int, Handle],
        spare: Evaluation | None = None,
    ) -> Iterator[tuple[UnitResult, Mapping[int, Handle]] | Warned | Printed | None]:
        """Results as they come, each with its clients' new states.

        Processes that have no unit left predict slices of `spare` until all units are done.

        Raises:
            ClientFailure: a client failed.
        """
        ...

    def evaluate(self, evaluation: Evaluation) -> Iterator[Warned | Printed | None]:
        """Predicts what is left of an evaluation.

        Raises:
            ClientFailure: the method's code raised.
        """
        ...

    def measure(self, works: Sequence[Work]) -> Generator[None, None, Measured | None]:
        """What the trial's arithmetic was, once it is done; None where that is not to be had."""
        ...

    def states(self, handles: Mapping[int, Handle]) -> Mapping[int, ClientState]:
        """Clients' private states themselves."""
        ...


class LocalExecutor:
    """Everything in this process, one unit after another: for tests and debugging. Same bits as on Ray."""

    waits = False

    def __init__(self, job: Job) -> None:
        self._trainer = self._judge = Trainer(job)
        if job.scenario.numerics.evaluation_device == "cpu" and job.device.type != "cpu":
            self._judge = Trainer(Job(on_cpu(job.trial), job.data, job.judges))
        self.busy_s = 0.0
        self.peak_bytes = 0

    def train(
        self,
        broadcast: Broadcast,
        units: Sequence[Unit],
        states: Mapping[int, Handle],
        spare: Evaluation | None = None,
    ) -> Iterator[tuple[UnitResult, Mapping[int, Handle]]]:
        """One unit after another; nothing is ever spare."""
        self.busy_s = 0.0
        for unit in units:
            known, began = {c: states[c] for c in unit.clients if c in states}, time.perf_counter()
            with undisturbed():
                result = self._trainer.train(broadcast, unit, known)
            self.busy_s += time.perf_counter() - began
            self.peak_bytes = peak_bytes()
            yield result, result.states

    def evaluate(self, evaluation: Evaluation) -> Iterator[None]:
        """One slice after another."""
        while evaluation.waiting:
            i = evaluation.waiting.popleft()
            with undisturbed():
                part, states = evaluation.slices[i], evaluation.states([i])
                evaluation.logits[i] = predicted(self._judge, evaluation.broadcast, part, states)
            yield None

    def measure(self, works: Sequence[Work]) -> Generator[None, None, Measured | None]:
        """Nothing: it would take longer than most trials that run so."""
        return None
        yield

    def states(self, handles: Mapping[int, Handle]) -> Mapping[int, ClientState]:
        """As they are."""
        return handles


def predicted(trainer: Trainer, broadcast: Broadcast, part: Slice, states: Mapping[int, ClientState]) -> Answer:
    """A slice's logits, or embeddings where these are asked for, (rows, ...); the method's sums; what is made.

    `states` has those of the clients whose own networks are asked.
    """
    if isinstance(part, Tuned):
        return trainer.predict_tuned(broadcast, part, states)
    if isinstance(part, Own):
        return trainer.predict_own(broadcast, part, states)
    if isinstance(part, Part):
        return trainer.measure(broadcast, part)
    if part.view == EXAMINED:
        return trainer.examine(broadcast, part.start, part.stop)
    if part.view == PICTURED:
        return trainer.features(broadcast, part.start, part.stop)
    return trainer.predict(broadcast, part.view, part.start, part.stop)


def peak_bytes() -> int:
    """The most memory of its own that this process has had, on Linux since that was last forgotten.

    There what it shares with others, such as the pages of Ray's store that it has read, is not counted.
    """
    with suppress(OSError):
        # getrusage would also know what the process was forked from.
        found = [line.split() for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()]
        size = {words[0]: 1024 * int(words[1]) for words in found if words[-1] == "kB"}
        return max(size["VmHWM:"] - size["RssShmem:"], size["RssAnon:"] + size["RssFile:"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
