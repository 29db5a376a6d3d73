"""Which modalities the simulation hides, beside what the data itself lacks.

A mask is (N, M) bool, True = available, columns in the order of the dataset's modalities. Simulation only takes
away: what the data lacks stays lacking. A draw depends on the seed, the modality's name and the row (or the client),
not on the method, the rate or the other modalities, so for one seed the modalities that are left at a high rate are
also left at a lower one.

Shapes: N samples, M modalities, K clients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raysim.data import fedmultimodal
from raysim.data.dataset import Array, DataError, Section, hint
from raysim.data.own import own_mask
from raysim.data.partition import Parts, strata
from raysim.data.stored import evaluated, left, scored
from raysim.scenario.clients import Missing, NothingMissing, OwnMissing, PerClient, PerSample, Roles, StoredMissing
from raysim.scenario.schema import Compat
from raysim.scenario.served import Only
from raysim.seeding import stream

Mask = NDArray[np.bool_]
Rates = float | Mapping[str, float]
UNKNOWN: Array = np.zeros(0, np.int64)
"""Labels, where no pattern asks for them."""
Empty = Literal["keep_one", "drop", "predict"]
Setting = Literal["none", "same", "roles"] | float | Mapping[str, float] | Only
"""The scenario's `evaluation.missing`."""


def training_mask(
    present: Mask, parts: Parts, spec: Missing, names: tuple[str, ...], seed: int, compat: Compat = None,
    labels: Array = UNKNOWN, classes: tuple[str, ...] = (),
) -> tuple[Mask, Parts]:  # fmt: skip
    """The mask of the training split, and the clients' rows without the samples that have nothing left.

    At client level `keep_one` leaves one of the modalities that the client has at all. Whatever the level, a sample
    that ends with nothing (one that naturally lacks what its client keeps, say) is dropped. A client that loses all
    samples keeps its place with an empty array, so that client ids are stable. Roles go to clients by a random
    permutation of the seed.

    Args:
        present: (N, M), the data's own mask.
        parts: each client's row numbers.
        spec: the scenario's `missing` section.
        names: the modalities.
        seed: the trial's seed.
        compat: whose draws are reproduced, at client level.
        labels: (N,) or (N, C), for patterns that ask for them.
        classes: what they are called.

    Returns:
        The mask (N, M), and K arrays of row numbers.

    Raises:
        DataError: an unknown modality, roles that don't add up, or nothing left to train on.
    """
    match spec:
        case NothingMissing():
            mask = present.copy()
        case PerSample():
            mask = changes(present, parts, spec, names, seed, labels, classes).mask(1)
        case PerClient() if compat:
            mask = _by_client(present, parts, _as_the_benchmark(spec, len(parts), names))
        case PerClient():
            mask = _at_clients(present, parts, spec.rate, spec.empty, names, seed)
        case Roles():
            mask = _by_client(present, parts, _roles(spec, len(parts), names, seed))
        case StoredMissing():
            mask = left(spec, present, np.concatenate(parts), names)
        case OwnMissing():
            mask = own_mask(present, parts, labels, spec, names, "train", seed)
    having = without_empty(parts, mask)
    if not any(map(len, having)):
        way = "lower the rate or set empty: keep_one" if isinstance(spec, PerClient | PerSample) else "hide less"
        raise DataError(f"no training sample has a modality left; {way}", "missing")
    return mask, having


