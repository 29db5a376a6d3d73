"""How the work of a round gets done: the protocol, and the way without Ray."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from raysim.evaluation import Slice
from raysim.report.events import Warned
from raysim.training.job import Job
from raysim.training.results import Broadcast, Flat, UnitResult
from raysim.training.trainer import Trainer
from raysim.training.units import Unit

Handle = Any
"""A client's private state as an executor keeps it: a value here, a reference on Ray."""


class Executor(Protocol):
    """Runs units and predictions, in any order and place.

    Yields None while it waits, so that nothing blocks, and a warning where something went wrong and was mended.
    """

    def train(
        self, broadcast: Broadcast, units: Sequence[Unit], states: Mapping[int, Handle]
    ) -> Iterator[tuple[UnitResult, Mapping[int, Handle]] | Warned | None]:
        """Results as they come, each with its clients' new states.

        Raises:
            ClientFailure: a client failed.
        """
        ...

    def predict(self, broadcast: Broadcast, slices: Sequence[Slice]) -> Iterator[tuple[int, Flat] | Warned | None]:
        """(number of the slice, logits) as they come."""
        ...


class LocalExecutor:
    """Everything in this process, one unit after another: for tests and debugging. Same bits as on Ray."""

    def __init__(self, job: Job) -> None:
        self._trainer = Trainer(job)

    def train(
        self, broadcast: Broadcast, units: Sequence[Unit], states: Mapping[int, Handle]
    ) -> Iterator[tuple[UnitResult, Mapping[int, Handle]]]:
        """One unit after another."""
        for unit in units:
            known = {c: states[c] for c in unit.clients if c in states}
            result = self._trainer.train(broadcast, unit, known)
            yield result, result.states

    def predict(self, broadcast: Broadcast, slices: Sequence[Slice]) -> Iterator[tuple[int, Flat]]:
        """One slice after another."""
        for i, part in enumerate(slices):
            yield i, self._trainer.predict(broadcast, part.view, part.start, part.stop)
