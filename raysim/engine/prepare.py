"""What can go wrong with a trial before anything starts: its data, how it is dealt out, the method's word."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from raysim import registry
from raysim.data.dataset import DataError, Dataset, Kind, Source, check_names
from raysim.data.federated import Federated, federate
from raysim.method import Method
from raysim.models.task import check_augment, check_encoders
from raysim.report.events import TrialInfo
from raysim.scenario.schema import Component, Scenario
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
        dataset = _load(data_key(scenario))
    except DataError as error:
        raise trial.error(error.section, str(error)) from error
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
    known = source(registry.options(source, trial.scenario.dataset.options)).kinds()
    if known is None:
        return
    wanted = trial.scenario.modalities or tuple(known)
    try:
        check_names(wanted, known)
    except DataError as error:
        raise trial.error(error.section, str(error)) from error
    kinds: dict[str, Kind] = {m: kind for m, kind in known.items() if m in wanted}
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


def data_key(scenario: Scenario) -> str:
    """What decides the dataset: trials that agree on it share one."""
    return json.dumps([scenario.dataset.model_dump(mode="json"), scenario.modalities])


_loaded: dict[str, Dataset] = {}
"""By `data_key`: trials follow each other on the same data."""


def instead(key: str, dataset: Dataset) -> None:
    """From now on a dataset that was loaded is this one, which is equal and lies in memory that others share."""
    _loaded[key] = dataset


def _load(key: str) -> Dataset:
    if key not in _loaded:
        settings, modalities = json.loads(key)
        component = Component.model_validate(settings)
        kind = registry.find("dataset", component.name)
        dataset: Dataset = kind(registry.options(kind, component.options)).load()
        _loaded[key] = dataset if modalities is None else dataset.only(tuple(modalities))
    return _loaded[key]


def forget() -> None:
    """Nothing stays loaded, for lack of the memory that it was in."""
    _loaded.clear()
