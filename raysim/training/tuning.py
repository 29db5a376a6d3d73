"""What clients fine-tune for their judgement alone: the job of it, which differs from the trial's in its stages."""

import copy
from dataclasses import replace

from raysim import registry
from raysim.method import Adam, Compute, Objective, Optimizer, Phase, Train
from raysim.scenario.schedule import Constant
from raysim.scenario.served import Personalise
from raysim.training.job import Job


def tuning_job(job: Job, spec: Personalise, phase: int) -> Job:
    """A trial's job with one phase, of what the method fine-tunes; plain steps, whatever the algorithm is.

    It shares the networks with the trial's, and a phase's name.

    Raises:
        ValueError: the method's stages train networks that it does not have.
    """
    plain, kind = copy.copy(job), registry.find("algorithm", "fedavg")
    plain.algorithm = kind(registry.options(kind, {}), compat=False)
    stages = tuple(_stage(job, stage, spec) for stage in job.method.personalise())
    plain.rounds = job.rounds
    plain.phases = (Phase(job.phases[phase].name, stages),)
    plain.trained(plain.phases[0])
    return plain


def _stage(job: Job, stage: Train | Compute, spec: Personalise) -> Train | Compute:
    if isinstance(stage, Compute):
        return stage
    objectives = tuple(_objective(job, objective, spec) for objective in stage.objectives)
    return replace(stage, objectives=objectives, epochs=stage.epochs or spec.epochs)


def _objective(job: Job, objective: Objective, spec: Personalise) -> Objective:
    chosen = objective.optimizer or spec.optimizer or job.scenario.federation.optimizer
    return replace(objective, optimizer=_constant(chosen))


def _constant(optimizer: Optimizer) -> Optimizer:
    """With the rate at which it starts in each round; moments start anew."""
    fresh = {"persistent": False} if isinstance(optimizer, Adam) else {}
    return optimizer.model_copy(update={"schedule": Constant(), **fresh})
