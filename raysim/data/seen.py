"""What samples were like in training, as far as new ones have to be: else networks read other numbers without a word.

Shapes: N samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raysim.data.dataset import Array, DataError, Dataset
from raysim.data.pieces import Inputs, pieces
from raysim.data.ragged import Pictures

LOOKED_AT = 256
"""So many samples tell."""
OVER = 0.01
"""Beyond [0, 1] by less than this are pixels that were resized."""
DARK = 0.01
"""Where 1 is less than this part of what training reached, pixels of 0 to 1 are on another scale."""


@dataclass(frozen=True)
class Seen:
    """What a modality was like in training.

    Attributes:
        low, high: of images, the range of their values; bytes are read as 0 to 1.
        bytes: whether images were bytes.
        shortest, longest: of sequences and tokens, their valid steps.
    """

    low: float | None = None
    high: float | None = None
    bytes: bool = False
    shortest: int | None = None
    longest: int | None = None


def looked_at(dataset: Dataset, modality: str) -> Array:
    """Training samples that have a modality, up to `LOOKED_AT` of them, spread evenly."""
    rows = np.flatnonzero(dataset.train.presence((modality,))[:, 0])
    return rows[np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).astype(np.int64)]


def span_of(x: Inputs, rows: Array) -> tuple[float, float]:
    """The smallest and the largest value of some samples, of which there must be some."""
    extremes = [(float(part.min()), float(part.max())) for part in pieces(x, rows, None)]
    return min(low for low, _ in extremes), max(high for _, high in extremes)


def seen(dataset: Dataset) -> dict[str, Seen]:
    """What the training samples are like, by modality; nothing of those that none of them has."""
    return dict(_each(dataset))


def _each(dataset: Dataset) -> Iterator[tuple[str, Seen]]:
    train = dataset.train
    for name, spec in dataset.modalities.items():
        rows = looked_at(dataset, name)
        if not len(rows):
            continue
        if spec.ordered:
            steps = train.lengths[name][train.presence((name,))[:, 0]]
            yield name, Seen(shortest=int(steps.min()), longest=int(steps.max()))
        elif spec.kind == "image" and train.inputs[name].dtype.kind == "u":
            yield name, Seen(0.0, 1.0, bytes=True)
        elif spec.kind == "image":
            yield name, Seen(*span_of(train.inputs[name], rows))


def check_lengths(name: str, spec: Seen, steps: int, count: int) -> None:
    """Refuses sequences whose lengths nobody says, where samples in training ended before the array did.

    Args:
        name: the modality.
        spec: what it was like in training.
        steps: what a sample has in the model.
        count: N.

    Raises:
        DataError: lengths are needed.
    """
    if spec.shortest is not None and spec.shortest < steps:
        had = f"{spec.shortest}" if spec.shortest == spec.longest else f"{spec.shortest} to {spec.longest}"
        raise DataError(
            f"'{name}' has no lengths, and samples in training had {had} valid steps of {steps}: give lengths of "
            f"'{name}', ({count},) integers (in a file length.{name}), also where all steps are valid"
        )


def check_values(name: str, spec: Seen, x: Array | Pictures, present: Array) -> None:
    """Refuses pictures (N, C, H, W) on another scale than in training.

    Raises:
        DataError: they are.
    """
    rows = np.flatnonzero(present)
    if spec.low is None or spec.high is None or not len(rows):
        return
    had = f"in training it had {'bytes, read as ' if spec.bytes else ''}{spec.low:g} to {spec.high:g}"
    if x.dtype.kind == "u":
        if not spec.bytes and (spec.low < -OVER or spec.high > 1 + OVER):
            raise DataError(f"'{name}' has bytes, which are read as 0 to 1, and {had}: give floats on that scale")
        return
    low, high = span_of(x, rows)
    slack = OVER if spec.bytes else max(spec.high - spec.low, OVER)
    dark = low >= 0 and 0 < high <= 1 < spec.high * DARK
    if low < spec.low - slack or high > spec.high + slack or dark:
        pixels = low >= 0 and spec.low >= -OVER and spec.high <= 1 + OVER
        way = "give x / 255, or bytes: x.astype('uint8')" if pixels and high > 1 + OVER else "give that scale"
        raise DataError(f"'{name}' has values from {low:g} to {high:g}, and {had}: {way}")
