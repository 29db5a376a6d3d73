"""A dataset dealt out: which client owns which samples, and which modalities are missing.

Shapes: N samples, M modalities, K clients.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from raysim.data.dataset import Array, DataError, Dataset
from raysim.data.held import HELD, Held, hold_back, judged, without
from raysim.data.holes import holes
from raysim.data.labels import labelled, noisy
from raysim.data.missing import (
    Changes,
    changes,
    counted,
    evaluation_mask,
    hidden_share,
    lacking_share,
    training_mask,
    without_empty,
)
from raysim.data.partition import Parts, client_ids, joined, partition, sizes_of
from raysim.data.subsets import subsets
from raysim.scenario.clients import PerSample
from raysim.scenario.schema import Scenario
from raysim.seeding import stream

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


def federate(dataset: Dataset, scenario: Scenario, seed: int, observe: Observe) -> Federated:
    """Deals a dataset out as a scenario and a seed say.

    Args:
        dataset: the data.
        scenario: its `partition`, `public`, `feature_noise`, `missing`, `labels` and `evaluation` sections are used.
        seed: the trial's.
        observe: (mask, natural mask) -> mask: the method's last word on what is missing.

    Raises:
        DataError: the data cannot be dealt out so.
    """
    names = dataset.names
    present = dataset.train.presence(names)
    parts = dealt = partition(dataset.train, scenario.partition, seed)
    public = public_rows(present, scenario.public, seed)
    parts = [part[~np.isin(part, public)] for part in parts] if len(public) else parts
    labels = noisy(dataset.train.labels, parts, len(dataset.classes), scenario.labels, seed, scenario.compat)
    parts = labelled(parts, scenario.labels, seed, scenario.compat)
    spec, facts = scenario.missing, (dataset.train.labels, dataset.classes)
    first, having = training_mask(present, parts, spec, names, seed, scenario.compat, *facts)
    owned, parts, kept = parts, *_held(scenario, parts, dataset, first, seed)
    left, ids = first, client_ids(dataset, scenario.partition, dealt)
    rows = trained = joined(without(having, kept) if kept else having)
    shares, lacking = (
        {"training": hidden_share(present[trained], left[trained])},
        {"training": lacking_share(present[trained])},
    )
    changing = None
    if isinstance(spec, PerSample) and spec.changing:
        changing = changes(present, owned, spec, names, seed, *facts)
        _check_changing(changing, present, trained, observe)
        left = changing.ever()
    mask = observe(left, present)
    parts = without_empty(parts, mask)
    if not any(len(p) for p in parts):
        raise DataError("no training sample has a modality left; lower the missing rate", section="missing")
    cut = {"train": holes(dataset.train, dataset.modalities, spec.parts, "train", seed)}
    noise = noise_of(owned, len(present), scenario.feature_noise)
    more, held = dict[str, View](), None
    if scenario.evaluation.clients is not None:
        anything = np.asarray(first.any(axis=1))
        held = judged(owned, kept, left, anything, names, ids, scenario.evaluation.clients, seed)
        seen = observe(first, present)
        more = {f"{CLIENTS}{s}": View("train", seen, holes=bool(cut["train"]), rows=held.rows[s]) for s in HELD}
    if len(public):
        mask, parts = mask.copy(), [*parts, public]
        mask[public] = True
        for spans in cut["train"].values():
            spans[public] = 0
    if parts is not having:
        rows = joined(parts)
    offsets = np.concatenate([[0], np.cumsum(sizes_of(parts))])
    views, masks = dict[str, View](), dict[str, Array]()
    for split in ("validation", "test"):
        masks[split], shares[split], lacking[split] = _view(dataset, scenario, seed, split, observe, views)
        if scenario.evaluation.missing == "same":
            cut[split] = holes(dataset.split(split), dataset.modalities, spec.parts, split, seed)
    more |= _subset_views(dataset, scenario, observe)
    changed = labels if scenario.labels.noise else None
    deal = Deal(dealt, ids, left, masks, _flags(kept, len(present)))
    return Federated(
        dataset, mask, rows, offsets, views, changed, bool(len(public)), noise, cut, changing,
        None if changing is None else observe(changing.always(), present), shares, deal, held, more, lacking,
    )  # fmt: skip


def _held(
    scenario: Scenario, parts: Parts, dataset: Dataset, mask: Array, seed: int
) -> tuple[Parts, list[tuple[Array, Array]]]:
    """Each client's rows without those that it keeps, and those; nothing of the latter where nobody keeps any."""
    spec = scenario.evaluation.clients
    if spec is None:
        return parts, []
    labels = dataset.train.labels if dataset.classes else np.zeros(len(mask), dtype=np.int64)  # targets: all alike
    kept = hold_back(parts, labels, np.asarray(mask.any(axis=1)), spec, seed)
    return without(parts, kept), kept


