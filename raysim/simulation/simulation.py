"""The round loop of one trial. Knows no Ray: an executor does the work.

Written as a generator, so that whoever drives it can stop between events: None means that the executor is waiting.
"""

import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from raysim.aggregation import Vector
from raysim.algorithms.base import ServerState
from raysim.batch import Clock
from raysim.draws import undisturbed
from raysim.evaluation.scores import added, score
from raysim.evaluation.slices import EXAMINED, PICTURED, Slice, cut, slices
from raysim.method import Phase, Train, any_present, everyone
from raysim.report.events import (
    ClientsFinished,
    Event,
    FeaturesTaken,
    PicturesMade,
    RoundFinished,
    RoundStarted,
    TrialFinished,
    TrialInfo,
    Warned,
)
from raysim.simulation import rounds
from raysim.simulation.chosen import Chosen
from raysim.simulation.executor import Answer, Evaluation, Executor, Handle
from raysim.simulation.measuring import Figures, Measuring
from raysim.simulation.predicted import Predicted
from raysim.simulation.record import Pending, Plan, Trained, planned
from raysim.simulation.serving import Serving
from raysim.simulation.snapshot import Cadence, Snapshot
from raysim.simulation.tally import Tally
from raysim.training.cost import private_asked
from raysim.training.job import Job
from raysim.training.reports import Reports
from raysim.training.results import Broadcast, ClientFailure, Flat, UnitResult, summed
from raysim.training.units import Unit

SELECT = "select"
"""What stands for the memory of a method's `select` among the states of the server."""


