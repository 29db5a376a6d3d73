"""The datasets that this process has read, once each."""

import json
from concurrent.futures import Future
from functools import partial

from raysim import registry
from raysim.aside import aside
from raysim.data.dataset import Dataset
from raysim.scenario.schema import Scenario
from raysim.scenario.section import Component

_loaded: dict[str, Dataset] = {}
"""By `data_key`: trials follow each other on the same data."""
_coming: dict[str, Future[Dataset]] = {}


def data_key(scenario: Scenario) -> str:
    """What decides the dataset: trials that agree on it share one."""
    return json.dumps([scenario.dataset.model_dump(mode="json"), scenario.modalities])


def dataset_of(key: str) -> Dataset:
    """The dataset of a `data_key`, read if it was not.

    Raises:
        DataError: it cannot be.
    """
    if key not in _loaded:
        coming = _coming.pop(key, None)
        _loaded[key] = _read(key) if coming is None else coming.result()
    return _loaded[key]


def read_ahead(scenario: Scenario) -> None:
    """Begins to read a dataset that will be asked for, while this thread imports what its user needs.

    Only one that comes with raysim: a user's may import the same, which two threads must not. What goes wrong is said
    where the dataset is asked for.
    """
    key = data_key(scenario)
    if key not in _loaded and key not in _coming and not registry.is_own("dataset", scenario.dataset.name):
        _coming[key] = aside(partial(_read, key))


def instead(key: str, dataset: Dataset) -> None:
    """From now on a dataset that was read is this one."""
    _loaded[key] = dataset


def forget() -> None:
    """Nothing stays."""
    _loaded.clear()
    _coming.clear()


def _read(key: str) -> Dataset:
    settings, modalities = json.loads(key)
    component = Component.model_validate(settings)
    kind = registry.find("dataset", component.name)
    dataset: Dataset = kind(registry.options(kind, component.options)).load()
    return dataset if modalities is None else dataset.only(tuple(modalities))
