"""The samples of some clients as tensors, and batches of them.

Shapes: *K the client axis (absent for one client), N samples of the largest client, B batch. Absent rows are zeros:
what the data holds there (NaN even) is never read.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import neg
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raysim.data.dataset import Array, Dataset, Modality, Split
from raysim.data.mapped import Mapped
from raysim.data.pieces import Inputs
from raysim.data.ragged import Pictures, Ragged
from raysim.training.altering import UNCHANGED, Altering, Change
from raysim.training.shelf import Shelf
from raysim.training.units import padded


@dataclass(frozen=True)
class Album:
    """Images that are decoded when they are taken.

    Attributes:
        pictures: those that are there.
        numbers: (*K, N) their numbers among these, -1 where there is none.
    """

    pictures: Pictures
    numbers: Tensor
    shape: tuple[int, ...]

    def __getitem__(self, where: Any) -> Tensor:
        """(..., *shape) float32 in [0, 1]; zeros where there is none."""
        numbers = self.numbers[where]
        flat: Array = numbers.flatten().cpu().numpy()
        out = np.zeros((flat.size, *self.shape), dtype=np.float32)
        if (there := np.flatnonzero(flat >= 0)).size:
            out[there] = self.pictures[flat[there]].decoded()
        return torch.from_numpy(out / 255.0).view(*numbers.shape, *self.shape).to(self.numbers.device)

    def narrow(self, where: Any) -> "Album":
        """Some of the samples, not decoded yet."""
        return Album(self.pictures, self.numbers[where], self.shape)


@dataclass(frozen=True)
class Samples:
    """All samples of a client or of a stack.

    Attributes:
        x: modality -> (*K, N, *shape), or what becomes that.
        lengths, present: modality -> (*K, N).
        y: (*K, N) or (*K, N, C).
        counts: samples of each client.
        changes: modality -> what is done to its inputs when they are taken, in order.
    """

    x: Mapping[str, Tensor | Album | Shelf]
    lengths: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    y: Tensor
    counts: tuple[int, ...]
    changes: Mapping[str, tuple[Change, ...]] = field(default_factory=dict[str, tuple[Change, ...]])

    def at(self, where: Any) -> dict[str, Tensor]:
        """The inputs of the samples that an index names."""
        found = {name: x[where] for name, x in self.x.items()}
        for name, changes in self.changes.items():
            for change in changes:
                found[name] = change.made(
                    found[name], where, self.lengths[name][where] if name in self.lengths else None
                )
        return found

    def narrow(self, members: Sequence[int], *, axis: bool) -> "Samples":
        """Some clients of a stack, in another order; without `axis` the one that is named."""
        if axis and list(members) == list(range(len(self.counts))):
            return self
        where = torch.tensor(members, device=self.y.device) if axis else members[0]
        first = members[0]
        size = max(self.counts[i] for i in members)

        index: Any = (where, slice(size)) if axis else (first, slice(size))

        def pick(tensor: Tensor) -> Tensor:
            return tensor[index]

        x = {m: pick(t) if isinstance(t, Tensor) else t.narrow(index) for m, t in self.x.items()}
        lengths, present = ({m: pick(t) for m, t in d.items()} for d in (self.lengths, self.present))
        changes = {m: tuple(change.narrow(index) for change in those) for m, those in self.changes.items()}
        return Samples(x, lengths, present, pick(self.y), tuple(self.counts[i] for i in members), changes)


def load(
    dataset: Dataset, split: Split, parts: Sequence[Array], mask: Array, device: torch.device,
    labels: Array | None = None, *, lazy: bool = True, altering: Altering = UNCHANGED,
) -> Samples:  # fmt: skip
    """Gathers the rows of each part, with a client axis of `len(parts)`.

    Sequences are cut to a bound that holds the longest of these samples.

    Args:
        dataset: names the modalities.
        split: where the rows are.
        parts: row numbers, one array a client.
        mask: (N, M) bool over the split.
        device: where the tensors go.
        labels: the split's own where None.
        lazy: whether inputs may stay where they are until they are taken.
        altering: what is changed of inputs when they are taken.
    """
    labels = split.labels if labels is None else labels
    size, rows = max(len(p) for p in parts), np.concatenate(parts)
    filled = np.arange(size) < np.array([len(p) for p in parts])[:, None]
    x: dict[str, Tensor | Album | Shelf] = {}
    lengths: dict[str, Tensor] = {}
    present: dict[str, Tensor] = {}
    changes: dict[str, tuple[Change, ...]] = {}
    for column, (name, modality) in enumerate(dataset.modalities.items()):
        there = np.zeros(filled.shape, dtype=bool)
        there[filled] = mask[rows, column]
        having, shape = rows[mask[rows, column]], modality.shape
        if modality.ordered:
            steps = np.ones(filled.shape, dtype=np.int64)
            steps[there] = np.maximum(split.lengths[name][having], 1)
            shape = (padded(int(split.lengths[name][rows].max(initial=1)), shape[0]), *shape[1:])
            lengths[name] = torch.from_numpy(steps).to(device)
        array = split.inputs[name]
        if lazy and device.type == "cpu" and not isinstance(array, Ragged) and _shelved(array, modality):
            x[name] = Shelf(array, torch.from_numpy(_numbers(having, there)), shape[0] if modality.ordered else None)
        else:
            x[name] = _gather(array, modality, having, there, shape, device)
        present[name] = torch.from_numpy(there).to(device)
        if altering.reaches(name, modality):
            changes[name] = altering.of(name, modality, _numbers(having, there), device)
    y = np.zeros((*filled.shape, *labels.shape[1:]), dtype=labels.dtype)
    y[filled] = labels[rows]
    return Samples(x, lengths, present, torch.from_numpy(y).to(device), tuple(len(p) for p in parts), changes)


def _shelved(array: Array | Mapped, modality: Modality) -> bool:
    """Whether little is to be done to rows of an array, so that each batch may do it."""
    return array.dtype == np.float32 or (array.dtype == np.uint8 and modality.kind == "image")


def _numbers(rows: Array, there: Array) -> Array:
    """The rows where they are there, in this order; -1 elsewhere."""
    numbers = np.full(there.shape, -1)
    numbers[there] = rows
    return numbers


def _gather(
    array: Inputs, modality: Modality, rows: Array, there: Array, shape: tuple[int, ...], device: torch.device
) -> Tensor | Album:
    """The rows of an array where they are there, in this order; zeros elsewhere."""
    if isinstance(array, Pictures):
        return Album(array[rows], torch.from_numpy(_numbers(np.arange(len(rows)), there)).to(device), shape)
    dtype = np.int64 if modality.kind == "tokens" else np.float32
    out = np.zeros((*there.shape, *shape), dtype=dtype)
    if isinstance(array, Ragged):
        out[there] = array[rows].padded(shape[0])
    else:
        out[there] = array[rows][:, : shape[0]] if modality.ordered else array[rows]
    if array.dtype == np.uint8 and modality.kind == "image":
        out /= 255.0
    return torch.from_numpy(out).to(device)


@dataclass(frozen=True)
class Schedule:
    """Which samples make which batch, for clients that need more steps first.

    Attributes:
        members: positions of the clients in the unit, by falling number of steps; those without any are left out.
        steps: each member's number of steps.
        index: (members, steps, B) int64 sample numbers, 0 where there is none.
        filled: (members, steps) samples in each batch.
    """

    members: tuple[int, ...]
    steps: tuple[int, ...]
    index: Tensor
    filled: Tensor

    def active(self, step: int) -> int:
        """How many members still train; they come first."""
        return bisect_left(self.steps, -step, key=neg)


def schedule(members: Sequence[int], orders: Array, counts: Sequence[int], batch_size: int) -> Schedule | None:
    """Cuts the samples of M clients into batches.

    Args:
        members: their positions in the unit.
        orders: (M, epochs, N): the first `count` are a client's sample numbers in the order of an epoch.
        counts: how many samples each has.
        batch_size: samples in a batch; the last of an epoch may be smaller.

    Returns:
        None where no client has a sample.
    """
    epochs: int = orders.shape[1]
    sizes: Array = np.array(counts, dtype=np.int64)
    having: Array = -(-sizes // batch_size)  # batches of an epoch
    chosen = np.lexsort((np.array(members), -having))
    chosen = chosen[having[chosen] > 0]
    if not len(chosen):
        return None
    orders, sizes, having = orders[chosen], sizes[chosen], having[chosen]
    member, epoch, place = np.nonzero(np.broadcast_to(_before(sizes, orders.shape[2])[:, None], orders.shape))
    most = epochs * int(having[0])
    index = np.zeros((len(chosen), most, min(batch_size, int(sizes.max()))), dtype=np.int64)
    index[member, epoch * having[member] + place // batch_size, place % batch_size] = orders[member, epoch, place]
    left: Array = sizes[:, None] - batch_size * (np.arange(most) % having[:, None])
    filled = np.where(_before(epochs * having, most), left.clip(max=batch_size), 0)
    steps = tuple((epochs * having).tolist())
    positions = tuple(np.array(members)[chosen].tolist())
    return Schedule(positions, steps, torch.from_numpy(index), torch.from_numpy(filled))


def _before(ends: Array, size: int) -> Array:
    """(M,) -> (M, size) bool, True before the end."""
    return np.arange(size) < ends[:, None]
