"""A dataset that is dealt out: which client owns which samples, and which modalities are missing.

Shapes: N samples, M modalities, K clients.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from raysim.data.dataset import Array, Dataset
from raysim.data.held import Held
from raysim.data.missing import Changes
from raysim.data.partition import Parts

CLIENTS, SUBSET = "clients_", "subset "
"""What names of views begin with: of rows that clients keep, and of test samples given a subset of their modalities."""
PERSONAL = "_personal"
"""What ends the name of a view of clients' own rows that are judged by what each client fine-tunes for that."""
MOST_KEPT = 20_000
"""Of how many clients something is kept: memory must not grow with all clients that there are."""
Value = TypeVar("Value")
Observe = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class ClientInfo:
    """A client as methods and policies know it.

    Attributes:
        id: its number, from 0, the same in every round.
        modalities: those that at least one of its samples has; in some round, where that changes between rounds.
        always: those that all of its samples have, in all rounds.
        samples: training samples with at least one modality.
        class_counts: samples of each class; for multi-label data, positives of each label; of a regression nothing.
        complete: training samples with every modality, in some round.
        server: whether it is no client but the server with its public samples.
    """

    id: int
    modalities: frozenset[str]
    always: frozenset[str]
    samples: int
    class_counts: tuple[int, ...]
    complete: int
    server: bool = False


@dataclass(frozen=True)
class View:
    """A split, or some rows of it, as it is evaluated.

    Attributes:
        split: its name in the dataset.
        mask: (N, M) of all samples of the split.
        scored: (N,) bool, the samples that count; None for all.
        holes: whether parts of modalities are hidden, too.
        rows: (R,) which samples are evaluated, in this order; None for all.
    """

    split: str
    mask: Array
    scored: Array | None = None
    holes: bool = False
    rows: Array | None = None

    def __len__(self) -> int:
        return len(self.mask) if self.rows is None else len(self.rows)

    def at(self, start: int, stop: int) -> Array:
        """Which samples of the split some of those are that are evaluated."""
        return np.arange(start, stop) if self.rows is None else self.rows[start:stop]


@dataclass(frozen=True)
class Deal:
    """How the samples were dealt, before anything was left out; `data/record.py` makes it a file.

    Attributes:
        parts: each client's rows, also those that it does not train on: public ones, without label or modality.
        ids: (K,) numbers or text, the clients' own ids; None where they have none.
        left: (N, M) bool, what the scenario leaves of the training samples, before the method's word.
        views: `validation` and `test` -> the same of theirs.
        held: `validation` and `test` -> (N,) bool, the training samples that clients keep for these; empty where none.
    """

    parts: Parts
    ids: Array | None
    left: Array
    views: Mapping[str, Array]
    held: Mapping[str, Array] = field(default_factory=dict[str, Array])


