"""What clients were dealt: partition.json, which is the same for most trials of a seed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    seeds = [tuple(dict.fromkeys(of[p].seed for p in several)) for several in alike.values()]
    found: list[Partition] = []
    for (content, several), own in zip(alike.items(), seeds, strict=True):
        name = f"seed {', '.join(map(str, own))}"
        if seeds.count(own) > 1:
            name = f"{label(of[several[0]].grid)}, {name}"
        try:
            found.append(_partition(json.loads(content), tuple(several), name))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            path = study.folders[several[0]] / PARTITION
            study.notes.append(f"{path}: no picture of it: {type(error).__name__}: {error}")
    return found


def _partition(data: Mapping[str, Any], trials: tuple[tuple[str, str], ...], name: str) -> Partition:
    clients: Sequence[Mapping[str, Any]] = data["clients"]
    names = dict.fromkeys(m for c in clients for m in c.get("modalities", {}))
    return Partition(
        trials,
        name,
        tuple(str(c.get("own", c["id"])) for c in clients),
        tuple(map(str, data["classes"])),
        tuple(tuple(map(int, c["counts"])) for c in clients),
        {m: tuple(int(c["modalities"].get(m, 0)) for c in clients) for m in names},
    )
