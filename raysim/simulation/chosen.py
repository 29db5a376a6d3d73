"""Which networks of a trial are kept in the end: those of the best round so far, or of the last."""

from collections.abc import Iterator, Mapping

import numpy as np

from raysim.report.events import ModelKept, TrialInfo, Warned
from raysim.simulation.snapshot import Snapshot
from raysim.simulation.traffic import FLOAT_BYTES
from raysim.training.job import Job
from raysim.training.keeping import private, saved
from raysim.training.results import Broadcast, ClientState, Flat


class Chosen:
    """As `evaluation.keep_model` says, unless they are too large; the best also where they are asked at the end."""

    def __init__(self, job: Job, x: Mapping[str, Flat], *, asked: bool = False) -> None:
        """`asked`: whether something is measured by the networks of the reported round when the trial is over."""
        self._job, self._wish, self._groups = job, job.scenario.evaluation, tuple(x)
        self._mb = (sum(flat.nbytes for flat in x.values()) + FLOAT_BYTES * sum(job.frozen.values())) / 1e6
        self._keep = self._wish.keep_model if self._mb <= self._wish.keep_model_mb else "none"
        self._asked = asked
        self._best: Broadcast | None = None
        self._last: Broadcast | None = None

    @property
    def best(self) -> Broadcast:
        """The networks of the reported round, where they are asked for."""
        assert self._best is not None, "the last round is always evaluated"
        return self._best

    def warnings(self) -> Iterator[Warned]:
        """What the trial says at its start."""
        if self._mb > self._wish.keep_model_mb:
            yield Warned(f"the model of {self._mb:,.3g} MB is not kept; see evaluation.keep_model_mb")

    def offer(self, broadcast: Broadcast, *, best: bool) -> None:
        """The networks of a round that was evaluated."""
        networks = Broadcast(broadcast.phase, broadcast.round, broadcast.x)
        if best and (self._asked or self._keep == "best"):
            self._best = networks
        if self._keep == "last":
            self._last = networks

    def beside(self, round_: int) -> Mapping[str, Flat]:
        """What a snapshot of a round has to hold besides: the best networks, where they are others and are needed."""
        return {} if self._best is None or self._best.round == round_ else self._best.x

    def restore(self, snapshot: Snapshot, best: int | None) -> None:
        """As it was at a snapshot, whose best round was that one, if any.

        Of the last networks nothing is needed where the last round is still to come.
        """
        if best is None:
            return
        if there := self._of(snapshot.x if best == snapshot.round else snapshot.kept, best):
            self.offer(there, best=True)
        if snapshot.round == self._job.rounds and (there := self._of(snapshot.x, snapshot.round)):
            self.offer(there, best=False)

    def _of(self, there: Mapping[str, Flat], round_: int) -> Broadcast | None:
        """A round's networks; None where they were not kept."""
        x = {n: there[n] for n in self._groups if n in there}
        ends = np.cumsum([self._job.rounds_of(phase) for phase in self._job.phases])
        return Broadcast(int(np.searchsorted(ends, round_)), round_, x) if x or not self._groups else None

    def told(self, info: TrialInfo, states: Mapping[int, ClientState]) -> Iterator[ModelKept | Warned]:
        """At the end: what is kept, with the clients' private groups where these are asked for."""
        kept = self._best if self._keep == "best" else self._last
        if kept is None:
            return
        mine = private(states) if self._wish.keep_private else {}
        size = sum(array.nbytes for array in mine.values()) / 1e6
        if size > self._wish.keep_model_mb:
            yield Warned(f"the clients' groups of {size:,.3g} MB are not kept; see evaluation.keep_model_mb", info)
            mine = {}
        yield ModelKept(info, kept.round, saved(self._job, kept), mine)
