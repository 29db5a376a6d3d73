"""Whether a scenario asks for nothing that what is predicted has not: classes of a regression, its loss of classes."""

from collections.abc import Iterator

from raysim import registry
from raysim.algorithms.base import Algorithm
from raysim.data.dataset import Dataset
from raysim.scenario.clients import Dirichlet, Pathological, PerSample, Shards
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Trial


def check_outcome(trial: Trial, dataset: Dataset) -> None:
    """Checks the sections that are about classes.

    Raises:
        ScenarioError: the data has none, or has some where `model.head.loss` is of a regression.
    """
    scenario, outcome = trial.scenario, dataset.outcome
    name = scenario.federation.algorithm.name
    algorithm: type[Algorithm] = registry.find("algorithm", name)
    if outcome not in algorithm.outcomes:
        kinds = " and ".join(sorted(algorithm.outcomes))
        raise trial.error("federation.algorithm", f"{name} is for {kinds} data, and this is {outcome}; use another one")
    if outcome == "regression":
        for key, problem in _of_classes(scenario):
            raise trial.error(key, f"{problem}, and the data is a regression without classes")
    elif scenario.model.head.loss is not None:
        raise trial.error(
            "model.head.loss", f"'{scenario.model.head.loss}' is of a regression, and the data has classes; remove it"
        )


def _of_classes(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """What a scenario says that is about classes: the key, and what with the way out."""
    partition, missing, generation = scenario.partition, scenario.missing, scenario.evaluation.generation
    if isinstance(partition, Dirichlet | Pathological | Shards):
        yield "partition.name", f"write iid, quantity, natural or groups: '{partition.name}' deals by class"
    if scenario.labels.noise:
        yield "labels.noise", "write 0: wrong labels are other classes"
    if isinstance(missing, PerSample) and missing.by_class:
        yield "missing.by_class", "remove it: rates are by class"
    if scenario.compat is not None:
        yield "compat", "remove it: the benchmark has classes"
    if generation is not None and generation.judges:
        yield "evaluation.generation.judges", "write false: judges learn classes"
