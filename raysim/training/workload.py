"""How much a trial's clients have trained, by what decides the cost of a sample: a few rows, however many clients.

Nothing of a method runs here but its predicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from raysim.data.dataset import Array
from raysim.method import Compute, Phase, Train, any_present, everyone
from raysim.training.job import Job

Row = tuple[int, int, dict[str, int]]


@dataclass(frozen=True)
class Work:
    """What clients whose samples cost alike have been given.

    Attributes:
        phase: its number. client: one of them.
        samples: stage -> samples of all of them, over all rounds; an epoch counts once.
    """

    phase: int
    client: int
    samples: Mapping[str, int]


class Workload:
    """The rows so far."""

    def __init__(self, job: Job, rows: Sequence[Row] = ()) -> None:
        """Starts from nothing, or from what `rows` was."""
        self._job = job
        self._table: dict[tuple[Any, ...], tuple[int, dict[str, int]]] = {}
        for phase, client, samples in rows:
            self._table[(phase, *kind(job, phase, client))] = (client, dict(samples))

    def add(self, phase: int, clients: Sequence[int]) -> None:
        """A round of these clients is done."""
        chosen = np.array(clients, dtype=np.int64)
        given = samples_given(self._job, self._job.phases[phase], chosen)
        keys = kinds(self._job, chosen, given)
        numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        where = np.array([numbers[key] for key in keys])
        for key, number in numbers.items():
            members = where == number
            _, table = self._table.setdefault((phase, *key), (int(chosen[members.argmax()]), {}))
            for stage, counts in given.items():
                if count := int(counts[members].sum()):
                    table[stage] = table.get(stage, 0) + count

    @property
    def works(self) -> list[Work]:
        """One for each kind of client."""
        return [Work(key[0], client, samples) for key, (client, samples) in self._table.items()]

    @property
    def rows(self) -> list[Row]:
        """The same as plain values."""
        return [(w.phase, w.client, dict(w.samples)) for w in self.works]


def kind(job: Job, phase: int, client: int) -> tuple[int, ...]:
    """What decides how much one of a client's samples costs."""
    chosen = np.array([client])
    return kinds(job, chosen, samples_given(job, job.phases[phase], chosen))[0]


def kinds(job: Job, clients: Array, given: Mapping[str, Array]) -> list[tuple[int, ...]]:
    """The same of C clients at once: the modalities that they lack, the stages and groups that they have.

    Args:
        job: says it.
        clients: (C,) ids.
        given: as `samples_given` has it.
    """
    data = job.data
    columns = [*data.patterns[clients].T, *(counts > 0 for counts in given.values())]
    columns += [job.owners(n)[clients] for n in job.groups]
    for name, group in job.groups.items():
        if group.reaches is not everyone:
            columns.append(np.array([job.reaches(name, data.info(c)) for c in clients.tolist()]))
    return list(map(tuple, np.stack(columns, axis=1).tolist()))


def samples_given(job: Job, phase: Phase, clients: Array) -> dict[str, Array]:
    """Stage -> (C,) how many of the clients' samples it is given."""
    sizes, found = job.data.sizes[clients], dict[str, Array]()
    for stage in phase.stages:
        if stage.clients is everyone and (isinstance(stage, Compute) or stage.samples is any_present):
            found[stage.name] = sizes
        else:
            each = partial(samples_of, job, stage)
            name = f"samples/{phase.name}/{stage.name}"
            found[stage.name] = np.array([job.data.kept(name, c, each) for c in clients.tolist()], dtype=np.int64)
    return found


def samples_of(job: Job, stage: Train | Compute, client: int) -> int:
    """How many of a client's samples a stage is given."""
    data = job.data
    if not stage.clients(data.info(client)):
        return 0
    if isinstance(stage, Compute) or stage.samples is any_present:
        return int(data.sizes[client])
    mask = data.mask[data.part(client)]
    return int(stage.samples({m: mask[:, i] for i, m in enumerate(data.dataset.names)}).sum())