@dataclass(frozen=True)
class Changes:
    """What is hidden of the training samples by sample, as it changes over rounds.

    Attributes:
        spec: the scenario's `missing` section.
        names: the modalities.
        seed: the trial's.
        base: (N, M), what samples have before anything is drawn by sample.
        levels: (N,), each sample's line in the tables.
        tables: (L, M) rates each, of the periods; the last one stays.
    """

    spec: PerSample
    names: tuple[str, ...]
    seed: int
    base: Mask
    levels: NDArray[np.int64]
    tables: tuple[NDArray[np.float64], ...]

    def period(self, round_: int) -> int:
        """Which period a round is in, both from 0 and from 1; all rounds are in the first where nothing changes."""
        return (round_ - 1) // self.spec.changing.every_rounds if self.spec.changing else 0

    def mask(self, round_: int) -> Mask:
        """What samples have in a round, counted from 1: (N, M)."""
        period = self.period(round_)
        fresh = (str(period),) if period and self.spec.changing and self.spec.changing.redraw else ()
        draws = _uniform(len(self.base), self.names, self.seed, "per_sample", *fresh)
        return _hide(self.base, draws, self._rates(self.tables[min(period, len(self.tables) - 1)]), self.spec.empty)

    def ever(self) -> Mask:
        """What samples may have in some round: (N, M)."""
        lowest, highest = (self._rates(f(self.tables, axis=0)) for f in (np.min, np.max))
        one_is_kept = (~self.base | (highest > 0)).all(axis=1, keepdims=True)  # any one, where it may lose everything
        return self.base & ((lowest < 1) | one_is_kept)

    def always(self) -> Mask:
        """What samples have in every round: (N, M)."""
        only = self.base.sum(axis=1, keepdims=True) == 1  # empty is keep_one where anything changes
        return self.base & (only | (self._rates(np.max(self.tables, axis=0)) == 0))

    def _rates(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        return table[self.levels] if len(table) > 1 else table


def changes(
    present: Mask, parts: Parts, spec: PerSample, names: tuple[str, ...], seed: int, labels: Array = UNKNOWN,
    classes: tuple[str, ...] = (),
) -> Changes:  # fmt: skip
    """The masks of all rounds by sample; arguments are those of `training_mask`."""
    base = _at_clients(present, parts, spec.client_rate, spec.empty, names, seed) if spec.client_rate else present
    rates = (spec.rate, *(spec.changing.rates if spec.changing else ()))
    tables = tuple(_table(rate, spec, names, classes) for rate in rates)
    return Changes(spec, names, seed, base, _levels(spec, labels), tables)


def evaluation_mask(
    present: Mask,
    setting: Setting,
    spec: Missing,
    names: tuple[str, ...],
    seed: int,
    split: str,
    empty: Empty | None = None,
    labels: Array = UNKNOWN,
    classes: tuple[str, ...] = (),
) -> Mask:
    """The mask of a validation or test split: one Bernoulli draw a (sample, modality), or what a file or function says.

    With `keep_one` a sample that would lose everything keeps one at random (the Dedicated FL of FedRecon). A sample
    that the data leaves with nothing stays so.

    Args:
        present: (N, M), the data's own mask.
        setting: `none` hides nothing; `same` takes the rate of `spec`, its roles, or what its file or function says;
            `roles` the roles of `spec`, drawn for each sample in proportion to their clients; a rate, or one by
            modality; or what is left alone.
        spec: the scenario's `missing` section.
        names: the modalities.
        seed: the trial's seed.
        split: the split's name; each has draws of its own.
        empty: what happens to samples that would lose everything; None: see `when_empty`.
        labels: as for `training_mask`.
        classes: likewise.

    Raises:
        DataError: `same` where training has no rate, or its file nothing of this split.
    """
    if setting == "none":
        return present.copy()
    if setting == "same" and isinstance(spec, StoredMissing):
        return present & evaluated(spec, split, names, len(present))
    draws = _uniform(len(present), names, seed, "evaluation", split)
    if setting == "same" and isinstance(spec, OwnMissing):
        alone = list(np.arange(len(present))[:, None])
        mask = own_mask(present, alone, labels, spec, names, split, seed)
        return _kept(mask, present, draws, when_empty(empty, spec))
    if isinstance(setting, Only):
        _known(setting.only, names, "missing.only", "evaluation")
        left = present & np.array([m in setting.only for m in names])
        return _kept(left, present, draws, when_empty(empty, spec))
    if setting in ("same", "roles") and isinstance(spec, Roles):
        return _kept(present & _role_of_each(spec, len(present), names, seed, split), present, draws,
                     when_empty(empty, spec))  # fmt: skip
    if setting == "same" and spec.parts and isinstance(spec, NothingMissing):
        return present.copy()
    if setting == "same" and isinstance(spec, PerSample):
        rates = _table(spec.rate, spec, names, classes)[_levels(spec, labels) if spec.by_class else 0]
        both = 1 - (1 - _chances(spec.client_rate, names)) * (1 - rates) if spec.client_rate else rates
        return _hide(present, draws, both, when_empty(empty, spec))
    rate = spec.rate if setting == "same" and isinstance(spec, PerClient) else setting
    if isinstance(rate, str):
        raise DataError(
            f"evaluation.missing: {rate} needs {'roles' if rate == 'roles' else 'a rate'}, and missing '{spec.name}' "
            "has none; give a number such as 0.5",
            "evaluation",
        )
    section: Section = "missing" if setting == "same" else "evaluation"
    return _hide(present, draws, _chances(rate, names, section), when_empty(empty, spec))


def when_empty(empty: Empty | None, spec: Missing) -> Empty:
    """What happens to an evaluated sample that loses everything: what evaluation says, or else what training says."""
    return empty or (spec.empty if isinstance(spec, PerClient | PerSample) else "keep_one")


def counted(mask: Mask, setting: Setting, spec: Missing, split: str, empty: Empty | None = None) -> Mask | None:
    """Which evaluated samples count, (N,), where some may be left out; by their `evaluation_mask` (N, M)."""
    if setting == "none":
        return None
    if setting == "same" and empty is None and isinstance(spec, StoredMissing):
        return scored(spec, split, len(mask))
    return np.asarray(mask.any(axis=1)) if when_empty(empty, spec) == "drop" else None


def anything(mask: Mask) -> Mask:
    """Which rows (N, M) have something, (N,); numpy's own `any` takes ten times as long over so few columns."""
    found = np.zeros(len(mask), dtype=bool)
    for column in mask.T:
        found |= column
    return found


def _chances(rate: Rates, names: tuple[str, ...], section: Section = "missing") -> NDArray[np.float64]:
    """The rate of each modality (M,); one that a mapping leaves out is never hidden."""
    if not isinstance(rate, Mapping):
        return np.full(len(names), rate)
    _known(rate, names, "rate" if section == "missing" else "missing", section)
    return np.array([rate.get(name, 0.0) for name in names])


def _table(rate: Rates, spec: PerSample, names: tuple[str, ...], classes: tuple[str, ...]) -> NDArray[np.float64]:
    """The rates (L, M): with rates by class one line for each, and one for samples without a class; otherwise one."""
    table = np.tile(_chances(rate, names), (len(classes) + 1 if spec.by_class else 1, 1))
    for name, own in spec.by_class.items():
        if name not in classes:
            raise DataError(f"by_class: no class '{name}'; {hint(name, classes)}", "missing")
        table[classes.index(name)] = _chances(own, names)
    return table


def _levels(spec: PerSample, labels: Array) -> NDArray[np.int64]:
    """Each sample's line of `_table`."""
    return strata(labels) if spec.by_class else UNKNOWN


def _known(
    used: Mapping[str, float] | tuple[str, ...], names: tuple[str, ...], where: str, section: Section = "missing"
) -> None:
    for name in used:
        if name not in names:
            raise DataError(f"{where}: no modality '{name}'; {hint(name, names)}", section)


def _uniform(rows: int, names: tuple[str, ...], seed: int, *level: str) -> NDArray[np.float64]:
    return np.stack([stream(seed, "missing", *level, name).random(rows) for name in names], axis=1)


def _hide(present: Mask, draws: NDArray[np.float64], rates: NDArray[np.float64], empty: str) -> Mask:
    """Rows (N, M) without what was drawn below its rate; with `keep_one` no row loses everything."""
    # Given that all are lost, draw / rate is uniform in [0, 1) for each, so the largest is a fair choice;
    # and it is the one that a falling rate would give back first.
    return _kept(present & (draws >= rates), present, draws, empty, np.maximum(rates, np.finfo(float).tiny))


def _kept(mask: Mask, present: Mask, draws: NDArray[np.float64], empty: str, rates: Array | float = 1.0) -> Mask:
    """A mask (N, M) in which with `keep_one` rows that lost everything keep their largest draw / rate; written to."""
    if empty == "keep_one":
        rows = np.flatnonzero(anything(present) & ~anything(mask))
        order = draws[rows] / np.broadcast_to(rates, draws.shape)[rows]
        mask[rows, np.where(present[rows], order, -1.0).argmax(axis=1)] = True
    return mask


def _at_clients(present: Mask, parts: Parts, rate: Rates, empty: str, names: tuple[str, ...], seed: int) -> Mask:
    """The sample mask (N, M) of one draw for each (client, modality)."""
    full = np.ones((len(parts), len(names)), dtype=bool)
    owned = full if present.all() else np.stack([present[part].any(axis=0) for part in parts])
    draws = _uniform(len(parts), names, seed, "per_client")
    return _by_client(present, parts, _hide(owned, draws, _chances(rate, names), empty))


def _by_client(present: Mask, parts: Parts, clients: Mask) -> Mask:
    """The sample mask from one by client (K, M)."""
    mask = present.copy()
    mask[np.concatenate(parts)] &= np.repeat(clients, [len(part) for part in parts], axis=0)
    return mask


def without_empty(parts: Parts, mask: Mask) -> Parts:
    """Each client's rows without those that have no modality."""
    having = anything(mask)
    return parts if having.all() else [part[having[part]] for part in parts]


def _as_the_benchmark(spec: PerClient, clients: int, names: tuple[str, ...]) -> Mask:
    if len(names) != 2:
        raise DataError(
            f"compat: fedmultimodal draws for two modalities, the data has {len(names)}; set it to null", "missing"
        )
    return ~fedmultimodal.missing(clients, _chances(spec.rate, names).tolist())


def _roles(spec: Roles, clients: int, names: tuple[str, ...], seed: int) -> Mask:
    total = sum(role.clients for role in spec.roles)
    if total != clients:
        raise DataError(f"the roles' clients add up to {total}, but there are {clients}; make them equal", "missing")
    has = np.repeat(_has(spec, names), [role.clients for role in spec.roles], axis=0)
    return has[stream(seed, "missing", "roles").permutation(clients)]


def _has(spec: Roles, names: tuple[str, ...]) -> Mask:
    """What each of R roles has: (R, M)."""
    for role in spec.roles:
        _known(role.modalities, names, "roles")
    return np.array([[m in role.modalities for m in names] for role in spec.roles])


def _role_of_each(spec: Roles, samples: int, names: tuple[str, ...], seed: int, split: str) -> Mask:
    """A role for each evaluated sample, (samples, M), drawn in proportion to the roles' clients."""
    ends = np.cumsum([role.clients for role in spec.roles])
    drawn = stream(seed, "missing", "evaluation", split, "roles").random(samples) * ends[-1]
    return _has(spec, names)[np.searchsorted(ends, drawn, side="right")]
