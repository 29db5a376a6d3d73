"""A trial's rounds without training: who takes part, what travels, and how much there is to do.

What follows from the scenario alone is the same as in the trial, to the byte: cohorts, owners, units and uploads. What
a method decides by what clients have learnt is not: then there is a most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raysim.simulation.record import planned
from raysim.simulation.tally import Tally
from raysim.simulation.traffic import traffic
from raysim.training.job import Job
from raysim.training.results import Broadcast, Flat

_NOTHING: Flat = np.empty(0, np.float32)
"""Stands for a control, of which only that there is one counts."""


@dataclass(frozen=True)
class Load:
    """What the rounds of a phase ask, summed over them.

    Attributes:
        rounds: how many.
        units: that clients are trained in.
        samples: of the clients, once a round.
        evaluations: rounds that are evaluated.
    """

    rounds: int
    units: int
    samples: int
    evaluations: int


@dataclass(frozen=True)
class Rehearsed:
    """A trial, rehearsed.

    Attributes:
        bytes_down, bytes_up: from and to all clients, in all rounds.
        exact: whether these are the trial's own; else a most, as the method chooses who sends what, or see `unshared`.
        unshared: whether `bytes_down` lacks what the server makes of its public samples, which must be measured.
        loads: by phase.
    """

    bytes_down: int
    bytes_up: int
    exact: bool
    unshared: bool
    loads: tuple[Load, ...]


def rehearse(job: Job, shared: Sequence[int] | None) -> Rehearsed:
    """Goes through all rounds of a trial in which nobody fails.

    Args:
        job: the trial; its `numerics` are resolved.
        shared: by phase, the bytes of what the server makes of its public samples and sends; None where not measured.
    """
    tally, loads = Tally(job), list[Load]()
    unshared = shared is None and job.data.public and job.method.has("share")
    shared = shared or [0] * len(job.phases)
    down = up = round_ = 0
    controls: dict[str, Flat] = {}
    for number, phase in enumerate(job.phases):
        first, units, samples, evaluations = round_, 0, 0, 0
        while round_ < first + job.rounds_of(phase):
            round_ += 1
            plan = planned(job, phase, round_)
            senders = {name: [c for c, share in table.items() if share] for name, table in plan.weights.items()}
            trained: Mapping[str, Sequence[int]] = {name: list(table) for name, table in plan.weights.items()}
            told = Broadcast(number, round_, {}, control=dict(controls))
            sent = traffic(job, told, plan.cohort, tally.held, senders, trained, shared[number]).total
            down, up = down + sent[0], up + sent[1]
            tally.hold(plan.cohort, senders)
            if job.algorithm.control:
                controls |= {n: _NOTHING for n, who in senders.items() if who and job.groups[n].algorithm}
            units, samples = units + len(plan.units), samples + sum(unit.samples for unit in plan.units)
            evaluated = phase.evaluate and round_ % job.scenario.evaluation.every_rounds == 0
            evaluations += evaluated or round_ == job.rounds
        loads.append(Load(round_ - first, units, samples, evaluations))
    return Rehearsed(down, up, not (unshared or job.method.has("select")), unshared, tuple(loads))
