"""Sums of clients' changes, each scaled by what the algorithm says of its steps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from raysim.aggregation import Vector, weighted_sum
from raysim.training.job import Job
from raysim.training.results import Flat


def scale(job: Job, steps: int) -> float:
    """What a client's change of a group is multiplied by: 1 where it took no step on it.

    Raises:
        ValueError: the algorithm says something else than a number from 0 to 1.
    """
    if not job.algorithm.steps or not steps:
        return 1.0
    found: Any = job.algorithm.scale(steps, job.scenario.federation.optimizer)
    if not isinstance(found, int | float) or not 0 <= found <= 1:
        raise ValueError(f"scale must return a number from 0 to 1, but returned {found!r} for {steps} steps")
    return float(found)


def scaled_sum(job: Job, name: str, changes: Flat, weights: Sequence[float], steps: Sequence[int]) -> Vector:
    """The weighted sum of some clients' changes (K, P) of a group, on the grid; buffers are never scaled."""
    if not job.algorithm.steps or not job.groups[name].algorithm:
        return weighted_sum(changes, weights)
    cut, factors = job.layouts[name].parameters, [w * scale(job, s) for w, s in zip(weights, steps, strict=True)]
    parameters = weighted_sum(changes[:, :cut], factors)
    return np.concatenate([parameters, weighted_sum(changes[:, cut:], weights)])
