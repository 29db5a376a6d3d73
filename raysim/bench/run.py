"""Runs jobs on Ray and as a plain loop, in turn, and compares."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from raysim.bench import reference
from raysim.bench.jobs import FOR_EVER, JOBS, trial_of
from raysim.bench.processes import About, NotTimed, independent, plain, study, timed
from raysim.report.text import label
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Trial

__all__ = ["Measured", "NotTimed", "Work", "measure", "of_trial", "standard"]


@dataclass(frozen=True)
class Measured:
    """One job's figures, of all turns after the first round.

    Attributes:
        round_s, mean_s: median and mean seconds of a round. bare_s, bare_mean_s: of the plain loop.
        ratio, mean_ratio: of these to those; below 1 raysim is faster.
        overhead_s: the median part of a round in which the busiest actor does not train.
        clients_per_s: trained by raysim, by the mean.
        first_round_s: from the start of a process to the end of its first round, imports and Ray included.
        peak_bytes: the most that all processes held, what they share counted once; None where the system does not tell.
        bare_first_round_s, bare_peak_bytes: the same of the plain loop.
        stack, actors, device: how the round was cut up, and where it ran.
    """

    job: str
    summary: str
    round_s: float
    mean_s: float
    bare_s: float
    bare_mean_s: float
    ratio: float
    mean_ratio: float
    overhead_s: float
    clients_per_s: float
    first_round_s: float
    peak_bytes: int | None
    bare_first_round_s: float
    bare_peak_bytes: int | None
    stack: int
    actors: int
    device: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Work:
    """What is timed: a trial, a name and a line about it."""

    name: str
    summary: str
    trial: Trial


def standard(name: str) -> Work:
    """One of `JOBS`."""
    return Work(name, JOBS[name].summary, trial_of(name))


def of_trial(trial: Trial) -> Work:
    """A scenario's trial, without its evaluation."""
    scenario = trial.scenario
    endless = scenario.model_copy(
        update={
            "federation": scenario.federation.model_copy(update={"rounds": FOR_EVER}),
            "evaluation": scenario.evaluation.model_copy(update={"every_rounds": FOR_EVER}),
        }
    )
    work = replace(trial, scenario=endless)
    return Work(f"{scenario.name} {label(trial.grid)}".strip(), scenario.description, work)


def measure(works: Sequence[Work], turns: int, stacks: Sequence[int] = ()) -> Iterator[Measured]:
    """Times jobs on this machine, one after another.

    Args:
        works: what to time.
        turns: timed turns of each.
        stacks: clients trained together, instead of the automatic number; each job once for each.

    Raises:
        NotTimed: Ray did not start, or a job does not fit the machine, failed, or has no plain loop.
    """
    for work in works:
        for stack in stacks or (None,):
            try:
                yield _measure(work, turns, stack)
            except NotTimed as error:
                raise NotTimed(f"{work.name}: {error}") from error


def _measure(work: Work, turns: int, stack: int | None) -> Measured:
    trial = work.trial
    if stack is not None:
        trial = replace(trial, scenario=_with_numerics(trial.scenario, stack=stack))
    with timed(study, trial) as ours:
        about: About = ours.about
        same = replace(trial, scenario=_with_numerics(trial.scenario, **about.numerics))
        alone = (independent, work.name) if work.name in reference.JOBS else (plain, same)
        with timed(*alone) as bare:
            pairs = [(ours.turn(), bare.turn()) for _ in range(turns)]
    mine, theirs = ([s for pair in pairs for s in pair[i].seconds] for i in (0, 1))
    round_s, bare_s = statistics.median(mine), statistics.median(theirs)
    mean_s, bare_mean_s = statistics.fmean(mine), statistics.fmean(theirs)
    return Measured(
        job=work.name,
        summary=work.summary,
        round_s=round_s,
        mean_s=mean_s,
        bare_s=bare_s,
        bare_mean_s=bare_mean_s,
        ratio=statistics.median(statistics.median(a.seconds) / statistics.median(b.seconds) for a, b in pairs),
        mean_ratio=mean_s / bare_mean_s,
        overhead_s=statistics.median(o for turn, _ in pairs for o in turn.overheads),
        clients_per_s=about.cohort / mean_s,
        first_round_s=ours.first_s,
        peak_bytes=ours.peak_bytes,
        bare_first_round_s=bare.first_s,
        bare_peak_bytes=bare.peak_bytes,
        stack=about.numerics["stack"],
        actors=about.actors,
        device=about.numerics["device"],
    )


def _with_numerics(scenario: Scenario, **settings: Any) -> Scenario:
    return scenario.model_copy(update={"numerics": scenario.numerics.model_copy(update=settings)})
