"""What is allowed of data, and most likely not meant.

Shapes: N samples, C classes or labels, D targets, r samples or steps that are looked at.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from raysim.data.dataset import Dataset
from raysim.data.pieces import pieces
from raysim.data.ragged import Array, Pictures

LOOKED_AT = 256
"""So many samples tell, or as many as make a piece."""
NAMED = 3
"""Of several classes or labels."""
BRIGHT = 16.0
"""Beyond this no image of floats is standardised, or in [0, 1]."""
FLAT, STEEP = 1e-4, 1e3
"""Features that vary by less all of them, or one by more, are not standardised, and networks hardly learn from them."""


def remarks(dataset: Dataset) -> Iterator[str]:
    """A line for each thing that cannot be learnt, and for each modality whose values are unlikely."""
    yield from _targets(dataset) if dataset.targets else _labels(dataset)
    for name in dataset.modalities:
        if (values := _looked_at(dataset, name)) is not None:
            yield from _values(dataset, name, values)


def _targets(dataset: Dataset) -> Iterator[str]:
    y = dataset.train.labels
    same = [name for name, column in zip(dataset.targets, y.T, strict=True) if len(y) > 1 and not np.ptp(column)]
    if same:
        yield f"all training samples have the same {_few(same)}: there is nothing to learn"


def _labels(dataset: Dataset) -> Iterator[str]:
    """Of classes and of several labels, whose samples are counted by what is in them."""
    train = dataset.train
    counts, *others = (np.array(dataset.counts(s.labels)) for s in (train, dataset.validation, dataset.test))
    asked = np.sum(others, axis=0)
    names = np.array(dataset.classes, dtype=object)
    if dataset.multi_label:
        always = names[counts == len(train)].tolist()
        if always:
            yield f"every training sample has the label {_few(always)}: there is nothing to learn of it"
    elif np.count_nonzero(counts) == 1:
        yield f"all training samples are of class {_few(names[counts > 0].tolist())}: there is nothing to tell apart"
    unseen = (counts == 0) & (asked > 0)
    if unseen.any():
        what = "with the label" if dataset.multi_label else "of class"
        yield (
            f"there is no training sample {what} {_few(names[unseen].tolist())}, but {int(asked[unseen].sum())} to be "
            "judged by: what nobody has seen counts as wrong"
        )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:NAMED]) + more


def _looked_at(dataset: Dataset, name: str) -> Array | None:
    """Some valid values of a modality's training samples, (r, ...); None where there are none to compare."""
    train = dataset.train
    x, rows = train.inputs[name], np.flatnonzero(train.presence((name,))[:, 0])[:LOOKED_AT]
    if isinstance(x, Pictures) or len(rows) < 2:
        return None
    return next(pieces(x, rows, train.lengths.get(name)))


def _values(dataset: Dataset, name: str, values: Array) -> Iterator[str]:
    kind, floats, several = dataset.modalities[name].kind, values.dtype.kind == "f", len(values) > 1
    if several and (values == values[:1]).all():
        yield f"'{name}' is the same in all samples that were looked at: it tells nothing"
    elif kind == "image":
        if floats and (largest := float(np.abs(values).max())) > BRIGHT:
            yield (
                f"image '{name}' has values up to {largest:g} as floats; networks take them as they are: write "
                "x.astype('uint8') for pixels of 0 to 255, or divide by 255"
            )
    elif floats and several and not FLAT <= (most := float(values.std(axis=0, dtype=np.float64).max())) <= STEEP:
        yield f"'{name}' varies by {most:.3g} where networks want numbers near 1: set dataset.standardize: true"
