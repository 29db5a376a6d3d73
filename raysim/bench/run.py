"""Runs standard jobs on Ray and as a plain loop, round by round in turn, and compares."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from raysim.bench.bare import bare_rounds
from raysim.bench.jobs import JOBS, data_of, trial_of
from raysim.engine.executor import Executor
from raysim.engine.placement import Cluster, plan_actors
from raysim.engine.ray_executor import ClientPool, share
from raysim.engine.resolve import resolved
from raysim.engine.session import cluster
from raysim.engine.simulation import Simulation
from raysim.report.events import RoundFinished, TrialInfo
from raysim.training.job import Job


@dataclass(frozen=True)
class Measured:
    """One job's figures: medians over the rounds after a warm-up.

    Attributes:
        round_s: seconds a round. bare_s: of the plain loop.
        ratio: median of the two, round by round; below 1 raysim is faster.
        clients_per_s: trained by raysim.
        first_round_s: from the start of the actors to the end of the first round.
        peak_bytes: largest resident memory of the client actors, added up.
        stack, actors: how the round was cut up.
    """

    job: str
    summary: str
    round_s: float
    bare_s: float
    ratio: float
    clients_per_s: float
    first_round_s: float
    peak_bytes: int
    stack: int
    actors: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def measure(names: Sequence[str], rounds: int) -> Iterator[Measured]:
    """Times some jobs on this machine, one after another.

    Args:
        names: of `JOBS`.
        rounds: timed rounds of each.

    Raises:
        NoCluster: Ray did not start.
    """
    with cluster(None) as machine:
        for name in names:
            yield _measure(name, rounds, machine)


def _measure(name: str, rounds: int, machine: Cluster) -> Measured:
    standard, began = JOBS[name], time.perf_counter()
    trial, data = trial_of(name, standard), data_of(standard)
    placement = trial.scenario.placement
    plan = plan_actors(placement, standard.cohort, machine, device=trial.scenario.numerics.device)
    pool = ClientPool(plan, (), placement.start_timeout_s)
    try:
        trial = replace(trial, scenario=resolved(trial, data.dataset, standard.cohort, plan.workers, cuda=pool.cuda))
        job = Job(trial, data)
        times = _engine_rounds(job, pool.prepare(trial, share(data), placement.start_timeout_s))
        plain = bare_rounds(job)
        next(times)
        first_round_s = time.perf_counter() - began
        next(plain)
        pairs = [(next(times), next(plain)) for _ in range(rounds)]
        peak_bytes = pool.peak_bytes()
    finally:
        pool.close()
    round_s = statistics.median(ours for ours, _ in pairs)
    return Measured(
        job=name,
        summary=standard.summary,
        round_s=round_s,
        bare_s=statistics.median(bare for _, bare in pairs),
        ratio=statistics.median(ours / bare for ours, bare in pairs),
        clients_per_s=standard.cohort / round_s,
        first_round_s=first_round_s,
        peak_bytes=peak_bytes,
        stack=int(trial.scenario.numerics.stack),
        actors=plan.count,
    )


def _engine_rounds(job: Job, executor: Executor) -> Iterator[float]:
    """Seconds of each round, from the end of the one before."""
    info = TrialInfo(job.scenario.name, job.trial.name, 0, {}, job.rounds, "last", "accuracy", ("accuracy",))
    events = Simulation(job, executor, info).run()
    while True:
        began = time.perf_counter()
        while not isinstance(next(events), RoundFinished):
            pass
        yield time.perf_counter() - began
