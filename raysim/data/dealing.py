"""Deals a dataset out: which client owns which samples, and which modalities are missing.

Shapes: N samples, M modalities, K clients.
"""

from collections.abc import Sequence

import numpy as np

from raysim.data.dataset import Array, DataError, Dataset
from raysim.data.effective import hidden_share, lacking_share
from raysim.data.federated import CLIENTS, SUBSET, Deal, Federated, Observe, View
from raysim.data.held import HELD, hold_back, judged, without
from raysim.data.holes import holes
from raysim.data.labels import labelled, noisy
from raysim.data.missing import (
    Changes,
    changes,
    counted,
    evaluation_mask,
    training_mask,
    without_empty,
)
from raysim.data.partition import Parts, client_ids, joined, partition, sizes_of
from raysim.data.subsets import subsets
from raysim.scenario.clients import PerSample
from raysim.scenario.schema import Scenario
from raysim.seeding import stream


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
