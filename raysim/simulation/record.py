"""How a round begins, and what becomes of it: its record, which is made while the next round's clients are at work."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysim.method import Phase
from raysim.simulation import rounds
from raysim.simulation.executor import Evaluation
from raysim.simulation.traffic import traffic
from raysim.training.job import Job
from raysim.training.reports import Reports
from raysim.training.results import Broadcast, UnitResult
from raysim.training.units import Unit, plan_units


@dataclass(frozen=True)
class Plan:
    """Who trains in a round, and how."""

    cohort: tuple[int, ...]
    weights: Mapping[str, Mapping[int, float]]
    units: Sequence[Unit]
    training: tuple[int, ...]


def planned(job: Job, phase: Phase, round_: int) -> Plan:
    """A round of a phase, counted from 1 over all phases; the same for whoever asks, before anything is trained."""
    scenario = job.scenario
    cohort = rounds.sample_cohort(job.data, scenario.federation, job.trial.seed, round_, scenario.compat)
    training = (*cohort, job.data.clients) if job.data.public and job.method.server_trains else cohort
    weights = rounds.shares(job, phase, training)
    return Plan(cohort, weights, plan_units(job.data, training, int(scenario.numerics.stack), weights), training)


@dataclass(frozen=True)
class Trained:
    """A round that is trained and aggregated.

    Attributes:
        phase: number of its phase.
        plan, broadcast: how it began.
        results: in the order of the units.
        senders, trained: group -> the clients that sent and that trained it.
        times: for the record.
        evaluation: of its networks, if they are evaluated.
    """

    phase: int
    plan: Plan
    broadcast: Broadcast
    results: Sequence[UnitResult]
    senders: Mapping[str, Collection[int]]
    trained: Mapping[str, Sequence[int]]
    times: Mapping[str, float]
    evaluation: Evaluation | None

    def record(self, job: Job, held: Mapping[str, Collection[int]]) -> tuple[dict[str, Any], Reports]:
        """The line of metrics.jsonl, but for the evaluation, and the clients' reports in their order.

        Args:
            job: what it is a round of.
            held: group -> the clients that had got it as it was.
        """
        phase, cohort = job.phases[self.phase], self.plan.cohort
        reports = Reports.joined([r.reports for r in self.results], ordered=True)
        shared = max((r.shared_bytes for r in self.results), default=0)
        sent = traffic(job, self.broadcast, cohort, held, self.senders, self.trained, shared)
        record: dict[str, Any] = {
            "round": self.broadcast.round,
            "phase": phase.name,
            "cohort": list(cohort),
            "loss": rounds.mean_losses(reports, [s.name for s in phase.stages]),
            "clients": rounds.client_rows(reports, sent),
            "skipped": rounds.skipped_rows(self.results),
            "bytes_down": sent.total[0],
            "bytes_up": sent.total[1],
            "traffic": sent.groups,
        }
        return {**record, **self.times}, reports


@dataclass(frozen=True)
class Pending:
    """A round that waits for its evaluation."""

    record: Mapping[str, Any]
    evaluation: Evaluation
