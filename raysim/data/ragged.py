"""Samples of unequal length, one after another in one array.

Shapes: N samples, T steps of the longest, S steps of all samples together.
"""

import io
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from raysim.data.mapped import Array, Mapped


@dataclass(frozen=True)
class Ragged:
    """Sequences without padding. Indexing by rows copies none of their values.

    Attributes:
        values: (S, ...), the steps of all samples, in memory or in a file.
        spans: (N, 2) int64: sample i is values[spans[i, 0]:spans[i, 1]].
    """

    values: Array | Mapped
    spans: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, rows: Array) -> Self:
        return type(self)(self.values, self.spans[rows])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return self.values.dtype

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,): steps of each sample."""
        return self.spans[:, 1] - self.spans[:, 0]

    def steps(self) -> NDArray[np.int64]:
        """Where the steps of these samples stand, one after another."""
        return _steps(self.spans)

    def padded(self, steps: int) -> Array:
        """(N, steps, ...): zeros after a sample's end; what is longer is cut."""
        lengths = np.minimum(self.lengths, steps)
        out = np.zeros((len(self), steps, *self.values.shape[1:]), dtype=self.dtype)
        out[inside(lengths, steps)] = self.values[
            _steps(np.stack([self.spans[:, 0], self.spans[:, 0] + lengths], axis=1))
        ]
        return out


@dataclass(frozen=True)
class Pictures(Ragged):
    """Image files (PNG, JPEG) of one size in pixels, decoded when they are used; values are their bytes."""

    def decoded(self) -> NDArray[np.uint8]:
        """(N, channels, height, width)."""
        from PIL import Image

        pictures: list[Array] = []
        for start, stop in self.spans.tolist():
            with Image.open(io.BytesIO(self.values[start:stop].tobytes())) as picture:
                pixels = np.asarray(picture)
            pictures.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
        return np.stack(pictures)


def inside(lengths: Array, steps: int) -> NDArray[np.bool_]:
    """(N, steps): the valid steps of samples of these lengths (N,)."""
    return np.less.outer(np.arange(steps), lengths).T


def _steps(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of all steps inside the spans, sample after sample."""
    lengths = spans[:, 1] - spans[:, 0]
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(spans[:, 0] - ends + lengths, lengths)
