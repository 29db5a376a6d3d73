"""The round loop of one trial. Knows no Ray: an executor does the work.

Written as a generator, so that whoever drives it can stop between events: None means that the executor is waiting.
"""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from raysim.aggregation import Vector
from raysim.algorithms.base import ServerState
from raysim.batch import Clock
from raysim.engine import rounds
from raysim.engine.executor import Executor, Handle
from raysim.evaluation import better, score, slices
from raysim.method import Phase, Train, any_present, everyone
from raysim.report.events import ClientFinished, Event, RoundFinished, RoundStarted, TrialFinished, TrialInfo
from raysim.training.job import Job
from raysim.training.results import Broadcast, Flat, UnitResult
from raysim.training.units import plan_units

Scores = dict[str, dict[str, float | None]]
_FLOAT_BYTES = 4


class Simulation:
    """A trial's global state and its rounds."""

    def __init__(self, job: Job, executor: Executor, info: TrialInfo) -> None:
        self.job, self.executor, self.info = job, executor, info
        self.x: dict[str, Flat] = {
            n: job.layouts[n].flatten(job.layouts[n].tensors(job.groups[n].net)).numpy() for n in job.shared
        }
        self.server_states: dict[str, ServerState] = {}
        self.client_states: dict[int, Handle] = {}
        self.frozen: dict[str, Flat] = {n: self.x[n] for n, when in job.replicas.items() if when != "round"}
        self.best: dict[str, Any] | None = None
        self.totals = {"bytes_up": 0, "bytes_down": 0, "steps": 0}
        self.round = 0

    def run(self) -> Iterator[Event | None]:
        """All rounds of all phases.

        Raises:
            ClientFailure: a client failed.
        """
        began = time.perf_counter()
        for number, phase in enumerate(self.job.phases):
            self.frozen |= {n: self.x[n] for n, when in self.job.replicas.items() if when == "phase"}
            last = self.round + self.job.rounds_of(phase)
            while self.round < last:
                self.round += 1
                yield from self._round(number, phase, is_last=self.round == self.job.rounds)
        yield TrialFinished(self.info, self._summary(time.perf_counter() - began))

    def _round(self, number: int, phase: Phase, *, is_last: bool) -> Iterator[Event | None]:
        job, began = self.job, time.perf_counter()
        scenario = job.scenario
        cohort = rounds.sample_cohort(job.data, scenario.federation, job.trial.seed, self.round)
        yield RoundStarted(self.info, self.round, phase.name, cohort)
        weights = rounds.shares(job, phase, cohort)
        units = plan_units(job.data, cohort, int(scenario.numerics.stack), weights)
        results: list[UnitResult] = []
        states: dict[int, Handle] = {}
        broadcast = self._broadcast(number)
        for done in self.executor.train(broadcast, units, self.client_states):
            if not isinstance(done, tuple):
                yield done
                continue
            results.append(done[0])
            states |= done[1]
            yield from self._client_events(phase, done[0])
        results.sort(key=lambda r: r.index)
        self.client_states |= states
        sent = self._aggregate(phase, results, weights)
        record: dict[str, Any] = {
            "round": self.round,
            "phase": phase.name,
            "cohort": list(cohort),
            "loss": rounds.mean_losses(results, [s.name for s in phase.stages]),
            "clients": rounds.client_rows(results),
            **self._traffic(broadcast, sent, len(cohort)),
            "train_s": round(time.perf_counter() - began, 4),
        }
        self.totals["steps"] += sum(r["steps"] for r in record["clients"])
        every = scenario.evaluation.every_rounds
        if is_last or (phase.evaluate and self.round % every == 0):
            began = time.perf_counter()
            scores = yield from self._evaluate(number)
            record |= scores
            record["evaluate_s"] = round(time.perf_counter() - began, 4)
            self._select(scores)
        yield RoundFinished(self.info, self.round, record)

    def _broadcast(self, phase: int) -> Broadcast:
        controls = {n: s["control"].float().numpy() for n, s in self.server_states.items() if "control" in s}
        return Broadcast(phase, self.round, self.x, self.frozen, controls if self.job.algorithm.control else {})

    def _client_events(self, phase: Phase, result: UnitResult) -> Iterator[Event]:
        """Says each client's loss in the last stage that is open to all, so that clients can be compared."""
        stages = [s for s in phase.stages if isinstance(s, Train)]
        common = [s.name for s in stages if s.clients is everyone and s.samples is any_present] or [
            s.name for s in stages
        ]
        for report in result.reports:
            loss = next((report.losses[n] for n in reversed(common) if n in report.losses), float("nan"))
            yield ClientFinished(self.info, self.round, report.client, report.samples, loss, report.seconds)

    def _aggregate(
        self,
        phase: Phase,
        results: Sequence[UnitResult],
        weights: Mapping[str, Mapping[int, float]],
    ) -> dict[str, int]:
        """Steps the server; returns how many clients sent each group. A group that nobody sent is left alone."""
        job = self.job
        if job.method.select is None:
            means = rounds.summed(results, "sums")
            senders = {n: len(weights[n]) for n in means}
        else:
            offers = {c: o for r in results for c, o in r.offers.items()}
            clock = Clock(phase.name, self.round, 0, (self.round - 1) / job.rounds)
            chosen = job.method.select(offers, clock)
            means, senders = rounds.selected_means(job, results, chosen)
        controls = rounds.summed(results, "controls")
        new: dict[str, Flat] = {}
        for name, mean in means.items():
            if senders[name]:
                state = self.server_states.get(name, {})
                control: Vector | None = controls.get(name)
                new[name], self.server_states[name] = rounds.server_step(job, name, self.x[name], mean, control, state)
        self.x = {**self.x, **new}
        return senders

    def _traffic(self, broadcast: Broadcast, senders: Mapping[str, int], clients: int) -> dict[str, int]:
        """Bytes of this round: shared groups go down to the cohort, trained ones come up from those that sent them."""
        job = self.job
        down = sum(len(v) for table in (broadcast.x, broadcast.control) for v in table.values()) * clients
        controlled = {n for n in senders if job.algorithm.control and job.groups[n].algorithm}
        up = sum(len(self.x[n]) * count * (2 if n in controlled else 1) for n, count in senders.items())
        traffic = {"bytes_down": down * _FLOAT_BYTES, "bytes_up": up * _FLOAT_BYTES}
        for key, value in traffic.items():
            self.totals[key] += value
        return traffic

    def _evaluate(self, phase: int) -> Generator[Event | None, None, Scores]:
        parts = slices(self.job.data, self.job.scenario.numerics.evaluation_batch)
        logits: dict[int, Flat] = {}
        for done in self.executor.predict(self._broadcast(phase), parts):
            if not isinstance(done, tuple):
                yield done
            else:
                logits[done[0]] = done[1]
        return score(self.job.data, self.job.scenario, parts, [logits[i] for i in range(len(parts))])

    def _select(self, scores: Scores) -> None:
        choice = self.job.scenario.evaluation
        old = None if self.best is None else self.best["splits"]["validation"]
        if choice.select == "last" or better(scores["validation"], old, choice.metric):
            self.best = {"round": self.round, "splits": scores}

    def _summary(self, seconds: float) -> dict[str, Any]:
        choice = self.job.scenario.evaluation
        assert self.best is not None, "the last round is always evaluated"
        by = f"best validation {choice.metric}" if choice.select == "best" else "last round"
        groups = {n: layout.parameters for n, layout in self.job.layouts.items() if layout.size}
        return {
            **self.best,
            "selected_by": by,
            "parameters": sum(groups.values()),
            "parameters_by_group": groups,
            **self.totals,
            "seconds_s": round(seconds, 3),
        }
