"""What is known of a dataset before a scenario for it is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raysim import registry
from raysim.data.classes import REAL, are_real
from raysim.data.dataset import DataError, Dataset, Kind, Outcome, Source, Split
from raysim.data.headers import array
from raysim.data.recipe import Recipe
from raysim.data.remarks import remarks
from raysim.scenario.shipped import shipped
from raysim.scenario.source import read

CLIENTS = 10
"""As many are made where the data has none of its own, or fewer where it is small."""
LEAST = 10
"""Samples that a client should have."""
FEW_A_CLASS = 20
"""Below so many samples a class and client, classes are not dealt out unevenly."""
Plain = Mapping[str, Any]
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Facts:
    """What is known of the data.

    Attributes:
        dataset: the scenario's section.
        title: what it is called.
        modalities: name -> kind, None where that is not known before the data is prepared.
        partition: what suits it.
        clients: how many that makes, where that is known.
        outcome: what is predicted.
        prepared: whether the data is there.
        remarks: what in it is unlikely.
    """

    dataset: Plain
    title: str
    modalities: Mapping[str, Kind | None]
    partition: Plain
    clients: int | None
    outcome: Outcome
    prepared: bool
    remarks: tuple[str, ...] = ()


def facts_of(dataset: str, data: Path | None, task: Task | None) -> Facts:
    """What a scenario of a dataset has to know of it.

    Args:
        dataset: its name, as in a scenario.
        data: the path of a dataset that has one.
        task: of data of one's own; None: as its labels are.

    Raises:
        DataError: there is no such data, or it has no path or task, or needs one.
    """
    source: type[Source] = registry.find("dataset", dataset)
    said: dict[str, Any] = {"name": dataset}
    if "path" in source.Options.model_fields:
        if data is None:
            raise DataError(f"'{dataset}' needs the path of your data; write --data FILE.npz")
        said["path"] = str(data.resolve())
    elif data is not None:
        raise DataError(f"'{dataset}' has its data already; for your own write --dataset arrays --data {data}")
    if "task" not in source.Options.model_fields and task is not None:
        raise DataError(f"'{dataset}' has a task of its own; leave --task out")
    if "task" in source.Options.model_fields and data is not None:
        task = task or ("regression" if are_real(array(data, "y")) else None)
        said |= {} if task is None else {"task": task}
    examples = _examples(dataset)
    if issubclass(source, Recipe):
        said = {**{k: v for k, v in examples.get("dataset", {}).items() if k != "cache"}, **said}
    there = source(registry.options(source, {k: v for k, v in said.items() if k != "name"}))
    if there.kinds() is None:
        partition = examples.get("partition", {"name": "iid", "clients": CLIENTS})
        modalities: dict[str, Kind | None] = dict.fromkeys(getattr(source, "features", ()))
        return Facts(
            said, dataset, modalities, partition, partition.get("clients"), outcome="single_label", prepared=False
        )
    try:
        found = there.load()
    except DataError as error:
        raise DataError(str(error).replace(REAL, "; for real numbers say --task regression")) from error
    kinds: dict[str, Kind | None] = {m: spec.kind for m, spec in found.modalities.items()}
    if "standardize" in source.Options.model_fields and {"vector", "sequence"} & set(kinds.values()):
        said.setdefault("standardize", True)
    partition, clients = _partition(found)
    title = dataset if data is None else data.name
    return Facts(
        said, title, kinds, partition, clients, outcome=found.outcome, prepared=True, remarks=tuple(remarks(found))
    )


def _examples(dataset: str) -> Plain:
    """What the first scenario that comes with raysim says of this dataset, and of its partition."""
    nothing: Plain = {}
    return next((e for e in _shipped() if e["dataset"].get("name") == dataset), nothing)


@cache
def _shipped() -> tuple[Plain, ...]:
    """The dataset and the partition of each scenario that comes with raysim and says both."""
    plain = [read(path).plain() for path in shipped().values()]
    keys = ("dataset", "partition")
    return tuple({key: _named(said[key]) for key in keys} for said in plain if set(keys) <= said.keys())


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _partition(data: Dataset) -> tuple[Plain, int]:
    """The data's own clients where they are large enough, groups of them where they are small, else made ones."""
    train, count = data.train, len(data.train)
    made = max(1, min(CLIENTS, count // LEAST))
    if train.clients is not None:
        sizes = np.unique(train.clients, return_counts=True)[1]
        if len(sizes) > 1 and np.median(sizes) >= LEAST / 2:
            return {"name": "natural"}, len(sizes)
        if len(sizes) >= made:
            return {"name": "groups", "clients": made}, made
    if data.outcome != "single_label" or not _skewable(train, made):
        return {"name": "iid", "clients": made}, made
    return {"name": "dirichlet", "clients": made, "alpha": 0.5, "min_size": min(LEAST, count // (4 * made))}, made


def _skewable(train: Split, clients: int) -> bool:
    """Whether classes can be dealt out unevenly so that all clients get some samples."""
    classes = len(np.unique(train.labels))
    return clients > 1 and len(train) >= FEW_A_CLASS * max(clients, classes)