@dataclass(frozen=True)
class Federated:
    """What every process of a trial knows of the data: plain arrays, shared and never written to.

    Attributes:
        dataset: the data.
        mask: (N, M) bool over the training samples.
        rows: training samples with at least one modality, client after client.
        offsets: (K + 1,): client k owns rows[offsets[k]:offsets[k + 1]]; one more where the server has public samples,
            which stand last.
        views: what is evaluated, by the name that the metrics carry.
        noisy: (N,) or (N, C), the training labels as the clients have them; None: as in the dataset.
        public: whether the server has samples; in all that follows it is then number K.
        noise: (N,) the standard deviation of the noise in each training sample's inputs; None where there is none.
        holes: split -> modality -> the parts of each sample that are hidden (`raysim.data.holes`).
        changing: what changes between rounds; the mask is then of what samples may ever have.
        always: (N, M) bool, what they have in every round; None where nothing changes.
        hidden: `training`, `validation` and `test` -> the share of what the data has that the scenario hides there, of
            the samples that count: the effective missing rate.
        lacking: likewise the share of all that the data itself lacks.
        deal: where it comes from; only the process that dealt the samples has it.
        held: rows that clients keep for themselves, where they do.
        more: further views, which are evaluated when they are asked for: `clients_validation` and `clients_test`, of
            the rows that clients keep, and `subset <modalities>`, of test samples that are given these.
    """

    dataset: Dataset
    mask: Array
    rows: Array
    offsets: Array
    views: Mapping[str, View]
    noisy: Array | None = None
    public: bool = False
    noise: Array | None = None
    holes: Mapping[str, Mapping[str, Array]] = field(default_factory=dict[str, Mapping[str, Array]])
    changing: Changes | None = None
    always: Array | None = None
    hidden: Mapping[str, float] = field(default_factory=dict[str, float])
    deal: Deal | None = None
    held: Held | None = None
    more: Mapping[str, View] = field(default_factory=dict[str, View])
    lacking: Mapping[str, float] = field(default_factory=dict[str, float])

    def view(self, name: str) -> View:
        """A view by its name."""
        return self.views[name] if name in self.views else self.more[name]

    @property
    def labels(self) -> Array:
        """Of the training samples, as the clients have them."""
        return self.dataset.train.labels if self.noisy is None else self.noisy

    def mask_in(self, round_: int, observe: Observe) -> Array:
        """What the training samples have in a round, (N, M), as the method sees it."""
        if self.changing is None:
            return self.mask
        period = self.changing.period(round_)
        if period not in self._masks:
            mask = observe(self.changing.mask(round_), self.dataset.train.presence(self.dataset.names)).copy()
            if self.public:
                mask[self.part(self.clients)] = True
            self._masks.clear()
            self._masks[period] = mask
        return self._masks[period]

    @cached_property
    def _masks(self) -> dict[int, Array]:
        return {}

    @cached_property
    def _sure(self) -> Array:
        """(N, M), what samples have in every round."""
        if self.always is None:
            return self.mask
        sure = self.always.copy()
        if self.public:
            sure[self.part(self.clients)] = True
        return sure

    def parts(self) -> dict[str, Any]:
        """All that other processes need beside the dataset: `Federated(dataset, **parts)`."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("dataset", "deal")}

    @property
    def clients(self) -> int:
        """K."""
        return len(self.offsets) - 1 - self.public

    @cached_property
    def sizes(self) -> Array:
        """(K,): training samples of each client, and of the server where it has some."""
        return np.diff(self.offsets)

    @property
    def eligible(self) -> int:
        """Clients that have samples."""
        return len(self.having)

    @cached_property
    def having(self) -> Array:
        """The clients that have samples, ascending."""
        return np.flatnonzero(self.sizes[: self.clients])

    def part(self, client: int) -> Array:
        """The rows of one client."""
        return self.rows[self.offsets[client] : self.offsets[client + 1]]

    def owners(self, needs: frozenset[str]) -> Array:
        """(K,) bool: clients that have a sample with all these modalities; the server, too, where it has some."""
        columns = [i for i, m in enumerate(self.dataset.names) if m in needs]

        def found() -> Array:
            fits = np.ones(len(self.mask), dtype=bool)
            for column in columns:
                fits &= self.mask[:, column]
            return self._count(fits) > 0

        return self.once(f"owners/{columns}", found)

    def info(self, client: int) -> ClientInfo:
        """What methods may know of a client."""
        return self.kept("info", client, self._info)

    def kept(self, name: str, client: int, make: Callable[[int], Value]) -> Value:
        """`make(client)`, computed once and kept while there is room."""
        table = self._kept.setdefault(name, {})
        if client not in table:
            if len(table) >= MOST_KEPT:
                table.clear()
            table[client] = make(client)
        return table[client]

    def once(self, name: str, make: Callable[[], Value]) -> Value:
        """`make()`, computed once: a few bytes a client at most."""
        if name not in self._once:
            self._once[name] = make()
        return self._once[name]

    @cached_property
    def _once(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _kept(self) -> dict[str, dict[int, Any]]:
        return {}

    def _info(self, client: int) -> ClientInfo:
        rows, names = self.part(client), self.dataset.names
        mask, labels = self.mask[rows], self.labels[rows]
        return ClientInfo(
            id=client,
            modalities=frozenset(m for i, m in enumerate(names) if mask[:, i].any()),
            always=frozenset(m for i, m in enumerate(names) if self._sure[rows, i].all()),
            samples=len(rows),
            class_counts=self.dataset.counts(labels),
            complete=int(mask.all(axis=1).sum()),
            server=client == self.clients,
        )

    @cached_property
    def patterns(self) -> Array:
        """(K, M) int8, how much of each modality a client has: 0 none, 1 in some samples, 2 in all; ordered."""
        having = self._counts(self.mask)
        sure = having if self.always is None else self._counts(self._sure)
        return (having > 0).astype(np.int8) + (sure == self.sizes[:, None])

    def _counts(self, mask: Array) -> Array:
        """(K, M), how many of a client's samples a mask (N, M) leaves."""
        return np.stack([self._count(column) for column in mask.T], axis=1)

    def _count(self, chosen: Array) -> Array:
        """(K,), how many of a client's samples are chosen, (N,) bool."""
        found, having = np.zeros(len(self.sizes), dtype=np.int64), np.flatnonzero(self.sizes)
        found[having] = np.add.reduceat(chosen[self.rows], self.offsets[:-1][having], dtype=np.int64)
        return found

    @cached_property
    def longests(self) -> Array:
        """(K, n), the longest sample of a client in each of the n modalities that have lengths, in the data's order."""
        lengths = [
            self.dataset.train.lengths[m][self.rows] for m in self.dataset.names if m in self.dataset.train.lengths
        ]
        found = np.ones((len(self.sizes), len(lengths)), dtype=np.int64)
        having = np.flatnonzero(self.sizes)
        for i, column in enumerate(lengths):
            found[having, i] = np.maximum.reduceat(column, self.offsets[:-1][having])
        return found.clip(min=1)
