"""Runs jobs on Ray and as a plain loop, in turn, and compares."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from raysim.bench.bare import NoPlainLoop, bare_rounds
from raysim.bench.jobs import JOBS, data_of, trial_of
from raysim.data.federated import Federated
from raysim.engine.faults import Stalled, TrialLost
from raysim.engine.placement import Cluster, PlacementError, plan_actors
from raysim.engine.pool import ClientPool, share
from raysim.engine.prepare import prepare
from raysim.engine.ray_executor import RayExecutor
from raysim.engine.resolve import resolved
from raysim.engine.rounds import cohort_size
from raysim.engine.session import cluster
from raysim.engine.simulation import Simulation
from raysim.report.events import RoundFinished, TrialInfo
from raysim.report.text import label
from raysim.scenario.check import import_paths
from raysim.scenario.trial import Trial
from raysim.training.job import Job
from raysim.training.results import ClientFailure

FOR_EVER = 10**6
TURN_S = 0.3
"""How long each of the two runs before it is the other's turn; at least a round."""


@dataclass(frozen=True)
class Measured:
    """One job's figures: medians over the turns after a warm-up.

    Attributes:
        round_s: seconds a round. bare_s: of the plain loop.
        ratio: median of the two, turn by turn; below 1 raysim is faster.
        overhead_s: the part of a round in which the busiest actor does not train.
        clients_per_s: trained by raysim.
        first_round_s: from the start of the actors to the end of the first round.
        peak_bytes: largest resident memory of the client actors, added up.
        stack, actors, device: how the round was cut up, and where it ran.
    """

    job: str
    summary: str
    round_s: float
    bare_s: float
    ratio: float
    overhead_s: float
    clients_per_s: float
    first_round_s: float
    peak_bytes: int
    stack: int
    actors: int
    device: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """What is timed: a trial, its data, a name and a line about it."""

    name: str
    summary: str
    trial: Trial
    data: Federated


class NotTimed(RuntimeError):
    """A job could not be timed; one line with the reason."""


def standard(name: str) -> Work:
    """One of `JOBS`."""
    return Work(name, JOBS[name].summary, trial_of(name, JOBS[name]), data_of(JOBS[name]))


def of_trial(trial: Trial) -> Work:
    """A scenario's trial, without its evaluation.

    Raises:
        ScenarioError: something does not fit.
    """
    scenario = trial.scenario
    endless = scenario.model_copy(
        update={
            "federation": scenario.federation.model_copy(update={"rounds": FOR_EVER}),
            "evaluation": scenario.evaluation.model_copy(update={"every_rounds": FOR_EVER}),
        }
    )
    trial = replace(trial, scenario=endless)
    return Work(f"{scenario.name} {label(trial.grid)}".strip(), scenario.description, trial, prepare(trial).data)


def measure(works: Sequence[Work], turns: int, stacks: Sequence[int] = ()) -> Iterator[Measured]:
    """Times jobs on this machine, one after another.

    Args:
        works: what to time.
        turns: timed turns of each.
        stacks: clients trained together, instead of the automatic number; each job once for each.

    Raises:
        NoCluster: Ray did not start.
        NotTimed: a job does not fit the machine, failed, or has no plain loop.
    """
    with cluster(None) as machine:
        for work in works:
            for stack in stacks or (None,):
                try:
                    yield _measure(work, turns, stack, machine)
                except (PlacementError, Stalled, TrialLost, ClientFailure, NoPlainLoop) as error:
                    raise NotTimed(f"{work.name}: {error}") from error


def _measure(work: Work, turns: int, stack: int | None, machine: Cluster) -> Measured:
    trial, data, began = work.trial, work.data, time.perf_counter()
    if stack is not None:
        numerics = trial.scenario.numerics.model_copy(update={"stack": stack})
        trial = replace(trial, scenario=trial.scenario.model_copy(update={"numerics": numerics}))
    placement, cohort = trial.scenario.placement, cohort_size(trial.scenario.federation, data.eligible)
    plan = plan_actors(placement, cohort, machine, device=trial.scenario.numerics.device)
    pool = ClientPool(plan, import_paths(trial), placement.start_timeout_s)
    try:
        trial = replace(trial, scenario=resolved(trial, data.dataset, cohort, plan.workers, cuda=pool.cuda))
        job = Job(trial, data)
        ours = _engine_rounds(job, pool.prepare(trial, share(data), placement.start_timeout_s))
        plain = ((seconds, 0.0) for seconds in bare_rounds(job))
        next(ours)
        first_round_s = time.perf_counter() - began
        next(plain)
        pairs = [(_turn(ours), _turn(plain)) for _ in range(turns)]
        peak_bytes = pool.peak_bytes()
    finally:
        pool.close()
    round_s = statistics.median(mine for (mine, _), _ in pairs)
    return Measured(
        job=work.name,
        summary=work.summary,
        round_s=round_s,
        bare_s=statistics.median(bare for _, (bare, _) in pairs),
        ratio=statistics.median(mine / bare for (mine, _), (bare, _) in pairs),
        overhead_s=statistics.median(overhead for (_, overhead), _ in pairs),
        clients_per_s=cohort / round_s,
        first_round_s=first_round_s,
        peak_bytes=peak_bytes,
        stack=int(trial.scenario.numerics.stack),
        actors=plan.count,
        device=trial.scenario.numerics.device,
    )


def _turn(rounds: Iterator[tuple[float, float]]) -> tuple[float, float]:
    """The medians over some rounds."""
    found = [next(rounds)]
    while sum(seconds for seconds, _ in found) < TURN_S:
        found.append(next(rounds))
    return statistics.median(s for s, _ in found), statistics.median(o for _, o in found)


def _engine_rounds(job: Job, executor: RayExecutor) -> Iterator[tuple[float, float]]:
    """Seconds of each round, from the end of the one before, and what of it is overhead."""
    info = TrialInfo(job.scenario.name, job.trial.name, 0, {}, job.rounds, "last", "accuracy", ("accuracy",))
    events = Simulation(job, executor, info).run()
    while True:
        began = time.perf_counter()
        while not isinstance(next(events), RoundFinished):
            pass
        seconds = time.perf_counter() - began
        yield seconds, seconds - executor.busy_s