class Simulation:
    """A trial's global state and its rounds.

    Attributes:
        tally: what its rounds add up to.
        measuring: of generation, where the scenario asks for it.
        snapshot: the newest one that is due and that nobody has taken yet; whoever takes it puts None there.
        cadence: when one is due.
    """

    def __init__(self, job: Job, executor: Executor, info: TrialInfo, snapshot: Snapshot | None = None) -> None:
        """Starts from nothing, or goes on from a snapshot.

        Raises:
            SnapshotError: it is of other networks.
        """
        self.job, self.executor, self.info = job, executor, info
        self.tally = Tally(job)
        self.measuring = Measuring.of(job)
        self._serving = Serving(job, private_asked(job))
        self.x: dict[str, Flat] = {
            n: job.layouts[n].flatten(job.layouts[n].tensors(job.groups[n].net)).numpy() for n in job.shared
        }
        self.server_states: dict[str, ServerState] = {}
        self.client_states: dict[int, Handle] = {}
        self.frozen: dict[str, Flat] = {n: self.x[n] for n, when in job.replicas.items() if when != "round"}
        self.round = 0
        self._ahead: Plan | None = None
        self._unfinished: Trained | None = None  # it is finished while the next one is trained
        self._pending: Pending | None = None
        self._chosen = Chosen(job, self.x, asked=self._serving.wanted)
        self._predicted = Predicted(job, central=not self._serving.personal)
        self.snapshot: Snapshot | None = None
        self.cadence = Cadence(job.scenario.federation.checkpoint)
        self._changed: dict[int, None] = {}  # clients whose state no snapshot has, as an ordered set
        self._written: dict[int, None] = {}  # the others, the longest ago first
        self._earlier_s, self._began_s = 0.0, time.perf_counter()
        if snapshot is not None:
            self._restore(snapshot)

    def run(self) -> Iterator[Event | None]:
        """All rounds of all phases. A round that is evaluated ends during or after the training of the next one.

        Raises:
            ClientFailure: a client failed.
        """
        self._began_s = time.perf_counter()
        untaught = [name for name, clients in self.job.teachers.items() if not clients]
        if not self.round:
            yield from (*self._chosen.warnings(), *self._predicted.warnings())
        if untaught and not self.round:
            yield Warned(f"no client has samples that teach {', '.join(untaught)}: they fill nothing in")
        last = 0
        try:
            for number, phase in enumerate(self.job.phases):
                if self.round == last:
                    self.frozen |= {n: self.x[n] for n, when in self.job.replicas.items() if when == "phase"}
                last += self.job.rounds_of(phase)
                while self.round < last:
                    self.round += 1
                    yield from self._round(number, phase, last)
        except ClientFailure:
            yield from self._settle()
            raise
        yield from self._settle()
        yield from self._features()
        yield from self._reported()
        yield from (Warned(text, self.info) for text in self.tally.remarks())
        reported = self.tally.best or {}
        yield from (Warned(text, self.info) for text in self.job.method.remarks(reported.get("examined", {})))
        wanted = self.job.scenario.evaluation.keep_private
        yield from self._chosen.told(self.info, self.executor.states(self.client_states) if wanted else {})
        yield from self._predicted.told(self.info, self.tally.best)
        measured = yield from self.executor.measure(self.tally.workload.works)
        took = {"peak_bytes_rss": self.executor.peak_bytes, "seconds_s": round(self._seconds(), 3)}
        yield TrialFinished(self.info, self.tally.summary(measured) | took)

    def _round(self, number: int, phase: Phase, last: int) -> Iterator[Event | None]:
        began = time.perf_counter()
        plan, self._ahead = self._ahead or planned(self.job, phase, self.round), None
        yield RoundStarted(self.info, self.round, phase.name, plan.cohort)
        results: list[UnitResult] = []
        states: dict[int, Handle] = {}
        broadcast = self._broadcast(number)
        before = self._unfinished or self._pending
        spare = before and before.evaluation
        for done in self.executor.train(broadcast, plan.units, self.client_states, spare):
            if not isinstance(done, tuple):
                if self._ahead is None and self.round < last:  # while the actors are at work
                    self._ahead = planned(self.job, phase, self.round + 1)
                yield from self._finish()
                yield done
                continue
            results.append(done[0])
            states |= done[1]
            yield from self._warnings(done[0])
            if len(done[0].reports):
                yield self._clients_finished(phase, done[0].reports)
        trained_s = time.perf_counter() - began
        yield from self._settle()
        began = time.perf_counter()
        results.sort(key=lambda r: r.index)
        self.client_states |= states
        self._changed |= dict.fromkeys(states)
        senders, trained = self._aggregate(phase, results, plan.weights)
        results = [result.summed_up() for result in results]
        parts = self.slices(phase)
        known = self._serving.states(self.client_states)
        evaluation = Evaluation(self._broadcast(number), parts, known) if parts else None
        seconds = trained_s + time.perf_counter() - began
        times = {
            "train_s": round(seconds, 4), "overhead_s": round(seconds - self.executor.busy_s, 4),
            "at_s": round(self._seconds(), 5),
        }  # fmt: skip
        self._unfinished = Trained(number, plan, broadcast, results, senders, trained, times, evaluation)
        if not self.executor.waits:
            yield from self._finish()

    def slices(self, phase: Phase) -> list[Slice]:
        """What is evaluated of this round."""
        parts = list[Slice]()
        evaluated = phase.evaluate and self.round % self.job.scenario.evaluation.every_rounds == 0
        if evaluated or self.round == self.job.rounds:
            batch = self.job.scenario.numerics.evaluation_batch
            parts += slices({} if self._serving.personal else self.job.data.views, batch)
            if self.job.method.has("examine"):
                parts += cut(EXAMINED, len(self.job.data.views["validation"].mask), batch)
            parts += self._serving.slices(self.round)
        if self.measuring is not None and self.measuring.due(self.round):
            parts += self.measuring.slices(self.round)
        return parts

    def _finish(self) -> Iterator[Event]:
        """Makes the record of what was trained, of a round whose next one has changed nothing yet."""
        done, self._unfinished = self._unfinished, None
        if done is None:
            return
        record, reports = done.record(self.job, self.tally.held)
        self.tally.hold(done.plan.cohort, done.senders)
        self.tally.add(record, reports)
        self.tally.workload.add(done.phase, done.plan.training)
        if done.evaluation is not None:
            self._pending = Pending(record, done.evaluation)
            return
        self._take(record["round"])
        yield RoundFinished(self.info, record["round"], record)

    def _settle(self) -> Iterator[Event | None]:
        """Ends the evaluation that is under way, and with it its round."""
        yield from self._finish()
        if self._pending is None:
            return
        record, evaluation = self._pending.record, self._pending.evaluation
        self._pending, began = None, time.perf_counter()
        try:
            yield from self.executor.evaluate(evaluation)
        except ClientFailure:
            yield RoundFinished(self.info, record["round"], record)  # it was trained
            raise
        parts, answers = evaluation.slices, [evaluation.logits[i] for i in range(len(evaluation.slices))]
        found: dict[str, Any] = {}
        served = self._serving.clients(parts, answers)
        if any(part.view in self.job.data.views for part in parts) or (served and self._serving.personal):
            scores = {} if self._serving.personal else score(self.job.data, self.job.scenario, parts, answers)
            sums = added([sums for part, sums in zip(parts, answers, strict=True) if part.view == EXAMINED])
            examined = {"examined": dict(self.job.method.examined(sums))} if sums else {}
            own = self._serving.kept(record["round"], parts, answers, evaluation.known)
            by_client = {"by_client": served} if self._serving.personal else {}
            best = self.tally.choose(record["round"], scores, {**examined, **by_client})
            self.tally.personal = own if best else self.tally.personal
            self._chosen.offer(evaluation.broadcast, best=best)
            self._predicted.offer(parts, answers, best=best)
            found = {**scores, **examined, **({"by_client": served} if served else {})}
        if self.measuring is not None and self.measuring.due(record["round"]):
            found["generation"] = yield from self._generation(self.measuring, record["round"], parts, answers)
        self._take(record["round"])
        took = {"evaluate_s": round(time.perf_counter() - began, 4)}
        yield RoundFinished(self.info, record["round"], {**record, **found, **took})

    def _generation(
        self, measuring: Measuring, round_: int, parts: Sequence[Slice], answers: Sequence[Answer]
    ) -> Generator[Event | None, None, Figures]:
        """The figures of a round, which the tally keeps; pictures are told before any checkpoint counts the round."""
        if pictures := measuring.pictures(parts, answers):
            yield PicturesMade(self.info, round_, pictures)
        figures = yield from measuring.figures(parts, answers)
        self.tally.generation = {"round": round_, "figures": figures, "judges": dict(measuring.accuracy)}
        return figures

    def _features(self) -> Iterator[Event | None]:
        """Takes the embeddings that the scenario asks for, by the last round's networks."""
        job = self.job
        if not job.scenario.evaluation.features or not len(job.pictured):
            return
        parts = cut(PICTURED, len(job.pictured), job.scenario.numerics.evaluation_batch)
        evaluation = Evaluation(self._broadcast(len(job.phases) - 1), parts)
        yield from self.executor.evaluate(evaluation)
        flat = np.concatenate([evaluation.logits[i] for i in range(len(parts))])
        names = [n for m in job.data.dataset.names for n in (m, f"{m}.filled")]
        arrays = dict(zip(names, np.split(flat, len(names), axis=1), strict=True))
        arrays["labels"] = job.data.dataset.split("validation").labels[job.pictured]
        yield FeaturesTaken(self.info, arrays)

    def _reported(self) -> Iterator[Event | None]:
        """Asks the networks of the reported round for what is said of it alone; which round that is, the end tells."""
        if self._serving.personal:
            self.tally.reported = {"clients": self.tally.personal["clients"]}
            yield self._serving.table_of(self.info, self.tally.personal)
        if not self._serving.wanted:
            return
        evaluation = Evaluation(self._chosen.best, self._serving.reported())
        yield from self.executor.evaluate(evaluation)
        parts, answers = evaluation.slices, [evaluation.logits[i] for i in range(len(evaluation.slices))]
        kept = self.tally.personal
        self.tally.reported = self._serving.summary(parts, answers, kept)
        if (table := self._serving.table(self.info, evaluation.broadcast.round, parts, answers, kept)) is not None:
            yield table

    def _take(self, round_: int) -> None:
        """Takes a snapshot if one is due, of a round whose next one has changed nothing yet.

        Every second time that a client's state is written, one of a client that was not asked for long is written
        again, so that no state stays in a file that has little else.
        """
        last = self.job.scenario.federation.checkpoint.at_end and round_ == self.job.rounds
        if not self.cadence.due(round_) and not last:
            return
        for client in self._changed:
            self._written.pop(client, None)
        again = list(islice(self._written, (len(self._changed) + 1) // 2))
        for client in again:
            del self._written[client]
        chosen, self._changed = [*again, *self._changed], {}
        self._written |= dict.fromkeys(chosen)
        untaken: Mapping[int, Handle] = {} if self.snapshot is None else self.snapshot.clients
        self.snapshot = Snapshot(
            round=round_,
            x=self.x,
            frozen=dict(self.frozen),
            server={n: {k: t.numpy().copy() for k, t in s.items()} for n, s in self.server_states.items() if s},
            clients={**untaken, **{c: self.client_states[c] for c in chosen}},
            figures={**self.tally.figures, "seconds": self._seconds()},
            kept=self._chosen.beside(round_),
            predictions=self._predicted.beside(round_),
        )

    def _restore(self, snapshot: Snapshot) -> None:
        snapshot.check(self.x)
        self.tally = Tally(self.job, snapshot.figures)
        self.round, self._earlier_s = snapshot.round, snapshot.figures["seconds"]
        self.x, self.frozen = ({n: table[n] for n in self.x if n in table} for table in (snapshot.x, snapshot.frozen))
        self._chosen.restore(snapshot, None if self.tally.best is None else self.tally.best["round"])
        self._predicted.restore(snapshot.predictions)
        self.server_states = {
            n: {k: torch.from_numpy(np.array(a)) for k, a in s.items()} for n, s in snapshot.server.items()
        }
        self.client_states = dict(snapshot.clients)
        self._written = dict.fromkeys(snapshot.clients)

    def _seconds(self) -> float:
        return self._earlier_s + time.perf_counter() - self._began_s

    def opening(self, number: int) -> tuple[Broadcast, Sequence[Unit]]:
        """A phase's first round, as if no other phase had come before: to measure what it takes."""
        phases = self.job.phases
        round_ = 1 + sum(self.job.rounds_of(phase) for phase in phases[:number])
        return replace(self._broadcast(number), round=round_), planned(self.job, phases[number], round_).units

    def largest_unit(self) -> tuple[Broadcast, Unit]:
        """What the first round asks most of a process."""
        broadcast, units = self.opening(0)
        return broadcast, max(units, key=lambda unit: unit.samples)

    def _broadcast(self, phase: int) -> Broadcast:
        controls = {n: s["control"].float().numpy() for n, s in self.server_states.items() if "control" in s}
        return Broadcast(phase, self.round, self.x, self.frozen, controls if self.job.algorithm.control else {})

    def _warnings(self, result: UnitResult) -> Iterator[Event]:
        """Each skipped client; each kind of deviation once."""
        for client, reason in result.skipped.items():
            yield Warned(f"round {self.round}: client {client} is skipped: {reason}")
        if result.deviation and result.deviation not in self.tally.deviations:
            self.tally.deviations.append(result.deviation)
            yield Warned(f"round {self.round}: {result.deviation}")

    def _clients_finished(self, phase: Phase, reports: Reports) -> Event:
        """Says each client's loss in the last stage that is open to all, so that clients can be compared."""
        stages = [s for s in phase.stages if isinstance(s, Train)]
        common = [s.name for s in stages if s.clients is everyone and s.samples is any_present] or [
            s.name for s in stages
        ]
        loss = np.full(len(reports), np.nan)
        for name in common:
            loss = np.where(np.isnan(reports.losses[name]), loss, reports.losses[name])
        return ClientsFinished(self.info, self.round, reports.clients, reports.samples, loss, reports.seconds)

    def _aggregate(
        self,
        phase: Phase,
        results: Sequence[UnitResult],
        weights: Mapping[str, Mapping[int, float]],
    ) -> tuple[Mapping[str, Collection[int]], Mapping[str, Sequence[int]]]:
        """Steps the server; a group that nobody sent is left alone.

        Returns:
            Group -> the clients that sent it, and group -> the clients that trained it.
        """
        job = self.job
        skipped = {client for r in results for client in r.skipped}
        trained = {n: [c for c in shares if c not in skipped] for n, shares in weights.items()}
        if not job.method.has("select"):
            means, senders = rounds.rescaled(summed(results, "sums"), weights, skipped)
        else:
            offers = {c: r.reports.offers.get(c, {}) for r in results for c in r.reports.clients.tolist()}
            clock = Clock(phase.name, self.round, 0, (self.round - 1) / job.rounds)
            with undisturbed():
                job.seed("select", self.round)
                chosen, memory = job.method.select(offers, clock, self.server_states.get(SELECT, {}))
            self.server_states[SELECT] = dict(memory)
            means, senders = rounds.selected_means(job, results, chosen)
        controls, sent = summed(results, "controls"), rounds.Uploads.of(results)
        new: dict[str, Flat] = {}
        with undisturbed():
            job.seed("server", self.round)
            for name in (n for n in job.shared if n in means):  # in an order that no placement changes
                state = self.server_states.get(name, {})
                control: Vector | None = controls.get(name)
                new[name], self.server_states[name] = rounds.server_step(
                    job, name, self.x[name], means[name], control, state, self.round, senders[name], sent
                )
        self.x = {**self.x, **new}
        return senders, trained
