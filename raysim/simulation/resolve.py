"""Turns every `auto` that decides bits into a value, once, before round 1."""

import torch

from raysim.data.dataset import Dataset
from raysim.models.layers import stackable
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Trial
from raysim.training.job import method_of, task_of

MOST_STACKED = 64


class PlacementError(ValueError):
    """The cluster cannot hold what the scenario asks for; one line: what it wanted, what there is, what to change."""


def resolved(trial: Trial, dataset: Dataset, cohort: int, workers: int, *, cuda: bool) -> Scenario:
    """The scenario with its numerics as they will be used.

    Args:
        trial: what to run.
        dataset: its data.
        cohort: clients in a round.
        workers: client actors that the cluster has room for; see `ActorPlan`.
        cuda: whether the client actors can compute on a GPU.

    Raises:
        PlacementError: a GPU is asked for and there is none.
    """
    scenario = trial.scenario
    device = scenario.numerics.device
    if device == "cuda" and not cuda:
        raise PlacementError(
            "numerics.device is cuda, but the client actors have no GPU that torch can use; write auto or cpu"
        )
    if device == "auto":
        device = "cuda" if cuda else "cpu"
    stack = scenario.numerics.stack
    if stack == "auto":
        even = -(-cohort // workers)  # a unit for each worker
        stack = min(even, MOST_STACKED) if _pays(scenario, dataset) else 1
    return scenario.model_copy(
        update={"numerics": scenario.numerics.model_copy(update={"stack": stack, "device": device})}
    )


def _pays(scenario: Scenario, dataset: Dataset) -> bool:
    """A stack pays where every network takes a client axis."""
    with torch.random.fork_rng(devices=[]):
        groups = method_of(scenario).modules(task_of(scenario, dataset)).values()
    return all(stackable(group.net) for group in groups)
