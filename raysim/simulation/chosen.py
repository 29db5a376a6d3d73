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
    """As `evaluation.keep_model` says, unless they are too large."""

    def __init__(self, job: Job, x: Mapping[str, Flat]) -> None:
        self._job, self._wish, self._groups = job, job.scenario.evaluation, tuple(x)
        self._mb = (sum(flat.nbytes for flat in x.values()) + FLOAT_BYTES * sum(job.frozen.values())) / 1e6
        self._now: Broadcast | None = None

    def warnings(self) -> Iterator[Warned]:
        """What the trial says at its start."""
        if self._mb > self._wish.keep_model_mb:
            yield Warned(f"the model of {self._mb:,.3g} MB is not kept; see evaluation.keep_model_mb")

    def offer(self, broadcast: Broadcast, *, best: bool) -> None:
        """The networks of a round that was evaluated."""
        wanted = best or self._wish.keep_model == "last"
        if wanted and self._wish.keep_model != "none" and self._mb <= self._wish.keep_model_mb:
            self._now = Broadcast(broadcast.phase, broadcast.round, broadcast.x)

    def beside(self, round_: int) -> Mapping[str, Flat]:
        """What a snapshot of a round has to hold besides."""
        return {} if self._now is None or self._now.round == round_ else self._now.x

    def restore(self, snapshot: Snapshot, best: int | None) -> None:
        """As it was at a snapshot, whose best round was that one, if any.

        Of `last` nothing is needed where the last round is still to come.
        """
        wish = self._wish.keep_model
        if best is None or wish == "none" or (wish == "last" and snapshot.round != self._job.rounds):
            return
        round_ = best if wish == "best" else snapshot.round
        there = snapshot.x if round_ == snapshot.round else snapshot.kept
        x = {n: there[n] for n in self._groups if n in there}
        ends = np.cumsum([self._job.rounds_of(phase) for phase in self._job.phases])
        if x:
            self.offer(Broadcast(int(np.searchsorted(ends, round_)), round_, x), best=True)

    def told(self, info: TrialInfo, states: Mapping[int, ClientState]) -> Iterator[ModelKept | Warned]:
        """At the end: what is kept, with the clients' private groups where these are asked for."""
        if self._now is None:
            return
        mine = private(states) if self._wish.keep_private else {}
        size = sum(array.nbytes for array in mine.values()) / 1e6
        if size > self._wish.keep_model_mb:
            yield Warned(f"the clients' groups of {size:,.3g} MB are not kept; see evaluation.keep_model_mb", info)
            mine = {}
        yield ModelKept(info, self._now.round, saved(self._job, self._now), mine)