def _flags(kept: Sequence[tuple[Array, Array]], samples: int) -> dict[str, Array]:
    """`validation` and `test` -> (N,) bool, what clients keep for it."""
    found = {split: np.zeros(samples, dtype=bool) for split in HELD} if kept else {}
    for mine in kept:
        for split, rows in zip(HELD, mine, strict=True):
            found[split][rows] = True
    return found


def _subset_views(dataset: Dataset, scenario: Scenario, observe: Observe) -> dict[str, View]:
    """`subset <modalities>` -> the test samples that have all of them, given these alone."""
    natural, found = dataset.test.presence(dataset.names), dict[str, View]()
    for subset in subsets(dataset.names, scenario.evaluation.subsets):
        given = np.array([m in subset for m in dataset.names])
        rows = np.flatnonzero(natural[:, given].all(axis=1))
        found[f"{SUBSET}{'+'.join(subset)}"] = View("test", observe(natural & given, natural), rows=rows)
    return found


def _view(
    dataset: Dataset, scenario: Scenario, seed: int, split: str, observe: Observe, views: dict[str, View]
) -> tuple[Array, float, float]:
    """Adds a split's views.

    Returns:
        What the scenario leaves of it (N, M), the share of what the data has that it hides, and what the data lacks.
    """
    choice, spec, data = scenario.evaluation, scenario.missing, dataset.split(split)
    natural = data.presence(dataset.names)
    hidden = evaluation_mask(
        natural, choice.missing, spec, dataset.names, seed, split, choice.empty, data.labels, dataset.classes
    )
    scored = counted(hidden, choice.missing, spec, split, choice.empty)
    some = slice(None) if scored is None else scored
    if not len(hidden[some]):
        raise DataError(f"no {split} sample has a modality left; lower the rate, or empty: keep_one", "evaluation")
    parts = choice.missing == "same" and spec.parts is not None
    views[split] = View(split, observe(hidden, natural), scored, holes=parts)
    if choice.missing != "none":
        views[f"{split}_unmasked"] = View(split, observe(natural, natural))
    return hidden, hidden_share(natural[some], hidden[some]), lacking_share(natural[some])


def noise_of(parts: Parts, samples: int, variance: float) -> Array | None:
    """Noise-based feature skew of Li et al. 2022 (arXiv:2102.02079): client i of K has Gau(variance i / K), i from 1.

    Returns:
        The standard deviation of each sample's noise (N,); None for no noise.
    """
    if not variance:
        return None
    found = np.zeros(samples, dtype=np.float32)
    for i, part in enumerate(parts, 1):
        found[part] = np.sqrt(variance * i / len(parts))
    return found


def _check_changing(changing: Changes, present: Array, trained: Array, observe: Observe) -> None:
    """Whether a sample has something in every round, whatever one modality is left of it.

    Raises:
        DataError: the method looks at some modalities alone.
    """
    for column in np.eye(present.shape[1], dtype=bool):
        one = changing.base & column
        if not observe(one, present)[trained][one[trained].any(axis=1)].any(axis=1).all():
            raise DataError(
                "the method leaves modalities out, so samples would come and go between rounds; remove changing, or "
                "use another method",
                "missing",
            )


def public_rows(present: Array, wanted: int | float, seed: int) -> Array:
    """Which training samples the server keeps: drawn among those that lack nothing, in ascending order.

    Args:
        present: (N, M), the data's own mask.
        wanted: how many, or which share of all training samples; 0 for none.
        seed: the trial's.

    Raises:
        DataError: there are too few, or none would be left.
    """
    count = wanted if isinstance(wanted, int) else max(1, int(wanted * len(present)))
    complete = np.flatnonzero(present.all(axis=1))
    most = max(0, min(len(complete), len(present) - 1))
    if count > most:
        remedy = f"write at most {most}" if most else "use a method without public samples"
        found = f"{len(complete)} of {len(present)} are complete"
        raise DataError(f"{count} public samples are wanted, {found}; {remedy}", "public")
    return np.sort(stream(seed, "public").choice(complete, size=count, replace=False))
