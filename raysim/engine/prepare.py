"""What can go wrong with a trial before anything starts: its data, how it is dealt out, the method's word."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from raysim import registry
from raysim.data.dataset import DataError, Dataset, Kind, Source
from raysim.data.federated import Federated, federate
from raysim.method import Method
from raysim.models.task import check_augment, check_encoders
from raysim.report.events import TrialInfo
from raysim.scenario.schema import Component
from raysim.scenario.trial import Trial
from raysim.training.job import method_of, rounds_of, task_of


@dataclass(frozen=True)
class Prepared:
    """A trial that can start."""

    trial: Trial
    info: TrialInfo
    data: Federated


def prepare(trial: Trial) -> Prepared:
    """Loads a trial's data, deals it out and asks the method.

    Raises:
        ScenarioError: something does not fit, with its place in the scenario.
    """
    scenario = trial.scenario
    try:
        dataset = dataset_of(scenario.dataset)
    except DataError as error:
        raise trial.error("dataset", str(error)) from error
    method = method_of(scenario)
    task = task_of(scenario, dataset)
    _suited_model(trial, {name: modality.kind for name, modality in dataset.modalities.items()})
    try:
        method.check(task)
        phases = method.phases(task)
    except ValueError as error:
        raise trial.error("method", str(error)) from error
    try:
        data = federate(dataset, scenario, trial.seed, lambda mask, present: method.observe(mask, present, task))
    except DataError as error:
        raise trial.error(error.section or "partition", str(error)) from error
    evaluation = scenario.evaluation
    info = TrialInfo(
        scenario=scenario.name, name=trial.name, seed=trial.seed, grid=trial.grid,
        rounds=sum(rounds_of(p, scenario) for p in phases), select=evaluation.select, metric=evaluation.metric,
        metrics=evaluation.metrics,
    )  # fmt: skip
    return Prepared(trial, info, data)


def check_kinds(trial: Trial) -> None:
    """Whether the method, the encoders and the data suit one another, as far as that is known without reading the data.

    Raises:
        ScenarioError: they do not.
    """
    source: type[Source] = registry.find("dataset", trial.scenario.dataset.name)
    kinds = source(registry.options(source, trial.scenario.dataset.options)).kinds()
    if kinds is None:
        return
    method: type[Method] = registry.find("method", trial.scenario.method.name)
    try:
        method.suits(kinds)
    except ValueError as error:
        raise trial.error("method", str(error)) from error
    _suited_model(trial, kinds)


def _suited_model(trial: Trial, kinds: Mapping[str, Kind]) -> None:
    for key, check in (("encoders", check_encoders), ("augment", check_augment)):
        try:
            check(kinds, trial.scenario.model)
        except ValueError as error:
            raise trial.error(f"model.{key}", str(error)) from error


def dataset_of(component: Component) -> Dataset:
    """The dataset that a scenario names; loaded once for all trials that say the same.

    Raises:
        DataError: it is absent or malformed.
    """
    return _load(component.model_dump_json())


@cache
def _load(text: str) -> Dataset:
    component = Component.model_validate_json(text)
    kind = registry.find("dataset", component.name)
    return kind(registry.options(kind, component.options)).load()
