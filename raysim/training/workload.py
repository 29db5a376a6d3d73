"""How much a trial's clients have trained, by what decides the cost of a sample: a few rows, however many clients.

Nothing of a method runs here but its predicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from raysim.method import Compute, Phase, Train, any_present
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
            self._table[(phase, *kind(job, job.phases[phase], client))] = (client, dict(samples))

    def add(self, phase: int, clients: Sequence[int]) -> None:
        """A round of these clients is done."""
        for client in clients:
            key, counts = self._job.data.kept(f"workload/{phase}", client, partial(self._of, phase))
            _, table = self._table.setdefault(key, (client, {}))
            for stage, count in counts.items():
                table[stage] = table.get(stage, 0) + count

    @property
    def works(self) -> list[Work]:
        """One for each kind of client."""
        return [Work(key[0], client, samples) for key, (client, samples) in self._table.items()]

    @property
    def rows(self) -> list[Row]:
        """The same as plain values."""
        return [(w.phase, w.client, dict(w.samples)) for w in self.works]

    def _of(self, phase: int, client: int) -> tuple[tuple[Any, ...], dict[str, int]]:
        stages = self._job.phases[phase].stages
        counts = {s.name: n for s in stages if (n := samples_of(self._job, s, client))}
        return (phase, *kind(self._job, self._job.phases[phase], client)), counts


def kind(job: Job, phase: Phase, client: int) -> tuple[Any, ...]:
    """What decides how much one of a client's samples costs."""
    info = job.data.info(client)
    stages = tuple(bool(samples_of(job, s, client)) for s in phase.stages)
    groups = tuple((bool(job.owners(n)[client]), job.reaches(n, info)) for n in job.groups)
    return job.data.pattern(client), stages, groups


def samples_of(job: Job, stage: Train | Compute, client: int) -> int:
    """How many of a client's samples a stage is given."""
    data = job.data
    if not stage.clients(data.info(client)):
        return 0
    if isinstance(stage, Compute) or stage.samples is any_present:
        return int(data.sizes[client])
    mask = data.mask[data.part(client)]
    return int(stage.samples({m: mask[:, i] for i, m in enumerate(data.dataset.names)}).sum())
