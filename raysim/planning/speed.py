"""How fast this machine is at a trial, and what a process needs for it: measured by doing a little of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from raysim.draws import undisturbed
from raysim.engine.client import forget_peak
from raysim.engine.heap import give_back
from raysim.evaluation.slices import Slice
from raysim.report.events import TrialInfo
from raysim.simulation.executor import LocalExecutor, peak_bytes, predicted
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job
from raysim.training.results import Broadcast
from raysim.training.trainer import Trainer
from raysim.training.units import Unit

LOOK_S = 0.1
"""After so long no further unit of a phase, and no further slice, is tried."""
FEW = 8
"""Rows of a slice that are tried first: where networks are large, a whole one takes minutes."""


@dataclass(frozen=True)
class Speed:
    """What was measured, in one process, on one core.

    Attributes:
        sample_s: by phase, seconds of training for each of a client's samples, in one round.
        evaluation_s: seconds of one evaluation.
        working_bytes: what training and evaluation took beside networks and data.
        shared: by phase, the bytes of what the server makes of its public samples and sends to a client.
        device: `cpu` or `cuda`.
        device_bytes: what training takes of a GPU beside the process's context; from a CPU what it took there, about.
    """

    sample_s: tuple[float, ...]
    evaluation_s: float
    working_bytes: int
    shared: tuple[int, ...]
    device: str
    device_bytes: int


def own_bytes() -> int:
    """What this process holds of its own just now."""
    give_back()
    forget_peak()
    return peak_bytes()


def measured(job: Job, info: TrialInfo) -> Speed:
    """Trains some units of each phase's first round with the networks that the trial begins with, and evaluates a part.

    Args:
        job: the trial; its `numerics` are resolved.
        info: as events name it.

    Raises:
        ClientFailure: the method's code raised.
    """
    simulation, trainer = Simulation(job, LocalExecutor(job), info), Trainer(job)
    cuda: Any = torch.cuda if job.device.type == "cuda" else None  # only partly typed
    if cuda:
        cuda.empty_cache()
        cuda.reset_peak_memory_stats()
    before = own_bytes()
    sample_s, shared = zip(*(_training(trainer, *simulation.opening(n)) for n in range(len(job.phases))), strict=True)
    device_bytes = cuda.max_memory_reserved() if cuda else peak_bytes() - before
    simulation.round = job.rounds
    parts = simulation.slices(job.phases[-1])
    evaluation_s = _evaluation(trainer, simulation.opening(0)[0], parts)
    return Speed(sample_s, evaluation_s, peak_bytes() - before, shared, job.device.type, device_bytes)


def _clock(job: Job) -> Callable[[], float]:
    """Seconds of this process's own work, whoever else has the cores; of all, where a GPU does it."""
    return time.process_time if job.device.type == "cpu" else time.perf_counter


def _training(trainer: Trainer, broadcast: Broadcast, units: Sequence[Unit]) -> tuple[float, int]:
    """Seconds a sample, and bytes of what the server shares; the largest unit comes first, and once more to warm up."""
    ordered = sorted(units, key=lambda unit: -unit.samples)
    now, shared, samples, seconds = _clock(trainer.job), 0, 0, 0.0
    for number, unit in enumerate([*ordered[:1], *ordered]):
        began = now()
        with undisturbed():
            result = trainer.train(broadcast, unit, {})
        shared = max(shared, result.shared_bytes)
        if number:
            samples, seconds = samples + unit.samples, seconds + now() - began
        if seconds > LOOK_S:
            break
    return seconds / max(samples, 1), shared


def _evaluation(trainer: Trainer, broadcast: Broadcast, parts: Sequence[Slice]) -> float:
    """Seconds of all slices, by those that there is time for; of each view one is among them."""
    kinds: dict[str, list[Slice]] = {}
    for part in parts:
        kinds.setdefault(part.view, []).append(part)
    return sum(_view(trainer, broadcast, of_kind) for of_kind in kinds.values())


def _view(trainer: Trainer, broadcast: Broadcast, parts: Sequence[Slice]) -> float:
    now, cost, seconds = _clock(trainer.job), 0.0, 0.0
    few = replace(parts[0], stop=min(parts[0].start + FEW, parts[0].stop))
    for number, part in enumerate([few, *parts]):
        began = now()
        with undisturbed():
            predicted(trainer, broadcast, part, {})
        if number or now() - began > LOOK_S:  # else it has but warmed up
            cost, seconds = cost + part.cost, seconds + now() - began
        if seconds > LOOK_S:
            break
    return seconds / max(cost, 1.0) * sum(part.cost for part in parts)
