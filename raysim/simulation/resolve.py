"""Turns every `auto` that decides bits into a value, once, before round 1."""

from dataclasses import replace

from raysim.data.dataset import Dataset
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Trial
from raysim.simulation.stacks import stack_of


class PlacementError(ValueError):
    """The cluster cannot hold what the scenario asks for; one line: what it wanted, what there is, what to change."""


def resolved(trial: Trial, dataset: Dataset, cohort: int, *, cuda: bool) -> Scenario:
    """The scenario with its numerics as they will be used.

    Args:
        trial: what to run.
        dataset: its data.
        cohort: clients in a round.
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
    numerics = scenario.numerics.model_copy(update={"stack": stack_of(trial, dataset, cohort), "device": device})
    return scenario.model_copy(update={"numerics": numerics})


def on_cpu(trial: Trial) -> Trial:
    """The same trial for processes that compute on CPUs."""
    numerics = trial.scenario.numerics.model_copy(update={"device": "cpu"})
    return replace(trial, scenario=trial.scenario.model_copy(update={"numerics": numerics}))
