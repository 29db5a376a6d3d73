"""What clients were dealt: partition.json, which is the same for most trials of a seed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysim.report.events import TrialInfo
from raysim.report.reading.folders import Study
from raysim.report.text import label

PARTITION = "partition.json"


@dataclass(frozen=True)
class Partition:
    """What each client has.

    Attributes:
        trials: (scenario, trial) of all trials in which it is so; the first stands for them.
        name: what tells it from the other partitions of the scenario: the seed, and grid values where they decide it.
        clients: K names.
        classes: C names.
        counts: (K, C) samples.
        modalities: name -> (K,) samples that have it.
    """

    trials: tuple[tuple[str, str], ...]
    name: str
    clients: tuple[str, ...]
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    modalities: Mapping[str, tuple[int, ...]]


def partitions(study: Study, scenario: str) -> list[Partition]:
    """The different ones of a scenario, in the order of the study; of a file that cannot be read there is a note."""
    alike: dict[bytes, list[tuple[str, str]]] = {}
    for place, folder in study.folders.items():
        path = folder / PARTITION
        if place[0] == scenario and path.exists():
            alike.setdefault(path.read_bytes(), []).append(place)
    of = {(t.scenario, t.name): t for t in study.results.trials}
    grids = [of[place].grid for place in study.folders if place[0] == scenario]
    values = {k: list(dict.fromkeys(g[k] for g in grids if k in g)) for k in dict.fromkeys(k for g in grids for k in g)}
    seeds = {content: {of[place].seed for place in places} for content, places in alike.items()}
    found: list[Partition] = []
    for content, places in alike.items():
        rivals = any(seeds[content] & own for other, own in seeds.items() if other != content)
        name = _name([of[place] for place in places], values if rivals else {})
        try:
            found.append(_partition(json.loads(content), tuple(places), name))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            path = study.folders[places[0]] / PARTITION
            study.notes.append(f"{path}: no picture of it: {type(error).__name__}: {error}")
    return found


def _name(trials: Sequence[TrialInfo], values: Mapping[str, Sequence[str]]) -> str:
    """`missing.rate=0.5/0.8, seed 1`: what the trials have that others of their seeds do not; a key has its values."""
    own = {k: list(dict.fromkeys(t.grid[k] for t in trials if k in t.grid)) for k in values}
    told = {k: "/".join(own[k]) for k, every in values.items() if len(own[k]) < len(every)}
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(t.seed for t in trials))
    return ", ".join(filter(None, (label(told), f"seed {seeds}")))


def _partition(data: Mapping[str, Any], trials: tuple[tuple[str, str], ...], name: str) -> Partition:
    clients: Sequence[Mapping[str, Any]] = data["clients"]
    names = dict.fromkeys(m for c in clients for m in c.get("modalities", {}))
    return Partition(
        trials,
        name,
        tuple(str(c.get("own", c["id"])) for c in clients),
        tuple(map(str, data["classes"])),
        tuple(tuple(map(int, c["counts"])) for c in clients),
        {m: tuple(int(c.get("modalities", {}).get(m, 0)) for c in clients) for m in names},
    )
